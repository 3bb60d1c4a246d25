"""The place of the R-peak within a QRS: the wave that was the R-peak in the last beats.

neurokit2 looks for the R-peak of each beat anew. Where a QRS has two tops (an rS, a notch) it takes now the one, now
the other, and such a beat is compared beside its template. So of its place and the tops of the QRS that one is taken
which is most like the last R-peaks. Where none is like them, it keeps its place, unless the signal there is less than
half as large as the largest deflection: then that one is taken.

The rule and its limits were chosen on DS1 and qtdb, by the normal beats whose R-peak is beside its usual distance from
the annotation (docs/experiments.md).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["RPlace"]

_REACH_S = 0.1  # from the middle of a QRS to its tops
_HALF_S = 0.1  # compared on either side
_BEATS, _FEW = 16, 4  # with 8, a ventricular run makes the next normal beats unknown
_TOP_SHARE = 0.2  # of the largest deflection: smallest top,
_FOUND_SHARE = 0.5  # ... and smallest place of neurokit2 that is taken without being known
_LIKE, _LIKE_BEATS = 0.8, 3  # a shape is known that correlates so well with three of the last beats
_TINY = 1e-9

Samples = NDArray[np.float64]


class RPlace:
    """Choose the place of each R-peak, and keep the signal around the last ones."""

    def __init__(self, fs_hz: float) -> None:
        self._reach = round(_REACH_S * fs_hz)
        self._half = max(1, round(_HALF_S * fs_hz))
        self._around = np.arange(-self._half, self._half + 1)
        self._known = np.empty((_BEATS, self._around.size))  # the oldest is overwritten
        self._seen = 0

    def choose(self, window: Samples, middle: int, place: int) -> int:
        """The place of the R-peak, an index of `window`.

        Args:
            window: (n,) float64, band-passed, mV.
            middle: of the QRS, an index.
            place: where neurokit2 finds the R-peak, an index.
        """
        low = max(0, middle - self._reach)
        deflection = np.abs(window[low : middle + self._reach + 1])
        largest = int(deflection.argmax())
        small = abs(float(window[place])) < _FOUND_SHARE * float(deflection[largest])
        otherwise = low + largest if small else place
        if self._seen < _FEW:
            return otherwise
        inner = deflection[1:-1]
        is_top = (inner > deflection[:-2]) & (inner >= deflection[2:]) & (inner >= _TOP_SHARE * deflection[largest])
        places = np.concatenate(([place], is_top.nonzero()[0] + (low + 1)))
        like = self._pieces(window, places) @ self._known[: self._seen].T
        known = np.count_nonzero(like > _LIKE, axis=1) >= _LIKE_BEATS
        if not known.any():
            return otherwise
        return int(places[np.where(known, like.sum(axis=1), -np.inf).argmax()])

    def learn(self, window: Samples, place: int) -> None:
        """Note the signal around an R-peak."""
        self._known[self._seen % _BEATS] = self._pieces(window, np.array([place]))[0]
        self._seen += 1

    def _pieces(self, window: Samples, places: NDArray[np.int64]) -> Samples:
        """The signal around each place, (k, length), of unit energy; beyond the window its last sample."""
        pieces: Samples = window.take(places[:, None] + self._around, mode="clip")
        pieces /= (np.sqrt(np.vecdot(pieces, pieces)) + _TINY)[:, None]
        return pieces
