// The demo: choose a recording, watch it, look at its beats, bend them, bring one's own.

import { judgeAll } from "./baseline.js";
import { button, showKeys } from "./controls.js";
import { DropBox } from "./dropbox.js";
import { Figures } from "./figures.js";
import { clock, element, setClass, setText } from "./format.js";
import { Inspector } from "./inspector.js";
import { Model } from "./model.js";
import { Player } from "./player.js";
import { fetchJson, loadRecording } from "./recording.js";
import { selftest } from "./selftest.js";
import { startTheme, toggleTheme } from "./theme.js";
import { explain, measure } from "./words.js";

const KEYS = [
  ["space", "play or pause"], ["← →", "beat before, next beat"], ["r", "a random beat"], ["0", "reset the bent beat"],
  ["n p", "next, previous recording"], ["t", "dark or light"], ["?", "this page"],
  ["on the beat: ← → ↑ ↓", "choose a place and bend it"], ["on the overview: ← →", "5 s back or forward"],
];
const SIGNS = [
  "!!! high   !! medium   ! low priority of an alarm. A high alarm stays until it is acknowledged (latched).",
  "▲ anomalous beat   ╵ normal beat   ○ beat not scored. A line over the whole trace is a pacing pulse.",
];
const byId = (id) => document.getElementById(id);

function fail(text) {
  byId("failure").hidden = false;
  setText(byId("failure"), text);
}

class Demo {
  constructor(index, model) {
    this.index = index;
    this.model = model;
    this.own = [];
    this.player = new Player();
    this.inspector = new Inspector(model, index);
    this.figures = new Figures(index);
    this.caption = element("p", "caption");
    byId("stage").append(this.caption, this.player.root);
    byId("inspector").append(this.inspector.root);
    byId("drop").append(new DropBox(index, (recording) => this.add(recording)).root);
    byId("figures-body").append(this.figures.root);
    setText(byId("foot"), `ecg-monitor ${index.version} · ${index.runtime} (MIT license) · model ${index.model.name} version ${index.model.version} · not a medical device`);
    this.player.addEventListener("beat", (event) => this.inspector.followed(event.detail));
    this.inspector.addEventListener("chosen", (event) => (this.player.timeline.chosen = event.detail));
    this.inspector.addEventListener("score", (event) => this.figures.mark(event.detail));
    this.buildPicker();
    let before = performance.now();
    const frame = (now) => {
      this.player.frame((now - before) / 1000);
      before = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  buildPicker() {
    const groups = [["Yours", this.own.map((one) => one.facts)], ["Real records", this.index.recordings.filter((one) => !one.spec.startsWith("sim:"))],
      ["Synthetic patients", this.index.recordings.filter((one) => one.spec.startsWith("sim:"))]];
    byId("picker").replaceChildren(...groups.filter(([, entries]) => entries.length).map(([name, entries]) => {
      const group = element("div", "group");
      group.append(element("h3", "", name));
      const list = element("div", "chips");
      for (const entry of entries) {
        const chip = button(entry.title, () => this.open(entry.key));
        chip.dataset.key = entry.key;
        chip.setAttribute("aria-pressed", String(entry.key === this.key));
        list.append(chip);
      }
      group.append(list);
      return group;
    }));
  }

  // Opens a recording by its key; the last one asked for wins.
  async open(key) {
    this.key = key;
    for (const chip of byId("picker").querySelectorAll("[data-key]")) chip.setAttribute("aria-pressed", String(chip.dataset.key === key));
    try {
      const recording = this.own.find((one) => one.facts.key === key) ?? (await loadRecording(key, this.index));
      if (this.key === key) this.show(recording);
    } catch (error) {
      fail(`The recording ${key} cannot be loaded (${error.message}). Reload the page.`);
    }
  }

  show(recording) {
    const { facts } = recording;
    judgeAll(recording, recording.beats.map((_, at) => recording.score(at)), this.index.model);
    const part = facts.own ? "" : facts.training ? " A training patient: the model has seen its normal beats." : "";
    this.caption.replaceChildren(element("span", "", `${facts.text}${part} `), element("span", "dim", `${clock(recording.seconds)} min, ${recording.beats.length} beats. Source: ${facts.credit}.`));
    this.player.show(recording);
    this.player.toggle(recording.end > recording.first);
    this.inspector.follow.checked = !facts.own;
    this.inspector.show(recording);
    if (!facts.own) history.replaceState(null, "", `#${facts.key}`);
    setText(byId("announce"), `${facts.title}: ${recording.beats.length} beats`);
  }

  // Scores a visitor's recording, and opens it. Returns a line on the result.
  async add(recording) {
    const which = recording.beats.map((_, at) => at);
    const began = performance.now();
    const found = await this.model.scoreMany(recording, which);
    const took = performance.now() - began;
    for (const at of which) recording.arrays.scores.set([found.logProb[at], found.score[at]], 2 * at);
    const verdicts = judgeAll(recording, found.score, this.index.model);
    verdicts.forEach((verdict, at) => {
      const beat = recording.beats[at];
      Object.assign(beat, { p_value: verdict.pValue, threshold: verdict.threshold, anomalous: verdict.anomalous });
      if (verdict.anomalous) beat.words = explain(measure(recording.samples(at), recording.template(at), recording.values(at))).map(([word]) => word);
    });
    this.own = [recording, ...this.own.filter((one) => one.facts.key !== recording.facts.key)];
    this.buildPicker();
    await this.open(recording.facts.key);
    const odd = verdicts.filter((verdict) => verdict.anomalous).length;
    return `${recording.facts.text} ${odd} of ${which.length} anomalous, scored in ${took.toFixed(0)} ms.`;
  }

  move(by) {
    const keys = [...byId("picker").querySelectorAll("[data-key]")].map((chip) => chip.dataset.key);
    this.open(keys[(keys.indexOf(this.key) + by + keys.length) % keys.length]);
  }

  press(event) {
    const { inspector, player } = this;
    const actions = {
      " ": () => player.toggle(), ArrowLeft: () => inspector.step(-1), ArrowRight: () => inspector.step(1), r: () => inspector.random(),
      0: () => inspector.reset(), n: () => this.move(1), p: () => this.move(-1),
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  }
}

const showHelp = () => showKeys(byId("help-page"), element("h2", "", "Keys"), KEYS, SIGNS);

async function start() {
  startTheme();
  byId("theme").addEventListener("click", toggleTheme);
  byId("help").addEventListener("click", showHelp);
  const wanted = location.hash.slice(1);
  const index = await fetchJson("index.json");
  const model = await Model.load("model.onnx");
  setText(byId("link"), "● model ready");
  setClass(byId("link"), "good");
  const demo = new Demo(index, model);
  window.addEventListener("hashchange", () => {
    const key = location.hash.slice(1);
    if (key !== demo.key && index.recordings.some((one) => one.key === key)) demo.open(key);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("help-page").open) return;
    if (event.target.closest?.("input, select, textarea") || (event.key === " " && event.target.closest?.("button, a"))) return;
    if (event.key === "t") toggleTheme();
    else if (event.key === "?") showHelp();
    else demo.press(event);
  });
  await demo.open(index.recordings.some((one) => one.key === wanted) ? wanted : index.recordings[0].key);
  if (new URLSearchParams(location.search).has("selftest")) {
    const result = await selftest(index, model);
    byId("selftest").hidden = false;
    setText(byId("selftest"), JSON.stringify(result, null, 1));
  }
}

start().catch((error) => {
  setText(byId("link"), "✕ not loaded");
  setClass(byId("link"), "bad");
  fail(`The demo cannot start: ${error.message}. Serve its folder over HTTP, e.g. with: python -m http.server -d DIR`);
});
