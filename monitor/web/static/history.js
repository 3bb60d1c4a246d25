// History: past alarms of all runs, from the journals of the monitors; one alarm with its strip and exports.

import { address, ask } from "./api.js";
import { button, labelled, option } from "./controls.js";
import { clock, compareLabels, dateTime, decoded, element, kindWords, MARKS, number, qualityWords, setText } from "./format.js";

const PAGE = 100;
const TYPING_MS = 300;
const REFRESH_MS = 1500;
const RANGES = [["", "any time"], ["1h", "last hour"], ["8h", "last 8 h"], ["1d", "last 24 h"], ["1w", "last 7 days"], ["custom", "from … to …"]];
const STATES = ["open", "onset", "latched", "acknowledged", "cleared", "ended", "died"];
const ENDS = { running: "still running", "in order": "ended in order", died: "was killed", error: "ended by an error" };

const wall = (seconds) => `${new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ")}`;

export class HistoryView {
  constructor(store, connection) {
    this.store = store;
    this.connection = connection;
    this.root = element("section", "history");
    this.rows = [];
    this.before = "";
    this.beds = new Map(); // beds and kinds of all alarms so far, to choose from
    this.kinds = new Set();
    this.wanted = ""; // of the alarm shown: monitor/run/id
    this.buildList();
    this.detail = element("div", "past-alarm");
    this.detail.tabIndex = -1;
    this.root.append(this.list, this.detail);
    store.addEventListener("alarm", () => (this.changed = true));
    store.addEventListener("beds", () => (this.changed = true));
  }

  buildList() {
    this.list = element("div", "past-list");
    const tools = element("form", "history-tools");
    tools.addEventListener("submit", (event) => event.preventDefault());
    this.filters = {
      bed: filter("Bed", [["", "all beds"]]),
      kind: filter("Alarm", [["", "all alarms"]]),
      priority: filter("Priority", [["", "all priorities"], ...["high", "medium", "low"].map((word) => [word, `${MARKS[word]} ${word}`])]),
      state: filter("State", [["", "all states"], ...STATES.map((word) => [word, { open: "not cleared", ended: "monitor ended", died: "monitor died" }[word] ?? word])]),
      range: filter("Time", RANGES),
      since: field("From (UTC)", "datetime-local"),
      until: field("To (UTC)", "datetime-local"),
      text: field("Text", "search"),
    };
    this.filters.text.input.placeholder = "text, id, person (/)";
    for (const { label, input } of Object.values(this.filters)) {
      tools.append(label);
      input.addEventListener(input.type === "search" ? "input" : "change", () => this.search(input.type === "search" ? TYPING_MS : 0));
    }
    this.csv = element("a", "button", "CSV");
    this.csv.title = "The whole list as a table";
    this.csv.download = "alarms.csv";
    tools.append(this.csv);
    this.count = element("p", "dim");
    this.count.setAttribute("role", "status");
    this.failure = element("p", "bad");
    this.table = element("table", "list past");
    const head = element("tr");
    for (const name of ["Onset (UTC)", "Bed", "Priority", "Alarm", "State", "Lasted", "Text"]) head.append(element("th", "", name));
    const top = element("thead");
    top.append(head);
    this.body = element("tbody");
    this.table.append(top, this.body);
    this.more = button("Show more", () => this.load(true));
    this.list.append(element("h1", "", "Past alarms"), tools, this.count, this.failure, this.table, this.more);
    this.showRange();
  }

  // Route `#/history` and `#/history/MONITOR/RUN/ID`.
  open(rest) {
    this.wanted = rest.join("/");
    const [monitor, epoch, ...id] = rest;
    if (rest.length < 3) {
      this.wanted = "";
      this.answer?.abort();
      this.detail.replaceChildren();
    } else {
      this.show({ monitor: decoded(monitor), epoch: decoded(epoch), id: decoded(id.join("/")) });
    }
    this.list.hidden = Boolean(this.wanted);
    this.detail.hidden = !this.wanted;
    if (!this.wanted) this.body.querySelector(`[data-key="${CSS.escape(this.last ?? "")}"] a`)?.focus();
  }

  enter() {
    this.connection.setView([], []);
    if (!this.wanted) this.search(0);
  }

  leave() {
    this.question?.abort();
  }

  update() {
    const bedsKnown = this.store.monitors.length;
    if (!this.changed || !bedsKnown || this.wanted || this.rows.length > PAGE || Date.now() - (this.loadedAt ?? 0) < REFRESH_MS) return;
    this.changed = false;
    this.load(false);
  }

  draw() {}

  chosen() {
    return null;
  }

  press(key) {
    if (this.wanted) {
      if (key !== "Escape") return false;
      location.hash = "#/history";
      return true;
    }
    if (key === "/") {
      this.filters.text.input.focus();
      return true;
    }
    if (key !== "ArrowDown" && key !== "ArrowUp") return false;
    const links = [...this.body.querySelectorAll("a")];
    const at = links.indexOf(document.activeElement);
    links[Math.max(0, Math.min(links.length - 1, at + (key === "ArrowDown" ? 1 : -1)))]?.focus();
    return true;
  }

  // The list again after the filters have changed.
  search(delayMs) {
    this.showRange();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.load(false), delayMs);
  }

  showRange() {
    const custom = this.filters.range.input.value === "custom";
    this.filters.since.label.hidden = this.filters.until.label.hidden = !custom;
  }

  query() {
    const value = (name) => this.filters[name].input.value;
    const custom = value("range") === "custom";
    const slash = value("bed").indexOf("/");
    return {
      monitor: slash < 0 ? "" : value("bed").slice(0, slash), bed: slash < 0 ? "" : value("bed").slice(slash + 1),
      kind: value("kind"), priority: value("priority"), state: value("state"), text: value("text").trim(),
      since: custom ? value("since") : value("range"), until: custom ? value("until") : "",
    };
  }

  async load(more) {
    this.question?.abort();
    const question = (this.question = new AbortController());
    const query = this.query();
    this.csv.href = address("/api/alarms.csv", query);
    if (!this.rows.length) setText(this.count, "reading the journal …");
    try {
      const found = await ask("/api/alarms", { ...query, limit: PAGE, before: more ? this.before : "" }, question.signal);
      this.rows = more ? [...this.rows, ...found.alarms] : found.alarms;
      this.before = found.before;
      this.fill(found);
    } catch (error) {
      if (error.name === "AbortError") return;
      setText(this.failure, error.message);
      setText(this.count, "");
    }
    this.loadedAt = Date.now();
  }

  fill(found) {
    setText(this.failure, found.missing.join(" · "));
    const some = this.rows.length < found.total ? `the newest ${this.rows.length} of ` : "";
    setText(this.count, found.total ? `${some}${found.total} alarm${found.total === 1 ? "" : "s"}${found.complete ? "" : "; older ones are in the journal only"}` : "no such alarm");
    for (const [monitor, bed] of found.beds) this.beds.set(`${monitor}/${bed}`, [monitor, bed]);
    for (const kind of found.kinds) this.kinds.add(kind);
    this.options("bed", "all beds", [...this.beds].map(([key, names]) => [key, this.label(...names)]).sort((a, b) => compareLabels(a[1], b[1])));
    this.options("kind", "all alarms", [...this.kinds].sort().map((kind) => [kind, kindWords(kind)]));
    this.more.hidden = !found.before;
    const focused = document.activeElement?.closest?.("tr")?.dataset.key;
    this.body.replaceChildren(...this.rows.map((row) => this.row(row)));
    if (focused) this.body.querySelector(`[data-key="${CSS.escape(focused)}"] a`)?.focus();
  }

  label(monitor, bed) {
    return this.store.monitors[monitor]?.beds.get(bed)?.label ?? (this.store.monitors.length > 1 ? `${bed} @${monitor + 1}` : bed);
  }

  options(name, all, pairs) {
    const { input } = this.filters[name];
    const text = JSON.stringify(pairs);
    if (text === input.dataset.known) return;
    input.dataset.known = text;
    const { value } = input;
    input.replaceChildren(option("", all), ...pairs.map(([each, words]) => option(each, words)));
    input.value = value;
  }

  row(alarm) {
    const row = element("tr", alarm.state === "cleared" ? "quiet" : "");
    const hash = `#/history/${alarm.monitor}/${encodeURIComponent(alarm.epoch)}/${encodeURIComponent(alarm.alarm_id)}`;
    row.dataset.key = hash;
    const open = () => {
      this.last = hash;
      location.hash = hash;
    };
    row.addEventListener("click", open);
    const link = element("a", "", (alarm.category === "technical" ? "TECHNICAL " : "") + kindWords(alarm.kind));
    link.href = hash;
    link.addEventListener("click", () => (this.last = hash));
    const mark = element("span", `mark ${alarm.priority}`, MARKS[alarm.priority]);
    mark.setAttribute("aria-label", `${alarm.priority} priority`);
    const cells = [dateTime(alarm.time), this.label(alarm.monitor, alarm.bed), mark, link, alarm.state + (alarm.who ? ` by ${alarm.who}` : ""),
      alarm.lasted_s === null ? "" : lasted(alarm.lasted_s), alarm.text + (alarm.count > 1 ? ` (${alarm.count} times)` : "")];
    cells.forEach((content, n) => {
      const cell = element("td", ["time number", "bed", "priority", "kind", "state", "lasted number", "text"][n]);
      cell.append(content);
      row.append(cell);
    });
    return row;
  }

  async show(names) {
    this.answer?.abort();
    const answer = (this.answer = new AbortController());
    this.detail.replaceChildren(back(), element("p", "dim", "reading the journal …"));
    let found;
    try {
      found = await ask("/api/alarm", names, answer.signal);
    } catch (error) {
      if (error.name !== "AbortError") this.detail.replaceChildren(back(), element("p", "bad", error.message));
      return;
    }
    this.detail.replaceChildren(back(), ...this.alarm(found, names));
    this.detail.focus({ preventScroll: true });
    this.detail.scrollIntoView();
  }

  alarm(found, names) {
    const head = element("div", `alarm ${found.priority}${found.state === "cleared" ? " quiet" : ""}`);
    const mark = element("span", `mark ${found.priority}`, MARKS[found.priority]);
    mark.setAttribute("aria-label", `${found.priority} priority`);
    const title = element("h1", "kind", (found.category === "technical" ? "TECHNICAL " : "") + kindWords(found.kind));
    head.append(mark, title, element("span", "bed", this.label(found.monitor, found.bed)), element("span", "state", found.state), element("span", "text", found.text));
    const source = found.sources.at(-1);
    const run = found.run;
    const facts = element("dl", "facts");
    for (const [name, value] of [
      ["began (UTC)", dateTime(found.time)],
      ["lasted", found.lasted_s === null ? "" : lasted(found.lasted_s)],
      ["recurrences", found.count > 1 ? `${found.count} times` : ""],
      ["source", source ? `${source.source} · ${source.lead} · ${source.fs_hz} Hz` : ""],
      ["model", `${found.model.name} (SHA-256 ${found.model.sha256.slice(0, 12)}…)`],
      ["run", run ? `${run.epoch}, ecg-monitor ${run.version}, began ${wall(run.started_s)}, ${ENDS[run.ended] ?? "ended"}${run.ended_s ? ` ${wall(run.ended_s)}` : ""}` : found.epoch],
      ["id", found.alarm_id],
    ]) if (value) facts.append(element("dt", "", name), element("dd", "", value));
    return [head, facts, ...this.strip(found, names), ...states(found), ...operators(found), ...evidence(found.evidence)];
  }

  strip(found, names) {
    const one = { monitor: found.monitor, id: found.alarm_id, epoch: found.epoch };
    const box = element("div", "paper");
    box.tabIndex = 0;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", "Strip; scroll to the side");
    const image = element("img");
    image.alt = `ECG strip of 10 s around the onset of ${kindWords(found.kind)}, 25 mm/s, 10 mm/mV`;
    const none = element("p", "dim");
    const svg = download("Strip (SVG)", "");
    const set = (raw) => {
      const url = address("/api/strip.svg", { ...one, raw: raw ? "true" : "" });
      image.src = svg.href = url;
    };
    image.addEventListener("error", async () => {
      box.hidden = true;
      svg.hidden = true;
      const answer = await fetch(image.src).catch(() => null);
      setText(none, answer && !answer.ok ? (await answer.text()).trim() : "the strip cannot be shown");
    });
    box.append(image);
    const raw = element("input");
    raw.type = "checkbox";
    raw.addEventListener("change", () => set(raw.checked));
    const unfiltered = element("label");
    unfiltered.append(raw, " unfiltered");
    set(false);
    const files = element("p", "downloads");
    files.append(unfiltered, svg, download("FHIR", address("/api/export", { ...one, format: "fhir" })), download("HL7", address("/api/export", { ...one, format: "hl7" })));
    return [element("h2", "", "Strip: 10 s around the onset"), box, none, files];
  }
}

function states(found) {
  const table = rows(["Time (UTC)", "State", "Text", "By", "Sample", "Latency"], found.states.map((message) => {
    const { alarm } = message;
    return [message.time.slice(0, 23).replace("T", " "), alarm.update ? `${alarm.state} (update)` : alarm.state, alarm.text, alarm.acknowledged_by, String(alarm.decided_sample),
      message.latency_ms === null || message.latency_ms === undefined ? "" : `${message.latency_ms.toFixed(1)} ms`];
  }), 2);
  return [element("h2", "", "States"), table];
}

function operators(found) {
  if (!found.actions.length) return [element("h2", "", "Operators"), element("p", "dim", "not acknowledged")];
  return [element("h2", "", "Operators (wall clock, UTC)"), rows(["Time", "Person", "Action", ""], found.actions.map((each) => [wall(each.wall_s), each.who || "unknown", each.what, each.detail]))];
}

function evidence(given) {
  const unit = given.limit_unit ? ` ${given.limit_unit}` : "";
  const known = (value) => value !== null && value !== undefined;
  const numbers = [
    known(given.value) && `measured ${+given.value.toPrecision(4)}${unit}`, known(given.limit) && `limit ${+given.limit.toPrecision(4)}${unit}`,
    known(given.heart_rate_bpm) && `heart rate ${Math.round(given.heart_rate_bpm)} bpm`, known(given.threshold) && `score limit ${number(given.threshold)}`,
    given.quality && `signal ${qualityWords(given.quality)}`,
  ].filter(Boolean);
  const parts = [element("h2", "", "Evidence"), element("p", "", numbers.join(", ") || "none beyond the text")];
  const beats = given.r_samples ?? [];
  const at = (column, n, digits) => number(given[column]?.[n], digits);
  if (beats.length) {
    parts.push(rows(["R-peak (sample)", "log p", "Score", "p-value", "RR / usual", "QRS (ms)", "Reasons"], beats.map((sample, n) => [
      String(sample), at("log_prob", n), at("score", n), known(given.p_value?.[n]) ? String(+given.p_value[n].toPrecision(2)) : "–", at("rr_ratio", n), at("qrs_ms", n, 0), (given.words?.[n] ?? []).join(", "),
    ]), 6));
  }
  return parts;
}

// A table that scrolls to the side where it is too wide; `wide`: the column with text.
function rows(heads, lines, wide) {
  const table = element("table", "list");
  const head = element("tr");
  for (const name of heads) head.append(element("th", "", name));
  const top = element("thead");
  top.append(head);
  const body = element("tbody");
  for (const line of lines) {
    const row = element("tr");
    row.append(...line.map((text, n) => element("td", n === wide ? "wide" : "number", text)));
    body.append(row);
  }
  table.append(top, body);
  const box = element("div", "scroll");
  box.tabIndex = 0;
  box.append(table);
  return box;
}

function back() {
  const link = element("a", "button", "← List");
  link.href = "#/history";
  return link;
}

function download(text, href) {
  const link = element("a", "button", text);
  link.href = href;
  link.download = "";
  return link;
}

function lasted(seconds) {
  return seconds < 60 ? `${seconds.toFixed(1)} s` : clock(seconds);
}

function filter(name, options) {
  const input = element("select");
  input.append(...options.map(([value, text]) => option(value, text)));
  return { label: labelled(name, input), input };
}

function field(name, type) {
  const input = element("input");
  input.type = type;
  input.title = name;
  return { label: labelled(name, input), input };
}
