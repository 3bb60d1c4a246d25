// A sweep trace as on a bedside monitor: the newest sample moves to the right and erases the oldest before it.

import { pixelRatio } from "./canvas.js";
import { drawBeatMark } from "./marks.js";
import { now } from "./store.js";

const PX_PER_MM = 96 / 25.4; // CSS pixels
const LATE_S = 0.07; // a wave may come this late without stopping the trace
const CATCH_UP_S = 1.0; // further behind than this: jump
const ERASE_PX = 14;
const STEPS_MV = [0.5, 0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 20, 50];

export class Sweep {
  // options: speed mm/s; gain mm/mV or "auto"; channel "filtered" or "raw"; marks: draw beats and pacing pulses.
  constructor(canvas, options = {}) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.options = { speed: 25, gain: 10, channel: "filtered", marks: false, lineWidth: 1.6, ...options };
    this.bed = null;
    this.head = null; // sample index that is drawn up to, a fraction
    this.frameAt = now();
    this.half = 1; // mV from the middle to an edge, with automatic gain
    this.centre = 0;
    this.size = "";
    this.frozen = false;
  }

  show(bed) {
    if (bed !== this.bed) {
      this.bed = bed;
      this.head = null;
      this.clear();
    }
  }

  set(options) {
    Object.assign(this.options, options);
    this.redraw();
  }

  get ring() {
    return this.bed?.rings[this.options.channel] ?? null;
  }

  // Seconds across the canvas.
  get spanS() {
    return this.width / (this.options.speed * PX_PER_MM);
  }

  clear() {
    this.context.setTransform(1, 0, 0, 1, 0, 0);
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  // Takes over size and colours; returns whether there is room to draw.
  fit() {
    const ratio = pixelRatio();
    const width = this.canvas.clientWidth;
    const height = this.canvas.clientHeight;
    const size = `${width} ${height} ${ratio} ${document.documentElement.dataset.theme}`;
    if (size !== this.size && width > 0 && height > 0) {
      this.size = size;
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
      const style = getComputedStyle(this.canvas);
      this.ink = { trace: style.getPropertyValue("--trace"), anomalous: style.getPropertyValue("--anomalous"),
        dim: style.getPropertyValue("--dim"), pacer: style.getPropertyValue("--pacer"), head: style.getPropertyValue("--fore") };
      this.full = true;
    }
    this.width = width;
    this.height = height;
    this.ratio = ratio;
    return width > 0 && height > 0;
  }

  redraw() {
    this.full = true;
  }

  // Draws what is new; called once a frame.
  draw() {
    if (!this.fit()) return;
    const ring = this.ring;
    const at = now();
    const passed = at - this.frameAt;
    this.frameAt = at;
    if (!ring || ring.end === null || this.frozen) {
      if (this.full && ring && ring.end !== null && this.head !== null) this.drawAll(ring);
      return;
    }
    // The trace runs evenly while the samples come in pieces: on the mean it is half a piece behind, and LATE_S.
    const target = ring.end - (LATE_S + this.bed.waveS / 2) * ring.fsHz;
    if (this.head === null || Math.abs(target - this.head) > CATCH_UP_S * ring.fsHz || this.head > ring.end) {
      this.head = target;
      this.full = true;
    }
    const before = this.head;
    // In real time, a little faster or slower towards the target.
    const pace = Math.max(0.5, Math.min(2, 1 + (2 * (target - this.head)) / ring.fsHz));
    const step = passed * pace * ring.fsHz;
    this.head = Math.max(before, Math.min(ring.end, before + step));
    if (this.fitGain(ring)) this.full = true;
    if (this.full) this.drawAll(ring);
    else this.drawFrom(ring, before, this.head);
  }

  // Automatic gain: returns whether the scale has changed.
  fitGain(ring) {
    if (this.options.gain !== "auto") return false;
    if (this.gainAt && now() - this.gainAt < 1.5) return false;
    this.gainAt = now();
    let low = Infinity;
    let high = -Infinity;
    for (let i = Math.max(ring.begin, ring.end - Math.round(6 * ring.fsHz)); i < ring.end; i++) {
      const value = ring.at(i);
      if (value < low) low = value;
      if (value > high) high = value;
    }
    if (!(high >= low)) return false;
    const half = STEPS_MV.find((step) => step >= ((high - low) / 2) * 1.15) ?? STEPS_MV.at(-1);
    const fits = low >= this.centre - this.half && high <= this.centre + this.half && (high - low) / 2 > 0.4 * this.half;
    if (fits || (half === this.half && low >= this.centre - this.half && high <= this.centre + this.half)) return false;
    this.half = half;
    this.centre = Math.round(((high + low) / 2) * 20) / 20;
    return true;
  }

  y(mv) {
    const room = this.options.marks ? 22 : 2;
    const height = this.height - room;
    if (this.options.gain === "auto") return height / 2 - ((mv - this.centre) / this.half) * (height / 2 - 2);
    return height * 0.58 - mv * this.options.gain * PX_PER_MM;
  }

  x(sample, fsHz) {
    const span = this.spanS;
    const s = sample / fsHz;
    return ((s % span) / span) * this.width;
  }

  drawAll(ring) {
    this.full = false;
    const span = Math.floor(this.spanS * ring.fsHz) - Math.ceil((ERASE_PX / this.width) * this.spanS * ring.fsHz);
    this.clear();
    this.drawFrom(ring, Math.max(ring.begin, this.head - span), this.head);
    if (this.options.marks && this.bed) {
      for (const beat of this.bed.beats) this.mark(beat);
      for (const pulse of this.bed.pulses) this.pulse(pulse);
    }
  }

  drawFrom(ring, from, to) {
    const c = this.context;
    c.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    // Erasing cuts off half of the line's width where it was steep: the samples before are drawn again, in what was
    // erased alone.
    const first = Math.floor(from - (2 * this.options.lineWidth * this.spanS * ring.fsHz) / this.width);
    const last = Math.min(Math.floor(to), ring.end - 1);
    // Erase from the last sample that was drawn, which is a little before the old head, to a little beyond the new head.
    const begin = Math.floor(from);
    const x0 = Math.floor(this.x(begin, ring.fsHz) * this.ratio) / this.ratio;
    const wide = ((to - begin) / ring.fsHz / this.spanS) * this.width + ERASE_PX;
    const over = x0 + wide - this.width;
    c.save();
    c.beginPath();
    c.rect(x0, 0, wide, this.height);
    if (over > 0) c.rect(0, 0, over, this.height);
    c.clip();
    c.clearRect(0, 0, this.width, this.height);
    c.beginPath();
    c.lineWidth = this.options.lineWidth;
    c.lineJoin = "round";
    c.strokeStyle = this.ink.trace;
    let pen = false;
    let before = Infinity;
    for (let i = first; i <= last; i++) {
      const value = ring.at(i);
      const x = this.x(i, ring.fsHz);
      if (Number.isNaN(value) || x < before) pen = false;
      if (!Number.isNaN(value)) {
        const y = Math.max(1, Math.min(this.height - 1, this.y(value)));
        if (pen) c.lineTo(x, y);
        else c.moveTo(x, y);
        pen = true;
      }
      before = x;
    }
    c.stroke();
    c.restore();
    // Erasing may have cut the line of a pulse shortly before.
    if (this.options.marks && this.bed) for (const pulse of this.bed.pulses) if (pulse >= first && pulse < to) this.pulse(pulse);
  }

  visible(sample) {
    const ring = this.ring;
    if (!ring || this.head === null) return false;
    return sample < this.head && sample > this.head - (this.spanS - (ERASE_PX / this.width) * this.spanS) * ring.fsHz;
  }

  // The mark of a beat under the trace: anomalous, normal, or not scored; tellable without colour.
  mark(beat) {
    if (!this.visible(beat.r_sample) || !this.options.marks) return;
    const c = this.context;
    c.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    const x = this.x(beat.r_sample, this.ring.fsHz);
    const y = this.height - 10;
    drawBeatMark(c, x, y, beat, this.ink);
  }

  // A pacing pulse: a line over the whole height of the trace.
  pulse(sample) {
    if (!this.ring || !this.visible(sample)) return;
    const c = this.context;
    c.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    const x = Math.round(this.x(sample, this.ring.fsHz)); // whole pixels: each line is as wide as the others
    c.strokeStyle = this.ink.pacer;
    c.lineWidth = 2;
    c.beginPath();
    c.moveTo(x, 4);
    c.lineTo(x, this.height - 26);
    c.stroke();
  }
}
