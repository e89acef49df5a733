// The round trips of the last seconds, oldest first, in memory that is taken once.

const CAPACITY = 16384;

export class Samples {
  #times = new Float64Array(CAPACITY); // when it came back, ms
  #trips = new Float64Array(CAPACITY); // how long it took, ms
  #first = 0;
  #count = 0;

  get count() {
    return this.#count;
  }

  add(time, trip) {
    if (this.#count === CAPACITY) this.#drop();
    const at = (this.#first + this.#count++) % CAPACITY;
    this.#times[at] = time;
    this.#trips[at] = trip;
  }

  // Forgets what came back before that time.
  forget(before) {
    while (this.#count && this.#times[this.#first] < before) this.#drop();
  }

  #drop() {
    this.#first = (this.#first + 1) % CAPACITY;
    this.#count--;
  }

  forEach(see) {
    for (let i = 0; i < this.#count; i++) {
      const at = (this.#first + i) % CAPACITY;
      see(this.#times[at], this.#trips[at]);
    }
  }

  // Those times that at least the shares (0 to 1) of the messages stayed within; NaN: there is none.
  quantiles(...shares) {
    const sorted = new Float64Array(this.#count);
    let i = 0;
    this.forEach((time, trip) => (sorted[i++] = trip));
    sorted.sort();
    return shares.map((share) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? NaN);
  }
}
