"""R-peaks on signals with known beats."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from detector import Detector, Tick
from detector.lockstep import run
from detector.qrs import QrsShapes, background, envelope, slope
from tests.detector.helpers_signals import match, synthetic_ecg

FS_HZ = 250.0
SHARE = 0.9


def r_samples(signal: NDArray[np.float64], fs_hz: float = FS_HZ) -> NDArray[np.int64]:
    detector = Detector(fs_hz)
    events = [*detector.advance(signal), *detector.flush()]
    return np.array([r for event in events if isinstance(event, Tick) for r in event.r_samples], np.int64)


def tachycardia(rate_bpm: float, duration_s: float, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Wide complexes without a flat line between them, 1 mV, and where their tops are."""
    phase = np.arange(round(duration_s * FS_HZ)) / FS_HZ * rate_bpm / 60
    signal = np.sin(2 * np.pi * phase) + 0.3 * np.sin(4 * np.pi * phase)
    signal += np.random.default_rng(seed).normal(0, 0.01, signal.size)
    tops = np.flatnonzero((signal[1:-1] > 0.9) & (np.floor(phase[1:-1] - 0.2) != np.floor(phase[:-2] - 0.2))) + 1
    return signal, tops


@pytest.mark.parametrize("rate_bpm", [130, 160, 190, 220])
@pytest.mark.parametrize("sinus_s", [0, 15])
def test_a_wide_tachycardia_is_counted(rate_bpm: float, sinus_s: int) -> None:
    """Otherwise it would be called asystole, without a heart rate."""
    sinus = synthetic_ecg(FS_HZ, sinus_s)[0] if sinus_s else np.empty(0)
    fast, _ = tachycardia(rate_bpm, 15)
    found = r_samples(np.concatenate((sinus, fast)))
    settled = found[(found >= (sinus_s + 3) * FS_HZ) & (found < (sinus_s + 14) * FS_HZ)]
    rates = 60 * FS_HZ / np.diff(settled)
    assert settled.size >= SHARE * 11 * rate_bpm / 60
    assert np.median(rates) == pytest.approx(rate_bpm, rel=0.05)


def test_noise_after_the_last_beat_is_no_beat() -> None:
    """Asystole: amplifier noise and a drifting baseline for 20 s."""
    sinus, r_s = synthetic_ecg(FS_HZ, 15)
    t = np.arange(round(20 * FS_HZ)) / FS_HZ
    silence = 0.1 * np.sin(2 * np.pi * 0.3 * t) + np.random.default_rng(1).normal(0, 0.01, t.size)
    found = r_samples(np.concatenate((sinus, silence)))
    assert np.count_nonzero(found > (15 + 0.5) * FS_HZ) == 0
    assert np.count_nonzero(found < 15 * FS_HZ) >= len(r_s) - 2


def test_bursts_of_muscle_noise_neither_add_nor_hide_beats() -> None:
    """White noise of 0.2 mV for 2 s of every 6."""
    signal, r_s = synthetic_ecg(FS_HZ, 120, seed=4)
    bursts = np.arange(signal.size) / FS_HZ % 6 < 2
    found = r_samples(signal + np.random.default_rng(5).normal(0, 0.2, signal.size) * bursts)
    wanted = np.round(r_s * FS_HZ).astype(np.int64)
    found, wanted = (x[(x > 10 * FS_HZ) & (x < 119 * FS_HZ)] for x in (found, wanted))
    matched = len(match(found, wanted, 0.05 * FS_HZ))
    assert matched >= 0.98 * wanted.size
    assert matched >= 0.98 * found.size


def test_a_small_ectopic_after_a_giant_one_is_found() -> None:
    """Small beats amid big ones are judged by their surroundings, not by size alone."""
    signal, r_s = synthetic_ecg(FS_HZ, 60, seed=6)
    scale = np.ones(signal.size)
    for k, r in enumerate(r_s):
        if k % 4 == 3:
            scale[(np.arange(signal.size) / FS_HZ > r - 0.3) & (np.arange(signal.size) / FS_HZ < r + 0.4)] = 0.3
    found = r_samples(signal * scale)
    wanted = np.round(r_s * FS_HZ).astype(np.int64)
    found, wanted = (x[(x > 10 * FS_HZ) & (x < 59 * FS_HZ)] for x in (found, wanted))
    matched = len(match(found, wanted, 0.05 * FS_HZ))
    assert (matched, matched) == (wanted.size, found.size)


def test_the_envelope_is_independent_of_polarity_and_offset() -> None:
    signal, _ = synthetic_ecg(FS_HZ, 10)
    upright = envelope(slope(signal, FS_HZ), FS_HZ)
    np.testing.assert_allclose(envelope(slope(5.0 - signal, FS_HZ), FS_HZ), upright, atol=1e-12)


def test_slope_of_a_ramp_is_its_steepness() -> None:
    ramp = 0.002 * np.arange(200.0)
    np.testing.assert_allclose(slope(ramp, FS_HZ)[5:-5], 0.002, rtol=1e-9)


def test_background_excludes_its_centre() -> None:
    heights = np.ones(1000)
    heights[495:506] = 100.0
    np.testing.assert_allclose(background(heights, FS_HZ)[500], 1.0, rtol=1e-9)


def test_likeness_recognises_a_shape_at_any_size() -> None:
    shapes = QrsShapes(FS_HZ)
    rng = np.random.default_rng(8)
    steep = rng.normal(0, 1, 400)
    steep[300:] = 0
    assert not shapes
    assert run(shapes.likeness(steep, np.array([100]))).tolist() == [0.0]
    shapes.learn(steep, 100, may_add=False)  # the first is always kept
    moved = np.concatenate((np.zeros(3), 0.2 * steep[:-3]))
    assert run(shapes.likeness(moved, np.array([100])))[0] == pytest.approx(1.0, abs=1e-6)
    assert run(shapes.likeness(steep, np.array([200])))[0] < 0.8
    assert run(shapes.likeness(steep, np.array([350])))[0] == 0.0  # a flat line is like nothing
    shapes.clear()
    assert not shapes


def test_mutual_likeness_needs_another() -> None:
    shapes = QrsShapes(FS_HZ)
    wave = np.sin(np.arange(600) / 600 * 2 * np.pi * 8)
    assert shapes.mutual(wave, np.array([150, 225, 300])).min() > 0.99
    assert shapes.mutual(wave, np.array([150])).tolist() == [0.0]
