// Beat inspector: one beat over the patient's usual beat, its score against the limit, and the reasons.

import { AFTER_S, BEFORE_S, plotBeat } from "./beat_plot.js";
import { pixelRatio } from "./canvas.js";
import { button } from "./controls.js";
import { clock, element, kindWords, MARKS, number, qualityWords, setClass, setText } from "./format.js";

const NORMAL_BEATS = 32; // of the median
const FEWEST = 3; // normal beats for a median
const KEPT = 400; // cut beats

export class Inspector {
  constructor(store, connection) {
    this.store = store;
    this.connection = connection;
    this.bed = null;
    this.beat = null; // the chosen one; it stays chosen when it is no longer among the bed's last beats
    this.cuts = new Map(); // R-peak -> Float32Array of mV
    this.root = element("dialog", "inspector");
    this.root.setAttribute("aria-label", "Beat inspector");
    this.build();
    this.root.addEventListener("keydown", (event) => this.keydown(event));
    this.root.addEventListener("cancel", (event) => {
      event.preventDefault();
      this.close();
    });
    store.addEventListener("beat", (event) => event.detail.bed === this.bed && this.root.open && (this.changed = true));
  }

  build() {
    const head = element("div", "inspector-head");
    this.title = element("h1");
    this.alarm = element("span");
    const close = button("Close", () => this.close(), "Esc");
    head.append(this.title, this.alarm, close);
    const box = element("div", "beat-box");
    this.canvas = element("canvas");
    this.canvas.setAttribute("aria-label", "no beat yet");
    this.canvas.setAttribute("role", "img");
    box.append(this.canvas);
    this.legend = element("p", "dim");
    const steps = element("div", "steps");
    this.buttons = {
      anomalyBefore: button("◀ ▲", () => this.anomaly(-1), "earlier anomalous beat (Shift + left)"),
      before: button("◀", () => this.step(-1), "beat before (left)"),
      after: button("▶", () => this.step(1), "beat after (right)"),
      anomalyAfter: button("▲ ▶", () => this.anomaly(1), "later anomalous beat (Shift + right, n)"),
      newest: button("newest", () => this.choose(this.bed?.beats.at(-1)), "newest beat (End)"),
    };
    steps.append(...Object.values(this.buttons));
    const left = element("div", "inspector-beat");
    left.append(box, this.legend, steps);
    this.verdict = element("p", "verdict");
    this.bar = element("div", "score-bar");
    this.bar.setAttribute("role", "img");
    this.fillBar = element("div", "fill");
    this.limitMark = element("div", "limit");
    this.bar.append(this.fillBar, this.limitMark);
    this.margin = element("p", "number");
    this.facts = element("dl", "facts");
    const listHead = element("h2", "", "Anomalous beats, newest first");
    this.list = element("ol", "beat-list");
    const right = element("div", "inspector-facts");
    right.append(this.verdict, this.bar, this.margin, this.facts, listHead, this.list);
    const body = element("div", "inspector-body");
    body.append(left, right);
    this.root.append(head, body);
    this.rows = new Map();
  }

  // Another bed, or the same one in another run of its monitor.
  show(bed) {
    if (bed === this.bed) return;
    this.bed = bed;
    this.beat = null;
    this.changed = true;
    this.cuts.clear();
    this.rows.clear();
    this.list.replaceChildren();
  }

  open(bed) {
    if (!bed) return;
    this.show(bed);
    this.from = document.activeElement;
    if (!this.root.open) this.root.showModal();
    this.choose(this.bed.beats.findLast((beat) => beat.anomalous) ?? this.bed.beats.at(-1));
    this.update();
  }

  close() {
    this.root.close();
    this.from?.focus?.();
  }

  keydown(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const { key, shiftKey } = event;
    if (key === "Escape" || key === "i") this.close();
    else if (key === "ArrowLeft") shiftKey ? this.anomaly(-1) : this.step(-1);
    else if (key === "ArrowRight") shiftKey ? this.anomaly(1) : this.step(1);
    else if (key === "n") this.anomaly(1);
    else if (key === "p") this.anomaly(-1);
    else if (key === "Home") this.choose(this.bed.beats[0]);
    else if (key === "End") this.choose(this.bed.beats.at(-1));
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // The nearest beat before (-1) or after (1) the chosen one for which `fits` holds.
  near(way, fits) {
    if (!this.bed) return null;
    if (!this.beat) return this.bed.beats.at(-1) ?? null;
    const r = this.beat.r_sample;
    return way < 0 ? this.bed.beats.findLast((beat) => beat.r_sample < r && fits(beat)) : this.bed.beats.find((beat) => beat.r_sample > r && fits(beat));
  }

  step(way) {
    this.choose(this.near(way, () => true));
  }

  anomaly(way) {
    this.choose(this.near(way, (beat) => beat.anomalous));
  }

  choose(beat) {
    if (!beat) return;
    this.beat = beat;
    this.changed = true;
    this.fetchMissing();
    this.update();
  }

  // Beats whose signal has left the page's memory, or came before it: from the monitor.
  async fetchMissing() {
    const { bed, beat } = this;
    const ring = bed.rings.filtered;
    const fsHz = bed.fsHz;
    if (!fsHz || this.cuts.has(beat.r_sample) || (ring && ring.begin !== null && beat.r_sample - BEFORE_S * fsHz >= ring.begin)) return;
    const first = beat.r_sample - Math.round(5 * fsHz);
    try {
      const reply = await this.connection.request({ op: "strip", monitor: bed.monitor.number, bed: bed.name, first_sample: first, n: Math.round(10 * fsHz) });
      if (!reply.ok || bed !== this.bed) return;
      const samples = reply.data.filtered_mv;
      this.cutFrom(reply.data.first_sample, reply.data.first_sample + samples.length, reply.data.fs_hz, (at) => samples[at - reply.data.first_sample] ?? NaN);
    } catch {
      // the connection is lost: the page says so elsewhere
    }
  }

  // Cut all beats between two samples; `value` returns mV, NaN where there is none.
  cutFrom(first, end, fsHz, value) {
    const before = Math.round(BEFORE_S * fsHz);
    const n = before + Math.round(AFTER_S * fsHz) + 1;
    const wanted = this.beat && !this.bed.beats.includes(this.beat) ? [...this.bed.beats, this.beat] : this.bed.beats;
    for (const { r_sample: r } of wanted) {
      if (this.cuts.has(r) || r - before < first || r - before + n > end) continue;
      const cut = Float32Array.from({ length: n }, (_, i) => value(r - before + i));
      if (cut.every(Number.isNaN)) continue;
      this.cuts.set(r, cut);
      this.changed = true;
    }
    for (const r of this.cuts.keys()) {
      if (this.cuts.size <= KEPT) break;
      if (r !== this.beat?.r_sample) this.cuts.delete(r);
    }
  }

  // Called a few times a second, also while closed, so that the beats of this bed are there when it opens.
  update(bed = this.bed) {
    const shown = this.root.open ? this.store.bed(this.bed.key) ?? this.bed : bed;
    if (shown) this.show(shown);
    const ring = this.bed?.rings.filtered;
    if (ring?.end) this.cutFrom(ring.begin, ring.end, ring.fsHz, (at) => ring.at(at));
    if (!this.root.open) return;
    if (!this.beat && this.bed.beats.length) this.choose(this.bed.beats.at(-1));
    this.updateHead();
    if (this.changed) {
      this.changed = false;
      this.updateFacts();
      this.updateList();
      this.drawn = "";
    }
    const { beat } = this;
    const age = beat && this.bed.fsHz ? Math.max(0, (this.bed.sample - beat.r_sample) / this.bed.fsHz) : null;
    if (this.ageText) setText(this.ageText, age === null ? "–" : `${clock(age)} ago (sample ${beat.r_sample})`);
    this.buttons.before.disabled = !this.near(-1, () => true);
    this.buttons.after.disabled = !this.near(1, () => true);
    this.buttons.anomalyBefore.disabled = !this.near(-1, (each) => each.anomalous);
    this.buttons.anomalyAfter.disabled = !this.near(1, (each) => each.anomalous);
    this.draw();
  }

  // The bed's rate and its top alarm stay in sight.
  updateHead() {
    const rate = this.bed.shownRate();
    setText(this.title, `${this.bed.label}: ${rate === null ? "---" : Math.round(rate)} bpm`);
    const top = this.bed.topAlarm();
    const live = this.bed.condition() === "live";
    setClass(this.alarm, top && live ? `mark ${top.priority}` : live ? "good" : "bad");
    setText(this.alarm, !live ? this.bed.condition().replaceAll("_", " ").toUpperCase() : top ? `${MARKS[top.priority]} ${kindWords(top.kind)} ${top.state}` : "no active alarms");
  }

  updateFacts() {
    const { beat } = this;
    const scored = beat && beat.score !== null && beat.threshold !== null;
    setText(this.verdict, !beat ? "no beat yet" : !scored ? `○ not scored: ${qualityWords(beat.quality)}` : beat.anomalous ? `▲ anomalous${beat.words.length ? `: ${beat.words.join(", ")}` : ""}` : "╵ normal");
    setClass(this.verdict, `verdict ${beat?.anomalous ? "bad" : ""}`);
    this.bar.hidden = this.margin.hidden = !scored;
    if (scored) {
      const low = Math.min(0, beat.score);
      const full = Math.max(beat.score, beat.threshold * 2, 1) - low;
      this.fillBar.style.width = `${(100 * (beat.score - low)) / full}%`;
      this.limitMark.style.left = `${(100 * (beat.threshold - low)) / full}%`;
      setClass(this.fillBar, beat.anomalous ? "fill over" : "fill");
      const margin = beat.score - beat.threshold;
      const words = `score ${number(beat.score)}, limit ${number(beat.threshold)}: ${number(Math.abs(margin))} ${margin > 0 ? "above" : "below"} it`;
      setText(this.margin, words);
      this.bar.setAttribute("aria-label", words);
    }
    const known = (value, words) => (value === null || value === undefined ? "–" : words(value));
    const facts = beat ? [
      ["R-peak", ""],
      ["log p", known(beat.log_prob, (value) => `${number(value)} nats`)],
      ["p-value", known(beat.p_value, (value) => String(+value.toPrecision(2)))],
      ["RR before", known(beat.rr_s, (value) => `${number(value, 3)} s (${Math.round(60 / value)} bpm)`)],
      ["reasons", beat.words.join(", ") || "–"],
      ["paced", beat.paced ? "yes: a pacing pulse before the R-peak" : "no"],
      ["signal", qualityWords(beat.quality)],
    ] : [];
    this.facts.replaceChildren(...facts.flatMap(([name, value]) => [element("dt", "", name), element("dd", "number", value)]));
    this.ageText = this.facts.querySelector("dd");
  }

  updateList() {
    const odd = this.bed.beats.filter((beat) => beat.anomalous).reverse();
    const wanted = new Set(odd.map((beat) => beat.r_sample));
    for (const [r, row] of this.rows) {
      if (!wanted.has(r)) {
        row.remove();
        this.rows.delete(r);
      }
    }
    odd.forEach((beat, place) => {
      let row = this.rows.get(beat.r_sample);
      if (!row) {
        row = element("li");
        const open = button("", () => this.choose(beat));
        open.append(element("span", "number", beat.time.slice(11, 19)), element("span", "number", number(beat.score)), element("span", "", beat.words.join(", ")));
        row.append(open);
        this.rows.set(beat.r_sample, row);
      }
      row.firstChild.setAttribute("aria-pressed", String(beat.r_sample === this.beat?.r_sample));
      if (this.list.children[place] !== row) this.list.insertBefore(row, this.list.children[place] ?? null);
    });
    if (!odd.length) this.list.replaceChildren(element("li", "dim", "none among the last beats"));
    else for (const node of [...this.list.children]) if (node.className === "dim") node.remove();
  }

  // Median of the patient's normal beats nearest to the chosen one, sample by sample.
  usual() {
    const r = this.beat.r_sample;
    const normal = this.bed.beats.filter((beat) => !beat.anomalous && beat.score !== null && beat.r_sample !== r && this.cuts.has(beat.r_sample));
    normal.sort((a, b) => Math.abs(a.r_sample - r) - Math.abs(b.r_sample - r));
    const cuts = normal.slice(0, NORMAL_BEATS).map((beat) => this.cuts.get(beat.r_sample));
    if (cuts.length < FEWEST) return { beats: cuts.length, median: null };
    const median = Float32Array.from(cuts[0], (_, i) => {
      const values = cuts.map((cut) => cut[i]).filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
      const half = values.length >> 1;
      return values.length ? (values.length % 2 ? values[half] : (values[half - 1] + values[half]) / 2) : NaN;
    });
    return { beats: cuts.length, median };
  }

  draw() {
    const { canvas, bed, beat } = this;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    const state = `${beat?.r_sample} ${width} ${height} ${pixelRatio()} ${document.documentElement.dataset.theme}`;
    if (state === this.drawn || !width) return;
    this.drawn = state;
    const cut = beat && this.cuts.get(beat.r_sample);
    const { beats, median } = beat ? this.usual() : { beats: 0, median: null };
    setText(this.legend, !beat ? "" : (cut ? "" : "The signal of this beat is not known here any more, or has not come yet. ")
      + (median ? `Thick line: median of ${beats} normal beats of this patient. Thin line: the chosen beat. 0.5–40 Hz.` : "Too few normal beats for this patient's usual beat."));
    canvas.setAttribute("aria-label", beat ? `Beat at sample ${beat.r_sample} over the median of ${beats} normal beats` : "no beat yet");
    if (!cut && !median) {
      plotBeat(canvas, []);
      return;
    }
    const before = Math.round(BEFORE_S * bed.fsHz);
    const lines = [
      median && { values: median, fsHz: bed.fsHz, before, ink: "--dim", width: 6, alpha: 0.55 },
      cut && { values: cut, fsHz: bed.fsHz, before, ink: beat.anomalous ? "--anomalous" : "--trace", width: 2 },
    ].filter(Boolean);
    plotBeat(canvas, lines, bed.pulses.map((pulse) => (pulse - beat.r_sample) / bed.fsHz));
  }
}
