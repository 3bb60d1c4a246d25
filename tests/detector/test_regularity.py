"""What repeats under waves: QRS complexes in tremor, the beats of a tachycardia, nothing in fibrillation."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from detector.regularity import Repetition, repetition
from tests.detector.helpers_signals import synthetic_ecg
from tests.detector.test_fibrillation import fibrillation_s

RATES_HZ = [125.0, 250.0, 360.0, 1000.0]


def at(fs_hz: float, seconds: float) -> NDArray[np.float64]:
    return np.arange(round(seconds * fs_hz)) / fs_hz


def fibrillating(fs_hz: float, seconds: float, seed: int) -> NDArray[np.float64]:
    """Narrow-band waves of 4 to 7 Hz."""
    rng = np.random.default_rng(seed)
    omega, phase = 2 * np.pi * rng.uniform(4, 7, 14), rng.uniform(0, 2 * np.pi, 14)
    made: NDArray[np.float64] = 0.1 * np.sin(omega[:, None] * at(fs_hz, seconds) + phase[:, None]).sum(axis=0)
    return made


def tachycardia(fs_hz: float, seconds: float, bpm: float, sigma_s: float = 0.04) -> NDArray[np.float64]:
    """Broad beats, each like the last."""
    time_s, rr_s = at(fs_hz, seconds), 60 / bpm
    beats = [np.exp(-0.5 * ((time_s - r_s) / sigma_s) ** 2) for r_s in np.arange(0.2, seconds, rr_s)]
    made: NDArray[np.float64] = np.sum(beats, axis=0) - 0.5
    return made


@pytest.mark.parametrize("fs_hz", RATES_HZ)
@pytest.mark.parametrize("hz", [4.5, 7.0])
def test_qrs_complexes_under_tremor_go_on(fs_hz: float, hz: float) -> None:
    heart, _ = synthetic_ecg(fs_hz, 4)
    tremor = 0.4 * np.sin(2 * np.pi * hz * at(fs_hz, 4)) + 0.1 * np.sin(4 * np.pi * hz * at(fs_hz, 4))
    found = repetition(heart + tremor, fs_hz)
    assert found.complexes
    assert found.beating
    assert repetition(-2 * (heart + tremor), fs_hz).complexes
    assert not repetition(tremor, fs_hz).complexes


@pytest.mark.parametrize("fs_hz", RATES_HZ)
def test_fibrillation_has_no_complexes_and_hardly_a_cycle(fs_hz: float) -> None:
    found = [repetition(fibrillating(fs_hz, 4, seed), fs_hz) for seed in range(20)]
    assert not any(each.beating for each in found)
    assert sum(each.cycle_s is not None for each in found) <= 2


@pytest.mark.parametrize("bpm", [110.0, 150.0, 240.0])
@pytest.mark.parametrize("fs_hz", RATES_HZ)
def test_the_cycle_of_a_tachycardia_is_its_interval(fs_hz: float, bpm: float) -> None:
    found = repetition(tachycardia(fs_hz, 4, bpm), fs_hz)
    assert found.cycle_s == pytest.approx(60 / bpm, abs=0.008)
    assert bpm < 150 or not found.beating  # slower ones stand out of the line between them, and are judged by beats


def test_a_slow_cycle_is_a_beating_heart() -> None:
    found = repetition(tachycardia(250.0, 4, 75, 0.06), 250.0)
    assert found == Repetition(False, pytest.approx(0.8, abs=0.01))
    assert found.beating
    assert not Repetition(False, None).beating


@pytest.mark.parametrize("hz", [5.0, 6.5])
def test_tremor_over_a_heart_is_no_fibrillation(hz: float) -> None:
    heart, _ = synthetic_ecg(250.0, 40)
    heart[2500:] += 0.4 * np.sin(2 * np.pi * hz * at(250.0, 30))
    assert fibrillation_s(heart, 250.0) == []
