"use strict";

const log = document.getElementById("log");
const state = document.getElementById("state");
const form = document.getElementById("form");
const input = document.getElementById("text");
const button = form.querySelector("button");

const MAX_LINES = 500;
const FIRST_WAIT = 500; // ms
const MAX_WAIT = 15000;

let socket = null;
let me = "";
let wait = FIRST_WAIT;

// Text from others is only ever set as textContent: it cannot become markup.
function addLine(className, text, author) {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const line = document.createElement("li");
  line.className = className;
  if (author) {
    const name = document.createElement("b");
    name.textContent = author;
    line.append(name);
  }
  line.append(document.createTextNode(text));
  log.append(line);
  while (log.children.length > MAX_LINES) log.firstChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

function showState(name, text) {
  state.dataset.state = name;
  state.textContent = text;
  button.disabled = name !== "open";
}

function showHere(here) {
  showState("open", `${me} · ${here === 1 ? "nobody else" : `${here} people`} here`);
}

const events = {
  welcome(event) {
    me = event.you;
    showHere(event.here);
  },
  join(event) {
    showHere(event.here);
    addLine("notice", event.who === me ? `you are ${me}` : `${event.who} came`);
  },
  leave(event) {
    showHere(event.here);
    addLine("notice", `${event.who} left`);
  },
  message(event) {
    addLine(event.who === me ? "mine" : "theirs", event.text, event.who);
  },
};

function connect() {
  showState("trying", "connecting…");
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(`${scheme}//${location.host}/`);
  socket.onopen = () => {
    wait = FIRST_WAIT;
  };
  socket.onmessage = (message) => {
    const event = JSON.parse(message.data);
    events[event.type]?.(event);
  };
  socket.onclose = () => {
    showState("closed", "no connection, trying again…");
    // Jitter, so that the tabs of a restarted server do not all come back at the same moment.
    setTimeout(connect, wait * (0.5 + Math.random() / 2));
    wait = Math.min(wait * 2, MAX_WAIT);
  };
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = input.value.trim();
  if (!text || socket.readyState !== WebSocket.OPEN) return;
  socket.send(text);
  input.value = "";
});

connect();
