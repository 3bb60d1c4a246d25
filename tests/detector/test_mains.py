"""The notch: on only where hum disturbs, off when it is gone, and narrow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import sosfreqz

from detector import Detector, Quality, QualitySpan
from detector.mains import MainsFilter, design_notch
from tests.detector.helpers_signals import beats_of, keys, read_lead, run, synthetic_ecg

FS_HZ = 250.0


def with_hum(
    hum_mv: float, hz: float, fs_hz: float = FS_HZ, seconds: int = 30, first_s: float = 8.0, last_s: float = 1e9
) -> NDArray[np.float64]:
    signal, _ = synthetic_ecg(fs_hz, seconds, seed=3)
    t = np.arange(signal.size) / fs_hz
    return signal + hum_mv * np.sin(2 * np.pi * hz * t) * ((t >= first_s) & (t < last_s))


@pytest.mark.parametrize("hz", [50.0, 60.0])
@pytest.mark.parametrize("fs_hz", [250.0, 360.0, 1000.0])
def test_the_notch_removes_its_line_and_keeps_the_qrs(hz: float, fs_hz: float) -> None:
    gain = np.abs(sosfreqz(design_notch(hz, fs_hz), [hz, hz - 0.1, 5.0, 15.0, 40.0], fs=fs_hz)[1])
    assert gain[0] < 1e-6
    assert gain[1] < 0.2
    assert gain[2:].min() > 0.98


@pytest.mark.parametrize("hz", [49.9, 50.0, 60.0])
def test_disturbing_hum_is_found_within_seconds_and_removed(hz: float) -> None:
    detector = Detector(FS_HZ)
    signal, clean = with_hum(0.4, hz), with_hum(0.0, hz)
    seen = []
    for second in range(30):
        detector.advance(signal[second * 250 : (second + 1) * 250])
        seen.append(detector.mains_hz)
    assert seen[:8] == [None] * 8
    assert seen[12:] == [round(hz, -1)] * 18
    detector.flush()
    plain = Detector(FS_HZ)
    plain.advance(clean)
    plain.flush()
    last = 30 * 250
    difference = detector.filtered(last - 1500, last) - plain.filtered(last - 1500, last)
    assert np.abs(difference).max() < 0.05


def test_quality_is_hum_until_the_notch_is_on_and_beats_are_scored_after() -> None:
    events = run(Detector(FS_HZ), [with_hum(0.5, 50.0)])
    spans = [event.quality for event in events if isinstance(event, QualitySpan)]
    assert Quality.HUM in spans[8:12]
    assert set(spans[13:]) == {Quality.GOOD}
    off = run(Detector(FS_HZ, mains="off"), [with_hum(0.5, 50.0)])
    assert {event.quality for event in off if isinstance(event, QualitySpan) and event.first_sample > 2500} == {
        Quality.HUM
    }
    assert not any(beat.scorable for beat in beats_of(off) if beat.r_sample > 2500)


def test_the_notch_goes_off_when_the_hum_is_gone() -> None:
    detector = Detector(FS_HZ)
    signal = with_hum(0.4, 50.0, last_s=18.0)
    detector.advance(signal[: 20 * 250])
    assert detector.mains_hz == 50.0
    detector.advance(signal[20 * 250 :])
    assert detector.mains_hz is None


@given(mains=st.sampled_from(["auto", "off", "50", "60"]), cuts=st.lists(st.integers(0, 7500), max_size=12).map(sorted))
@settings(max_examples=40)
def test_every_cut_gives_the_events_of_one_call(mains: str, cuts: list[int]) -> None:
    signal = with_hum(0.4, 50.0, last_s=17.0)
    signal[4000:4030] = np.nan
    whole = run(Detector(FS_HZ, mains=mains), [signal])  # type: ignore[arg-type]
    assert keys(run(Detector(FS_HZ, mains=mains), np.split(signal, cuts))) == keys(whole)  # type: ignore[arg-type]


def test_without_hum_auto_changes_no_bit() -> None:
    signal = with_hum(0.02, 50.0)
    assert keys(run(Detector(FS_HZ), [signal])) == keys(run(Detector(FS_HZ, mains="off"), [signal]))


@pytest.mark.parametrize(("fs_hz", "mains"), [(100.0, "50"), (100.0, "60"), (120.0, "60")])
def test_a_rate_too_low_for_the_notch_is_refused_only_if_it_is_set(fs_hz: float, mains: str) -> None:
    with pytest.raises(ValueError, match=rf"notch at {mains} Hz needs a sampling rate over .*set mains to auto"):
        Detector(fs_hz, mains=mains)  # type: ignore[arg-type]
    detector = Detector(fs_hz)
    assert len(beats_of(run(detector, [synthetic_ecg(fs_hz, 20)[0]]))) > 15
    assert detector.mains_hz is None


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="mains='55'"):
        MainsFilter(FS_HZ, "55")  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["203", "208", "215"])
def test_the_hum_of_mit_bih_switches_no_notch_on(data_folder: Path, name: str) -> None:
    """Records of DS1 with most hum."""
    detector = Detector(360.0)
    signal = read_lead(data_folder, name, sampto=10 * 60 * 360)
    for piece in np.split(signal, 600):
        detector.advance(piece)
        assert detector.mains_hz is None
