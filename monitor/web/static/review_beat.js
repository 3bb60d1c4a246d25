// The chosen beat over the patient's usual beat.

import { AFTER_S, BEFORE_S, plotBeat } from "./beat_plot.js";
import { picture } from "./canvas.js";
import { element, setText } from "./format.js";

// The usual beat for `plotBeat`: one line, or none.
export function usualLines(record) {
  const { usual_mv: values, usual_hz: fsHz, usual_before_s: beforeS } = record.about;
  return values ? [{ values, fsHz, before: Math.round(beforeS * fsHz), ink: "--dim", width: 6, alpha: 0.55 }] : [];
}

export class ReviewBeat {
  constructor(record) {
    this.record = record;
    this.root = element("section", "panel beat-panel");
    this.canvas = picture("The beat over the usual beat of this patient");
    const box = element("div", "beat-box");
    box.append(this.canvas);
    const legend = element("p", "dim");
    setText(legend, record.about.usual_mv ? "Thick line: this patient's usual beat. Thin line: the chosen beat." : "No usual beat in this recording.");
    this.root.append(box, legend);
  }

  // chosen: sample of a beat, or null; strip: the `ReviewStrip` that has its signal.
  draw(chosen, strip) {
    const { record } = this;
    const lines = usualLines(record);
    if (chosen !== null && strip.part) {
      const before = Math.round(BEFORE_S * record.fsHz);
      const after = Math.round(AFTER_S * record.fsHz);
      const from = chosen - before - strip.part.first;
      const values = Array.from({ length: before + after + 1 }, (_, i) => strip.part.mv[from + i] ?? null);
      const anomalous = strip.beats.find((beat) => beat.r_sample === chosen)?.anomalous;
      lines.push({ values, fsHz: record.fsHz, before, ink: anomalous ? "--anomalous" : "--trace", width: 2 });
    }
    plotBeat(this.canvas, lines);
  }
}
