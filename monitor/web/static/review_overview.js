// The whole record: heart rate, score, and where there is something to decide. A click goes to the nearest event.

import { cleared } from "./canvas.js";

const LEFT = 40;
const MARKS_PX = 16; // row of events at the bottom
const STEPS = [5, 10, 30, 60, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800]; // s

export class ReviewOverview {
  constructor(canvas, record, go) {
    this.canvas = canvas;
    this.record = record;
    this.data = null;
    canvas.addEventListener("click", (event) => {
      const share = (event.offsetX - LEFT) / (canvas.clientWidth - LEFT);
      go(Math.max(0, share) * record.about.end_sample);
    });
  }

  draw(sample, wanted) {
    const { canvas, record, data } = this;
    const drawing = data && cleared(canvas);
    if (!drawing) return;
    const { c, width, height, ink } = drawing;
    const end = Math.max(1, record.about.end_sample);
    const x = (at) => LEFT + (at / end) * (width - LEFT);
    const column = (n) => LEFT + (n / data.columns) * (width - LEFT);
    const bottom = height - MARKS_PX - 14;
    const middle = Math.round(bottom * 0.62);
    c.font = "11px system-ui, sans-serif";
    const known = data.high_bpm.filter((value) => value !== null);
    const top = Math.max(100, Math.ceil(Math.max(0, ...known) / 50) * 50);
    const yRate = (bpm) => middle - 3 - (Math.min(bpm, top) / top) * (middle - 8);
    c.textAlign = "right";
    for (const bpm of [top / 2, top]) {
      c.fillStyle = ink("--line");
      c.fillRect(LEFT, yRate(bpm), width - LEFT, 1);
      c.fillStyle = ink("--dim");
      c.fillText(String(bpm), LEFT - 5, yRate(bpm) + (bpm === top ? 8 : 4));
    }
    c.fillText("bpm", LEFT - 5, middle - 2);
    c.fillText("score", LEFT - 5, bottom - 2);
    const wide = Math.max(1, (width - LEFT) / data.columns);
    data.mean_bpm.forEach((mean, n) => {
      if (mean === null) return;
      c.fillStyle = ink("--band");
      c.fillRect(column(n), yRate(data.high_bpm[n]), wide, Math.max(1, yRate(data.low_bpm[n]) - yRate(data.high_bpm[n])));
      c.fillStyle = ink("--trace");
      c.fillRect(column(n), yRate(mean) - 1, wide, 2);
    });
    const scores = data.score.filter((value) => value !== null).sort((a, b) => a - b);
    const most = Math.max(3, scores[Math.floor(scores.length * 0.98)] ?? 3);
    data.score.forEach((score, n) => {
      if (score === null || score <= 0) return;
      const h = (Math.min(score, most) / most) * (bottom - middle - 4);
      c.fillStyle = ink("--dim");
      c.fillRect(column(n), bottom - h, wide, h);
    });
    const row = height - MARKS_PX;
    for (const decided of [true, false]) {
      c.fillStyle = ink(decided ? "--good" : "--anomalous");
      const drawn = new Set();
      for (const event of record.events) {
        if (record.decisions.has(event.key) !== decided) continue;
        const at = Math.round(x(event.sample));
        if (drawn.has(at)) continue;
        drawn.add(at);
        c.globalAlpha = wanted(event) ? 1 : 0.3;
        c.fillRect(at, row, 2, event.alarm ? MARKS_PX : MARKS_PX * 0.6);
      }
    }
    c.globalAlpha = 1;
    const step = STEPS.find((each) => (end / record.fsHz / each) * 70 < width - LEFT) ?? STEPS.at(-1);
    c.fillStyle = ink("--dim");
    c.textAlign = "center";
    for (let s = step; s * record.fsHz < end; s += step) {
      const at = x(s * record.fsHz);
      c.fillStyle = ink("--line");
      c.fillRect(at, 0, 1, bottom);
      c.fillStyle = ink("--dim");
      if (at < width - 26) c.fillText(record.time(s * record.fsHz + 0.5).replace(/(:\d\d):00$/, "$1"), at, bottom + 11);
    }
    if (sample !== null) {
      c.fillStyle = ink("--focus");
      c.fillRect(x(sample) - 1, 0, 2, height);
    }
  }
}
