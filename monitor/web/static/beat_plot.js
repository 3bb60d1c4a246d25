// Beats over each other on a grid: time from the R-peak, mV.

import { cleared, roundStep } from "./canvas.js";

export const BEFORE_S = 0.25; // of the R-peak, as much of a beat as is shown
export const AFTER_S = 0.45;
const LINES = 8; // at most, between the lowest and the highest value
const missing = (value) => value === null || Number.isNaN(value);

// lines: { values mV (NaN or null: none), fsHz, before: samples before the R-peak, ink: name of a colour, width, alpha },
// drawn in their order. pulses: s from the R-peak.
export function plotBeat(canvas, lines, pulses = []) {
  const drawing = cleared(canvas);
  if (!drawing) return;
  const { c, width, height, ink } = drawing;
  c.font = "12px system-ui, sans-serif";
  let low = Infinity;
  let high = -Infinity;
  const inside = ({ values, fsHz, before }) => [...values].slice(Math.max(0, before - Math.ceil(BEFORE_S * fsHz)), before + Math.ceil(AFTER_S * fsHz) + 1);
  for (const line of lines) for (const value of inside(line)) if (!missing(value)) [low, high] = [Math.min(low, value), Math.max(high, value)];
  if (!(high >= low)) return;
  const step = roundStep(Math.max(0.1, (high - low) / LINES)); // any unit: a source may say mV and send uV
  low = Math.floor(low / step - 0.2) * step;
  high = Math.ceil(high / step + 0.2) * step;
  const [left, right, top, bottom] = [40, 8, 22, 22];
  const x = (s) => left + ((s + BEFORE_S) / (BEFORE_S + AFTER_S)) * (width - left - right);
  const y = (mv) => top + ((high - mv) / (high - low)) * (height - top - bottom);
  const rule = (x0, y0, x1, y1) => {
    c.beginPath();
    c.moveTo(x0, y0);
    c.lineTo(x1, y1);
    c.stroke();
  };
  c.lineWidth = 1;
  c.fillStyle = ink("--dim");
  c.textAlign = "right";
  for (let n = Math.round(low / step); n <= Math.round(high / step); n++) {
    c.strokeStyle = ink("--grid-5");
    rule(left, y(n * step), width - right, y(n * step));
    c.fillText(String(+(n * step).toFixed(2)), left - 5, y(n * step) + 4);
  }
  c.fillText("mV", left - 5, 12);
  c.textAlign = "center";
  for (let ms = -200; ms <= 400; ms += 40) {
    c.strokeStyle = ink("--grid-5");
    rule(x(ms / 1000), top, x(ms / 1000), height - bottom);
    if (ms % 200 === 0) c.fillText(ms === 0 ? "R" : `${ms > 0 ? "+" : "−"}${Math.abs(ms)} ms`, Math.min(x(ms / 1000), width - 28), height - 6);
  }
  c.lineJoin = "round";
  for (const line of lines) {
    c.strokeStyle = ink(line.ink);
    c.lineWidth = line.width;
    c.globalAlpha = line.alpha ?? 1;
    c.beginPath();
    let pen = false;
    line.values.forEach((value, i) => {
      const s = (i - line.before) / line.fsHz;
      if (missing(value) || s < -BEFORE_S || s > AFTER_S) pen = false;
      else {
        pen ? c.lineTo(x(s), y(value)) : c.moveTo(x(s), y(value));
        pen = true;
      }
    });
    c.stroke();
  }
  c.globalAlpha = 1;
  c.strokeStyle = ink("--pacer");
  c.lineWidth = 1.5;
  for (const s of pulses) if (s >= -BEFORE_S && s <= AFTER_S) rule(x(s), top, x(s), top + 24);
}
