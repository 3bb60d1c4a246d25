"""Synthetic patient, lead II, from a scenario; the default source.

The dynamical model of McSharry, Clifford, Tarassenko and Smith 2003 (ECGSYN, DOI 10.1109/TBME.2003.808805):
theta turns with angular velocity omega, one turn a beat, and every wave is an event at one angle,

    z' = - sum_i a_i dtheta_i exp(-dtheta_i^2 / (2 b_i^2)) - (z - z0),      z0 = respiration.

Deviations, and why:
- a_i = A_i omega / b_i^2 (Sameni et al. 2007, DOI 10.1155/2007/43407): A_i is the height in mV at any heart rate.
- The forcing is then exactly the derivative of g = sum_i A_i exp(-dtheta_i^2 / (2 b_i^2)). With z = g + u the stiff
  part is integrated in closed form, and u' = z0 - g - u, slow and linear, is left to one first-order filter.
- Each beat has its own omega = 2 pi / cycle length and its own events (Clifford, Nemati and Sameni 2010,
  DOI 10.1088/0967-3334/31/5/001, switch them by beat type). Neighbouring beats add up.
- ECGSYN scales all b_i by sqrt(heart rate / 60), that is all widths in time by sqrt(RR): QT then follows Bazett.
  Here only the T wave does; P and PR scale by the fourth root; the QRS complex keeps its width, set by the ventricles.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.sources.options import SourceOptions
from monitor.sources.pieces import PieceSource
from monitor.sources.simulated.disturbance import ElectrodeNoise, fibrillation, respiration_mv
from monitor.sources.simulated.rhythm import PlannedBeat, planned_beats
from monitor.sources.simulated.scenario import Scenario, Segment, parse_scenario

__all__ = ["Simulator"]

BLOCK = 4096  # samples; the signal is made on this absolute grid, so it does not depend on the sizes asked for
WHITE_NOISE_MV = 0.010  # a real asystole is not flat either
REACH_S = (0.45, 1.0)  # all events of a beat lie within this time before and after its R-peak

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Wave:
    """One event of the model, given at a cycle length of 1 s.

    Attributes:
        height_mv: A, mV.
        centre_s: time from the R-peak, s.
        sigma_s: standard deviation, s.
        rate_power: centre and width are scaled by (cycle length / 1 s) to this power.
    """

    height_mv: float
    centre_s: float
    sigma_s: float
    rate_power: float


P, QRS, T = 0.25, 0.0, 0.5  # rate_power of each wave; T: Bazett

_VENTRICLES = (
    Wave(-0.09, -0.026, 0.0075, QRS),
    Wave(1.20, 0.0, 0.0105, QRS),
    Wave(-0.24, 0.027, 0.0085, QRS),
    Wave(0.17, 0.235, 0.050, T),  # T rises slowly
    Wave(0.20, 0.280, 0.035, T),  # and falls faster
)
SHAPES: dict[str, tuple[Wave, ...]] = {
    "sinus": (Wave(0.085, -0.176, 0.017, P), Wave(0.085, -0.146, 0.017, P), *_VENTRICLES),
    "af": _VENTRICLES,
    # From low in the atria: an inverted P close to the QRS complex.
    "pac": (Wave(-0.10, -0.135, 0.016, P), *_VENTRICLES),
    "pvc": (
        Wave(1.55, 0.0, 0.030, QRS),
        Wave(0.65, 0.052, 0.024, QRS),
        Wave(-0.16, 0.112, 0.024, QRS),
        Wave(-0.45, 0.300, 0.068, T),
    ),
    "vt": (Wave(1.35, 0.0, 0.034, QRS), Wave(0.30, 0.055, 0.024, QRS), Wave(-0.70, 0.135, 0.040, QRS)),
}


def beat_mv(beat: PlannedBeat, time_s: Floats) -> Floats:
    """Return g of one beat at `time_s`, (n,) float64, s: (n,) float64, mV."""
    waves = SHAPES[beat.shape]
    omega = 2 * np.pi / beat.cycle_s  # rad/s
    scale = [beat.cycle_s**wave.rate_power for wave in waves]
    angle = np.array([omega * wave.centre_s * k for wave, k in zip(waves, scale, strict=True)])  # (w,)
    b = np.array([omega * wave.sigma_s * k for wave, k in zip(waves, scale, strict=True)])
    height = beat.gain * np.array([wave.height_mv for wave in waves])
    dtheta = omega * (time_s - beat.r_s) - angle[:, None]  # (w, n)
    return np.asarray(height @ np.exp(-0.5 * (dtheta / b[:, None]) ** 2), dtype=np.float64)


class _Blocks:
    """Iterator over the blocks of the signal, from sample 0."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._beats = planned_beats(scenario)
        self._next_beat = next(self._beats, None)
        self._active: deque[PlannedBeat] = deque()
        self._segment = scenario.segment(0)
        self._electrode: ElectrodeNoise | None = None
        self._state = np.zeros(1)
        self._block = 0

    def __iter__(self) -> Iterator[Floats]:
        return self

    def __next__(self) -> Floats:
        from scipy.signal import lfilter  # imported late: `import monitor.sources` stays cheap

        fs_hz, seed = self._scenario.fs_hz, self._scenario.seed
        first = self._block * BLOCK
        time_s = np.arange(first, first + BLOCK) / fs_hz
        g = self._heartbeats(first, time_s)
        # u' = z0 - g - u by the trapezoidal rule; the time constant is 1 s as in the paper.
        step = 0.5 / fs_hz
        b, a = np.array([step, step]) / (1 + step), np.array([1.0, -(1 - step) / (1 + step)])
        u, self._state = lfilter(b, a, respiration_mv(time_s) - g, zi=self._state)
        rng = np.random.default_rng([seed, 2, self._block])
        mv: Floats = g + u + WHITE_NOISE_MV * rng.standard_normal(BLOCK)
        self._add_disturbances(first, time_s, mv, rng)
        self._block += 1
        return mv

    def _heartbeats(self, first: int, time_s: Floats) -> Floats:
        fs_hz, (before_s, after_s) = self._scenario.fs_hz, REACH_S
        while self._next_beat is not None and self._next_beat.r_s - before_s <= time_s[-1]:
            self._active.append(self._next_beat)
            self._next_beat = next(self._beats, None)
        while self._active and self._active[0].r_s + after_s < time_s[0]:
            self._active.popleft()
        g = np.zeros(BLOCK)
        for beat in self._active:
            low = max(0, int((beat.r_s - before_s) * fs_hz) - first)
            high = min(BLOCK, int((beat.r_s + after_s) * fs_hz) - first)
            if low < high:
                g[low:high] += beat_mv(beat, time_s[low:high])
        return g

    def _add_disturbances(self, first: int, time_s: Floats, mv: Floats, rng: np.random.Generator) -> None:
        """Add fibrillation, noise and leads off, in place."""
        fs_hz, segment = self._scenario.fs_hz, self._segment
        while segment is not None and (start := round(segment.start_s * fs_hz)) < first + BLOCK:
            end = round(segment.end_s * fs_hz)
            low, high = max(0, start - first), min(BLOCK, end - first)
            mv[low:high] += self._disturbance(segment, time_s[low:high], rng, starts=start >= first)
            if end > first + BLOCK:
                break
            segment = self._scenario.segment(segment.index + 1)
        self._segment = segment

    def _disturbance(
        self, segment: Segment, time_s: Floats, rng: np.random.Generator, *, starts: bool
    ) -> Floats | float:
        if segment.kind == "leadsoff":
            return float("nan")
        if segment.kind in ("vf", "af"):
            return fibrillation(segment, time_s, self._scenario.seed)
        if segment.kind == "noise":
            if starts or self._electrode is None:
                self._electrode = ElectrodeNoise(self._scenario.fs_hz)
            return self._electrode.take(rng, time_s.size)
        return 0.0


class Simulator(PieceSource):
    """Source of a synthetic patient; finite if the scenario does not repeat.

    The signal depends on the scenario alone: bit-identical for all sizes of read(). One block (BLOCK samples) is held.

    Args:
        text: the scenario; empty = DEFAULT_SCENARIO.
        options: `seed` and `fs_hz` (where the scenario names none), `start_s`, `duration_s`.

    Raises:
        SourceError: the scenario cannot be parsed, start after the end, no duration.
    """

    lead = "II"

    def __init__(self, text: str, options: SourceOptions, name: str) -> None:
        self.name = name
        self.scenario = parse_scenario(text, seed=options.seed, fs_hz=options.fs_hz)
        self.fs_hz = self.scenario.fs_hz
        self._begin(options, self.scenario.total_samples)
        self._blocks = enumerate(_Blocks(self.scenario))

    def close(self) -> None:
        """Do nothing: the simulator holds no resources."""

    def _load(self, sample: int) -> tuple[int, Floats]:
        return next((number * BLOCK, mv) for number, mv in self._blocks if sample < (number + 1) * BLOCK)

    def annotations(self, until_sample: int) -> list[tuple[int, str]]:
        """Return the true beats before `until_sample`: (sample of the R-peak, WFDB code N, V or A); for tests."""
        truth: list[tuple[int, str]] = []
        for beat in planned_beats(self.scenario):
            if (sample := round(beat.r_s * self.fs_hz)) >= until_sample:
                break
            truth.append((sample, beat.symbol))
        return truth

    def segments(self, until_sample: int) -> list[tuple[int, str]]:
        """Return the true segments that begin before `until_sample`: (first sample, kind); for tests."""
        truth: list[tuple[int, str]] = []
        while (segment := self.scenario.segment(len(truth))) is not None:
            if (sample := round(segment.start_s * self.fs_hz)) >= until_sample:
                break
            truth.append((sample, segment.kind))
        return truth
