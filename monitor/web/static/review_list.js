// The list of events; only the rows in view exist, so that tens of thousands scroll.

import { element, setClass, setText } from "./format.js";

const ROW_PX = 30;
const MORE = 8; // rows beyond the view

export class ReviewList {
  constructor(record, choose) {
    this.record = record;
    this.root = element("div", "event-list");
    this.root.setAttribute("aria-label", "Events");
    this.root.setAttribute("role", "group");
    this.space = element("div", "event-space");
    this.root.append(this.space);
    this.choose = choose;
    this.rows = new Map(); // number of the event -> button
    this.shown = [];
    this.root.addEventListener("scroll", () => this.fill());
    new ResizeObserver(() => this.fill()).observe(this.root);
  }

  // events: in order; event: the present one, which the list scrolls to.
  show(events, event) {
    this.shown = events;
    this.event = event;
    this.space.style.height = `${events.length * ROW_PX}px`;
    const at = event ? events.indexOf(event) : -1;
    if (at >= 0) {
      const top = at * ROW_PX;
      const { scrollTop, clientHeight } = this.root;
      if (top < scrollTop + ROW_PX || top > scrollTop + clientHeight - 2 * ROW_PX) this.root.scrollTop = Math.max(0, top - clientHeight / 3);
    }
    this.fill();
  }

  fill() {
    const first = Math.max(0, Math.floor(this.root.scrollTop / ROW_PX) - MORE);
    const last = Math.min(this.shown.length, first + Math.ceil(this.root.clientHeight / ROW_PX) + 2 * MORE);
    const wanted = new Set();
    for (let place = first; place < last; place++) {
      const event = this.shown[place];
      wanted.add(event.n);
      const row = this.rows.get(event.n) ?? this.add(event);
      row.style.top = `${place * ROW_PX}px`;
      this.update(row, event);
    }
    for (const [n, row] of this.rows) {
      if (!wanted.has(n)) {
        row.remove();
        this.rows.delete(n);
      }
    }
  }

  add(event) {
    const row = element("button", "event");
    row.type = "button";
    row.tabIndex = -1; // the arrow keys step through the events
    row.addEventListener("click", () => this.choose(event));
    row.append(element("span", "number"), element("span", "sign"), element("span", "what"), element("span", "verdict-mark"));
    this.space.append(row);
    this.rows.set(event.n, row);
    return row;
  }

  update(row, event) {
    const decision = this.record.decisions.get(event.key);
    const [time, sign, what, verdict] = row.children;
    setText(time, this.record.time(event.sample));
    setText(sign, event.alarm ? "■" : "▲");
    setText(what, event.alarm ? this.record.title(event) : this.record.groups[event.group].title + (event.score === null ? "" : `, ${event.score.toFixed(1)}`));
    setText(verdict, !decision ? "" : event.alarm ? (decision.verdict === "true" ? "✓" : "✕") : decision.verdict === "|" ? "✕" : decision.verdict);
    setClass(row, `event${event.alarm ? " of-alarm" : ""}${decision ? " decided" : ""}`);
    if (event === this.event) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
}
