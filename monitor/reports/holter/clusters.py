"""Shapes of beats: beats whose QRS correlates belong to one cluster. Streaming; memory is bounded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["AFTER_S", "BEFORE_S", "CUT_HZ", "CUT_OFFSETS_S", "Shape", "ShapeClusters"]

CUT_HZ: Final = 125.0  # as the beats of the model
BEFORE_S, AFTER_S = 0.256, 0.512
CUT_OFFSETS_S: Final = np.arange(-round(BEFORE_S * CUT_HZ), round(AFTER_S * CUT_HZ)) / CUT_HZ
_R: Final = round(BEFORE_S * CUT_HZ)
_QRS: Final = (_R - 12, _R + 18)  # -96 to +136 ms, as `detector.beats.QRS`
_LAG: Final = 3  # samples, 24 ms: the R-peak of a wide beat lies at either of its humps
_ALIKE: Final = 0.90  # correlation from which a beat belongs to a cluster
_MERGE: Final = 0.94  # and from which two clusters are one
_SIZE: Final = 1.8  # largest ratio of amplitudes within a cluster
_MOST: Final = 40  # clusters while the record is read


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A cluster.

    Attributes:
        rows: (n,) row numbers of its beats, in order.
        mean_mv: mean of its beats at CUT_OFFSETS_S from the R-peak, mV.
        likeness: correlation of its QRS with that of the first shape, -1 to 1.
    """

    rows: NDArray[np.int64]
    mean_mv: NDArray[np.float64]
    likeness: float


class ShapeClusters:
    """Put beats into clusters, in order.

    Args:
        n: number of beats of the record.
    """

    def __init__(self, n: int) -> None:
        self._label = np.full(n, -1, np.int64)
        self._sums: list[NDArray[np.float64]] = []
        self._counts: list[int] = []
        # QRS of the mean of each cluster, centred, of length 1, and its length before; kept because it is needed for
        # each beat, and only that of one cluster changes with it
        self._means = np.zeros((_QRS[1] - _QRS[0], _MOST))
        self._sizes = np.zeros(_MOST)

    def put(self, rows: NDArray[np.int64], cuts: NDArray[np.float64]) -> None:
        """Take beats.

        Args:
            rows: (k,) row numbers.
            cuts: (k, len(CUT_OFFSETS_S)) mV, finite.
        """
        windows = np.stack([cuts[:, _QRS[0] + lag : _QRS[1] + lag] for lag in range(-_LAG, _LAG + 1)], axis=1)
        windows = windows - windows.mean(axis=2, keepdims=True)
        sizes = np.linalg.norm(windows, axis=2)
        windows /= np.where(sizes > 0, sizes, 1.0)[:, :, None]
        for row, cut, own, size in zip(rows.tolist(), cuts, windows, sizes[:, _LAG].tolist(), strict=True):
            at = self._nearest(own, size)
            if at is None:
                if len(self._sums) >= _MOST:
                    continue
                at = len(self._sums)
                self._sums.append(np.zeros(cut.size))
                self._counts.append(0)
            self._sums[at] += cut
            self._counts[at] += 1
            self._label[row] = at
            mean = self._sums[at][_QRS[0] : _QRS[1]] / self._counts[at]
            mean -= mean.sum() / mean.size
            self._sizes[at] = length = math.sqrt(float(mean @ mean))
            self._means[:, at] = mean / (length or 1.0)

    def shapes(self, usual: NDArray[np.bool_]) -> list[Shape]:
        """The clusters: first the one with most usual beats, then by size.

        Args:
            usual: (n,) whether the beat counts for the choice of the first.
        """
        label = self._merged()
        names = [int(name) for name in np.unique(label) if name >= 0]
        if not names:
            return []
        first = max(names, key=lambda name: (int(np.sum(usual & (label == name))), int(np.sum(label == name))))
        names.sort(key=lambda name: (name != first, -int(np.sum(label == name))))
        means = {name: self._sums[name] / self._counts[name] for name in names}
        return [
            Shape(np.flatnonzero(label == name), means[name], _correlation(_lagged(means[name]), means[first]))
            for name in names
        ]

    def _nearest(self, own: NDArray[np.float64], size: float) -> int | None:
        """The cluster to which (lags, samples) windows of one beat belong, each centred and of length 1.

        Args:
            size: length of the middle window before.
        """
        k = len(self._sums)
        if not k:
            return None
        likeness = (own @ self._means[:, :k]).max(axis=0)
        sizes = self._sizes[:k]
        likeness[(size >= _SIZE * sizes) | (_SIZE * size <= sizes)] = -1.0
        best = int(likeness.argmax())
        return best if likeness[best] >= _ALIKE else None

    def _merged(self) -> NDArray[np.int64]:
        """Labels after clusters that became alike were put together; the larger one keeps its label."""
        label = self._label.copy()
        order = sorted(range(len(self._sums)), key=lambda at: -self._counts[at])
        kept: list[int] = []
        for at in order:
            mean = self._sums[at] / self._counts[at]
            into = next(
                (k for k in kept if _correlation(_lagged(mean), self._sums[k] / self._counts[k]) >= _MERGE), None
            )
            if into is None:
                kept.append(at)
            else:
                label[label == at] = into
        return label


def _lagged(cut: NDArray[np.float64]) -> NDArray[np.float64]:
    windows = np.stack([cut[_QRS[0] + lag : _QRS[1] + lag] for lag in range(-_LAG, _LAG + 1)])
    centred: NDArray[np.float64] = windows - windows.mean(axis=1, keepdims=True)
    return centred


def _correlation(own: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Best correlation of (lags, samples) windows with the QRS of another cut."""
    usual = other[_QRS[0] : _QRS[1]] - other[_QRS[0] : _QRS[1]].mean()
    norms = np.linalg.norm(own, axis=1) * np.linalg.norm(usual)
    return float(np.max(np.divide(own @ usual, norms, out=np.full(norms.size, -1.0), where=norms > 0)))
