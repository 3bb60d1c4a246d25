"""The beats of a scenario, in order of time: when, and of which shape. No signal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, cycle

import numpy as np
from numpy.typing import NDArray

from monitor.sources.simulated.scenario import Scenario, Segment

__all__ = ["PlannedBeat", "RespiratoryVariability", "planned_beats"]

SILENT_KINDS = ("asystole", "vf", "leadsoff")
RATE_BPM = {"brady": 36.0, "tachy": 150.0, "vt": 180.0, "af": 95.0}
VT_COUPLING_S = 0.38  # first VT beat after the last beat before it
VT_RECOVERY_S = 0.95  # the sinus node recovers late after a run
AF_SPREAD = 0.22  # standard deviation of log RR: irregularly irregular
AF_RR_RANGE_S = (0.34, 1.4)
SINUS_ARREST_S = 3.2  # a pause; asystole begins at 4 s
FIRST_BEAT_S = 0.42  # from the start, or from the end of a silence: room for the P wave of the first beat
RR_JITTER = 0.006
GAIN_JITTER = 0.015


@dataclass(frozen=True, slots=True)
class PlannedBeat:
    """A beat of the plan.

    Attributes:
        r_s: time of its R-peak, s.
        symbol: WFDB beat code: N, V or A.
        shape: key of its morphology: sinus, af, pac, pvc, vt.
        cycle_s: the rhythm's cycle length, s, to which QT and PR have adapted; not the single RR interval.
        gain: amplitude factor of this beat.
    """

    r_s: float
    symbol: str
    shape: str
    cycle_s: float
    gain: float


class RespiratoryVariability:
    """Relative change of the RR interval: slow (Mayer) waves about 0.1 Hz, respiratory sinus arrhythmia about 0.25 Hz.

    The bimodal spectrum of McSharry et al. 2003 (DOI 10.1109/TBME.2003.808805, their eq. 2), drawn as a sum of
    sinusoids with random phases instead of their inverse FFT: it has no fixed length and needs no memory.
    """

    CENTRES_HZ = (0.1, 0.25)
    WIDTH_HZ = 0.01
    DEPTHS = (0.022, 0.030)  # standard deviation of each band, relative
    TONES = 6

    def __init__(self, rng: np.random.Generator) -> None:
        self._omega: NDArray[np.float64] = (
            2 * np.pi * np.concatenate([rng.normal(c, self.WIDTH_HZ, self.TONES) for c in self.CENTRES_HZ])
        )
        self._phase = rng.uniform(0, 2 * np.pi, 2 * self.TONES)
        self._amplitude = np.repeat(self.DEPTHS, self.TONES) * np.sqrt(2 / self.TONES)

    def __call__(self, time_s: float) -> float:
        """Return the relative change at `time_s`, about -0.1 to 0.1."""
        return float(self._amplitude @ np.sin(self._omega * time_s + self._phase))


class _Heart:
    """Proposes the next beat of a rhythm; a proposal becomes the last beat when it is taken."""

    def __init__(self, scenario: Scenario) -> None:
        self._rng = np.random.default_rng([scenario.seed, 1])
        self._variability = RespiratoryVariability(self._rng)
        self._hr_bpm = scenario.hr_bpm
        self._last = PlannedBeat(-1e3, "N", "", 60 / scenario.hr_bpm, 1.0)
        self._coupling_s = 0.0  # RR interval before the last beat

    def propose(self, segment: Segment, nth: int, ectopic: bool) -> PlannedBeat:
        """Return the next beat if it were beat `nth` (from 0) of `segment`."""
        rng, kind, before = self._rng, segment.kind, self._last.shape
        cycle_s = 60 / RATE_BPM.get(kind, self._hr_bpm)
        variation = self._variability(max(self._last.r_s, 0.0)) + RR_JITTER * rng.standard_normal()
        rr_s = cycle_s * (1 + variation)
        gain = 1 + GAIN_JITTER * rng.standard_normal()
        shape, symbol, earliest_s = "sinus", "N", FIRST_BEAT_S if nth == 0 and before == "" else 0.0
        if kind == "vt":
            shape, symbol = "vt", "V"
            rr_s = cycle_s * (1 + 0.012 * rng.standard_normal()) if before == "vt" else VT_COUPLING_S
        elif kind == "af":
            shape = "af"
            rr_s = float(np.clip(cycle_s * np.exp(AF_SPREAD * rng.standard_normal()), *AF_RR_RANGE_S))
        elif ectopic and kind in ("pvc", "bigeminy"):
            shape, symbol, rr_s = "pvc", "V", cycle_s * rng.uniform(0.60, 0.70)
        elif ectopic and kind == "pac":
            shape, symbol, rr_s = "pac", "A", cycle_s * rng.uniform(0.64, 0.72)
        elif kind == "pause" and nth == 2:
            rr_s = SINUS_ARREST_S
        elif before == "pvc":
            rr_s = 2 * cycle_s - self._coupling_s  # full compensation: the sinus node was not reset
        elif before == "pac":
            rr_s *= 1.08  # the sinus node was reset: less than full compensation
        elif before == "vt":
            rr_s = VT_RECOVERY_S
        r_s = max(self._last.r_s + rr_s, segment.start_s + earliest_s)
        return PlannedBeat(r_s, symbol, shape, cycle_s, gain)

    def take(self, beat: PlannedBeat) -> None:
        """Make `beat` the last beat."""
        self._coupling_s = beat.r_s - self._last.r_s
        self._last = beat

    def fall_silent(self) -> None:
        """No beat until the segment ends; the next one is a first beat again."""
        self._last = replace(self._last, shape="")


def _ectopic_places() -> Iterator[int]:
    """Numbers of the ectopic beats in their segment: 1, then 4 and 5 later in turn."""
    place = 1
    for step in cycle((4, 5)):
        yield place
        place += step


def planned_beats(scenario: Scenario) -> Iterator[PlannedBeat]:
    """Yield the beats of `scenario` in order of time, without end if it repeats.

    They depend on seed and heart rate only, not on the sampling rate. A beat after the end of its segment is dropped
    and proposed again by the next segment, so rhythms join without a jump in time.
    """
    heart = _Heart(scenario)
    index = 0
    while (segment := scenario.segment(index)) is not None:
        index += 1
        if segment.kind in SILENT_KINDS:
            heart.fall_silent()
            continue
        places = count(1, 2) if segment.kind == "bigeminy" else _ectopic_places()
        place = next(places)
        for nth in count():
            beat = heart.propose(segment, nth, ectopic=nth == place)
            if beat.r_s >= segment.end_s:
                break
            if nth == place:
                place = next(places)
            heart.take(beat)
            yield beat
