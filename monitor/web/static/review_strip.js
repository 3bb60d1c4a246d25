// A strip on ECG paper: 25 mm/s, 10 mm/mV, with beats, labels, and a cursor for a beat that was missed.

import { cleared } from "./canvas.js";
import { drawBeatMark } from "./marks.js";
import { markKey, NOT_A_BEAT } from "./review_record.js";

const PX_PER_MM = 96 / 25.4; // CSS pixels
const MM_PER_S = 25;
const TOP = 20; // px, labels
const FOOT = 40; // px, marks and times
const NEAR_S = 0.2; // a click chooses the nearest beat within
const PEAK_S = 0.06; // the cursor goes to the steepest point within

export class ReviewStrip {
  // choose(beat): a beat was clicked; place(sample): a point was clicked while a beat is added.
  constructor(canvas, record, choose, place) {
    this.canvas = canvas;
    this.record = record;
    this.gain = 10; // mm/mV
    this.part = null; // signal and beats in view
    this.cursor = null; // sample of a beat that is added
    this.beats = [];
    canvas.addEventListener("click", (event) => {
      if (!this.part) return;
      const sample = this.sample(event.offsetX);
      if (this.cursor !== null) place(sample);
      else {
        const beat = this.nearest(sample);
        if (beat && Math.abs(beat.r_sample - sample) <= NEAR_S * record.fsHz) choose(beat);
      }
    });
  }

  get spanSamples() {
    return Math.max(1, Math.round((this.canvas.clientWidth / (MM_PER_S * PX_PER_MM)) * this.record.fsHz));
  }

  x(sample) {
    return ((sample - this.part.first) / this.record.fsHz) * MM_PER_S * PX_PER_MM;
  }

  sample(x) {
    return this.part.first + Math.round((x / (MM_PER_S * PX_PER_MM)) * this.record.fsHz);
  }

  // The beats in view, with those that a reviewer added, in order.
  refresh() {
    if (!this.part) return;
    const { first, n, beats } = this.part;
    this.beats = [...beats, ...this.record.added(first, first + n, beats)].sort((a, b) => a.r_sample - b.r_sample);
  }

  nearest(sample) {
    return this.beats.reduce((best, beat) => (!best || Math.abs(beat.r_sample - sample) < Math.abs(best.r_sample - sample) ? beat : best), null);
  }

  // The largest deflection near a sample.
  peak(sample) {
    const { mv, first } = this.part;
    const reach = Math.round(PEAK_S * this.record.fsHz);
    let best = sample;
    for (let at = sample - reach; at <= sample + reach; at++) {
      const value = mv[at - first];
      if (value !== null && value !== undefined && Math.abs(value - this.zero) > Math.abs((mv[best - first] ?? this.zero) - this.zero)) best = at;
    }
    return best;
  }

  show(part) {
    this.part = part;
    const values = part.mv.filter((value) => value !== null).sort((a, b) => a - b);
    this.zero = values.length ? values[values.length >> 1] : 0;
    this.low = (values[0] ?? 0) - this.zero;
    this.high = (values.at(-1) ?? 0) - this.zero;
    this.refresh();
  }

  // chosen: sample of the chosen beat; event: its alarm or beat.
  draw(chosen, event) {
    const { canvas, part, record } = this;
    const drawing = part && cleared(canvas);
    if (!drawing) return;
    const { c, width, height, ink } = drawing;
    const bottom = height - FOOT;
    this.paper(c, width, bottom, ink);
    if (event?.alarm) {
      const end = event.end < 0 ? record.about.end_sample : event.end;
      c.fillStyle = ink("--span");
      const x0 = Math.max(0, this.x(event.sample));
      c.fillRect(x0, TOP, Math.max(1, Math.min(width, this.x(end)) - x0), bottom - TOP);
    }
    if (chosen !== null) {
      c.fillStyle = ink("--chosen");
      c.fillRect(this.x(chosen) - 14, TOP, 28, bottom - TOP);
    }
    this.trace(c, bottom, ink);
    c.font = "12px system-ui, sans-serif";
    c.textAlign = "center";
    const colours = { anomalous: ink("--anomalous"), dim: ink("--dim") };
    for (const beat of this.beats) {
      const x = this.x(beat.r_sample);
      const decision = record.decisions.get(markKey(beat.r_sample));
      drawBeatMark(c, x, bottom + 12, beat, colours);
      if (!decision) continue;
      c.font = "bold 14px system-ui, sans-serif";
      c.fillStyle = ink(decision.verdict === "N" ? "--good" : decision.verdict === NOT_A_BEAT ? "--dim" : "--anomalous");
      c.fillText(decision.verdict === NOT_A_BEAT ? "✕" : beat.added ? `+${decision.verdict}` : decision.verdict, x, 15);
      c.font = "12px system-ui, sans-serif";
    }
    c.fillStyle = ink("--dim");
    c.strokeStyle = ink("--dim");
    for (let s = Math.max(0, Math.ceil(part.first / record.fsHz)); s * record.fsHz < Math.min(part.first + part.n, record.about.end_sample); s++) {
      const x = this.x(s * record.fsHz);
      c.fillRect(x, bottom, 1, 4);
      if (x > 24 && x < width - 24) c.fillText(record.time(s * record.fsHz + 0.5), x, height - 4);
    }
    if (this.cursor !== null) {
      const x = this.x(this.cursor);
      c.strokeStyle = ink("--focus");
      c.lineWidth = 2;
      c.beginPath();
      c.moveTo(x, TOP - 4);
      c.lineTo(x, bottom);
      c.stroke();
    }
  }

  paper(c, width, bottom, ink) {
    c.fillStyle = ink("--paper");
    c.fillRect(0, TOP, width, bottom - TOP);
    c.lineWidth = 1;
    for (const [mm, colour] of [[1, "--grid-1"], [5, "--grid-5"]]) {
      c.strokeStyle = ink(colour);
      c.beginPath();
      const step = mm * PX_PER_MM;
      for (let x = 0; x <= width; x += step) {
        c.moveTo(Math.round(x) + 0.5, TOP);
        c.lineTo(Math.round(x) + 0.5, bottom);
      }
      for (let y = bottom; y >= TOP; y -= step) {
        c.moveTo(0, Math.round(y) - 0.5);
        c.lineTo(width, Math.round(y) - 0.5);
      }
      c.stroke();
    }
  }

  trace(c, bottom, ink) {
    const { part, record } = this;
    const scale = this.gain * PX_PER_MM;
    // The whole trace where it fits, else the baseline in its usual place.
    const room = bottom - TOP;
    const fits = (this.high - this.low) * scale < room - 8;
    const base = fits ? TOP + (room + (this.high + this.low) * scale) / 2 : TOP + room * 0.58;
    const y = (mv) => Math.max(TOP + 1, Math.min(bottom - 1, base - (mv - this.zero) * scale));
    c.strokeStyle = ink("--trace");
    c.lineWidth = 1.5;
    c.lineJoin = "round";
    c.beginPath();
    let pen = false;
    part.mv.forEach((value, i) => {
      if (value === null) {
        pen = false;
        return;
      }
      const x = (i / record.fsHz) * MM_PER_S * PX_PER_MM;
      pen ? c.lineTo(x, y(value)) : c.moveTo(x, y(value));
      pen = true;
    });
    c.stroke();
    if (part.mv.every((value) => value === null)) {
      c.fillStyle = ink("--dim");
      c.textAlign = "center";
      c.font = "14px system-ui, sans-serif";
      c.fillText("no valid signal", this.canvas.clientWidth / 2, TOP + room / 2);
    }
  }
}
