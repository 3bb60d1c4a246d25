// A recording as ecg-monitor judged it: facts from JSON, arrays from the binary file beside it.

const TYPES = { float32: Float32Array, int16: Int16Array, int32: Int32Array };
const BEAT = 187;

export async function fetchJson(path) {
  const reply = await fetch(path);
  if (!reply.ok) throw new Error(`${path}: ${reply.status} ${reply.statusText}`);
  return reply.json();
}

export async function fetchBytes(path) {
  const reply = await fetch(path);
  if (!reply.ok) throw new Error(`${path}: ${reply.status} ${reply.statusText}`);
  return reply.arrayBuffer();
}

// Loads a shipped recording; `index` is index.json.
export async function loadRecording(key, index) {
  const [facts, bytes] = await Promise.all([fetchJson(`data/${key}.json`), fetchBytes(`data/${key}.bin`)]);
  const arrays = {};
  for (const [name, { type, shape, offset }] of Object.entries(facts.arrays)) {
    arrays[name] = new TYPES[type](bytes, offset, shape.reduce((a, b) => a * b, 1));
  }
  const n = facts.arrays.signal.shape[1];
  const signal = (row) => {
    const mv = new Float32Array(n);
    for (let i = 0; i < n; i++) {
      const count = arrays.signal[row * n + i];
      mv[i] = count === index.no_sample ? NaN : (count * facts.uv_per_count) / 1000;
    }
    return mv;
  };
  return new Recording({ ...facts, own: false }, { ...arrays, raw: signal(0), filtered: signal(1) });
}

// facts: as in the JSON file. arrays: raw, filtered (n,) mV; beats (m, 187); values (m, 8); template_of (m,);
// templates (k, 2, 187); scores (m, 2): log p and score, NaN = not scored.
export class Recording {
  constructor(facts, arrays) {
    this.facts = facts;
    this.arrays = arrays;
    this.beats = facts.beats;
    this.fsHz = facts.fs_hz;
    this.first = facts.first_sample;
    this.end = this.first + arrays.filtered.length;
    this.usual = []; // centre and spread of the patient's reference before each beat, see baseline.js
  }

  get seconds() {
    return (this.end - this.first) / this.fsHz;
  }

  samples(at) {
    return this.arrays.beats.subarray(at * BEAT, (at + 1) * BEAT);
  }

  values(at) {
    return this.arrays.values.subarray(at * 8, at * 8 + 8);
  }

  // (2 * 187): template and steady template; null during the first beats.
  templates(at) {
    const row = this.arrays.template_of[at];
    return row < 0 ? null : this.arrays.templates.subarray(row * 2 * BEAT, (row + 1) * 2 * BEAT);
  }

  template(at) {
    return this.templates(at)?.subarray(0, BEAT) ?? null;
  }

  logProb(at) {
    return this.arrays.scores[2 * at];
  }

  score(at) {
    return this.arrays.scores[2 * at + 1];
  }

  scored(at) {
    return !Number.isNaN(this.arrays.scores[2 * at + 1]);
  }

  // Time within the recording, s.
  time(sample) {
    return (sample - this.first) / this.fsHz;
  }

  // Filtered signal `offset` s from the R-peak of a beat, mV; NaN outside.
  near(at, offset) {
    if (!this.arrays.filtered.length) return NaN;
    const place = this.beats[at].r_sample - this.first + this.facts.delay_samples + offset * this.fsHz;
    const left = Math.floor(place);
    if (left < 0 || left + 1 >= this.arrays.filtered.length) return NaN;
    const t = place - left;
    return (1 - t) * this.arrays.filtered[left] + t * this.arrays.filtered[left + 1];
  }
}
