// The chat: what the server tells goes to the view, what people do goes to the server.

import { Link } from "./link.js";
import { Outbox } from "./outbox.js";
import { everywhere, randomKey, thisTab } from "./store.js";
import { View } from "./view.js";

const DEFAULT_ROOM = "lobby";
const TYPING_EVERY = 3000; // ms
const MAX_ROOMS = 8; // in the list of those that were visited
const MAX_MINE = 200;

const session = randomKey(); // of this page: by it the server knows us when we come back
const outbox = new Outbox();
let name = everywhere.get("name", "");
let mine = thisTab.get("mine", []); // ids of what this tab said
let room = roomInAddress();
let joins = 0; // that the server has not answered yet
let sending = null; // "name" or the key of the message that is on its way: one at a time, in order
let renaming = false; // the server has to be told the name
let paused = 0; // timer, while the server wants us to slow down
let typed = 0; // when we last said that we type
let problem = ""; // why the server does not let us in

function roomInAddress() {
  try {
    return decodeURIComponent(location.hash.slice(1)) || DEFAULT_ROOM;
  } catch {
    return DEFAULT_ROOM;
  }
}

const addressOf = (room) => `#${encodeURIComponent(room)}`;
const isJoined = () => link.isOpen && joins === 0;

// -- to the server --

function join() {
  joins++;
  link.ask({ type: "join", room, name, session });
}

function sendNext() {
  if (!isJoined() || sending || paused) return;
  if (renaming) {
    renaming = false;
    sending = "name";
    link.ask({ type: "name", name });
    return;
  }
  const entry = outbox.in(room)[0];
  if (!entry) return;
  sending = entry.key;
  link.ask({ type: "say", key: entry.key, text: entry.text });
}

function done(key) {
  outbox.remove(key);
  if (sending === key) sending = null;
  showWaiting();
  sendNext();
}

// -- from the server --

function remember(room) {
  const visited = everywhere.get("rooms", []).filter((other) => other !== room);
  const rooms = [room, ...visited].slice(0, MAX_ROOMS);
  everywhere.set("rooms", rooms);
  // In an order that stays, so that nothing moves under the finger.
  view.showRooms(rooms.sort(), room, addressOf);
}

function showWaiting() {
  view.showWaiting(outbox.in(room), isJoined());
  const elsewhere = outbox.elsewhere(room);
  view.showElsewhere(elsewhere, elsewhere && addressOf(elsewhere));
}

const isMine = (id) => mine.includes(id);

const inRoom = {
  message(event) {
    view.addMessage(event, isMine(event.id), true);
  },
  join(event) {
    view.come(event.name);
  },
  leave(event) {
    view.leave(event.name);
  },
  renamed(event) {
    view.rename(event.from, event.to);
    if (event.to !== view.me) return;
    if (sending === "name") sending = null;
    sendNext();
  },
  typing(event) {
    view.showTyping(event.name);
  },
};

const always = {
  welcome(event) {
    joins--;
    if (joins > 0) return; // we have gone elsewhere meanwhile
    // What the server made of the name in the address: two spellings are one room.
    if (event.room !== room) {
      outbox.move(room, event.room);
      room = event.room;
      history.replaceState(null, "", addressOf(room));
    }
    problem = "";
    link.welcomed();
    remember(room);
    view.enter(room, event.you, event.people);
    view.addHistory(event.history, isMine);
    if (!name) view.askName();
    showWaiting();
    sendNext();
  },
  ack(event) {
    if (!isMine(event.id)) {
      mine = [...mine, event.id].slice(-MAX_MINE);
      thisTab.set("mine", mine);
    }
    view.markMine(event.id);
    done(event.key);
  },
  refused(event) {
    view.addNotice(`Your message was not sent: it is ${event.why}.`);
    done(event.key);
  },
  slow(event) {
    // What was refused is asked for once more; a message keeps its key.
    if (sending === "name") renaming = true;
    sending = null;
    clearTimeout(paused);
    paused = setTimeout(() => {
      paused = 0;
      if (joins > 0) {
        joins = 0;
        join();
      }
      sendNext();
    }, event.wait * 1000);
  },
  error(event) {
    problem = event.text;
  },
};

// -- what holds it together --

const url = new URL("/", location.href);
url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
url.hash = "";

const link = new Link(url, {
  state: (state) => view.showState(state, problem),
  connected() {
    joins = 0;
    join();
  },
  event(event) {
    if (Object.hasOwn(always, event.type)) always[event.type](event);
    else if (joins === 0 && Object.hasOwn(inRoom, event.type)) inRoom[event.type](event);
  },
  lost() {
    joins = 0;
    sending = null;
    clearTimeout(paused);
    paused = 0;
    view.forgetTyping();
    showWaiting();
  },
});

const view = new View({
  say(text) {
    if (outbox.isFull) return false;
    outbox.add(room, text);
    typed = 0;
    showWaiting();
    sendNext();
    return true;
  },
  type() {
    if (!isJoined() || paused || Date.now() - typed < TYPING_EVERY) return;
    typed = Date.now();
    link.send({ type: "typing" });
  },
  rename(wanted) {
    name = wanted;
    everywhere.set("name", name);
    renaming = true;
    sendNext();
  },
  go(room) {
    location.hash = addressOf(room);
  },
  retry: () => link.retry(),
});

addEventListener("hashchange", () => {
  if (roomInAddress() === room) return;
  room = roomInAddress();
  view.clear(room);
  showWaiting();
  if (link.isOpen) join();
});

view.clear(room);
showWaiting();
link.connect();
