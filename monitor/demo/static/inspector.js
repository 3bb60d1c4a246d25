// One beat over the patient's usual one: numbers, words, and tools that bend it while the model scores it again.

import { PatientReference } from "./baseline.js";
import { Bend, PLAIN } from "./bend.js";
import { button, choice } from "./controls.js";
import { element, number, qualityWords, setClass, setText } from "./format.js";
import { Meter } from "./meter.js";
import { BeatPlot } from "./plot.js";
import { path, svg } from "./scale.js";
import { explain, measure } from "./words.js";

const RIBBON = 9; // thumbnails
const CLASS_WORDS = { N: "normal", S: "supraventricular", V: "ventricular", F: "fusion", Q: "paced or unknown" };
const VERDICTS = {
  all: ["all beats", () => true],
  anomalous: ["anomalous", (beat) => beat.anomalous],
  normal: ["normal", (beat, scored) => scored && !beat.anomalous],
  unscored: ["not scored", (beat, scored) => !scored],
  missed: ["missed: annotated abnormal, called normal", (beat, scored) => scored && !beat.anomalous && "SVF".includes(beat.class || "-")],
  false: ["false: annotated normal, called anomalous", (beat) => beat.anomalous && beat.class === "N"],
};
const SLIDERS = [
  ["widen", "QRS width", 0.7, 2.5, 0.05, (value) => `× ${value.toFixed(2)}`],
  ["height", "QRS height", -1.5, 2, 0.05, (value) => `× ${value.toFixed(2)}`],
  ["t", "T wave", -2, 2.5, 0.05, (value) => (value < 0 ? `inverted × ${(-value).toFixed(2)}` : `× ${value.toFixed(2)}`)],
  ["early", "earlier by", 0, 0.5, 0.01, (value) => `${(1000 * value).toFixed(0)} ms`],
  ["noise", "noise", 0, 0.3, 0.005, (value) => `${value.toFixed(3)} mV rms`],
];
const PRESETS = [
  ["Ventricular", { widen: 2.2, height: 1.4, t: -1.2, early: 0.3 }], ["Premature", { early: 0.3 }],
  ["Inverted T", { t: -1 }], ["Small", { height: 0.45 }], ["Noisy", { noise: 0.12 }],
];

export class Inspector extends EventTarget {
  constructor(model, index) {
    super();
    this.model = model;
    this.index = index;
    this.reference = new PatientReference(index.model.calibration);
    this.recording = null;
    this.at = null;
    this.bend = new Bend();
    this.run = 0;
    this.plot = new BeatPlot((place, mv, width) => this.bending(() => this.bend.pull(place, mv, width)));
    this.meter = new Meter();
    this.root = element("div", "workbench");
    this.root.append(this.buildTools(), this.plot.root, this.buildFacts(), this.buildBench());
  }

  buildTools() {
    const tools = element("div", "beat-tools");
    this.verdict = choice("Verdict", Object.entries(VERDICTS).map(([key, [text]]) => [key, text]), "all", () => this.filter());
    this.kind = choice("Annotated class", [["", "any class"], ...Object.entries(CLASS_WORDS).map(([key, text]) => [key, `${key}: ${text}`])], "", () => this.filter());
    this.position = element("span", "number dim");
    this.follow = element("input");
    this.follow.type = "checkbox";
    this.follow.checked = true;
    const following = element("label", "check");
    following.append(this.follow, document.createTextNode("follow the trace"));
    tools.append(
      button("‹ Before", () => this.step(-1)), button("Next ›", () => this.step(1)), button("Random", () => this.random()),
      this.verdict, this.kind, following, this.position,
    );
    this.ribbon = element("div", "ribbon");
    const box = element("div", "beat-head");
    box.append(tools, this.ribbon);
    return box;
  }

  buildFacts() {
    const box = element("div", "panel beat-facts");
    this.headline = element("p", "beat-verdict");
    this.words = element("ul", "words-list");
    this.list = element("dl");
    this.note = element("p", "dim small");
    box.append(this.headline, this.meter.root, this.words, this.list, this.note);
    return box;
  }

  buildBench() {
    const box = element("div", "panel bench");
    const head = element("div", "bench-head");
    head.append(element("h3", "", "Bend it"), element("span", "dim", "drag the curve, or move a slider: the model scores each change"));
    this.sliders = {};
    const grid = element("div", "sliders");
    for (const [key, name, low, high, step, words] of SLIDERS) {
      const label = element("label");
      const input = element("input");
      Object.assign(input, { type: "range", min: low, max: high, step, value: PLAIN[key] });
      const shown = element("output", "number");
      input.addEventListener("input", () => this.bending(() => (this.bend.set[key] = Number(input.value))));
      label.append(element("span", "", name), input, shown);
      this.sliders[key] = [input, shown, words];
      grid.append(label);
    }
    const presets = element("div", "presets");
    for (const [name, set] of PRESETS) {
      presets.append(button(name, () => this.bending(() => {
        this.bend.reset();
        Object.assign(this.bend.set, set);
      })));
    }
    this.resetting = button("Reset", () => this.reset());
    presets.append(this.resetting);
    box.append(head, grid, presets);
    return box;
  }

  show(recording) {
    this.recording = recording;
    this.kind.hidden = !recording.facts.annotated;
    for (const option of this.verdict.querySelectorAll("option")) {
      option.hidden = option.disabled = ["missed", "false"].includes(option.value) && !recording.facts.annotated;
    }
    this.verdict.querySelector("select").value = "all";
    this.kind.querySelector("select").value = "";
    this.at = null;
    this.filter();
  }

  // Beats that fit the chosen verdict and class.
  filter() {
    const { recording } = this;
    const fits = VERDICTS[this.verdict.querySelector("select").value][1];
    const kind = this.kind.querySelector("select").value;
    this.listed = recording.beats.map((_, at) => at)
      .filter((at) => fits(recording.beats[at], recording.scored(at)) && (!kind || recording.beats[at].class === kind));
    if (!this.listed.length) this.showNone();
    else if (this.at === null || !this.listed.includes(this.at)) this.choose(this.listed.find((at) => recording.template(at)) ?? this.listed[0]);
    else this.update();
  }

  step(by) {
    if (!this.listed?.length) return;
    this.follow.checked = false;
    const place = this.listed.findIndex((at) => at >= (this.at ?? 0));
    const here = place < 0 ? this.listed.length : place;
    const next = this.listed[here] === this.at || by < 0 ? here + by : here;
    this.choose(this.listed[(next + this.listed.length) % this.listed.length]);
  }

  random() {
    if (!this.listed?.length) return;
    this.follow.checked = false;
    this.choose(this.listed[Math.floor(Math.random() * this.listed.length)]);
  }

  // A beat was decided while the trace runs.
  followed(at) {
    if (this.follow.checked && this.listed.includes(at)) this.choose(at);
  }

  choose(at) {
    this.at = at;
    this.bend.reset();
    this.update();
    this.dispatchEvent(new CustomEvent("chosen", { detail: at }));
  }

  // A change by hand: the beat stays, also after a reset, while the trace runs on.
  bending(change) {
    this.follow.checked = false;
    change();
    this.rescore();
  }

  reset() {
    this.bending(() => this.bend.reset());
  }

  showNone() {
    setText(this.position, "no beat of this kind");
    this.ribbon.replaceChildren();
  }

  update() {
    const { recording, at } = this;
    this.plot.show(recording.samples(at), recording.templates(at));
    setText(this.position, `${this.listed.indexOf(at) + 1} of ${this.listed.length}`);
    this.drawRibbon();
    this.rescore();
  }

  drawRibbon() {
    const { recording } = this;
    const here = this.listed.indexOf(this.at);
    const first = Math.max(0, Math.min(here - Math.floor(RIBBON / 2), this.listed.length - RIBBON));
    const shown = this.listed.slice(first, first + RIBBON);
    const heights = shown.map((at) => recording.samples(at).slice(40, 120)).map((values) => Math.max(...values.map(Math.abs)));
    const top = Math.max(0.3, ...heights);
    this.ribbon.replaceChildren(...shown.map((at) => {
      const beat = recording.beats[at];
      const state = !recording.scored(at) ? "unscored" : beat.anomalous ? "anomalous" : "normal";
      const made = button("", () => {
        this.follow.checked = false;
        this.choose(at);
      });
      made.className = `thumb ${state}`;
      if (at === this.at) made.setAttribute("aria-current", "true");
      made.setAttribute("aria-label", `Beat ${at + 1}, ${state}${beat.class ? `, class ${beat.class}` : ""}`);
      const picture = svg("svg", { viewBox: "0 0 80 40", preserveAspectRatio: "none" });
      picture.append(svg("path", { d: path(Array.from(recording.samples(at).subarray(30, 130), (mv, i) => [i * 0.8, 22 - (mv / top) * 17])) }));
      const mark = { anomalous: "▲", unscored: "○", normal: "" }[state];
      made.append(picture, element("span", "", `${mark}${beat.class ? ` ${beat.class}` : ""}`));
      return made;
    }));
  }

  // Scores the bent beat; while a score is computed, only the newest change waits.
  async rescore() {
    this.showSliders();
    const { recording, at, bend } = this;
    const samples = bend.plain ? recording.samples(at) : bend.samples(recording.samples(at), (offset) => recording.near(at, offset));
    const values = bend.values(recording.values(at));
    this.plot.bent(bend.plain ? null : samples);
    const run = ++this.run;
    if (this.busy) return;
    this.busy = true;
    const began = performance.now();
    const found = await this.model.scoreOne(samples, recording.templates(at), values).finally(() => (this.busy = false));
    if (recording === this.recording && at === this.at) this.showScore(samples, values, found, performance.now() - began);
    if (run !== this.run && this.at !== null) this.rescore();
  }

  showSliders() {
    for (const [key, [input, shown, words]] of Object.entries(this.sliders)) {
      const value = this.bend.set[key];
      if (Number(input.value) !== value) input.value = value;
      setText(shown, words(value));
    }
    this.resetting.disabled = this.bend.plain;
  }

  showScore(samples, values, found, tookMs) {
    const { recording, at } = this;
    const beat = recording.beats[at];
    const plain = this.bend.plain;
    const score = Math.min(found.score, this.index.model.score_max);
    const verdict = this.reference.verdict(score, recording.usual[at]);
    const unscored = !recording.scored(at);
    const words = explain(measure(samples, recording.template(at), values));
    const head = unscored ? `○ not scored: ${qualityWords(beat.quality)}` : verdict.anomalous ? "▲ anomalous" : "✓ like this patient's normal beats";
    setText(this.headline, plain ? head : `${head}, bent`);
    setClass(this.headline, `beat-verdict ${unscored ? "dim" : verdict.anomalous ? "bad" : "good"}`);
    this.plot.colour(unscored ? "unscored" : verdict.anomalous ? "anomalous" : "normal");
    this.meter.show(score, verdict.threshold, plain ? null : recording.score(at));
    const spoken = words.length ? words : [[verdict.anomalous ? "unlikely shape" : "as usual", ""]];
    this.words.replaceChildren(...spoken.map(([word, text]) => {
      const item = element("li");
      item.append(element("b", "", word), document.createTextNode(text ? ` ${text}` : ""));
      return item;
    }));
    this.words.className = `words-list ${verdict.anomalous ? "strong" : ""}`;
    const margin = score - verdict.threshold;
    const rows = [
      ["score", number(score)], ["limit of this patient", number(verdict.threshold)],
      ["margin", `${margin > 0 ? "+" : ""}${number(margin)}`],
      ["p-value", verdict.pValue < 0.001 ? verdict.pValue.toExponential(1) : number(verdict.pValue, 3)],
      ["log p(x)", `${number(found.logProb, 1)} nats`],
      ["RR before", Number.isNaN(values[0]) ? "–" : `${number(values[0])} s`],
      ["time", `${number(recording.time(beat.r_sample), 1)} s`],
    ];
    if (recording.facts.annotated) rows.push(["annotated", beat.class ? `${beat.class}: ${CLASS_WORDS[beat.class]}` : "no beat here"]);
    this.list.replaceChildren(...rows.flatMap(([name, text]) => [element("dt", "", name), element("dd", "number", text)]));
    const python = recording.facts.own || unscored ? "" : `; Python: ${number(recording.score(at), 4)}`;
    setText(this.note, plain ? `Scored in this browser in ${tookMs.toFixed(1)} ms: ${number(score, 4)}${python}.`
      : "Scored as if the signal were good: the monitor would refuse a beat in too much noise.");
    this.dispatchEvent(new CustomEvent("score", { detail: score }));
  }
}
