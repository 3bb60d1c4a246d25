"""Emulated devices and the serial source: recognition of formats, faults of devices."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from monitor.emulator.encoder import FORMS, LINES, Scale, base_format
from monitor.errors import SourceError
from monitor.sources import SourceOptions, open_source
from monitor.sources.serial.format_guess import guess_format
from monitor.sources.serial.recognition import Recognition
from tests.monitor.emulator.helpers import Bench, signal_of
from tests.monitor.sources.helpers import Clock, wait_for

FS_HZ = 250.0
CHORDS = {"adc_bits": 14, "vref": 5.0, "gain": 500.0}
RAW16 = {"format": "raw16", "unit": "adc", "mv_per_unit": 0.001}
OPTIONS: dict[str, dict[str, object]] = {
    "lines": {},
    "openview": {},
    "openview-max30003": {},
    "chords": dict(CHORDS),
    "cyton": {},
    "raw16": dict(RAW16),
    "healthypi4": {},
    "healthypi5": {},
    "olimex": {"adc_bits": 10, "vref": 5.0, "gain": 1424.0},
    "cyton-daisy": {},
}
COUNTED = ("chords", "cyton", "olimex", "cyton-daisy")
QUICK = ("lines", "cyton")  # one without a counter, one with


def each(*forms: str, quick: tuple[str, ...] = QUICK) -> pytest.MarkDecorator:
    """Parametrise by format; formats not in `quick` are slow tests."""
    marked = [form if form in quick else pytest.param(form, marks=pytest.mark.slow) for form in forms or OPTIONS]
    return pytest.mark.parametrize("form", marked)


MakeBench = Callable[..., Bench]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[MakeBench]:
    made: list[Bench] = []

    def make(form: str, faults: str = "", **options: object) -> Bench:
        made.append(Bench(tmp_path, form, faults, **(OPTIONS.get(form, {}) | options)))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()


# -- recognition --------------------------------------------------------------------------------------------


@each()
def test_format_and_rate_are_recognised(bench: MakeBench, form: str) -> None:
    seen = bench(form)
    seen.play(5.0)
    assert seen.source.fs_hz == FS_HZ
    assert seen.notices("format")[0].text.startswith(f"serial: {form}, ")
    truth = signal_of(round(40 * FS_HZ), FS_HZ)
    mv = seen.samples
    assert mv.size > 14 * FS_HZ, "no sample was lost during recognition"
    (first,) = [i for i in range(3) if np.abs(mv - truth[i : i + mv.size]).max() < 0.02]
    assert first == (form == "lines"), "the first line may be half a line"
    np.testing.assert_array_equal(seen.places, np.arange(mv.size))
    assert not seen.notices("bad_input")


@pytest.mark.slow
@pytest.mark.parametrize("drift", [-0.4, 0.4])
def test_a_usual_rate_is_taken_and_drift_is_followed(bench: MakeBench, drift: float) -> None:
    seen = bench("cyton", f"drift={drift}%")
    assert seen.source.fs_hz == FS_HZ
    seen.play(30.0)
    assert not seen.notices("sampling_rate")
    last = seen.chunks[-1]
    assert last.time_s is not None
    began_s = next(chunk.time_s for chunk in seen.chunks if chunk.samples.size)
    assert began_s is not None
    taken_s = (last.first_sample - seen.chunks[0].first_sample) / (FS_HZ * (1 + drift / 100))
    assert last.time_s - began_s == pytest.approx(taken_s, abs=0.06), "the device's clock, not its nominal rate"


@pytest.mark.parametrize(("drift", "notices"), [(1.0, 0), (3.0, 1), pytest.param(-3.0, 1, marks=pytest.mark.slow)])
def test_a_rate_off_by_more_than_two_percent_is_reported(bench: MakeBench, drift: float, notices: int) -> None:
    seen = bench("lines", f"drift={drift}%", fs_hz=FS_HZ)
    seen.play(15.0)
    assert len(seen.notices("sampling_rate")) == notices
    for notice in seen.notices("sampling_rate"):
        assert f"sends {FS_HZ * (1 + drift / 100):.1f} samples a second" in notice.text
    assert np.isfinite(seen.samples).all(), "the samples stay valid"


def test_a_chords_board_is_identified_started_and_stopped(bench: MakeBench) -> None:
    seen = bench("chords", gain=500.0, adc_bits=None, vref=None)
    assert "chords" in seen.notices("format")[0].text if seen.chunks else True
    assert seen.device.running
    seen.play(1.0)
    seen.source.close()
    seen._step()
    assert not seen.device.running, "stopped by close()"


def test_counts_on_lines_need_their_scale(bench: MakeBench) -> None:
    scale = Scale(10, 5.0, 1100.0)
    with pytest.raises(SourceError, match=r"look like ADC counts; give their scale, e.g. --adc-bits 10") as refused:
        bench("lines", scale=scale)
    assert "\n" not in str(refused.value)


def test_a_wrong_baud_rate_is_reported(bench: MakeBench) -> None:
    with pytest.raises(
        SourceError,
        match=r"e\.g\. ([0-9a-f]{2} ){15}[0-9a-f]{2}, are no known format \(tried .*; give --format, or",
    ):
        bench("cyton", "noise@0s for 60s")


@pytest.mark.parametrize(
    ("data", "format_", "problem"),
    [
        (b"\r\nS512\r\nS514\r\nB72\r\nS520\r\nQ830\r\nS533\r\nS540\r\n" * 20, "lines", "pulse sensor"),
        (b"starting\r\n" * 40, "", "text without numbers"),
        (b"hello\r\n" + b"0.1,0.2,0.3\r\n" * 40, "lines", "not clear; choose one with --column: 0 (0.1"),
        (bytes(range(256)) * 10, "", "no known format"),
        (b"", "", "no known format"),
        (b"x\n" + b"0.125\n-0.25\n!\n" * 20, "lines", ""),
        (b"x\n" + b"ECG:0.125\nECG:-0.25\n" * 20, "lines", ""),
    ],
)
def test_guess_format(data: bytes, format_: str, problem: str) -> None:
    found = guess_format(data)
    assert found.format == format_
    assert problem in found.problem
    assert bool(problem) == bool(found.problem)


def test_guess_format_accepts_several_columns_with_a_choice() -> None:
    assert guess_format(b"x\n" + b"0.1,0.2,0.3\r\n" * 40, 1).problem == ""


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"S512\r\nS520\r\nB71\r\n", r"PPG\) shows no QRS complex; connect an ECG amplifier"),
        (b"0.1,0.2\r\n", r"choose one with --column: 0 \(0\.1"),
    ],
)
def test_a_device_that_is_no_ecg_is_refused(data: bytes, problem: str) -> None:
    options = SourceOptions(fs_hz=FS_HZ, clock=Clock())
    recognition = Recognition(options, "serial", "/dev/tty", contextlib.nullcontext)
    recognition.arrivals = [(0.0, data * 20)]
    with pytest.raises(SourceError, match=problem):
        recognition.run()


def test_a_silent_device_is_reported(tmp_path: Path) -> None:
    far, near = os.openpty()
    now = [0.0]

    def clock() -> float:
        now[0] += 0.2
        return now[0]

    with pytest.raises(SourceError, match=r"sent nothing for 10 s; is the device on\?"):
        open_source("serial", SourceOptions(port=os.ttyname(near), clock=clock))
    os.close(far)
    os.close(near)


EVERY = [
    form
    if form in ("lines-json", "lines-cr", "healthypi5", "olimex", "cyton-daisy")
    else pytest.param(form, marks=pytest.mark.slow)
    for form in FORMS
    if form not in ("lines", "raw16", "chords")
]


@pytest.mark.parametrize("form", EVERY)
@pytest.mark.parametrize("faults", ["", "noise@0s for 0.3s"])
def test_every_emulated_device_is_recognised_and_read(bench: MakeBench, form: str, faults: str) -> None:
    """Without a flag, but for the scale of counts; also with garbage before it."""
    noted: dict[str, str] = {}
    seen = bench(form, faults, note=noted.__setitem__)
    assert noted["format"].startswith(base_format(form))
    assert noted["rate"] == "250 Hz, measured"
    assert seen.source.fs_hz == FS_HZ
    seen.play(4.0)
    mv, truth = seen.samples[-1000:], signal_of(round(40 * FS_HZ), FS_HZ)
    errors = [np.abs(mv - truth[i : i + mv.size]).max() for i in range(truth.size - mv.size)]
    assert min(errors) < 0.02
    assert "\n" not in " ".join(noted.values())


@pytest.mark.slow
@pytest.mark.parametrize("form", list(LINES))
def test_three_percent_of_garbled_lines_leave_rate_and_places_right(bench: MakeBench, form: str) -> None:
    seen = bench(form, "garble=3%")
    assert seen.source.fs_hz == FS_HZ
    seen.play(30.0)
    assert not seen.notices("sampling_rate")
    mv, places = seen.samples, seen.places
    truth = signal_of(round(60 * FS_HZ), FS_HZ)
    near = [
        np.nanmin(np.abs(mv[i] - truth[max(0, k - 30) : k + 30])) < 0.02 if np.isfinite(mv[i]) else False
        for i, k in enumerate(places.tolist())
    ]
    assert np.mean(near) > 0.95
    assert sum(notice.count for notice in seen.notices("bad_input")) > 100


def test_leads_off_of_every_kind_of_line_is_nan(bench: MakeBench) -> None:
    for form in ("lines-json", "lines-prefix", "lines-flags", "lines-time"):
        seen = bench(form, "leadsoff@20s for 5s")
        seen.play(20.0)
        off = np.isnan(seen.samples)
        assert abs(int(off.sum()) - 5 * FS_HZ) <= 2, form
        assert not seen.notices("bad_input"), form
        seen.close()


# -- faults --------------------------------------------------------------------------------------------------


def truth_at(seen: Bench, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples read and true samples at the same indices, from index `first` on."""
    places, mv = seen.places, seen.samples
    truth = signal_of(int(places.max()) + 2, FS_HZ)
    keep = places >= first
    return mv[keep], truth[places[keep]]


@each(*COUNTED, quick=())
def test_noise_is_counted_and_the_index_is_exact_after_it(bench: MakeBench, form: str) -> None:
    seen = bench(form, "noise@20s for 2s", fs_hz=FS_HZ, format=form)
    seen.play(40.0)
    assert sum(notice.count for notice in seen.notices("bad_input")) > 1000
    mv, truth = truth_at(seen, round(23 * FS_HZ))
    assert np.abs(mv - truth).max() < 0.02, "exact index again"
    missing = np.setdiff1d(np.arange(seen.places.max() + 1), seen.places)
    assert missing.size >= 0.9 * 2 * FS_HZ
    assert ((missing >= 20 * FS_HZ - 2) & (missing <= 22 * FS_HZ + 2)).all()


@each("lines", "openview", quick=())
def test_without_a_counter_time_gives_the_length_of_noise(bench: MakeBench, form: str) -> None:
    seen = bench(form, "noise@20s for 2s", fs_hz=FS_HZ, format=form)
    seen.play(40.0)
    assert sum(notice.count for notice in seen.notices("bad_input")) > 5
    assert not seen.notices("sampling_rate")
    mv, truth = truth_at(seen, round(25 * FS_HZ))
    assert np.isfinite(mv).all(), "valid again"
    shifts = [np.abs(mv[30:-30] - np.roll(truth, s)[30:-30]).mean() for s in range(-26, 27)]
    assert min(shifts) < 0.01, "index exact to 0.1 s"


@each(quick=("cyton",))
def test_late_bytes_lose_no_sample(bench: MakeBench, form: str) -> None:
    seen = bench(form, "hiccup@20s for 3s", fs_hz=FS_HZ, format=form)
    seen.play(35.0)
    assert (np.diff(seen.places) == 1).all()
    assert not seen.notices("sampling_rate")
    assert np.isfinite(seen.samples).all()


@each(quick=("lines",))
def test_a_stall_is_a_gap_of_its_length(bench: MakeBench, form: str) -> None:
    seen = bench(form, "stall@20s for 3s", fs_hz=FS_HZ, format=form)
    seen.play(35.0)
    jumps = np.diff(seen.places) - 1
    assert np.count_nonzero(jumps) == 1
    assert jumps.max() == pytest.approx(3 * FS_HZ, abs=0.1 * FS_HZ)


@each("lines", "chords", "cyton", quick=())
def test_a_reset_with_a_banner_is_a_gap(bench: MakeBench, form: str) -> None:
    seen = bench(form, "banner@20s", fs_hz=FS_HZ, format=form)
    seen.play(45.0)
    jumps = np.diff(seen.places) - 1
    assert np.count_nonzero(jumps > 2) == 1
    asked_s = 2.8 if form == "chords" else 0.0  # silent until the next question
    assert 1.4 * FS_HZ <= jumps.max() <= (1.6 + asked_s) * FS_HZ
    mv, truth = truth_at(seen, round(25 * FS_HZ))
    shift = np.argmin([np.abs(mv[30:-30] - np.roll(truth, s)[30:-30]).mean() for s in range(-26, 27)]) - 26
    assert abs(int(shift)) <= 0.1 * FS_HZ, "the counter started again; time gives the index"
    assert np.isfinite(seen.samples).all(), "a banner is no sample"
    assert sum(notice.count for notice in seen.notices("bad_input")) >= 1


@each(quick=("cyton",))
def test_an_unplugged_device_is_lost_and_found_again(bench: MakeBench, form: str) -> None:
    seen = bench(form, "unplug@20s for 4s", fs_hz=FS_HZ, format=form)
    seen.play(20.0)
    wait_for(lambda: bool(seen.play(0.1) or seen.notices("source_lost")), "the loss")
    seen.play(4.0 - (seen.now_s - 1000.0 - 20.0) + 0.6)
    wait_for(lambda: bool(seen.play(0.1) or seen.notices("source_back")), "the return")
    seen.play(10.0)
    assert "unplugged or switched off" in seen.notices("source_lost")[0].text
    jumps = np.diff(seen.places) - 1
    assert np.count_nonzero(jumps > 2) == 1
    assert jumps.max() >= 4 * FS_HZ - 2


@pytest.mark.slow
def test_a_flood_during_recognition_is_refused(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    # A pseudo-terminal takes 4 kB at once, so the bytes of 10 s depend on the machine.
    monkeypatch.setattr("monitor.sources.serial.source._EARLY_BYTES", 1 << 18)
    with pytest.raises(SourceError, match="sends too much to be an ECG"):
        bench("cyton", "rate=100")
