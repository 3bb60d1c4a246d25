"""Local maxima as in `scipy.signal.find_peaks`, without its overhead per call.

One second of one bed needs about seven searches in up to a few hundred samples; five sixths of their time were checks
and wrappers of the general function. Signals with plateaus go to scipy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks, peak_prominences

__all__ = ["find_apart", "find_prominent", "maxima"]

Samples = NDArray[np.float64]
Indices = NDArray[np.int64]


def maxima(rows: Samples) -> list[Indices | None]:
    """Local maxima of each row, rising; None where scipy must find them.

    That is where neighbours are equal or NaN, and for fewer than three samples.

    Args:
        rows: (rows, n) float64.
    """
    if rows.shape[1] < 3:
        return [None] * len(rows)
    before, after = rows[:, :-1], rows[:, 1:]
    rises = after > before
    falls = after < before
    tops = rises[:, :-1] & falls[:, 1:]
    known: NDArray[np.bool_] = np.logical_and.reduce(rises | falls, axis=1)
    return [of_row.nonzero()[0] + 1 if whole else None for of_row, whole in zip(tops, known.tolist(), strict=True)]


def _maxima(signal: Samples) -> Indices | None:
    """`maxima` of a single row."""
    before, after = signal[:-1], signal[1:]
    rises = after > before
    falls = after < before
    if np.count_nonzero(rises) + np.count_nonzero(falls) != rises.size:
        return None
    return (rises[:-1] & falls[1:]).nonzero()[0] + 1


def find_prominent(signal: Samples, prominence: tuple[None, None]) -> tuple[Indices, dict[str, Samples]]:
    """`find_peaks(signal, prominence=(None, None))` with the prominences as the only property.

    Args:
        signal: (n,) float64.
        prominence: (None, None), as neurokit2 calls it.

    Returns:
        (k,) int64 places, and `prominences`, (k,) float64; infinite for a single maximum.

    Raises:
        ValueError: bounds were given.
    """
    if prominence != (None, None):
        raise ValueError(f"prominence={prominence}: only (None, None) is known here")
    places = _maxima(signal) if signal.size > 2 else None
    if places is None:
        places, properties = find_peaks(signal, prominence=prominence)
        return places, properties
    if places.size < 2:
        return places, {"prominences": np.full(places.size, np.inf)}
    return places, {"prominences": peak_prominences(signal, places)[0]}


def find_apart(signal: Samples, places: Indices | None, least: float, apart: int) -> Indices:
    """`find_peaks(signal, height=least, distance=apart)[0]`: the higher of two close maxima stays.

    Args:
        signal: (n,) float64.
        places: its `maxima`.
        least: minimum height of a maximum.
        apart: minimum distance of two maxima, samples, 1 or more.

    Returns:
        (k,) int64 places, rising.
    """
    if places is None:
        found: Indices = find_peaks(signal, height=least, distance=apart)[0]
        return found
    places = places[signal[places] >= least]
    if places.size < 2 or int((places[1:] - places[:-1]).min()) >= apart:
        return places
    at = places.tolist()
    kept = [True] * len(at)
    # As in scipy, also for equal heights: from the highest down, each remaining maximum removes its neighbours.
    for i in signal[places].argsort().tolist()[::-1]:
        if kept[i]:
            for others in (range(i - 1, -1, -1), range(i + 1, len(at))):
                for other in others:
                    if abs(at[other] - at[i]) >= apart:
                        break
                    kept[other] = False
    return places[kept]
