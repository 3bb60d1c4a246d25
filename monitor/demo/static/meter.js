// The score on its axis, with the patient's limit, and the score before the beat was bent.

import { element } from "./format.js";
import { TICKS, share, svg } from "./scale.js";

const WIDTH = 400;
const BAR = [18, 14]; // y and height

export class Meter {
  constructor() {
    this.root = element("div", "meter");
    this.svg = svg("svg", { viewBox: `0 0 ${WIDTH} 56`, role: "img" });
    this.normal = svg("rect", { class: "normal", x: 0, y: BAR[0], height: BAR[1], rx: 3 });
    this.anomalous = svg("rect", { class: "anomalous", y: BAR[0], height: BAR[1], rx: 3 });
    this.limit = svg("line", { class: "limit", y1: BAR[0] - 6, y2: BAR[0] + BAR[1] + 6 });
    this.limitText = svg("text", { y: 9, class: "limit-text" }, "limit");
    this.before = svg("circle", { class: "before", cy: BAR[0] + BAR[1] / 2, r: 5 });
    this.now = svg("circle", { class: "now", cy: BAR[0] + BAR[1] / 2, r: 8 });
    this.svg.append(this.normal, this.anomalous, this.limit, this.limitText, this.before, this.now);
    for (const tick of TICKS) {
      const x = share(tick) * WIDTH;
      this.svg.append(svg("text", { x: Math.max(8, Math.min(WIDTH - 10, x)), y: 51, class: "tick" }, String(tick)));
    }
    this.root.append(this.svg);
  }

  // before: score of the beat as it was, null = not bent.
  show(score, limit, before) {
    const at = share(limit) * WIDTH;
    this.normal.setAttribute("width", at);
    this.anomalous.setAttribute("x", at);
    this.anomalous.setAttribute("width", WIDTH - at);
    this.limit.setAttribute("x1", at);
    this.limit.setAttribute("x2", at);
    this.limitText.setAttribute("x", at);
    this.now.setAttribute("cx", Math.max(8, Math.min(WIDTH - 8, share(score) * WIDTH)));
    this.now.setAttribute("class", score > limit ? "now anomalous" : "now normal");
    const known = before !== null && !Number.isNaN(before);
    this.before.setAttribute("visibility", known ? "visible" : "hidden");
    if (known) this.before.setAttribute("cx", share(before) * WIDTH);
    this.svg.setAttribute("aria-label", `Score ${score.toFixed(2)}, limit ${limit.toFixed(2)}`);
  }
}
