// A visitor's file: rows of beats, or a recording. Read, cut into beats, set beside their own median beat.

import { detect } from "./detect.js";
import { Recording } from "./recording.js";
import { median, mode, parseTable, recordingOf, value } from "./table.js";

const BEAT = 187;
const R = 62;
const MAX_BYTES = 60e6;
const UNITS = { mV: 1, uV: 1e-3, V: 1e3 };
const COUNTS_MV = 1.5; // taken for the height of an ECG whose counts have no unit
const MIN_BEATS = 8;

// What a table is: { kind: "beats", rows } or { kind: "recording", samples, fsHz, column, unit }.
function understand(table, settings) {
  if (!table.rows.length) throw new Error("no number in the file; give a CSV file of samples");
  const columns = mode(table.rows.map((row) => row.length));
  if (columns < BEAT - 100) return { kind: "recording", ...recordingOf(table, settings) };
  if (columns !== BEAT && columns !== BEAT + 1) {
    throw new Error(`rows of ${columns} numbers; give rows of ${BEAT} samples (beats), or one sample a row (a recording)`);
  }
  const rows = table.rows.filter((row) => row.length === columns).map((row) => row.slice(0, BEAT).map(value)).filter((row) => row.every(Number.isFinite));
  if (!rows.length) throw new Error(`no row has ${BEAT} numbers; give rows without empty cells`);
  if (rows.every((row) => row.every((one) => one >= 0 && one <= 1))) {
    throw new Error("these beats are scaled to 0..1 with the R-peak first, as in the public CSV set; this model needs mV, 125 Hz and the R-peak at sample 62 of 187");
  }
  return { kind: "beats", rows };
}

// Factor to mV: as chosen, or by the height of the signal.
function toMillivolt(samples, unit, stated) {
  const known = samples.filter(Number.isFinite).sort();
  const range = known[Math.floor(0.995 * (known.length - 1))] - known[Math.floor(0.005 * known.length)];
  if (!(known.at(-1) > known[0])) throw new Error("all samples are equal: there is no ECG in this column; choose another one");
  const chosen = unit && unit !== "auto" ? unit : stated;
  if (chosen === "counts") return [COUNTS_MV / range, `counts, scaled to ${COUNTS_MV} mV from peak to peak`];
  if (chosen) return [UNITS[chosen], chosen];
  if (range > 30 && known[0] >= 0 && known.every(Number.isInteger)) {
    throw new Error("these look like counts of a converter (whole numbers, none negative), and the file states no unit; choose the unit above");
  }
  if (range > 30) return [1e-3, "uV"];
  return range < 0.02 ? [1e3, "V"] : [1, "mV"];
}

// Makes a recording of a file; settings: fsHz, unit, column; own: filter of index.json. Throws an Error with the remedy.
export function ownRecording(name, text, settings, own) {
  if (text.length > MAX_BYTES) throw new Error(`${name} has ${(text.length / 1e6).toFixed(0)} MB; give at most ${MAX_BYTES / 1e6} MB, e.g. an hour`);
  if (text.includes("\0")) throw new Error(`${name} is no text; give a CSV file`);
  const found = understand(parseTable(text), settings);
  return found.kind === "beats" ? beatRows(name, found.rows, settings) : signalRecording(name, found, settings, own);
}

function facts(name, fsHz, beats, note) {
  return {
    key: `own ${name}`, title: name, text: note, spec: name, credit: "yours; it does not leave this page", training: false, annotated: false,
    own: true, lead: "", fs_hz: fsHz, first_sample: 0, delay_samples: 0, rate_low_bpm: null, rate_high_bpm: null, beats, alarms: [], pulses: [], status: [],
  };
}

const plainBeat = (r, rr) => ({ r_sample: r, rr_s: rr, p_value: null, threshold: null, anomalous: false, quality: "good", words: [], paced: false });

// Rows of 187 samples; their median is the usual beat where there are enough. No rhythm is known.
function beatRows(name, read, settings) {
  const [factor, unit] = toMillivolt(Float64Array.from(read.flat()), settings.unit, null);
  const rows = read.map((row) => row.map((sample) => sample * factor));
  const n = rows.length;
  const beats = Float32Array.from(rows.flat());
  const values = new Float32Array(8 * n).fill(NaN);
  const templates = new Float32Array(n >= MIN_BEATS ? 2 * BEAT : 0);
  if (n >= MIN_BEATS) {
    for (let i = 0; i < BEAT; i++) templates[i] = templates[BEAT + i] = median(rows.map((row) => row[i]));
    const heights = rows.map((row) => row.slice(R - 12, R + 18)).map((qrs) => Math.max(...qrs) - Math.min(...qrs));
    for (let at = 0; at < n; at++) values[8 * at + 6] = Math.max(0.05, median(heights));
  }
  const note = `${n} beats; ${n >= MIN_BEATS ? "their median is taken for the usual beat" : `no usual beat is known (from ${MIN_BEATS} rows on, their median is)`}; no rhythm is known; read as ${unit}.`;
  const none = new Float32Array(0);
  return new Recording(facts(name, 125, rows.map((_, at) => plainBeat(at, null)), note), {
    raw: none, filtered: none, beats, values, templates, template_of: new Int32Array(n).fill(n >= MIN_BEATS ? 0 : -1), scores: new Float32Array(2 * n).fill(NaN),
  });
}

function signalRecording(name, found, settings, own) {
  if (!found.fsHz) throw new Error("the sampling rate is not in the file; type it above (Hz) and drop the file again");
  if (found.fsHz < 100 || found.fsHz > 5000) throw new Error(`${found.fsHz} Hz is out of range; give 100 to 5000 Hz`);
  const [factor, unit] = toMillivolt(found.samples, settings.unit, found.unit);
  const seconds = found.samples.length / found.fsHz;
  if (seconds < 5) throw new Error(`${seconds.toFixed(1)} s are too short; give at least 5 s`);
  const { raw, filtered, fsHz, beats, arrays } = detect(found.samples, found.fsHz, factor, own);
  if (!beats.length) throw new Error("no heartbeat was found; check column, sampling rate and unit");
  const note = `column ${found.column + 1}, ${found.fsHz} Hz, read as ${unit}; ${beats.length} beats by the simple R-peak finder of this page.`;
  return new Recording(facts(name, fsHz, beats.map(({ r, rr }) => plainBeat(r, rr)), note), { raw, filtered, ...arrays });
}
