"""Offset, gain, shift, polarity and sampling rate: which change the beats, and how."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import resample_poly

from detector import Beat, Detector
from tests.detector.helpers_signals import beats_of, match, read_lead, run, synthetic_ecg

FS_HZ = 360.0
SIGNAL, R_S = synthetic_ecg(FS_HZ, 30, seed=9, noise_mv=0.01)


def beats(signal: NDArray[np.float64], fs_hz: float = FS_HZ, first_sample: int = 0) -> list[Beat]:
    return beats_of(run(Detector(fs_hz), [signal], first_sample))


def r_samples(found: Sequence[Beat]) -> list[int]:
    return [beat.r_sample for beat in found]


PLAIN = beats(SIGNAL)


@given(offset_mv=st.floats(-500, 500))
@settings(max_examples=15)
def test_an_offset_changes_nothing(offset_mv: float) -> None:
    found = beats(SIGNAL + offset_mv)
    assert r_samples(found) == r_samples(PLAIN)
    assert [beat.quality for beat in found] == [beat.quality for beat in PLAIN]
    for beat, plain in zip(found, PLAIN, strict=True):
        np.testing.assert_allclose(beat.samples, plain.samples, atol=1e-5)


@given(gain=st.floats(0.5, 3))
@settings(max_examples=15)
def test_a_gain_scales_the_beats_and_moves_none(gain: float) -> None:
    found = beats(SIGNAL * gain)
    assert r_samples(found) == r_samples(PLAIN)
    for beat, plain in zip(found, PLAIN, strict=True):
        np.testing.assert_allclose(beat.samples, gain * plain.samples, atol=1e-5)
        assert beat.residual == (None if plain.residual is None else pytest.approx(plain.residual, rel=1e-3))
        assert beat.rr_ratio == plain.rr_ratio


@given(steps=st.integers(-(10**6), 10**6))
@settings(max_examples=15)
def test_a_shift_by_whole_grid_steps_shifts_the_output(steps: int) -> None:
    shift = steps * round(FS_HZ)
    found = beats(SIGNAL, first_sample=shift)
    assert [r - shift for r in r_samples(found)] == r_samples(PLAIN)
    assert [beat.samples.tobytes() for beat in found] == [beat.samples.tobytes() for beat in PLAIN]
    assert [(b.rr_s, b.residual, b.quality) for b in found] == [(b.rr_s, b.residual, b.quality) for b in PLAIN]


@given(shift=st.integers(1, round(FS_HZ) - 1))
@settings(max_examples=15)
def test_a_shift_of_the_grid_moves_no_clear_beat(shift: int) -> None:
    found = beats(SIGNAL, first_sample=shift)
    inner = [r for r in r_samples(PLAIN) if 2 * FS_HZ < r < SIGNAL.size - 2 * FS_HZ]
    assert len(match([r - shift for r in r_samples(found)], inner, 0)) == len(inner)


def test_an_inverted_lead_has_the_same_beats_at_another_wave() -> None:
    """neurokit2 takes the most prominent *maximum* of a QRS; in an inverted lead that is the Q or S wave.

    So each beat is still found once, within half a QRS of its place, but its samples are shifted by that distance:
    a lead must not be inverted between training and use.
    """
    found = beats(-SIGNAL)
    pairs = match(r_samples(found), r_samples(PLAIN), 0.06 * FS_HZ)
    assert len(pairs) >= len(PLAIN) - 1
    assert len(found) <= len(PLAIN) + 1
    offset_s = np.array([turned - upright for turned, upright in pairs]) / FS_HZ
    assert np.ptp(offset_s) <= 0.02


@pytest.mark.parametrize(("fs_hz", "up", "down"), [(250.0, 25, 36), (500.0, 25, 18), (1000.0, 25, 9), (125.0, 25, 72)])
def test_another_sampling_rate_finds_the_same_beats(data_folder: Path, fs_hz: float, up: int, down: int) -> None:
    """A minute of record 100: R-peaks within 12 ms, and similar 125-Hz beats."""
    signal = read_lead(data_folder, "100", sampto=60 * 360)
    original = beats(signal)
    centre = signal.mean()
    other = beats(resample_poly(signal - centre, up, down) + centre, fs_hz)
    in_original = np.array([beat.r_sample for beat in other]) * FS_HZ / fs_hz
    pairs = match(np.round(in_original).astype(np.int64), r_samples(original), 0.012 * FS_HZ)
    assert len(pairs) >= len(original) - 1
    assert len(other) <= len(original) + 1
    by_r = {beat.r_sample: beat for beat in original}
    by_other = {round(beat.r_sample * FS_HZ / fs_hz): beat for beat in other}
    alike = []
    for found, wanted in pairs:
        a, b = by_other[found], by_r[wanted]
        if a.scorable and b.scorable:
            alike.append(float(np.corrcoef(a.samples, b.samples)[0, 1]))
            if a.rr_s is not None and b.rr_s is not None:
                assert a.rr_s == pytest.approx(b.rr_s, abs=0.016)
    assert len(alike) > 0.8 * len(original)
    # The R-peak is a whole sample: at 125 Hz it may be 4 ms off, and the beat with it.
    assert np.median(alike) > (0.99 if fs_hz >= 250 else 0.96)
    assert min(alike) > (0.9 if fs_hz >= 250 else 0.8), min(alike)
