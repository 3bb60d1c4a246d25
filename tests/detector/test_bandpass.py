"""The band-pass is one causal `sosfilt`, however its input is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import sosfilt, sosfilt_zi, sosfreqz

from detector.bandpass import BAND_HZ, Bandpass, design_bandpass

RATES_HZ = (100.0, 128.0, 250.0, 257.0, 360.0, 500.0, 1000.0)
cut_lists = st.lists(st.integers(0, 2000), max_size=30).map(sorted)


@given(seed=st.integers(0, 2**32 - 1), cuts=cut_lists, fs_hz=st.sampled_from(RATES_HZ), offset=st.floats(-500, 500))
def test_any_cut_is_bit_equal_to_one_call_which_is_sosfilt(
    seed: int, cuts: list[int], fs_hz: float, offset: float
) -> None:
    signal = np.random.default_rng(seed).normal(offset, 1.0, 2000)
    sos = design_bandpass(fs_hz)
    whole, _ = sosfilt(sos, signal, zi=sosfilt_zi(sos) * signal[0])
    bandpass = Bandpass(fs_hz)
    pieces = [bandpass.push(piece) for piece in np.split(signal, cuts)]
    ours = Bandpass(fs_hz).push(signal)
    assert np.concatenate(pieces).tobytes() == ours.tobytes()
    np.testing.assert_allclose(ours, whole, rtol=0, atol=1e-11 * (1 + abs(offset)))


@given(offset=st.floats(-1000, 1000), fs_hz=st.sampled_from(RATES_HZ))
def test_a_constant_gives_no_transient(offset: float, fs_hz: float) -> None:
    assert np.abs(Bandpass(fs_hz).push(np.full(500, offset))).max() <= 1e-9 * (1 + abs(offset))


@pytest.mark.parametrize("fs_hz", RATES_HZ)
def test_the_gain_is_half_power_at_the_band_edges(fs_hz: float) -> None:
    _, gain = sosfreqz(design_bandpass(fs_hz), worN=[BAND_HZ[0], 10.0, BAND_HZ[1]], fs=fs_hz)
    np.testing.assert_allclose(np.abs(gain), [0.5**0.5, 1.0, 0.5**0.5], rtol=0.01)


def test_reset_starts_a_new_signal() -> None:
    bandpass = Bandpass(250.0)
    signal = np.random.default_rng(2).normal(5.0, 1.0, 400)
    first = bandpass.push(signal)
    bandpass.reset()
    np.testing.assert_array_equal(bandpass.push(signal), first)


@pytest.mark.parametrize("fs_hz", [0.0, -360.0, 99.9, 1000.1, float("nan"), float("inf")])
def test_a_rate_out_of_range_is_refused_by_name(fs_hz: float) -> None:
    with pytest.raises(ValueError, match=r"fs_hz=.*100 to 1000"):
        design_bandpass(fs_hz)


@pytest.mark.parametrize("band_hz", [(0.0, 40.0), (40.0, 0.5), (0.5, 125.0), (0.5, 200.0)])
def test_a_band_that_cannot_be_is_refused(band_hz: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="band_hz="):
        design_bandpass(250.0, band_hz)
