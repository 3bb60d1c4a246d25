// Review of a recording: step through alarms and anomalous beats with the keyboard, and decide about each.

import { enter, leave } from "./access.js";
import { AFTER_S, BEFORE_S, plotBeat } from "./beat_plot.js";
import { address } from "./api.js";
import { button, labelled, option, showKeys } from "./controls.js";
import { element, number, qualityWords, setClass, setText } from "./format.js";
import { ReviewList } from "./review_list.js";
import { ReviewOverview } from "./review_overview.js";
import { markKey, NOT_A_BEAT, ReviewRecord } from "./review_record.js";
import { ReviewStrip } from "./review_strip.js";
import { startTheme, toggleTheme } from "./theme.js";

const NOTE_S = 4;
const CURSOR_S = 0.01; // step of the cursor
const GAINS = [2.5, 5, 10, 20, 40];
const LABELS = { n: "N", s: "S", v: "V", f: "F", q: "Q", x: NOT_A_BEAT };
const KEYS = [
  ["→ ←", "next, previous event"], ["Shift + → ←", "next, previous of the same group"],
  ["Enter, c", "confirm: the label on the button"], ["x", "reject: not a beat; of an alarm: false alarm"],
  ["n s v f q", "label: normal, supraventricular, ventricular, fusion, unclassifiable"], ["Backspace", "undecided again"],
  ["u, y", "undo, redo"], ["g", "decide about the whole group at once"], [". ,", "next, previous beat on the strip, to label it"],
  ["a", "add a beat that was missed: arrows move the cursor, Enter or a label adds it, Esc ends"],
  ["o", "only undecided events, or all"], ["/", "choose a group"], ["] [", "move the strip"], ["+ -", "gain"],
  ["t", "dark or light"], ["?", "this page"],
];
const SIGNS = [
  "■ alarm   ▲ anomalous beat   ╵ normal beat   ○ beat not scored. A letter over a beat is the label of a person, + an added beat, ✕ not a beat.",
  "Every decision is saved at once, as annotation beside the recording. Beats, alarms and journal of the recording stay as they are, and the program learns nothing from it.",
];

const byId = (id) => document.getElementById(id);
let record = null;
let page = null;
let noteTimer = 0;

function note(text) {
  const node = byId("note");
  node.textContent = text;
  node.hidden = false;
  clearTimeout(noteTimer);
  noteTimer = setTimeout(() => (node.hidden = true), NOTE_S * 1000);
}

function banner(text) {
  setText(byId("banner"), text);
  byId("banner").hidden = !text;
}

// A letter and what it stands for, which a small screen leaves out.
function labelButton(verdict, click, key) {
  const made = button("", click, `${record.words(verdict, "")} (${key})`);
  setVerdict(made, verdict, verdict);
  return made;
}

function setVerdict(node, text, verdict) {
  const words = `${text} ${record.words(verdict, "")}`;
  if (node.getAttribute("aria-label") === words) return;
  node.setAttribute("aria-label", words);
  node.replaceChildren(text, element("span", "long", ` ${record.words(verdict, "")}`));
}

class ReviewPage {
  constructor() {
    this.event = null; // chosen event
    this.beat = null; // sample of the beat that labels are for; null: an alarm without a chosen beat
    this.group = ""; // shown group
    this.undecidedOnly = false;
    this.first = 0; // sample at the left of the strip
    this.build();
    record.addEventListener("change", () => this.refresh());
    record.addEventListener("failed", ({ detail }) => this.failed(detail));
    new ResizeObserver(() => this.place()).observe(this.strip.canvas);
    new ResizeObserver(() => this.drawOverview()).observe(this.overview.canvas);
  }

  build() {
    const canvas = (label) => {
      const made = element("canvas");
      made.setAttribute("role", "img");
      made.setAttribute("aria-label", label);
      return made;
    };
    const overview = element("section", "panel overview");
    const whole = canvas("Heart rate and score of the whole recording");
    overview.append(whole);
    this.overview = new ReviewOverview(whole, record, (sample) => this.jump(sample));

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
    this.list = new ReviewList(record, (event) => this.choose(event));
    this.empty = element("p", "dim");
    side.append(tools, this.empty, this.list.root);

    const middle = element("section", "panel strip-panel");
    this.title = element("h2", "event-title");
    this.facts = element("p", "event-facts number");
    const stripBox = element("div", "strip-box");
    const stripCanvas = canvas("Strip around the event, 25 mm/s");
    stripBox.append(stripCanvas);
    this.strip = new ReviewStrip(stripCanvas, record, (beat) => this.chooseBeat(beat.r_sample), (sample) => this.moveCursor(this.strip.peak(sample)));
    this.foot = element("p", "dim strip-foot");
    middle.append(this.title, this.facts, stripBox, this.foot);

    const below = element("section", "panel beat-panel");
    const beatBox = element("div", "beat-box");
    this.beatCanvas = canvas("The beat over the usual beat of this patient");
    beatBox.append(this.beatCanvas);
    this.legend = element("p", "dim");
    below.append(beatBox, this.legend);

    const actions = element("section", "panel actions");
    actions.setAttribute("aria-label", "Decision");
    const press = (key, shift = false) => () => this.press(key, shift);
    this.buttons = {
      back: button("◀", press("ArrowLeft"), "previous event (left)"),
      next: button("▶", press("ArrowRight"), "next event (right)"),
      confirm: button("Confirm", press("Enter"), "Enter or c"),
      reject: button("✕ Not a beat", press("x"), "x"),
      ...Object.fromEntries(["n", "s", "v", "f", "q"].map((key) => [key, labelButton(LABELS[key], press(key), key)])),
      clear: button("Undecided", press("Backspace"), "Backspace"),
      group: button("Group …", press("g"), "decide about the whole group at once (g)"),
      add: button("Add beat", press("a"), "add a beat that was missed (a)"),
      undo: button("Undo", press("u"), "u"), redo: button("Redo", press("y"), "y"),
    };
    this.buttons.confirm.classList.add("first");
    const rows = [["back", "next", "confirm", "reject"], ["n", "s", "v", "f", "q", "clear"], ["group", "add", "undo", "redo"]];
    for (const names of rows) {
      const row = element("div", "steps");
      row.append(...names.map((name) => this.buttons[name]));
      actions.append(row);
    }
    // A button that was clicked gives its focus back: Enter confirms, and does not repeat the last click.
    actions.addEventListener("click", (event) => event.detail && document.activeElement?.blur());
    actions.append(element("p", "dim hint", "Keys: arrows step, Enter confirms, x rejects, n s v f q label, g whole group, a adds a beat, u undoes, ? shows all."));
    byId("main").replaceChildren(overview, side, middle, below, actions);
  }

  start() {
    this.filter("", false);
    const open = record.events.find((event) => !record.decisions.has(event.key)) ?? record.events[0];
    if (open) this.choose(open);
    else this.place();
    this.refresh();
  }

  wanted(event) {
    return (this.group === "" || event.group === Number(this.group)) && (!this.undecidedOnly || !record.decisions.has(event.key));
  }

  filter(group, undecidedOnly) {
    this.group = group;
    this.undecidedOnly = undecidedOnly;
    this.groupSelect.value = group;
    this.only.checked = undecidedOnly;
    this.shown = record.events.filter((event) => this.wanted(event));
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
    const decision = record.decisions.get(event.key);
    const at = this.shown.indexOf(event) + 1;
    setText(byId("announce"), `${at ? `${at} of ${this.shown.length}: ` : ""}${record.title(event)}, ${record.time(event.sample)}, ${decision ? record.words(decision.verdict, event.alarm) : "undecided"}`);
    const after = record.events[event.n + 1];
    if (after) record.window(...this.windowOf(after.sample, after.alarm ? 0.3 : 0.5)).catch(() => {}); // ready for the next step
  }

  step(way, sameGroup) {
    const from = this.event?.n ?? -1;
    const fits = (event) => this.wanted(event) && (!sameGroup || event.group === this.event?.group);
    const found = way > 0 ? record.events.find((event) => event.n > from && fits(event)) : record.events.findLast((event) => event.n < from && fits(event));
    if (found) this.choose(found);
    else note(way > 0 ? "no event after this one" : "no event before this one");
  }

  jump(sample) {
    const near = this.shown.reduce((best, event) => (!best || Math.abs(event.sample - sample) < Math.abs(best.sample - sample) ? event : best), null);
    if (near && Math.abs(near.sample - sample) < record.about.end_sample * 0.01) this.choose(near);
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
      part = await record.window(...wanted);
    } catch (error) {
      note(`the signal cannot be read: ${error.message}`);
      return;
    }
    if (this.shownWindow !== wanted) return; // another one was chosen meanwhile
    this.strip.show(part);
    this.drawOverview();
    this.refresh();
  }

  // -- decisions -------------------------------------------------------------------------------------------------

  decide(verdict) {
    const mark = this.seenTarget();
    if (!mark) return;
    if (!this.may()) return;
    record.decide({ marks: [mark], verdict });
    const words = verdict ? record.words(verdict, mark.alarm) : "undecided";
    setText(byId("announce"), words);
    if (verdict && this.event && mark.sample === this.event.sample && mark.alarm === this.event.alarm) this.step(1, false);
  }

  confirm() {
    const mark = this.seenTarget();
    if (!mark) return;
    const event = record.eventOf.get(markKey(mark.sample, mark.alarm));
    if (event) this.decide(record.groups[event.group].verdict);
    else this.decide("N"); // a usual beat
  }

  may() {
    if (!record.about.may_decide) note("this link is for viewing: to decide needs an operator");
    return record.about.may_decide;
  }

  async goBack(how) {
    if (!this.may()) return;
    const changed = await record[how]();
    if (!changed?.length) return;
    const [sample, alarm] = changed[0];
    const event = record.eventOf.get(markKey(sample, alarm));
    if (event) this.choose(event);
    else this.chooseBeat(sample);
    note(`${how === "undo" ? "undone" : "done again"}: ${changed.length.toLocaleString("en")} decision${changed.length === 1 ? "" : "s"}`);
  }

  failed(mark) {
    const event = mark && record.eventOf.get(markKey(mark.sample, mark.alarm));
    if (event) this.choose(event);
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
    if (await record.decide({ marks: [{ sample }], verdict, add: true })) {
      this.chooseBeat(sample);
      note(`added: ${verdict} at ${record.time(sample)}`);
    }
  }

  pressCursor(key, shift) {
    const step = Math.max(1, Math.round(CURSOR_S * record.fsHz)) * (shift ? 10 : 1);
    if (key === "ArrowLeft") this.moveCursor(this.strip.cursor - step);
    else if (key === "ArrowRight") this.moveCursor(this.strip.cursor + step);
    else if (key === "Enter") this.addBeat("N");
    else if (LABELS[key] && key !== "x") this.addBeat(LABELS[key]);
    else if (key === "Escape" || key === "a") this.endCursor();
    else return false;
    return true;
  }

  // -- a whole group ---------------------------------------------------------------------------------------------

  async openGroup() {
    const group = record.groups[this.group === "" ? this.event?.group : Number(this.group)];
    if (!group) return;
    const open = group.events.filter((event) => !record.decisions.has(event.key));
    const dialog = byId("group-page");
    const close = () => dialog.close();
    const say = (verdict) => async () => {
      close();
      if (!this.may()) return;
      if (await record.decide({ group: group.n, verdict })) {
        note(`${open.length.toLocaleString("en")} × ${record.words(verdict, ofAlarm)}; u takes it back`);
        if (this.event && !this.wanted(this.event)) this.step(1, false);
      }
    };
    const ofAlarm = Boolean(group.events[0]?.alarm);
    const canvas = element("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "Beats of the group over each other");
    const box = element("div", "beat-box");
    box.append(canvas);
    const legend = element("p", "dim", ofAlarm ? "" : "reading …");
    const verdicts = ofAlarm ? ["true", "false"] : ["V", "S", "Q", "F", "N", NOT_A_BEAT];
    verdicts.sort((a, b) => (b === group.verdict) - (a === group.verdict));
    const steps = element("div", "steps");
    steps.append(...verdicts.map((verdict) => button(`${verdict === NOT_A_BEAT ? "✕" : ofAlarm ? "" : verdict} ${record.words(verdict, ofAlarm)}`.trim(), say(verdict))), button("Cancel", close, "Esc"));
    for (const each of steps.children) each.disabled = !open.length && each !== steps.lastChild;
    dialog.replaceChildren(
      element("h1", "", this.groupWords(group)),
      element("p", "", open.length ? `Decide about ${open.length.toLocaleString("en")} undecided of ${group.events.length.toLocaleString("en")} at once, as:` : "All of this group have a decision."),
      ...(ofAlarm ? [] : [box, legend]), steps,
    );
    dialog.showModal();
    steps.firstChild.focus();
    if (ofAlarm) return;
    const answer = await fetch(address("/api/review/spread", { group: group.n })).catch(() => null);
    if (!answer?.ok || !dialog.open) return setText(legend, "the beats cannot be read");
    const { before, cuts } = await answer.json();
    plotBeat(canvas, [...cuts.map((values) => ({ values, fsHz: record.fsHz, before, ink: "--anomalous", width: 1, alpha: 0.35 })), ...this.usual()]);
    setText(legend, `${cuts.length} beats of the group, evenly over the recording. Thick line: this patient's usual beat.`);
  }

  groupWords(group) {
    return group.title + (group.events[0]?.alarm ? " (alarm)" : group.shape ? ` · shape ${group.shape}` : "");
  }

  // -- drawing ---------------------------------------------------------------------------------------------------

  usual() {
    const { usual_mv: values, usual_hz: fsHz, usual_before_s: beforeS } = record.about;
    return values ? [{ values, fsHz, before: Math.round(beforeS * fsHz), ink: "--dim", width: 6, alpha: 0.55 }] : [];
  }

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
    this.updateHead();
    this.shown = record.events.filter((event) => this.wanted(event) || event === this.event);
    this.list.show(this.shown, this.event);
    setText(this.empty, record.events.length ? "" : "No alarm and no anomalous beat in this recording. Beats on the strip can be labelled: click one, or press . and ,");
    this.strip.refresh();
    this.strip.draw(this.beat, this.event);
    this.drawBeat();
    this.updateEvent();
    this.drawOverview();
  }

  drawOverview() {
    const sample = this.strip.part ? this.first + this.strip.spanSamples / 2 : null;
    this.overview.draw(sample, (event) => this.group === "" || event.group === Number(this.group));
  }

  updateHead() {
    const total = record.events.length;
    setText(byId("progress"), `${this.decided.toLocaleString("en")} of ${total.toLocaleString("en")} decided`);
    byId("progress-bar").max = Math.max(1, total);
    byId("progress-bar").value = this.decided;
    setText(byId("reviewer"), record.about.may_decide ? `reviewer: ${record.about.reviewer}` : `${record.about.reviewer}: viewing only`);
    const saved = byId("saved");
    setText(saved, record.failure || record.lost || record.obstacle ? "✕ NOT SAVED" : record.saving ? "saving …" : "● saved");
    setClass(saved, record.failure || record.lost || record.obstacle ? "bad" : "good");
    banner(record.failure ? `NOT SAVED, and taken back on this page: ${record.failure.replace(/^not saved: /, "")}`
      : record.lost ? `${record.lostWords.toUpperCase()}: decisions cannot be saved now.`
      : record.obstacle ? `${record.obstacle}: decisions cannot be saved.` : "");
  }

  updateGroups() {
    const rows = record.groups.map((group) => [String(group.n), this.groupWords(group), group.events.reduce((sum, event) => sum + !record.decisions.has(event.key), 0), group.events.length]);
    const words = (text, open, all) => `${text}: ${open ? `${open.toLocaleString("en")} of ${all.toLocaleString("en")} open` : `${all.toLocaleString("en")}, all decided`}`;
    const open = rows.reduce((sum, row) => sum + row[2], 0);
    this.decided = record.events.length - open;
    const known = JSON.stringify(rows);
    if (known === this.knownGroups) return;
    this.knownGroups = known;
    this.groupSelect.replaceChildren(option("", words("all events", open, record.events.length)), ...rows.map(([value, ...rest]) => option(value, words(...rest))));
    this.groupSelect.value = this.group;
  }

  updateEvent() {
    const { event, beat, buttons } = this;
    const mark = this.target();
    const decision = mark && record.decisions.get(markKey(mark.sample, mark.alarm));
    const own = mark && record.eventOf.get(markKey(mark.sample, mark.alarm));
    const on = this.strip.beats.find((each) => each.r_sample === beat);
    const words = own ? record.title(own) : on?.added ? "added beat" : on ? (on.anomalous ? "anomalous beat" : on.score === null ? `beat not scored: ${qualityWords(on.quality)}` : "usual beat") : "nothing chosen";
    const place = event ? this.shown.indexOf(event) + 1 : 0;
    setText(this.title, `${own && place ? `${place.toLocaleString("en")} of ${this.shown.length.toLocaleString("en")}: ` : ""}${words}${decision ? ` — ${record.words(decision.verdict, mark.alarm)}` : ""}`);
    const facts = mark ? [
      record.time(mark.sample),
      mark.alarm && event ? (event.end < 0 ? "to the end" : `${number((event.end - event.sample) / record.fsHz, 1)} s`) : "",
      mark.alarm && event ? event.text : "",
      on ? `RR ${on.rr_s === null ? "–" : `${number(on.rr_s, 3)} s (${Math.round(60 / on.rr_s)} bpm)`}` : "",
      on && !on.added ? `score ${number(on.score)}` : "",
      decision?.who ? `by ${decision.who}` : "",
    ] : [];
    setText(this.facts, facts.filter(Boolean).join(" · "));
    setText(this.foot, `25 mm/s · ${this.strip.gain} mm/mV · 0.5–40 Hz · ${record.about.lead || "lead not known"}`);
    const ofAlarm = Boolean(mark?.alarm);
    const confirmed = own ? record.groups[own.group].verdict : "N";
    if (ofAlarm) {
      setText(buttons.confirm, "✓ True alarm");
      buttons.confirm.removeAttribute("aria-label");
    } else setVerdict(buttons.confirm, `✓ ${confirmed}`, confirmed);
    setText(buttons.reject, ofAlarm ? "✕ False alarm" : "✕ Not a beat");
    for (const name of ["n", "s", "v", "f", "q"]) buttons[name].hidden = ofAlarm;
    for (const [name, verdict] of [["confirm", ofAlarm ? "true" : confirmed], ["reject", ofAlarm ? "false" : NOT_A_BEAT], ...Object.entries(LABELS)]) {
      if (name !== "x") buttons[name].setAttribute("aria-pressed", String(decision?.verdict === verdict));
    }
    for (const name of ["confirm", "reject", "n", "s", "v", "f", "q", "clear"]) buttons[name].disabled = !mark || !record.about.may_decide;
    buttons.clear.disabled ||= !decision;
    buttons.group.disabled = !event;
    buttons.add.disabled = !record.about.may_decide || !this.strip.part;
    buttons.undo.disabled = !record.undoWords || !record.about.may_decide;
    buttons.redo.disabled = !record.redoWords || !record.about.may_decide;
    buttons.undo.title = `u${record.undoWords ? `: takes back ${record.undoWords}` : ""}`;
    buttons.redo.title = `y${record.redoWords ? `: ${record.redoWords} again` : ""}`;
  }

  drawBeat() {
    const { part } = this.strip;
    const own = [];
    if (this.beat !== null && part) {
      const before = Math.round(BEFORE_S * record.fsHz);
      const after = Math.round(AFTER_S * record.fsHz);
      const from = this.beat - before - part.first;
      const values = Array.from({ length: before + after + 1 }, (_, i) => part.mv[from + i] ?? null);
      const beat = this.strip.beats.find((each) => each.r_sample === this.beat);
      own.push({ values, fsHz: record.fsHz, before, ink: beat?.anomalous ? "--anomalous" : "--trace", width: 2 });
    }
    plotBeat(this.beatCanvas, [...this.usual(), ...own]);
    setText(this.legend, record.about.usual_mv ? "Thick line: this patient's usual beat. Thin line: the chosen beat." : "No usual beat in this recording.");
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

const showHelp = () => showKeys(byId("help-page"), element("h1", "", "Keys and signs"), KEYS, SIGNS);

function pressed(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
  if (event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement) {
    if (event.key === "Escape" || event.key === "Enter") event.target.blur();
    if (event.target instanceof HTMLSelectElement || event.key === " ") return;
  }
  if ((event.key === "Enter" || event.key === " ") && event.target instanceof HTMLButtonElement && !event.target.classList.contains("event")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (key === "t") toggleTheme();
  else if (key === "?") showHelp();
  else if (!page?.press(key, event.shiftKey)) return;
  if (key === "t") page?.refresh();
  event.preventDefault();
}

byId("theme").addEventListener("click", () => {
  toggleTheme();
  page?.refresh();
});
byId("help").addEventListener("click", showHelp);
byId("logout").addEventListener("click", () => leave().then(() => location.reload()).catch(() => note("not logged out: the server cannot be reached")));
window.addEventListener("keydown", pressed);
window.addEventListener("beforeunload", (event) => {
  if (record?.saving) event.preventDefault();
});

startTheme();
const failure = await enter();
try {
  record = await ReviewRecord.load();
  setText(byId("name"), record.about.name);
  byId("name").title = `${record.about.source} · ${record.about.lead}`;
  byId("logout").hidden = !record.about.logged_in;
  document.title = `Review: ${record.about.name}`;
  page = new ReviewPage();
  page.start();
  page.overview.data = await (await fetch("/api/review/overview")).json();
  page.refresh();
} catch (error) {
  banner(failure || `${error.message}. Load this page again, or ask for a new link.`);
}
window.ecgReview = { record, page }; // for tests and the curious
