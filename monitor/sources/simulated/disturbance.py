"""Everything but the heartbeats of the simulated signal: respiration, fibrillation, muscle noise, electrodes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.sources.simulated.scenario import Segment

__all__ = ["ElectrodeNoise", "fibrillation", "respiration_mv"]

Floats = NDArray[np.float64]

RESPIRATION_HZ = 0.25
RESPIRATION_MV = 0.12  # McSharry et al. 2003 use 0.15
DRIFT_HZ = 0.031
DRIFT_MV = 0.05

TONES = 14
FADE_S = 0.25
# kind: (lowest Hz, highest Hz, root mean square mV)
FIBRILLATION = {"vf": (4.0, 7.0, 0.30), "af": (5.0, 8.0, 0.030)}

MUSCLE_MV = 0.6  # standard deviation; a tense arm
MOTION_MV = 0.7
JUMPS_PER_S = 1.5
JUMP_MV = 1.4
JUMP_DECAY_S = 0.25


def respiration_mv(time_s: Floats) -> Floats:
    """Return z0: baseline wander by respiration, varying from breath to breath, and slow drift, (n,) float64, mV."""
    breath = 2 * np.pi * RESPIRATION_HZ * time_s + 0.9 * np.sin(2 * np.pi * 0.017 * time_s)
    drift = 2 * np.pi * DRIFT_HZ * time_s
    return np.asarray(RESPIRATION_MV * np.sin(breath) + DRIFT_MV * np.sin(drift), dtype=np.float64)


def fibrillation(segment: Segment, time_s: Floats, seed: int) -> Floats:
    """Return the waves of fibrillating ventricles (4 to 7 Hz) or atria (5 to 8 Hz), with a varying envelope.

    A sum of tones with random frequencies and phases is narrow-band noise whose envelope never repeats. It is a
    function of time alone, so any part of it can be computed separately. The waves fade in and out within the segment,
    which is of kind vf or af. `time_s` and the result, mV, are (n,) float64.
    """
    low_hz, high_hz, rms_mv = FIBRILLATION[segment.kind]
    rng = np.random.default_rng([seed, 3, segment.index])
    omega = 2 * np.pi * rng.uniform(low_hz, high_hz, TONES)
    phase = rng.uniform(0, 2 * np.pi, TONES)
    tones = np.sin(omega[:, None] * (time_s - segment.start_s) + phase[:, None]).sum(axis=0)
    edge_s = np.minimum(time_s - segment.start_s, segment.end_s - time_s)
    fade = np.sin(0.5 * np.pi * np.clip(edge_s / FADE_S, 0, 1)) ** 2
    return np.asarray(rms_mv * np.sqrt(2 / TONES) * fade * tones, dtype=np.float64)


class ElectrodeNoise:
    """Muscle noise plus electrode motion: slow swings, and sudden steps similar to QRS complexes."""

    def __init__(self, fs_hz: float) -> None:
        from scipy.signal import butter

        self._fs_hz = fs_hz
        self._swing_b, self._swing_a = butter(2, [0.7, 5.0], "bandpass", fs=fs_hz)
        self._swing_state = np.zeros(4)
        self._jump_state = np.zeros(1)

    def take(self, rng: np.random.Generator, n: int) -> Floats:
        """Return the next `n` samples, (n,) float64, mV."""
        from scipy.signal import lfilter

        muscle = MUSCLE_MV * rng.standard_normal(n)
        white = rng.standard_normal(n) * np.sqrt(self._fs_hz / (2 * (5.0 - 0.7)))  # unit power after the filter
        swing, self._swing_state = lfilter(self._swing_b, self._swing_a, white, zi=self._swing_state)
        steps = (rng.random(n) < JUMPS_PER_S / self._fs_hz) * JUMP_MV * rng.standard_normal(n)
        decay = np.array([1.0, -np.exp(-1 / (JUMP_DECAY_S * self._fs_hz))])
        jumps, self._jump_state = lfilter([1.0], decay, steps, zi=self._jump_state)
        return np.asarray(muscle + MOTION_MV * swing + jumps, dtype=np.float64)
