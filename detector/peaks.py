"""Local maxima as `scipy.signal.find_peaks` gives them, without what it spends on every call.

A second of a bed has some seven searches of a few dozen to a few hundred samples, and five sixths of each were the
checks and wrappers of the general function. Where a maximum may be a plateau, scipy is asked.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks, peak_prominences

__all__ = ["find_apart", "find_prominent", "maxima"]

Samples = NDArray[np.float64]
Indices = NDArray[np.int64]


def maxima(rows: Samples) -> list[Indices | None]:
    """Of each row the places over both neighbours, rising; None where they are for scipy to find.

    So it is where neighbours are equal or no numbers, and where there are fewer than three.

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
    """`maxima` of one row."""
    before, after = signal[:-1], signal[1:]
    rises = after > before
    falls = after < before
    if np.count_nonzero(rises) + np.count_nonzero(falls) != rises.size:
        return None
    return (rises[:-1] & falls[1:]).nonzero()[0] + 1


def find_prominent(signal: Samples, prominence: tuple[None, None]) -> tuple[Indices, dict[str, Samples]]:
    """As `find_peaks(signal, prominence=(None, None))`, but of the properties only what a choice of the most needs.

    Args:
        signal: (n,) float64.
        prominence: as neurokit2 calls it: no bounds.

    Returns:
        (k,) int64 places, and `prominences`, (k,) float64: of a single maximum it is not looked for, and infinite.

    Raises:
        ValueError: bounds were given.
    """
    if prominence != (None, None):
        raise ValueError(f"prominence={prominence}: only (None, None) is known here")
    places = _maxima(signal) if signal.size > 2 else None
    if places is None:
        places, told = find_peaks(signal, prominence=prominence)
        return places, told
    if places.size < 2:
        return places, {"prominences": np.full(places.size, np.inf)}
    return places, {"prominences": peak_prominences(signal, places)[0]}


def find_apart(signal: Samples, places: Indices | None, least: float, apart: int) -> Indices:
    """As `find_peaks(signal, height=least, distance=apart)[0]`: the higher of two that are too near stays.

    Args:
        signal: (n,) float64.
        places: its `maxima`.
        least: of a maximum.
        apart: samples between two maxima, 1 or more.

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
    # As scipy does it, also between equals: from the highest down, each that is still there drives out its neighbours.
    for i in signal[places].argsort().tolist()[::-1]:
        if kept[i]:
            for others in (range(i - 1, -1, -1), range(i + 1, len(at))):
                for other in others:
                    if abs(at[other] - at[i]) >= apart:
                        break
                    kept[other] = False
    return places[kept]
