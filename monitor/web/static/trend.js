// Score of the last beats with the patient's limit, and the heart rate.

import { cleared, pixelRatio } from "./canvas.js";
import { element } from "./format.js";

export class Trend {
  constructor() {
    this.root = element("div", "panel trend");
    this.canvas = element("canvas");
    const plot = element("div", "plot");
    plot.append(this.canvas);
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", "Anomaly score of the last beats");
    this.root.append(element("h2", "", "Anomaly score of the last beats: higher is less usual; dashed: this patient's limit"), plot);
    this.bed = null;
    this.drawn = "";
  }

  show(bed) {
    this.bed = bed;
    this.drawn = "";
  }

  update(live) {
    this.live = live;
  }

  draw() {
    const { canvas, bed } = this;
    const last = bed?.beats.at(-1);
    const state = `${bed?.key} ${last?.r_sample} ${bed?.beats.length} ${canvas.clientWidth} ${canvas.clientHeight} ${pixelRatio()} ${this.live} ${document.documentElement.dataset.theme}`;
    if (state === this.drawn) return;
    const drawing = cleared(canvas);
    if (!drawing) return;
    const { c, width, height, ink } = drawing;
    this.drawn = state;
    c.font = "11px system-ui, sans-serif";
    if (!last || !bed.fsHz) {
      c.fillStyle = ink("--dim");
      c.fillText("no beat yet", 4, 14);
      return;
    }
    const left = 34;
    const span = 120; // s
    const t0 = bed.sample / bed.fsHz - span;
    const x = (beat) => left + ((beat.r_sample / bed.fsHz - t0) / span) * (width - left - 4);
    const beats = bed.beats.filter((beat) => beat.r_sample / bed.fsHz >= t0);
    const scored = beats.filter((beat) => beat.score !== null);
    const limit = last.threshold ?? scored.at(-1)?.threshold ?? null;
    const sorted = scored.map((beat) => beat.score).sort((a, b) => a - b);
    let low = Math.min(sorted[0] ?? 0, 0);
    let high = Math.max(sorted.at(-1) ?? 1, (limit ?? 0) * 1.3, low + 1);
    high = Math.min(high, Math.max((limit ?? 3) * 5, 8));
    const step = [0.5, 1, 2, 5, 10, 20, 50].find((size) => (high - low) / size <= 5) ?? 100;
    low = Math.floor(low / step) * step;
    high = Math.ceil(high / step) * step;
    const y = (value) => height - 14 - ((Math.min(value, high) - low) / (high - low)) * (height - 22);
    c.fillStyle = ink("--dim");
    c.strokeStyle = ink("--line");
    c.lineWidth = 1;
    c.textAlign = "right";
    for (let tick = low; tick <= high + 1e-9; tick += step) {
      c.beginPath();
      c.moveTo(left, y(tick) + 0.5);
      c.lineTo(width - 4, y(tick) + 0.5);
      c.stroke();
      c.fillText(String(tick), left - 6, y(tick) + 4);
    }
    c.textAlign = "left";
    c.fillText("120 s ago", left, height - 1);
    c.textAlign = "right";
    c.fillText("now", width - 4, height - 1);
    if (limit !== null) {
      c.setLineDash([6, 4]);
      c.strokeStyle = ink("--medium-text");
      c.beginPath();
      c.moveTo(left, y(limit));
      c.lineTo(width - 4, y(limit));
      c.stroke();
      c.setLineDash([]);
    }
    for (const beat of beats) {
      if (beat.score === null) {
        c.strokeStyle = ink("--dim");
        c.beginPath();
        c.arc(x(beat), y(low) - 3, 2.5, 0, 2 * Math.PI);
        c.stroke();
        continue;
      }
      c.strokeStyle = c.fillStyle = ink(beat.anomalous ? "--anomalous" : "--trace");
      c.lineWidth = 2;
      c.beginPath();
      c.moveTo(x(beat), y(low));
      c.lineTo(x(beat), y(beat.score));
      c.stroke();
      if (beat.anomalous) {
        c.beginPath();
        c.moveTo(x(beat), y(beat.score) - 6);
        c.lineTo(x(beat) + 4, y(beat.score) + 1);
        c.lineTo(x(beat) - 4, y(beat.score) + 1);
        c.fill();
      }
    }
  }
}
