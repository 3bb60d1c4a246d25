"""Calibration pulses and test signals of devices are recognised; rhythms, also regular ones, are not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, sawtooth

from detector import Beat, Detector, Quality, QualitySpan
from detector.device_signal import is_device_signal
from tests.detector.helpers_signals import run, synthetic_ecg

Floats = NDArray[np.float64]
SIGNALS = {
    "square of 1 Hz": lambda t: (t % 1.0 < 0.5) * 1.0,
    "square of an ADS1299": lambda t: np.where(t % 0.512 < 0.256, 1.875, -1.875),
    "pulses of 0.1 s": lambda t: (t % 1.0 < 0.1) * 1.0,
    "pulses of 1 s": lambda t: (t % 2.5 < 1.0) * 1.0,
    "triangle": lambda t: sawtooth(2 * np.pi * t, 0.5),
    "sine": lambda t: 0.5 * np.sin(2 * np.pi * t),
}
RHYTHMS = {
    "flutter": lambda t: np.sin(2 * np.pi * 5 * t),
    "slow flutter": lambda t: 0.5 * np.sin(2 * np.pi * 2.6 * t),
    "clipped flutter": lambda t: np.clip(3 * np.sin(2 * np.pi * 4 * t), -1, 1),
    "triangular ventricular tachycardia": lambda t: sawtooth(2 * np.pi * 2.5 * t, 0.5),
    "sawtooth": lambda t: sawtooth(2 * np.pi * 5 * t, 0.9),
    "broad complexes": lambda t: np.exp(-0.5 * (((t % 0.8) - 0.4) / 0.05) ** 2),
    "pacing pulses": lambda t: np.where(t % 1.0 < 0.0081, 50.0, 0.0),
    "standstill": lambda t: 0.05 * np.sin(2 * np.pi * 0.3 * t),
}


def noisy(clean: Floats) -> Floats:
    return clean + np.random.default_rng(2).normal(0, 0.003, clean.size)


@pytest.mark.parametrize("fs_hz", [100.0, 250.0, 1000.0])
@pytest.mark.parametrize("edge_hz", [None, 40.0])
@pytest.mark.parametrize("name", SIGNALS)
def test_device_signals_are_recognised_from_the_third_second_on(name: str, edge_hz: float | None, fs_hz: float) -> None:
    signal = SIGNALS[name](np.arange(round(15 * fs_hz)) / fs_hz)
    if edge_hz is not None:
        b, a = butter(1, edge_hz / (fs_hz / 2))
        signal = lfilter(b, a, signal)
    events = run(Detector(fs_hz), [noisy(signal)])
    found = [event.quality for event in events if isinstance(event, QualitySpan)]
    assert set(found[4:14]) == {Quality.CALIBRATION}
    beats = [event for event in events if isinstance(event, Beat) and 3 * fs_hz < event.r_sample < 13 * fs_hz]
    assert not any(beat.scorable for beat in beats)


@pytest.mark.parametrize("fs_hz", [125.0, 500.0])
@pytest.mark.parametrize("name", RHYTHMS)
def test_no_rhythm_is_a_device_signal(name: str, fs_hz: float) -> None:
    t = np.arange(round(12 * fs_hz)) / fs_hz
    signal = noisy(RHYTHMS[name](t))
    for end_s, length_s in itertools.product(range(4, 13), (2, 4)):
        assert not is_device_signal(signal[round((end_s - length_s) * fs_hz) : round(end_s * fs_hz)], fs_hz)


@pytest.mark.parametrize("noise_mv", [0.0, 0.01])
def test_an_exactly_regular_patient_is_no_device_signal(noise_mv: float) -> None:
    one = synthetic_ecg(250.0, 0.8, noise_mv=0.0)[0]
    signal = np.tile(one, 15) + np.random.default_rng(1).normal(0, noise_mv, 15 * one.size)
    found = {event.quality for event in run(Detector(250.0), [signal]) if isinstance(event, QualitySpan)}
    assert Quality.CALIBRATION not in found


@given(
    levels=st.lists(st.sampled_from((-5.0, -0.2, 0.0, 0.2, 1.0)), min_size=1, max_size=6),
    cuts=st.lists(st.integers(0, 500), max_size=5),
    fs_hz=st.sampled_from((125.0, 250.0)),
)
def test_flat_stretches_with_a_step_anywhere_are_judged(levels: list[float], cuts: list[int], fs_hz: float) -> None:
    """Without noise, as from a simulator or an unplugged input: a step at either end alone is no test signal."""
    signal = np.full(round(4 * fs_hz), levels[0])
    for level, cut in zip(levels[1:], cuts, strict=False):
        signal[cut:] = level
    assert is_device_signal(signal, fs_hz) in (True, False)
    signal[:] = 0.2
    signal[: min([3, *cuts])] = 0.0
    assert not is_device_signal(signal, fs_hz)
