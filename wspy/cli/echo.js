// Sends numbered messages at the chosen rate, and shows when they come back.

import { formatTime, Plot } from "/plot.js";
import { Samples } from "/samples.js";

const SPAN = 10000; // ms that are shown
const MAX_RATE = 1000; // messages a second
const MIN_SIZE = 4; // bytes: the number
const MAX_SIZE = 65536; // what the server takes
const MAX_INFLIGHT = 1000; // then we wait, and so does a slow network's queue
const STEP = 4; // ms between two looks at what is due: browsers' timers are not finer
const FIRST_WAIT = 500; // ms before the first new try
const MAX_WAIT = 15000;

const get = (id) => document.getElementById(id);
const samples = new Samples();
const plot = new Plot(get("plot"), SPAN);
const still = matchMedia("(prefers-reduced-motion: reduce)");

let socket = null;
let wait = FIRST_WAIT;
let sent = new Map(); // number -> when
let number = 0;
let payload = new Uint8Array(MIN_SIZE);
let rate = 0;
let due = 0; // messages, with a fraction
let looked = 0;
let isPaused = false;
let quantiles = [NaN, NaN];

// ---- the connection ----

function connect() {
  showState("trying", "connecting…");
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(`${scheme}//${location.host}/`);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    wait = FIRST_WAIT;
    looked = performance.now();
    showState("connected", "connected");
  };
  socket.onmessage = (message) => {
    const now = performance.now();
    const key = new DataView(message.data).getUint32(0);
    const then = sent.get(key);
    if (then === undefined) return;
    sent.delete(key);
    samples.add(now, now - then);
  };
  socket.onclose = () => {
    sent = new Map(); // they will not come back
    const offline = navigator.onLine ? "no connection" : "offline";
    showState("offline", `${offline}, trying again…`);
    // Jitter, so that the tabs of a restarted server do not all come back at the same moment.
    setTimeout(connect, wait * (0.5 + Math.random() / 2));
    wait = Math.min(wait * 2, MAX_WAIT);
  };
}

function showState(name, text) {
  get("state").dataset.state = name;
  get("state").textContent = text;
}

// ---- sending ----

function sendDue() {
  const now = performance.now();
  due += ((now - looked) / 1000) * rate;
  looked = now;
  // A tab that slept does not catch up: at most what belongs to a tenth of a second, or one.
  due = Math.min(due, Math.max(1, rate / 10));
  const ready = !isPaused && socket.readyState === WebSocket.OPEN;
  while (due >= 1) {
    due--;
    if (ready && sent.size < MAX_INFLIGHT && socket.bufferedAmount < 4 * MAX_SIZE) sendOne();
  }
}

function sendOne() {
  number = (number + 1) % 2 ** 32;
  new DataView(payload.buffer).setUint32(0, number);
  sent.set(number, performance.now());
  socket.send(payload);
}

// ---- the controls ----

// From the slider's 0 to 1000 to low … high, each step the same factor.
function logarithmic(slider, low, high) {
  return Math.round(low * (high / low) ** (slider.value / 1000));
}

function readControls() {
  rate = logarithmic(get("rate"), 1, MAX_RATE);
  const size = logarithmic(get("size"), MIN_SIZE, MAX_SIZE);
  if (size !== payload.length) payload = new Uint8Array(size);
  const sizeText = size < 1024 ? `${size} bytes` : `${(size / 1024).toPrecision(3)} KiB`;
  get("rate-text").textContent = rate;
  get("size-text").textContent = sizeText;
  get("rate").setAttribute("aria-valuetext", `${rate} messages a second`);
  get("size").setAttribute("aria-valuetext", sizeText);
}

get("controls").addEventListener("input", readControls);
get("pause").addEventListener("click", () => {
  isPaused = !isPaused;
  get("pause").setAttribute("aria-pressed", String(isPaused));
});

// ---- the picture ----

function showNumbers() {
  const now = performance.now();
  samples.forget(now - SPAN);
  quantiles = samples.quantiles(0.5, 0.99);
  let lately = 0;
  samples.forEach((time) => (lately += time > now - 1000));
  get("median").textContent = formatTime(quantiles[0]);
  get("p99").textContent = formatTime(quantiles[1]);
  get("speed").textContent = lately;
  get("inflight").textContent = sent.size;
  if (still.matches) draw();
}

function draw() {
  const now = performance.now();
  samples.forget(now - SPAN);
  const median = getComputedStyle(document.querySelector("dt.median")).color;
  const p99 = getComputedStyle(document.querySelector("dt.p99")).color;
  plot.draw(samples, now, quantiles, { dots: median, median, p99 });
}

function drawFrame() {
  if (!still.matches) draw();
  requestAnimationFrame(drawFrame);
}

document.addEventListener("submit", (event) => event.preventDefault());
readControls();
connect();
setInterval(sendDue, STEP);
setInterval(showNumbers, 500);
drawFrame();
