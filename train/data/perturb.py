"""Synthetic anomalies: normal beats with the changes of disease and disturbance. No abnormal label is used.

An encoder that separates them from their originals learns the relevant features: width and polarity of the QRS, P
wave, T wave, and prematurity. Beats are stream beats (mV, R-peak at index 62). The recorded past of a normal beat (its
templates, the previous beat) is used unchanged, even if the previous beat was abnormal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector import BEAT_FS_HZ, BEAT_SAMPLES, R_INDEX
from detector.short_repr import short_repr
from train.data.perturb_shapes import EDGE_S, ramp, random_signs, read_at

__all__ = ["FAMILIES", "Source", "family_names", "perturb"]

Array = NDArray[np.float64]
_TIME_S: Final = (np.arange(BEAT_SAMPLES) - R_INDEX) / BEAT_FS_HZ
_USUAL_RR_S: Final = 0.8  # for an unknown interval


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Normal beats to make anomalies from, one row each.

    Attributes:
        beats: (n, 187) mV.
        previous: (n, 187) mV, the previous beat.
        other: (n, 187) mV, any other beat, of the same height.
        amplitude_mv: (n,) usual height of the QRS, mV.
        rr_s: (n,) interval to the previous beat, s.
    """

    beats: Array
    previous: Array
    other: Array
    amplitude_mv: Array
    rr_s: Array

    __repr__ = short_repr

    def rows(self, mask: NDArray[np.bool_]) -> Source:
        """The rows of a mask."""
        return Source(self.beats[mask], self.previous[mask], self.other[mask], self.amplitude_mv[mask], self.rr_s[mask])


Made = tuple[Array, Array]  # beats (n, 187), factors of their RR intervals (n,)
Family = Callable[[Source, np.random.Generator], Made]


def _column(values: NDArray[Any]) -> NDArray[Any]:
    return values[:, None]


def _wave(centre_s: Array, width_s: Array, height_mv: Array) -> Array:
    """A Gaussian wave per row: (n, 187)."""
    wave: Array = _column(height_mv) * np.exp(-0.5 * ((_TIME_S - _column(centre_s)) / _column(width_s)) ** 2)
    return wave


def _after(at_s: Array, edge_s: float = EDGE_S) -> Array:
    """0 before `at_s`, 1 after it, (n, 187)."""
    return ramp(_TIME_S, at_s, edge_s)


def _level(beats: Array) -> Array:
    """Baseline of each beat, (n, 1) mV."""
    return np.median(beats, axis=1, keepdims=True)


def _after_previous(beats: Array, source: Source, rr_s: Array, from_s: Array) -> Array:
    """`beats` at `rr_s` after the previous beat, whose tail fills the time until `from_s` before R."""
    tail = read_at(source.previous, np.arange(BEAT_SAMPLES) + _column(rr_s) * BEAT_FS_HZ)
    keep = _after(-from_s)
    return beats * keep + tail * (1 - keep)


def _early(rng: np.random.Generator, n: int, share: float) -> Array:
    """RR factors: `share` of them premature, the rest on time."""
    return np.where(rng.random(n) < share, rng.uniform(0.45, 0.90, n), rng.uniform(0.9, 1.15, n))


def _ventricular(source: Source, factor: Array, rng: np.random.Generator) -> Array:
    """A wide QRS of 100 to 220 ms with a discordant T wave, mostly without P wave and followed by the baseline."""
    n = len(factor)

    def draw(low: float, high: float) -> Array:
        return rng.uniform(low, high, n)

    width_s = draw(0.10, 0.22)
    height = source.amplitude_mv * np.exp(draw(np.log(0.5), np.log(2.2))) * random_signs(rng, n)
    s = width_s / 4.5
    complex_ = (
        _wave(draw(-0.01, 0.01), s * draw(0.7, 1.1), height)
        + _wave(s * draw(1.2, 2.4), s * draw(0.6, 1.3), height * draw(-0.9, 0.5))
        + _wave(-s * draw(1.2, 2.2), s * draw(0.5, 1.0), height * draw(-0.5, 0.4))
        + _wave(width_s / 2 + draw(0.14, 0.26), draw(0.04, 0.09), -height * draw(0.1, 0.6))
        + _wave(width_s / 2 + draw(0.05, 0.12), draw(0.05, 0.09), -height * draw(0, 0.25))
    )
    level = _level(source.beats)
    rr_s = source.rr_s * factor
    before = _after_previous(np.broadcast_to(level, source.beats.shape), source, rr_s, np.full(n, 0.02))
    on_time = (rr_s >= 1.4) | ((rng.random(n) < 0.25) & (factor > 0.8))  # late enough for a P wave
    before = np.where(_column(on_time), source.beats, before)
    after = np.where(_column(rng.random(n) < 0.35), source.beats, level)
    begun = _after(-0.05 - 0.3 * width_s)
    over = _after(0.6 * width_s + 0.30, 0.03)
    return before * (1 - begun) + (level + complex_) * begun * (1 - over) + (after + complex_) * over


def ventricular(source: Source, rng: np.random.Generator) -> Made:
    """Premature ventricular beat."""
    factor = _early(rng, len(source.rr_s), 0.8)
    return _ventricular(source, factor, rng), factor


def widened(source: Source, rng: np.random.Generator) -> Made:
    """The patient's own beat, 1.4 to 2.6 times as wide, possibly inverted: aberrant or ventricular."""
    n = len(source.rr_s)
    factor = _early(rng, n, 0.7)
    stretch = np.exp(rng.uniform(np.log(1.4), np.log(2.6), n))
    wide = read_at(source.beats, (np.arange(BEAT_SAMPLES) - R_INDEX) / _column(stretch) + R_INDEX)
    wide = wide * _column(np.where(rng.random(n) < 0.4, -1.0, 1.0) * rng.uniform(0.7, 1.5, n))
    joined = _after_previous(wide, source, source.rr_s * factor, rng.uniform(0.06, 0.12, n))
    return np.where(_column(factor < 0.95), joined, wide), factor


def premature(source: Source, rng: np.random.Generator) -> Made:
    """Premature atrial beat: early, P wave changed or hidden in the previous T wave, sometimes aberrant."""
    n = len(source.rr_s)
    factor = rng.uniform(0.45, 0.90, n)
    beats = _after_previous(source.beats, source, source.rr_s * factor, rng.uniform(0.05, 0.22, n))
    height = source.amplitude_mv * rng.uniform(-0.15, 0.15, n) * (rng.random(n) < 0.5)
    beats = beats + _wave(-rng.uniform(0.12, 0.2, n), rng.uniform(0.015, 0.03, n), height)
    height = source.amplitude_mv * rng.uniform(-0.4, 0.4, n) * (rng.random(n) < 0.25)
    return beats + _wave(rng.uniform(0.02, 0.07, n), rng.uniform(0.015, 0.03, n), height), factor


def junctional(source: Source, rng: np.random.Generator) -> Made:
    """Premature junctional beat: early, no P wave before it, possibly a small inverted one after it."""
    n = len(source.rr_s)
    factor = rng.uniform(0.50, 0.92, n)
    beats = _after_previous(source.beats, source, source.rr_s * factor, rng.uniform(0.03, 0.07, n))
    height = -source.amplitude_mv * rng.uniform(0.05, 0.25, n) * (rng.random(n) < 0.5)
    return beats + _wave(rng.uniform(0.05, 0.16, n), rng.uniform(0.012, 0.025, n), height), factor


def fusion(source: Source, rng: np.random.Generator) -> Made:
    """Fusion beat: a mixture of the patient's own beat and a ventricular one, hardly early."""
    n = len(source.rr_s)
    factor = np.where(rng.random(n) < 0.5, rng.uniform(0.75, 1.0, n), rng.uniform(0.95, 1.05, n))
    share = _column(rng.uniform(0.3, 0.8, n))
    return share * source.beats + (1 - share) * _ventricular(source, factor, rng), factor


def inverted(source: Source, rng: np.random.Generator) -> Made:
    """A segment of the beat inverted."""
    n = len(source.rr_s)
    begin, half = rng.uniform(-0.1, 0.3, n), rng.uniform(0.06, 0.25, n)
    inside = _after(begin - half) * (1 - _after(begin + half))
    level = _level(source.beats)
    return source.beats * (1 - inside) + (2 * level - source.beats) * inside, np.ones(n)


def bump(source: Source, rng: np.random.Generator) -> Made:
    """An additional wave of 12 to 80 ms."""
    n = len(source.rr_s)
    width_s = np.exp(rng.uniform(np.log(0.012), np.log(0.08), n))
    height = source.amplitude_mv * rng.uniform(0.2, 0.9, n) * random_signs(rng, n)
    return source.beats + _wave(rng.uniform(-0.25, 0.45, n), width_s, height), np.ones(n)


def flattened(source: Source, rng: np.random.Generator) -> Made:
    """ST segment and T wave flattened, raised or lowered."""
    n = len(source.rr_s)
    tail = _after(rng.uniform(0.06, 0.12, n))
    kept = _column(rng.uniform(0, 0.35, n))
    flat = source.beats * (1 - tail) + (kept * source.beats + (1 - kept) * _level(source.beats)) * tail
    shift = source.amplitude_mv * rng.uniform(-0.4, 0.4, n) * (rng.random(n) < 0.5)
    return flat + _column(shift) * tail * (1 - _after(np.full(n, 0.35), 0.04)), np.ones(n)


def amplified(source: Source, rng: np.random.Generator) -> Made:
    """A QRS much lower or higher than usual."""
    n = len(source.rr_s)
    gain = np.where(rng.random(n) < 0.5, rng.uniform(0.25, 0.6, n), rng.uniform(1.6, 3.0, n))
    inside = _after(np.full(n, -0.07)) * (1 - _after(np.full(n, 0.07)))
    return source.beats * (1 + inside * (_column(gain) - 1)), _early(rng, n, 0.5)


def foreign_tail(source: Source, rng: np.random.Generator) -> Made:
    """Another beat from the QRS on."""
    n = len(source.rr_s)
    tail = _after(rng.uniform(0.03, 0.2, n), 0.015)
    return source.beats * (1 - tail) + source.other * tail, np.ones(n)


# Family and its probability: dangerous kinds most often, mere disturbances least. Fixed in advance.
FAMILIES: Final[tuple[tuple[Family, float], ...]] = (
    (ventricular, 0.26),
    (widened, 0.10),
    (premature, 0.17),
    (fusion, 0.14),
    (inverted, 0.06),
    (bump, 0.07),
    (flattened, 0.05),
    (amplified, 0.06),
    (foreign_tail, 0.03),
    (junctional, 0.06),
)


def family_names() -> list[str]:
    """Names of the families, in the order of the indices of `perturb`."""
    return [family.__name__ for family, _ in FAMILIES]


def perturb(source: Source, rng: np.random.Generator) -> tuple[NDArray[np.float32], Array, NDArray[np.int64]]:
    """One synthetic anomaly of each beat.

    Args:
        source: n normal beats; an unknown interval (NaN) counts as 0.8 s.
        rng: source of all random numbers.

    Returns:
        Beats (n, 187) float32, mV; factors of their RR intervals (n,), under 1 = early; families (n,), indices into
        `FAMILIES`.
    """
    n = len(source.rr_s)
    known = Source(
        source.beats,
        source.previous,
        source.other,
        source.amplitude_mv,
        np.where(np.isnan(source.rr_s), _USUAL_RR_S, source.rr_s),
    )
    weights = np.array([weight for _, weight in FAMILIES])
    kinds = rng.choice(len(FAMILIES), n, p=weights / weights.sum())
    beats = np.empty((n, BEAT_SAMPLES), dtype=np.float32)
    factors = np.ones(n)
    for kind, (family, _) in enumerate(FAMILIES):
        chosen = kinds == kind
        if chosen.any():
            beats[chosen], factors[chosen] = family(known.rows(chosen), rng)
    return beats, factors, kinds
