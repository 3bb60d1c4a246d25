"""The beats of a scenario, in order of time: when, and of which shape. No signal."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count, cycle

import numpy as np
from numpy.typing import NDArray

from monitor.sources.simulated.scenario import Scenario, Segment

__all__ = ["PULSE_TO_R_S", "RHYTHMS", "PlannedBeat", "RespiratoryVariability", "planned_beats"]

VT_COUPLING_S = 0.38  # first VT beat after the last beat before it
VT_RECOVERY_S = 0.95  # the sinus node recovers late after a run
AF_SPREAD = 0.22  # standard deviation of log RR: irregularly irregular
AF_RR_RANGE = (0.54, 2.2)  # in mean RR intervals
SINUS_ARREST_S = 3.2  # a pause; asystole begins at 4 s
FIRST_BEAT_S = 0.42  # from the start, or from the end of a silence: room for the P wave of the first beat
RR_JITTER = 0.006
GAIN_JITTER = 0.015
RSA_RANGE = (0.65, 1.45)  # in mean RR intervals
PULSE_TO_R_S = 0.085  # from a pacing pulse to the tip of the QRS complex that it captures
REFRACTORY_S = 0.36  # nothing is paced or conducted earlier after a beat


@dataclass(frozen=True, slots=True)
class PlannedBeat:
    """A beat of the plan, or a P wave or a pacing pulse alone.

    Attributes:
        r_s: time of its R-peak, s.
        symbol: WFDB code: N, A, V, `/` (paced), j (nodal escape), E (ventricular escape), ! (flutter wave); empty: no
            QRS complex.
        shape: key of its morphology in `waves.SHAPES`; empty: no wave.
        cycle_s: the rhythm's cycle length, s, to which QT and PR have adapted; not the single RR interval.
        gain: amplitude factor of this beat.
        pulse: a pacing pulse comes PULSE_TO_R_S before r_s.
    """

    r_s: float
    symbol: str
    shape: str
    cycle_s: float
    gain: float
    pulse: bool = False


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


@dataclass(frozen=True, slots=True)
class _Next:
    """A beat as a rhythm proposes it, relative to the last one."""

    rr_s: float
    shape: str = "sinus"
    symbol: str = "N"
    gain: float = 1.0
    pulse: bool = False


@dataclass(frozen=True, slots=True)
class _Turn:
    """What a rhythm may look at: the random numbers, the last beat, and the place of the next one in its segment.

    Attributes:
        rng: random numbers of the rhythm.
        cycle_s: mean cycle length of the segment, s.
        sinus_s: next interval of a sinus node of this cycle length, s.
        last: the last beat.
        coupling_s: RR interval before the last beat, s.
        nth: number of the next beat in its segment, from 0.
        ectopic: the ectopic beats of the segment are due.
        start_s: begin of the segment, s.
    """

    rng: np.random.Generator
    cycle_s: float
    sinus_s: float
    last: PlannedBeat
    coupling_s: float
    nth: int
    ectopic: bool
    start_s: float


def _sinus(turn: _Turn) -> _Next:
    """The sinus node, after whatever came before."""
    before = turn.last.shape
    if before == "pvc":  # full compensation: the sinus node was not reset
        return _Next(max(2 * turn.cycle_s - turn.coupling_s, turn.cycle_s))
    if before == "pac":  # the sinus node was reset: less than full compensation
        return _Next(1.08 * turn.sinus_s)
    if before in ("vt", "torsades", "flutter"):
        return _Next(max(VT_RECOVERY_S, turn.sinus_s))
    return _Next(turn.sinus_s)


def _conducted(shape: str) -> Callable[[_Turn], _Next]:
    """Sinus rhythm with another shape of its beats."""
    return lambda turn: replace(_sinus(turn), shape=shape)


def _ectopic(shape: str, symbol: str, low: float, high: float, gain: float = 1.0) -> Callable[[_Turn], _Next]:
    """Sinus rhythm with premature beats, `low` to `high` of the cycle after the beat before."""

    def rhythm(turn: _Turn) -> _Next:
        if not turn.ectopic:
            return _sinus(turn)
        return _Next(turn.cycle_s * turn.rng.uniform(low, high), shape, symbol, gain)

    return rhythm


def _rsa(turn: _Turn) -> _Next:
    """Four times the usual variability; within the range of healthy young people at rest."""
    return _Next(turn.cycle_s * float(np.clip(4 * turn.sinus_s / turn.cycle_s - 3, *RSA_RANGE)))


def _on_t(turn: _Turn) -> _Next:
    """Premature beats whose QRS complex begins near the tip of T, which follows QT: the root of the cycle length."""
    if not turn.ectopic:
        return _sinus(turn)
    return _Next(float(np.sqrt(turn.cycle_s)) * turn.rng.uniform(0.32, 0.37), "pvc", "V")


def _pause(turn: _Turn) -> _Next:
    return _Next(SINUS_ARREST_S) if turn.nth == 2 else _sinus(turn)


def _af(turn: _Turn) -> _Next:
    spread = np.exp(AF_SPREAD * turn.rng.standard_normal() - AF_SPREAD**2 / 2)
    return _Next(turn.cycle_s * float(np.clip(spread, *AF_RR_RANGE)), "nodal")


def _run(shape: str, symbol: str, jitter: float) -> Callable[[_Turn], _Next]:
    """A regular run that begins with a premature beat."""

    def rhythm(turn: _Turn) -> _Next:
        if turn.last.shape != shape:
            return _Next(max(VT_COUPLING_S, 0.8 * turn.cycle_s), shape, symbol)
        return _Next(turn.cycle_s * (1 + jitter * turn.rng.standard_normal()), shape, symbol)

    return rhythm


def _regular(shape: str, symbol: str = "N") -> Callable[[_Turn], _Next]:
    return lambda turn: _Next(turn.cycle_s * (1 + 0.01 * turn.rng.standard_normal()), shape, symbol)


_twisting = _run("torsades", "V", 0.05)


def _torsades(turn: _Turn) -> _Next:
    """The amplitude swings through zero in 8 to 14 beats; the spindles differ."""
    beat = _twisting(turn)
    phase = 2 * np.pi * (turn.last.r_s + beat.rr_s - turn.start_s) / (22 * turn.cycle_s)
    swing = float(np.sin(phase + 0.8 * np.sin(0.37 * phase) + 0.6))
    return replace(beat, gain=float(np.copysign(0.12 + 0.88 * abs(swing), swing)))


def _paced(turn: _Turn) -> _Next:
    """The pacemaker's own clock, without jitter."""
    rr_s = turn.cycle_s if turn.last.pulse else max(turn.cycle_s, REFRACTORY_S)
    return _Next(rr_s, "paced", "/", pulse=True)


RHYTHMS: dict[str, Callable[[_Turn], _Next]] = {
    "sinus": _sinus,
    "rsa": _rsa,
    "lbbb": _conducted("lbbb"),
    "pause": _pause,
    "pac": _ectopic("pac", "A", 0.64, 0.72),
    "pvc": _ectopic("pvc", "V", 0.60, 0.70),
    "couplet": _ectopic("pvc", "V", 0.56, 0.64),
    "bigeminy": _ectopic("pvc", "V", 0.60, 0.70),
    "small_pvc": _ectopic("pvc", "V", 0.60, 0.70, gain=0.31),
    "trigeminy": _ectopic("pvc", "V", 0.60, 0.70),
    "r_on_t": _on_t,
    "af": _af,
    "svt": _regular("nodal"),
    "svt_wide": _regular("nodal_lbbb"),
    "vt": _run("vt", "V", 0.012),
    "torsades": _torsades,
    "flutter": _run("flutter", "!", 0.01),
    "escape": _regular("nodal", "j"),
    "escape_wide": _regular("escape", "E"),
    "paced": _paced,
}


def _spaced(first: int, *steps: int) -> Callable[[], Iterator[int]]:
    """Numbers of the ectopic beats in their segment: `first`, then later by `steps` in turn."""

    def places() -> Iterator[int]:
        place = first
        for step in cycle(steps):
            yield place
            place += step

    return places


_PLACES = {
    "bigeminy": _spaced(1, 2),
    "small_pvc": _spaced(1, 2),
    "trigeminy": _spaced(2, 3),
    "couplet": _spaced(3, 1, 6),
    "r_on_t": _spaced(3, 4, 5),
}
_USUAL_PLACES = _spaced(1, 4, 5)


class _Heart:
    """Proposes the next beat of a rhythm; a proposal becomes the last beat when it is taken."""

    def __init__(self, scenario: Scenario) -> None:
        self._rng = np.random.default_rng([scenario.seed, 1])
        self._variability = RespiratoryVariability(self._rng)
        self._atrial_rng = np.random.default_rng([scenario.seed, 5])
        self._hr_bpm = scenario.settings.hr
        self._pace_s = 60 / scenario.settings.pace
        self._last = PlannedBeat(-1e3, "N", "", 60 / self._hr_bpm, 1.0)
        self._coupling_s = 0.0  # RR interval before the last beat
        self._atrial_s = -1e3  # R-peak that the last P wave would have
        self._pulse_s = -1e3  # R-peak that the last pulse would have

    def propose(self, segment: Segment, nth: int, ectopic: bool) -> PlannedBeat:
        """Return the next beat if it were beat `nth` (from 0) of `segment`."""
        last = self._last
        rate_bpm = segment.rate_bpm
        if segment.kind.glides:
            share = (max(last.r_s, segment.start_s) - segment.start_s) / (segment.end_s - segment.start_s)
            rate_bpm = self._hr_bpm + share * (rate_bpm - self._hr_bpm)
        cycle_s = 60 / rate_bpm
        variation = self._variability(max(last.r_s, 0.0)) + RR_JITTER * self._rng.standard_normal()
        gain = 1 + GAIN_JITTER * self._rng.standard_normal()
        turn = _Turn(
            self._rng, cycle_s, cycle_s * (1 + variation), last, self._coupling_s, nth, ectopic, segment.start_s
        )
        beat = RHYTHMS[segment.beats](turn)
        earliest_s = FIRST_BEAT_S if nth == 0 and last.shape == "" else 0.0
        r_s = max(last.r_s + beat.rr_s, segment.start_s + earliest_s)
        if beat.shape in ("sinus", "lbbb", "pac") and self._atrial_s > last.r_s:  # the last P was not conducted
            r_s = max(r_s, self._atrial_s + beat.rr_s)
        if beat.pulse:  # an escape beat does not reset the pacemaker: its pulses were not sensed either
            r_s = max(r_s, self._pulse_s + cycle_s)
        return PlannedBeat(r_s, beat.symbol, beat.shape, cycle_s, gain * beat.gain, beat.pulse)

    def ventricles(self, segment: Segment) -> Iterator[PlannedBeat]:
        """Yield the beats of a segment. The one after its end is dropped, and proposed again by the next segment."""
        if not segment.beats or not segment.rate_bpm:
            self._last = replace(self._last, shape="")  # the next beat is a first beat again
            return
        places = _PLACES.get(segment.beats, _USUAL_PLACES)()
        place = next(places)
        for nth in count():
            beat = self.propose(segment, nth, ectopic=nth == place)
            if beat.r_s >= segment.end_s:
                return
            if nth == place:
                place = next(places)
            self._coupling_s = beat.r_s - self._last.r_s
            self._last = beat
            if beat.pulse:
                self._pulse_s, self._pace_s = beat.r_s, beat.cycle_s
            yield beat

    def atria(self, segment: Segment) -> Iterator[PlannedBeat]:
        """Yield the P waves of a segment in which none is conducted."""
        cycle_s = 60 / self._hr_bpm
        last_s = max(self._atrial_s, self._last.r_s)
        while segment.kind.p_waves:
            variation = self._variability(max(last_s, 0.0)) + RR_JITTER * self._atrial_rng.standard_normal()
            last_s = max(last_s + cycle_s * (1 + variation), segment.start_s + FIRST_BEAT_S)
            if last_s >= segment.end_s:
                return
            self._atrial_s = last_s
            yield PlannedBeat(last_s, "", "p", cycle_s, 1 + GAIN_JITTER * self._atrial_rng.standard_normal())

    def pulses(self, segment: Segment) -> Iterator[PlannedBeat]:
        """Yield the pulses of a segment in which none is followed by a QRS complex."""
        while segment.kind.pulses:
            due_s = max(self._pulse_s + self._pace_s, segment.start_s + PULSE_TO_R_S)
            if due_s >= segment.end_s:
                return
            self._pulse_s = due_s
            yield PlannedBeat(due_s, "", "", self._pace_s, 1.0, pulse=True)


def planned_beats(scenario: Scenario) -> Iterator[PlannedBeat]:
    """Yield the beats, lone P waves and pulses of `scenario` in order of time, without end if it repeats.

    They depend on seed and options only, not on the sampling rate. Rhythms join without a jump in time.
    """
    heart = _Heart(scenario)
    index = 0
    while (segment := scenario.segment(index)) is not None:
        index += 1
        streams = heart.atria(segment), heart.ventricles(segment), heart.pulses(segment)
        yield from heapq.merge(*streams, key=lambda beat: beat.r_s)
