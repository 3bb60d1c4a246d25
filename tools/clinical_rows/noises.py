"""Disturbances and waves without QRS complexes, (n,) float64 mV."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

Floats = NDArray[np.float64]
Rng = np.random.Generator


def band(rng: Rng, fs_hz: float, n: int, low_hz: float, high_hz: float, rms_mv: float) -> Floats:
    """Gaussian noise between two frequencies, of this root mean square."""
    high_hz = min(high_hz, 0.45 * fs_hz)
    extra = round(3 * fs_hz)
    sos = butter(2, [low_hz, high_hz], "bandpass", fs=fs_hz, output="sos")
    made = sosfilt(sos, rng.standard_normal(n + extra))[extra:]
    return np.asarray(rms_mv * made / max(1e-12, float(made.std())))


def white(rng: Rng, fs_hz: float, n: int, rms_mv: float) -> Floats:
    """Noise up to 100 Hz, the same in the band of an ECG at any sampling rate."""
    return band(rng, fs_hz, n, 0.3, 100.0, rms_mv)


def muscle(rng: Rng, fs_hz: float, n: int, rms_mv: float) -> Floats:
    """Muscle noise, 20 to 150 Hz, whose strength swells and ebbs."""
    envelope = np.exp(0.5 * band(rng, fs_hz, n, 0.1, 0.6, 1.0))
    made = band(rng, fs_hz, n, 18.0, 150.0, 1.0) * envelope
    return np.asarray(rms_mv * made / made.std())


def hum(fs_hz: float, n: int, mv: float, hz: float, phase: float) -> Floats:
    """Mains hum of this amplitude with a third harmonic."""
    at = 2 * np.pi * np.arange(n) / fs_hz
    third = 0.15 * np.sin(3 * hz * at + 2 * phase) if 3 * hz < 0.5 * fs_hz else 0.0
    return np.asarray(mv * (np.sin(hz * at + phase) + third))


def wander(rng: Rng, fs_hz: float, n: int, mv: float) -> Floats:
    """Respiration of this amplitude, and a slow drift of half of it."""
    at = 2 * np.pi * np.arange(n) / fs_hz
    breath = np.sin(rng.uniform(0.15, 0.35) * at + rng.uniform(0, 6) + 0.8 * np.sin(0.021 * at))
    return np.asarray(mv * (breath + 0.5 * np.sin(0.03 * at + rng.uniform(0, 6))))


def motion(rng: Rng, fs_hz: float, n: int, rms_mv: float) -> Floats:
    """Electrode motion: swings of 0.6 to 5 Hz, and steps that decay."""
    steps = (rng.random(n) < 0.8 / fs_hz) * 3.0 * rng.standard_normal(n)
    decay = np.exp(-np.arange(round(2 * fs_hz)) / (0.3 * fs_hz))
    made = band(rng, fs_hz, n, 0.6, 5.0, 1.0) + np.convolve(steps, decay)[:n]
    return np.asarray(rms_mv * made / made.std())


def tremor(rng: Rng, fs_hz: float, n: int, mv: float, hz: float) -> Floats:
    """Tremor, tooth brushing, a rocking arm: waves of `mv` peak to peak, of nearly one frequency, in bursts."""
    at = np.arange(n) / fs_hz
    phase = 2 * np.pi * (hz * at + 0.15 * np.cumsum(band(rng, fs_hz, n, 0.1, 1.0, 1.0)) / fs_hz) + rng.uniform(0, 6)
    envelope = np.clip(0.75 + 0.35 * band(rng, fs_hz, n, 0.1, 0.8, 1.0), 0.1, 1.0)
    waves = np.sin(phase) + rng.uniform(0.1, 0.4) * np.sin(2 * phase + rng.uniform(0, 6))
    return np.asarray(mv / (waves.max() - waves.min()) * envelope * waves)


def fibrillation(rng: Rng, fs_hz: float, n: int, rms_mv: float) -> Floats:
    """Ventricular fibrillation: narrow-band waves about 3.5 to 7 Hz whose frequency and height wander."""
    centre_hz = rng.uniform(3.8, 6.5)
    made = band(rng, fs_hz, n, centre_hz - 1.1, centre_hz + 1.1, 1.0) + band(rng, fs_hz, n, 3.0, 9.0, 0.35)
    return np.asarray(rms_mv * made / made.std())


def flutter(rng: Rng, fs_hz: float, n: int, mv: float, bpm: float) -> Floats:
    """Ventricular flutter: a sine wave of `mv` peak to peak, 200 to 300 a minute, with slow changes of its height."""
    at = np.arange(n) / fs_hz
    phase = 2 * np.pi * bpm / 60 * (at + 0.004 * np.cumsum(band(rng, fs_hz, n, 0.1, 1.0, 1.0)) / fs_hz)
    waves = np.sin(phase) + 0.2 * np.sin(2 * phase + rng.uniform(0, 6))
    return np.asarray(mv / 2 * (1 + 0.08 * np.sin(0.9 * at)) * waves)


def torsades(rng: Rng, fs_hz: float, n: int, mv: float, bpm: float) -> Floats:
    """Torsades de pointes: waves of up to `mv` peak to peak, 180 to 260 a minute, that twist about the baseline."""
    at = np.arange(n) / fs_hz
    phase = 2 * np.pi * (bpm / 60 * at + 0.05 * np.cumsum(band(rng, fs_hz, n, 0.1, 1.0, 1.0)) / fs_hz)
    twist = np.sin(2 * np.pi * rng.uniform(0.08, 0.16) * at + rng.uniform(0, 6))
    return np.asarray(
        mv / 2 * (0.25 + 0.75 * np.abs(twist)) * (np.sin(phase) + 0.3 * np.sign(twist) * np.cos(2 * phase))
    )


def ringing(n: int, fs_hz: float) -> Floats:
    """A burst of 35 Hz that dies within 0.1 s, at first 1 mV."""
    at = np.arange(n) / fs_hz
    return np.asarray(np.sin(2 * np.pi * 35 * at) * np.exp(-at / 0.05))
