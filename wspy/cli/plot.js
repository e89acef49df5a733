// Draws round trips over time: dots, a line for the median and one for the 99th percentile.

const LEFT = 56; // px for the scale's numbers
const EDGE = 12;

export function formatTime(ms) {
  if (Number.isNaN(ms)) return "–";
  if (ms < 1) return `${(ms * 1000).toFixed(0)} µs`;
  if (ms < 1000) return `${ms.toPrecision(3)} ms`;
  return `${(ms / 1000).toPrecision(3)} s`;
}

export class Plot {
  #canvas;
  #context;
  #span;
  #low = -1; // the scale's ends are powers of ten, ms
  #high = 1;

  // span: the ms from the left edge to the right one
  constructor(canvas, span) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
    this.#span = span;
  }

  // colors: dots, median, p99; text and grid come from the canvas's style.
  draw(samples, now, [median, p99], colors) {
    const style = getComputedStyle(this.#canvas);
    const [width, height] = this.#fit();
    const context = this.#context;
    this.#scale(samples);
    context.clearRect(0, 0, width, height);
    context.font = `12px ${style.fontFamily}`;
    this.#drawGrid(width, height, style);
    const right = width - EDGE;
    context.globalAlpha = 0.6;
    context.fillStyle = colors.dots;
    samples.forEach((time, trip) => {
      const x = right - ((now - time) / this.#span) * (right - LEFT);
      context.fillRect(x - 1, this.#y(trip, height) - 1, 2, 2);
    });
    context.globalAlpha = 1;
    this.#drawLine(median, width, height, colors.median);
    this.#drawLine(p99, width, height, colors.p99);
  }

  // As many pixels as the screen has; gives the size in CSS pixels.
  #fit() {
    const { clientWidth, clientHeight } = this.#canvas;
    const ratio = devicePixelRatio;
    const [width, height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
    if (this.#canvas.width !== width || this.#canvas.height !== height) {
      this.#canvas.width = width;
      this.#canvas.height = height;
    }
    this.#context.setTransform(ratio, 0, 0, ratio, 0, 0);
    return [clientWidth, clientHeight];
  }

  // The decades that hold what is seen, two at least.
  #scale(samples) {
    let [low, high] = [Infinity, 0];
    samples.forEach((time, trip) => {
      low = Math.min(low, trip);
      high = Math.max(high, trip);
    });
    if (!samples.count) return;
    this.#low = Math.max(-3, Math.floor(Math.log10(Math.max(low, 0.001))));
    this.#high = Math.max(this.#low + 2, Math.ceil(Math.log10(Math.max(high, 0.001))));
  }

  #y(ms, height) {
    const part = (Math.log10(Math.max(ms, 0.001)) - this.#low) / (this.#high - this.#low);
    return height - EDGE - part * (height - 2 * EDGE);
  }

  #drawGrid(width, height, style) {
    const context = this.#context;
    context.strokeStyle = style.borderTopColor;
    context.fillStyle = style.color;
    context.lineWidth = 1;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (let power = this.#low; power <= this.#high; power++) {
      const y = Math.round(this.#y(10 ** power, height)) + 0.5;
      context.beginPath();
      context.moveTo(LEFT, y);
      context.lineTo(width - EDGE, y);
      context.stroke();
      // 1000 µs is 1 ms, and 100 ms are not 1.00e+2 ms.
      const [unit, name] = power < 0 ? [1000, "µs"] : power < 3 ? [1, "ms"] : [0.001, "s"];
      context.fillText(`${Math.round(10 ** power * unit)} ${name}`, LEFT - 8, y);
    }
  }

  #drawLine(ms, width, height, color) {
    if (Number.isNaN(ms)) return;
    const y = this.#y(ms, height);
    this.#context.strokeStyle = color;
    this.#context.lineWidth = 2;
    this.#context.beginPath();
    this.#context.moveTo(LEFT, y);
    this.#context.lineTo(width - EDGE, y);
    this.#context.stroke();
  }
}
