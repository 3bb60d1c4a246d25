"""Verdicts on the held signal: the quality of each second, and the gaps."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from detector.events import Gap, QualitySpan
from detector.quality import Quality

__all__ = ["Verdicts"]


class Verdicts:
    """Spans and gaps of the last seconds, in order of time; the caller drops old ones by `forget`."""

    def __init__(self) -> None:
        self._spans: deque[QualitySpan] = deque()
        self._gaps: deque[Gap] = deque()

    def add(self, verdict: QualitySpan | Gap) -> None:
        """Add the next quality span, bridge or hole."""
        if isinstance(verdict, Gap):
            self._gaps.append(verdict)
        else:
            self._spans.append(verdict)

    def worst(self, low: int, high: int) -> Quality:
        """Worst quality of the samples from `low` up to `high`, absolute indices; a bridge does not count."""
        touching = [span.quality for span in self._spans if span.end_sample > low and span.first_sample < high]
        if any(gap.effect == "hole" and _end(gap) > low and gap.first_sample < high for gap in self._gaps):
            touching.append(Quality.GAP)
        return max(touching, key=lambda quality: quality.rank, default=Quality.GOOD)

    def came(self, first: int, end: int) -> tuple[NDArray[np.bool_] | None, int]:
        """Mask of the samples from `first` up to `end` outside holes, (end - first,) bool, and the number bridged.

        None instead of the mask if no sample is missing, the usual case.
        """
        if not self._gaps or _end(self._gaps[-1]) <= first:
            return None, 0
        came, bridged = np.ones(end - first, dtype=np.bool_), 0
        for gap in self._gaps:
            low, high = max(gap.first_sample, first), min(_end(gap), end)
            if low < high and gap.effect == "bridged":
                bridged += high - low
            elif low < high:
                came[low - first : high - first] = False
        return came, bridged

    def forget(self, before: int) -> None:
        """Drop entries that end before this sample."""
        while self._spans and self._spans[0].end_sample < before:
            self._spans.popleft()
        while self._gaps and _end(self._gaps[0]) < before:
            self._gaps.popleft()


def _end(gap: Gap) -> int:
    return gap.first_sample + gap.n_samples
