"""Paced ECGs for the tests: pulses with tails as EC13 describes them, and the QRS complexes that follow."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]

# centre relative to R (s), height (mV), width (s): a ventricular-paced QRS of about 160 ms and its T wave
PACED_QRS = ((-0.054, -0.10, 0.016), (0.0, 1.1, 0.020), (0.054, -0.22, 0.018), (0.30, 0.30, 0.055))


@dataclass(frozen=True)
class Pulse:
    """One kind of pacing pulse.

    Attributes:
        mv: height.
        samples: width in whole samples, 0 = `width_s` instead, averaged over each sample as an ADC does.
        overshoot: height of the tail over that of the pulse, at most 2 mV, of opposite sign; it decays with `tau_s`.
    """

    mv: float
    samples: int = 1
    width_s: float = 0.0
    overshoot: float = 0.0
    tau_s: float = 0.02

    def signal(self, fs_hz: float, duration_s: float, times_s: Samples) -> tuple[Samples, list[int]]:
        """The pulses alone, mV, and the first sample of each."""
        n = round(duration_s * fs_hz)
        signal, firsts, t = np.zeros(n), [], np.arange(n) / fs_hz
        for at_s in times_s:
            if self.samples:
                first = math.ceil(at_s * fs_hz)
                signal[first : first + self.samples] += self.mv
                end_s = (first + self.samples) / fs_hz
            else:
                end_s = at_s + self.width_s
                part = np.minimum(t, end_s) - np.maximum(t - 1 / fs_hz, at_s)
                signal += self.mv * np.clip(part, 0, None) * fs_hz
                first = int((part > 0).argmax())
            firsts.append(first)
            after = t >= end_s - 1e-9
            tail_mv = min(abs(self.mv) * self.overshoot, 2.0) * math.copysign(1.0, -self.mv)
            signal[after] += tail_mv * np.exp(-(t[after] - end_s) / self.tau_s)
        return signal, firsts


def waves(
    fs_hz: float, duration_s: float, r_s: Samples, *, scale: float = 1.0, noise_mv: float = 0.01, seed: int = 0
) -> Samples:
    """Paced QRS complexes at these R-peaks, and noise; mV."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(duration_s * fs_hz)) / fs_hz
    signal = noise_mv * rng.standard_normal(t.size)
    for centre, height, width in PACED_QRS:
        for r in r_s:
            signal += scale * height * np.exp(-0.5 * ((t - r - centre) / width) ** 2)
    return signal


def paced_ecg(
    fs_hz: float,
    duration_s: float,
    pulse: Pulse,
    *,
    bpm: float = 80.0,
    to_r_s: float | None = 0.07,
    seed: int = 0,
    noise_mv: float = 0.01,
) -> tuple[Samples, Samples, list[int], Samples]:
    """(signal with pulses, the same without, first sample of each pulse, R-peaks in s); `to_r_s=None`: no capture."""
    rng = np.random.default_rng(seed)
    times_s = np.arange(0.6, duration_s - 0.5, 60 / bpm) + rng.uniform(0, 1 / fs_hz)
    r_s = np.empty(0) if to_r_s is None else times_s + to_r_s
    clean = waves(fs_hz, duration_s, r_s, noise_mv=noise_mv, seed=seed)
    pulses, firsts = pulse.signal(fs_hz, duration_s, times_s)
    return clean + pulses, clean, firsts, r_s
