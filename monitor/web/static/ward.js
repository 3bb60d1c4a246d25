// The ward: a tile for each bed, the most urgent first. Only tiles in view have waves, at most MOST of them.

import { button } from "./controls.js";
import { CONDITION_WORDS, element, kindWords, MARKS, qualityWords, setClass, setText } from "./format.js";
import { now } from "./store.js";
import { Sweep } from "./sweep.js";

const MOST = 80; // tiles with a trace
const SORT_EVERY_S = 5; // tiles keep their places; a new high alarm sorts at once

class Tile {
  constructor(bed, open) {
    this.bed = bed;
    this.root = element("button", "tile");
    this.root.type = "button";
    this.root.dataset.bed = bed.key;
    const head = element("div", "head");
    this.mark = element("span", "mark");
    this.name = element("span", "name");
    this.limits = element("span", "limits");
    this.rate = element("span", "rate");
    head.append(this.mark, this.name, this.limits, this.rate);
    this.words = element("div", "words");
    this.plot = element("div", "plot");
    this.canvas = element("canvas");
    this.canvas.setAttribute("aria-hidden", "true");
    this.cover = element("div", "cover");
    this.coverText = element("span");
    this.cover.append(this.coverText);
    this.plot.append(this.canvas, this.cover);
    this.root.append(head, this.words, this.plot);
    this.root.addEventListener("click", () => open(bed));
    this.sweep = new Sweep(this.canvas, { gain: "auto", lineWidth: 1.3 });
    this.sweep.show(bed);
  }

  update(chosen, traces, drawn) {
    const { bed } = this;
    const alarm = bed.topAlarm();
    const condition = bed.condition();
    const quiet = alarm?.state === "acknowledged";
    setClass(this.root, ["tile", alarm?.priority ?? "", quiet ? "quiet" : "", chosen ? "chosen" : ""].filter(Boolean).join(" "));
    setText(this.mark, alarm ? MARKS[alarm.priority] : "");
    this.mark.hidden = !alarm;
    setText(this.name, bed.label);
    const rate = bed.shownRate();
    setText(this.rate, rate === null ? "---" : String(Math.min(999, Math.round(rate))));
    setClass(this.rate, rate === null ? "rate none" : "rate");
    setText(this.limits, limitsText(bed));
    setText(this.words, tileWords(bed, alarm, condition));
    const unwatched = condition === "live" ? bed.unwatchedWords() : "";
    // An old trace is never left standing: a tile without waves says so.
    const untraced = condition === "live" && traces && !drawn;
    if (untraced && !this.untraced) this.sweep.clear();
    this.untraced = untraced;
    this.cover.hidden = condition === "live" && !unwatched && !untraced;
    if (condition !== "live") {
      setClass(this.cover, `cover ${condition}`);
      const silent = bed.stillS();
      setText(this.coverText, CONDITION_WORDS[condition] + (silent >= 1 && condition !== "ended" && condition !== "starting" ? ` ${bed.stillWords()}` : ""));
    } else if (unwatched) {
      setClass(this.cover, "cover unwatched");
      setText(this.coverText, unwatched);
    } else if (untraced) {
      setClass(this.cover, "cover untraced");
      setText(this.coverText, "trace not shown here");
    }
    this.plot.hidden = !traces;
  }
}

function limitsText(bed) {
  const { rate_low_bpm: low, rate_high_bpm: high } = bed.status ?? {};
  if (low === undefined || high === undefined) return "";
  return `${low === null ? "off" : Math.round(low)}–${high === null ? "off" : Math.round(high)}`;
}

function tileWords(bed, alarm, condition) {
  if (alarm) {
    const more = bed.active.size > 1 ? ` +${bed.active.size - 1}` : "";
    const technical = alarm.category === "technical" ? "TECHNICAL " : "";
    return `${technical}${kindWords(alarm.kind)}${more} · ${alarm.state}`;
  }
  if (condition !== "live" || !bed.status) return "";
  if (bed.status.quality !== "good") return `signal ${qualityWords(bed.status.quality)}`;
  return bed.status.rhythm || "";
}

export class Ward {
  constructor(store, connection, open) {
    this.store = store;
    this.connection = connection;
    this.open = open;
    this.tiles = new Map();
    this.inView = new Set();
    this.cursor = null;
    this.sortedAt = -Infinity;
    this.root = element("section");
    this.root.setAttribute("aria-label", "Ward");
    const tools = element("div", "ward-tools");
    this.find = element("input");
    this.find.type = "search";
    this.find.placeholder = "Find a bed ( / )";
    this.find.setAttribute("aria-label", "Find a bed");
    this.find.addEventListener("input", () => (this.sortedAt = -Infinity));
    this.traces = button("Traces", () => {
      this.traces.setAttribute("aria-pressed", String(!this.withTraces));
      this.subscribe();
    }, "Show or hide the traces");
    this.traces.setAttribute("aria-pressed", "true");
    this.summary = element("span", "dim");
    tools.append(this.find, this.traces, this.summary);
    this.grid = element("div", "ward");
    this.empty = element("p", "dim");
    this.root.append(tools, this.empty, this.grid);
    this.observer = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (entry.isIntersecting) this.inView.add(entry.target.dataset.bed);
        else this.inView.delete(entry.target.dataset.bed);
      }
      this.subscribe();
    }, { rootMargin: "80px" });
    store.addEventListener("alarm", (event) => {
      if (event.detail.isNew && event.detail.alarm.priority === "high") this.sortedAt = -Infinity;
    });
    store.addEventListener("beds", () => (this.sortedAt = -Infinity));
  }

  get withTraces() {
    return this.traces.getAttribute("aria-pressed") === "true";
  }

  // Beds with a trace: those in view.
  subscribe() {
    if (!this.root.isConnected) return;
    const shown = this.withTraces ? this.order.filter((bed) => this.inView.has(bed.key)).slice(0, MOST) : [];
    this.drawn = shown;
    this.connection.setView(shown, []);
  }

  get order() {
    return [...this.grid.children].map((root) => this.tiles.get(root.dataset.bed)?.bed).filter(Boolean);
  }

  enter() {
    this.sortedAt = -Infinity;
    this.update();
    this.subscribe();
  }

  leave() {}

  // Four times a second: words, numbers, order.
  update() {
    const beds = this.store.beds;
    for (const key of this.tiles.keys()) {
      const bed = this.store.bed(key);
      if (bed !== this.tiles.get(key).bed) this.drop(key);
    }
    for (const bed of beds) {
      if (!this.tiles.has(bed.key)) {
        const tile = new Tile(bed, this.open);
        this.tiles.set(bed.key, tile);
        this.grid.append(tile.root);
        this.observer.observe(tile.root);
      }
    }
    if (now() - this.sortedAt >= SORT_EVERY_S) this.sort();
    const drawn = new Set(this.drawn);
    for (const tile of this.tiles.values()) tile.update(tile.bed === this.cursor, this.withTraces, drawn.has(tile.bed));
    this.grid.classList.toggle("many", beds.length > 60);
    const alarmed = beds.filter((bed) => bed.active.size).length;
    setText(this.summary, beds.length ? `${beds.length} bed${beds.length > 1 ? "s" : ""}, ${alarmed} with alarms` : "");
    setText(this.empty, beds.length ? "" : "Waiting for the monitor: no bed is known yet.");
    this.grid.style.setProperty("--tile", beds.length > 60 ? "13em" : beds.length > 16 ? "17em" : "22em");
  }

  drop(key) {
    const tile = this.tiles.get(key);
    this.observer.unobserve(tile.root);
    this.inView.delete(key);
    tile.root.remove();
    this.tiles.delete(key);
  }

  sort() {
    this.sortedAt = now();
    const wanted = this.find.value.trim().toLowerCase();
    const order = this.store.ordered();
    for (const bed of order) this.tiles.get(bed.key).root.hidden = !bed.label.toLowerCase().includes(wanted);
    const current = this.order;
    if (order.some((bed, n) => bed !== current[n])) {
      const focus = document.activeElement;
      this.grid.append(...order.map((bed) => this.tiles.get(bed.key).root));
      if (focus instanceof HTMLElement && this.grid.contains(focus)) focus.focus({ preventScroll: true });
    }
    this.subscribe();
  }

  draw() {
    for (const bed of this.drawn ?? []) this.tiles.get(bed.key)?.sweep.draw();
  }

  // The bed that keys act on.
  chosen() {
    return this.cursor ?? this.order.find((bed) => bed.topAlarm()?.state !== "acknowledged" && bed.topAlarm()) ?? null;
  }

  press(key) {
    const beds = this.order.filter((bed) => !this.tiles.get(bed.key).root.hidden);
    const columns = getComputedStyle(this.grid).gridTemplateColumns.split(" ").length;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
    if (key === "/") this.find.focus();
    else if (key === "Enter" && this.cursor) this.open(this.cursor);
    else if (key === "Escape") this.cursor = null;
    else if (key in steps && beds.length) {
      const at = beds.indexOf(this.cursor) + steps[key];
      this.cursor = beds[Math.max(0, Math.min(beds.length - 1, at))];
      this.tiles.get(this.cursor.key).root.scrollIntoView({ block: "nearest" });
      this.tiles.get(this.cursor.key).root.focus({ preventScroll: true });
    } else return false;
    this.update();
    return true;
  }
}
