"""Ectopic beats far smaller than the others, as in a bigeminy whose ventricular beats are small in this lead.

Such a beat is no higher in the slope envelope than a P or T wave, so it is rejected. What tells it from them: it keeps
its distance from the QRS before, after the end of the T wave; no QRS follows it at once; it is large in mV; and it has
a T wave of its own. The P waves of an AV block are smaller and have none.

Chosen on synthetic bigeminies (ventricular beats of 0.4 to 0.6 R) against complete and 2:1 block (P waves up to
0.25 R).
"""

from __future__ import annotations

import math
from collections import deque
from statistics import median

import numpy as np
from numpy.typing import NDArray

__all__ = ["SmallBeats"]

_SPAN_S = 8.0
# At 60 bpm, with the cube root of the RR interval (Fridericia 1920): a T wave is nearer to its QRS. Behind a wide QRS
# that holds for every T wave, so that none is a beat of a slow escape rhythm; behind a narrow one for nearly every.
_QT_S, _QT_NARROW_S, _NARROW_S = 0.40, 0.34, 0.08
_BEFORE_S = 0.33  # to the next QRS: a P wave is nearer
# Only where they would halve the rate to under 52/min: in faster rhythms late T waves and early P waves look the same.
_SLOW_RR_S = 1.15
_COUPLING_S = 0.06  # largest deviation of the distance from the QRS before
_LEAST = 3
_BEATS, _HIGHER = 4, 1.5
_HEIGHT_HALF_S, _LEAST_HEIGHT = 0.08, 0.32  # peak to peak within 80 ms, in heights of the QRS


class SmallBeats:
    """Rejected candidates of the last 8 s, and the QRS complexes around them; places are absolute samples.

    Attributes:
        beats: the QRS complexes.
    """

    def __init__(self, fs_hz: float) -> None:
        self._fs_hz = fs_hz
        self.beats: deque[int] = deque()
        self._widths: deque[float] = deque(maxlen=_BEATS)  # of the newest
        self._rejected: deque[int] = deque()
        self._heights: deque[float] = deque()  # of them
        self._until = 0  # everything before it was decided

    def clear(self) -> None:
        """Start a new signal."""
        self.beats.clear()
        self._rejected.clear()
        self._heights.clear()

    def note(
        self, beats: list[int], widths: list[float], rejected: list[int], heights: list[float], until: int
    ) -> None:
        """Note what was decided before `until`: beats, their widths (infinite: wide), other waves, their heights."""
        self._until, before = until, until - _SPAN_S * self._fs_hz
        self.beats.extend(beats)
        self._widths.extend(widths)
        self._rejected.extend(rejected)
        self._heights.extend(heights)
        while self.beats and self.beats[0] < before:
            self.beats.popleft()
        while self._rejected and self._rejected[0] < before:
            self._rejected.popleft()
            self._heights.popleft()

    def new_height(self) -> float:
        """Height from which a wave is no P or T wave of the last 8 s; infinite where few beats are known."""
        if len(self.beats) < _BEATS:
            return math.inf
        return _HIGHER * max(sorted(self._heights)[-2:-1], default=0.0)  # the highest may be a beat that was missed

    def suspects(self) -> list[int]:
        """Rejected candidates that lie between two beats as a beat would, at one distance from the QRS before."""
        if len(self._rejected) < _LEAST or len(self.beats) < 2:
            return []
        beats, fs_hz = list(self.beats), self._fs_hz
        qt_s = _QT_NARROW_S if median(self._widths) < _NARROW_S * fs_hz else _QT_S
        found: list[tuple[int, int]] = []
        for place in self._rejected:
            before = max((beat for beat in beats if beat < place), default=None)
            after = min((beat for beat in beats if beat > place), default=self._until)
            if before is None or after - place <= _BEFORE_S * fs_hz:
                continue
            rr_s = (after - before) / fs_hz
            if rr_s >= _SLOW_RR_S and place - before > qt_s * rr_s ** (1 / 3) * fs_hz:
                found.append((place, place - before))
        if len(found) < _LEAST:
            return []
        usual = median(coupling for _, coupling in found)
        alike = [place for place, coupling in found if abs(coupling - usual) <= _COUPLING_S * fs_hz]
        return alike if len(alike) >= max(_LEAST, len(found) // 2) else []

    def large(self, window: NDArray[np.float64], first_sample: int, suspects: list[int]) -> bool:
        """Whether the suspects are large beside the beats; `window`, (n,) float64, mV, begins at `first_sample`."""
        small, usual = (self._height_mv(window, first_sample, places) for places in (suspects, list(self.beats)))
        return small >= _LEAST_HEIGHT * usual > 0

    def _height_mv(self, window: NDArray[np.float64], first_sample: int, places: list[int]) -> float:
        """Median height of the complexes within the window, peak to peak; 0 without one."""
        half = round(_HEIGHT_HALF_S * self._fs_hz)
        inside = [at for place in places if half <= (at := place - first_sample) < window.size - half]
        return float(median(np.ptp(window[at - half : at + half + 1]) for at in inside)) if inside else 0.0
