"""The beat: where its samples are taken, and how exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.beats import BEAT_FS_HZ, BEAT_SAMPLES, R_INDEX, cut_beat

RATES_HZ = (100.0, 125.0, 128.0, 250.0, 257.0, 360.0, 500.0, 1000.0)
OFFSETS_S = (np.arange(BEAT_SAMPLES) - R_INDEX) / BEAT_FS_HZ
rates = st.sampled_from(RATES_HZ)


@given(
    fs_hz=rates,
    coefficients=st.tuples(st.floats(-2, 2), st.floats(-3, 3), st.floats(-3, 3)),
    fraction=st.floats(0, 1, exclude_max=True),
)
def test_polynomials_to_the_second_order_are_exact(
    fs_hz: float, coefficients: tuple[float, float, float], fraction: float
) -> None:
    """Cubic convolution reproduces them at any phase (Keys 1981: third-order convergence)."""
    r = round(2 * fs_hz) + fraction
    t = (np.arange(round(5 * fs_hz)) - r) / fs_hz
    beat = cut_beat(np.polynomial.polynomial.polyval(t, coefficients), r, fs_hz)
    np.testing.assert_allclose(beat, np.polynomial.polynomial.polyval(OFFSETS_S, coefficients), atol=2e-6)


@given(fs_hz=rates, hz=st.floats(1, 15))
def test_a_sine_is_exact_to_third_order(fs_hz: float, hz: float) -> None:
    r = round(2 * fs_hz)
    wave = np.sin(2 * np.pi * hz * (np.arange(round(5 * fs_hz)) - r) / fs_hz)
    error = np.abs(cut_beat(wave, r, fs_hz) - np.sin(2 * np.pi * hz * OFFSETS_S)).max()
    assert error <= 0.7 * (2 * np.pi * hz / fs_hz) ** 3 + 1e-6  # the kernel's error is of third order in the step


@pytest.mark.parametrize("fs_hz", RATES_HZ)
def test_the_r_peak_stands_at_its_index(fs_hz: float) -> None:
    signal = np.zeros(round(4 * fs_hz))
    signal[round(2 * fs_hz)] = 1.5
    beat = cut_beat(signal, round(2 * fs_hz), fs_hz)
    assert int(np.argmax(beat)) == R_INDEX
    assert beat[R_INDEX] == np.float32(1.5)


def test_at_its_own_rate_the_beat_is_the_signal() -> None:
    signal = np.random.default_rng(0).normal(size=1000)
    np.testing.assert_array_equal(cut_beat(signal, 500, 125.0), signal[438:625].astype(np.float32))


@given(
    fs_hz=rates,
    r_s=st.floats(-2, 6),
    value=st.floats(-100, 100).filter(lambda value: value == 0 or abs(value) > 1e-3),
)
def test_zeros_outside_the_signal_and_the_constant_inside(fs_hz: float, r_s: float, value: float) -> None:
    n = round(4 * fs_hz)
    r = round(r_s * fs_hz)
    beat = cut_beat(np.full(n, value), r, fs_hz)
    position = r + OFFSETS_S * fs_hz
    surely_in, surely_out = (
        (position > 1e-6) & (position < n - 1 - 1e-6),
        (position < -1e-6) | (position > n - 1 + 1e-6),
    )
    np.testing.assert_array_equal(beat[surely_in], np.float32(value))
    np.testing.assert_array_equal(beat[surely_out], np.float32(0))


@pytest.mark.parametrize("n", [0, 1, 2, 3])
@pytest.mark.parametrize("r", [0, 1, -5, 100])
def test_signals_of_few_samples(n: int, r: int) -> None:
    beat = cut_beat(np.ones(n), r, 360.0)
    assert beat.shape == (BEAT_SAMPLES,)
    assert set(np.unique(beat)) <= {np.float32(0), np.float32(1)}
    assert beat[R_INDEX] == (1.0 if 0 <= r < n else 0.0)


@given(fs_hz=rates, before=st.integers(0, 5000), seed=st.integers(0, 99))
def test_the_place_in_the_buffer_changes_no_bit(fs_hz: float, before: int, seed: int) -> None:
    """Bit-equal: a live beat, cut from a short buffer, is the one that training cut from the whole record."""
    signal = np.random.default_rng(seed).normal(size=round(4 * fs_hz))
    r = round(1.7 * fs_hz)
    longer = np.concatenate((np.zeros(before), signal))
    assert cut_beat(longer, r + before, fs_hz).tobytes() == cut_beat(signal, r, fs_hz).tobytes()
