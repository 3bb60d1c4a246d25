"""The kinds of the synthetic patient: rates, pacing, standstill, widths and heights by option."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from detector import Detector
from detector.findings import measure
from monitor.sources import SourceOptions, open_source
from monitor.sources.options import MAX_MV
from monitor.sources.simulated.disturbance import DISTURBANCES
from monitor.sources.simulated.help_text import EXAMPLES, help_text
from monitor.sources.simulated.kinds import KINDS
from monitor.sources.simulated.rhythm import RHYTHMS
from monitor.sources.simulated.scenario import OPTIONS
from monitor.sources.simulated.simulator import Simulator
from monitor.sources.simulated.waves import SHAPES
from tests.monitor.sources.helpers import read_chunks, read_signal

Floats = NDArray[np.float64]


def simulate(text: str) -> tuple[Simulator, Floats]:
    source = Simulator(text, SourceOptions(), f"sim:{text}")
    return source, read_signal(source)[1]


def coded(source: Simulator, n: int, codes: str) -> NDArray[np.int64]:
    return np.array([sample for sample, code in source.annotations(n) if code in codes], dtype=np.int64)


def test_the_table_names_only_what_exists() -> None:
    for kind in KINDS.values():
        assert kind.beats is None or kind.beats in RHYTHMS
        assert set(kind.over) <= set(DISTURBANCES)
        assert bool(kind.beats) or not kind.rate_of or kind.over, kind
    assert {"sinus", "nodal", "paced", "p"} <= set(SHAPES)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_gives_a_signal_at_any_rate(name: str) -> None:
    for fs_hz in (125, 1000):
        chunks = read_chunks(Simulator(f"sinus=2,{name}=6,sinus=2;fs={fs_hz};seed={fs_hz}", SourceOptions(), "sim"))
        mv = np.concatenate([chunk.samples for chunk in chunks])
        inside = mv[2 * fs_hz : 7 * fs_hz]
        assert np.isnan(inside).all() == (name == "leadsoff")
        assert np.nanmax(np.abs(mv)) < (30 if name in ("motion", "decay") else 8)


@pytest.mark.parametrize(
    ("kind", "codes", "bpm"),
    [
        ("sinus", "N", 15), ("sinus", "N", 300), ("vt", "V", 110), ("vt", "V", 310), ("af", "N", 60), ("af", "N", 160),
        ("block", "j", 30), ("block_wide", "E", 30), ("paced", "/", 60), ("svt", "N", 220), ("flutter", "!", 300),
        ("capture_lost", "E", 30), ("torsades", "V", 200), ("tremor", "N", 100), ("rsa", "N", 60),
    ],
)  # fmt: skip
def test_a_rate_after_the_kind_is_that_of_its_beats(kind: str, codes: str, bpm: int) -> None:
    source = Simulator(f"{kind}@{bpm}=300", SourceOptions(), "sim")
    assert 60 * 250 / np.diff(coded(source, 300 * 250, codes)).mean() == pytest.approx(bpm, rel=0.03)


@pytest.mark.parametrize("fs_hz", [125, 1000])
@pytest.mark.parametrize(
    "kind", ["lbbb", "svt", "block_wide", "paced", "capture_lost@40", "couplet", "r_on_t", "vt@120"]
)
def test_annotations_lie_on_the_tips_of_wide_complexes_too(kind: str, fs_hz: int) -> None:
    for seed in (1, 2, 3, 4):  # upright and inverted complexes
        source, mv = simulate(f"{kind}=15;seed={seed};fs={fs_hz};pulse=2;pulse_ms=0.1;p=0;noise=2")
        half = round(0.07 * fs_hz)
        for r_sample, _ in source.annotations(mv.size - half):
            around = mv[max(0, r_sample - half) : r_sample + half + 1]
            tip = int(np.argmax(np.abs(around - np.median(mv))))
            assert abs(tip - min(half, r_sample)) <= max(2, round(0.016 * fs_hz)), (seed, r_sample)


def test_p_waves_go_on_in_standstill_and_in_block() -> None:
    _, mv = simulate("standstill=60;mv=2;p=0.25;hr=90;noise=2;seed=3")
    hz, power = np.fft.rfftfreq(mv.size - 5, 1 / 250), np.abs(np.fft.rfft(np.abs(mv[5:] - mv[:-5]))) ** 2
    band = (hz > 1.0) & (hz < 2.2)
    assert hz[band][power[band].argmax()] == pytest.approx(1.5, abs=0.12)
    height = np.ptp(mv[:2500].reshape(-1, 250) - np.median(mv[:2500].reshape(-1, 250), axis=1, keepdims=True))
    assert 0.4 < height < 0.9, "P of 0.5 mV beside respiration"
    source, _ = simulate("standstill=20,sinus=10")
    assert coded(source, 30 * 250, "N")[0] >= 20 * 250
    assert simulate("standstill=30;p=0;noise=0")[1].max() < 0.25, "nothing but respiration"


def test_capture_is_lost_and_the_pulses_keep_their_rate() -> None:
    source, mv = simulate("paced@70=20,capture_lost=20;seed=4;noise=0;p=0")
    pulses = np.array(source.pulses(mv.size))
    assert np.ptp(np.diff(pulses)) <= 1
    assert 60 * 250 / np.diff(pulses).mean() == pytest.approx(70, rel=0.005)
    beats = coded(source, mv.size, "/")
    assert beats.max() < 20 * 250
    assert np.isin(np.round((beats - pulses[: beats.size]) / 250, 2), (0.08, 0.09)).all()
    quiet = np.delete(mv[22 * 250 :], [k - 22 * 250 + i for k in pulses[pulses > 22 * 250] for i in range(-1, 3)])
    assert np.ptp(quiet) < 0.5
    assert all(np.abs(mv[k - 1 : k + 3]).max() > 0.3 for k in pulses), "5 mV of 0.5 ms at 250 Hz: 0.6 mV"


@pytest.mark.parametrize("fs_hz", [125, 250, 360, 1000])
@pytest.mark.parametrize(("pulse", "pulse_ms"), [(2, 2.0), (700, 0.1), (700, 2.0)])
def test_a_pulse_keeps_its_area_in_one_to_three_samples(fs_hz: int, pulse: float, pulse_ms: float) -> None:
    options = f"seed=5;fs={fs_hz};pulse={pulse};pulse_ms={pulse_ms}"
    source, with_pulses = simulate(f"paced=12;{options}")
    without = simulate(f"paced=12;{options};pulse=2;pulse_ms=0.1")[1]
    area = abs((with_pulses - without).sum()) / fs_hz
    count = len(source.pulses(with_pulses.size))
    assert area == pytest.approx(count * (pulse * pulse_ms - 0.2) / 1000, rel=0.01)
    where = np.flatnonzero(np.abs(with_pulses - without) > 1e-9)
    assert count <= where.size <= 4 * count
    assert np.abs(with_pulses).max() < MAX_MV


@pytest.mark.parametrize("tau_ms", [4, 100])
def test_the_overshoot_decays_with_its_time_constant(tau_ms: int) -> None:
    base = "paced=8;seed=6;fs=1000;pulse=200;pulse_ms=1"
    source, over = simulate(f"{base};overshoot={tau_ms}")
    over -= simulate(base)[1]
    start = source.pulses(over.size)[2] + 4
    tail = -np.sign(simulate(base)[1][start - 3]) * over[start : start + 3 * tau_ms]
    assert 0.3 < tail[0] <= 2.0
    np.testing.assert_allclose(tail / tail[0], np.exp(-np.arange(tail.size) / tau_ms), atol=0.06)


@pytest.mark.parametrize("fs_hz", [125, 250, 360, 500, 1000])
def test_the_qrs_complex_of_every_patient_measures_80_to_100_ms(fs_hz: int) -> None:
    for seed in range(1, 31):
        samples = simulate(f"sinus=9;seed={seed};fs={fs_hz}")[1]
        widths = [measure(beat).qrs_ms for beat in Detector(fs_hz=fs_hz).push(samples) if beat.scorable]
        assert len(widths) > 4
        assert all(width is not None and 80 <= width <= 100 for width in widths), (seed, widths)


def test_options_set_heights_in_the_lead() -> None:
    source, mv = simulate("sinus=60;mv=5;p=0.2;t=1.5;hr=60;fs=500;polarity=-1;noise=1")
    r = coded(source, mv.size - 500, "N")[2:]
    beat = -np.mean([mv[k - 200 : k + 300] - np.median(mv[k - 40 : k - 33]) for k in r], axis=0)
    assert beat[180:222].max() == pytest.approx(5, rel=0.1)
    assert beat[80:165].max() == pytest.approx(1.0, rel=0.25)
    assert beat[280:380].max() == pytest.approx(7.5, rel=0.1)


@pytest.mark.parametrize(("text", "low", "high"), [("sinus=9;qrs=150", 130, 170), ("lbbb=9", 120, 165)])
def test_broad_complexes(text: str, low: float, high: float) -> None:
    samples = simulate(text)[1]
    widths = [measure(beat).qrs_ms for beat in Detector(fs_hz=250).push(samples)]
    assert all(width is not None and low <= width <= high for width in widths[2:]), widths


def test_flat_is_under_10_uv_and_calibration_is_1_mv() -> None:
    flat = simulate("flat=300;noise=50;fs=1000")[1]
    assert 0 < np.ptp(flat) < 0.010
    square = simulate("calibration@60=20;noise=50")[1]
    assert set(square) == {0.0, 1.0}
    assert all(abs(step - 250) <= 1 for step in np.diff(np.flatnonzero(np.diff(square) > 0)))


@pytest.mark.parametrize("sizes", [(1000,), (1, 7, 40), (4096, 3)])
def test_lost_samples_are_jumps_of_the_index(sizes: tuple[int, ...]) -> None:
    text = "sinus=5,losses=20,losses_flat=20,sinus=5;loss_ms=48;loss_every=3;garbled=2;seed=8"
    source = Simulator(text, SourceOptions(), "sim")
    chunks = [chunk for chunk in read_chunks(source, sizes) if chunk.samples.size]
    ends = [chunk.first_sample + chunk.samples.size for chunk in chunks]
    gaps = [(end, chunk.first_sample - end) for end, chunk in zip(ends, chunks[1:], strict=False)]
    holes = [(first, length) for first, length in gaps if length]
    assert {length for _, length in holes} == {12}
    assert all(5 * 250 <= first < 45 * 250 for first, _ in holes)
    assert 12 <= len(holes) <= 14
    assert ends[-1] == 50 * 250
    mv = np.concatenate([chunk.samples for chunk in chunks])
    place = np.concatenate([np.arange(end - chunk.samples.size, end) for end, chunk in zip(ends, chunks, strict=True)])
    within = (place >= 5 * 250) & (place < 45 * 250)
    assert 0.012 < np.isnan(mv[within]).mean() < 0.028
    assert np.isfinite(mv[~within]).all()
    whole = simulate(text.replace("losses_flat", "asystole").replace("losses", "sinus"))[1]
    assert np.abs(mv - whole[place])[np.isfinite(mv)].max() < 0.2, "the same heart; only the noise differs"


def test_a_rate_glides_to_its_goal() -> None:
    source = Simulator("accel@140=120;hr=70", SourceOptions(), "sim")
    bpm = 60 * 250 / np.diff(coded(source, 120 * 250, "N"))
    assert bpm[:10].mean() == pytest.approx(72, rel=0.06)
    assert bpm[-10:].mean() == pytest.approx(138, rel=0.06)


def test_respiratory_arrhythmia_is_strong() -> None:
    rr_s = np.diff(coded(Simulator("rsa=300;hr=60", SourceOptions(), "sim"), 300 * 250, "N")) / 250
    assert 0.08 < rr_s.std() / rr_s.mean() < 0.2
    assert 0.6 < rr_s.min() < 0.8


def test_a_wrong_unit_is_given_as_it_is() -> None:
    usual, scaled = (simulate(f"sinus=20;mv=1.3{gain}")[1] for gain in ("", ";gain=1000"))
    np.testing.assert_allclose(scaled, 1000 * usual)
    counts = simulate("sinus=20;gain=225;offset=512")[1]
    np.testing.assert_allclose(counts, 225 * simulate("sinus=20")[1] + 512)


def test_the_help_lists_everything_and_its_examples_work() -> None:
    text = help_text()
    for name in (*KINDS, *OPTIONS):
        assert f"\n  {name} " in text
    assert all(len(line) <= 120 for line in text.splitlines())
    named = re.findall(r"`(sim:[^`]+)`", (Path(__file__).parents[4] / "docs" / "sources.md").read_text())
    for example in (*EXAMPLES, *(scenario for scenario in named if "SCENARIO" not in scenario)):
        assert (
            sum(chunk.samples.size for chunk in read_chunks(open_source(example, SourceOptions(duration_s=2.0)))) > 200
        )
