"""R-peaks on overlapping windows: dynamic programming selects the beats, neurokit2 places their R-peaks.

Once a second, at multiples of the step counted from sample 0 of the source, the last 8 s are analysed, so that the
windows (and the peaks) do not depend on how the samples were cut. Each beat is decided once, 0.6 s before the right
edge of the window: closer to the edge, too little signal follows it.

Candidates are the peaks of the slope envelope (`detector.qrs`). Their evidence for being a QRS comes from what is known
of the patient (`detector.qrs_evidence`, `detector.qrs_memory`), and the best sequence of them are the beats
(`detector.beat_sequence`). The R-peak of a beat is where neurokit2 finds one, unless another
top of its QRS is more like the last R-peaks (`detector.r_place`).

The constants were chosen, one after the other, by the R-peak errors on DS1, the paced records and nstdb (the cost
counts places of beats, never their class). The price of a long pause was checked on cudb.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector._neurokit import findpeaks
from detector.beat_sequence import REFRACTORY_S, Candidate, best_sequence
from detector.qrs import Steepness, steepness_of
from detector.qrs_evidence import Wave
from detector.qrs_memory import NEW_RHYTHM_S, QrsMemory
from detector.qrs_shapes import Compared, Places, compare_shapes
from detector.r_place import RPlace
from detector.short_repr import short_repr
from detector.small_beats import SmallBeats

__all__ = ["EDGE_S", "STEP_S", "WINDOW_S", "Candidates", "RPeakDetector"]

WINDOW_S = 8.0  # 6 to 10 s give the same peaks on MIT-BIH; longer is slower to adapt
STEP_S = 1.0
EDGE_S = 0.6
_MIN_WINDOW_S = 2.0  # neurokit2 raises TypeError on segments up to 0.5 s, and a second has too few beats
_OVERLAP_S = 0.15  # an R-peak may lie a little before the end of the decisions,
_REACH_S = 0.1  # ... because it may be this far from the middle of its QRS
_BEHIND_S = 0.85  # signal analysed before the first undecided sample: 0.6 s of background, and filter ends
_NEUROKIT_S = 3.0  # signal before the first beat given to neurokit2; all 8 s would move one R-peak in 1000
_LARGEST_HALF_S = 0.08
_NOISE_SHARE = 0.12  # of the usual height: smallest candidate, so that noise in asystole gives no beats
_LIKENESS_UNKNOWN = 0.7
# Height of an ectopic wave, of the usual one; its width, of the narrowest one; likeness to a QRS that it counts with.
_ECTOPIC_SHARE, _ECTOPIC_WIDE, _ECTOPIC_LIKE = 0.6, 1.3, 0.4
_MANY_LEFT_OUT = 2  # waves as high as a QRS that are no beats: a tachycardia with another shape
_MUTUAL = 0.85  # likeness to two others; muscle noise reaches 0.76
_WELL_KNOWN = 0.9  # likeness to a P or T wave from which there is nothing to learn
_LOST_RR, _LOST_S = 3.0, 1.5  # usual intervals, and s, without a QRS after which the usual interval does not count
_PAUSE_RR = 1.6  # search back if an RR exceeds 1.6 times the median (1.66 in Pan and Tompkins),
_SEARCH_SHARE = 0.4  # ... for candidates of at least 40 % of the usual height


class _Beat(NamedTuple):
    """A QRS: the absolute place of its middle, and its likeness to the known ones, 0 to 1."""

    place: int
    likeness: float


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The candidates of a window; indices are absolute, places count from `first`.

    Attributes:
        window: (n,) float64, band-passed, mV.
        window_first: index of window[0].
        steepness: of the window from `first` on.
        first: index of the first sample that was measured.
        until: R-peaks before this index are decided.
        at: (k,) int64, places, rising; k is at least 1.
        usual: usual height of a QRS, mV per sample.
        trusted: what is decided may be learnt.
    """

    window: NDArray[np.float64]
    window_first: int
    steepness: Steepness
    first: int
    until: int
    at: NDArray[np.int64]
    usual: float
    trusted: bool

    __repr__ = short_repr


class RPeakDetector:
    """Decide every R-peak once, from windows that end on the absolute grid.

    Many attributes: lengths in samples at one sampling rate, and the beat decided last.

    Attributes:
        step: grid step, samples.
        edge: distance from the newest sample at which peaks are decided, samples.
        shortest: length of the shortest window that is analysed, samples.
        memory: what is known of the patient's QRS complexes; a new signal does not clear it.
        decided_until: R-peaks before this absolute index are final; None during the first 2 s of signal.
    """

    def __init__(self, fs_hz: float) -> None:
        self.fs_hz = fs_hz
        self.step = round(STEP_S * fs_hz)
        self.edge = round(EDGE_S * fs_hz)
        self.shortest = math.ceil(_MIN_WINDOW_S * fs_hz)
        self.memory = QrsMemory(fs_hz)
        self._small = SmallBeats(fs_hz)
        self._r_place = RPlace(fs_hz)
        self._reach = round(_REACH_S * fs_hz)
        self._overlap = max(self._reach, round(_OVERLAP_S * fs_hz))
        self._neurokit = round(_NEUROKIT_S * fs_hz)
        self._refractory = math.ceil(REFRACTORY_S * fs_hz)
        # From the start of the background to the end of a window, when the memory gives the usual height.
        self._end = round((STEP_S + EDGE_S + _BEHIND_S) * fs_hz) + self._overlap - self._reach
        self.reset()

    def reset(self) -> None:
        """Start a new signal of the same patient."""
        self.decided_until: int | None = None
        self._last_peak: int | None = None  # the last R-peak returned
        self._last: Candidate | None = None  # its QRS, at an absolute place
        self._small.clear()
        self._silent_since: int | None = None  # absolute index from which no QRS was found

    def due(self, now: int) -> tuple[int, int]:
        """The samples in which beats are decided at the tick `now`: first, and after the last; absolute indices."""
        return now - self.edge - self.step, now - self.edge

    def decide(self, window: NDArray[np.float64], first_sample: int) -> list[int]:
        """Analyse the window that ends now.

        Args:
            window: (n,) float64, at most the last 8 s, band-passed, mV.
            first_sample: absolute index of window[0].

        Returns:
            New R-peaks, absolute indices in filtered samples, rising.
        """
        if window.size < self.shortest:
            return []
        found = self.look(window, first_sample, steepness_of(self.measured(window), self.fs_hz))
        return [] if found is None else self.choose(found, compare_shapes([self.places(found)])[0])

    def measured(self, window: NDArray[np.float64]) -> NDArray[np.float64]:
        """The end of a window: with enough beats in the memory its steepness is sufficient."""
        return window[-self._end :] if self.memory.enough else window

    def look(
        self, window: NDArray[np.float64], first_sample: int, steepness: Steepness, trusted: bool = True
    ) -> Candidates | None:
        """First half of `decide`: the candidates; None without one.

        Args:
            window: see `decide`; at least `shortest`.
            first_sample: see `decide`.
            steepness: of `measured(window)`.
            trusted: the signal is good where beats are decided now, so that they may be learnt.
        """
        until = first_sample + window.size - self.edge
        since = first_sample if self.decided_until is None else self.decided_until + self._reach
        self.decided_until = until - self._overlap
        if self._silent_since is None:
            self._silent_since = first_sample
        if self._last is not None:
            since = max(since, self._last.place + self._refractory)
        memory = self.memory
        if memory.enough and until - self._silent_since >= NEW_RHYTHM_S * self.fs_hz:
            memory.relearn(window[max(0, self._silent_since - first_sample) :])
        if trusted and (suspects := self._small.suspects()) and self._small.large(window, first_sample, suspects):
            beats = np.array(self._small.beats) - first_sample
            memory.learn_small(window, np.array(suspects) - first_sample, beats)
        n, margin = steepness.slope.size, memory.shapes.margin
        first = first_sample + window.size - n
        usual = memory.usual_height(steepness.envelope)
        at = steepness.candidates(max(memory.floor, _NOISE_SHARE * usual))
        at = at[(at >= max(since - first, margin)) & (at < n - margin)]
        return Candidates(window, first_sample, steepness, first, until, at, usual, trusted) if at.size else None

    def places(self, found: Candidates) -> Places:
        """The candidates beside what is known, for `compare_shapes`."""
        return found.steepness.slope, found.at, self.memory.shapes, self.memory.others

    def choose(self, found: Candidates, compared: Compared) -> list[int]:
        """Second half of `decide`: the R-peaks of the candidates that are beats."""
        beats = self._beats(found, compared)
        return self._r_peaks(found.window, found.window_first, beats) if beats else []

    # -- selection of beats ---------------------------------------------------------------------------------

    def _beats(self, found: Candidates, compared: Compared) -> list[_Beat]:
        """Each QRS among the candidates; learns them."""
        memory, steepness, at, usual = self.memory, found.steepness, found.at, found.usual
        columns = at, steepness.envelope[at], steepness.around[at], *compared
        waves = [Wave(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]  # they are few
        like = [wave.likeness(usual) if memory.shapes else _LIKENESS_UNKNOWN for wave in waves]
        if found.trusted:
            waves, like = self._ectopic_waves(waves, like, usual)
        path = self._best(waves, like, found)
        next_qrs = min(found.until, path[0].place + found.first) if path else found.until
        searched = [i for i, wave in enumerate(waves) if wave.height >= _SEARCH_SHARE * usual]
        chosen = {beat.place for beat in path}
        left_out = sum(wave.height >= usual and wave.place not in chosen for wave in waves)
        if len(searched) > 2 and (left_out >= _MANY_LEFT_OUT or self._pause(next_qrs)):
            mutual = memory.shapes.mutual(steepness.slope, at[searched])
            for i, alike in zip(searched, mutual.tolist(), strict=True):
                like[i] = max(like[i], alike if alike > _MUTUAL else 0.0)
            path = self._best(waves, like, found)
        return self._learn(path, waves, like, found)

    def _ectopic_waves(self, waves: list[Wave], like: list[float], usual: float) -> tuple[list[Wave], list[float]]:
        """Wide waves nearly as high as a QRS, and far higher than the P and T waves: ectopic beats, however wide."""
        least = max(_ECTOPIC_SHARE * usual, self._small.new_height())
        wide = _ECTOPIC_WIDE * self.memory.shapes.narrowest()
        ectopic = [wave.height > least and wave.width > wide for wave in waves]
        return (
            [wave._replace(width=0.0) if yes else wave for wave, yes in zip(waves, ectopic, strict=True)],
            [max(alike, _ECTOPIC_LIKE) if yes else alike for alike, yes in zip(like, ectopic, strict=True)],
        )

    def _best(self, waves: list[Wave], like: list[float], found: Candidates) -> list[Candidate]:
        """The beats among the waves."""
        last = None if self._last is None else self._last._replace(place=self._last.place - found.first)
        rr = self.memory.usual_interval
        if rr is not None and last is not None:
            silent = found.until - found.first - last.place
            rr = None if silent > max(_LOST_RR * rr, _LOST_S * self.fs_hz) else rr
        candidates = [
            Candidate(wave.place, wave.height, wave.width, wave.evidence(alike, found.usual))
            for wave, alike in zip(waves, like, strict=True)
        ]
        return best_sequence(candidates, last, rr, found.steepness.slope.size, self.fs_hz)

    def _learn(self, path: list[Candidate], waves: list[Wave], like: list[float], found: Candidates) -> list[_Beat]:
        """Learn what was decided: beats, and waves that are none. Returns the beats."""
        memory, steep, first, usual = self.memory, found.steepness.slope, found.first, found.usual
        likeness = {wave.place: alike for wave, alike in zip(waves, like, strict=True)}
        decided = []
        for beat in path:
            place = beat.place + first
            if place >= found.until:
                break
            lone = self._last is not None and place - self._last.place >= NEW_RHYTHM_S * self.fs_hz
            if self._last is not None:
                memory.note_interval(place - self._last.place)
            if not memory.enough or (found.trusted and not lone):
                memory.learn(steep, beat.place, beat.height, usual, found.trusted)
                if self._last is not None:
                    memory.learn_interval(place - self._last.place)
            self._last, self._silent_since = beat._replace(place=place), place + self._refractory
            decided.append(_Beat(place, likeness[beat.place]))
        beats = {beat.place for beat in path}
        rejected = [wave for wave in waves if wave.place not in beats and wave.place + first < found.until]
        self._small.note(
            [beat.place for beat in decided],
            [beat.width or math.inf for beat in path[: len(decided)]],
            [wave.place + first for wave in rejected],
            [wave.height for wave in rejected],
            found.until,
        )
        if decided and found.trusted:
            for wave in rejected:
                if wave.other < _WELL_KNOWN:
                    memory.learn_other(steep, wave.place, wave.height, usual)
        return decided

    def _pause(self, next_qrs: int) -> bool:
        """Whether the interval from the last QRS to this absolute place is suspiciously long.

        Then the likeness of candidates to each other counts too: the wide complexes of a ventricular tachycardia leave
        no flat line between them and resemble no known shape, but each resembles the next.
        """
        rr = self.memory.usual_interval
        return self._last is None or rr is None or next_qrs - self._last.place > _PAUSE_RR * rr

    # -- place of the R-peak --------------------------------------------------------------------------------

    def _r_peaks(self, window: NDArray[np.float64], first: int, beats: list[_Beat]) -> list[int]:
        """R-peak of each beat, absolute: from the place of neurokit2, if near, or of the largest deflection."""
        cut = max(0, beats[0].place - first - self._neurokit)
        known = findpeaks(window[cut:], self.fs_hz) + cut
        half = round(_LARGEST_HALF_S * self.fs_hz)
        peaks = []
        for beat in beats:
            place = beat.place - first
            low = max(0, place - half)
            qrs = window[low : place + half + 1]
            self.memory.note(beat.likeness, float(qrs.max() - qrs.min()))
            r_peak = low + int(np.abs(qrs).argmax())
            if known.size:
                nearest = int(known[np.abs(known - place).argmin()])
                if abs(nearest - place) <= self._reach:
                    r_peak = nearest
            for option in (self._r_place.choose(window, place, r_peak), r_peak, place):
                if self._last_peak is None or option + first - self._last_peak > self._refractory:
                    self._r_place.learn(window, option)
                    self._last_peak = option + first
                    peaks.append(self._last_peak)
                    break
        return peaks
