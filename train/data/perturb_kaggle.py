"""Synthetic anomalies of the public set's beats: scaled to 0..1, starting at the R-peak, zero-padded.

The families of `train.data.perturb` that such a beat can show: the previous beat is unknown, but the next one is often
included.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector import BEAT_FS_HZ, BEAT_SAMPLES
from detector.short_repr import short_repr
from train.data.perturb_shapes import EDGE_S, ramp, random_signs, read_at

__all__ = ["KAGGLE_FAMILIES", "kaggle_family_names", "perturb_kaggle"]

Array = NDArray[np.float64]
_INDEX: Final = np.arange(BEAT_SAMPLES, dtype=np.float64)[None]
_TIME_S: Final = _INDEX / BEAT_FS_HZ
_REST: Final = slice(20, 80)  # mostly baseline
_LENGTH_MIN: Final = 30


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Normal beats (n, 187), and as many other beats as donors of parts."""

    beats: Array
    other: Array

    __repr__ = short_repr


Family = Callable[[Pair, np.random.Generator], Array]


def _after(at_s: Array, edge_s: float = EDGE_S) -> Array:
    """0 before `at_s`, 1 after it, (n, 187)."""
    return ramp(_TIME_S, at_s, edge_s)


def _lengths(beats: Array) -> NDArray[np.int64]:
    """Samples before the padding, (n,)."""
    lengths: NDArray[np.int64] = BEAT_SAMPLES - np.argmax(beats[:, ::-1] > 0, axis=1)
    return lengths


def _rest(beats: Array) -> Array:
    return np.median(beats[:, _REST], axis=1, keepdims=True)


def widened(pair: Pair, rng: np.random.Generator) -> Array:
    """The first 120 to 300 ms stretched, the following part compressed, the next beat in place."""
    beats = pair.beats
    n = len(beats)
    stretch, first = rng.uniform(1.3, 2.6, n), rng.uniform(0.12, 0.3, n) * BEAT_FS_HZ
    until = first * stretch
    end = np.maximum(_lengths(beats) - 30, until + 20)
    pressed = first[:, None] + (_INDEX - until[:, None]) * ((end - first) / np.maximum(end - until, 5))[:, None]
    position = np.where(until[:, None] > _INDEX, _INDEX / stretch[:, None], pressed)
    return read_at(beats, np.where(end[:, None] < _INDEX, _INDEX, position))


def stretched(pair: Pair, rng: np.random.Generator) -> Array:
    """The whole beat slower or faster."""
    beats = pair.beats
    n = len(beats)
    factor = np.exp(rng.uniform(np.log(0.55), np.log(1.8), n))
    factor = np.where(np.abs(np.log(factor)) < 0.15, 1.3, factor)
    return read_at(beats, _INDEX / factor[:, None])


def inverted(pair: Pair, rng: np.random.Generator) -> Array:
    """A segment of 50 to 300 ms inverted."""
    beats = pair.beats
    n = len(beats)
    begin, length = rng.uniform(0, 0.5, n), rng.uniform(0.05, 0.3, n)
    inside = _after(begin, 0.01) * (1 - _after(begin + length, 0.01))
    level = np.median(beats[:, :60], axis=1, keepdims=True)
    return beats * (1 - inside) + (2 * level - beats) * inside


def bump(pair: Pair, rng: np.random.Generator) -> Array:
    """An additional wave of 12 to 80 ms."""
    beats = pair.beats
    n = len(beats)
    height, centre_s = rng.uniform(0.15, 0.8, n) * random_signs(rng, n), rng.uniform(0, 0.8, n)
    width_s = np.exp(rng.uniform(np.log(0.012), np.log(0.08), n))
    return beats + height[:, None] * np.exp(-0.5 * ((_TIME_S - centre_s[:, None]) / width_s[:, None]) ** 2)


def flattened(pair: Pair, rng: np.random.Generator) -> Array:
    """From 40 to 200 ms on, nearly flat."""
    beats = pair.beats
    n = len(beats)
    tail, kept = _after(rng.uniform(0.04, 0.2, n), 0.015), rng.uniform(0, 0.4, n)[:, None]
    level = _rest(beats) + rng.normal(0, 0.1, (n, 1))
    return beats * (1 - tail) + tail * (kept * beats + (1 - kept) * level)


def foreign_tail(pair: Pair, rng: np.random.Generator) -> Array:
    """The tail of another beat."""
    beats = pair.beats
    tail = _after(rng.uniform(0.04, 0.6, len(beats)))
    return beats * (1 - tail) + tail * pair.other


def foreign_head(pair: Pair, rng: np.random.Generator) -> Array:
    """The head of another beat."""
    beats = pair.beats
    tail = _after(rng.uniform(0.06, 0.4, len(beats)))
    return pair.other * (1 - tail) + tail * beats


def ventricular(pair: Pair, rng: np.random.Generator) -> Array:
    """A wide QRS and a discordant T wave made from waves, then the original beat or the baseline."""
    beats = pair.beats
    n = len(beats)

    def draw(low: float, high: float) -> Array:
        return rng.uniform(low, high, n)[:, None]

    def wave(centre_s: Array, width_s: Array, height: Array) -> Array:
        shape: Array = height * np.exp(-0.5 * ((_TIME_S - centre_s) / width_s) ** 2)
        return shape

    height, width_s, level = random_signs(rng, n)[:, None] * draw(0.4, 1.6), draw(0.018, 0.05), _rest(beats)
    made = wave(draw(-0.01, 0.02), width_s, height)
    made += wave(width_s * draw(1.5, 2.8), width_s * draw(0.7, 1.4), height * draw(-0.9, 0.4))
    t_wave_s = draw(0.2, 0.34)
    made += wave(t_wave_s, draw(0.04, 0.09), -height * draw(0.1, 0.6))
    over = _after((t_wave_s + draw(0.1, 0.25))[:, 0], 0.02)
    after = np.where(rng.random((n, 1)) < 0.5, beats, level + 0.3 * (beats - level))
    noise = rng.normal(size=beats.shape) * np.exp(draw(np.log(0.002), np.log(0.02)))
    return (level + made) * (1 - over) + after * over + noise


def fusion(pair: Pair, rng: np.random.Generator) -> Array:
    """A mixture of the beat and a ventricular one."""
    beats = pair.beats
    share = rng.uniform(0.3, 0.7, len(beats))[:, None]
    return share * beats + (1 - share) * ventricular(pair, rng)


def displaced(pair: Pair, rng: np.random.Generator) -> Array:
    """The next beat late, sometimes early."""
    beats = pair.beats
    n = len(beats)
    factor = np.where(rng.random(n) < 0.75, rng.uniform(1.15, 2.2, n), rng.uniform(0.45, 0.85, n))[:, None]
    begin = 0.35 * BEAT_FS_HZ
    return read_at(beats, np.where(begin > _INDEX, _INDEX, begin + (_INDEX - begin) / factor))


def amplified(pair: Pair, rng: np.random.Generator) -> Array:
    """A QRS lower or higher than the original."""
    beats = pair.beats
    n = len(beats)
    gain = np.where(rng.random(n) < 0.5, rng.uniform(0.2, 0.7, n), rng.uniform(1.4, 2.5, n))[:, None]
    inside, level = 1 - _after(np.full(n, 0.06), 0.01), _rest(beats)
    louder: Array = level + (beats - level) * (1 + inside * (gain - 1))
    return louder


KAGGLE_FAMILIES: Final[tuple[Family, ...]] = (
    *(widened, stretched, inverted, bump, flattened, foreign_tail),
    *(ventricular, fusion, displaced, amplified, foreign_head),
)


def kaggle_family_names() -> list[str]:
    """Names of the families, in the order of the indices of `perturb_kaggle`."""
    return [family.__name__ for family in KAGGLE_FAMILIES]


def perturb_kaggle(
    beats: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """One synthetic anomaly of each beat; all families have the same probability.

    Args:
        beats: (n, 187) normal beats, 0..1, zero-padded.
        rng: source of all random numbers.

    Returns:
        Beats (n, 187) float32, scaled and padded in the same way; families (n,), indices into `KAGGLE_FAMILIES`.
    """
    n = len(beats)
    kinds = rng.integers(0, len(KAGGLE_FAMILIES), n)
    other = beats[rng.permutation(n)]
    made = np.empty_like(beats)
    for kind, family in enumerate(KAGGLE_FAMILIES):
        rows = kinds == kind
        mine, theirs = beats[rows].astype(np.float64), other[rows].astype(np.float64)
        lengths = _lengths(mine)
        if family is foreign_tail:  # half of them have the length of the other beat
            lengths = np.where(rng.random(len(mine)) < 0.5, lengths, _lengths(theirs))
        made[rows] = _scaled(family(Pair(mine, theirs), rng), np.maximum(lengths, _LENGTH_MIN))
    return made, kinds


def _scaled(beats: Array, lengths: NDArray[np.int64]) -> Array:
    """Each beat scaled to 0..1 over its length, zero after it."""
    inside = lengths[:, None] > _INDEX
    low = np.where(inside, beats, np.inf).min(axis=1, keepdims=True)
    high = np.where(inside, beats, -np.inf).max(axis=1, keepdims=True)
    scaled: Array = np.where(inside, (beats - low) / np.maximum(high - low, 1e-3), 0.0)
    return scaled
