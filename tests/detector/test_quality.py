"""Signal quality: each verdict at its cause, and rarely without one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from detector import Detector, Quality, QualitySpan
from detector.bandpass import Bandpass
from detector.quality import fast_noise_mv, judge_quality, measurable, measure_quality, wander_mv
from tests.detector.helpers_signals import read_lead, synthetic_ecg

RATES_HZ = (100.0, 128.0, 250.0, 360.0, 500.0, 1000.0)
# fmt: off
DS2 = (
    "100", "103", "105", "111", "113", "117", "121", "123", "200", "202", "210",
    "212", "213", "214", "219", "221", "222", "228", "231", "232", "233", "234",
)
# fmt: on


def assess(
    raw: NDArray[np.float64],
    filtered: NDArray[np.float64],
    fs_hz: float,
    rails_mv: tuple[float, float] | None = None,
    *,
    recent: NDArray[np.float64] | None = None,
    **known: Any,
) -> Quality:
    stretch = measurable(raw, filtered, raw if recent is None else recent, fs_hz)
    if stretch is None:
        return Quality.LEADS_OFF
    return judge_quality(stretch, measure_quality([stretch])[0], rails_mv, **known)


def verdict(
    raw: NDArray[np.float64], fs_hz: float, rails_mv: tuple[float, float] | None = None, second: int = 5
) -> Quality:
    """Verdict on one second of a signal."""
    held = np.where(np.isnan(raw), 0.0, raw)
    filtered = Bandpass(fs_hz).push(held)
    here = slice(round(second * fs_hz), round((second + 1) * fs_hz))
    recent = raw[round((second - 2) * fs_hz) : here.stop]
    return assess(raw[here], filtered[here], fs_hz, rails_mv, recent=recent, qrs_mv=1.3)


def ecg(fs_hz: float, noise_mv: float = 0.01) -> NDArray[np.float64]:
    return synthetic_ecg(fs_hz, 8, noise_mv=noise_mv)[0]


fs_all = pytest.mark.parametrize("fs_hz", RATES_HZ)


def invalid(fs_hz: float, seconds: float) -> NDArray[np.float64]:
    raw = ecg(fs_hz)
    raw[round(5.3 * fs_hz) : round((5.3 + seconds) * fs_hz)] = np.nan
    return raw


def amplifier_noise(fs_hz: float, t: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(0, 0.003, t.size) + 0.05 * np.sin(2 * np.pi * 0.2 * t)


def quiet_in_steps(_fs_hz: float, t: NDArray[np.float64]) -> NDArray[np.float64]:
    """QRS complexes and, between them, a broad lowest point of 60 ms in steps of 5 uV: no rail."""
    qrs = 1.3 * np.exp(-(((t + 0.5) % 1.0 - 0.5) ** 2) / (2 * 0.012**2))
    return np.round((qrs + 0.15 * np.cos(2 * np.pi * t)) / 0.005) * 0.005


@fs_all
@pytest.mark.parametrize(
    ("signal", "expected"),
    [
        *((lambda fs_hz, t, mv=mv: ecg(fs_hz) + mv, Quality.GOOD) for mv in (0.0, 300.0, -300.0)),
        *((lambda fs_hz, t, mv=mv: np.full(t.size, mv), Quality.FLAT) for mv in (0.0, 5.0, -300.0)),
        (amplifier_noise, Quality.GOOD),  # asystole: no dead input
        (lambda fs_hz, t: np.clip(3.0 * np.sin(2 * np.pi * 1.5 * t), -1.0, 1.0), Quality.CLIPPED),  # rails unknown
        (lambda fs_hz, t: np.clip(2.0 * np.cos(2 * np.pi * 1.6 * t), -2.1, 1.6), Quality.CLIPPED),
        (quiet_in_steps, Quality.GOOD),
        (lambda fs_hz, t: invalid(fs_hz, 0.02), Quality.GOOD),
        (lambda fs_hz, t: invalid(fs_hz, 0.12), Quality.LEADS_OFF),
        (lambda fs_hz, t: np.full(t.size, np.nan), Quality.LEADS_OFF),
        # White noise of the same density at each rate: the part in the band counts.
        (lambda fs_hz, t: ecg(fs_hz, noise_mv=0.3 * np.sqrt(fs_hz / 250.0)), Quality.MUSCLE),
        (lambda fs_hz, t: ecg(fs_hz, noise_mv=0.03 * np.sqrt(fs_hz / 250.0)), Quality.GOOD),
        # An electrode that is pulled, and breath.
        *((lambda fs_hz, t, mv=mv: ecg(fs_hz) + mv * np.clip(t - 5.0, 0, 1), Quality.WANDER) for mv in (8.0, 50.0)),
        (lambda fs_hz, t: ecg(fs_hz) + 2.0 * np.sin(2 * np.pi * 0.25 * t), Quality.WANDER),
        (lambda fs_hz, t: ecg(fs_hz) + 0.5 * np.sin(2 * np.pi * 0.25 * t), Quality.GOOD),
    ],
)
def test_each_verdict_at_its_cause(
    signal: Callable[[float, NDArray[np.float64]], NDArray[np.float64]], expected: Quality, fs_hz: float
) -> None:
    assert verdict(signal(fs_hz, np.arange(round(8 * fs_hz)) / fs_hz), fs_hz) is expected


@fs_all
def test_a_few_samples_are_never_flat(fs_hz: float) -> None:
    few = np.full(round(0.3 * fs_hz), 0.5)
    assert assess(few, np.zeros_like(few), fs_hz) is Quality.GOOD


@fs_all
@pytest.mark.parametrize("rail", [-2.0, 0.8])
def test_samples_at_the_rails_are_clipped(fs_hz: float, rail: float) -> None:
    raw = 3.0 * ecg(fs_hz)
    raw[round(5.2 * fs_hz) : round(5.4 * fs_hz)] = rail
    rails = (-2.0, 6.0) if rail < 0 else (-5.0, 0.8)
    assert verdict(np.clip(raw, *rails), fs_hz, rails) is Quality.CLIPPED


@fs_all
def test_a_tall_qrs_at_the_rail_for_10_ms_is_no_clipping(fs_hz: float) -> None:
    raw = ecg(fs_hz) * 2
    at = round(5.5 * fs_hz)
    raw[at : at + round(0.01 * fs_hz)] = 5.0
    assert verdict(np.clip(raw, -5.0, 5.0), fs_hz, (-5.0, 5.0)) in (Quality.GOOD, Quality.WANDER)


@pytest.mark.parametrize("fs_hz", [128.0, 250.0, 360.0, 500.0, 1000.0])
def test_hum_is_distinguished_from_muscle_noise(fs_hz: float) -> None:
    """By the share of the mains in the fast noise; weak hum does not disturb."""
    t = np.arange(round(8 * fs_hz)) / fs_hz
    here = slice(round(5 * fs_hz), round(6 * fs_hz))
    for hum_mv, expected in ((0.5, Quality.HUM), (0.02, Quality.GOOD)):
        raw = ecg(fs_hz) + hum_mv * np.sin(2 * np.pi * 50.0 * t)
        filtered = Bandpass(fs_hz).push(raw)
        assert assess(raw[here], filtered[here], fs_hz, qrs_mv=1.3, hum_mv=0.5 * hum_mv) is expected
        if expected is Quality.HUM:
            assert assess(raw[here], filtered[here], fs_hz, qrs_mv=1.3) is Quality.MUSCLE


@given(sigma=st.floats(0.001, 2.0), seed=st.integers(0, 1000), fs_hz=st.sampled_from(RATES_HZ))
def test_fast_noise_grows_with_the_noise_and_not_with_the_rate(sigma: float, seed: int, fs_hz: float) -> None:
    density = sigma * np.sqrt(fs_hz / 250.0)
    noise = Bandpass(fs_hz).push(np.random.default_rng(seed).normal(0, density, round(9 * fs_hz)))
    assert 0.15 * sigma < fast_noise_mv(noise[None, -round(8 * fs_hz) :], fs_hz)[0] < 0.55 * sigma


@given(offset=st.floats(-300, 300), slope=st.floats(-5, 5), fs_hz=st.sampled_from(RATES_HZ))
def test_wander_of_a_line_is_its_rise(offset: float, slope: float, fs_hz: float) -> None:
    """Except the 0.6 s of the mean; at any offset."""
    line = offset + slope * np.arange(round(3 * fs_hz)) / fs_hz
    assert wander_mv(line[None], fs_hz)[0] == pytest.approx(2.4 * abs(slope), rel=0.02, abs=1e-6)


@pytest.mark.parametrize("n", [0, 1, 2, 40])
def test_too_few_samples_show_no_noise(n: int) -> None:
    assert fast_noise_mv(np.arange(n, dtype=float)[None], 250.0).tolist() == [0.0]
    assert wander_mv(np.arange(n, dtype=float)[None], 250.0).tolist() == [0.0]


raw_samples = st.lists(st.one_of(st.floats(-999, 999), st.just(float("nan"))), min_size=0, max_size=300).map(np.array)


@given(raw=raw_samples, fs_hz=st.sampled_from(RATES_HZ), rails=st.one_of(st.none(), st.just((-5.0, 5.0))))
def test_any_samples_get_a_verdict(raw: NDArray[np.float64], fs_hz: float, rails: tuple[float, float] | None) -> None:
    assert isinstance(assess(raw, np.zeros_like(raw), fs_hz, rails), Quality)


def qualities_after(invalid_s: float, step_mv: float) -> list[Quality]:
    """Quality of the seconds 4 to 8 where samples from 5.2 s on are invalid and the electrode has another offset."""
    signal = synthetic_ecg(250.0, 12)[0]
    first, end = 1300, 1300 + round(invalid_s * 250)
    signal[first:end] = np.nan
    signal[end:] += step_mv
    spans = [event for event in Detector(250.0).advance(signal) if isinstance(event, QualitySpan)]
    return [span.quality for span in spans if 4 * 250 <= span.first_sample < 9 * 250]


def test_a_short_lead_off_is_a_hole_and_a_long_one_a_restart() -> None:
    good, off = Quality.GOOD, Quality.LEADS_OFF
    assert qualities_after(0.4, 0.0) == [good] * 5
    assert qualities_after(1.7, 0.0)[:3] == [good, off, off]
    assert qualities_after(1.7, 300.0)[-2:] == [good, good]


def test_after_a_step_across_a_hole_the_filter_settles_first() -> None:
    assert qualities_after(0.4, 4.0)[:3] == [Quality.GOOD, Quality.SETTLING, Quality.SETTLING]


def test_an_electrode_with_another_offset_restarts_the_signal() -> None:
    assert qualities_after(0.4, -40.0) == [Quality.GOOD, Quality.LEADS_OFF, *[Quality.GOOD] * 4]


@pytest.mark.slow
def test_under_1_percent_of_real_ecg_is_called_bad(data_folder: Path) -> None:
    """Seconds of DS2, on which no limit was chosen."""
    seconds = bad = 0
    for name in DS2:
        raw = read_lead(data_folder, name)
        filtered = Bandpass(360.0).push(raw)
        for first in range(0, raw.size - 360, 360):
            here = slice(first, first + 360)
            seconds += 1
            bad += assess(raw[here], filtered[here], 360.0) is not Quality.GOOD
    print(f"{bad} of {seconds} seconds not good")
    assert seconds > 39_000
    assert bad < 0.01 * seconds
