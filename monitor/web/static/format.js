// Words, marks and times as the terminal dashboard writes them. Pure.

// Marks of priority as on patient monitors (IEC 60601-1-8): the number of exclamation marks needs no colour.
export const MARKS = { high: "!!!", medium: "!!", low: "!" };
export const RANK = { low: 0, medium: 1, high: 2 };

const QUALITY = {
  good: "good", hum: "mains hum", muscle: "muscle noise", wander: "baseline wanders", motion: "electrode moves",
  clipped: "clipped", flat: "flat", settling: "settling", gap: "samples missing", leads_off: "leads off",
  calibration: "calibration or test signal", unit: "not in mV", truncated: "cut short",
};

export const CONDITION_WORDS = {
  starting: "STARTING", no_data: "NO DATA", source_lost: "SOURCE LOST", ended: "ENDED", stale: "STALE",
  lost: "CONNECTION LOST", connecting: "CONNECTING", behind: "MONITOR IS BEHIND",
};

export function qualityWords(quality) {
  return QUALITY[quality] ?? quality.replaceAll("_", " ");
}

export function kindWords(kind) {
  return kind.replaceAll("_", " ");
}

// Hours, minutes and seconds; without hours under one hour.
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const rest = `${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  return hours ? `${hours}:${rest}` : rest;
}

// Date and time of an ISO 8601 text, in UTC as the monitor writes it, without fractions.
export function dateTime(iso) {
  return iso.length >= 19 ? iso.slice(0, 19).replace("T", " ") : iso;
}

// A part of the page's address; a mistyped one as it is.
export function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function shortAddress(address) {
  return address.replace(/^(tcp|ipc):\/\//, "");
}

export function number(value, digits = 2) {
  return value === null || value === undefined ? "–" : value.toFixed(digits);
}

// Sort key that puts `bed 9` before `bed 10`.
export const compareLabels = new Intl.Collator("en", { numeric: true }).compare;

// An element with text; text of devices and people is only ever text, never HTML.
export function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setClass(node, className) {
  if (node.className !== className) node.className = className;
}
