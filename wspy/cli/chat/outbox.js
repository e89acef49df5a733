// What was typed and has not been acknowledged. It survives a lost connection and a reload.

import { randomKey, thisTab } from "./store.js";

const MAX_WAITING = 200;

export class Outbox {
  #entries = thisTab.get("outbox", []);

  get isFull() {
    return this.#entries.length >= MAX_WAITING;
  }

  // The key is made once: however often the message is sent, it is one message.
  add(room, text) {
    this.#entries.push({ key: randomKey(), room, text });
    this.#save();
  }

  remove(key) {
    this.#entries = this.#entries.filter((entry) => entry.key !== key);
    this.#save();
  }

  // The server calls that room by another name.
  move(from, to) {
    for (const entry of this.in(from)) entry.room = to;
    this.#save();
  }

  in(room) {
    return this.#entries.filter((entry) => entry.room === room);
  }

  // A room that was typed in and then left while there was no connection.
  elsewhere(room) {
    return this.#entries.find((entry) => entry.room !== room)?.room;
  }

  #save() {
    thisTab.set("outbox", this.#entries);
  }
}
