"""Electrode motion: deflections between the beats that do not repeat; repeating ones are a rhythm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from detector import Detector, Quality, QualitySpan
from tests.detector.helpers_signals import beats_of, read_lead, run, synthetic_ecg

FS_HZ = 250.0


def bumps(seconds: int, height_mv: float, seed: int) -> NDArray[np.float64]:
    """Slow and steep bumps at random, as from a pulled cable."""
    rng = np.random.default_rng(seed)
    slow = gaussian_filter1d(rng.standard_normal(round(seconds * FS_HZ)), 0.05 * FS_HZ)
    return height_mv * slow / slow.std()


def shares(signal: NDArray[np.float64], first_s: float) -> tuple[float, float]:
    """Share of beats and of seconds called electrode motion, from a time on."""
    events = run(Detector(FS_HZ), [signal])
    beats = [beat.quality is Quality.MOTION for beat in beats_of(events) if beat.r_sample > first_s * FS_HZ]
    seconds = [
        event.quality is Quality.MOTION
        for event in events
        if isinstance(event, QualitySpan) and event.first_sample >= first_s * FS_HZ
    ]
    return float(np.mean(beats)), float(np.mean(seconds))


def test_motion_marks_beats_and_seconds_until_it_ends() -> None:
    within, starts_s = [], []
    for seed in range(1, 7):
        signal, _ = synthetic_ecg(FS_HZ, 90, seed=seed)
        signal[7500:15000] += bumps(30, 0.3, seed + 1)
        events = run(Detector(FS_HZ), [signal])
        beats = [(beat.r_sample / FS_HZ, beat.quality) for beat in beats_of(events)]
        within += [quality is Quality.MOTION for at, quality in beats if 38 < at < 59]
        quiet = {quality for at, quality in beats if 1 < at < 28 or 70 < at < 88}
        assert quiet == {Quality.GOOD}
        spans = [event for event in events if isinstance(event, QualitySpan)]
        moving = [span.first_sample / FS_HZ for span in spans if span.quality is Quality.MOTION]
        starts_s.append(min(moving))
        assert max(moving) < 70
    assert np.mean(within) > 0.85
    assert min(starts_s) > 31
    assert np.median(starts_s) < 42
    assert starts_s[0] < 44
    assert max(starts_s) < 46


def wide_beat(fs_hz: float) -> NDArray[np.float64]:
    t = np.arange(round(0.6 * fs_hz)) / fs_hz
    return 1.8 * np.exp(-0.5 * ((t - 0.15) / 0.045) ** 2) - 0.9 * np.exp(-0.5 * ((t - 0.38) / 0.07) ** 2)


@pytest.mark.parametrize("rr_s", [0.36, 0.45, 0.8, 1.2])
def test_a_ventricular_rhythm_is_no_motion(rr_s: float) -> None:
    """Its beats differ from the patient's others, and resemble each other."""
    signal, r_s = synthetic_ecg(FS_HZ, 75, seed=4)
    first = round((r_s[r_s > 40][0] + 0.5) * FS_HZ)
    signal[first : first + round(25 * FS_HZ)] *= 0
    rng = np.random.default_rng(0)
    signal[first : first + round(25 * FS_HZ)] += 0.01 * rng.standard_normal(round(25 * FS_HZ))
    wave = wide_beat(FS_HZ)
    for k in range(int(24 / rr_s)):
        at = first + round((k * rr_s + 0.01 * rng.standard_normal()) * FS_HZ) + 5
        signal[at : at + wave.size] += wave
    beats, seconds = shares(signal, 42.0)
    assert beats < 0.05
    assert seconds < 0.1


def test_bigeminy_is_no_motion() -> None:
    signal, r_s = synthetic_ecg(FS_HZ, 90, seed=4)
    wave = wide_beat(FS_HZ)
    for r in r_s[(r_s > 30) & (r_s < 85)][::2]:
        at = round((r + 0.42) * FS_HZ)
        signal[at : at + wave.size] = wave + 0.01 * np.random.default_rng(at).standard_normal(wave.size)
    beats, _ = shares(signal, 32.0)
    assert beats < 0.05


def test_real_ventricular_tachycardia_is_rarely_motion(data_folder: Path) -> None:
    """Record 223, ten minutes with its runs of ventricular tachycardia."""
    signal = read_lead(data_folder, "223", sampto=25 * 60 * 360)[15 * 60 * 360 :]
    beats = beats_of(run(Detector(360.0), [signal]))
    assert np.mean([beat.quality is Quality.MOTION for beat in beats]) < 0.03
