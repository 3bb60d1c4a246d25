// Review of a recording: head and keys of the page; the rest is in review_page.js.

import { enter, leave } from "./access.js";
import { ask } from "./api.js";
import { showKeys } from "./controls.js";
import { element, setClass, setText } from "./format.js";
import { note } from "./note.js";
import { ReviewPage } from "./review_page.js";
import { ReviewRecord } from "./review_record.js";
import { startTheme, toggleTheme } from "./theme.js";

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

function banner(text) {
  setText(byId("banner"), text);
  byId("banner").hidden = !text;
}

function updateHead() {
  const total = record.events.length;
  const decided = total - record.undecided(record.events).length;
  setText(byId("progress"), `${decided.toLocaleString("en")} of ${total.toLocaleString("en")} decided`);
  byId("progress-bar").max = Math.max(1, total);
  byId("progress-bar").value = decided;
  const bad = record.failure || record.lost || record.obstacle;
  setText(byId("saved"), bad ? "✕ NOT SAVED" : record.saving ? "saving …" : "● saved");
  setClass(byId("saved"), bad ? "bad" : "good");
  banner(record.failure ? `NOT SAVED, and taken back on this page: ${record.failure.replace(/^not saved: /, "")}`
    : record.lost ? `${record.lostWords.toUpperCase()}: decisions cannot be saved now.`
    : record.obstacle ? `${record.obstacle}: decisions cannot be saved.` : "");
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
  const { name, reviewer, may_decide: may } = record.about;
  setText(byId("name"), name);
  setText(byId("reviewer"), may ? `reviewer: ${reviewer}` : `${reviewer}: viewing only`);
  byId("name").title = `${record.about.source} · ${record.about.lead}`;
  byId("logout").hidden = !record.about.logged_in;
  document.title = `Review: ${name}`;
  record.addEventListener("change", updateHead);
  updateHead();
  page = new ReviewPage(record);
  page.start();
  page.overview.data = await ask("/api/review/overview", {});
  page.refresh();
} catch (error) {
  banner(failure || `${error.message}. Load this page again, or ask for a new link.`);
}
window.ecgReview = { record, page }; // for tests and for debugging in the console
