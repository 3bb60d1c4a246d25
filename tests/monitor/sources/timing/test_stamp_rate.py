"""The rate of stamps and what a StampClock makes of them: regular, late, in packets, with losses and drift."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.sources.timing.stamp_clock import StampClock
from monitor.sources.timing.stamp_rate import measure_stamps, thin

Floats = NDArray[np.float64]


def gaps(stamps: Floats) -> tuple[float, int]:
    """Rate, and samples found missing."""
    rate = measure_stamps(stamps)
    assert rate is not None
    clock = StampClock(rate.clock_hz, rate.late_s, rate.hold_s)
    kept = thin(stamps)
    if rate.packets:
        kept[np.flatnonzero(np.isfinite(kept))[0]] = np.nan
    runs = clock.push(np.zeros(stamps.size), kept) + clock.flush()
    end = lost = 0
    for first, samples in runs:
        lost += first - end
        end = first + samples.size
    return rate.fs_hz, lost


@pytest.mark.parametrize("fs_hz", [100, 130, 250, 360, 512, 1000])
@pytest.mark.parametrize("jitter_s", [0.0, 0.0005, 0.002, 0.01])
@pytest.mark.parametrize("seed", [1, 2])
def test_jitter_is_no_loss(fs_hz: int, jitter_s: float, seed: int) -> None:
    late = np.random.default_rng(seed).exponential(jitter_s, fs_hz * 30) if jitter_s else 0.0
    stamps = np.floor(np.maximum.accumulate(np.arange(fs_hz * 30) / fs_hz + late) * 1000 + 1e-6) / 1000
    rate, lost = gaps(stamps)
    assert rate == pytest.approx(fs_hz, rel=2e-4)
    assert lost == 0


@pytest.mark.parametrize("lost", [1, 5, 60, 5000])
def test_a_loss_between_regular_stamps_is_found_to_the_sample(lost: int) -> None:
    stamps = np.delete(np.arange(10_000) / 250, slice(4000, 4000 + lost))
    assert gaps(stamps) == (250, lost)


def test_repeated_losses_do_not_change_the_rate() -> None:
    index = np.arange(15_000)
    assert gaps(index[index % 50 >= 4] / 250) == (250, 4 * 299)
    late = np.random.default_rng(3).exponential(0.002, index.size)
    rate, lost = gaps((index / 250 + late)[index % 250 >= 10])
    assert rate == pytest.approx(250, rel=5e-3)
    assert lost == pytest.approx(10 * 59, rel=0.2)


@pytest.mark.parametrize("size", [2, 12, 73, 250])
@pytest.mark.parametrize("offset", [0, 5])
def test_packets_of_one_stamp(size: int, offset: int) -> None:
    stamps = (np.arange(10_000) + offset) // size * size / 250 + 1e9
    assert gaps(stamps) == (250, 0)


def test_drift_is_followed() -> None:
    late = np.random.default_rng(4).exponential(0.002, 20_000)
    rate, lost = gaps(np.maximum.accumulate(np.arange(20_000) / 249.2 + late))
    assert rate == 250, "a usual rate within 0.5 %"
    assert lost == 0


def test_too_few_stamps() -> None:
    for stamps in ([], [1.0], [1.0, 1.0, 1.0], [np.nan] * 5, [3.0, 2.0, 1.0]):
        assert measure_stamps(np.array(stamps)) is None


def test_thin_keeps_the_first_of_equal_stamps() -> None:
    np.testing.assert_array_equal(thin(np.array([1.0, 1, np.nan, 1, 2, 2])), [1, np.nan, np.nan, np.nan, 2, np.nan])
    np.testing.assert_array_equal(thin(np.array([1.0, 2]), 1.0), [np.nan, 2])
