"""Synthetic patient, lead II, from a scenario; the default source. The model is in `waves`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources.base import Chunk
from monitor.sources.options import SourceOptions, blank_beyond
from monitor.sources.pieces import PieceSource
from monitor.sources.simulated.disturbance import DISTURBANCES, Disturbance, lost, respiration_mv
from monitor.sources.simulated.pacing import PACING_REACH_S
from monitor.sources.simulated.rhythm import PULSE_TO_R_S, PlannedBeat, planned_beats
from monitor.sources.simulated.scenario import Scenario, Segment, parse_scenario
from monitor.sources.simulated.waves import Patient

__all__ = ["Simulator"]

BLOCK = 4096  # samples; the signal is made on this absolute grid, so it does not depend on the sizes asked for
START_MAX_S = 21_600.0  # the signal before the start has to be made, 4 s for this much
REACH_S = (0.45, 1.0)  # all events of a beat lie within this time before and after its R-peak

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class _Blocks:
    """Iterator over the blocks of the signal, from sample 0."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._patient = Patient(scenario.settings, scenario.seed)
        self._beats = planned_beats(scenario)
        self._next_beat = next(self._beats, None)
        self._active: deque[PlannedBeat] = deque()
        self._segment = scenario.segment(0)
        self._over: tuple[int, list[Disturbance]] = (-1, [])  # index of their segment
        self._state = np.zeros(1)
        self._block = 0

    def __iter__(self) -> Iterator[tuple[Floats, Bools]]:
        return self

    def __next__(self) -> tuple[Floats, Bools]:
        """Return the next block: mV, (BLOCK,) float64, and which of its samples are missing, (BLOCK,) bool."""
        from scipy.signal import lfilter  # imported late: `import monitor.sources` stays cheap

        fs_hz, settings = self._scenario.fs_hz, self._scenario.settings
        first = self._block * BLOCK
        time_s = np.arange(first, first + BLOCK) / fs_hz
        spans = self._spans(first)
        plugged, missing = np.ones(BLOCK), np.zeros(BLOCK, dtype=np.bool_)
        for segment, here in spans:
            plugged[here] = not segment.kind.unplugged
            if segment.kind.losses:
                missing[here] = lost(segment, np.arange(first + here.start, first + here.stop), self._scenario)
        g, pulses = self._heartbeats(first, time_s)
        # u' = z0 - g - u by the trapezoidal rule; the time constant is 1 s as in the paper.
        step = 0.5 / fs_hz
        b, a = np.array([step, step]) / (1 + step), np.array([1.0, -(1 - step) / (1 + step)])
        u, self._state = lfilter(b, a, plugged * respiration_mv(time_s) - g, zi=self._state)
        rng = np.random.default_rng([self._scenario.seed, 2, self._block])
        mv: Floats = g + u + pulses + plugged * (1e-3 * settings.noise) * rng.standard_normal(BLOCK)
        if settings.hum:
            mv += settings.hum * np.sin(2 * np.pi * settings.mains * time_s)
        for segment, here in spans:
            for disturbance in self._disturbances(segment):
                mv[here] += disturbance(rng, time_s[here])
        self._block += 1
        mv = settings.gain * mv + settings.offset
        blank_beyond(mv)
        return mv, missing

    def _heartbeats(self, first: int, time_s: Floats) -> tuple[Floats, Floats]:
        """Return the heartbeats and the pacing pulses of a block, mV."""
        fs_hz, (before_s, after_s) = self._scenario.fs_hz, REACH_S
        while self._next_beat is not None and self._next_beat.r_s - before_s <= time_s[-1]:
            self._active.append(self._next_beat)
            self._next_beat = next(self._beats, None)
        while self._active and self._active[0].r_s + after_s < time_s[0]:
            self._active.popleft()
        g, pulses = np.zeros(BLOCK), np.zeros(BLOCK)
        for beat in self._active:
            here = _within(first, (beat.r_s - before_s) * fs_hz, (beat.r_s + after_s) * fs_hz)
            if beat.shape:
                g[here] += self._patient.beat_mv(beat, time_s[here])
            if beat.pulse:
                start_s = beat.r_s - PULSE_TO_R_S
                here = _within(first, start_s * fs_hz, (start_s + PACING_REACH_S) * fs_hz)
                pulses[here] += self._patient.pulse_mv(time_s[here], start_s, fs_hz)
        return g, pulses

    def _spans(self, first: int) -> list[tuple[Segment, slice]]:
        """Return the segments in the block that begins at `first`, with their samples in it."""
        fs_hz, segment = self._scenario.fs_hz, self._segment
        spans: list[tuple[Segment, slice]] = []
        while segment is not None and round(segment.start_s * fs_hz) < first + BLOCK:
            end = round(segment.end_s * fs_hz)
            spans.append((segment, _within(first, round(segment.start_s * fs_hz), end)))
            if end > first + BLOCK:
                break
            segment = self._scenario.segment(segment.index + 1)
        self._segment = segment
        return spans

    def _disturbances(self, segment: Segment) -> list[Disturbance]:
        if self._over[0] != segment.index:
            made = [DISTURBANCES[name](segment, self._scenario) for name in segment.kind.over]
            self._over = segment.index, made
        return self._over[1]


def _within(first: int, start: float, end: float) -> slice:
    """Return the part of the block at `first` that the samples `start` to `end` take."""
    low = min(max(0, int(start) - first), BLOCK)
    return slice(low, max(low, min(BLOCK, int(end) - first)))


class Simulator(PieceSource):
    """Source of a synthetic patient; finite if the scenario does not repeat.

    The signal depends on the scenario alone: bit-identical for all sizes of read(). One block (BLOCK samples) is held.

    Args:
        text: the scenario; empty = DEFAULT_SCENARIO.
        options: `seed` and `fs_hz` (where the scenario names none), `start_s`, `duration_s`.

    Raises:
        SourceError: the scenario cannot be parsed, start after the end or START_MAX_S, no duration, two leads.
    """

    lead = "II"

    def __init__(self, text: str, options: SourceOptions, name: str) -> None:
        self.name = name
        self.scenario = parse_scenario(text, seed=options.seed, fs_hz=options.fs_hz)
        self.fs_hz = self.scenario.fs_hz
        if options.second is not None:
            raise SourceError(f"{name}: the simulator has one lead; leave out --channel")
        if options.start_s > START_MAX_S:
            raise SourceError(f"{name}: start {options.start_s:g} s; the simulator starts at {START_MAX_S:g} s at most")
        self._begin(options, self.scenario.total_samples)
        self._blocks = enumerate(_Blocks(self.scenario))

        self._missing: Bools = np.zeros(0, dtype=np.bool_)  # of the piece in memory

    def read(self, max_samples: int) -> Chunk:
        """Return the next samples that are not missing, at most `max_samples`; see Source."""
        while True:
            chunk = super().read(max_samples)
            low = chunk.first_sample - self._piece_first
            missing = self._missing[low : low + chunk.samples.size]
            if not missing.any():
                return chunk
            if missing.all():
                continue
            start = int(np.argmin(missing))
            end = start + int(np.argmax(np.append(missing[start:], True)))
            self._next = chunk.first_sample + end
            return Chunk(chunk.first_sample + start, chunk.samples[start:end])

    def close(self) -> None:
        """Do nothing: the simulator holds no resources."""

    def _load(self, sample: int) -> tuple[int, Floats]:
        for number, (mv, missing) in self._blocks:
            if sample < (number + 1) * BLOCK:
                self._missing = missing
                return number * BLOCK, mv
        raise AssertionError("the blocks have no end")

    def annotations(self, until_sample: int) -> list[tuple[int, str]]:
        """Return the true beats before `until_sample`: (sample of the R-peak, WFDB code); for tests.

        Codes: N, A, V, `/` paced, j and E nodal and ventricular escape, ! flutter wave. VF has none.
        """
        return [(sample, beat.symbol) for sample, beat in self._planned(until_sample, 0.0) if beat.symbol]

    def pulses(self, until_sample: int) -> list[int]:
        """Return the sample in which each pacing pulse before `until_sample` begins; for tests."""
        return [sample for sample, beat in self._planned(until_sample, PULSE_TO_R_S) if beat.pulse]

    def segments(self, until_sample: int) -> list[tuple[int, str]]:
        """Return the true segments that begin before `until_sample`: (first sample, kind); for tests."""
        truth: list[tuple[int, str]] = []
        while (segment := self.scenario.segment(len(truth))) is not None:
            if (sample := round(segment.start_s * self.fs_hz)) >= until_sample:
                break
            truth.append((sample, segment.name))
        return truth

    def _planned(self, until_sample: int, earlier_s: float) -> Iterator[tuple[int, PlannedBeat]]:
        for beat in planned_beats(self.scenario):
            if (sample := round((beat.r_s - earlier_s) * self.fs_hz)) >= until_sample:
                return
            yield sample, beat
