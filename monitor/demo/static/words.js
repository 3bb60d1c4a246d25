// Port of detector/findings.py and detector/explain.py: how a beat differs from the patient's usual one, in words.

const R = 62;
const MS = 8; // per sample
const QRS = [R - 12, R + 18];
const ST_T = [R + 18, R + 44];
const P = [R - 32, R - 9];
const QUIET = [[R - 32, R - 12], [R + 20, R + 44]];
const AMPLITUDE_MIN_MV = 0.05;
const P_MIN_MV = 0.05;
const SLOPE_SHARE = 0.15;
const SLOPE_GAP = 4;
const QRS_REACH = [22, 27];
const LIMIT = {
  early: 0.87, late: 1.42, wider_ms: 17, wide_ms: 110, tall: 1.23, small: 0.8, likeness: 0.95, st_t: 0.085, p_wave: 0.5,
  rough: 0.095,
};

const sum = (values) => values.reduce((a, b) => a + b, 0);
const dot = (a, b) => a.reduce((total, value, i) => total + value * b[i], 0);
const part = (values, [first, end]) => Array.from(values.slice(first, end));
const peakToPeak = (values) => Math.max(...values) - Math.min(...values);
const rms = (values) => Math.sqrt(dot(values, values) / values.length);
const centred = (values) => values.map((value) => value - sum(values) / values.length);
const percent = (share) => (100 * share).toFixed(0);

// Measurements of a beat; values as of `BeatContext.values`, template null = not known.
export function measure(samples, template, values) {
  const ratios = [values[2], values[3]].map((usual) => values[0] / usual).filter((ratio) => ratio > 0);
  const found = {
    rr_ratio: ratios.length ? ratios.reduce((a, b) => (Math.abs(Math.log(b)) > Math.abs(Math.log(a)) ? b : a)) : null,
    qrs_ms: qrsDuration(samples),
  };
  if (!template) return found;
  const height = Math.max(peakToPeak(part(template, QRS)), AMPLITUDE_MIN_MV);
  const usual = part(template, ST_T);
  return {
    ...found,
    usual_qrs_ms: qrsDuration(template),
    height: peakToPeak(part(samples, QRS)) / height,
    likeness: likeness(samples, template),
    st_t: rms(part(samples, ST_T).map((value, i) => value - usual[i])) / height,
    p_wave: pWave(samples, template),
    rough: rms(QUIET.flatMap((quiet) => part(samples, quiet).flatMap((v, i, all) => (i > 1 ? [v - 2 * all[i - 1] + all[i - 2]] : [])))) / height,
  };
}

function qrsDuration(samples) {
  const slope = Array.from(samples, (_, i) => (i && i < samples.length - 1 ? Math.abs(samples[i + 1] - samples[i - 1]) : 0));
  let steepest = R - 10;
  for (let i = R - 10; i <= R + 10; i++) if (slope[i] > slope[steepest]) steepest = i;
  const limit = SLOPE_SHARE * slope[steepest];
  if (!(limit > 0)) return null;
  const end = (step, reach) => {
    let last = steepest;
    for (let place = steepest; place !== reach && Math.abs(place - last) <= SLOPE_GAP; ) {
      place += step;
      if (slope[place] >= limit) last = place;
    }
    const [here, beyond] = [slope[last], slope[last + step]];
    return beyond < limit && limit < here ? last + (step * (here - limit)) / (here - beyond) : last;
  };
  return (end(1, R + QRS_REACH[1]) - end(-1, R - QRS_REACH[0])) * MS;
}

function likeness(samples, template) {
  const usual = centred(part(template, QRS));
  const power = dot(usual, usual);
  let best = -1;
  for (let lag = -2; lag <= 2; lag++) {
    const shape = centred(part(samples, [QRS[0] + lag, QRS[1] + lag]));
    const norms = Math.sqrt(dot(shape, shape) * power);
    best = Math.max(best, norms > 0 ? dot(shape, usual) / norms : 0);
  }
  return best;
}

function pWave(samples, template) {
  const level = centred(part(template, P));
  const ramp = level.map((_, i) => -1 + (2 * i) / (level.length - 1));
  const tilt = dot(level, ramp) / dot(ramp, ramp);
  const usual = level.map((value, i) => value - tilt * ramp[i]);
  if (peakToPeak(usual) < P_MIN_MV) return null;
  let best = -Infinity;
  for (let lag = -4; lag <= 4; lag++) best = Math.max(best, dot(part(samples, [P[0] + lag, P[1] + lag]), usual));
  return best / dot(usual, usual);
}

// Words of a beat, each with its number; [] = nothing unusual in words.
export function explain(found) {
  const noisy = found.rough > LIMIT.rough;
  const f = noisy ? { ...found, qrs_ms: null, st_t: null, p_wave: null } : found;
  const known = (value) => value !== null && value !== undefined;
  const words = [];
  if (known(f.qrs_ms) && known(f.usual_qrs_ms)) {
    const number = `QRS ${f.qrs_ms.toFixed(0)} ms, usual ${f.usual_qrs_ms.toFixed(0)}`;
    if (f.qrs_ms >= LIMIT.wide_ms && f.qrs_ms > f.usual_qrs_ms + LIMIT.wider_ms) words.push(["wide", number]);
    else if (f.usual_qrs_ms >= LIMIT.wide_ms && f.qrs_ms < f.usual_qrs_ms - LIMIT.wider_ms) words.push(["narrow", number]);
  }
  if (f.likeness < 0) words.push(["inverted", `likeness ${f.likeness.toFixed(1)}`]);
  else if (f.likeness < LIMIT.likeness && !words.length) words.push(["different QRS", `likeness ${f.likeness.toFixed(2)}`]);
  const ownT = words.length > 0;
  if (known(f.height) && !(f.height >= LIMIT.small && f.height <= LIMIT.tall)) {
    words.push([f.height > 1 ? "tall" : "small", `${percent(f.height)} % of usual`]);
  }
  if (known(f.st_t) && f.st_t > LIMIT.st_t && !ownT) words.push(["different T wave", `off by ${percent(f.st_t)} % of the QRS`]);
  if (known(f.rr_ratio) && (f.rr_ratio < LIMIT.early || f.rr_ratio > LIMIT.late)) {
    words.push([f.rr_ratio < 1 ? "early" : "late", `RR ${percent(f.rr_ratio)} % of usual`]);
  }
  if (known(f.p_wave) && f.p_wave < LIMIT.p_wave) words.push(["no usual P wave", f.p_wave >= 0.1 ? `${percent(f.p_wave)} % of it` : "none seen"]);
  if (noisy) words.push(["noisy", `${percent(f.rough)} % of the QRS`]);
  return words;
}
