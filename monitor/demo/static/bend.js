// A beat bent by hand: widened, its T wave scaled, moved early, noisy, or drawn over. Pure.

const R = 62;
const FS_HZ = 125;
const N = 187;
const EDGE = [8, 10]; // samples of the QRS before and after R that are stretched
const REACH = [28, 62]; // beyond these the beat stays as it is
const T = [R + 16, R + 68]; // +128 to +544 ms
const QRS_FROM = R - 9; // an early beat keeps its samples from here on

export const PLAIN = { widen: 1, t: 1, early: 0, noise: 0, height: 1 };

export class Bend {
  constructor() {
    this.reset();
  }

  reset() {
    this.set = { ...PLAIN };
    this.drawn = new Float32Array(N); // mV, added by the pointer
  }

  get plain() {
    return Object.keys(PLAIN).every((key) => this.set[key] === PLAIN[key]) && this.drawn.every((value) => value === 0);
  }

  // Pulls the curve by `mv` at sample `place`; `width` samples to each side follow.
  pull(place, mv, width) {
    for (let i = 0; i < N; i++) this.drawn[i] += mv * Math.exp(-0.5 * ((i - place) / width) ** 2);
  }

  // The bent samples. `before(offset)`: signal `offset` s from the R-peak, NaN where unknown.
  samples(original, before) {
    let made = Float32Array.from(original);
    if (this.set.early > 0) made = early(made, this.set.early, before);
    if (this.set.widen !== 1) made = widened(made, this.set.widen);
    if (this.set.height !== 1) made = higher(made, this.set.height);
    if (this.set.t !== 1) made = scaledT(made, this.set.t);
    for (let i = 0; i < N; i++) made[i] += this.drawn[i] + this.set.noise * NOISE[i];
    return made;
  }

  values(original) {
    const made = Float32Array.from(original);
    if (this.set.early > 0 && made[0] > 0) made[0] = Math.max(0.2, made[0] - this.set.early);
    return made;
  }
}

// White noise of 1 mV rms, smoothed as the band-pass would; the same for every beat, so that a slider moves it evenly.
const NOISE = (() => {
  let seed = 12345;
  const uniform = () => (seed = (seed * 1664525 + 1013904223) >>> 0) / 2 ** 32 - 0.5;
  const white = Array.from({ length: N + 2 }, () => (uniform() + uniform() + uniform() + uniform()) * Math.sqrt(3));
  return Float32Array.from({ length: N }, (_, i) => (white[i] + 2 * white[i + 1] + white[i + 2]) / Math.sqrt(6));
})();

function at(values, place) {
  const left = Math.max(0, Math.min(N - 2, Math.floor(place)));
  const t = Math.max(0, Math.min(1, place - left));
  return (1 - t) * values[left] + t * values[left + 1];
}

// Stretches the QRS around R, and compresses what lies between it and the ends of its reach.
function widened(values, factor) {
  const source = (distance, edge, reach) => {
    const wide = Math.min(edge * factor, reach - 6);
    if (distance >= reach) return distance;
    return distance <= wide ? (distance * edge) / wide : edge + ((distance - wide) * (reach - edge)) / (reach - wide);
  };
  return values.map((_, i) => at(values, i < R ? R - source(R - i, EDGE[0], REACH[0]) : R + source(i - R, EDGE[1], REACH[1])));
}

// Raised cosine: 1 in the middle, 0 at both ends.
const window01 = (i, first, last, slope) => {
  const rise = Math.min(1, Math.max(0, Math.min(i - first, last - i) / slope));
  return 0.5 - 0.5 * Math.cos(Math.PI * rise);
};

function higher(values, factor) {
  return values.map((value, i) => value * (1 + (factor - 1) * window01(i, R - 18, R + 24, 8)));
}

// Scales the T wave over the straight line between its ends.
function scaledT(values, factor) {
  const [first, last] = T;
  return values.map((value, i) => {
    if (i <= first || i >= last) return value;
    const line = values[first] + ((values[last] - values[first]) * (i - first)) / (last - first);
    return value + (factor - 1) * (value - line) * window01(i, first, last, 8);
  });
}

// The beat comes `seconds` earlier: what was before it then is now further to the right, its own P wave is gone.
function early(values, seconds, before) {
  return values.map((value, i) => {
    if (i >= QRS_FROM + 6) return value;
    const place = i - seconds * FS_HZ;
    const known = place >= 0 ? at(values, place) : before((place - R) / FS_HZ);
    const past = Number.isNaN(known) ? values[0] : known;
    const share = i <= QRS_FROM ? 1 : 1 - (i - QRS_FROM) / 6;
    return share * past + (1 - share) * value;
  });
}
