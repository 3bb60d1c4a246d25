// Text tables of samples: cells, header, the column of the ECG, times and gaps. Refuses what it cannot know.

const TIME_NAME = /time|zeit|stamp|millis|micros|elapsed|datetime|uhrzeit|^t$|^ms$/i;
const INDEX_NAME = /^(sample|index|n|no\.?|#|)$|sample.?(number|index)|packet|counter/i;
const ECG_NAME = /ecg|ekg|mlii|lead|ableitung|^(ii|i|iii|v\d)$/i;
const UNIT_NAME = [[/[uµμ]v|micro ?v/i, "uV"], [/mv|milli ?v/i, "mV"], [/\(v\)|\[v\]|_v$/i, "V"]];
const GAP = 3.5; // steps: a longer one is a gap
const GAP_SHARE_MAX = 0.5; // of the recording
const HEAD_LINES = 40;

// Decodes a file by its byte order mark; UTF-8 without one.
export function decoded(bytes) {
  const [a, b] = new Uint8Array(bytes.slice(0, 2));
  const coding = a === 0xff && b === 0xfe ? "utf-16le" : a === 0xfe && b === 0xff ? "utf-16be" : "utf-8";
  return new TextDecoder(coding).decode(bytes);
}

// rows: arrays of cells with a number; head: the lines before the first of them.
export function parseTable(text) {
  const lines = text.split(/\r\n|\r|\n/).filter((line) => line.trim());
  const sample = lines.slice(-50).join("\n").replace(/"[^"]*"/g, "");
  const separator = sample.includes(";") ? ";" : sample.includes("\t") ? "\t" : sample.includes(",") || /"\s*,\s*"/.test(lines.at(-1) ?? "") ? "," : " ";
  const whole = separator === "," && isDecimalComma(lines.slice(-50));
  const rows = [];
  const head = [];
  for (const line of lines) {
    const found = whole && /^[-+]?\d+,\d+$/.test(line.trim()) ? [line.trim()] : cells(line.trim(), separator);
    if (!/^[#%]/.test(line.trim()) && found.some((cell) => Number.isFinite(value(cell))) && (rows.length || numeric(found))) rows.push(found);
    else if (!rows.length) head.push(found);
  }
  return { rows, head: head.slice(-HEAD_LINES) };
}

// One column with decimal commas: as many digits after each comma, two or more. Two columns of whole numbers have
// other lengths, or a first one that rises as times do.
const isDecimalComma = (lines) => {
  const digits = lines.map((line) => line.trim().match(/^[-+]?\d+,(\d{2,})$/)?.[1].length);
  return digits.every((n) => n && n === digits[0]) && !isRising(lines.map((line) => Number(line.split(",")[0])));
};

// A first row of data: at least half of its filled cells are numbers or times.
const numeric = (found) => {
  const filled = found.filter(Boolean);
  return filled.filter((cell) => Number.isFinite(seconds(cell))).length * 2 > filled.length;
};

function cells(line, separator) {
  if (separator === " ") return line.split(/\s+/);
  if (!/["']/.test(line)) return line.split(separator).map((cell) => cell.trim());
  return (line.match(new RegExp(`("[^"]*"|'[^']*'|[^${separator}]*)(${separator}|$)`, "g")) ?? [])
    .map((cell) => (cell.endsWith(separator) ? cell.slice(0, -1) : cell).trim().replace(/^(["'])(.*)\1$/, "$2").trim())
    .slice(0, line.endsWith(separator) ? undefined : -1);
}

// Number of a cell, with a decimal point or comma; NaN for anything else.
export function value(cell) {
  if (!cell) return NaN;
  const number = Number(/^[-+]?\d*,\d+(e[-+]?\d+)?$/i.test(cell) ? cell.replace(",", ".") : cell);
  return Number.isFinite(number) ? number : NaN;
}

// A time as number: plain, h:m:s, or date and time (then in s).
function seconds(cell) {
  const number = value(cell);
  if (Number.isFinite(number) || !cell) return number;
  if (/^(\d+:)?\d+:\d+([.,]\d+)?$/.test(cell)) return cell.replace(",", ".").split(":").reduce((total, part) => 60 * total + Number(part), 0);
  if (/^\d{4}-\d\d-\d\d[T ]\d/.test(cell)) {
    const [whole, fraction = "0"] = cell.replace(/(Z|[+-]\d\d:?\d\d)$/, "").replace(" ", "T").split(/[.,]/);
    return Date.parse(`${whole}Z`) / 1000 + Number(`0.${fraction}`); // differences alone matter, so no zone
  }
  return NaN;
}

// The recording in a table: { samples, fsHz, column, unit }; samples NaN where missing, fsHz null = not known.
export function recordingOf({ rows, head }, settings) {
  const columns = mode(rows.map((row) => row.length));
  const full = rows.filter((row) => row.length === columns);
  const names = head.findLast((row) => row.length === columns && row.some((cell) => /[a-z]/i.test(cell))) ?? Array(columns).fill("");
  const said = head.map((row) => row.join(" ")).filter((line) => /sampl|rate|freq|fs/i.test(line) && !/filter|pass/i.test(line));
  const rate = Number(said.join(" ").match(/(\d+(?:\.\d+)?)\s*(hz|hertz)/i)?.[1]) || null;
  const clock = names.findIndex((name) => TIME_NAME.test(name));
  const rising = columns > 1 && isRising(full.map((row) => seconds(row[0])));
  const time = clock >= 0 ? clock : rising && !(names[0] && INDEX_NAME.test(names[0])) ? 0 : -1;
  const usable = [...Array(columns).keys()].filter((n) => n !== time && !(names[n] && INDEX_NAME.test(names[n])) && !(n === 0 && rising) && isNumeric(full, n));
  const named = usable.filter((n) => ECG_NAME.test(names[n]));
  const column = settings.column ?? named[0] ?? (usable.length === 1 ? usable[0] : undefined);
  if (column === undefined) throw new Error(`${usable.length || "no"} columns could be the ECG; type the number of the column above (1 to ${columns})`);
  if (column < 0 || column >= columns) throw new Error(`there is no column ${column + 1}; the file has ${columns}`);
  const samples = Float64Array.from(full, (row) => value(row[column]));
  const unitText = [names[column], ...head.filter((row) => row.length === columns).map((row) => row[column]), ...head.filter((row) => /unit|einheit/i.test(row[0])).map((row) => row[1] ?? "")].join(" ");
  const unit = UNIT_NAME.find(([pattern]) => pattern.test(unitText))?.[1] ?? null;
  const found = { samples, fsHz: settings.fsHz || rate, column, unit };
  if (found.fsHz || time < 0) return found;
  return { ...found, ...spread(samples, full.map((row) => seconds(row[time])), `${names[time]} ${head.at(-1)?.[time] ?? ""}`) };
}

// Samples on an even grid by their times; gaps become NaN. fsHz null where the times do not say the rate.
function spread(samples, times, name) {
  const steps = times.slice(1).map((time, i) => time - times[i]);
  const step = median(steps.filter((one) => one > 0));
  const unit = stepUnit(step, name);
  if (!unit || steps.filter((one) => one <= 0).length > 0.02 * steps.length) return { fsHz: null };
  const gaps = steps.map((one, i) => [one, i]).filter(([one]) => one > GAP * step || one < 0);
  const lost = gaps.reduce((total, [one]) => total + Math.max(0, one), 0);
  if (gaps.some(([one]) => one < 0)) throw new Error("the times jump back; give one recording a file, or type the sampling rate");
  const mean = (times.at(-1) - times[0] - lost) / (steps.length - gaps.length);
  const fsHz = nearRound(unit / mean);
  const total = Math.round((times.at(-1) - times[0]) / mean);
  if (lost > GAP_SHARE_MAX * (times.at(-1) - times[0])) throw new Error("more than half of the recording is missing by its times; give a part without gaps");
  const made = new Float64Array(total + gaps.length + 1).fill(NaN);
  const after = new Map(gaps.map(([one, i]) => [i + 1, Math.max(0, Math.round(one / mean) - 1)]));
  let place = 0;
  samples.forEach((sample, i) => {
    place += after.get(i) ?? 0;
    made[place++] = sample;
  });
  return { samples: made.subarray(0, place), fsHz };
}

// Parts of a second of the times; null where the step could be a count of samples.
function stepUnit(step, name) {
  if (/micros|[(\[_ ][uµ]s/i.test(name)) return 1e6;
  if (/millis|[(\[_ ]ms|^ms/i.test(name)) return 1e3;
  if (step > 0.00015 && step < 0.05) return 1;
  if (step >= 500) return 1e6;
  return step > 1.5 && step < 20 ? 1e3 : null;
}

const nearRound = (hz) => (Math.abs(hz - Math.round(hz)) < 0.02 * Math.sqrt(hz) ? Math.round(hz) : Math.round(hz * 100) / 100);
const isRising = (values) => values.length > 1 && values.every((one, i) => !i || one >= values[i - 1]) && values.at(-1) > values[0];
const isNumeric = (rows, n) => rows.filter((row) => Number.isFinite(value(row[n]))).length > 0.5 * rows.length;

export const median = (values) => {
  const sorted = Float64Array.from(values).sort();
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
};

export const mode = (values) => {
  const counts = new Map();
  for (const one of values) counts.set(one, (counts.get(one) ?? 0) + 1);
  return [...counts].reduce((best, entry) => (entry[1] > best[1] ? entry : best))[0];
};
