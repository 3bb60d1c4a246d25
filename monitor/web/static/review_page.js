// The page of a review: which event and which beat are chosen, what is in view, and what each key does.

import { picture } from "./canvas.js";
import { labelled, option } from "./controls.js";
import { element, number, qualityWords, setText } from "./format.js";
import { note } from "./note.js";
import { LABELS, ReviewActions } from "./review_actions.js";
import { ReviewBeat } from "./review_beat.js";
import { openGroup } from "./review_group.js";
import { ReviewList } from "./review_list.js";
import { ReviewOverview } from "./review_overview.js";
import { markKey } from "./review_record.js";
import { ReviewStrip } from "./review_strip.js";

const CURSOR_S = 0.01; // step of the cursor
const GAINS = [2.5, 5, 10, 20, 40]; // mm/mV
const byId = (id) => document.getElementById(id);

export class ReviewPage {
  constructor(record) {
    this.record = record;
    this.event = null; // chosen event
    this.beat = null; // sample of the beat that labels are for; null: an alarm without a chosen beat
    this.group = ""; // shown group
    this.undecidedOnly = false;
    this.first = 0; // sample at the left of the strip
    this.build();
    this.record.addEventListener("change", () => this.refresh());
    this.record.addEventListener("failed", ({ detail }) => this.failed(detail));
    new ResizeObserver(() => this.place()).observe(this.strip.canvas);
    new ResizeObserver(() => this.drawOverview()).observe(this.overview.canvas);
  }

  build() {
    const overview = element("section", "panel overview");
    const whole = picture("Heart rate and score of the whole recording");
    overview.append(whole);
    this.overview = new ReviewOverview(whole, this.record, (sample) => this.jump(sample));

    const side = element("aside", "panel side");
    this.groupSelect = element("select");
    // After a choice with the mouse the keys are for the events again; the select would take the letters.
    let byPointer = false;
    this.groupSelect.addEventListener("pointerdown", () => (byPointer = true));
    this.groupSelect.addEventListener("keydown", () => (byPointer = false));
    this.groupSelect.addEventListener("change", () => {
      this.filter(this.groupSelect.value, this.undecidedOnly);
      if (byPointer) this.groupSelect.blur();
    });
    const only = element("input");
    only.type = "checkbox";
    only.addEventListener("change", () => this.filter(this.group, only.checked));
    this.only = only;
    const onlyLabel = element("label", "only");
    onlyLabel.append(only, " undecided only (o)");
    const tools = element("div", "side-tools");
    tools.append(labelled("Group", this.groupSelect), onlyLabel);
    this.list = new ReviewList(this.record, (event) => this.choose(event));
    this.empty = element("p", "dim");
    side.append(tools, this.empty, this.list.root);

    const middle = element("section", "panel strip-panel");
    this.title = element("h2", "event-title");
    this.facts = element("p", "event-facts number");
    const stripBox = element("div", "strip-box");
    const stripCanvas = picture("Strip around the event, 25 mm/s");
    stripBox.append(stripCanvas);
    this.strip = new ReviewStrip(stripCanvas, this.record, (beat) => this.chooseBeat(beat.r_sample), (sample) => this.moveCursor(this.strip.peak(sample)));
    this.foot = element("p", "dim strip-foot");
    middle.append(this.title, this.facts, stripBox, this.foot);

    this.beatView = new ReviewBeat(this.record);
    this.actions = new ReviewActions(this.record, (key) => this.press(key, false));
    byId("main").replaceChildren(overview, side, middle, this.beatView.root, this.actions.root);
  }

  start() {
    this.filter("", false);
    const open = this.record.events.find((event) => !this.record.decisions.has(event.key)) ?? this.record.events[0];
    if (open) this.choose(open);
    else this.place();
    this.refresh();
  }

  wanted(event) {
    return (this.group === "" || event.group === Number(this.group)) && (!this.undecidedOnly || !this.record.decisions.has(event.key));
  }

  filter(group, undecidedOnly) {
    this.group = group;
    this.undecidedOnly = undecidedOnly;
    this.groupSelect.value = group;
    this.only.checked = undecidedOnly;
    this.shown = this.record.events.filter((event) => this.wanted(event));
    if (this.event && !this.wanted(this.event) && this.shown.length) this.choose(this.shown.find((event) => event.n > this.event.n) ?? this.shown[0]);
    this.refresh();
  }

  // -- choosing --------------------------------------------------------------------------------------------------

  choose(event) {
    if (!event) return;
    this.endCursor();
    this.event = event;
    this.beat = event.alarm ? null : event.sample;
    this.centre(event.sample, event.alarm ? 0.3 : 0.5);
    this.refresh();
    const decision = this.record.decisions.get(event.key);
    const at = this.shown.indexOf(event) + 1;
    setText(byId("announce"), `${at ? `${at} of ${this.shown.length}: ` : ""}${this.record.title(event)}, ${this.record.time(event.sample)}, ${decision ? this.record.words(decision.verdict, event.alarm) : "undecided"}`);
    const after = this.record.events[event.n + 1];
    if (after) this.record.window(...this.windowOf(after.sample, after.alarm ? 0.3 : 0.5)).catch(() => {}); // ready for the next step
  }

  step(way, sameGroup) {
    const from = this.event?.n ?? -1;
    const fits = (event) => this.wanted(event) && (!sameGroup || event.group === this.event?.group);
    const found = way > 0 ? this.record.events.find((event) => event.n > from && fits(event)) : this.record.events.findLast((event) => event.n < from && fits(event));
    if (found) this.choose(found);
    else note(way > 0 ? "no event after this one" : "no event before this one");
  }

  jump(sample) {
    const near = this.shown.reduce((best, event) => (!best || Math.abs(event.sample - sample) < Math.abs(best.sample - sample) ? event : best), null);
    if (near && Math.abs(near.sample - sample) < this.record.about.end_sample * 0.01) this.choose(near);
    else this.centre(sample, 0.5);
  }

  chooseBeat(sample) {
    this.beat = sample;
    const span = this.strip.spanSamples;
    if (sample < this.first + span * 0.06 || sample > this.first + span * 0.94) this.centre(sample, 0.5);
    this.refresh();
  }

  stepBeat(way) {
    const beats = this.strip.beats;
    const chosen = this.beat ?? this.event?.sample ?? null;
    const from = chosen !== null && this.inView(chosen) ? chosen : this.first + (way > 0 ? -1 : this.strip.spanSamples);
    const found = way > 0 ? beats.find((beat) => beat.r_sample > from) : beats.findLast((beat) => beat.r_sample < from);
    if (found) this.chooseBeat(found.r_sample);
  }

  // The event as target, or a beat on the strip.
  target() {
    if (this.beat !== null) return { sample: this.beat, alarm: "" };
    return this.event ? { sample: this.event.sample, alarm: this.event.alarm } : null;
  }

  inView(sample) {
    return sample >= this.first && sample < this.first + this.strip.spanSamples;
  }

  // The target where it is in view; else the view returns to it, and nothing is decided.
  seenTarget() {
    const mark = this.target();
    if (!mark || this.inView(mark.sample)) return mark;
    if (this.beat !== null && this.beat !== this.event?.sample) this.centre(this.beat, 0.5);
    else this.choose(this.event);
    note("back to what was chosen: decide again");
    return null;
  }

  // -- strip -----------------------------------------------------------------------------------------------------

  windowOf(sample, share) {
    const n = this.strip.spanSamples;
    return [Math.round(sample - share * n), n];
  }

  centre(sample, share) {
    this.first = this.windowOf(sample, share)[0];
    this.place();
  }

  async place() {
    const wanted = [this.first, this.strip.spanSamples];
    this.shownWindow = wanted;
    let part;
    try {
      part = await this.record.window(...wanted);
    } catch (error) {
      note(`the signal cannot be read: ${error.message}`);
      return;
    }
    if (this.shownWindow !== wanted) return; // another one was chosen meanwhile
    this.strip.show(part);
    this.refresh();
  }

  // -- decisions -------------------------------------------------------------------------------------------------

  decide(verdict) {
    const mark = this.seenTarget();
    if (!mark || !this.may()) return;
    this.record.decide({ marks: [mark], verdict });
    const words = verdict ? this.record.words(verdict, mark.alarm) : "undecided";
    setText(byId("announce"), words);
    if (verdict && this.event && mark.sample === this.event.sample && mark.alarm === this.event.alarm) this.step(1, false);
  }

  confirm() {
    const mark = this.seenTarget();
    if (!mark) return;
    this.decide(this.record.confirmed(this.record.eventOf.get(markKey(mark.sample, mark.alarm))));
  }

  may() {
    if (!this.record.about.may_decide) note("this link is for viewing: to decide needs an operator");
    return this.record.about.may_decide;
  }

  async goBack(how) {
    if (!this.may()) return;
    const changed = await this.record[how]();
    if (!changed?.length) return;
    const [sample, alarm] = changed[0];
    const event = this.record.eventOf.get(markKey(sample, alarm));
    if (event) this.choose(event);
    else this.chooseBeat(sample);
    note(`${how === "undo" ? "undone" : "done again"}: ${changed.length.toLocaleString("en")} decision${changed.length === 1 ? "" : "s"}`);
  }

  // words: why the server refused it; empty where it could not be saved, which the banner shows.
  failed({ mark, words }) {
    const event = mark && this.record.eventOf.get(markKey(mark.sample, mark.alarm));
    if (event) this.choose(event);
    if (words) note(words);
  }

  // -- a missed beat ---------------------------------------------------------------------------------------------

  startCursor() {
    if (!this.strip.part || !this.may()) return;
    const { first, n } = this.strip.part;
    this.strip.cursor = Math.round(this.beat ?? first + n / 2);
    this.refresh();
    note("Add a beat: arrows or a click move the cursor, Enter adds N, a letter its label, Esc ends");
  }

  moveCursor(sample) {
    const { first, n } = this.strip.part;
    this.strip.cursor = Math.max(first, Math.min(first + n - 1, sample));
    this.refresh();
  }

  endCursor() {
    if (this.strip.cursor === null) return;
    this.strip.cursor = null;
    this.refresh();
  }

  async addBeat(verdict) {
    const sample = this.strip.cursor;
    this.endCursor();
    if (await this.record.decide({ marks: [{ sample }], verdict, add: true })) {
      this.chooseBeat(sample);
      note(`added: ${verdict} at ${this.record.time(sample)}`);
    }
  }

  pressCursor(key, shift) {
    const step = Math.max(1, Math.round(CURSOR_S * this.record.fsHz)) * (shift ? 10 : 1);
    if (key === "ArrowLeft") this.moveCursor(this.strip.cursor - step);
    else if (key === "ArrowRight") this.moveCursor(this.strip.cursor + step);
    else if (key === "Enter") this.addBeat("N");
    else if (LABELS[key] && key !== "x") this.addBeat(LABELS[key]);
    else if (key === "Escape" || key === "a") this.endCursor();
    else return false;
    return true;
  }

  // -- a whole group ---------------------------------------------------------------------------------------------

  openGroup() {
    const group = this.record.groups[this.group === "" ? this.event?.group : Number(this.group)];
    if (!group) return;
    openGroup(byId("group-page"), this.record, group, async (verdict, number) => {
      if (!this.may() || !(await this.record.decide({ group: group.n, verdict }))) return;
      note(`${number.toLocaleString("en")} × ${this.record.words(verdict, group.events[0].alarm)}; u takes it back`);
      if (this.event && !this.wanted(this.event)) this.step(1, false);
    });
  }

  // -- drawing ---------------------------------------------------------------------------------------------------

  // Once a frame at most.
  refresh() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  draw() {
    this.updateGroups();
    this.shown = this.record.events.filter((event) => this.wanted(event) || event === this.event);
    this.list.show(this.shown, this.event);
    setText(this.empty, this.record.events.length ? "" : "No alarm and no anomalous beat in this recording. Beats on the strip can be labelled: click one, or press . and ,");
    this.strip.refresh();
    this.strip.draw(this.beat, this.event);
    this.beatView.draw(this.beat, this.strip);
    this.updateEvent();
    this.drawOverview();
  }

  drawOverview() {
    const sample = this.strip.part ? this.first + this.strip.spanSamples / 2 : null;
    this.overview.draw(sample, (event) => this.group === "" || event.group === Number(this.group));
  }

  updateGroups() {
    const rows = this.record.groups.map((group) => [String(group.n), this.record.groupTitle(group), this.record.undecided(group.events).length, group.events.length]);
    const words = (text, open, all) => `${text}: ${!all ? "none" : open ? `${open.toLocaleString("en")} of ${all.toLocaleString("en")} open` : `${all.toLocaleString("en")}, all decided`}`;
    const open = rows.reduce((sum, row) => sum + row[2], 0);
    const known = JSON.stringify(rows);
    if (known === this.knownGroups) return;
    this.knownGroups = known;
    this.groupSelect.replaceChildren(option("", words("all events", open, this.record.events.length)), ...rows.map(([value, ...rest]) => option(value, words(...rest))));
    this.groupSelect.value = this.group;
  }

  updateEvent() {
    const { event, beat } = this;
    const mark = this.target();
    const decision = mark && this.record.decisions.get(markKey(mark.sample, mark.alarm));
    const own = mark && this.record.eventOf.get(markKey(mark.sample, mark.alarm));
    const on = this.strip.beats.find((each) => each.r_sample === beat);
    const words = own ? this.record.title(own) : on?.added ? "added beat" : on ? (on.anomalous ? "anomalous beat" : on.score === null ? `beat not scored: ${qualityWords(on.quality)}` : "usual beat") : "nothing chosen";
    const place = event ? this.shown.indexOf(event) + 1 : 0;
    setText(this.title, `${own && place ? `${place.toLocaleString("en")} of ${this.shown.length.toLocaleString("en")}: ` : ""}${words}${decision ? ` — ${this.record.words(decision.verdict, mark.alarm)}` : ""}`);
    const facts = mark ? [
      this.record.time(mark.sample),
      mark.alarm && event ? (event.end < 0 ? "to the end" : `${number((event.end - event.sample) / this.record.fsHz, 1)} s`) : "",
      mark.alarm && event ? event.text : "",
      on ? `RR ${on.rr_s === null ? "–" : `${number(on.rr_s, 3)} s (${Math.round(60 / on.rr_s)} bpm)`}` : "",
      on && !on.added ? `score ${number(on.score)}` : "",
      decision?.who ? `by ${decision.who}` : "",
    ] : [];
    setText(this.facts, facts.filter(Boolean).join(" · "));
    setText(this.foot, `25 mm/s · ${this.strip.gain} mm/mV · 0.5–40 Hz · ${this.record.about.lead || "lead not known"}`);
    this.actions.update({ mark, own, decision, event, canAdd: Boolean(this.strip.part) });
  }

  // -- keys ------------------------------------------------------------------------------------------------------

  press(key, shift) {
    if (this.strip.cursor !== null && this.pressCursor(key, shift)) return true;
    const ofAlarm = Boolean(this.target()?.alarm);
    if (key === "ArrowRight" || key === "ArrowDown") this.step(1, shift);
    else if (key === "ArrowLeft" || key === "ArrowUp") this.step(-1, shift);
    else if (key === "Enter" || key === "c") this.confirm();
    else if (key === "x" && ofAlarm) this.decide("false");
    else if (LABELS[key]) ofAlarm ? note("an alarm is confirmed (Enter) or rejected (x); press . to choose a beat") : this.decide(LABELS[key]);
    else if (key === "Backspace" || key === "Delete") this.decide("");
    else if (key === "u") this.goBack("undo");
    else if (key === "y") this.goBack("redo");
    else if (key === "g") this.openGroup();
    else if (key === ".") this.stepBeat(1);
    else if (key === ",") this.stepBeat(-1);
    else if (key === "a") this.startCursor();
    else if (key === "o") this.filter(this.group, !this.undecidedOnly);
    else if (key === "/") this.groupSelect.focus();
    else if (key === "]" || key === "[") this.centre(this.first + this.strip.spanSamples * (key === "]" ? 1 : 0), 0.5);
    else if (key === "+" || key === "=" || key === "-") {
      const at = GAINS.indexOf(this.strip.gain) + (key === "-" ? -1 : 1);
      this.strip.gain = GAINS[Math.max(0, Math.min(GAINS.length - 1, at))];
      this.refresh();
    } else if (key === "Escape" && this.event) this.choose(this.event);
    else return false;
    return true;
  }
}
