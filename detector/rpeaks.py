"""R-peaks on overlapping windows of an absolute sample grid: which candidates are beats, and where neurokit2 puts R.

Once a second, at multiples of the step counted from sample 0 of the source, the last 8 s are looked at, so that
the windows (and so the peaks) do not depend on how the samples came in. Each beat is decided once, 0.6 s behind the
window's right edge: nearer to it there is too little after it to judge it by.

What a beat is, is decided among the peaks of the slope envelope (`detector.qrs`). Each has evidence for being a QRS,
and each sequence of them a price for intervals that are too short or too long for this rhythm and for what looks
like a T wave; the best sequence is found by dynamic programming, starting at the beat decided last. That is
threshold, search-back and T-wave rule of Pan and Tompkins (1985, DOI 10.1109/TBME.1985.325532) in one sum. The
R-peak of a beat is where neurokit2 puts it; where neurokit2 has none, the largest deflection.

The constants were chosen, one after the other, by the R-peak errors on DS1, the paced records and nstdb (the cost
counts places of beats, never their class). That a long pause costs in proportion to its length was checked on cudb.
"""

from __future__ import annotations

import math
from collections import deque
from statistics import median  # of a few numbers: ten times faster than numpy's

import numpy as np
from numpy.typing import NDArray

from detector._neurokit import findpeaks
from detector.lockstep import Steps, run
from detector.qrs import QrsShapes, Steepness, measuring_steepness

__all__ = ["EDGE_S", "STEP_S", "WINDOW_S", "RPeakDetector"]

WINDOW_S = 8.0  # 6 to 10 s give the same peaks on MIT-BIH; longer is slower to adapt
STEP_S = 1.0
EDGE_S = 0.6
_MIN_WINDOW_S = 2.0  # neurokit2 raises TypeError on segments up to 0.5 s, and a second has too few beats
_OVERLAP_S = 0.15  # an R-peak may lie a little before where the decisions end
_REACH_S = 0.1  # ... for it may lie so far from the middle of its QRS
_BEHIND_S = 0.85  # looked at before the first undecided sample: 0.6 s of background, and the filters' ends
_REFRACTORY_S = 0.25  # no ventricle beats faster than 240/min twice in a row and is still counted
_NEUROKIT_S = 3.0  # ... and neurokit2 looks at so much before it; all 8 s would move one R-peak in 1000
_LARGEST_HALF_S = 0.08
_MEMORY_BEATS = 12
_MEMORY_INTERVALS = 8
_USUAL_QUANTILE = 0.6  # over the median: a T wave counted now and then must not lower what a QRS is measured by
_ENOUGH_BEATS = 4  # to know what is usual from the memory alone
_PIECE_S = 1.5  # until then: the highest of each piece so long, which holds a beat down to 40/min
_NOISE_SHARE = 0.12  # of the usual height: asystole's noise must not become beats
_FORGET_S = 30.0  # after so long without a QRS the memory is no guide any more (another electrode, another gain)
_SLOPE_MIN_MV_S = 1.5  # a QRS of 0.1 mV; amplifier noise of 10 uV stays under it

# Evidence in nats, as from a log-odds; 0 = as likely a QRS as not. Height counts against the geometric mean of what
# is usual and what is around it: logistic regression with the logarithms of height, background and usual height
# gave weights of 5.4, -2.7 and -2.7, and 5.2 for likeness. In the sequence a little less height served better.
_HEIGHT_WEIGHT = 4.7
_LIKENESS_WEIGHT = 5.2
_PRIOR = -3.0
_LIKENESS_UNKNOWN = 0.7
_NOISY, _NOISE_PRICE = 0.4, 6.0  # a background over 40 % of the usual height is noise, and most of its peaks are too
_MOST, _LEAST = 5.0, -10.0
_SHORT_RR, _SHORT_PRICE = 0.7, 2.0  # under 70 % of the usual interval: 2 nats for each factor of e
_LONG_RR, _LONG_PRICE, _LONG_MOST = 1.3, 1.5, 4.0  # 1.5 nats for each further 1.3 intervals; a long pause stays a pause
_T_WAVE_S, _T_WAVE_SHARE, _T_WAVE_PRICE = 0.36, 0.8, 8.0  # so soon after a QRS, and lower than 80 % of it
_PAUSE_RR = 1.6  # search again where an RR is so many times the median (1.66 in Pan and Tompkins)
_SEARCH_SHARE = 0.4  # ... for what is 40 % of the usual height
_NEW_SHAPE_SHARE = 0.5  # a shape of its own only for what is half as high as usual: P waves get none


class RPeakDetector:
    """Decide every R-peak once, from windows that end on the absolute grid.

    Many attributes: lengths in samples at one sampling rate, and the memory of the rhythm.

    Attributes:
        step: grid step, samples.
        window: window length, samples.
        edge: how far behind the newest sample peaks are decided, samples.
        decided_until: R-peaks before this absolute index are final; None until 2 s of signal have been seen.
    """

    def __init__(self, fs_hz: float) -> None:
        self.fs_hz = fs_hz
        self.step = round(STEP_S * fs_hz)
        self.window = round(WINDOW_S * fs_hz)
        self.edge = round(EDGE_S * fs_hz)
        self._reach = round(_REACH_S * fs_hz)
        self._overlap = max(self._reach, round(_OVERLAP_S * fs_hz))
        self._neurokit = round(_NEUROKIT_S * fs_hz)
        self._refractory = math.ceil(_REFRACTORY_S * fs_hz)
        # Until a window ends, from what the one before left undecided, and what is looked at before that.
        self._end = round((STEP_S + EDGE_S + _BEHIND_S) * fs_hz) + self._overlap - self._reach
        self._floor = _SLOPE_MIN_MV_S / fs_hz
        self._shapes = QrsShapes(fs_hz)
        self._heights: deque[float] = deque(maxlen=_MEMORY_BEATS)
        self._intervals: deque[int] = deque(maxlen=_MEMORY_INTERVALS)
        self.reset()

    def reset(self) -> None:
        """A new signal begins: nothing is remembered."""
        self.decided_until: int | None = None
        self._last_peak: int | None = None  # R-peak given last
        self._last_qrs: int | None = None  # the middle of its QRS
        self._last_height = 0.0
        self._forget()

    def decide(self, window: NDArray[np.float64], first_sample: int) -> list[int]:
        """Look at the window that ends now.

        Args:
            window: (n,) float64, at most the last 8 s, band-passed, mV.
            first_sample: absolute index of window[0].

        Returns:
            New R-peaks, absolute indices in filtered samples, rising.
        """
        return run(self.deciding(window, first_sample))

    def deciding(self, window: NDArray[np.float64], first_sample: int) -> Steps[list[int]]:
        """`decide` as a routine, in step with other beds."""
        if window.size < _MIN_WINDOW_S * self.fs_hz:
            return []
        until = first_sample + window.size - self.edge
        since = first_sample if self.decided_until is None else self.decided_until + self._reach
        self.decided_until = until - self._overlap
        if self._last_qrs is not None:
            if until - self._last_qrs > _FORGET_S * self.fs_hz:
                self._forget()
            since = max(since, self._last_qrs + self._refractory)
        # Until enough is known, what is usual is read from the whole window; then its end will do.
        enough = len(self._heights) >= _ENOUGH_BEATS
        cut = max(0, window.size - self._end) if enough else 0
        steepness = yield from measuring_steepness(window[cut:], self.fs_hz)
        beats = yield from self._beats(steepness, first_sample + cut, since, until)
        return self._r_peaks(window, first_sample, beats) if beats else []

    # -- which are beats ------------------------------------------------------------------------------------

    def _beats(self, steepness: Steepness, first: int, since: int, until: int) -> Steps[list[int]]:
        """Middle of each QRS from `since` to `until`, absolute; they are remembered."""
        steep, heights = steepness.slope, steepness.envelope
        usual = self._usual(heights)
        at = steepness.candidates(max(self._floor, _NOISE_SHARE * usual))
        margin = self._shapes.margin
        at = at[(at >= max(since - first, margin)) & (at < steep.size - margin)]
        if at.size == 0:
            return []
        height, around = heights[at], np.maximum(steepness.around[at], 0.01 * usual)
        if self._shapes:
            known = yield from self._shapes.likeness(steep, at)
        else:
            known = np.full(at.size, _LIKENESS_UNKNOWN)
        path = self._best_sequence(at, height, _evidence(height, usual, around, known), first, first + steep.size)
        next_qrs = min(until, path[0][0] + first) if path else until
        if at.size > 1 and self._pause(next_qrs):
            known = np.where(height >= _SEARCH_SHARE * usual, np.maximum(known, self._shapes.mutual(steep, at)), known)
            path = self._best_sequence(at, height, _evidence(height, usual, around, known), first, first + steep.size)
        found = []
        for place, high in path:
            sample = place + first
            if sample >= until:
                break
            if self._last_qrs is not None:
                self._intervals.append(sample - self._last_qrs)
            self._last_qrs, self._last_height = sample, high
            self._heights.append(high)
            self._shapes.learn(steep, place, may_add=high >= _NEW_SHAPE_SHARE * usual)
            found.append(sample)
        return found

    def _pause(self, next_qrs: int) -> bool:
        """Whether it is suspiciously long from the last QRS to this absolute place.

        Then likeness to one another counts as well: a ventricular tachycardia of wide complexes leaves no flat line
        between them and is like nothing known, but each complex is like the next.
        """
        if self._last_qrs is None or len(self._intervals) < 2:
            return True
        return next_qrs - self._last_qrs > _PAUSE_RR * median(self._intervals)

    def _usual(self, heights: NDArray[np.float64]) -> float:
        """How high a QRS of this lead usually is in the envelope, mV a sample."""
        known = list(self._heights)
        if len(known) >= _ENOUGH_BEATS:
            return sorted(known)[int(_USUAL_QUANTILE * len(known))]
        piece = round(_PIECE_S * self.fs_hz)
        starts = range(0, max(1, heights.size - piece // 2), piece)
        return max(self._floor, median(known + [float(heights[i : i + piece].max()) for i in starts]))

    def _best_sequence(
        self,
        places: NDArray[np.int64],
        heights: NDArray[np.float64],
        evidence: list[float],
        first: int,
        end: int,
    ) -> list[tuple[int, float]]:
        """(place, height) of the candidates whose evidence, less the price of their intervals, is the most."""
        at, height = places.tolist(), heights.tolist()  # plain numbers are faster
        rr = median(self._intervals) if len(self._intervals) > 1 else None
        best: list[float] = []
        before: list[int] = []
        chosen, most = -1, 0.0
        if self._last_qrs is not None:
            most = -_long_price(end - self._last_qrs, rr)
        for i, place in enumerate(at):
            so_far, previous = 0.0, -1
            if self._last_qrs is not None:
                so_far = -self._price(place + first - self._last_qrs, rr, self._last_height, height[i])
            for j in range(i - 1, -1, -1):
                interval = place - at[j]
                if interval >= self._refractory:
                    value = best[j] - self._price(interval, rr, height[j], height[i])
                    if value > so_far:
                        so_far, previous = value, j
            best.append(so_far + evidence[i])
            before.append(previous)
            total = best[i] - _long_price(end - first - place, rr)
            if total > most:
                chosen, most = i, total
        path = []
        while chosen >= 0:
            path.append((at[chosen], height[chosen]))
            chosen = before[chosen]
        return path[::-1]

    def _price(self, interval: int, rr: float | None, height_before: float, height: float) -> float:
        """What two beats in a row cost: an unusual interval, and the second looking like the first's T wave; nats."""
        price = _long_price(interval, rr)
        if rr is not None and interval < _SHORT_RR * rr:
            price += _SHORT_PRICE * math.log(_SHORT_RR * rr / interval)
        if interval < _T_WAVE_S * self.fs_hz and height < _T_WAVE_SHARE * height_before:
            price += _T_WAVE_PRICE * math.log(_T_WAVE_SHARE * height_before / height)
        return price

    def _forget(self) -> None:
        self._heights.clear()
        self._intervals.clear()
        self._shapes.clear()

    # -- where R is -----------------------------------------------------------------------------------------

    def _r_peaks(self, window: NDArray[np.float64], first: int, beats: list[int]) -> list[int]:
        """R-peak of each beat, absolute: neurokit2's, where it has one near, else the largest deflection."""
        cut = max(0, beats[0] - first - self._neurokit)
        known = findpeaks(window[cut:], self.fs_hz) + cut
        half = round(_LARGEST_HALF_S * self.fs_hz)
        peaks = []
        for beat in beats:
            place = beat - first
            low = max(0, place - half)
            options = [low + int(np.abs(window[low : place + half + 1]).argmax()), place]
            if known.size:
                nearest = int(known[np.abs(known - place).argmin()])
                if abs(nearest - place) <= self._reach:
                    options.insert(0, nearest)
            for option in options:
                if self._last_peak is None or option + first - self._last_peak > self._refractory:
                    self._last_peak = option + first
                    peaks.append(self._last_peak)
                    break
        return peaks


def _evidence(
    height: NDArray[np.float64], usual: float, around: NDArray[np.float64], like: NDArray[np.float64]
) -> list[float]:
    """Evidence of each candidate for being a QRS, nats; they are few, and plain numbers are faster."""
    evidences = []
    for high, beside, alike in zip(height.tolist(), around.tolist(), like.tolist(), strict=True):
        evidence = _HEIGHT_WEIGHT * math.log(high / math.sqrt(usual * beside)) + _LIKENESS_WEIGHT * alike + _PRIOR
        noise = math.log(max(1.0, beside / (_NOISY * usual)))
        evidences.append(min(max(evidence - _NOISE_PRICE * (1.0 - alike) * noise, _LEAST), _MOST))
    return evidences


def _long_price(interval: int, rr: float | None) -> float:
    """What an interval costs that is longer than usual for this rhythm, nats."""
    if rr is None or interval <= _LONG_RR * rr:
        return 0.0
    return min(_LONG_MOST, _LONG_PRICE * (interval / (_LONG_RR * rr) - 1.0))
