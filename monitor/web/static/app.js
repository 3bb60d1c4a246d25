// The page: views, keys, the state of the connection, announcements.

import { again, enter, leave } from "./access.js";
import { Actions, AlarmView } from "./alarms.js";
import { BedView } from "./bed.js";
import { Connection } from "./connection.js";
import { showKeys } from "./controls.js";
import { decoded, element, kindWords, setClass, setText } from "./format.js";
import { HistoryView } from "./history.js";
import { Inspector } from "./inspector.js";
import { note } from "./note.js";
import { Sound } from "./sound.js";
import { Store } from "./store.js";
import { startTheme, toggleTheme } from "./theme.js";
import { Ward } from "./ward.js";

const KEYS = [
  ["w, Esc", "ward"], ["arrows, Enter", "choose and open a bed"], ["/", "find a bed"], ["b", "next bed"],
  ["a", "acknowledge the top alarm"], ["m", "pause alarm audio for 2 min; again: end the pause"], ["s", "sound on or off"],
  ["i", "inspect single beats; there: arrows, with Shift from one anomalous beat to the next"],
  ["space", "freeze the trace; alarms continue"], ["+ -", "gain"], ["l", "list of alarms"], ["h", "history"],
  ["t", "dark or light"], ["?", "this page"],
];
const SIGNS = [
  "!!! high   !! medium   ! low; filled: needs a person, outlined: acknowledged. TECHNICAL: signal or monitor.",
  "▲ anomalous beat   ╵ normal beat   ○ beat not scored. A line over the whole trace is a pacing pulse.",
  "A high alarm stays until a person acknowledges it, also when its cause is over (latched).",
  "Times are those of the signal, in UTC.",
];

const LINK_MARKS = { connecting: "✕ CONNECTING", lost: "✕ SERVER LOST", late: "✕ TOO SLOW" };
const LINK_WORDS = {
  connecting: "",
  lost: "CONNECTION TO THE SERVER LOST: what this page shows is old. It reconnects by itself.",
  late: "THE CONNECTION OR THIS BROWSER IS TOO SLOW: what this page shows comes late.",
};

const byId = (id) => document.getElementById(id);
const store = new Store();
const connection = new Connection(store);
const sound = new Sound(store);
const actions = new Actions(store, connection, note);
const openBed = (bed) => (location.hash = `#/bed/${encodeURIComponent(bed.key)}`);
const inspector = new Inspector(store, connection);
document.body.append(inspector.root);
const views = {
  ward: new Ward(store, connection, openBed),
  bed: new BedView(store, connection, actions, (bed) => inspector.open(bed)),
  alarms: new AlarmView(store, connection, actions),
  history: new HistoryView(store, connection),
};
let view = null;
let refused = ""; // why the server does not let this page in

function route() {
  const [, name = "", ...rest] = location.hash.split("/");
  const wanted = views[name] ? name : store.beds.length === 1 ? "bed" : "ward";
  if (inspector.root.open) inspector.close();
  if (wanted === "history") views.history.open(rest);
  if (wanted === "bed" && rest.length) views.bed.open(decoded(rest.join("/")));
  if (view !== views[wanted]) {
    view?.leave();
    view = views[wanted];
    byId("main").replaceChildren(view.root);
    for (const link of document.querySelectorAll("nav [data-view]")) {
      if (link.dataset.view === wanted) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }
  view.enter();
}

function monitorWords(monitor) {
  const state = monitor.connection();
  if (state !== "connected") return `${monitor.address}: ${state.toUpperCase()}`;
  return monitor.isBehind ? `${monitor.address}: BEHIND BY ${Math.round(monitor.heartbeat.late_s)} s` : "";
}

function updateHead() {
  const states = store.monitors.map((monitor) => monitor.connection());
  const down = states.filter((state) => state !== "connected");
  const link = byId("link");
  setText(link, refused ? "✕ NO ACCESS" : store.link !== "open" ? LINK_MARKS[store.link] : down.length ? `✕ ${down.length} of ${states.length} not connected` : "● connected");
  setClass(link, store.link !== "open" || down.length ? "bad" : "good");
  const banner = byId("banner");
  const words = refused ? refused : store.link !== "open" ? LINK_WORDS[store.link] : store.monitors.map(monitorWords).filter(Boolean).join("   ");
  banner.hidden = !words || (store.link === "connecting" && !refused);
  byId("logout").hidden = !store.name;
  byId("logout").title = `${store.name} (${store.role})`;
  setText(banner, words);
  const waiting = store.beds.reduce((sum, bed) => sum + bed.alarms().filter((alarm) => alarm.state !== "acknowledged").length, 0);
  setText(byId("alarm-count"), waiting ? String(waiting) : "");
  document.title = waiting ? `(${waiting}) ecg-monitor` : "ecg-monitor";
  const button = byId("sound");
  setText(button, sound.on ? "♪ sound on" : "✕ sound off, click to turn on");
  setClass(button, sound.on ? "" : "needed");
}

const showHelp = () => showKeys(byId("help-page"), element("h1", "", "Keys and signs"), KEYS, SIGNS);

function press(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
  const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
  if (typing) {
    if (event.key === "Escape" || event.key === "Enter") event.target.blur();
    return;
  }
  if (event.key === "Enter" && (event.target instanceof HTMLButtonElement || event.target instanceof HTMLAnchorElement)) return;
  if (event.key === " " && event.target instanceof HTMLButtonElement && view !== views.bed) return;
  if (view.press(event.key)) event.preventDefault();
  else if (event.key === "a") actions.acknowledgeTop(view.chosen());
  else if (event.key === "m") actions.pauseAudio(view.chosen());
  else if (event.key === "s") sound.toggle().then(updateHead);
  else if (event.key === "t") toggleTheme();
  else if (event.key === "?") showHelp();
  else if (event.key === "w" || event.key === "Escape") location.hash = "#/ward";
  else if (event.key === "l") location.hash = "#/alarms";
  else if (event.key === "i" && view === views.bed) inspector.open(view.chosen());
  else if (event.key === "h") location.hash = "#/history";
}

store.addEventListener("alarm", ({ detail: { bed, alarm } }) => {
  if (alarm.update || alarm.state !== "onset") return;
  setText(byId("announce"), `${bed.label}: ${alarm.priority} alarm, ${kindWords(alarm.kind)}. ${alarm.text}`);
});
connection.addEventListener("link", () => {
  if (!location.hash && store.link === "open") route(); // one bed is shown at once, several as a ward
  updateHead();
});
connection.addEventListener("alive", () => sound.update()); // timers of a page in the background run once a minute
connection.addEventListener("incomplete", () => note("Some alarms of the time without connection are no longer in the journal."));
connection.addEventListener("refused", async ({ detail }) => {
  if (await again()) {
    connection.open();
    return;
  }
  refused = `NO ACCESS: ${detail}. Ask for a new link.`;
  store.name = "";
  updateHead();
});
byId("logout").addEventListener("click", () => leave().catch(() => note("not logged out: the server cannot be reached")));
byId("sound").addEventListener("click", () => sound.toggle().then(updateHead));
byId("theme").addEventListener("click", toggleTheme);
byId("help").addEventListener("click", showHelp);
window.addEventListener("hashchange", route);
window.addEventListener("keydown", press);

startTheme();
const failure = await enter();
route();
updateHead();
if (failure) note(failure);
connection.open();
setInterval(() => {
  view.update();
  if (view === views.bed) inspector.update(view.chosen() ?? undefined);
  updateHead();
  sound.update();
}, 250);
function frame() {
  view.draw();
  requestAnimationFrame(frame);
}
requestAnimationFrame(frame);
window.ecgMonitor = { store, connection, sound, views }; // for tests and for debugging in the console
