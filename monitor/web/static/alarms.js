// Alarms: the list of a bed or of all beds with its buttons, and the requests to the monitor.

import { button } from "./controls.js";
import { byUrgency } from "./store.js";
import { dateTime, element, kindWords, MARKS, setClass, setText } from "./format.js";

const PAUSE_S = 120;

// Acknowledging and pausing, with the result as a note to the person.
export class Actions {
  constructor(store, connection, note) {
    this.store = store;
    this.connection = connection;
    this.note = note;
  }

  get allowed() {
    return this.store.role === "operator";
  }

  async ask(bed, request, done) {
    if (!this.allowed) {
      this.note("this page may only view: its key has the role viewer");
      return false;
    }
    try {
      const reply = await this.connection.request({ ...request, monitor: bed.monitor.number });
      this.note(reply.ok ? `${done} (${bed.label})` : reply.error);
      return reply.ok;
    } catch (error) {
      this.note(`not done: ${error.message}`);
      return false;
    }
  }

  acknowledge(bed, alarm) {
    return this.ask(bed, { op: "acknowledge", bed: bed.name, alarm_id: alarm.alarm_id }, `acknowledged: ${kindWords(alarm.kind)}`);
  }

  acknowledgeTop(bed) {
    const alarm = bed?.alarms().find((each) => each.state !== "acknowledged");
    if (alarm) this.acknowledge(bed, alarm);
    else this.note("nothing to acknowledge");
  }

  pauseAudio(bed) {
    if (!bed) {
      this.note("no bed is chosen");
      return;
    }
    const seconds = bed.audioPausedS() > 0 ? 0 : PAUSE_S;
    this.ask(bed, { op: "pause_audio", bed: bed.name, seconds }, seconds ? `alarm audio paused for ${seconds} s` : "alarm audio on");
  }
}

// Rows of alarms, kept by id so that nothing flickers.
export class AlarmRows {
  constructor(actions, withBed, open) {
    this.actions = actions;
    this.withBed = withBed;
    this.open = open;
    this.rows = new Map();
    this.root = element("ul", "alarm-list");
  }

  update(pairs) {
    const wanted = new Set(pairs.map(([bed, alarm]) => `${bed.key} ${alarm.alarm_id}`));
    for (const [key, row] of this.rows) {
      if (!wanted.has(key)) {
        row.root.remove();
        this.rows.delete(key);
      }
    }
    pairs.forEach(([bed, alarm], place) => {
      const key = `${bed.key} ${alarm.alarm_id}`;
      let row = this.rows.get(key);
      if (!row) {
        row = this.make(bed);
        this.rows.set(key, row);
      }
      this.fill(row, bed, alarm);
      if (this.root.children[place] !== row.root) this.root.insertBefore(row.root, this.root.children[place] ?? null);
    });
  }

  make(bed) {
    const root = element("li");
    const row = { root, alarm: null };
    for (const name of ["mark", "bed", "kind", "state", "age", "text"]) row[name] = element("span", name);
    row.button = button("Acknowledge", () => this.actions.acknowledge(bed, row.alarm));
    row.bed.hidden = !this.withBed;
    if (this.withBed) {
      const link = element("a", "", bed.label);
      link.href = `#/bed/${encodeURIComponent(bed.key)}`;
      row.bed.append(link);
    }
    root.append(row.mark, row.bed, row.kind, row.state, row.age, row.text, row.button);
    return row;
  }

  fill(row, bed, alarm) {
    row.alarm = alarm;
    const quiet = alarm.state === "acknowledged";
    setClass(row.root, `alarm ${alarm.priority}${quiet ? " quiet" : ""}`);
    setClass(row.mark, `mark ${alarm.priority}`);
    setText(row.mark, MARKS[alarm.priority]);
    row.mark.setAttribute("aria-label", `${alarm.priority} priority`);
    setText(row.kind, (alarm.category === "technical" ? "TECHNICAL " : "") + kindWords(alarm.kind));
    setText(row.state, alarm.state + (alarm.acknowledged_by ? ` by ${alarm.acknowledged_by}` : ""));
    setText(row.age, bed.ageWords(alarm));
    row.age.title = "time since its onset";
    setText(row.text, alarm.text + (alarm.count > 1 ? ` (${alarm.count} times)` : ""));
    row.button.hidden = quiet || !this.actions.allowed;
  }
}

// View of all active alarms.
export class AlarmView {
  constructor(store, connection, actions) {
    this.store = store;
    this.connection = connection;
    this.root = element("section", "panel");
    const title = element("h1", "", "Active alarms");
    this.none = element("p", "all-clear");
    this.rows = new AlarmRows(actions, true);
    const past = element("h2", "", "Since this page was opened");
    this.table = element("table", "list");
    const head = element("tr");
    for (const name of ["Time (UTC)", "Bed", "Priority", "Alarm", "State", "Text"]) head.append(element("th", "", name));
    const top = element("thead");
    top.append(head);
    this.past = element("tbody");
    this.table.append(top, this.past);
    this.root.append(title, this.none, this.rows.root, past, this.table);
    this.shown = 0;
    store.addEventListener("alarm", () => (this.changed = true));
  }

  enter() {
    this.connection.setView([], []);
    this.changed = true;
    this.update();
  }

  leave() {}

  draw() {}

  update() {
    const pairs = this.pairs();
    this.rows.update(pairs);
    const unknown = this.store.monitors.some((monitor) => monitor.connection() !== "connected");
    setText(this.none, pairs.length ? "" : unknown ? "Alarms unknown: a monitor is not connected." : "No active alarms.");
    setClass(this.none, unknown ? "bad" : "all-clear");
    if (this.changed) {
      this.changed = false;
      this.past.replaceChildren(...this.store.log.slice(0, 300).map(({ bed, body }) => {
        const row = element("tr");
        const { alarm } = body;
        const state = alarm.update ? `${alarm.state} (update)` : alarm.state;
        const cells = [dateTime(body.time), bed.label, "", kindWords(alarm.kind), state, alarm.text];
        row.append(...cells.map((text) => element("td", "", text)));
        row.children[2].append(element("span", `mark ${alarm.priority}`, MARKS[alarm.priority]));
        return row;
      }));
    }
  }

  // Active alarms of all beds as [bed, alarm], the most urgent first.
  pairs() {
    const pairs = this.store.beds.flatMap((bed) => bed.alarms().map((alarm) => [bed, alarm]));
    return pairs.sort((a, b) => byUrgency(a[1], b[1]));
  }

  // The bed of the most urgent alarm.
  chosen() {
    return this.pairs()[0]?.[0] ?? null;
  }

  press() {
    return false;
  }
}
