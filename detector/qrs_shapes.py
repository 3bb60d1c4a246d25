"""Shapes of one lead's recent waves, as slopes: how much a candidate resembles them, and how wide it is."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Compared", "QrsShapes", "compare_shapes"]

_HALF_S = 0.07
_LAG_S = 0.03
_SHAPES = 5  # the dominant beat, ectopic beats of one or two origins, and single odd ones
_SAME_SHAPE = 0.7
_RATE = 0.15
_TINY = 1e-9

Samples = NDArray[np.float64]
Indices = NDArray[np.int64]


class QrsShapes:
    """The last few shapes, as slopes of unit energy, in order of last use.

    Attributes:
        margin: samples needed on either side of a place to compare or learn it.
        around: (lags, length) int64, the samples from a place that are compared, one row for each lag.
        known: (shapes, length) float64, one row for each shape.
        heights: usual height of the waves of each shape, in the unit given to `learn`.
    """

    def __init__(self, fs_hz: float) -> None:
        half, self._lag = max(2, round(_HALF_S * fs_hz)), max(1, round(_LAG_S * fs_hz))
        self.margin = half + self._lag
        # (lags, length) samples from a place
        self.around = np.arange(2 * half + 1) + np.arange(2 * self._lag + 1)[:, None] - self.margin
        self.known: Samples = np.empty((0, 2 * half + 1))
        self.heights: list[float] = []

    def __bool__(self) -> bool:
        return bool(self.heights)

    def clear(self) -> None:
        """Forget every shape."""
        self.known = self.known[:0]
        self.heights.clear()

    def mutual(self, steep: Samples, at: Indices) -> Samples:
        """Likeness of each place, (k,) int64, to others: replaces likeness to known shapes in a new rhythm.

        The second highest counts: of a few pieces of noise, two resemble each other by chance. 0 for fewer than three.
        """
        if at.size < 3:
            return np.zeros(at.size)
        pieces = steep[at[:, None, None] + self.around]
        norms = np.sqrt(np.vecdot(pieces, pieces)) + _TINY
        middles = pieces[:, self._lag] / norms[:, self._lag, None]  # (k, length)
        products = np.max((pieces @ middles.T) / norms[:, :, None], axis=1)  # (k, k)
        np.fill_diagonal(products, 0.0)
        second: Samples = np.partition(products, -2, axis=1)[:, -2]
        return np.maximum(second, 0.0)

    def widths(self, steep: Samples, at: Indices) -> Samples:
        """Width of the slopes at each place, (k,) float64, samples, see `compare_shapes`."""
        pieces = steep[at[:, None] + self.around[self._lag]]
        return _widths(pieces, np.vecdot(pieces, pieces))

    def narrowest(self) -> float:
        """Width of the narrowest known shape, samples, as `compare_shapes` gives it; 0 without shapes."""
        return min((float(np.abs(shape).sum()) ** 2 for shape in self.known), default=0.0)  # of unit energy

    def learn(self, steep: Samples, place: int, height: float, may_add: bool) -> None:
        """Learn an accepted wave: refresh the shape it resembles, or replace the oldest shape if `may_add`."""
        pieces = steep[place + self.around]
        best, shape_at, piece = -1.0, -1, pieces[self._lag]
        if self:
            products = self.known @ pieces.T  # (shapes, lags)
            lags = products.argmax(axis=1).tolist()
            for i, lag in enumerate(lags):
                like = float(products[i, lag]) / (_norm(pieces[lag]) + _TINY)
                if like > best:
                    best, shape_at, piece = like, i, pieces[lag]
        if best > _SAME_SHAPE:
            new = _unit((1 - _RATE) * self.known[shape_at] + _RATE * _unit(piece))
            height = (1 - _RATE) * self.heights[shape_at] + _RATE * height
        elif may_add or not self:
            new, shape_at = _unit(pieces[self._lag]), 0 if len(self.heights) == _SHAPES else -1
        else:
            return
        kept = [row for i, row in enumerate(self.known) if i != shape_at]
        self.known = np.array([*kept, new])
        self.heights = [*(known for i, known in enumerate(self.heights) if i != shape_at), height]


class Compared(NamedTuple):
    """Candidates compared with known shapes, each (k,) float64.

    Attributes:
        like: likeness to the nearest QRS shape: highest correlation within 30 ms, 0 to 1, higher = more alike; 0
            without a shape.
        own_height: usual height of that shape; 0 without a shape.
        other: likeness to the nearest other wave.
        width: length over which the slopes are spread evenly, samples: square of their sum over sum of their squares.
    """

    like: Samples
    own_height: Samples
    other: Samples
    width: Samples


Places = tuple[Samples, Indices, QrsShapes, QrsShapes]


def compare_shapes(asked: list[Places]) -> list[Compared]:
    """Compare places with two sets of shapes.

    Args:
        asked: of each lead, all of one sampling rate:
            (n,) float64, slope of the signal (`detector.qrs.slope`);
            (k,) int64 places, `margin` or more from both ends, at least one;
            shapes of QRS complexes; shapes of waves that are no QRS.
    """
    around = asked[0][2].around
    pieces = np.concatenate([steep[at[:, None, None] + around] for steep, at, *_ in asked])  # (places, lags, length)
    squares = np.vecdot(pieces, pieces)  # (places, lags)
    norms = np.sqrt(squares) + _TINY
    lag = len(around) // 2
    widths = _widths(pieces[:, lag], squares[:, lag])
    found, first = [], 0
    for _, at, shapes, others in asked:
        part = slice(first, first := first + at.size)
        like, nearest = _highest(pieces[part], norms[part], shapes.known)
        own = np.array(shapes.heights)[nearest] if shapes else np.zeros(at.size)
        found.append(Compared(like, own, _highest(pieces[part], norms[part], others.known)[0], widths[part]))
    return found


def _highest(pieces: Samples, norms: Samples, known: Samples) -> tuple[Samples, Indices]:
    """(k,) highest correlation of (k, lags, length) pieces with any shape, and which; 0 without shapes."""
    if not len(known):
        return np.zeros(len(pieces)), np.zeros(len(pieces), np.int64)
    products = pieces @ known.T  # (k, lags, shapes)
    products /= norms[:, :, None]
    best: Samples = products.max(axis=1)
    nearest: Indices = best.argmax(axis=1)
    return np.maximum(best.max(axis=1), 0.0), nearest


def _widths(pieces: Samples, squares: Samples) -> Samples:
    """(k,) width of (k, length) slopes with these sums of squares, samples."""
    widths: Samples = np.abs(pieces).sum(axis=1) ** 2 / (squares + _TINY)
    return widths


def _norm(piece: Samples) -> float:
    return math.sqrt(float(piece @ piece))


def _unit(piece: Samples) -> Samples:
    return piece / (_norm(piece) + _TINY)
