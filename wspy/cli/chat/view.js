// What people see, and what they do with it. Knows nothing of the connection.

import { everywhere } from "./store.js";
import { makeName, makeText } from "./text.js";

const MAX_LINES = 500;
const GROUP_TIME = 5 * 60 * 1000; // ms between two messages under one name
const TYPING_TIME = 5000;
const HUES = 8;
const STATES = { connected: "connected", trying: "connecting…", offline: "offline" };

const $ = (id) => document.getElementById(id);

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const calendar = new Intl.DateTimeFormat(undefined, { dateStyle: "full" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

function hueOf(name) {
  let sum = 0;
  for (const character of name) sum = (sum * 31 + character.codePointAt(0)) % 65521;
  return sum % HUES;
}

function makeTime(at) {
  const date = new Date(at);
  const time = make("time", "", clock.format(date));
  time.dateTime = date.toISOString();
  time.title = moment.format(date);
  return time;
}

export class View {
  #on;
  #me = "";
  #room = "";
  #people = [];
  #typing = new Map(); // name -> timer
  #lines = new Map(); // message id -> its line
  #last = null; // the last message, if nothing stands below it
  #day = "";
  #unread = 0;

  // on: say(text) -> whether it was taken, type(), rename(name), go(room), retry()
  constructor(on) {
    this.#on = on;
    this.#wireComposer();
    this.#wireName();
    this.#wireSide();
    $("retry").addEventListener("click", () => on.retry());
    $("newer").addEventListener("click", () => this.#scrollToEnd());
    $("log").addEventListener("scroll", () => {
      if (this.#isAtEnd()) $("newer").hidden = true;
    });
    document.addEventListener("visibilitychange", () => this.#showTitle());
    // A finger's keyboard shall not jump up by itself.
    if (matchMedia("(pointer: fine)").matches) $("text").focus();
  }

  // -- what people do --

  #wireComposer() {
    const text = $("text");
    $("compose").addEventListener("submit", (event) => {
      event.preventDefault();
      const said = text.value.trim();
      if (!said) return;
      if (!this.#on.say(said)) {
        this.addNotice("Too many messages wait to be sent.");
        return;
      }
      text.value = "";
      this.#fit(text);
      this.#scrollToEnd();
      text.focus();
    });
    text.addEventListener("keydown", (event) => {
      // isComposing: Enter that picks a word in an input method sends nothing.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      $("compose").requestSubmit();
    });
    text.addEventListener("input", () => {
      this.#fit(text);
      if (text.value) this.#on.type();
    });
  }

  #fit(text) {
    text.style.height = "auto";
    text.style.height = `${text.scrollHeight + text.offsetHeight - text.clientHeight}px`;
  }

  #wireName() {
    const finish = () => {
      $("ask").hidden = true;
      everywhere.set("asked", true);
      $("text").focus();
    };
    $("ask").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#on.rename($("name").value.trim());
      finish();
    });
    $("later").addEventListener("click", finish);
    $("ask").addEventListener("keydown", (event) => {
      if (event.key === "Escape") finish();
    });
    $("rename").addEventListener("click", () => {
      this.#openSide(false);
      $("ask").hidden = false;
      $("name").value = this.#me;
      $("name").select();
      $("name").focus();
    });
  }

  #wireSide() {
    $("menu").addEventListener("click", () => {
      this.#openSide($("menu").getAttribute("aria-expanded") === "false");
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !document.body.classList.contains("side-open")) return;
      this.#openSide(false);
      $("menu").focus();
    });
    $("log").addEventListener("click", () => this.#openSide(false));
    $("go").addEventListener("submit", (event) => {
      event.preventDefault();
      const room = $("room").value.trim();
      if (!room) return;
      $("room").value = "";
      this.#on.go(room);
    });
  }

  #openSide(open) {
    document.body.classList.toggle("side-open", open);
    $("menu").setAttribute("aria-expanded", String(open));
  }

  // The first time only; whoever does not want to is left in peace.
  askName() {
    if (!everywhere.get("asked", false)) $("ask").hidden = false;
  }

  // -- the room --

  clear(room) {
    this.#room = room;
    this.#people = [];
    this.#lines.clear();
    this.#last = null;
    this.#day = "";
    this.#unread = 0;
    $("lines").replaceChildren();
    $("newer").hidden = true;
    $("empty").hidden = true;
    $("title").replaceChildren(makeName(room));
    this.forgetTyping();
    this.#openSide(false);
    this.#showPeople();
    this.#showTitle();
  }

  enter(room, me, people) {
    this.#room = room;
    this.#me = me;
    this.#people = people;
    $("title").replaceChildren(makeName(room));
    this.#showPeople();
    this.#showTitle();
  }

  showRooms(rooms, current, addressOf) {
    const items = rooms.map((room) => {
      const link = make("a", "", makeName(room));
      link.href = addressOf(room);
      if (room === current) link.setAttribute("aria-current", "page");
      return make("li", "", link);
    });
    $("rooms").replaceChildren(...items);
  }

  come(name) {
    this.#people.push(name);
    this.#showPeople();
    const last = $("lines").lastElementChild;
    if (last?.dataset.left === name) last.replaceChildren(makeName(name), " is back");
    else this.addNotice(makeName(name), " came");
  }

  leave(name) {
    this.#people = this.#people.filter((other) => other !== name);
    this.#showPeople();
    this.#stopTyping(name);
    // Somebody who reloads shall not fill the page.
    this.addNotice(makeName(name), " left").dataset.left = name;
  }

  get me() {
    return this.#me;
  }

  rename(from, to) {
    if (from === to) return;
    this.#people = this.#people.map((name) => (name === from ? to : name));
    this.#stopTyping(from);
    const isMe = this.#me === from;
    if (isMe) this.#me = to;
    this.#showPeople();
    if (isMe) this.addNotice("You are now ", makeName(to));
    else this.addNotice(makeName(from), " is now ", makeName(to));
  }

  #showPeople() {
    const names = [...this.#people].sort((a, b) => a.localeCompare(b));
    const items = names.map((name) => {
      const item = make("li", "", makeName(name));
      item.dataset.hue = hueOf(name);
      if (name === this.#me) item.append(make("span", "faint", " you"));
      return item;
    });
    $("people").replaceChildren(...items);
    $("count").textContent = items.length || "";
    $("me").textContent = this.#me || "…";
  }

  // -- lines --

  addMessage(message, isMine, isNews) {
    if (this.#lines.has(message.id)) return;
    this.#stopTyping(message.name);
    this.#addDay(message.at);
    const line = make("li", "message");
    const last = this.#last;
    if (last?.name === message.name && message.at - last.at < GROUP_TIME) {
      line.classList.add("follows");
    }
    const author = make("span", "author", makeName(message.name));
    author.dataset.hue = hueOf(message.name);
    const text = make("p", "text", makeText(message.text));
    text.dir = "auto";
    line.append(author, text, makeTime(message.at));
    this.#addLine(line);
    this.#lines.set(message.id, line);
    $("empty").hidden = true;
    this.#last = message;
    if (isMine) this.markMine(message.id);
    else if (isNews && message.name !== this.#me) this.#countUnread();
  }

  addHistory(messages, isMine) {
    // What was said before is not read out again, but what was said while we were away is news.
    const isFirst = this.#lines.size === 0;
    if (isFirst) $("log").setAttribute("aria-busy", "true");
    for (const message of messages) this.addMessage(message, isMine(message.id), !isFirst);
    $("log").removeAttribute("aria-busy");
    $("empty").hidden = this.#lines.size > 0;
    if (isFirst) this.#scrollToEnd();
  }

  markMine(id) {
    this.#lines.get(id)?.classList.add("mine");
  }

  addNotice(...children) {
    const line = make("li", "notice", ...children);
    this.#addLine(line);
    this.#last = null;
    return line;
  }

  #addDay(at) {
    const day = calendar.format(at);
    if (day === this.#day) return;
    this.#day = day;
    this.#addLine(make("li", "day", day));
    this.#last = null;
  }

  #addLine(line) {
    const follow = this.#isAtEnd();
    $("lines").append(line);
    while ($("lines").children.length > MAX_LINES) this.#dropFirst();
    if (follow) this.#scrollToEnd();
    else if (line.classList.contains("message")) $("newer").hidden = false;
  }

  #dropFirst() {
    const first = $("lines").firstElementChild;
    for (const [id, line] of this.#lines) {
      if (line === first) this.#lines.delete(id);
      break; // the first line of all is the first message, or none
    }
    first.remove();
  }

  #isAtEnd() {
    const log = $("log");
    return log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  }

  #scrollToEnd() {
    $("log").scrollTop = $("log").scrollHeight;
    $("newer").hidden = true;
  }

  // -- what has not been sent --

  showWaiting(entries, isJoined) {
    const follow = this.#isAtEnd();
    const lines = entries.map((entry) => {
      const text = make("p", "text", makeText(entry.text));
      text.dir = "auto";
      const state = make("span", "faint", isJoined ? "sending…" : "waits for the connection");
      return make("li", "message mine", text, state);
    });
    $("waiting").replaceChildren(...lines);
    if (follow) this.#scrollToEnd();
  }

  showElsewhere(room, address) {
    $("elsewhere").hidden = !room;
    if (!room) return;
    const link = make("a", "", makeName(room));
    link.href = address;
    $("elsewhere").replaceChildren("Something you wrote waits for you to come back to ", link);
  }

  // -- typing --

  showTyping(name) {
    clearTimeout(this.#typing.get(name));
    this.#typing.set(name, setTimeout(() => this.#stopTyping(name), TYPING_TIME));
    this.#showTypists();
  }

  forgetTyping() {
    for (const name of [...this.#typing.keys()]) this.#stopTyping(name);
  }

  #stopTyping(name) {
    clearTimeout(this.#typing.get(name));
    if (this.#typing.delete(name)) this.#showTypists();
  }

  #showTypists() {
    const names = [...this.#typing.keys()];
    const parts = names.length > 2 ? ["several people are typing…"] : [];
    if (names.length === 1) parts.push(makeName(names[0]), " is typing…");
    if (names.length === 2) {
      parts.push(makeName(names[0]), " and ", makeName(names[1]), " are typing…");
    }
    $("typing").replaceChildren(...parts);
  }

  // -- the state, and the title --

  showState(state, problem) {
    $("state").dataset.state = state;
    $("state").textContent = state === "connected" ? STATES.connected : problem || STATES[state];
    $("retry").hidden = state === "connected";
  }

  #countUnread() {
    if (!document.hidden) return;
    this.#unread++;
    this.#showTitle();
  }

  #showTitle() {
    if (!document.hidden) this.#unread = 0;
    document.title = `${this.#unread ? `(${this.#unread}) ` : ""}${this.#room} · wspy chat`;
  }
}
