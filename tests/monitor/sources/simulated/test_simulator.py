"""The synthetic patient: beats, waves, scenarios."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources import SourceOptions, open_source
from monitor.sources.simulated.kinds import KINDS
from monitor.sources.simulated.scenario import DEFAULT_SCENARIO, Part, parse_scenario
from monitor.sources.simulated.simulator import BLOCK, Simulator
from tests.monitor.sources.helpers import read_signal, traced


def simulate(text: str, options: SourceOptions | None = None) -> tuple[Simulator, NDArray[np.float64]]:
    source = Simulator(text, options or SourceOptions(), f"sim:{text}")
    return source, read_signal(source)[1]


def beats(source: Simulator, n: int, symbol: str) -> NDArray[np.int64]:
    return np.array([sample for sample, code in source.annotations(n) if code == symbol], dtype=np.int64)


def width_s(mv: NDArray[np.float64], r_sample: int, fs_hz: float) -> float:
    """Width of the R wave at half its height."""
    half = mv[r_sample] / 2
    low = high = r_sample
    while mv[low] > half:
        low -= 1
    while mv[high] > half:
        high += 1
    return (high - low) / fs_hz


@functools.cache
def whole_signal(text: str) -> NDArray[np.float64]:
    return simulate(text)[1]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 3 * BLOCK), min_size=1, max_size=8).filter(any))
@example([1])
def test_the_signal_does_not_depend_on_read_sizes(sizes: list[int]) -> None:
    text = "sinus=6,af=3,noise=4,vf=3,leadsoff=2,pvc=6;seed=3;fs=200"
    whole = whole_signal(text)
    first, cut = read_signal(Simulator(text, SourceOptions(), "sim"), sizes)
    assert first == 0
    np.testing.assert_array_equal(cut, whole)


def test_start_and_duration_select_a_part_of_the_signal() -> None:
    whole = simulate("sinus=60;seed=5")[1]
    source = Simulator("sinus=60;seed=5", SourceOptions(start_s=30.0, duration_s=7.0), "sim")
    assert source.total_samples == 7 * 250
    first, part = read_signal(source)
    assert first == 30 * 250
    np.testing.assert_array_equal(part, whole[first : first + 7 * 250])


def test_the_default_scenario_repeats_with_new_random_numbers() -> None:
    source = open_source("sim", SourceOptions(duration_s=120.0))
    _, mv = read_signal(source)
    assert mv.size == 120 * 250
    assert not np.array_equal(mv[: 30 * 250], mv[60 * 250 : 90 * 250])
    assert open_source("sim").total_samples is None


def test_the_default_scenario_contains_its_rhythms() -> None:
    source = Simulator("", SourceOptions(duration_s=60.0), "sim")
    assert source.scenario.duration_s == 60
    assert source.scenario.parts[0].name == source.scenario.parts[-1].name == "sinus"
    assert source.scenario.parts[0].seconds >= 14
    truth = source.annotations(60 * 250)
    assert {symbol for s, symbol in truth if s < 14 * 250} == {"N"}
    spans = dict(zip((k for _, k in source.segments(60 * 250)), source.scenario.parts, strict=True))
    assert spans["asystole"].seconds == 6
    r = np.array([sample for sample, _ in truth])
    v = np.array([symbol == "V" for _, symbol in truth])
    run = np.flatnonzero(v[1:] & v[:-1] & (np.diff(r) < 60 / 140 * 250))
    assert run.size + 1 >= 17, "too short a run for extreme tachycardia"
    assert np.diff(r).max() > 6 * 250
    assert sum(v) - (run.size + 1) >= 2, "single premature ventricular beats"
    assert "A" in {symbol for _, symbol in truth}


@pytest.mark.parametrize("fs_hz", [100.0, 250.0, 360.0, 1000.0])
@pytest.mark.parametrize("shape", ["sinus", "pvc", "pac", "vt", "af"])
def test_every_annotation_lies_on_an_r_peak(fs_hz: float, shape: str) -> None:
    source, mv = simulate(f"{shape}=20;seed=2;fs={fs_hz:g}")
    half = round(0.06 * fs_hz)
    for r_sample, _ in source.annotations(mv.size - half):
        around = mv[max(0, r_sample - half) : r_sample + half + 1]
        # 10 uV of noise shifts the flat top of a wide beat by a few ms.
        assert abs(int(np.argmax(around)) - min(half, r_sample)) <= max(1, round(0.012 * fs_hz))


@pytest.mark.parametrize("hr_bpm", [40, 60, 72, 100, 160])
def test_sinus_rhythm_has_its_rate_and_respiratory_variability(hr_bpm: int) -> None:
    source = Simulator(f"sinus=300;hr={hr_bpm}", SourceOptions(), "sim")
    rr_s = np.diff(beats(source, 300 * 250, "N")) / 250
    assert 60 / rr_s.mean() == pytest.approx(hr_bpm, rel=0.02)
    assert 0.02 < rr_s.std() / rr_s.mean() < 0.08


def test_the_beats_do_not_depend_on_the_sampling_rate() -> None:
    at_250 = Simulator(";fs=250", SourceOptions(), "sim").annotations(60 * 250)
    at_1000 = Simulator(";fs=1000", SourceOptions(), "sim").annotations(60 * 1000)
    assert [s for _, s in at_250] == [s for _, s in at_1000]
    assert max(abs(4 * a - b) for (a, _), (b, _) in zip(at_250, at_1000, strict=True)) <= 4


def test_waves_have_the_sizes_of_lead_ii() -> None:
    source, mv = simulate("sinus=60;hr=60;seed=4;fs=500")
    r = beats(source, mv.size - 500, "N")[2:]
    # The average of many beats: noise and breathing go.
    beat = np.mean([mv[k - 200 : k + 300] - np.median(mv[k - 40 : k - 30]) for k in r], axis=0)
    p, qrs, t = beat[80:160], beat[180:222], beat[280:380]
    assert 0.10 < p.max() < 0.20
    assert 0.9 < qrs.max() < 1.4
    assert 0.2 < t.max() < 0.45
    assert abs(beat[255]) < 0.1, "ST segment"
    steep = np.flatnonzero(np.abs(np.diff(beat)) > 0.015)  # 7.5 mV/s: the QRS complex alone is as steep
    assert 0.05 < (steep[-1] - steep[0]) / 500 < 0.10
    end = 280 + int(np.flatnonzero(t > 0.1 * t.max())[-1])
    assert 0.34 < (end - steep[0]) / 500 < 0.46, "QT at 60/min"


def test_premature_ventricular_beats_are_wide_early_tall_and_compensated() -> None:
    source, mv = simulate("pvc=120;seed=6")
    truth = source.annotations(mv.size - 250)
    r = np.array([sample for sample, _ in truth])
    places = [i for i, (_, symbol) in enumerate(truth) if symbol == "V" and 2 < i < len(truth) - 2]
    assert {b - a for a, b in itertools.pairwise(places)} == {4, 5}
    usual = 60 / 72
    wide = [width_s(mv, int(r[i]), 250) for i in places]
    narrow = [width_s(mv, int(r[i - 1]), 250) for i in places]
    assert min(wide) > 2.5 * max(narrow)
    for i in places:
        assert 0.58 < (r[i] - r[i - 1]) / 250 / usual < 0.72
        assert (r[i + 1] - r[i - 1]) / 250 == pytest.approx(2 * usual, rel=0.02)
        assert mv[r[i]] > 1.15 * mv[r[i - 1]]
        assert mv[r[i] + 50 : r[i] + 100].min() < mv[r[i] - 25] - 0.25, "the T wave is opposite"


def test_premature_atrial_beats_are_narrow_early_and_not_fully_compensated() -> None:
    source, mv = simulate("pac=120;seed=6")
    truth = source.annotations(mv.size - 250)
    r = np.array([sample for sample, _ in truth])
    places = [i for i, (_, symbol) in enumerate(truth) if symbol == "A" and i < len(truth) - 1]
    assert len(places) > 20
    for i in places:
        assert (r[i] - r[i - 1]) / 250 < 0.75 * 60 / 72
        assert (r[i + 1] - r[i - 1]) / 250 < 1.95 * 60 / 72
        assert width_s(mv, int(r[i]), 250) == pytest.approx(width_s(mv, int(r[i - 1]), 250), abs=0.009)


@pytest.mark.parametrize(("kind", "bpm"), [("vt", 180), ("brady", 36), ("tachy", 150), ("af", 95)])
def test_rates_of_the_rhythms(kind: str, bpm: float) -> None:
    source = Simulator(f"{kind}=200", SourceOptions(), "sim")
    rr_s = np.diff([sample for sample, _ in source.annotations(200 * 250)]) / 250
    assert 60 / np.mean(rr_s) == pytest.approx(bpm, rel=0.07)  # 4 % between patients
    if kind == "af":
        assert np.std(rr_s) / np.mean(rr_s) > 0.15
        assert abs(np.corrcoef(rr_s[1:], rr_s[:-1])[0, 1]) < 0.2, "irregularly irregular"


def test_fibrillation_has_no_beats_and_the_right_frequencies() -> None:
    source, mv = simulate("vf=30;seed=8")
    assert source.annotations(mv.size) == []
    power = np.abs(np.fft.rfft(mv - mv.mean())) ** 2
    hz = np.fft.rfftfreq(mv.size, 1 / 250)
    assert power[(hz > 3.8) & (hz < 7.2)].sum() > 0.9 * power[hz > 1].sum()
    envelope = np.abs(mv[: mv.size // 125 * 125].reshape(-1, 125)).max(axis=1)
    assert envelope.max() > 2 * np.median(envelope) > 0.4 or envelope.min() < 0.5 * np.median(envelope)


def test_asystole_is_quiet_but_not_flat() -> None:
    source, mv = simulate("sinus=5,asystole=8,sinus=5")
    still = mv[round(6.5 * 250) : 13 * 250]
    assert not [s for s, _ in source.annotations(mv.size) if 5 * 250 <= s < 13 * 250]
    assert np.ptp(still) < 0.5
    assert np.diff(still).std() > 0.005
    assert np.unique(still).size == still.size


def test_a_pause_is_shorter_than_asystole() -> None:
    source = Simulator("pause=15", SourceOptions(), "sim")
    rr_s = np.diff([sample for sample, _ in source.annotations(15 * 250)]) / 250
    assert np.sum(rr_s > 2.5) == 1
    assert 3 < rr_s.max() < 4


def test_leads_off_is_nan_and_noise_is_large() -> None:
    _, mv = simulate("sinus=10,leadsoff=3,noise=5,sinus=5")
    off = np.isnan(mv)
    assert off[2500:3250].all()
    assert off.sum() == 750
    assert np.diff(mv[3250:4500]).std() > 5 * np.diff(mv[:2500]).std()


def test_segments_join_without_a_jump() -> None:
    rough = ("noise", "muscle", "shiver", "motion", "decay", "calibration", "leadsoff", "paced")
    kinds = [name for name, kind in KINDS.items() if name not in rough and not kind.pulses and not kind.losses]
    pairs = np.random.default_rng(1).choice(list(itertools.permutations(kinds, 2)), 150, replace=False)
    text = ",".join(f"{a}=4,{b}=4" for a, b in pairs)
    source, mv = simulate(f"{text};fs=500")
    steepest = np.abs(np.diff(simulate("sinus=20,vt=10,pvc=20;fs=500")[1])).max()
    for sample, _ in source.segments(mv.size)[1:]:
        assert np.abs(np.diff(mv[sample - 5 : sample + 5])).max() < 1.2 * steepest
    assert np.abs(np.diff(mv)).max() < 1.5 * steepest


def test_memory_does_not_grow_with_time() -> None:
    source = Simulator("sinus=28800", SourceOptions(), "sim")
    with traced() as memory:
        for _ in range(30):
            source.read(BLOCK)
        early = memory()[0]
        for _ in range(120):
            source.read(BLOCK)
        assert memory()[0] < early + 100_000


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("sinos=10", ["'sinos' (nearest: sinus", "write KIND=SECONDS", "--help-sim"]),
        ("sinus", ["'sinus'", "no seconds"]),
        ("sinus=-3", ["-3", "sinus"]),
        ("sinus=nan", ["nan"]),
        ("sinus=inf", ["inf"]),
        ("sinus=1e", ["'1e'", "no number"]),
        ("sinus=5,", ["''"]),
        ("seed=5", ["seed", "semicolon"]),
        ("sinus=5;sed=1", ["'sed' (nearest: seed", "OPTION=VALUE"]),
        ("sinus=5;seed=1.5", ["1.5"]),
        ("sinus=5;repeat=maybe", ["'maybe'"]),
        ("sinus=5;fs=10", ["fs 10", "100"]),
        ("sinus=5;hr=0", ["hr 0", "15 to 320"]),
        ("vt@400=5", ["rate of vt 400", "15 to 320"]),
        ("vt@0=5", ["rate of vt 0"]),
        ("vt@=5", ["rate of vt ''"]),
        ("asystole@30=5", ["'asystole' has no rate"]),
        ("sinus=5;mv=0.05", ["mv 0.05", "0.1 to 12"]),
        ("sinus=5;polarity=0.5", ["polarity 0.5", "-1"]),
        ("paced=5;pulse=701", ["pulse 701", "700"]),
        ("sinus=5;qrs=wide", ["qrs 'wide' is no number"]),
    ],
)
def test_a_wrong_scenario_is_refused_in_one_line(text: str, names: list[str]) -> None:
    with pytest.raises(SourceError) as refused:
        open_source(f"sim:{text}")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 160
    for name in names:
        assert name in str(refused.value)


def test_options_of_the_scenario_replace_those_of_the_command() -> None:
    assert parse_scenario("sinus=5", seed=9, fs_hz=500).fs_hz == 500
    written = parse_scenario(" sinus = 5 , vt=3 ; seed = 7; fs=125;hr=50; repeat=yes", seed=9, fs_hz=500)
    assert (written.seed, written.fs_hz, written.settings.hr, written.repeat) == (7, 125, 50, True)
    assert written.parts == (Part("sinus", 5.0), Part("vt", 3.0))
    assert parse_scenario(";seed=7").parts == parse_scenario(DEFAULT_SCENARIO).parts


def test_the_seed_selects_the_patient() -> None:
    one, other = (simulate(f"sinus=10;seed={seed}")[1] for seed in (1, 2))
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(one, simulate("sinus=10", SourceOptions(seed=1))[1])


@pytest.mark.parametrize("start_s", [21_601.0, 1e300])
def test_a_start_that_would_take_minutes_to_reach_is_refused(start_s: float) -> None:
    with pytest.raises(SourceError, match="starts at 21600 s at most"):
        open_source("sim", SourceOptions(start_s=start_s))
