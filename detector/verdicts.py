"""Verdicts on the held signal: the quality of each second, and the gaps."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from detector.events import Gap, QualitySpan
from detector.quality import Quality

__all__ = ["Verdicts"]

_BRIDGED_SHARE, _FILLED_SHARE = 0.2, 0.35  # of a second: more bridges, or lines in all, are a signal made up
_HOLES_SHARE = 0.2  # of a window of 4 s whose waves can still be judged
_OFF_NEAR_S = 0.1  # a peak so near to the end of the signal is its edge, not the heart's
_HOLE_EDGE_S = 0.02  # a QRS that the edge of a hole cuts off may peak this far inside


class Verdicts:
    """Spans and gaps of the last seconds, in order of time; the caller drops old ones by `forget`."""

    def __init__(self, fs_hz: float) -> None:
        self._off_near, self._edge = round(_OFF_NEAR_S * fs_hz), round(_HOLE_EDGE_S * fs_hz)
        self._spans: deque[QualitySpan] = deque()
        self._gaps: deque[Gap] = deque()
        self._off: int | None = None  # first sample of a run without values that ends this stretch of signal

    def add(self, verdict: QualitySpan | Gap) -> None:
        """Add the next quality span or gap; of a gap that restarts the signal, only its begin matters."""
        if isinstance(verdict, QualitySpan):
            self._spans.append(verdict)
        elif verdict.effect != "restart":
            self._gaps.append(verdict)
        elif self._off is None:
            self._off = verdict.first_sample

    def worst(self, low: int, high: int) -> Quality:
        """Worst quality of the samples from `low` up to `high`, absolute indices; a bridge does not count."""
        if any(gap.effect != "bridged" and _end(gap) > low and gap.first_sample < high for gap in self._gaps):
            return max(Quality.GAP, self._worst(low, high), key=lambda quality: quality.rank)
        return self._worst(low, high)

    def waves_judged(self, low: int, high: int) -> bool:
        """Whether a window of waves can be judged: no second worse than electrode motion, at most 20 % holes.

        A straight line over less leaves a sine of many periods one, and a beat a beat.
        """
        holes = sum(
            min(_end(gap), high) - max(gap.first_sample, low)
            for gap in self._gaps
            if gap.effect == "hole" and _end(gap) > low and gap.first_sample < high
        )
        return self._worst(low, high).rank <= Quality.MOTION.rank and holes <= _HOLES_SHARE * (high - low)

    def _worst(self, low: int, high: int) -> Quality:
        touching = [span.quality for span in self._spans if span.end_sample > low and span.first_sample < high]
        return max(touching, key=lambda quality: quality.rank, default=Quality.GOOD)

    def measured(self, sample: int) -> bool:
        """Whether an R-peak here is one: not inside a hole, nor beside the end of the signal."""
        if self._off is not None and sample > self._off - self._off_near:
            return False
        edge = self._edge
        return not self._gaps or not any(
            gap.effect == "hole" and gap.first_sample + edge <= sample < _end(gap) - edge for gap in self._gaps
        )

    def hole_between(self, first: int, last: int) -> bool:
        """Whether a hole lies between two samples, or reaches into the stretch between them."""
        return bool(self._gaps) and any(
            gap.effect == "hole" and gap.first_sample < last and _end(gap) > first for gap in self._gaps
        )

    def came(self, first: int, end: int) -> tuple[NDArray[np.bool_] | None, bool]:
        """Mask of the samples from `first` up to `end` outside holes, and whether they are enough to be judged.

        The mask is (end - first,) bool; None if there is no gap, the usual case.
        """
        if not self._gaps or _end(self._gaps[-1]) <= first:
            return None, True
        came, counts = np.ones(end - first, dtype=np.bool_), {"bridged": 0, "unscored": 0, "hole": 0}
        for gap in self._gaps:
            low, high = max(gap.first_sample, first), min(_end(gap), end)
            if low < high:
                counts[gap.effect] += high - low
                if gap.effect == "hole":
                    came[low - first : high - first] = False
        bridged, filled = counts["bridged"], counts["bridged"] + counts["unscored"]
        made_up = bridged > _BRIDGED_SHARE * came.size or filled > _FILLED_SHARE * came.size
        return came, not made_up and bool(came.any())

    def forget(self, before: int) -> None:
        """Drop entries that end before this sample."""
        while self._spans and self._spans[0].end_sample < before:
            self._spans.popleft()
        while self._gaps and _end(self._gaps[0]) < before:
            self._gaps.popleft()


def _end(gap: Gap) -> int:
    return gap.first_sample + gap.n_samples
