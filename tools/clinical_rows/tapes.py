"""A signal that is put together: beats, waves and noise, what of it is lost, and the source that gives it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from clinical_rows import noises
from clinical_rows.cases import Draw
from clinical_rows.hearts import Heart, Waves
from monitor.sources import Chunk, EndOfStream
from monitor.sources.options import SourceOptions
from monitor.sources.simulated.simulator import Simulator

Floats = NDArray[np.float64]

_REACH: Final = 4.5  # standard deviations to either side at which a wave is zero


class Tape:
    """One lead, at first zero; or two.

    Attributes:
        fs_hz: sampling rate, Hz.
        mv: (n,) float64; NaN = no valid sample.
        second: the same of a second lead, if there is one.
        missing: (n,) bool: samples that the source never gives.
        beats_s: R-peaks, s.
        pulses_s: pacing pulses, s.
    """

    def __init__(self, fs_hz: float, seconds: float) -> None:
        self.fs_hz = fs_hz
        self.mv = np.zeros(round(seconds * fs_hz))
        self.second: Floats | None = None
        self.missing = np.zeros(self.mv.size, bool)
        self.beats_s: list[float] = []
        self.pulses_s: list[float] = []

    @property
    def seconds(self) -> float:
        return self.mv.size / self.fs_hz

    def part(self, since_s: float, until_s: float) -> slice:
        """The samples from `since_s` up to `until_s`."""
        return slice(max(0, round(since_s * self.fs_hz)), max(0, round(until_s * self.fs_hz)))

    def put(self, waves: Waves, r_s: float, gain: float = 1.0) -> None:
        """Add the waves of a beat with its R-peak at `r_s`."""
        for height, centre_s, sigma_s in waves:
            at_s = r_s + centre_s
            here = self.part(at_s - _REACH * sigma_s, at_s + _REACH * sigma_s)
            time_s = np.arange(here.start, min(here.stop, self.mv.size)) / self.fs_hz
            self.mv[here] += gain * height * np.exp(-0.5 * ((time_s - at_s) / sigma_s) ** 2)

    def beat(self, waves: Waves, r_s: float, gain: float = 1.0) -> None:
        """As `put`; it is a beat that must be found."""
        self.put(waves, r_s, gain)
        self.beats_s.append(r_s)

    def rhythm(self, heart: Heart, times_s: Iterable[float], rng: np.random.Generator, vary: float = 0.02) -> None:
        """Beats of a heart; RR is taken from the beat before."""
        last_s = None
        for at_s in times_s:
            rr_s = 0.8 if last_s is None else at_s - last_s
            self.beat(heart.beat(rr_s), at_s, 1 + vary * rng.standard_normal())
            last_s = at_s

    def p_waves(self, heart: Heart, times_s: Iterable[float], rng: np.random.Generator) -> None:
        """P waves alone, at these times."""
        for at_s in times_s:
            self.put(heart.p_wave(), at_s + heart.pr_s, 1 + 0.05 * rng.standard_normal())

    def pulse(self, at_s: float, mv: float, lasts_ms: float, overshoot_mv: float = 0.0, decay_ms: float = 20.0) -> None:
        """A pacing pulse of `mv` as an ADC sees it (each sample the mean of its time), and what the electrode keeps."""
        first = at_s * self.fs_hz
        last = first + lasts_ms / 1000 * self.fs_hz
        for sample in range(int(first), min(int(np.ceil(last)), self.mv.size)):
            self.mv[sample] += mv * max(0.0, min(last, sample + 1) - max(first, sample))
        after = slice(int(np.ceil(last)), min(int(np.ceil(last)) + round(0.5 * self.fs_hz), self.mv.size))
        time_s = (np.arange(after.start, after.stop) - last) / self.fs_hz
        self.mv[after] -= np.sign(mv) * overshoot_mv * np.exp(-1000 * time_s / decay_ms)
        self.pulses_s.append(at_s)

    def add(self, since_s: float, until_s: float, mv: Floats | float) -> None:
        """Add a signal from `since_s` on, with edges of 50 ms where it is an array."""
        here = self.part(since_s, min(until_s, self.seconds))
        if isinstance(mv, float):
            self.mv[here] += mv
            return
        n = here.stop - here.start
        edge = np.minimum(1.0, np.minimum(np.arange(n) + 1, np.arange(n, 0, -1)) / (0.05 * self.fs_hz))
        if here.start == 0:
            edge[: n // 2] = 1.0
        self.mv[here] += edge * mv[:n]

    def samples(self, seconds: float) -> int:
        return round(seconds * self.fs_hz) + 1

    def electrodes(
        self, draw: Draw, *, noise_mv: tuple[float, float] = (0.002, 0.015), breath_mv: float = 0.15
    ) -> None:
        """Noise, respiration and steps of an ADC as good electrodes have them."""
        n, rng = self.mv.size, draw.rng
        self.mv += noises.white(rng, self.fs_hz, n, draw.spread(*noise_mv))
        self.mv += noises.wander(rng, self.fs_hz, n, draw.spread(0.0, breath_mv))
        if draw.yes(0.3):
            self.mv += noises.hum(self.fs_hz, n, draw.spread(0.005, 0.03), draw.pick((50.0, 60.0)), 1.0)
        if draw.yes(0.5):
            step = draw.pick((0.00244, 0.005, 0.01))
            self.mv = step * np.round(self.mv / step)

    def lose(self, mask: NDArray[np.bool_], *, invalid: bool) -> None:
        """Lose these samples: given as NaN with `invalid`, else never given."""
        if invalid:
            self.mv[mask] = np.nan
        else:
            self.missing |= mask


def simulated(text: str, fs_hz: float, seed: int) -> Tape:
    """The signal of a scenario of `sim:`, with its beats."""
    simulator = Simulator(f"{text};seed={seed};fs={fs_hz:g}", SourceOptions(), "sim")
    n = simulator.total_samples
    if n is None:
        raise ValueError(f"scenario {text!r} has no end: give each part a duration")
    pieces: list[Floats] = []
    while sum(piece.size for piece in pieces) < n:
        pieces.append(simulator.read(n).samples)
    tape = Tape(fs_hz, n / fs_hz)
    tape.mv = np.concatenate(pieces)
    tape.beats_s = [sample / fs_hz for sample, _ in simulator.annotations(n)]
    return tape


class TapeSource:
    """The source of a tape; it cuts pieces where samples are missing."""

    live, never_blocks = False, True
    rails_mv: tuple[float, float] | None = None
    start_time: str | None = None

    def __init__(self, tape: Tape, name: str) -> None:
        self.name, self.lead, self.fs_hz = name, "II", tape.fs_hz
        self.total_samples: int | None = tape.mv.size
        self.leads = ("II",) if tape.second is None else ("II", "V1")
        self._mv, self._second = tape.mv, tape.second
        kept = np.flatnonzero(np.diff(np.concatenate(([True], tape.missing, [True])).astype(np.int8)))
        self._runs = list(zip(kept[::2].tolist(), kept[1::2].tolist(), strict=True))
        self._at = 0

    def read(self, max_samples: int) -> Chunk | None:
        """The next samples, at most `max_samples`."""
        while self._runs and self._at >= self._runs[0][1]:
            self._runs.pop(0)
        if not self._runs:
            raise EndOfStream
        first = max(self._at, self._runs[0][0])
        self._at = min(first + max_samples, self._runs[0][1])
        second = None if self._second is None else self._second[first : self._at].copy()
        return Chunk(first, self._mv[first : self._at].copy(), second=second)

    def close(self) -> None:
        pass
