// From samples to beats, simpler than ecg-monitor in Python: one band-pass, an energy threshold for R-peaks, no test of
// the signal's quality. The beats and their context are cut as detector/beats.py and detector/template.py define them.

const BEAT = 187;
const R = 62;
const BEAT_HZ = 125;
const KEPT = 64;
const LEAST = 8;
const QRS = [R - 12, R + 18];
const QRS_AND_T = [R - 17, R + 44];
const REFRACTORY_S = 0.25;
const WINDOW_S = 0.1;
const LEAST_SHARE = 0.2; // of the usual energy of the whole recording
const BRIDGE_S = 0.06; // longest gap that is filled by a straight line; beats over a longer one are left out

const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
};

// samples at inHz in any unit, `factor` to mV. Returns raw and filtered at own.fs_hz, beats [{r, rr}] and the arrays
// of a recording; every beat is to be scored.
export function detect(samples, inHz, factor, own) {
  const fsHz = own.fs_hz;
  const raw = resampled(bridged(samples, BRIDGE_S * inHz), inHz, fsHz, factor);
  const valid = raw.map((value) => (Number.isFinite(value) ? 1 : 0));
  const filtered = bandpass(held(raw), own.sections);
  for (let i = 0; i < filtered.length; i++) if (!valid[i]) filtered[i] = NaN;
  const peaks = rPeaks(filtered, fsHz);
  const whole = (from, to) => valid.subarray(from, to).every(Boolean);
  const reach = [R / BEAT_HZ, (BEAT - 1 - R) / BEAT_HZ];
  const beats = peaks
    .map((r, n) => ({ r, rr: n && whole(peaks[n - 1], r) ? (r - peaks[n - 1]) / fsHz : null }))
    .filter(({ r }) => r - reach[0] * fsHz >= 2 && r + reach[1] * fsHz < filtered.length - 3);
  const cut = beats.map(({ r }) => cutBeat(filtered, r, fsHz));
  const kept = beats.filter((_, n) => cut[n].every(Number.isFinite));
  return { raw, filtered, fsHz, beats: kept, arrays: contexts(kept, cut.filter((row) => row.every(Number.isFinite))) };
}

// Gaps of at most `most` samples filled by straight lines.
function bridged(samples, most) {
  const made = Float64Array.from(samples);
  let last = -1;
  made.forEach((sample, i) => {
    if (!Number.isFinite(sample)) return;
    if (last >= 0 && i - last > 1 && i - last - 1 <= most) {
      for (let k = last + 1; k < i; k++) made[k] = made[last] + ((made[i] - made[last]) * (k - last)) / (i - last);
    }
    last = i;
  });
  return made;
}

function resampled(samples, inHz, outHz, factor) {
  const n = Math.floor((samples.length * outHz) / inHz);
  const made = new Float32Array(n);
  const wide = Math.max(1, Math.round(inHz / outHz)); // a mean against aliasing where the rate falls
  for (let i = 0; i < n; i++) {
    const place = (i * inHz) / outHz;
    const left = Math.floor(place);
    const t = place - left;
    let sum = 0;
    for (let k = 0; k < wide; k++) {
      const at = Math.min(samples.length - 1, left + k);
      const next = Math.min(samples.length - 1, at + 1);
      sum += t ? (1 - t) * samples[at] + t * samples[next] : samples[at];
    }
    made[i] = (factor * sum) / wide;
  }
  return made;
}

// Missing samples hold the last value, so that the filter goes on.
function held(raw) {
  const made = Float64Array.from(raw);
  let last = made.find(Number.isFinite) ?? 0;
  for (let i = 0; i < made.length; i++) {
    if (Number.isFinite(made[i])) last = made[i];
    else made[i] = last;
  }
  return made;
}

// Second-order sections, each starting in the steady state of the first sample as detector/bandpass.py does.
function bandpass(values, sections) {
  let signal = values;
  for (const [b0, b1, b2, , a1, a2] of sections) {
    const made = new Float64Array(signal.length);
    const x0 = signal[0] ?? 0;
    const gain = (b0 + b1 + b2) / (1 + a1 + a2);
    let s1 = (gain - b0) * x0;
    let s2 = (b2 - a2 * gain) * x0;
    for (let i = 0; i < signal.length; i++) {
      const y = b0 * signal[i] + s1;
      s1 = b1 * signal[i] - a1 * y + s2;
      s2 = b2 * signal[i] - a2 * y;
      made[i] = y;
    }
    signal = made;
  }
  return Float32Array.from(signal);
}

// R-peaks: energy of the slope over 100 ms against half of its median height in the 10 s around.
function rPeaks(signal, fsHz) {
  const n = signal.length;
  const energy = new Float64Array(n);
  const wide = Math.round(WINDOW_S * fsHz);
  let sum = 0;
  const slope = (i) => (i > 1 && i < n ? ((signal[i] - signal[i - 2]) ** 2 || 0) : 0);
  for (let i = 0; i < n; i++) {
    sum += slope(i) - slope(i - wide);
    energy[Math.max(0, i - (wide >> 1))] = Math.max(0, sum);
  }
  const second = Math.round(fsHz);
  const highest = [];
  for (let first = 0; first < n; first += second) {
    let top = 0;
    for (let i = first; i < Math.min(n, first + second); i++) top = Math.max(top, energy[i]);
    highest.push(top);
  }
  const least = LEAST_SHARE * [...highest].sort((a, b) => a - b)[Math.floor(0.75 * highest.length)]; // else noise beats in asystole
  const peaks = [];
  const refractory = REFRACTORY_S * fsHz;
  for (let i = 1; i < n - 1; i++) {
    const at = Math.floor(i / second);
    const limit = 0.25 * Math.max(least, median(highest.slice(Math.max(0, at - 5), at + 6)));
    if (!(energy[i] > limit) || energy[i] < energy[i - 1] || energy[i] < energy[i + 1]) continue;
    const r = steepPeak(signal, i, Math.round(0.07 * fsHz));
    if (peaks.length && r - peaks.at(-1).r < refractory) {
      if (energy[i] > peaks.at(-1).energy) peaks[peaks.length - 1] = { r, energy: energy[i] };
    } else peaks.push({ r, energy: energy[i] });
  }
  return peaks.map(({ r }) => r);
}

// The highest point near i; the lowest where it is more than 1.5 times as far from 0.
function steepPeak(signal, i, reach) {
  let [high, low] = [i, i];
  for (let k = Math.max(0, i - reach); k <= Math.min(signal.length - 1, i + reach); k++) {
    if (signal[k] > signal[high]) high = k;
    if (signal[k] < signal[low]) low = k;
  }
  return -signal[low] > 1.5 * signal[high] ? low : high;
}

// Cubic convolution at 125 Hz as in detector/beats.py.
function cutBeat(signal, r, fsHz) {
  return Float32Array.from({ length: BEAT }, (_, i) => {
    const place = r + ((i - R) / BEAT_HZ) * fsHz;
    const left = Math.floor(place);
    const t = place - left;
    const [p0, p1, p2, p3] = [-1, 0, 1, 2].map((k) => signal[left + k]);
    return p1 + 0.5 * t * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)));
  });
}

// Templates and values before each beat, causal, over the last 64 beats, renewed every four.
function contexts(beats, cut) {
  const n = beats.length;
  const samples = new Float32Array(n * BEAT);
  const values = new Float32Array(n * 8).fill(NaN);
  const template_of = new Int32Array(n).fill(-1);
  const templates = [];
  const memory = []; // {beat, rr, height, residual}
  let template = null;
  let amplitude = 0;
  let since = 0;
  beats.forEach(({ rr }, at) => {
    samples.set(cut[at], at * BEAT);
    const rrs = memory.map((one) => one.rr).filter((one) => one !== null);
    if (rr !== null) values[8 * at] = rr;
    if (template) {
      template_of[at] = templates.length - 1;
      values[8 * at + 6] = amplitude;
      if (rrs.length >= LEAST) {
        const usual = median(rrs);
        const changes = rrs.slice(1).map((one, i) => Math.abs(one - rrs[i]));
        const sorted = [...rrs].sort((a, b) => a - b);
        const place = 0.85 * (sorted.length - 1);
        const low = Math.floor(place);
        const long = sorted[low] + (place - low) * (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]);
        values.set([rrs.at(-1), usual, median(rrs.slice(-8)), long, changes.reduce((a, b) => a + b, 0) / changes.length / usual], 8 * at + 1);
      }
      const residuals = memory.map((one) => one.residual).filter((one) => one !== null);
      if (residuals.length >= LEAST) values[8 * at + 7] = median(residuals);
    }
    const qrs = cut[at].slice(...QRS);
    const apart = template ? Math.sqrt(cut[at].slice(...QRS_AND_T).reduce((sum, mv, i) => sum + (mv - template[QRS_AND_T[0] + i]) ** 2, 0)) / amplitude : null;
    memory.push({ beat: cut[at], rr, height: Math.max(...qrs) - Math.min(...qrs), residual: apart });
    if (memory.length > KEPT) memory.shift();
    since += 1;
    if (memory.length >= LEAST && (!template || since >= 4)) {
      const steady = [...memory].sort((a, b) => (a.rr ?? -Infinity) - (b.rr ?? -Infinity)).slice(-Math.max(memory.length >> 2, 4));
      template = medianBeat(memory);
      templates.push(template, medianBeat(steady));
      amplitude = Math.max(0.05, median(memory.map((one) => one.height)));
      since = 0;
    }
  });
  const flat = new Float32Array(templates.length * BEAT);
  templates.forEach((row, i) => flat.set(row, i * BEAT));
  for (let at = 0; at < n; at++) if (template_of[at] >= 0) template_of[at] = (template_of[at] - 1) / 2;
  return { beats: samples, values, template_of, templates: flat, scores: new Float32Array(2 * n).fill(NaN) };
}

const medianBeat = (memory) => Float32Array.from({ length: BEAT }, (_, i) => median(memory.map((one) => one.beat[i])));
