// One bed: trace, rate with its limits, rhythm, signal, alarms, score trend, counters.

import { AlarmRows } from "./alarms.js";
import { button, choice } from "./controls.js";
import { CONDITION_WORDS, clock, compareLabels, dateTime, element, kindWords, number, qualityWords, setClass, setText } from "./format.js";
import { Sweep } from "./sweep.js";
import { Trend } from "./trend.js";

const WHY_S = 10;

export class BedView {
  constructor(store, connection, actions, inspect) {
    this.store = store;
    this.connection = connection;
    this.bed = null;
    this.wanted = "";
    this.root = element("section", "bed-view");
    this.alarms = element("div", "panel alarms");
    this.none = element("p", "all-clear");
    this.rows = new AlarmRows(actions, false);
    this.paused = element("p", "bad");
    this.alarms.append(this.none, this.rows.root, this.paused);
    this.buildTrace(actions, inspect);
    this.buildVitals();
    this.trend = new Trend();
    this.counters = element("div", "panel counters");
    this.list = element("dl");
    this.counters.append(element("h2", "", "Since start"), this.list);
    this.root.append(this.alarms, this.tracePanel, this.vitals, this.trend.root, this.counters);
    store.addEventListener("beat", (event) => {
      if (event.detail.bed === this.bed) this.sweep.mark(event.detail.beat);
    });
  }

  buildTrace(actions, inspect) {
    this.tracePanel = element("div", "panel trace-panel");
    const head = element("div", "trace-head");
    this.title = element("h1");
    this.source = element("span", "dim");
    this.speed = choice("Speed", [["12.5", "12.5 mm/s"], ["25", "25 mm/s"], ["50", "50 mm/s"]], "25", (value) => this.sweep.set({ speed: Number(value) }));
    this.gain = choice("Gain", [["auto", "auto"], ["5", "5 mm/mV"], ["10", "10 mm/mV"], ["20", "20 mm/mV"], ["40", "40 mm/mV"]], "10",
      (value) => this.sweep.set({ gain: value === "auto" ? value : Number(value) }));
    this.channel = choice("Signal", [["filtered", "0.5–40 Hz"], ["raw", "unfiltered"]], "filtered", (value) => this.sweep.set({ channel: value }));
    this.freezing = button("Freeze", () => this.freeze());
    const pause = button("Pause audio", () => actions.pauseAudio(this.bed));
    const beats = button("Beats", () => this.bed && inspect(this.bed), "Inspect single beats (i)");
    head.append(this.title, this.source, this.speed, this.gain, this.channel, this.freezing, pause, beats);
    const box = element("div", "trace-box");
    this.canvas = element("canvas");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", "ECG trace");
    this.cover = element("div", "cover");
    this.coverText = element("span");
    this.cover.append(this.coverText);
    box.append(this.canvas, this.cover);
    this.foot = element("div", "trace-foot");
    this.footTexts = [element("span"), element("span", "", "▲ anomalous  ╵ normal  ○ not scored"), element("span")];
    this.foot.append(...this.footTexts);
    this.tracePanel.append(head, box, this.foot);
    this.sweep = new Sweep(this.canvas, { marks: true });
  }

  buildVitals() {
    this.vitals = element("div", "panel vitals");
    const row = element("div", "rate-row");
    this.rate = element("span", "rate none");
    this.limits = element("span", "limits");
    this.high = element("span");
    this.low = element("span");
    this.limits.append(element("span", "dim", "bpm"), this.high, this.low);
    row.append(this.rate, this.limits);
    this.rhythm = element("div", "rhythm");
    this.quality = element("div");
    this.scored = element("div");
    this.rr = element("div", "number");
    this.why = element("div", "bad");
    this.hrv = element("div", "hrv");
    this.hrvTitle = element("h2", "", "Heart rate variability, 5 min");
    this.hrvFigures = element("dl");
    for (const name of ["SDNN", "RMSSD", "pNN50"]) {
      const pair = element("div");
      pair.append(element("dt", "", name), element("dd", "number"));
      this.hrvFigures.append(pair);
    }
    this.hrvWhy = element("p", "dim");
    this.hrv.append(this.hrvTitle, this.hrvFigures, this.hrvWhy);
    this.vitals.append(element("h2", "", "Heart rate"), row, this.rhythm, this.quality, this.scored, this.rr, this.why, this.hrv);
  }

  open(key) {
    this.wanted = key;
    this.unfreeze();
  }

  enter() {
    this.update();
    this.subscribe();
  }

  leave() {
    this.unfreeze();
  }

  subscribe() {
    if (this.root.isConnected) this.connection.setView(this.bed ? [this.bed] : [], this.bed ? [this.bed] : []);
  }

  // Shows the wanted bed once it is known; without one, the most urgent.
  settle() {
    const bed = (this.wanted && this.store.bed(this.wanted)) || (this.wanted ? null : this.store.ordered()[0] ?? null);
    if (bed !== this.bed) {
      this.bed = bed;
      if (bed) this.wanted = bed.key;
      this.sweep.show(bed);
      this.trend.show(bed);
      this.subscribe();
    }
  }

  freeze() {
    if (this.frozen) this.unfreeze();
    else {
      this.frozen = performance.now();
      this.sweep.frozen = true;
    }
    this.update();
  }

  unfreeze() {
    this.frozen = null;
    this.sweep.frozen = false;
  }

  chosen() {
    return this.bed;
  }

  press(key) {
    if (key === " ") this.freeze();
    else if (key === "b") {
      const beds = [...this.store.beds].sort((a, b) => compareLabels(a.label, b.label));
      const next = beds[(beds.indexOf(this.bed) + 1) % beds.length];
      if (next) location.hash = `#/bed/${encodeURIComponent(next.key)}`;
    } else if (key === "+" || key === "-") {
      const at = this.gain.firstChild.nextSibling;
      at.selectedIndex = Math.max(0, Math.min(at.options.length - 1, at.selectedIndex + (key === "+" ? 1 : -1)));
      at.dispatchEvent(new Event("change"));
    } else return false;
    return true;
  }

  update() {
    this.settle();
    const { bed } = this;
    const pairs = bed ? bed.alarms().map((alarm) => [bed, alarm]) : [];
    this.rows.update(pairs);
    const condition = bed ? bed.condition() : this.store.link === "open" ? "starting" : "lost";
    this.updateCover(bed, condition);
    const known = bed && bed.monitor.connection() === "connected";
    const unwatched = bed && condition === "live" ? bed.unwatchedWords() : "";
    const words = !known ? "Alarms unknown: not connected." : unwatched ? `${unwatched}: no alarm of the heart can be raised.` : "No active alarms.";
    setText(this.none, pairs.length ? "" : words);
    setClass(this.none, known && !unwatched ? "all-clear" : "bad");
    const paused = bed ? bed.audioPausedS() : 0;
    setText(this.paused, paused > 0 ? `AUDIO PAUSED ${clock(paused)}` : "");
    this.paused.hidden = paused <= 0;
    this.none.hidden = !this.none.textContent;
    setText(this.title, bed ? bed.label : this.wanted || "No bed");
    if (!bed) return;
    this.updateVitals(bed, condition);
    this.updateCounters(bed);
    this.trend.update(condition === "live");
  }

  updateCover(bed, condition) {
    const unwatched = bed && condition === "live" ? bed.unwatchedWords() : "";
    let text = "";
    if (this.frozen) {
      setClass(this.cover, "cover unwatched");
      text = `FROZEN ${clock((performance.now() - this.frozen) / 1000)}`;
    } else if (condition !== "live") {
      setClass(this.cover, `cover ${condition}`);
      const silent = bed ? bed.stillS() : 0;
      text = CONDITION_WORDS[condition] + (silent >= 1 && condition !== "starting" && condition !== "ended" ? ` ${bed.stillWords()}` : "");
    } else if (unwatched) {
      setClass(this.cover, "cover unwatched");
      text = unwatched;
    }
    this.cover.hidden = !text;
    setText(this.coverText, text);
    setText(this.freezing, this.frozen ? "Continue" : "Freeze");
  }

  updateVitals(bed, condition) {
    const { status } = bed;
    const live = condition === "live";
    const rate = live ? bed.shownRate() : null;
    setText(this.rate, rate === null ? "---" : String(Math.min(999, Math.round(rate))));
    const urgent = bed.alarms().some((alarm) => alarm.priority === "high" && alarm.category === "physiological");
    setClass(this.rate, rate === null ? "rate none" : urgent ? "rate urgent" : "rate");
    const limit = (value) => (value === null ? "off" : Math.round(value));
    const stated = status && status.rate_high_bpm !== undefined;
    setText(this.high, stated ? `▲ ${limit(status.rate_high_bpm)}` : "");
    setText(this.low, stated ? `▼ ${limit(status.rate_low_bpm)}` : "");
    setText(this.rhythm, live && status?.rhythm ? status.rhythm : "rhythm –");
    const good = status?.quality === "good";
    setText(this.quality, live && status ? `signal ${good ? "good" : qualityWords(status.quality).toUpperCase()}` : "signal –");
    setClass(this.quality, live && status ? (good ? "good" : "bad") : "dim");
    setText(this.scored, live && status ? (status.scorable ? "beats are scored" : "BEATS NOT SCORED") : "");
    setClass(this.scored, status?.scorable ? "dim" : "bad");
    const last = bed.beats.at(-1);
    setText(this.rr, rate !== null && last?.rr_s ? `RR ${number(last.rr_s)} s` : "RR –");
    const odd = bed.beats.findLast((beat) => beat.anomalous && beat.words?.length);
    const recent = odd && bed.fsHz && (bed.sample - odd.r_sample) / bed.fsHz < WHY_S;
    setText(this.why, recent && live ? `▲ ${odd.words.join(", ")}` : "");
    this.updateVariability(live ? status?.hrv : null);
    setText(this.source, status ? `${status.source} · ${status.lead} · ${status.fs_hz} Hz` + (status.speed === 1 ? "" : status.speed === 0 ? " · ×max" : ` · ×${status.speed}`) : "");
    this.source.title = this.source.textContent;
    setText(this.footTexts[0], `${dateTime(bed.time)} UTC`);
    const event = bed.event && (performance.now() / 1000 - bed.event.at) < 10 ? bed.event.body.text : "";
    setText(this.footTexts[2], event);
  }

  // Older monitors send no variability.
  updateVariability(hrv) {
    const known = hrv && hrv.sdnn_ms !== null;
    this.hrv.hidden = !known && !hrv?.why;
    this.hrvFigures.hidden = !known;
    const words = known ? [`${Math.round(hrv.sdnn_ms)} ms`, `${Math.round(hrv.rmssd_ms)} ms`, `${Math.round(100 * hrv.pnn50)} %`] : [];
    words.forEach((word, n) => setText(this.hrvFigures.children[n].lastChild, word));
    setText(this.hrvWhy, known ? "" : `– ${hrv?.why ?? ""}`);
  }

  updateCounters(bed) {
    const { status } = bed;
    if (!status) return;
    const scored = status.beats - status.unscored_beats;
    const share = scored > 0 ? ` (${((100 * status.anomalous_beats) / scored).toFixed(1)} %)` : "";
    const hour = status.last_hour ?? {};
    const count = (value) => (value ?? 0).toLocaleString("en");
    const rows = [
      ["beats", count(status.beats)],
      ["anomalous", count(status.anomalous_beats) + share],
      ["not scored", count(status.unscored_beats)],
      ["gaps, samples lost", `${count(status.gaps)}, ${count(status.samples_lost)}`],
      ["ventricular beats / h", count(hour.ventricular_beats)],
      ["couplets, runs / h", `${count(hour.couplets)}, ${count(hour.runs)}`],
    ];
    if (status.pacer_pulses) rows.push(["pacing pulses", count(status.pacer_pulses)]);
    if (status.latency_p99_ms !== null && status.latency_p99_ms !== undefined) rows.push(["latency p50 / p99", `${Math.round(status.latency_p50_ms)} / ${Math.round(status.latency_p99_ms)} ms`]);
    if (status.mains_hz) rows.push(["mains notch", `${status.mains_hz} Hz`]);
    if (bed.cleared.length) rows.push(["last cleared", kindWords(bed.cleared[0].alarm.kind)]);
    while (this.list.children.length > 2 * rows.length) this.list.lastChild.remove();
    rows.forEach(([name, value], n) => {
      if (!this.list.children[2 * n]) this.list.append(element("dt"), element("dd"));
      setText(this.list.children[2 * n], name);
      setText(this.list.children[2 * n + 1], value);
    });
  }

  draw() {
    this.sweep.draw();
    this.trend.draw();
  }
}
