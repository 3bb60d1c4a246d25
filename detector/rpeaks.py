"""R-peaks on overlapping windows: dynamic programming selects the beats, neurokit2 places their R-peaks.

Once a second, at multiples of the step counted from sample 0 of the source, the last 8 s are analysed, so that the
windows (and the peaks) do not depend on how the samples were cut. Each beat is decided once, 0.6 s before the right
edge of the window: closer to the edge, too little signal follows it.

Candidates are the peaks of the slope envelope (`detector.qrs`). Each candidate has evidence for being a QRS, and each
sequence of candidates has a price for intervals that are too short or too long for this rhythm and for T waves; dynamic
programming finds the best sequence, starting at the beat decided last. This combines threshold, search-back and T-wave
rule of Pan and Tompkins (1985, DOI 10.1109/TBME.1985.325532) in one sum. The R-peak of a beat is where neurokit2 finds
one, else the largest deflection.

The constants were chosen, one after the other, by the R-peak errors on DS1, the paced records and nstdb (the cost
counts places of beats, never their class). The price of a long pause was checked on cudb.
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
_OVERLAP_S = 0.15  # an R-peak may lie a little before the end of the decisions,
_REACH_S = 0.1  # ... because it may be this far from the middle of its QRS
_BEHIND_S = 0.85  # signal analysed before the first undecided sample: 0.6 s of background, and filter ends
_REFRACTORY_S = 0.25  # shortest interval that counts: 240/min
_NEUROKIT_S = 3.0  # signal before the first beat given to neurokit2; all 8 s would move one R-peak in 1000
_LARGEST_HALF_S = 0.08
_MEMORY_BEATS = 12
_MEMORY_INTERVALS = 8
_USUAL_QUANTILE = 0.6  # above the median: an occasional T wave among the beats must not lower the usual height
_ENOUGH_BEATS = 4  # number of beats from which the memory alone gives the usual height;
_PIECE_S = 1.5  # until then: the maximum of each piece of this length, which contains a beat down to 40/min
_NOISE_SHARE = 0.12  # of the usual height: smallest candidate, so that noise in asystole gives no beats
_FORGET_S = 30.0  # time without a QRS after which the memory is cleared (another electrode, another gain)
_SLOPE_MIN_MV_S = 1.5  # a QRS of 0.1 mV; amplifier noise of 10 uV stays below it

# Evidence in nats, like log-odds; 0 = as likely a QRS as not. Height is relative to the geometric mean of usual height
# and background: logistic regression with the logarithms of height, background and usual height gave weights of 5.4,
# -2.7 and -2.7, and 5.2 for likeness. In the sequence a slightly smaller weight of height was better.
_HEIGHT_WEIGHT = 4.7
_LIKENESS_WEIGHT = 5.2
_PRIOR = -3.0
_LIKENESS_UNKNOWN = 0.7
_NOISY, _NOISE_PRICE = 0.4, 6.0  # a background above 40 % of the usual height is noise, as are most of its peaks
_MOST, _LEAST = 5.0, -10.0
_SHORT_RR, _SHORT_PRICE = 0.7, 2.0  # below 70 % of the usual interval: 2 nats for each factor of e
_LONG_RR, _LONG_PRICE, _LONG_MOST = 1.3, 1.5, 4.0  # 1.5 nats for each further 1.3 intervals; bounded for pauses
_T_WAVE_S, _T_WAVE_SHARE, _T_WAVE_PRICE = 0.36, 0.8, 8.0  # within 0.36 s of a QRS, and lower than 80 % of it
_PAUSE_RR = 1.6  # search back if an RR exceeds 1.6 times the median (1.66 in Pan and Tompkins),
_SEARCH_SHARE = 0.4  # ... for candidates of at least 40 % of the usual height
_NEW_SHAPE_SHARE = 0.5  # a new shape needs half the usual height, so that P waves are not learned


class RPeakDetector:
    """Decide every R-peak once, from windows that end on the absolute grid.

    Many attributes: lengths in samples at one sampling rate, and the memory of the rhythm.

    Attributes:
        step: grid step, samples.
        window: window length, samples.
        edge: distance from the newest sample at which peaks are decided, samples.
        decided_until: R-peaks before this absolute index are final; None during the first 2 s of signal.
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
        # From the start of the background to the end of a window, when the memory gives the usual height.
        self._end = round((STEP_S + EDGE_S + _BEHIND_S) * fs_hz) + self._overlap - self._reach
        self._floor = _SLOPE_MIN_MV_S / fs_hz
        self._shapes = QrsShapes(fs_hz)
        self._heights: deque[float] = deque(maxlen=_MEMORY_BEATS)
        self._intervals: deque[int] = deque(maxlen=_MEMORY_INTERVALS)
        self.reset()

    def reset(self) -> None:
        """Start a new signal: clear the memory."""
        self.decided_until: int | None = None
        self._last_peak: int | None = None  # the last R-peak returned
        self._last_qrs: int | None = None  # the middle of its QRS
        self._last_height = 0.0
        self._forget()

    def decide(self, window: NDArray[np.float64], first_sample: int) -> list[int]:
        """Analyse the window that ends now.

        Args:
            window: (n,) float64, at most the last 8 s, band-passed, mV.
            first_sample: absolute index of window[0].

        Returns:
            New R-peaks, absolute indices in filtered samples, rising.
        """
        return run(self.deciding(window, first_sample))

    def deciding(self, window: NDArray[np.float64], first_sample: int) -> Steps[list[int]]:
        """`decide` as a routine in lockstep."""
        if window.size < _MIN_WINDOW_S * self.fs_hz:
            return []
        until = first_sample + window.size - self.edge
        since = first_sample if self.decided_until is None else self.decided_until + self._reach
        self.decided_until = until - self._overlap
        if self._last_qrs is not None:
            if until - self._last_qrs > _FORGET_S * self.fs_hz:
                self._forget()
            since = max(since, self._last_qrs + self._refractory)
        # With enough beats in the memory the end of the window is sufficient.
        enough = len(self._heights) >= _ENOUGH_BEATS
        cut = max(0, window.size - self._end) if enough else 0
        steepness = yield from measuring_steepness(window[cut:], self.fs_hz)
        beats = yield from self._beats(steepness, first_sample + cut, since, until)
        return self._r_peaks(window, first_sample, beats) if beats else []

    # -- selection of beats ---------------------------------------------------------------------------------

    def _beats(self, steepness: Steepness, first: int, since: int, until: int) -> Steps[list[int]]:
        """Middle of each QRS from `since` to `until`, absolute; learns them."""
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
        """Whether the interval from the last QRS to this absolute place is suspiciously long.

        Then the likeness of candidates to each other counts too: the wide complexes of a ventricular tachycardia leave
        no flat line between them and resemble no known shape, but each resembles the next.
        """
        if self._last_qrs is None or len(self._intervals) < 2:
            return True
        return next_qrs - self._last_qrs > _PAUSE_RR * median(self._intervals)

    def _usual(self, heights: NDArray[np.float64]) -> float:
        """Usual height of a QRS in the envelope, mV per sample."""
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
        """(place, height) of the sequence with the largest evidence minus price of its intervals."""
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
        """Price of two consecutive beats, nats: an unusual interval, or a second beat like the T wave of the first."""
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

    # -- place of the R-peak --------------------------------------------------------------------------------

    def _r_peaks(self, window: NDArray[np.float64], first: int, beats: list[int]) -> list[int]:
        """R-peak of each beat, absolute: the one of neurokit2 if near, else the largest deflection."""
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
    """Evidence of each candidate for being a QRS, nats. Plain numbers: they are few."""
    evidences = []
    for high, beside, alike in zip(height.tolist(), around.tolist(), like.tolist(), strict=True):
        evidence = _HEIGHT_WEIGHT * math.log(high / math.sqrt(usual * beside)) + _LIKENESS_WEIGHT * alike + _PRIOR
        noise = math.log(max(1.0, beside / (_NOISY * usual)))
        evidences.append(min(max(evidence - _NOISE_PRICE * (1.0 - alike) * noise, _LEAST), _MOST))
    return evidences


def _long_price(interval: int, rr: float | None) -> float:
    """Price of an interval longer than usual for this rhythm, nats."""
    if rr is None or interval <= _LONG_RR * rr:
        return 0.0
    return min(_LONG_MOST, _LONG_PRICE * (interval / (_LONG_RR * rr) - 1.0))
