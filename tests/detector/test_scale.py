"""Samples in another unit than mV are named, whatever the rate, height and polarity; nothing else is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from detector import Beat, Detector, Quality, QualitySpan, RhythmSpan
from tests.detector.helpers_signals import keys, read_lead, run, synthetic_ecg

Floats = NDArray[np.float64]


def spans(signal: Floats, fs_hz: float) -> list[QualitySpan]:
    return [event for event in run(Detector(fs_hz), [signal]) if isinstance(event, QualitySpan)]


def scaled(signal: Floats, unit: str) -> Floats:
    """A signal in mV, written in another unit."""
    match unit:
        case "uV":
            return 1e3 * signal
        case "V":
            return 1e-3 * signal
        case "adc":
            return np.rint(2048 + 225 * signal)
        case "24 bits":
            return np.rint(8_388_608 + 14_000 * signal)
    return (signal - signal.mean()) / signal.std()


@pytest.mark.parametrize("fs_hz", [125.0, 360.0, 1000.0])
@pytest.mark.parametrize("height", [0.15, -1.0, 5.0])
@pytest.mark.parametrize("unit", ["uV", "V", "adc", "24 bits"])
def test_a_wrong_unit_is_named_within_10_s_and_no_beat_is_scored(unit: str, height: float, fs_hz: float) -> None:
    signal = height / 1.3 * synthetic_ecg(fs_hz, 14.0, noise_mv=0.01)[0]
    events = run(Detector(fs_hz), [scaled(signal, unit)])
    found = [event for event in events if isinstance(event, QualitySpan) and event.scale is not None]
    assert found[0].end_sample <= 10 * fs_hz
    expected = {"24 bits": "adc"}.get(unit, unit)
    assert {span.scale.looks_like for span in found if span.scale} == {expected}
    assert {span.quality for span in found} == {Quality.UNIT}
    assert not any(event.scorable for event in events if isinstance(event, Beat))
    assert not any(event.fibrillatory for event in events if isinstance(event, RhythmSpan))


@pytest.mark.parametrize("unit", ["uV", "V", "adc"])
def test_the_proposed_scale_makes_it_an_ecg(unit: str) -> None:
    signal = scaled(synthetic_ecg(250.0, 20.0)[0], unit)
    scale = spans(signal, 250.0)[-1].scale
    assert scale is not None
    after = spans(scale.mv * signal, 250.0)
    assert {span.quality for span in after[2:]} == {Quality.GOOD}
    assert {span.scale for span in after} == {None}


def test_z_scores_are_named_and_watched() -> None:
    """Their QRS complexes may be those of a tall ECG, so that alarms go on."""
    last = spans(scaled(synthetic_ecg(250.0, 20.0)[0], "z-scores"), 250.0)[-1]
    assert last.scale is not None
    assert last.scale.looks_like == "z-scores"
    assert last.quality is not Quality.UNIT


def test_the_verdict_ends_when_the_unit_is_right() -> None:
    signal = synthetic_ecg(250.0, 40.0)[0]
    found = spans(np.concatenate((1e3 * signal[:5000], signal[5000:])), 250.0)
    assert found[19].quality is Quality.UNIT
    assert {span.scale for span in found[25:]} == {None}
    assert Quality.UNIT not in {span.quality for span in found[25:]}


def pulses(t: Floats) -> Floats:
    """Pacing pulses of 400 mV and 8 ms."""
    return np.where(t % 0.8 < 0.0081, 400.0, 0.0)


OTHERS = {
    "tall": lambda t, rng: synthetic_ecg(250.0, t.size / 250)[0] * 12 / 1.3,
    "motion": lambda t, rng: np.convolve(rng.normal(0, 5, t.size + 49), np.ones(50) / 50**0.5, "valid"),
    "hum at the rails": lambda t, rng: np.clip(600 * np.sin(2 * np.pi * 50 * t + 0.1), -300, 300),
    "loose electrode": lambda t, rng: np.where(np.sin(2 * np.pi * 0.7 * t) > 0, 300.0, -300.0),
    "pacing": lambda t, rng: synthetic_ecg(250.0, t.size / 250)[0] + pulses(t),
    "shock": lambda t, rng: synthetic_ecg(250.0, t.size / 250)[0] + np.where(t > 8, 900 * np.exp(8 - t), 0.0),
    "noise under 10 uV": lambda t, rng: rng.uniform(-0.0045, 0.0045, t.size),
    "noise of 30 uV": lambda t, rng: rng.normal(0, 0.008, t.size),
}


@pytest.mark.parametrize("name", OTHERS)
def test_nothing_else_is_a_wrong_unit(name: str) -> None:
    t, rng = np.arange(5000) / 250.0, np.random.default_rng(3)
    found = spans(OTHERS[name](t, rng), 250.0)
    assert {span.scale for span in found} == {None}
    assert Quality.UNIT not in {span.quality for span in found}


@pytest.mark.parametrize("unit", ["uV", "adc", "z-scores"])
def test_the_verdict_does_not_depend_on_the_pieces(unit: str) -> None:
    signal = scaled(synthetic_ecg(250.0, 12.0)[0], unit)
    cuts = np.sort(np.random.default_rng(1).integers(0, signal.size, 60))
    assert keys(run(Detector(250.0), [signal])) == keys(run(Detector(250.0), np.split(signal, cuts)))


def test_real_leads_are_named_in_another_unit_only(data_folder: Path) -> None:
    for name in ("101", "119", "207"):
        signal = read_lead(data_folder, name, sampto=20 * 360)
        assert {span.scale for span in spans(signal, 360.0)} == {None}
        for unit in ("uV", "V"):
            last = spans(scaled(signal, unit), 360.0)[-1].scale
            assert last is not None
            assert last.looks_like == unit
