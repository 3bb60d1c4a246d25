"""LSL streams: real outlets in a process of their own, which may be killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.errors import SourceError
from monitor.sources import EndOfStream, Notice, Source, SourceOptions, open_source
from monitor.sources.live import lsl as lsl_source
from monitor.sources.live.lsl import BUFFER_S, LslSource
from monitor.sources.timing.stamp_clock import LATE_S
from tests.monitor.commands.helpers import COMMAND, FREE_BUS, environment
from tests.monitor.sources.helpers import Clock, gather, gather_leads, wait_for
from tests.monitor.sources.live.lsl_streams import FS_HZ, Publisher, Server

pytest.importorskip("pylsl", reason="pip install '.[lsl]'")
pylsl = lsl_source._pylsl("lsl")  # turns its log off before the first use


@pytest.fixture(autouse=True)
def shared() -> Iterator[Server]:
    """The server of most streams; one for each test, since LSL finds only 32 ports."""
    Publisher.shared = Server()
    yield Publisher.shared
    Publisher.shared.kill()


@pytest.fixture(autouse=True)
def _short_search_for_a_second_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.sources.live.lsl._ALIKE_S", 0.1)


@pytest.fixture
def name() -> str:
    return f"ecg-{uuid.uuid4().hex}"


@pytest.fixture
def stream(name: str) -> Iterator[tuple[Publisher, Source, Clock]]:
    outlet, clock = Publisher(name), Clock()
    source = outlet.watched(name, clock=clock)
    yield outlet, source, clock
    source.close()


def kinds_of(source: Source) -> tuple[list[str], Callable[[str], bool]]:
    """The kinds of notices so far, and a function that reads on and says whether a kind has come."""
    kinds: list[str] = []

    def reported(kind: str) -> bool:
        chunk = source.read(100)
        kinds.extend([] if chunk is None else [notice.kind for notice in chunk.notices])
        return kind in kinds

    return kinds, reported


def read_until(source: Source, value: float, max_samples: int = 1000) -> tuple[dict[int, float], list[Notice]]:
    """Read up to the sample of this value, uV; return the samples by index, and the notices."""
    samples, notices = gather(source, lambda got, _: np.isclose([*got.values()], value / 1000).any(), max_samples)
    return {index: round(mv * 1000, 3) for index, mv in samples.items()}, notices


def test_a_stream_is_read_with_its_lead_unit_and_rate(stream: tuple[Publisher, Source, Clock]) -> None:
    outlet, source, _ = stream
    assert (source.lead, source.fs_hz, source.live) == ("II", FS_HZ, True)
    assert source.read(100) is None
    outlet.push(0, 600, 7.0)
    samples, notices = read_until(source, 599, max_samples=70)
    assert samples == {i: float(i) for i in range(600)}
    assert notices == []
    source.close()
    source.close()
    with pytest.raises(SourceError, match="closed"):
        source.read(10)


@pytest.mark.parametrize(
    ("options", "lead", "scale"),
    [
        ({"channel": "V5"}, "V5", 1.0),
        pytest.param({"channel": 1}, "V5", 1.0, marks=pytest.mark.slow),
        pytest.param({"channel": 0, "unit": "uV"}, "II", 1e-3, marks=pytest.mark.slow),
    ],
)
def test_channel_and_unit_can_be_chosen(name: str, options: dict[str, Any], lead: str, scale: float) -> None:
    outlet = Publisher(name)
    source = outlet.watched(f"name={name}", **options)
    assert source.lead == lead
    outlet.push(0, 250, 1.0)
    samples, _ = gather(source, lambda got, _: len(got) == 250)
    np.testing.assert_allclose(list(samples.values()), np.arange(250) * scale)
    source.close()


def both(n: int, first: int = 0) -> list[list[float]]:
    return [[float(first + i), -2.0 * (first + i)] for i in range(n)]


def test_two_leads_are_read_and_lost_together(name: str) -> None:
    clock, server, uv = Clock(), Server(), ["microvolts", "uV"]
    outlet = Publisher(name, server=server, units=uv, source_id="")
    source = outlet.watched(name, clock=clock, channel="V5,II")
    assert (source.lead, source.leads) == ("V5,II", ("V5", "II"))  # type: ignore[attr-defined]
    rows = both(250)
    rows[7][0], rows[9] = np.nan, [9.0, 5e12]
    outlet.push_rows(rows[:100], [10.0 + i / FS_HZ for i in range(100)])
    outlet.push_rows(rows[100:], [12.0 + i / FS_HZ for i in range(150)])  # 400 samples are missing
    samples, notices = gather_leads(source, 250)
    assert list(samples) == [*range(100), *range(500, 650)]
    expected = np.array(rows)[:, ::-1] / 1000
    expected[9, 0] = np.nan
    np.testing.assert_allclose(list(samples.values()), expected)
    assert [(notice.kind, notice.count) for notice in notices] == [("bad_input", 1)]
    server.kill()
    _, reported = kinds_of(source)
    wait_for(lambda: reported("source_lost"), "the loss")
    outlet = Publisher(name, units=uv, source_id="")
    wait_for(lambda: reported("source_back"), "the stream")
    assert outlet.has_listener()
    clock.now_s += 8.0
    outlet.push_rows(both(500), [2.0 + i / FS_HZ for i in range(500)])
    samples, _ = gather_leads(source, 500)
    assert min(samples) >= 650 + 1500 - 3, "of the 8 s 2 s were late"
    np.testing.assert_allclose(list(samples.values()), np.array(both(500))[:, ::-1] / 1000)
    source.close()


@pytest.mark.parametrize(
    ("channel", "error"),
    [
        ("II,V5", "it gives II in uV and V5 in mV; two leads need one unit, so read one, e.g. --channel II$"),
        ("0,II", r"0 and 'II' are one channel; give two different ones: 0 II \[microvolts\], 1 V5 \[mV\]$"),
        ("II,V9", "no channel 'V9'; channels: 0 II"),
    ],
)
def test_two_leads_that_a_stream_does_not_have_are_refused(name: str, channel: str, error: str) -> None:
    Publisher(name)
    with pytest.raises(SourceError, match=error) as refused:
        open_source(f"lsl:{name}", SourceOptions(channel=channel))
    assert "\n" not in str(refused.value)


def test_lost_samples_are_a_gap_and_late_samples_are_not(stream: tuple[Publisher, Source, Clock]) -> None:
    outlet, source, _ = stream
    outlet.push(0, 250, 10.0)
    outlet.push(1000, 250, 14.0)  # the sender lost 750
    outlet.push(1250, 1, 16.0)  # it was busy for 1 s, then sends the late samples
    late = range(1, 500)
    outlet.push_stamped([1250.0 + i for i in late], [max(16.0 + i * 1e-4, 15.0 + i / FS_HZ) for i in late])
    samples, notices = read_until(source, 1700)
    assert list(samples.values()) == [*range(250), *range(1000, 1000 + len(samples) - 250)]
    assert all(index == value for index, value in samples.items())
    assert notices == []


def test_stamps_that_jump_again_and_again_lose_at_most_a_day(stream: tuple[Publisher, Source, Clock]) -> None:
    outlet, source, _ = stream
    for number in range(5):
        outlet.push(250 * number, 250, 10.0 + number * 23 * 3600.0)
    samples, notices = read_until(source, 1249)
    assert list(samples.values()) == [float(i) for i in range(1250)]
    assert max(samples) < FS_HZ * 86_400 + 1250
    assert [notice.kind for notice in notices] == ["bad_input"] * len(notices)
    assert sum(notice.count for notice in notices) == 3


def test_impossible_values_are_nan_and_counted(stream: tuple[Publisher, Source, Clock]) -> None:
    outlet, source, _ = stream
    outlet.push_stamped([1.0, np.nan, np.inf, -np.inf, 5e12, 7.0], [5.0 + i / FS_HZ for i in range(6)])
    samples, notices = read_until(source, 7.0)
    np.testing.assert_array_equal(list(samples.values()), [1, *[np.nan] * 4, 7])
    assert {notice.kind for notice in notices} == {"bad_input"}
    assert sum(notice.count for notice in notices) == 3


def test_stamps_that_run_back_lose_no_sample(stream: tuple[Publisher, Source, Clock]) -> None:
    outlet, source, _ = stream
    outlet.push(0, 250, 1e6)
    outlet.push(250, 250, 3.0)
    samples, notices = read_until(source, 499)
    assert samples == {i: float(i) for i in range(500)}
    assert [(notice.kind, notice.count) for notice in notices] == [("bad_input", 1)]


@pytest.mark.parametrize("source_id", ["", pytest.param("device 7", marks=pytest.mark.slow)])
def test_a_lost_stream_is_reported_and_found_again(name: str, source_id: str) -> None:
    clock = Clock()
    server = Server()
    outlet = Publisher(name, server=server, source_id=source_id and f"{source_id} {name}")
    source = outlet.watched(name, clock=clock)
    outlet.push(0, 250, 10.0)
    read_until(source, 249)
    server.kill()
    kinds, reported = kinds_of(source)
    wait_for(lambda: reported("source_lost"), "the loss")
    assert kinds == ["source_lost"]
    assert source.read(100) is None
    clock.now_s += 6.0
    server = Server()
    Publisher(name, server=server, source_id=source_id and f"{source_id} {name}", nominal_srate=500.0)
    wait_for(lambda: reported("bad_input"), "the notice of another stream")
    server.kill()
    outlet = Publisher(name, source_id=source_id and f"{source_id} {name}")
    wait_for(lambda: reported("source_back"), "the stream")
    assert kinds == ["source_lost", "bad_input", "source_back"]
    assert outlet.has_listener()
    clock.now_s += 2.0
    outlet.push(0, 500, 2.0)
    samples, _ = read_until(source, 499)
    assert min(samples) >= 250 + 1500, "of the 8 s at most 2 s were late"
    assert max(samples) == min(samples) + 499
    source.close()


@pytest.mark.slow
def test_unread_samples_are_dropped_by_lsl(name: str) -> None:
    outlet = Publisher(name)
    source = outlet.watched(name)
    outlet.push(0, 250, 0.0)
    read_until(source, 249)
    assert isinstance(source, LslSource)
    beside = pylsl.StreamInlet(pylsl.resolve_byprop("name", name)[0])
    beside.open_stream(20.0)
    outlet.push(250, 10_000, 1.0)
    while beside.pull_sample(20.0)[0][0] < 10_249:
        pass
    wait_for(lambda: source._inlet.samples_available() >= BUFFER_S * FS_HZ, "a full buffer")
    samples, _ = read_until(source, 10_249)
    assert len(samples) < (BUFFER_S + 2) * FS_HZ
    assert all(abs(index - value) <= LATE_S * FS_HZ for index, value in samples.items())
    source.close()


def test_the_duration_ends_the_source(name: str) -> None:
    outlet = Publisher(name)
    source = outlet.watched(name, duration_s=1.0)
    outlet.push(0, 400, 0.0)
    samples, _ = read_until(source, 249)
    assert len(samples) == 250
    with pytest.raises(EndOfStream):
        source.read(10)
    source.close()


def test_the_rate_of_a_stream_without_a_nominal_one_is_measured(name: str) -> None:
    """By the stamps, which jitter; packets of 10 samples share one."""
    outlet = Publisher(name, nominal_srate=0.0)
    noted: dict[str, str] = {}
    opened: list[Source] = []
    opening = threading.Thread(
        target=lambda: opened.append(open_source(f"lsl:{name}", SourceOptions(note=noted.__setitem__)))
    )
    opening.start()
    assert outlet.has_listener()
    jitter = np.random.default_rng(1).uniform(0, 0.004, 200)
    for packet in range(200):
        stamp = 50.0 + packet * 10 / FS_HZ + float(jitter[packet])
        outlet.push_stamped([float(10 * packet + i) for i in range(10)], [stamp] * 10)
    opening.join(timeout=60.0)
    (source,) = opened
    assert source.fs_hz == FS_HZ
    assert noted["rate"] == "250 Hz, measured"
    assert noted["channels"] == "0 II [microvolts], 1 V5 [mV]"
    assert (noted["lead"], noted["unit"]) == ("II", "uV")
    samples, _ = read_until(source, 1999)
    assert samples == {i: float(i) for i in range(2000)}, "none of the first samples is lost, no gap by jitter"
    source.close()


def test_a_stream_of_events_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.sources.live.lsl._MEASURE_WAIT_S", 0.3)
    Publisher(name, nominal_srate=0.0)
    with pytest.raises(SourceError, match=r"no nominal sampling rate and sent 0 samples in 0.3 s.*give --fs"):
        open_source(f"lsl:{name}")
    source = open_source(f"lsl:{name}", SourceOptions(fs_hz=250.0))
    assert source.fs_hz == 250.0
    source.close()


@pytest.mark.parametrize(
    ("changes", "options", "error"),
    [
        ({"units": ["counts", "mV"]}, {}, "is in counts; give its scale, e.g. --unit adc --mv-per-unit 0.005"),
        ({"nominal_srate": 32.0}, {}, "sampling rate 32 Hz; between 100 and 100000 Hz"),
        ({}, {"fs_hz": 360.0}, "--fs 360 Hz, but the stream has 250 Hz"),
        pytest.param({"channel_format": "string"}, {}, "holds text", marks=pytest.mark.slow),
        pytest.param({}, {"channel": "V9"}, "no channel 'V9'; channels: 0 II .*, 1 V5", marks=pytest.mark.slow),
        pytest.param(
            {"type": "EEG", "labels": ["Cz", "Pz"]},
            {},
            "choose one with --channel: 0 Cz .*, 1 Pz",
            marks=pytest.mark.slow,
        ),
        pytest.param({"units": ["mmHg", "mV"]}, {"channel": 0}, "in mmHg, which is no voltage", marks=pytest.mark.slow),
        pytest.param({"units": None}, {}, "names no unit; give it, e.g. --unit uV", marks=pytest.mark.slow),
        pytest.param({}, {"start_s": 2.0}, "leave out --start", marks=pytest.mark.slow),
        pytest.param({}, {"duration_s": -2.0}, "duration -2 s", marks=pytest.mark.slow),
    ],
)
def test_an_unusable_stream_is_refused_in_one_line(
    name: str, changes: dict[str, Any], options: dict[str, Any], error: str
) -> None:
    Publisher(name, **changes)
    with pytest.raises(SourceError, match=error) as refused:
        open_source(f"lsl:{name}", SourceOptions(**options))
    assert "\n" not in str(refused.value)


def test_ambiguous_and_missing_streams_are_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.sources.live.lsl._ALIKE_S", 5.0)
    for number in (1, 2):
        Publisher(name, source_id=f"{name}/{number}")
    with pytest.raises(SourceError, match=f"2 streams: .*source_id '{name}/1'.*; choose one"):
        open_source(f"lsl:{name}")
    monkeypatch.setattr("monitor.sources.live.lsl._ALIKE_S", 0.1)
    open_source(f"lsl:source_id={name}/2").close()
    monkeypatch.setattr("monitor.sources.live.lsl._SEARCH_S", 0.2)
    with pytest.raises(
        SourceError, match=rf"no LSL stream with name 'nobody' within 0.2 s; there are .*{name} \(ECG\)"
    ):
        open_source("lsl:nobody")
    for what in ("", "type=", "it's"):
        with pytest.raises(SourceError, match="name the stream without quotes"):
            open_source(f"lsl:{what}")


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pylsl", None)
    with pytest.raises(SourceError, match=r"pip install 'ecg-monitor\[lsl\]'"):
        open_source("lsl:ecg")


SENDER = """
import sys, time
import numpy as np, pylsl
from monitor.sources import SourceOptions, open_source
pylsl.set_config_content("[log]\\nlevel = -3\\n")
mv = open_source("sim:sinus=60", SourceOptions(fs_hz=250)).read(15000).samples
info = pylsl.StreamInfo(sys.argv[1], "ECG", 1, 250, "float32", sys.argv[1])
info.set_channel_labels(["II"])
info.set_channel_units("mV")
outlet = pylsl.StreamOutlet(info, chunk_size=25)
assert outlet.wait_for_consumers(30)
began = time.monotonic()
for first in range(0, int(sys.argv[2]), 25):
    outlet.push_chunk(mv[first:first + 25, None].astype("float32"))
    time.sleep(max(0.0, began + first / 250 - time.monotonic()))
print("sent", flush=True)
time.sleep(60)
"""


@pytest.mark.slow
def test_the_command_continues_after_the_sender_was_killed(name: str, tmp_path: Path) -> None:
    def sender(samples: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", SENDER, name, str(samples)], stdout=subprocess.PIPE, text=True, env=environment()
        )

    def killed(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process:
            assert process.stdout.readline() == "sent\n"
            process.kill()

    first = sender(750)
    monitor = subprocess.Popen(
        [*COMMAND, "--source", f"lsl:{name}", "--no-dashboard", *FREE_BUS, "--record", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip
    try:
        killed(first)
        wait_for(lambda: "source_lost" in (tmp_path / "p1" / "alarms.jsonl").read_text(), "the loss")
        killed(sender(750))
        wait_for(lambda: '"gap"' in (tmp_path / "p1" / "alarms.jsonl").read_text(), "the gap")
        monitor.send_signal(signal.SIGINT)
        output, errors = monitor.communicate(timeout=30)
    finally:
        first.kill()
        monitor.kill()
        monitor.communicate()
    assert monitor.returncode == 0, errors
    assert f"p1: lsl:{name}, lead II, 250 Hz" in output
    onsets = [line.split()[3] for line in output.splitlines() if " onset " in line]
    assert set(onsets) <= {"source_lost", "gap", "no_data"}, "no physiological alarm"
    assert onsets.count("gap") == 1
    assert not any(word in errors for word in ("INFO|", "ERR|")), "the log of LSL is off"
    session = json.loads((tmp_path / "p1" / "session.json").read_text())["session"]
    assert session["gaps"] == 1
    assert 1450 <= session["samples_in"] <= 1500
