"""Ventricular fibrillation: detected at real onsets, never in beating hearts or noise, independent of the cuts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detector import Detector, Gap, Quality, QualitySpan, RhythmSpan
from detector.fibrillation import Waves, measure_waves
from tests.detector.helpers_signals import keys, read_lead, run, synthetic_ecg

FS_HZ = 250.0


def fibrillating(fs_hz: float, seconds: float, height_mv: float = 0.5) -> NDArray[np.float64]:
    """Waves of 4 to 6 Hz that wax and wane."""
    t = np.arange(round(seconds * fs_hz)) / fs_hz
    phase = 2 * np.pi * 5 * t + 2.0 * np.sin(2 * np.pi * 0.4 * t)
    return height_mv * np.sin(phase) * (1 + 0.4 * np.sin(2 * np.pi * 0.7 * t))


def rhythms(signal: NDArray[np.float64], fs_hz: float = FS_HZ) -> list[RhythmSpan]:
    return [event for event in run(Detector(fs_hz), [signal]) if isinstance(event, RhythmSpan)]


def fibrillation_s(signal: NDArray[np.float64], fs_hz: float) -> list[float]:
    """Times at which fibrillation is reported, s."""
    return [span.end_sample / fs_hz for span in rhythms(signal, fs_hz) if span.fibrillatory]


def waves(filtered: NDArray[np.float64], fs_hz: float) -> Waves:
    return measure_waves([(filtered, fs_hz)])[0]


def test_waves_fibrillate_and_a_heart_or_noise_does_not() -> None:
    assert waves(fibrillating(FS_HZ, 4), FS_HZ).fibrillatory()
    assert waves(fibrillating(FS_HZ, 4), FS_HZ).sine
    assert waves(fibrillating(FS_HZ, 4), FS_HZ).mean_hz == pytest.approx(5.0, abs=0.7)
    assert not waves(fibrillating(FS_HZ, 4), FS_HZ).fibrillatory(qrs_mv=12.0)
    noise = np.random.default_rng(0).standard_normal(1000)
    for signal in (synthetic_ecg(FS_HZ, 4)[0], noise, np.zeros(1000), np.zeros(3), np.zeros(0)):
        assert not waves(signal, FS_HZ).sine
        assert not waves(signal, FS_HZ).fibrillatory()


def test_noise_of_the_amplifier_after_the_last_t_wave_does_not() -> None:
    """Measured in a standstill with 25 uV of noise: fast waves that leak, and no steep QRS any more."""
    assert not Waves(leakage=0.86, measure=-0.03, mean_hz=9.0, fast_share=0.18, height_mv=0.48).fibrillatory(2.9)
    assert Waves(leakage=0.7, measure=-0.03, mean_hz=9.0, fast_share=0.18, height_mv=0.48).fibrillatory(2.9)


@pytest.mark.parametrize("fs_hz", [100.0, 250.0, 360.0, 1000.0])
def test_fibrillation_is_reported_within_five_seconds_at_any_rate_and_not_before(fs_hz: float) -> None:
    heart, _ = synthetic_ecg(fs_hz, 20)
    times = fibrillation_s(np.concatenate((heart, fibrillating(fs_hz, 15), heart)), fs_hz)
    assert 20.0 < times[0] <= 25.0
    assert 33.0 < times[-1] < 39.0
    assert len(times) >= times[-1] - times[0]


def test_each_tick_has_its_window_and_fibrillation_is_no_poor_signal() -> None:
    slow = np.cumsum(np.random.default_rng(1).standard_normal(round(20 * FS_HZ))) * 0.05  # a baseline that wanders
    heart, _ = synthetic_ecg(FS_HZ, 20)
    events = run(Detector(FS_HZ), [np.concatenate((heart, fibrillating(FS_HZ, 20, 3.0) + slow))])
    spans = [event for event in events if isinstance(event, QualitySpan | RhythmSpan)]
    assert len(spans) == 80
    sure = 0
    for quality, rhythm in zip(spans[::2], spans[1::2], strict=True):
        assert isinstance(quality, QualitySpan)
        assert isinstance(rhythm, RhythmSpan)
        assert rhythm.end_sample == quality.end_sample
        assert rhythm.first_sample == max(0, rhythm.end_sample - 1000)
        assert np.isnan(rhythm.measure) == (rhythm.end_sample < 1000)
        sure += rhythm.fibrillatory
        assert not rhythm.fibrillatory or quality.quality is Quality.GOOD
    assert sure >= 15


@pytest.mark.parametrize("spoil", ["invalid", "flat", "clipped", "missing"])
def test_a_window_with_bad_samples_is_no_fibrillation(spoil: str) -> None:
    signal = np.concatenate((synthetic_ecg(FS_HZ, 10)[0], fibrillating(FS_HZ, 20)))
    low, high = 20 * 250, 21 * 250
    pieces: list[tuple[int, NDArray[np.float64]]] = [(0, signal)]
    if spoil == "invalid":
        signal[low:high] = np.nan
    elif spoil == "flat":
        signal[low:high] = signal[low]
    elif spoil == "clipped":
        signal[low:high] = np.clip(20 * signal[low:high], -3.0, 3.0)
    else:
        pieces = [(0, signal[:low]), (high, signal[high:])]
    detector = Detector(FS_HZ)
    events = [event for first, piece in pieces for event in detector.advance(piece, first)]
    found = [event for event in events if isinstance(event, RhythmSpan) and event.fibrillatory]
    assert found
    assert not any(span.first_sample < high and span.end_sample > low for span in found)
    assert found[-1].end_sample > high
    assert (spoil == "missing") == any(isinstance(event, Gap) and not event.invalid for event in events)


@pytest.mark.parametrize(("lost_s", "every_s"), [(0.048, 3.0), (73 / 130, 4.0), (0.3, 2.0)])
def test_fibrillation_is_found_across_losses_and_losses_are_no_fibrillation(lost_s: float, every_s: float) -> None:
    signal = np.concatenate((synthetic_ecg(FS_HZ, 20)[0], fibrillating(FS_HZ, 15)))
    signal[(np.arange(signal.size) / FS_HZ + 0.7) % every_s < lost_s] = np.nan
    detector = Detector(FS_HZ)
    spans = [event for event in detector.advance(signal) if isinstance(event, RhythmSpan)]
    assert not any(span.fibrillatory for span in spans if span.end_sample <= 20 * FS_HZ)
    assert sum(span.fibrillatory for span in spans if span.first_sample >= 20 * FS_HZ) >= 2


@settings(max_examples=15)
@given(
    cuts=st.lists(st.integers(0, 4500), max_size=20),
    hole=st.integers(1500, 4000),
    fs_hz=st.sampled_from([100.0, 250.0]),
)
def test_every_cut_gives_the_events_of_one_call(cuts: list[int], hole: int, fs_hz: float) -> None:
    signal = np.concatenate((synthetic_ecg(fs_hz, 8)[0], fibrillating(fs_hz, 10)))
    signal[hole : hole + 3] = np.nan
    whole = run(Detector(fs_hz), [signal])
    assert any(isinstance(event, RhythmSpan) and event.fibrillatory for event in whole) or fs_hz < 250
    assert keys(run(Detector(fs_hz), np.split(signal, sorted(min(cut, signal.size) for cut in cuts)))) == keys(whole)


@pytest.mark.parametrize(("record", "onset_s"), [("cu01", 214.2), ("cu08", 426.4), ("cu16", 254.8), ("cu24", 356.6)])
def test_real_onsets_are_reported_within_ten_seconds(record: str, onset_s: float, data_folder: Path) -> None:
    import wfdb

    first = round((onset_s - 60) * FS_HZ)
    signal = wfdb.rdrecord(str(data_folder / "cudb" / record), sampfrom=first, sampto=first + 80 * 250).p_signal[:, 0]
    times = fibrillation_s(signal, FS_HZ)
    assert 60 < times[0] <= 70


@pytest.mark.parametrize(
    "record", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("102", "222", "233")), "202"]
)
def test_paced_hearts_atrial_flutter_and_ectopy_never_fibrillate(record: str, data_folder: Path) -> None:
    signal = read_lead(data_folder, record, sampto=8 * 60 * 360)
    assert fibrillation_s(signal, 360.0) == []


@pytest.mark.slow
def test_flutter_of_207_is_reported(data_folder: Path) -> None:
    signal = read_lead(data_folder, "207", sampto=4 * 60 * 360)
    found = np.array(fibrillation_s(signal, 360.0)) * 360.0
    inside = (found > 14665) & (found < 21731 + 4 * 360)  # the first two episodes by their annotations, 4 s apart
    assert inside.sum() >= 0.9 * inside.size
    assert inside.sum() >= 10


@pytest.mark.parametrize("noise", [pytest.param("em", marks=pytest.mark.slow), "bw"])
def test_noise_without_a_heart_never_fibrillates(noise: str, data_folder: Path) -> None:
    import wfdb

    signal = wfdb.rdrecord(str(data_folder / "nstdb" / noise), sampto=10 * 60 * 360).p_signal[:, 0]
    assert fibrillation_s(signal, 360.0) == []
