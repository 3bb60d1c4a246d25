"""Pacing pulses are found, taken out and reported, and nothing else is."""

from __future__ import annotations

from functools import cache
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import resample_poly

from detector import Detector, Event, Tick
from detector.bandpass import Bandpass
from detector.pacer import PacerFilter
from tests.detector.helpers_pacing import Pulse, paced_ecg
from tests.detector.helpers_signals import beats_of, keys, match, read_lead, run, synthetic_ecg

RATES_HZ = (125.0, 250.0, 360.0, 500.0, 1000.0)
TAILS = ((0.0, 0.02), (0.1, 0.004), (0.25, 0.025), (0.25, 0.1))  # (overshoot, time constant in s)
WIDEST_S = 0.012


def cleaned(signal: NDArray[np.float64], fs_hz: float) -> tuple[NDArray[np.float64], list[int]]:
    """A signal without its pulses, and where they were."""
    pacer = PacerFilter(fs_hz)
    out = [pacer.push(piece) for piece in np.array_split(signal, 7)]
    return np.concatenate([*out, pacer.flush()]), pacer.pulses


def kinds(fs_hz: float) -> list[Pulse]:
    """Pulses of every amplitude, width, polarity and tail that reach this rate."""
    heights, widths = (2.0, -2.0, 5.0, -10.0, 100.0, 700.0), (1, 2, 3)
    found = [
        Pulse(mv, n, overshoot=over, tau_s=tau)
        for mv, n, (over, tau) in product(heights, widths, TAILS)
        # below 200 Hz two samples are like the R wave of an infant, up to the height of one
        if n <= max(1, round(WIDEST_S * fs_hz)) and (fs_hz >= 200 or n == 1 or abs(mv) > 15)
    ]
    averaged = [
        Pulse(mv, 0, width, overshoot=over, tau_s=tau)
        for (mv, width), (over, tau) in product(((20.0, 0.002), (-50.0, 0.001), (700.0, 0.0005)), TAILS)
        # below 200 Hz what is left of a short pulse must be higher than its tail
        if fs_hz >= 200 or abs(mv) * width * fs_hz > 30
    ]
    return found + averaged


@pytest.mark.parametrize("fs_hz", RATES_HZ)
@pytest.mark.parametrize("to_r_s", [0.07, None], ids=["capture", "capture lost"])
def test_pulses_are_found_and_leave_next_to_nothing(fs_hz: float, to_r_s: float | None) -> None:
    found = wanted = false = 0
    left = []
    for seed, pulse in enumerate(kinds(fs_hz)):
        signal, clean, firsts, _ = paced_ecg(fs_hz, 6.0, pulse, to_r_s=to_r_s, seed=seed)
        out, pulses = cleaned(signal, fs_hz)
        assert out.size == signal.size
        hits = len(match(pulses, firsts, 2))
        found, wanted, false = found + hits, wanted + len(firsts), false + len(pulses) - hits
        left.append(float(np.abs(Bandpass(fs_hz).push(out - clean)).max()))
    assert found >= 0.98 * wanted
    assert false <= 0.01 * wanted
    # behind the band-pass, of up to 700 mV. A QRS hides the end of a tail of 100 ms: then up to a quarter of it is left
    assert np.median(left) < 0.1
    assert max(left) < (0.12 if to_r_s is None else 0.75)


@pytest.mark.parametrize("fs_hz", [125.0, 250.0, 360.0])
@pytest.mark.parametrize("width_s", [0.006, 0.009, 0.011])
@pytest.mark.parametrize("mv", [-3.0, 8.0, -25.0])
def test_pulses_at_any_place_between_samples_are_known_by_their_area(fs_hz: float, width_s: float, mv: float) -> None:
    pulse = Pulse(mv, 0, width_s, overshoot=0.1, tau_s=0.008)
    at_s = np.arange(0.5, 39.0, 0.8231)
    signal, firsts = pulse.signal(fs_hz, 40.0, at_s)
    signal += 0.01 * np.random.default_rng(5).standard_normal(signal.size)
    out, pulses = cleaned(signal, fs_hz)
    late = [first for first in firsts if first > 15 * fs_hz]
    assert len(match([p for p in pulses if p > 15 * fs_hz], late, 2)) >= len(late) - 1
    assert np.quantile(np.abs(Bandpass(fs_hz).push(out)[round(15 * fs_hz) :]), 0.995) < 0.08


@pytest.mark.parametrize("fs_hz", RATES_HZ)
@pytest.mark.parametrize("mv", [5.0, -30.0, 700.0])
def test_atrial_and_ventricular_pulses_are_both_found(fs_hz: float, mv: float) -> None:
    pulse = Pulse(mv, 1, overshoot=0.1, tau_s=0.05)
    signal, _, ventricular, _ = paced_ecg(fs_hz, 8.0, pulse)
    atrial_s = np.array(ventricular) / fs_hz - 0.15
    pulses, atrial = pulse.signal(fs_hz, 8.0, atrial_s)
    assert len(match(cleaned(signal + pulses, fs_hz)[1], sorted(atrial + ventricular), 2)) == 2 * len(ventricular)


@pytest.mark.parametrize("fs_hz", RATES_HZ)
def test_a_pulse_in_the_qrs_is_found(fs_hz: float) -> None:
    for mv, to_r_s in product((20.0, -20.0, 300.0), (-0.02, 0.0, 0.02, 0.04)):
        signal, _, firsts, _ = paced_ecg(fs_hz, 6.0, Pulse(mv), to_r_s=to_r_s)
        assert len(match(cleaned(signal, fs_hz)[1], firsts, 2)) == len(firsts)


def infant(fs_hz: float) -> NDArray[np.float64]:
    """5 mV, QRS 40 ms, 200 a minute: a heart rate that walks over every phase of the samples."""
    t = np.arange(round(30 * fs_hz)) / fs_hz
    signal = 0.01 * np.random.default_rng(3).standard_normal(t.size)
    for r in np.arange(0.3, 29.5, 60 / 200.7):
        for centre, height, width in ((-0.013, -0.5, 0.004), (0.0, 5.0, 0.005), (0.013, -1.0, 0.0045)):
            signal += height * np.exp(-0.5 * ((t - r - centre) / width) ** 2)
    return signal


def disturbances(fs_hz: float) -> dict[str, NDArray[np.float64]]:
    """Steep signals without a pulse, 30 s each."""
    n, rng = round(30 * fs_hz), np.random.default_rng(4)
    t = np.arange(n) / fs_hz
    ecg = synthetic_ecg(fs_hz, 30, seed=5)[0]
    steps = np.cumsum(np.where(rng.random(n) < 1 / fs_hz, rng.normal(0, 5.0, n), 0.0))
    return {
        "infant": infant(fs_hz),
        "tall QRS": 5.0 * synthetic_ecg(fs_hz, 30, seed=6, noise_mv=0.002)[0],
        "muscle noise": ecg + 0.3 * rng.standard_normal(n),
        "hum": ecg + 0.5 * np.sin(2 * np.pi * 50 * t),
        "steps of an electrode": ecg + steps,
        "calibration": np.where(t % 1.0 < 0.2, 1.0, 0.0) + 0.002 * rng.standard_normal(n),
        "coarse steps of an ADC": np.round(ecg / 0.1) * 0.1,
        "samples that repeat": np.repeat(ecg[::3], 3)[:n],
    }


@pytest.mark.parametrize("fs_hz", RATES_HZ)
def test_no_pulse_is_found_in_an_ecg_without(fs_hz: float) -> None:
    for name, signal in disturbances(fs_hz).items():
        out, pulses = cleaned(signal, fs_hz)
        assert pulses == [], name
        assert out.tobytes() == signal.tobytes(), name


@pytest.mark.parametrize(("fs_hz", "up", "down"), [(360.0, 1, 1), (250.0, 25, 36), (125.0, 25, 72)])
@pytest.mark.parametrize("name", ["100", "119", "208"])
def test_real_minutes_without_a_pacemaker_have_no_pulse(
    data_folder: Path, name: str, fs_hz: float, up: int, down: int
) -> None:
    signal = read_lead(data_folder, name, sampto=4 * 60 * 360)
    assert cleaned(resample_poly(signal, up, down) if up > 1 else signal, fs_hz)[1] == []


def test_invalid_samples_and_ends_of_the_signal_are_no_pulse() -> None:
    signal = synthetic_ecg(250.0, 10, seed=1)[0]
    signal[500:503] = np.nan
    signal[1000:1002] = 900.0
    signal[1002:] = np.nan
    out, pulses = cleaned(signal, 250.0)
    assert pulses == []
    np.testing.assert_array_equal(out, signal)
    assert cleaned(np.array([0.0, 0.0, 100.0]), 250.0)[1] == []


# -- in the detector ----------------------------------------------------------------------------------------


def pacer_samples(events: list[Event]) -> list[int]:
    return [sample for event in events if isinstance(event, Tick) for sample in event.pacer_samples]


@pytest.mark.parametrize("fs_hz", RATES_HZ)
@pytest.mark.parametrize("mv", [-2.0, 5.0, 100.0, -700.0])
def test_paced_beats_are_found_scored_and_marked(fs_hz: float, mv: float) -> None:
    pulse = Pulse(mv, overshoot=0.1, tau_s=0.03)
    signal, _, firsts, r_s = paced_ecg(fs_hz, 30.0, pulse, seed=2)
    events = run(Detector(fs_hz), np.array_split(signal, 50))
    beats = beats_of(events)
    assert len(match([beat.r_sample for beat in beats], np.round(r_s * fs_hz).astype(np.int64), 0.06 * fs_hz)) >= (
        len(r_s) - 2
    )
    assert len(beats) <= len(r_s)
    assert all(beat.paced for beat in beats)
    assert sum(beat.scorable for beat in beats) >= len(beats) - 3
    assert len(match(pacer_samples(events), firsts, 2)) == len(firsts) == len(pacer_samples(events))


def test_own_beats_are_not_paced() -> None:
    events = run(Detector(250.0), [synthetic_ecg(250.0, 20, seed=1)[0]])
    assert not any(beat.paced for beat in beats_of(events))
    assert pacer_samples(events) == []


@cache
def two_chambers(fs_hz: float) -> NDArray[np.float64]:
    """14 s: both chambers paced, 20 mV with a tail; lost capture in the middle; invalid samples."""
    signal, _, firsts, _ = paced_ecg(fs_hz, 14.0, Pulse(20.0, overshoot=0.1, tau_s=0.05), seed=9)
    signal += Pulse(-4.0).signal(fs_hz, 14.0, np.array(firsts) / fs_hz - 0.15)[0]
    signal[round(6.61 * fs_hz) : round(6.7 * fs_hz)] = np.nan
    signal.flags.writeable = False
    return signal


@settings(max_examples=25)
@given(
    fs_hz=st.sampled_from((125.0, 250.0, 257.0, 1000.0)),
    cuts=st.lists(st.floats(0, 1), max_size=10),
    crumbs=st.lists(st.floats(0, 1), max_size=4),
    gap=st.sampled_from((0, 1, 5, 60, 400)),
    gap_at=st.floats(0, 1),
    first_sample=st.sampled_from((0, -77, 10**12)),
)
def test_every_cut_of_a_paced_signal_gives_the_events_of_one_call(
    fs_hz: float, cuts: list[float], crumbs: list[float], gap: int, gap_at: float, first_sample: int
) -> None:
    signal = two_chambers(fs_hz)
    lost_at = round(gap_at * signal.size)
    places = sorted(round(share * signal.size) for share in [*cuts, *crumbs, *(min(1.0, c + 0.001) for c in crumbs)])

    def events(parts: list[int]) -> tuple[list[Event], bytes]:
        detector, found, shown = Detector(fs_hz), [], []
        edges = sorted({0, lost_at, signal.size, *parts})
        for low, high in pairwise(edges):
            found += detector.advance(signal[low:high], first_sample + low + (gap if low >= lost_at else 0))
            shown.append(detector.last_filtered)
        found += detector.flush()
        return found, np.concatenate([*shown, detector.last_filtered]).tobytes()

    whole, cut = events([]), events(places)
    assert keys(cut[0]) == keys(whole[0])
    assert cut[1] == whole[1]
    assert len(pacer_samples(whole[0])) > 25
