// What the model is and how good it is: the short table of the README, ROC, histogram of scores.

import { element } from "./format.js";
import { TICKS, path, share, svg } from "./scale.js";

const SIDE = 300;
const FPR_MIN = 0.001;
const CLASSES = [["N", "normal"], ["S", "supraventricular"], ["V", "ventricular"], ["F", "fusion"]];
const BIN_HEIGHT = 200;

export class Figures {
  constructor(index) {
    this.root = element("div", "figures");
    const { curves, model } = index;
    this.marker = svg("line", { class: "marker", y1: 0, y2: BIN_HEIGHT, visibility: "hidden" });
    if (curves) this.root.append(this.rates(curves), roc(curves));
    this.root.append(about(model, curves));
    if (curves) this.root.append(this.histogram(curves));
    this.root.append(limits());
  }

  rates({ figures, note, decisions, without }) {
    const box = element("div", "panel");
    box.append(element("h3", "", "Measured"));
    const table = element("table", "list");
    const head = element("tr");
    head.append(element("th", "", "figure"), element("th", "number", "ours"), element("th", "number", "reference"));
    table.append(head);
    const { rates, intervals } = decisions[`gross_without_${without}`];
    const percent = (value) => (100 * value).toFixed(1);
    const kinds = [["ventricular beats found¹", "veb_se"], ["supraventricular beats found¹", "sveb_se"]]
      .map(([name, key]) => [name, `${percent(rates[key])} %`, `${percent(intervals[key][0])} to ${percent(intervals[key][1])} (95 %)`]);
    const at = figures.findIndex(([name]) => name.startsWith("abnormal beats found")) + 1;
    for (const [name, value, reference] of [...figures.slice(0, at), ...kinds, ...figures.slice(at)]) {
      const row = element("tr");
      row.append(element("td", "", name), element("td", "number strong", value), element("td", "number dim", reference));
      table.append(row);
    }
    const all = decisions.gross.rates;
    box.append(table, element("p", "dim small",
      `${note} In record ${without} most beats are abnormal, so they become the usual beat: with it, ` +
      `${percent(all.abnormal_se)} % of all abnormal and ${percent(all.sveb_se)} % of the supraventricular beats are found.`));
    return box;
  }

  histogram({ histogram }) {
    const box = element("figure", "panel chart wide");
    box.append(element("h3", "", "Score of new patients' beats, by annotated class"));
    const width = window.innerWidth < 640 ? 420 : 1000;
    const picture = svg("svg", { viewBox: `-34 -8 ${width + 44} ${BIN_HEIGHT + 42}`, role: "img" });
    picture.setAttribute("aria-label", "Histogram of scores by class, each class scaled to its own number of beats");
    for (const tick of TICKS) {
      const x = share(tick) * width;
      picture.append(svg("line", { x1: x, x2: x, y1: 0, y2: BIN_HEIGHT, class: "gridline" }), svg("text", { x, y: BIN_HEIGHT + 16, class: "tick" }, String(tick)));
    }
    const step = (histogram.high - histogram.low) / histogram.bins;
    const density = (counts) => {
      const total = counts.reduce((a, b) => a + b, 0);
      return counts.map((count, i) => count / total / ((share(histogram.low + (i + 1) * step) - share(histogram.low + i * step)) * 20));
    };
    const all = CLASSES.map(([name]) => density(histogram.counts[name]));
    const top = Math.max(...all.flat());
    all.forEach((values, n) => {
      const points = [];
      values.forEach((value, i) => {
        const y = BIN_HEIGHT * (1 - Math.sqrt(value / top));
        points.push([share(histogram.low + i * step) * width, y], [share(histogram.low + (i + 1) * step) * width, y]);
      });
      const [name] = CLASSES[n];
      const line = path([[points[0][0], BIN_HEIGHT], ...points, [points.at(-1)[0], BIN_HEIGHT]]);
      picture.append(svg("path", { d: line, class: `class-${name} area` }), svg("path", { d: line, class: `class-${name} line` }));
    });
    this.width = width;
    picture.append(this.marker, svg("text", { x: width / 2, y: BIN_HEIGHT + 32, class: "axis" }, "score (higher = more anomalous)"));
    picture.append(svg("text", { x: -BIN_HEIGHT / 2, y: -14, class: "axis", transform: "rotate(-90)" }, "share of the class, square root"));
    box.append(picture, legend(CLASSES.map(([name, text]) => [`class-${name} line`, `${name}: ${text}`]).concat([["marker", "the beat above"]])));
    return box;
  }

  // The score of the beat in the inspector.
  mark(score) {
    if (!this.width) return;
    const x = share(score) * this.width;
    this.marker.setAttribute("x1", x);
    this.marker.setAttribute("x2", x);
    this.marker.setAttribute("visibility", "visible");
  }
}

function roc({ roc: lines }) {
  const box = element("figure", "panel chart");
  box.append(element("h3", "", "ROC"));
  const picture = svg("svg", { viewBox: `-62 -8 ${SIDE + 84} ${SIDE + 50}`, role: "img" });
  picture.setAttribute("aria-label", lines.map((line) => `${line.name}: AUROC ${line.auroc.toFixed(3)}`).join("; "));
  const x = (fpr) => (Math.log10(Math.max(fpr, FPR_MIN) / FPR_MIN) / -Math.log10(FPR_MIN)) * SIDE;
  const y = (tpr) => (1 - tpr) * SIDE;
  for (const fpr of [0.001, 0.01, 0.1, 1]) {
    picture.append(svg("line", { x1: x(fpr), x2: x(fpr), y1: 0, y2: SIDE, class: "gridline" }), svg("text", { x: x(fpr), y: SIDE + 16, class: "tick" }, `${+(100 * fpr).toPrecision(2)} %`));
  }
  for (const tpr of [0, 0.25, 0.5, 0.75, 1]) {
    picture.append(svg("line", { x1: 0, x2: SIDE, y1: y(tpr), y2: y(tpr), class: "gridline" }), svg("text", { x: -6, y: y(tpr) + 4, class: "tick end" }, `${100 * tpr} %`));
  }
  lines.forEach((line, n) => picture.append(svg("path", { d: path(line.points.filter(([fpr]) => fpr >= FPR_MIN).map(([fpr, tpr]) => [x(fpr), y(tpr)])), class: `roc-${n}` })));
  picture.append(svg("text", { x: SIDE / 2, y: SIDE + 34, class: "axis" }, "normal beats called abnormal (logarithmic)"));
  picture.append(svg("text", { x: -SIDE / 2, y: -48, class: "axis", transform: "rotate(-90)" }, "abnormal beats found"));
  box.append(picture, legend(lines.map((line, n) => [`roc-${n}`, `${line.name}: AUROC ${line.auroc.toFixed(3)}`])));
  return box;
}

function legend(entries) {
  const key = element("figcaption", "legend");
  for (const [name, text] of entries) {
    const item = element("span");
    const sample = svg("svg", { viewBox: "0 0 28 8", class: "sample" });
    sample.append(svg("path", { d: "M0 4L28 4", class: name }));
    item.append(sample, document.createTextNode(text));
    key.append(item);
  }
  return key;
}

function about(model, curves) {
  const box = element("div", "panel prose");
  box.append(element("h3", "", "What the model is"));
  for (const text of [
    "A small convolutional network compares a beat (187 samples, 1.5 s) with the patient's own usual beat and rhythm. A masked " +
      "autoregressive flow gives the exact log-likelihood of what it sees. Both learned from normal beats alone; no abnormal beat shaped a weight.",
    "The score sums up all evidence; higher is more anomalous. Each patient has a limit: it starts from the training patients and follows " +
      `this patient's beats, so that about ${(100 * model.calibration.alpha).toFixed(0)} normal beat in a hundred lies above it.`,
    `${model.name}, version ${model.version}, SHA-256 ${model.sha256.slice(0, 12)}. Trained on ${model.training_data}.`,
  ]) box.append(element("p", "", text));
  if (!curves) box.append(element("p", "dim", "The curves of this model file have not been measured."));
  return box;
}

function limits() {
  const box = element("div", "panel prose caveats");
  box.append(element("h3", "", "What it is not"));
  const list = element("ul");
  for (const text of [
    "No medical device, and no diagnosis: it has no approval of any kind.",
    "One lead, adults, one laboratory. Nothing is known for children, paced patients or other leads.",
    "Not reliable where most beats are abnormal from the start: they become the usual beat.",
    "It reads no pictures of ECGs. Public programs that turn scans into signals fail on many users' scans, and a wrong trace would get a confident score. It needs the samples.",
    "Filter, R-peaks and alarms of the shipped recordings come from ecg-monitor in Python. For your own recordings this page has a simpler filter and R-peak finder, and no alarms.",
  ]) list.append(element("li", "", text));
  box.append(list);
  return box;
}
