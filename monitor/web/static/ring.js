// The last samples of a lead by absolute index: float32 mV, NaN = no valid sample.

export class Ring {
  constructor(fsHz, seconds) {
    this.fsHz = fsHz;
    this.capacity = Math.max(2, Math.ceil(fsHz * seconds));
    this.values = new Float32Array(this.capacity).fill(NaN);
    this.end = null; // index after the newest sample
    this.begin = null; // index of the oldest sample
  }

  // Adds samples. A jump forward leaves a gap; a jump back clears the ring.
  write(first, samples) {
    if (!samples.length) return;
    if (this.end !== null && first < this.end) {
      this.values.fill(NaN);
      this.end = null;
    }
    if (this.end === null) this.begin = first;
    for (let at = Math.max(this.end ?? first, first - this.capacity); at < first; at++) this.values[at % this.capacity] = NaN;
    for (let i = Math.max(0, samples.length - this.capacity); i < samples.length; i++) {
      this.values[(first + i) % this.capacity] = samples[i];
    }
    this.end = first + samples.length;
    this.begin = Math.max(this.begin, this.end - this.capacity);
  }

  at(index) {
    return this.end === null || index < this.begin || index >= this.end ? NaN : this.values[index % this.capacity];
  }
}
