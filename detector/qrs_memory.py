"""What the R-peak detector knows of one lead: heights, shapes and intervals of the patient's QRS complexes.

The memory lasts. A pause, a standstill, noise or a restart of the signal does not clear it: only complexes that agree
with each other and look like QRS complexes replace it (`relearn`).
"""

from __future__ import annotations

from collections import deque
from statistics import median  # of a few numbers: ten times faster than numpy's

import numpy as np
from numpy.typing import NDArray

from detector.qrs import steepness_of
from detector.qrs_shapes import QrsShapes

__all__ = ["NEW_RHYTHM_S", "QrsMemory"]

NEW_RHYTHM_S = 4.0  # without a QRS: another electrode, another gain, or a standstill; from here it is asystole
_MEMORY_BEATS = 12
_MEMORY_INTERVALS = 8
_RECENT_BEATS = 8
_USUAL_QUANTILE = 0.6  # above the median: an occasional T wave among the beats must not lower the usual height
_ENOUGH_BEATS = 4  # number of beats from which the memory alone gives the usual height;
_PIECE_S = 1.5  # until then: the maximum of each piece of this length, which contains a beat down to 40/min
_SLOPE_MIN_MV_S = 1.5  # a QRS of 0.1 mV; amplifier noise of 10 uV stays below it
_NEW_SHAPE_SHARE = 0.5  # a new QRS shape needs half the usual height; smaller rejected waves are P and T waves

# Complexes that replace the memory: at least three, well above their surroundings, alike, and either followed by a T
# wave or as narrow as a QRS of this patient. P waves of a standstill are followed by little (peak to peak 0.04 to 0.21
# of their own height; escape beats and moved electrodes from 0.23), and their slopes are usually 1.24 to 1.9 times as
# wide as those of the QRS (moved electrodes 1.1). P waves have up to 0.17 of the height of the QRS, and notched ones
# are as narrow: complexes as small as that need a T wave, and the smallest replace nothing: they stay an asystole.
# Chosen on synthetic ECGs and on DS1 leads without their QRST.
_NEW_BEATS, _NEW_HEIGHT, _NEW_CONTRAST = 3, 0.5, 2.5
_NEW_ALIKE_T, _NEW_ALIKE_NARROW = 0.95, 0.9
_SMALL, _SMALLEST = 0.22, 0.08  # of the usual height, if it comes from good signal
_NEW_T_WAVE, _SMALL_T_WAVE = 0.18, 0.3
_NEW_WIDTH = 1.25
_ECTOPIC_T_WAVE = 0.1  # less than in a new rhythm, because they are also large and wide
_ECTOPIC_ALIKE = 0.93  # T waves in noise have 0.9
_ECTOPIC_WIDTH = 1.3  # of the beats around: small ventricular beats have 1.38 to 2.3, T waves of wide escape beats 1.0
_T_WAVE_S = (0.16, 0.42)  # after the middle of the complex


class QrsMemory:
    """Usual height, shapes and intervals of the last QRS complexes.

    Attributes:
        floor: smallest height of a QRS, mV per sample.
        shapes: of QRS complexes.
        others: of small waves that were rejected: P and T waves.
    """

    def __init__(self, fs_hz: float) -> None:
        self.fs_hz = fs_hz
        self.floor = _SLOPE_MIN_MV_S / fs_hz
        self.shapes = QrsShapes(fs_hz)
        self.others = QrsShapes(fs_hz)
        self._heights: deque[float] = deque(maxlen=_MEMORY_BEATS)
        self._intervals: deque[int] = deque(maxlen=_MEMORY_INTERVALS)
        self._sure = 0  # number of QRS complexes learnt in good signal
        self._recent: deque[tuple[float, float]] = deque(maxlen=_RECENT_BEATS)  # likeness, peak to peak in mV
        self._between: deque[int] = deque(maxlen=_RECENT_BEATS)  # them, learnt or not, samples

    @property
    def enough(self) -> bool:
        """Whether the usual height is known from the memory alone."""
        return len(self._heights) >= _ENOUGH_BEATS

    @property
    def usual_interval(self) -> float | None:
        """Median of the last intervals, samples; None with fewer than two."""
        return median(self._intervals) if len(self._intervals) > 1 else None

    @property
    def recent_rr_s(self) -> float | None:
        """Median interval of the newest QRS complexes, s, in noise too; None with fewer than two."""
        return median(self._between) / self.fs_hz if len(self._between) > 1 else None

    @property
    def qrs_mv(self) -> float:
        """Peak to peak of the last QRS complexes if they are alike, mV; else 0."""
        if len(self._recent) < _ENOUGH_BEATS or median(like for like, _ in self._recent) < _NEW_ALIKE_NARROW:
            return 0.0
        return median(height_mv for _, height_mv in self._recent)

    def usual_height(self, heights: NDArray[np.float64]) -> float:
        """Usual height of a QRS, mV per sample; `heights` is the envelope, (n,), for a lead that is new."""
        known = list(self._heights)
        if self.enough:
            return sorted(known)[int(_USUAL_QUANTILE * len(known))]
        return max(self.floor, median(known + self._pieces(heights)))

    def learn(self, steep: NDArray[np.float64], place: int, height: float, usual: float, sure: bool) -> None:
        """Learn a QRS: `place` in the slopes `steep`, (n,), mV per sample; `sure`: it was in good signal."""
        self._sure += sure
        self._heights.append(height)
        self.shapes.learn(steep, place, height, may_add=height >= _NEW_SHAPE_SHARE * usual)

    def learn_interval(self, samples: int) -> None:
        """Learn the interval of two consecutive beats; a standstill is none."""
        if samples < NEW_RHYTHM_S * self.fs_hz:
            self._intervals.append(samples)

    def note_interval(self, samples: int) -> None:
        """Note the interval of the two newest QRS complexes."""
        self._between.append(samples)

    def learn_other(self, steep: NDArray[np.float64], place: int, height: float, usual: float) -> None:
        """Learn a wave that is no beat, if it is small."""
        if height < _NEW_SHAPE_SHARE * usual:
            self.others.learn(steep, place, height, may_add=True)

    def note(self, likeness: float, height_mv: float) -> None:
        """Note how much the newest QRS resembled the known ones, and its height, peak to peak in mV."""
        self._recent.append((likeness, height_mv))

    def relearn(self, silent: NDArray[np.float64]) -> None:
        """Look at a stretch without a known QRS: complexes that agree replace the memory.

        Args:
            silent: (n,) float64, band-passed, mV.
        """
        margin = self.shapes.margin
        if silent.size < 0.8 * NEW_RHYTHM_S * self.fs_hz:
            return
        steepness = steepness_of(silent, self.fs_hz)
        heights = steepness.envelope
        at = steepness.candidates(_NEW_HEIGHT * max(self.floor, median(self._pieces(heights))))
        at = at[(at >= margin) & (at < silent.size - margin)]
        if at.size < _NEW_BEATS:
            return
        if np.median(heights[at] / np.maximum(steepness.around[at], 0.1 * self.floor)) <= _NEW_CONTRAST:
            return
        alike = float(np.median(self.shapes.mutual(steepness.slope, at)))
        share = float(np.median(heights[at])) / self.usual_height(heights)
        small = share < _SMALL and self._sure >= _MEMORY_BEATS
        if small and share < _SMALLEST:
            return
        with_t_wave = alike > _NEW_ALIKE_T and self._t_wave(silent, at) > (_SMALL_T_WAVE if small else _NEW_T_WAVE)
        width = float(np.median(self.shapes.widths(steepness.slope, at))) / self.shapes.narrowest()
        narrow = not small and alike > _NEW_ALIKE_NARROW and width < _NEW_WIDTH
        if not with_t_wave and not narrow:
            return
        self._clear()
        for place in at.tolist():
            self.learn(steepness.slope, place, float(heights[place]), 0.0, sure=True)
        self._heights.extend([float(np.median(heights[at]))] * (_ENOUGH_BEATS - len(self._heights)))

    def learn_small(self, window: NDArray[np.float64], at: NDArray[np.int64], beats: NDArray[np.int64]) -> None:
        """Learn the shapes of small beats (`detector.small_beats`) if they are alike, wide and have a T wave.

        Args:
            window: (n,) float64, band-passed, mV.
            at: (k,) int64, their places in it.
            beats: (m,) int64, places of the beats around them.
        """
        margin = self.shapes.margin
        at, beats = (each[(each >= margin) & (each < window.size - margin)] for each in (at, beats))
        if at.size < _NEW_BEATS or beats.size == 0 or self._t_wave(window, at) <= _ECTOPIC_T_WAVE:
            return
        steepness = steepness_of(window, self.fs_hz)
        if float(np.median(self.shapes.mutual(steepness.slope, at))) <= _ECTOPIC_ALIKE:
            return
        width, usual = (float(np.median(self.shapes.widths(steepness.slope, each))) for each in (at, beats))
        if width <= _ECTOPIC_WIDTH * usual:
            return
        for place in at.tolist():
            self.shapes.learn(steepness.slope, place, float(steepness.envelope[place]), may_add=True)

    def _clear(self) -> None:
        self._sure = 0
        for known in (self._heights, self._intervals, self._recent, self._between, self.shapes, self.others):
            known.clear()

    def _pieces(self, heights: NDArray[np.float64]) -> list[float]:
        """Maximum of each piece of the envelope; the last one may be shorter."""
        piece = round(_PIECE_S * self.fs_hz)
        starts = range(0, max(1, heights.size - piece // 2), piece)
        return [float(heights[i : i + piece].max()) for i in starts]

    def _t_wave(self, silent: NDArray[np.float64], at: NDArray[np.int64]) -> float:
        """Height of what follows the median complex, as a share of the complex, peak to peak without its trend.

        The median: the first QRS after a standstill must not lend its T wave to the P waves.
        """
        before, after = round(0.1 * self.fs_hz), round(0.45 * self.fs_hz)
        at = at[(at >= before) & (at < silent.size - after)]
        if at.size < _NEW_BEATS - 1:
            return 0.0
        usual = np.median(silent[at[:, None] + np.arange(-before, after)], axis=0)
        own = float(np.ptp(usual[: 2 * before]))
        first, last = (before + round(s * self.fs_hz) for s in _T_WAVE_S)
        follows = usual[first:last] - np.linspace(usual[first], usual[last - 1], last - first)
        return float(np.ptp(follows)) / own if own > 0 else 0.0
