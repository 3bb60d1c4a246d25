// The picture of a beat on ECG paper: the beat, the patient's template, the steady template; the curve can be dragged.

import { element } from "./format.js";
import { path, svg } from "./scale.js";

const BEAT = 187;
const R = 62;
const FS_HZ = 125;
const KEY_STEP_MV = 0.1;

export class BeatPlot {
  // pull(place, mv, width): the pointer moved the curve by `mv` at sample `place`.
  constructor(pull) {
    this.pull = pull;
    this.root = element("figure", "panel beat-plot");
    this.svg = svg("svg", { role: "img", tabindex: 0 });
    this.svg.setAttribute("aria-label", "The beat over the patient's usual beat. Drag to bend; left and right choose a place, up and down bend.");
    this.grid = svg("g", { class: "grid" });
    this.steady = svg("path", { class: "steady" });
    this.template = svg("path", { class: "template" });
    this.original = svg("path", { class: "original" });
    this.beat = svg("path", { class: "beat" });
    this.cursor = svg("line", { class: "cursor", y1: 0, visibility: "hidden" });
    this.svg.append(this.grid, this.steady, this.template, this.original, this.beat, this.cursor);
    this.width = element("input");
    Object.assign(this.width, { type: "range", min: 1.5, max: 14, step: 0.5, value: 5 });
    const brush = element("label", "brush");
    brush.append(element("span", "", "width of the pull"), this.width);
    const key = element("figcaption", "legend");
    for (const [name, text] of [["beat", "this beat"], ["template", "this patient's usual beat"], ["steady", "after long intervals"], ["original", "before bending"]]) {
      const item = element("span");
      const sample = svg("svg", { viewBox: "0 0 28 8", class: "sample" });
      sample.append(svg("path", { d: "M0 4L28 4", class: name }));
      item.append(sample, document.createTextNode(text));
      key.append(item);
    }
    key.append(brush);
    this.root.append(this.svg, key);
    this.place = R;
    [this.wide, this.high] = [760, 400];
    new ResizeObserver(() => this.resize()).observe(this.svg);
    this.listen();
  }

  // One unit of the picture is one CSS pixel, so that text keeps its shape.
  resize() {
    const { width, height } = this.svg.getBoundingClientRect();
    if (!width || !height) return;
    [this.wide, this.high] = [width, height];
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.cursor.setAttribute("y2", height);
    if (this.samples) {
      this.drawGrid();
      this.bent(this.made);
    }
  }

  x(i) {
    return (i / (BEAT - 1)) * this.wide;
  }

  listen() {
    let last = null;
    const where = (event) => {
      const box = this.svg.getBoundingClientRect();
      const place = ((event.clientX - box.left) / box.width) * (BEAT - 1);
      return [Math.max(0, Math.min(BEAT - 1, place)), this.top - ((event.clientY - box.top) / box.height) * (this.top - this.bottom)];
    };
    this.svg.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      this.svg.setPointerCapture(event.pointerId);
      const [place, mv] = where(event);
      last = { place, mv };
      event.preventDefault();
      this.svg.focus();
    });
    this.svg.addEventListener("pointermove", (event) => {
      if (!last) return;
      const [, mv] = where(event);
      if (mv !== last.mv) this.pull(last.place, mv - last.mv, Number(this.width.value));
      last.mv = mv;
    });
    for (const end of ["pointerup", "pointercancel"]) this.svg.addEventListener(end, () => (last = null));
    this.svg.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      const bend = { ArrowUp: 1, ArrowDown: -1 }[event.key];
      if (!move && !bend) return;
      event.preventDefault();
      event.stopPropagation();
      if (move) this.place = Math.max(0, Math.min(BEAT - 1, this.place + move * (event.shiftKey ? 10 : 1)));
      else this.pull(this.place, bend * KEY_STEP_MV, Number(this.width.value));
      this.showCursor(true);
    });
    this.svg.addEventListener("blur", () => this.showCursor(false));
  }

  showCursor(shown) {
    this.cursor.setAttribute("visibility", shown ? "visible" : "hidden");
    this.cursor.setAttribute("x1", this.x(this.place));
    this.cursor.setAttribute("x2", this.x(this.place));
  }

  // samples: (187,) mV; templates: (2 * 187,) or null.
  show(samples, templates) {
    this.samples = samples;
    this.templates = templates;
    this.fit([samples, templates ?? []]);
    this.bent(null);
  }

  // Bent samples over the original ones; null = as it is.
  bent(samples) {
    this.made = samples;
    if (samples) {
      const room = 0.03 * (this.top - this.bottom);
      if (Math.max(...samples) > this.top - room || Math.min(...samples) < this.bottom + room) this.fit([this.samples, this.templates ?? [], samples]);
    }
    const line = (values) => path(Array.from(values, (mv, i) => [this.x(i), this.y(mv)]));
    this.beat.setAttribute("d", line(samples ?? this.samples));
    this.original.setAttribute("d", samples ? line(this.samples) : "");
    this.template.setAttribute("d", this.templates ? line(this.templates.subarray(0, BEAT)) : "");
    this.steady.setAttribute("d", this.templates ? line(this.templates.subarray(BEAT)) : "");
  }

  colour(state) {
    this.beat.setAttribute("class", `beat ${state}`);
  }

  y(mv) {
    return ((this.top - mv) / (this.top - this.bottom)) * this.high;
  }

  fit(rows) {
    const low = Math.min(-0.2, ...rows.map((row) => Math.min(...row)));
    const high = Math.max(0.4, ...rows.map((row) => Math.max(...row)));
    this.bottom = low - 0.22 * (high - low);
    this.top = high + 0.22 * (high - low);
    this.drawGrid();
  }

  // ECG paper: 40 ms and 0.1 mV, every fifth line stronger; 0.5 mV apart where the beat is tall.
  drawGrid() {
    const { wide, high } = this;
    const lines = [];
    const every = wide < 500 ? 400 : 200; // ms between numbers
    const step = this.top - this.bottom > 8 ? 0.5 : 0.1;
    for (let ms = -480; ms <= 1000; ms += 40) {
      const at = this.x(R + (ms / 1000) * FS_HZ);
      lines.push(svg("line", { x1: at, x2: at, y1: 0, y2: high, class: ms % 200 ? "fine" : "coarse" }));
      if (!(ms % every) && ms < 900) lines.push(svg("text", { x: at + 4, y: high - 6 }, ms ? `${ms} ms` : "R"));
    }
    for (let n = Math.ceil(this.bottom / step); n * step < this.top; n++) {
      const at = this.y(n * step);
      lines.push(svg("line", { x1: 0, x2: wide, y1: at, y2: at, class: n % 5 ? "fine" : "coarse" }));
      if (!(n % 5)) lines.push(svg("text", { x: 5, y: at - 4 }, `${(n * step).toFixed(1)} mV`));
    }
    this.grid.replaceChildren(...lines);
  }
}
