"""R-peaks on signals with known beats."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from detector import Detector, Quality, QualitySpan, Tick
from detector.qrs import background, envelope, slope
from detector.qrs_shapes import QrsShapes, compare_shapes
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


def compared(steep: NDArray[np.float64], at: int, shapes: QrsShapes) -> tuple[float, float, float]:
    """Likeness to the shapes, likeness to no shapes, width."""
    found = compare_shapes([(steep, np.array([at]), shapes, QrsShapes(FS_HZ))])[0]
    return float(found.like[0]), float(found.other[0]), float(found.width[0])


def test_likeness_recognises_a_shape_at_any_size() -> None:
    shapes = QrsShapes(FS_HZ)
    rng = np.random.default_rng(8)
    steep = rng.normal(0, 1, 400)
    steep[300:] = 0
    assert not shapes
    assert compared(steep, 100, shapes)[:2] == (0.0, 0.0)
    shapes.learn(steep, 100, 1.0, may_add=False)  # the first is always kept
    moved = np.concatenate((np.zeros(3), 0.2 * steep[:-3]))
    assert compared(moved, 100, shapes)[0] == pytest.approx(1.0, abs=1e-6)
    assert compared(steep, 200, shapes)[0] < 0.8
    assert compared(steep, 350, shapes)[0] == 0.0  # a flat line is like nothing
    shapes.clear()
    assert not shapes


def test_width_is_the_length_over_which_the_slopes_are_spread() -> None:
    shapes, steep = QrsShapes(FS_HZ), np.zeros(400)
    steep[95:105] = np.tile([1.0, -1.0], 5)
    assert compared(steep, 100, shapes)[2] == pytest.approx(10.0)
    assert compared(0.1 * steep, 100, shapes)[2] == pytest.approx(10.0, rel=1e-6)
    shapes.learn(steep, 100, 1.0, may_add=True)
    assert shapes.narrowest() == pytest.approx(10.0)
    assert shapes.widths(steep, np.array([100])) == pytest.approx([10.0])


def test_mutual_likeness_needs_two_others() -> None:
    shapes = QrsShapes(FS_HZ)
    wave = np.sin(np.arange(600) / 600 * 2 * np.pi * 8)
    assert shapes.mutual(wave, np.array([150, 225, 300])).min() > 0.99
    assert shapes.mutual(wave, np.array([150, 225])).tolist() == [0.0, 0.0]
    wave[140:235] = np.random.default_rng(0).normal(0, 1, 95)
    assert shapes.mutual(wave, np.array([150, 225, 300])).max() < 0.7


def patient(
    parts: list[tuple[str, float]], *, p_mv: float = 0.12, t: float = 1.0, mv: float = 1.0, fs_hz: float = FS_HZ
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Stretches of `beats` at 75/min, `p` (P waves alone) or `flat`, each in s; (signal in mV, R times in s)."""
    waves = (
        [(-0.17, p_mv, 0.022)],
        [(-0.03, -0.1, 0.009), (0.0, 1.1, 0.011), (0.03, -0.22, 0.01), (0.26, 0.3 * t, 0.05)],
    )
    n = round(sum(seconds for _, seconds in parts) * fs_hz)
    signal, r_s = 0.01 * np.random.default_rng(7).standard_normal(n), []
    time_s, start_s = np.arange(n) / fs_hz, 0.0
    for kind, seconds in parts:
        for r in np.arange(start_s + 0.4, start_s + seconds - 0.2, 0.8) if kind != "flat" else ():
            for centre, height, width in waves[0] + (waves[1] if kind == "beats" else []):
                near = np.abs(time_s - r - centre) < 6 * width
                signal[near] += mv * height * np.exp(-0.5 * ((time_s[near] - r - centre) / width) ** 2)
            r_s += [r] * (kind == "beats")
        start_s += seconds
    return signal, np.array(r_s)


def beats_between(found: NDArray[np.int64], low_s: float, high_s: float, fs_hz: float) -> int:
    return int(np.count_nonzero((found > low_s * fs_hz) & (found < high_s * fs_hz)))


@pytest.mark.parametrize("fs_hz", [125.0, 360.0, 1000.0])
@pytest.mark.parametrize("p_mv", [0.05, 0.15, 0.25])
@pytest.mark.parametrize("polarity", [1.0, -1.0])
def test_p_waves_of_a_standstill_are_no_beats(fs_hz: float, p_mv: float, polarity: float) -> None:
    """However long it lasts; and the patient's QRS complexes are known at once when they return."""
    signal, r_s = patient([("beats", 15), ("p", 60), ("beats", 10)], p_mv=p_mv, fs_hz=fs_hz)
    found = r_samples(polarity * signal, fs_hz)
    assert beats_between(found, 15.2, 75.2, fs_hz) == 0
    assert beats_between(found, 75.2, 84, fs_hz) == np.count_nonzero((r_s > 75.2) & (r_s < 84))


@pytest.mark.parametrize("gain", [0.12, 0.4, 3.0])
def test_a_moved_electrode_is_followed_within_ten_seconds(gain: float) -> None:
    before, _ = patient([("beats", 20)])
    after, r_s = patient([("beats", 30)], mv=gain)
    found = r_samples(np.concatenate((before, -after)))
    assert beats_between(found, 30.2, 48.8, FS_HZ) == np.count_nonzero((r_s > 10.2) & (r_s < 28.8))


def test_noise_teaches_nothing() -> None:
    """After 8 s of disturbance of 10 mV rms the beats are found again within 5 s."""
    signal, r_s = patient([("beats", 60)])
    walk = np.cumsum(np.random.default_rng(3).standard_normal(8 * 250))
    walk -= np.linspace(walk[0], walk[-1], walk.size)
    signal[20 * 250 : 28 * 250] += 10.0 * walk / walk.std()
    found = r_samples(signal)
    assert abs(beats_between(found, 32, 59, FS_HZ) - np.count_nonzero((r_s > 32) & (r_s < 59))) <= 1


@pytest.mark.parametrize("t", [2.5, 3.5, 5.0, 5.7])  # 0.7, 1.0, 1.4 and 1.6 times the R wave
@pytest.mark.parametrize("from_start", [True, False])
def test_a_tall_t_wave_is_counted_once(t: float, from_start: bool) -> None:
    before, _ = patient([("beats", 20)])
    tall, r_s = patient([("beats", 30)], t=t)
    found = r_samples(tall if from_start else np.concatenate((before, tall)))
    shift = 0 if from_start else 20
    assert beats_between(found, shift + 6.2, shift + 28.8, FS_HZ) == np.count_nonzero((r_s > 6.2) & (r_s < 28.8))


@pytest.mark.parametrize("mv", [0.15, 5.0, 11.0])
def test_every_height_is_counted_in_good_signal_from_the_start(mv: float) -> None:
    signal, r_s = patient([("beats", 30)], mv=mv)
    detector = Detector(FS_HZ)
    events = [*detector.advance(signal), *detector.flush()]
    found = np.array([r for event in events if isinstance(event, Tick) for r in event.r_samples])
    good = [e.quality is Quality.GOOD for e in events if isinstance(e, QualitySpan) and e.first_sample > 10 * FS_HZ]
    assert beats_between(found, 10.2, 28.8, FS_HZ) == np.count_nonzero((r_s > 10.2) & (r_s < 28.8))
    assert all(good)


@pytest.mark.parametrize(("fs_hz", "bpm", "qt_s"), [(125, 50, 0.28), (125, 95, 0.244)])
def test_a_t_wave_of_1_6_times_a_small_r_is_counted_once(fs_hz: int, bpm: int, qt_s: float) -> None:
    t_s, at_s = np.arange(45 * fs_hz) / fs_hz, np.arange(0.6, 44.9, 60 / bpm)
    after_s = t_s[:, None] - at_s
    waves = ((0.05, -0.16, 0.022), (-0.04, -0.03, 0.01), (0.4, 0, 0.011), (-0.08, 0.03, 0.012), (0.64, qt_s, 0.045))
    signal = np.random.default_rng(0).normal(0, 0.01, t_s.size)
    for mv, s, width in waves:
        signal += (mv * np.exp(-0.5 * ((after_s - s) / width) ** 2)).sum(axis=1)
    found = r_samples(signal, fs_hz)
    wanted = np.count_nonzero((at_s > 3) & (at_s < 44))
    assert beats_between(found, 3, 44, fs_hz) == pytest.approx(wanted, abs=1)
