// Port of detector/baseline.py: a score becomes a p-value against the patient's own beats. Kept equal by ?selftest.

const REFERENCE_BEATS = 256;
const PRIOR_BEATS = 32;
const HALF_WAY = 0.5;
const QUANTILES = [0.1, 0.3, 0.5];
const DOUBT_BEATS = 128;

// Linear interpolation as numpy.interp; xs rise.
function interp(x, xs, ys) {
  if (x <= xs[0]) return ys[0];
  if (x >= xs.at(-1)) return ys.at(-1);
  let low = 0;
  let high = xs.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] <= x) low = middle;
    else high = middle;
  }
  return ys[low] + ((ys[high] - ys[low]) * (x - xs[low])) / (xs[high] - xs[low]);
}

// Index of the first element that is not below `value`, in a rising array.
function firstNotBelow(rising, value) {
  let low = 0;
  let high = rising.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rising[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

export class PatientReference {
  constructor(calibration) {
    this.calibration = calibration;
    this.zAlpha = interp(calibration.alpha, [...calibration.p].reverse(), [...calibration.z].reverse());
    this.recent = [];
    this.sorted = [];
    this.verdicts = [];
  }

  // Current centre and spread.
  usual() {
    const c = this.calibration;
    const n = this.sorted.length;
    if (!n) return [c.centre, c.spread];
    const [low, usual, high] = QUANTILES.map((share) => this.sorted[Math.trunc(share * n)]);
    const weight = Math.min(n / (n + PRIOR_BEATS), HALF_WAY);
    const clamp = (value, [least, most]) => Math.min(Math.max(value, least), most);
    return [
      clamp(weight * usual + (1 - weight) * c.centre, c.centre_bounds),
      clamp(weight * (high - low) + (1 - weight) * c.spread, c.spread_bounds),
    ];
  }

  // Judges a score against a centre and spread, by default the current ones; learns nothing.
  verdict(score, [centre, spread] = this.usual()) {
    const threshold = centre + this.zAlpha * spread;
    const pValue = interp((score - centre) / spread, this.calibration.z, this.calibration.p);
    return { pValue, threshold, anomalous: pValue < this.calibration.alpha };
  }

  // Judges the next beat, then learns it if it was not anomalous.
  judge(score) {
    const found = this.verdict(score);
    this.verdicts.push(found.anomalous);
    if (this.verdicts.length > DOUBT_BEATS) this.verdicts.shift();
    if (!found.anomalous || this.verdicts.filter(Boolean).length > DOUBT_BEATS / 2) this.learn(score);
    return found;
  }

  learn(score) {
    if (this.recent.length === REFERENCE_BEATS) this.sorted.splice(firstNotBelow(this.sorted, this.recent.shift()), 1);
    this.recent.push(score);
    this.sorted.splice(firstNotBelow(this.sorted, score), 0, score);
  }
}

// Judges all scored beats of a recording in order. Returns one verdict a beat, null where not scored, and keeps in
// `recording.usual` the centre and spread that each beat was judged against.
export function judgeAll(recording, scores, model) {
  const reference = new PatientReference(model.calibration);
  recording.usual = [];
  return recording.beats.map((_, at) => {
    recording.usual.push(reference.usual());
    return Number.isNaN(scores[at]) ? null : reference.judge(Math.min(scores[at], model.score_max));
  });
}
