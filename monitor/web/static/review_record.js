// The record under review: its events, the decisions of all pages, and what waits to be saved.

import { ask, send } from "./api.js";
import { clock } from "./format.js";

const POLL_MS = 2000;
const WINDOWS = 60; // parts of the signal that are kept

export const NOT_A_BEAT = "|";
export const markKey = (sample, alarm = "") => `${sample} ${alarm}`;

export class ReviewRecord extends EventTarget {
  static async load() {
    return new ReviewRecord(await ask("/api/review", {}));
  }

  constructor(about) {
    super();
    this.about = about;
    this.fsHz = about.fs_hz;
    const { sample, alarm, group, end, text, score } = about.events;
    this.events = sample.map((at, n) => ({ n, sample: at, alarm: alarm[n], group: group[n], end: end[n], text: text[n], score: score[n], key: markKey(at, alarm[n]) }));
    this.groups = about.groups.map((each, n) => ({ ...each, n, events: this.events.filter((event) => event.group === n) }));
    this.eventOf = new Map(this.events.map((event) => [event.key, event]));
    this.decisions = new Map(); // key -> { sample, alarm, verdict, who, time }
    this.saving = 0;
    this.failure = ""; // why the last decision was not saved
    this.lost = false; // the server does not answer
    this.queue = Promise.resolve();
    this.windows = new Map();
    this.merge(about);
    setInterval(() => this.poll(), POLL_MS);
  }

  merge({ number, changed, undo, redo, obstacle }) {
    Object.assign(this, { number, undoWords: undo, redoWords: redo, obstacle });
    for (const [sample, alarm, verdict, who, time] of changed) {
      const key = markKey(sample, alarm);
      if (verdict === null) this.decisions.delete(key);
      else this.decisions.set(key, { sample, alarm, verdict, who, time });
    }
    this.dispatchEvent(new Event("change"));
  }

  // Changes since those that are known here.
  async changes() {
    const found = await ask("/api/review/changes", { seen: this.number });
    if (found.run !== this.about.run) throw new Error("the review was started again, load this page again");
    return found;
  }

  // Takes over the changes of other pages.
  async poll() {
    if (this.saving || this.polling) return;
    this.polling = true;
    try {
      const found = await this.changes();
      const back = this.lost;
      this.lost = false;
      if (!this.saving && (found.number !== this.number || found.obstacle !== this.obstacle || back)) this.merge(found);
    } catch (error) {
      this.lost = true;
      this.lostWords = error.message;
      this.dispatchEvent(new Event("change"));
    }
    this.polling = false;
  }

  // Decide about marks { sample, alarm }, or about a group. Shown at once; taken back where it cannot be saved.
  decide({ marks = [], group = null, verdict, add = false }) {
    const shown = group === null ? marks : this.undecided(this.groups[group].events);
    if (!shown.length) return Promise.resolve(true);
    const before = shown.map((mark) => [markKey(mark.sample, mark.alarm), this.decisions.get(markKey(mark.sample, mark.alarm))]);
    for (const { sample, alarm = "" } of shown) {
      if (verdict) this.decisions.set(markKey(sample, alarm), { sample, alarm, verdict, who: this.about.reviewer, time: "" });
      else this.decisions.delete(markKey(sample, alarm));
    }
    const body = { verdict, add, group, marks: group === null ? marks.map(({ sample, alarm = "" }) => [sample, alarm]) : [] };
    return this.post("decide", body, shown[0], () => {
      for (const [key, decision] of before) decision ? this.decisions.set(key, decision) : this.decisions.delete(key);
    });
  }

  undo() {
    return this.post("undo", {}, null, () => {});
  }

  redo() {
    return this.post("redo", {}, null, () => {});
  }

  // Requests go one after the other, so that each has the number of the change before. Resolves to the changed marks, or false.
  post(what, body, mark, takeBack) {
    this.saving += 1;
    this.dispatchEvent(new Event("change"));
    const done = this.queue.then(async () => {
      try {
        const found = await send(`/api/review/${what}`, { ...body, run: this.about.run, seen: this.number });
        this.saving -= 1;
        this.failure = "";
        this.lost = false;
        this.merge(found);
        return found.changed;
      } catch (error) {
        this.saving -= 1;
        const refused = error.status === 400; // the request was wrong: nothing is amiss with saving
        if (!refused) this.failure = error.message;
        takeBack();
        if (error.status === 409) await this.changes().then((found) => this.merge(found)).catch(() => {}); // else the next poll
        this.dispatchEvent(new CustomEvent("failed", { detail: { mark, words: refused ? error.message : "" } }));
        this.dispatchEvent(new Event("change"));
        return false;
      }
    });
    this.queue = done;
    return done;
  }

  // A part of the signal with its beats, as a promise.
  window(first, n) {
    const key = `${first} ${n}`;
    let found = this.windows.get(key);
    if (!found) {
      found = ask("/api/review/strip", { first, n }).then((part) => ({
        first, n, mv: part.mv,
        beats: part.r_sample.map((r, i) => ({ r_sample: r, score: part.score[i], anomalous: part.anomalous[i], quality: part.quality[i], rr_s: part.rr_s[i] })),
      }));
      found.catch(() => this.windows.delete(key));
      this.windows.set(key, found);
      if (this.windows.size > WINDOWS) this.windows.delete(this.windows.keys().next().value);
    }
    return found;
  }

  // Beats that a reviewer added between two samples.
  added(first, end, beats) {
    const known = new Set(beats.map((beat) => beat.r_sample));
    const found = [];
    for (const { sample, alarm, verdict } of this.decisions.values()) {
      if (!alarm && sample >= first && sample < end && !known.has(sample) && !this.eventOf.has(markKey(sample))) {
        found.push({ r_sample: sample, score: 0, anomalous: verdict !== "N", quality: "good", rr_s: null, added: true });
      }
    }
    return found;
  }

  // Time of a sample: by the clock where the start is known, else from the start.
  time(sample) {
    const start = this.about.start_time;
    if (!start) return clock(sample / this.fsHz);
    const zone = /(Z|[+-]\d\d:?\d\d)$/.test(start) ? "" : "Z";
    return new Date(Date.parse(start + zone) + (sample / this.fsHz) * 1000).toISOString().slice(11, 19);
  }

  words(verdict, alarm) {
    return this.about.verdicts[alarm ? "alarm" : "beat"][verdict] ?? verdict;
  }

  undecided(events) {
    return events.filter((event) => !this.decisions.has(event.key));
  }

  // The verdict that a confirmation gives to an event; N for a usual beat, which is none.
  confirmed(event) {
    return event ? this.groups[event.group].verdict : "N";
  }

  groupTitle(group) {
    return group.title + (group.events[0]?.alarm ? " (alarm)" : group.shape ? ` · shape ${group.shape}` : "");
  }

  title(event) {
    const group = this.groups[event.group];
    return event.alarm ? group.title : `${group.title} beat`;
  }
}
