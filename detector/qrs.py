"""QRS candidates: the slope envelope of the band-passed signal, its peaks, and the shapes of recent QRS complexes.

A QRS is a stretch of about 0.1 s with steep slopes of either sign. Its slope separates it from P and T waves, its
surroundings separate it from noise, and its likeness to the patient's recent beats separates it from both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, uniform_filter1d

from detector.lockstep import Stage, Steps
from detector.peaks import find_apart, maxima

__all__ = ["QrsShapes", "Steepness", "background", "envelope", "measuring_steepness", "slope"]

_SLOPE_S = 0.008  # length of the two means of a difference: averages out noise above 40 Hz
_QRS_S = 0.1
_APART_S = 0.1  # two candidates may be P wave and QRS; their evidence decides
_AROUND_S = 0.6
_SHAPE_HALF_S = 0.07
_SHAPE_LAG_S = 0.03
_SHAPES = 5  # the dominant beat, ectopic beats of one or two origins, and single odd ones
_SAME_SHAPE = 0.7
_SHAPE_RATE = 0.15
_TINY = 1e-9

Samples = NDArray[np.float64]
Indices = NDArray[np.int64]


def slope(signal: Samples, fs_hz: float) -> Samples:
    """Smoothed slope, mV per sample: mean of the next 8 ms minus mean of the last 8 ms; 0 at both ends.

    Args:
        signal: (..., n) float64, mV; the same for the functions below.
        fs_hz: sampling rate, Hz.
    """
    n = max(1, round(_SLOPE_S * fs_hz))
    taps = np.concatenate((np.full(n, -1.0), [0.0], np.full(n, 1.0))) / (n * (n + 1))
    steep = np.empty_like(signal)
    correlate1d(signal, taps, output=steep, mode="nearest")
    steep[..., :n] = steep[..., -n:] = 0.0  # computed from padding
    return steep


def envelope(steep: Samples, fs_hz: float) -> Samples:
    """Absolute slope averaged over the length of a QRS, mV per sample."""
    return _mean_over(np.abs(steep), max(1, round(_QRS_S * fs_hz)))


def background(heights: Samples, fs_hz: float) -> Samples:
    """Mean of the envelope within 0.6 s of each sample, without the nearest 0.1 s, mV per sample."""
    wide, near = 2 * round(_AROUND_S * fs_hz) + 1, 2 * round(_QRS_S * fs_hz) + 1
    around = _mean_over(heights, wide)
    around *= wide
    around -= _mean_over(heights, near) * near
    around /= wide - near
    return around


@dataclass(frozen=True, slots=True, eq=False)
class Steepness:
    """Steepness of a stretch of signal: everything that needs no knowledge of the patient.

    Attributes:
        slope: (n,) float64, mV per sample.
        envelope: (n,) float64, mV per sample.
        around: (n,) float64, `background`, mV per sample.
        tops: (k,) int64, maxima of the envelope, rising; None if there are plateaus.
        fs_hz: sampling rate, Hz.
    """

    slope: Samples
    envelope: Samples
    around: Samples
    tops: Indices | None
    fs_hz: float

    def candidates(self, least: float) -> Indices:
        """Maxima of the envelope of at least `least` mV per sample, rising, at least 0.1 s apart."""
        return find_apart(self.envelope, self.tops, least, max(1, round(_APART_S * self.fs_hz)))


def measuring_steepness(signal: Samples, fs_hz: float) -> Steps[Steepness]:
    """Measure the steepness of a stretch of signal, (n,) float64, mV, n at least 3; a routine in lockstep."""
    found = yield from _STEEPNESS.ask((signal.size, fs_hz), (signal, fs_hz))
    return found


def _steepness(stretches: list[tuple[Samples, float]]) -> list[Steepness]:
    signal, fs_hz = np.array([stretch for stretch, _ in stretches]), stretches[0][1]
    steep = slope(signal, fs_hz)
    heights = envelope(steep, fs_hz)
    rows = zip(steep, heights, background(heights, fs_hz), maxima(heights), strict=True)
    return [Steepness(*row, fs_hz) for row in rows]


_STEEPNESS = Stage(50, _steepness)


def _mean_over(signal: Samples, n: int) -> Samples:
    """Mean of the n samples around each sample; with a given output array, scipy takes half the time."""
    averaged = np.empty_like(signal)
    uniform_filter1d(signal, n, output=averaged, mode="nearest")
    return averaged


class QrsShapes:
    """The last few QRS shapes of one lead, as slopes of unit energy, in order of last use.

    Attributes:
        margin: samples needed on either side of a place to compare or learn it.
    """

    def __init__(self, fs_hz: float) -> None:
        self._half = max(2, round(_SHAPE_HALF_S * fs_hz))
        self._lag = max(1, round(_SHAPE_LAG_S * fs_hz))
        self.margin = self._half + self._lag
        length = np.arange(2 * self._half + 1)
        # (lags, length) samples from a place
        self._around = length + np.arange(2 * self._lag + 1)[:, None] - self.margin
        self._shapes: list[Samples] = []

    def __bool__(self) -> bool:
        return bool(self._shapes)

    def clear(self) -> None:
        """Forget every shape."""
        self._shapes.clear()

    def likeness(self, steep: Samples, at: Indices) -> Steps[Samples]:
        """Likeness of each place to the nearest known shape; a routine in lockstep.

        Args:
            steep: (n,) float64, from `slope`.
            at: (k,) int64 places, `margin` or more from both ends, at least one.

        Returns:
            (k,) float64, highest correlation within 30 ms, 0 to 1, higher = more alike; 0 without a known shape.
        """
        if not self._shapes:
            return np.zeros(at.size)
        like = yield from _LIKENESS.ask(self._around.shape, (steep, at, self._shapes, self._around))
        return like

    def mutual(self, steep: Samples, at: Indices) -> Samples:
        """Likeness of each place to the most alike of the others: replaces `likeness` in a new rhythm."""
        pieces, norms = self._pieces(steep, at)
        middles = pieces[:, self._lag] / norms[:, self._lag, None]  # (k, length)
        products = np.max((pieces @ middles.T) / norms[:, :, None], axis=1)  # (k, k)
        np.fill_diagonal(products, 0.0)
        highest: Samples = products.max(axis=1)
        return np.maximum(highest, 0.0)

    def _pieces(self, steep: Samples, at: Indices) -> tuple[Samples, Samples]:
        """(k, lags, length) slopes around each place and (k, lags) their norms."""
        pieces = steep[at[:, None, None] + self._around]
        return pieces, np.sqrt(np.vecdot(pieces, pieces)) + _TINY

    def learn(self, steep: Samples, place: int, may_add: bool) -> None:
        """Learn an accepted QRS: refresh the shape it resembles, or replace the oldest shape if `may_add`."""
        pieces = steep[place + self._around]
        best, shape_at, piece = -1.0, -1, pieces[self._lag]
        if self._shapes:
            products = np.array(self._shapes) @ pieces.T  # (shapes, lags)
            lags = products.argmax(axis=1).tolist()
            for i, lag in enumerate(lags):
                like = float(products[i, lag]) / (_norm(pieces[lag]) + _TINY)
                if like > best:
                    best, shape_at, piece = like, i, pieces[lag]
        if best > _SAME_SHAPE:
            old = self._shapes.pop(shape_at)
            self._shapes.append(_unit((1 - _SHAPE_RATE) * old + _SHAPE_RATE * _unit(piece)))
        elif may_add or not self._shapes:
            if len(self._shapes) == _SHAPES:
                del self._shapes[0]
            self._shapes.append(_unit(pieces[self._lag]))


Compared = tuple[Samples, Indices, list[Samples], Indices]


def _likeness(compared: list[Compared]) -> list[Samples]:
    """Likeness for each (slope, places, shapes, samples around a place)."""
    around = compared[0][3]
    pieces = np.concatenate([steep[at[:, None, None] + around] for steep, at, *_ in compared])  # (places, lags, length)
    highest, first, parts = np.empty(pieces.shape[:2]), 0, []
    for _, at, known, _ in compared:
        part = slice(first, first := first + at.size)
        np.max(pieces[part] @ np.array(known).T, axis=2, out=highest[part])
        parts.append(part)
    highest /= np.sqrt(np.vecdot(pieces, pieces)) + _TINY
    like = np.maximum(highest.max(axis=1), 0.0)
    return [like[part] for part in parts]


_LIKENESS = Stage(60, _likeness)


def _norm(piece: Samples) -> float:
    return math.sqrt(float(piece @ piece))


def _unit(piece: Samples) -> Samples:
    return piece / (_norm(piece) + _TINY)
