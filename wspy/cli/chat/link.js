// The connection, made again whenever it is lost. Knows JSON and time, nothing of rooms.

const FIRST_WAIT = 500; // ms before the first new try; then twice as long each time
const MAX_WAIT = 15000;
const OFFLINE_AFTER = 4; // tries without success
const CONNECT_TIME = 10000;
const QUIET_TIME = 25000; // after which the server is asked whether it is there
const ANSWER_TIME = 10000;
const POLICY = 1008; // the server had enough: do not hurry

export class Link {
  #url;
  #on;
  #socket = null;
  #open = false; // welcomed, not only connected
  #tries = 0;
  #timer = 0;
  #heard = 0;
  #asked = 0; // since when an answer is due; 0: none is

  // on: state(name), connected(), event(event), lost()
  constructor(url, on) {
    this.#url = url;
    this.#on = on;
    setInterval(() => this.#check(), 5000);
    addEventListener("online", () => this.retry());
    addEventListener("offline", () => this.#showState());
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      this.#check();
      this.retry();
    });
  }

  get isOpen() {
    return this.#open;
  }

  send(event) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#socket.send(JSON.stringify(event));
  }

  // For what the server answers: no answer means that the connection is dead.
  ask(event) {
    this.send(event);
    this.#asked ||= Date.now();
  }

  // The server has let us in.
  welcomed() {
    this.#open = true;
    this.#tries = 0;
    this.#showState();
  }

  // Now, if it is not connected, and not at the end of the wait.
  retry() {
    if (!this.#socket) this.connect();
  }

  connect() {
    clearTimeout(this.#timer);
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#heard = Date.now();
    this.#asked = 0;
    this.#showState();
    socket.onopen = () => {
      this.#asked = Date.now();
      this.#on.connected();
    };
    socket.onmessage = (message) => {
      this.#heard = Date.now();
      this.#asked = 0;
      this.#on.event(JSON.parse(message.data));
    };
    socket.onclose = (close) => this.#lost(close.code);
  }

  #lost(code) {
    const socket = this.#socket;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    this.#socket = null;
    this.#open = false;
    this.#on.lost();
    let wait = Math.min(FIRST_WAIT * 2 ** this.#tries, MAX_WAIT);
    if (code === POLICY) wait = MAX_WAIT;
    this.#tries++;
    // Jitter, so that the tabs of a restarted server do not all come back at the same moment.
    this.#timer = setTimeout(() => this.connect(), wait * (0.5 + Math.random() / 2));
    this.#showState();
  }

  // A network that went away without a word, or a machine that slept. Timers of hidden tabs come
  // rarely: what counts is an answer that is due, not the silence.
  #check() {
    if (!this.#socket) return;
    const now = Date.now();
    if (this.#socket.readyState === WebSocket.CONNECTING) {
      if (now - this.#heard > CONNECT_TIME) this.#lost();
    } else if (this.#asked) {
      if (now - this.#asked > ANSWER_TIME) this.#lost();
    } else if (now - this.#heard > QUIET_TIME) {
      this.ask({ type: "ping" });
    }
  }

  #showState() {
    if (this.#open) this.#on.state("connected");
    else if (!navigator.onLine || this.#tries >= OFFLINE_AFTER) this.#on.state("offline");
    else this.#on.state("trying");
  }
}
