"""Everything but the heartbeats of the simulated signal: respiration, fibrillation, muscle noise, electrodes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from monitor.sources.simulated.scenario import Scenario, Segment

__all__ = ["DISTURBANCES", "Disturbance", "lost", "respiration_mv"]

Floats = NDArray[np.float64]
Disturbance = Callable[[np.random.Generator, Floats], Floats]  # (random numbers, time in s, (n,)) -> mV, (n,)

RESPIRATION_HZ = 0.25
RESPIRATION_MV = 0.12  # McSharry et al. 2003 use 0.15
DRIFT_HZ = 0.031
DRIFT_MV = 0.05

TONES = 14
FADE_S = 0.25
TYPICAL_R_MV = 1.2  # `mv` scales the waves of a fibrillating heart as it scales R
# kind: (lowest Hz, highest Hz, root mean square mV)
FIBRILLATION = {"vf": (4.0, 7.0, 0.30), "fine_vf": (4.0, 7.0, 0.05), "af": (5.0, 8.0, 0.030)}

MUSCLE_MV = 0.6  # standard deviation; a tense arm
MOTION_MV = 0.7
SWING_HZ = (0.7, 5.0)
JUMPS_PER_S = 1.5
JUMP_MV = 1.4
JUMP_DECAY_S = 0.25

MUSCLE_HZ = 500.0  # muscle noise is white up to here; a sampling rate keeps its part of the power
SHIVER_HZ = (8.0, 11.0)
TREMOR_HZ = (4.5, 7.0)
TREMOR_MV = (0.4, 1.0)  # peak to peak
STEP_EVERY_S = 10.0
STEP_MV = (2.0, 8.0)
STEP_DECAY_S = (0.8, 4.0)
CALIBRATION_MV = 1.0
FLAT_MV = 0.0008  # 5 min stay under 10 uV peak to peak


def respiration_mv(time_s: Floats) -> Floats:
    """Return z0: baseline wander by respiration, varying from breath to breath, and slow drift, (n,) float64, mV."""
    breath = 2 * np.pi * RESPIRATION_HZ * time_s + 0.9 * np.sin(2 * np.pi * 0.017 * time_s)
    drift = 2 * np.pi * DRIFT_HZ * time_s
    return np.asarray(RESPIRATION_MV * np.sin(breath) + DRIFT_MV * np.sin(drift), dtype=np.float64)


def _fade(segment: Segment, time_s: Floats) -> Floats:
    """Return 0 at the edges of the segment, 1 within, (n,) float64."""
    edge_s = np.minimum(time_s - segment.start_s, segment.end_s - time_s)
    return np.asarray(np.sin(0.5 * np.pi * np.clip(edge_s / FADE_S, 0, 1)) ** 2, dtype=np.float64)


def _fibrillation(name: str) -> Callable[[Segment, Scenario], Disturbance]:
    """The waves of fibrillating ventricles (4 to 7 Hz) or atria (5 to 8 Hz), with a varying envelope.

    A sum of tones with random frequencies and phases is narrow-band noise whose envelope never repeats. It is a
    function of time alone, so any part of it can be computed separately. The waves fade in and out within the segment.
    """

    def make(segment: Segment, scenario: Scenario) -> Disturbance:
        low_hz, high_hz, rms_mv = FIBRILLATION[name]
        rng = np.random.default_rng([scenario.seed, 3, segment.index])
        omega = 2 * np.pi * rng.uniform(low_hz, high_hz, TONES)
        phase = rng.uniform(0, 2 * np.pi, TONES)
        if name == "vf":
            rms_mv *= rng.uniform(0.8, 1.3)
        if name != "fine_vf":
            rms_mv *= (scenario.settings.mv or TYPICAL_R_MV) / TYPICAL_R_MV

        def take(_: np.random.Generator, time_s: Floats) -> Floats:
            tones = np.sin(omega[:, None] * (time_s - segment.start_s) + phase[:, None]).sum(axis=0)
            return np.asarray(rms_mv * np.sqrt(2 / TONES) * _fade(segment, time_s) * tones, dtype=np.float64)

        return take

    return make


class _Swing:
    """Slow swings of an electrode, 0.7 to 5 Hz, of unit power."""

    def __init__(self, fs_hz: float) -> None:
        from scipy.signal import butter

        self._gain = np.sqrt(fs_hz / (2 * (SWING_HZ[1] - SWING_HZ[0])))
        self._b, self._a = butter(2, SWING_HZ, "bandpass", fs=fs_hz)
        self._state = np.zeros(4)

    def take(self, rng: np.random.Generator, n: int) -> Floats:
        from scipy.signal import lfilter

        swing, self._state = lfilter(self._b, self._a, self._gain * rng.standard_normal(n), zi=self._state)
        return np.asarray(swing, dtype=np.float64)


class _ElectrodeNoise:
    """Muscle noise plus electrode motion: slow swings, and sudden steps similar to QRS complexes."""

    def __init__(self, fs_hz: float) -> None:
        self._fs_hz = fs_hz
        self._swing = _Swing(fs_hz)
        self._jump_state = np.zeros(1)

    def __call__(self, rng: np.random.Generator, time_s: Floats) -> Floats:
        from scipy.signal import lfilter

        n = time_s.size
        muscle = MUSCLE_MV * math.sqrt(self._fs_hz / 250) * rng.standard_normal(n)  # the same at every sampling rate
        swing = self._swing.take(rng, n)
        steps = (rng.random(n) < JUMPS_PER_S / self._fs_hz) * JUMP_MV * rng.standard_normal(n)
        decay = np.array([1.0, -np.exp(-1 / (JUMP_DECAY_S * self._fs_hz))])
        jumps, self._jump_state = lfilter([1.0], decay, steps, zi=self._jump_state)
        return np.asarray(muscle + MOTION_MV * swing + jumps, dtype=np.float64)


def _motion(segment: Segment, scenario: Scenario) -> Disturbance:
    swing = _Swing(scenario.fs_hz)
    mv = scenario.settings.motion

    def take(rng: np.random.Generator, time_s: Floats) -> Floats:
        return np.asarray(mv * _fade(segment, time_s) * swing.take(rng, time_s.size), dtype=np.float64)

    return take


def _muscle(_: Segment, scenario: Scenario) -> Disturbance:
    """Muscle noise; its power up to 125 Hz (half of the usual 250 Hz) is that of the option."""
    mv = scenario.settings.muscle * math.sqrt(min(scenario.fs_hz, 2 * MUSCLE_HZ) / 250)
    return lambda rng, time_s: np.asarray(mv * rng.standard_normal(time_s.size), dtype=np.float64)


def _shiver(segment: Segment, scenario: Scenario) -> Disturbance:
    """Muscle noise in bursts, 8 to 11 a second."""
    muscle = _muscle(segment, scenario)
    hz = np.random.default_rng([scenario.seed, 7, segment.index]).uniform(*SHIVER_HZ)

    def take(rng: np.random.Generator, time_s: Floats) -> Floats:
        burst = 1 + 0.7 * np.sin(2 * np.pi * hz * time_s + 0.8 * np.sin(2 * np.pi * 0.7 * time_s))
        return np.asarray(burst * muscle(rng, time_s), dtype=np.float64)

    return take


def _tremor(segment: Segment, scenario: Scenario) -> Disturbance:
    """A rhythm of one frequency that wanders a little, with a second harmonic and an amplitude that swells."""
    rng, chosen = np.random.default_rng([scenario.seed, 8, segment.index]), scenario.settings
    drawn_hz, drawn_mv = rng.uniform(*TREMOR_HZ), rng.uniform(*TREMOR_MV)
    hz = drawn_hz if chosen.tremor_hz is None else chosen.tremor_hz
    mv = drawn_mv if chosen.tremor is None else chosen.tremor
    shift = rng.uniform(0, 2 * np.pi, 4)

    def take(_: np.random.Generator, time_s: Floats) -> Floats:
        phase = 2 * np.pi * hz * time_s + 0.8 * np.sin(2 * np.pi * 0.13 * time_s + shift[0]) + shift[1]
        swell = 1 + 0.2 * np.sin(2 * np.pi * 0.21 * time_s + shift[2])
        wave = np.sin(phase) + 0.25 * np.sin(2 * phase + shift[3])
        return np.asarray(0.5 * mv * _fade(segment, time_s) * swell * wave, dtype=np.float64)

    return take


def _decay(segment: Segment, scenario: Scenario) -> Disturbance:
    """A polarised electrode: steps of either sign that decay exponentially; a sum over the last steps."""
    drawn_s = np.random.default_rng([scenario.seed, 10, segment.index]).uniform(*STEP_DECAY_S)
    tau_s = drawn_s if scenario.settings.decay is None else scenario.settings.decay
    kept = math.ceil(8 * tau_s / STEP_EVERY_S)

    def take(_: np.random.Generator, time_s: Floats) -> Floats:
        mv = np.zeros(time_s.size)
        if not time_s.size:
            return mv
        first, last = ((t - segment.start_s) / STEP_EVERY_S for t in (time_s[0], time_s[-1]))
        for number in range(max(0, int(first) - kept), int(last) + 1):
            rng = np.random.default_rng([scenario.seed, 11, segment.index, number])
            since_s = time_s - segment.start_s - STEP_EVERY_S * (number + rng.uniform(0.05, 0.6))
            step_mv = rng.uniform(*STEP_MV) * rng.choice((-1.0, 1.0))
            mv += np.where(since_s >= 0, step_mv * np.exp(-np.maximum(since_s, 0.0) / tau_s), 0.0)
        return mv

    return take


def _garbled(_: Segment, scenario: Scenario) -> Disturbance:
    """Single samples that are no number."""
    share = scenario.settings.garbled / 100
    return lambda rng, time_s: np.where(rng.random(time_s.size) < share, np.nan, 0.0)


def lost(segment: Segment, samples: NDArray[np.int64], scenario: Scenario) -> NDArray[np.bool_]:
    """Return which of the samples, (n,) int64, are missing in the segment, (n,) bool. Losses have equal lengths."""
    settings, fs_hz = scenario.settings, scenario.fs_hz
    every = settings.loss_every * fs_hz
    phase = np.random.default_rng([scenario.seed, 12, segment.index]).uniform(0.2, 0.8)
    first = segment.start_s * fs_hz + phase * every
    number = np.floor((samples + 0.5 - first) / every)  # of the last loss that began
    place = samples - np.rint(first + number * every)
    return np.asarray((number >= 0) & (place >= 0) & (place < round(settings.loss_ms / 1000 * fs_hz)), dtype=np.bool_)


def _calibration(segment: Segment, scenario: Scenario) -> Disturbance:
    start_s = segment.start_s + np.random.default_rng([scenario.seed, 9, segment.index]).uniform(0, 0.5)

    def take(_: np.random.Generator, time_s: Floats) -> Floats:
        high = (time_s - start_s) * segment.rate_bpm / 60 % 1 < 0.5
        return np.where(high, CALIBRATION_MV, 0.0)

    return take


def _flat(_: Segment, __: Scenario) -> Disturbance:
    return lambda rng, time_s: np.asarray(FLAT_MV * rng.standard_normal(time_s.size), dtype=np.float64)


DISTURBANCES: dict[str, Callable[[Segment, Scenario], Disturbance]] = {
    "vf": _fibrillation("vf"),
    "fine_vf": _fibrillation("fine_vf"),
    "af": _fibrillation("af"),
    "noise": lambda _, scenario: _ElectrodeNoise(scenario.fs_hz),
    "muscle": _muscle,
    "shiver": _shiver,
    "tremor": _tremor,
    "motion": _motion,
    "decay": _decay,
    "garbled": _garbled,
    "calibration": _calibration,
    "flat": _flat,
    "leadsoff": lambda _, __: lambda _rng, time_s: np.full(time_s.size, np.nan),
}
