// Plays a recording: sweep trace, rate, rhythm, signal quality and alarms, as the monitor published them.

import { button, choice } from "./controls.js";
import { MARKS, RANK, clock, element, kindWords, qualityWords, setClass, setText } from "./format.js";
import { Ring } from "./ring.js";
import { Sweep } from "./sweep.js";
import { Timeline } from "./timeline.js";

const RING_S = 40;
const BEAT_S = 1; // from R-peak to score, for a visitor's recording
const BEATS = 240;

export class Player extends EventTarget {
  constructor() {
    super();
    this.recording = null;
    this.at = 0; // sample that is played up to
    this.playing = true;
    this.speed = 1;
    this.bed = { rings: { raw: null, filtered: null }, beats: [], pulses: [], waveS: 1 / 60 }; // as sweep.js reads a bed
    this.acknowledged = new Set();
    this.root = element("div", "stage");
    this.buildTrace();
    this.buildVitals();
    this.timeline = new Timeline((sample) => this.seek(sample));
    this.root.append(this.tracePanel, this.vitals, this.timeline.root);
  }

  buildTrace() {
    this.tracePanel = element("div", "panel trace-panel");
    const head = element("div", "trace-head");
    this.title = element("h3");
    this.source = element("span", "dim");
    const paper = choice("Paper speed", [["12.5", "12.5 mm/s"], ["25", "25 mm/s"], ["50", "50 mm/s"]], "25", (value) => this.sweep.set({ speed: Number(value) }));
    const gain = choice("Gain", [["auto", "gain auto"], ["5", "5 mm/mV"], ["10", "10 mm/mV"], ["20", "20 mm/mV"]], "10", (value) => this.sweep.set({ gain: value === "auto" ? value : Number(value) }));
    const channel = choice("Signal", [["filtered", "0.5–40 Hz"], ["raw", "unfiltered"]], "filtered", (value) => this.sweep.set({ channel: value }));
    const controls = element("span", "controls");
    controls.append(paper, gain, channel);
    head.append(this.title, this.source, controls);
    const box = element("div", "trace-box");
    const canvas = element("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "ECG trace of the recording");
    this.cover = element("div", "cover unwatched");
    this.coverText = element("span");
    this.cover.append(this.coverText);
    box.append(canvas, this.cover);
    this.sweep = new Sweep(canvas, { marks: true });
    const foot = element("div", "trace-foot transport");
    this.play = button("❚❚ Pause", () => this.toggle());
    this.play.classList.add("play");
    const back = button("From the start", () => this.seek(this.recording.first));
    this.pace = choice("Speed of the replay", [["0.5", "× ½"], ["1", "× 1"], ["2", "× 2"]], "1", (value) => (this.speed = Number(value)));
    this.clockText = element("span", "number");
    foot.append(this.play, back, this.pace, this.clockText, element("span", "signs", "▲ anomalous  ╵ normal  ○ not scored"));
    this.tracePanel.append(head, box, foot);
  }

  buildVitals() {
    this.vitals = element("div", "panel vitals");
    const row = element("div", "rate-row");
    this.rate = element("span", "rate none", "---");
    this.limits = element("span", "limits");
    this.high = element("span");
    this.low = element("span");
    this.limits.append(element("span", "dim", "bpm"), this.high, this.low);
    row.append(this.rate, this.limits);
    this.rhythm = element("div", "rhythm");
    this.quality = element("div");
    this.why = element("div", "bad why");
    this.alarms = element("ul", "alarm-list");
    this.alarms.setAttribute("aria-label", "Alarms now");
    this.vitals.append(row, this.rhythm, this.quality, this.why, this.alarms);
  }

  show(recording) {
    this.recording = recording;
    const { facts } = recording;
    setText(this.title, facts.title);
    setText(this.source, facts.own ? `${facts.fs_hz} Hz` : `${facts.spec.startsWith("sim:") ? "synthetic patient" : facts.spec} · ${facts.lead} · ${facts.fs_hz} Hz`);
    const limit = (value) => (typeof value === "number" ? Math.round(value) : "off");
    setText(this.high, facts.own ? "" : `▲ ${limit(facts.rate_high_bpm)}`);
    setText(this.low, facts.own ? "" : `▼ ${limit(facts.rate_low_bpm)}`);
    this.tracePanel.classList.toggle("empty", recording.end === recording.first);
    this.timeline.show(recording);
    this.seek(recording.first);
  }

  toggle(playing = !this.playing) {
    this.playing = playing;
    if (playing && this.recording && this.at >= this.recording.end) this.seek(this.recording.first);
    setText(this.play, playing ? "❚❚ Pause" : "▶ Play");
    this.play.setAttribute("aria-label", playing ? "Pause" : "Play");
  }

  // Jumps to a sample; the seconds before it are drawn at once.
  seek(sample) {
    const { recording } = this;
    if (!recording) return;
    this.at = Math.max(recording.first, Math.min(recording.end, Math.round(sample)));
    const from = Math.max(recording.first, this.at - Math.floor(RING_S * recording.fsHz));
    for (const name of ["raw", "filtered"]) {
      const ring = (this.bed.rings[name] = new Ring(recording.fsHz, RING_S));
      ring.write(from, recording.arrays[name].subarray(from - recording.first, this.at - recording.first));
    }
    this.acknowledged.clear();
    this.bed.beats = this.decided(this.at).slice(-BEATS);
    this.bed.pulses = recording.facts.pulses.filter((pulse) => pulse < this.at);
    this.sweep.bed = null;
    this.sweep.show(this.bed);
    this.status = -1;
    this.update();
  }

  decidedAt(beat) {
    return beat.decided ?? beat.r_sample + BEAT_S * this.recording.fsHz;
  }

  decided(until) {
    return this.recording.beats.filter((beat) => this.decidedAt(beat) <= until);
  }

  // Advances by `passed` s of wall time and draws; called once a frame.
  frame(passed) {
    const { recording } = this;
    if (!recording) return;
    if (this.playing && this.at < recording.end) {
      const before = this.at;
      this.fraction = (this.fraction ?? 0) + Math.min(passed, 0.5) * this.speed * recording.fsHz;
      const step = Math.floor(this.fraction);
      this.fraction -= step;
      this.at = Math.min(recording.end, before + step);
      for (const name of ["raw", "filtered"]) {
        this.bed.rings[name].write(before, recording.arrays[name].subarray(before - recording.first, this.at - recording.first));
      }
      for (const pulse of recording.facts.pulses) if (pulse >= before && pulse < this.at) this.bed.pulses.push(pulse);
      recording.beats.forEach((beat, number) => {
        const decided = this.decidedAt(beat);
        if (decided <= before || decided > this.at) return;
        this.bed.beats.push(beat);
        this.sweep.mark(beat);
        this.dispatchEvent(new CustomEvent("beat", { detail: number }));
      });
      if (this.at >= recording.end) this.toggle(false);
      this.update();
    }
    this.sweep.draw();
    this.timeline.draw(this.at);
  }

  // Alarms that are in force at the present sample, most urgent first.
  active() {
    const active = new Map();
    for (const alarm of this.recording.facts.alarms) {
      if (alarm.decided_sample > this.at) break;
      if (alarm.state === "cleared") active.delete(alarm.alarm_id);
      else active.set(alarm.alarm_id, alarm);
    }
    const shown = [...active.values()].filter((alarm) => !(alarm.state === "latched" && this.acknowledged.has(alarm.alarm_id)));
    return shown.sort((a, b) => RANK[b.priority] - RANK[a.priority] || b.onset_sample - a.onset_sample);
  }

  update() {
    const { recording } = this;
    const now = recording.facts.status.findLast(([sample]) => sample <= this.at);
    const [, rate = null, rhythm = "", quality = "", scorable = true] = now ?? [];
    const alarms = this.active();
    const own = recording.facts.own ? ownRate(recording, this.at) : rate;
    setText(this.rate, own === null ? "---" : String(own));
    const urgent = alarms.some((alarm) => alarm.priority === "high" && alarm.category === "physiological");
    setClass(this.rate, own === null ? "rate none" : urgent ? "rate urgent" : "rate");
    setText(this.rhythm, rhythm || (recording.facts.own ? "Alarms need ecg-monitor: this page raises none for your own files." : "rhythm –"));
    setClass(this.rhythm, recording.facts.own ? "rhythm plain" : "rhythm");
    setText(this.quality, quality ? `signal ${quality === "good" ? "good" : qualityWords(quality).toUpperCase()}${scorable ? "" : ": BEATS NOT SCORED"}` : "");
    setClass(this.quality, quality === "good" ? "good" : "bad");
    const last = this.bed.beats.at(-1);
    setText(this.why, last?.anomalous ? `▲ ${last.words.join(", ") || "unlike this patient"}` : "");
    setText(this.clockText, `${clock(recording.time(this.at))} / ${clock(recording.seconds)}`);
    this.cover.hidden = this.playing || this.at >= recording.end || this.at === recording.first;
    setText(this.coverText, "PAUSED");
    this.updateAlarms(alarms);
  }

  updateAlarms(alarms) {
    const key = alarms.map((alarm) => `${alarm.alarm_id} ${alarm.state} ${alarm.text} ${this.acknowledged.has(alarm.alarm_id)}`).join("\n");
    if (key === this.alarmKey) return;
    this.alarmKey = key;
    const rows = alarms.map((alarm) => {
      const quiet = this.acknowledged.has(alarm.alarm_id);
      const row = element("li", `alarm ${alarm.priority}${quiet ? " quiet" : ""}`);
      row.append(element("span", `mark ${alarm.priority}`, MARKS[alarm.priority]), element("span", "kind", kindWords(alarm.kind)));
      if (quiet) row.append(element("span", "dim", "acknowledged"));
      else {
        row.append(button(alarm.state === "latched" ? "Latched: acknowledge" : "Acknowledge", () => {
          this.acknowledged.add(alarm.alarm_id);
          this.update();
        }));
      }
      row.append(element("span", "text", alarm.text));
      return row;
    });
    if (!rows.length) rows.push(element("li", "all-clear", this.recording.facts.own ? "" : "No alarm"));
    this.alarms.replaceChildren(...rows);
  }
}

// Mean rate of the last five intervals of a visitor's recording, per minute.
function ownRate(recording, at) {
  const known = recording.beats.filter((beat) => beat.r_sample <= at && beat.rr_s).slice(-5);
  if (!known.length) return null;
  return Math.round((60 * known.length) / known.reduce((total, beat) => total + beat.rr_s, 0));
}
