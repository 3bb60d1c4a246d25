"""Samples pushed by another program: real sockets and processes, valid and invalid messages."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from monitor.errors import SourceError
from monitor.sources import Chunk, EndOfStream, Notice, SourceOptions, open_source
from monitor.sources.live.zmq import FRAME_BYTES, ZmqSource
from tests.monitor.commands.helpers import COMMAND, FREE_BUS, environment, free_endpoint
from tests.monitor.sources.helpers import gather, traced, wait_for
from tests.monitor.sources.live.helpers import header, message

ROOT = Path(__file__).parents[4]


class Line:
    """A sender and a source on a socket file of their own, with a clock that the test moves."""

    def __init__(self, folder: Path, *, publish: bool = False, **options: Any) -> None:
        self.now_s = 100.0
        self.endpoint = f"ipc://{folder}/ecg"
        self.context = zmq.Context()
        self.sender = self.context.socket(zmq.XPUB if publish else zmq.PUSH)
        settings = SourceOptions(**{"fs_hz": 250.0, "clock": lambda: self.now_s, **options})
        if publish:
            self.sender.bind(self.endpoint)
        else:
            self.sender.connect(self.endpoint)
        self.source = ZmqSource(("sub+" if publish else "") + self.endpoint, settings, "zmq:x")
        if publish:
            assert self.sender.recv() == b"\x01"  # subscribed: no later message is lost

    def send(self, frames: list[bytes]) -> None:
        self.sender.send_multipart(frames)

    def read_until(self, last: int, max_samples: int = 10_000) -> tuple[dict[int, float], list[Notice]]:
        """Read up to a sample; return the samples by index, and the notices."""
        return gather(self.source, lambda samples, _: last in samples, max_samples)

    def close(self) -> None:
        self.source.close()
        self.context.destroy(linger=0)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path)
    yield made
    made.close()


WAVE = np.sin(np.arange(200) / 9).round(4)


@pytest.mark.parametrize("publish", [False, True], ids=["PULL", "SUB"])
@pytest.mark.parametrize("max_samples", [1, 7, 1000])
def test_all_forms_of_messages_are_read(tmp_path: Path, publish: bool, max_samples: int) -> None:
    with contextlib.closing(Line(tmp_path, publish=publish)) as line:
        topic = [b"ecg/1"] if publish else []
        ways: list[tuple[dict[str, Any], float]] = [
            ({}, 1.0),
            ({"dtype": "float64", "unit": "uV"}, 1000.0),
            ({"dtype": "int16", "unit": "adc", "mv_per_unit": -1e-4}, -1e4),
            ({"dtype": "float64", "unit": "V"}, 1e-3),
        ]
        for i, (fields, per_mv) in enumerate(ways):
            line.send([*topic, *message(50 * i, (WAVE[50 * i : 50 * i + 50] * per_mv).round(9).tolist(), **fields)])
        whole = header(200, 3, samples=[0.5, None, -0.5])
        line.send([*topic, json.dumps(whole).encode()])
        samples, notices = line.read_until(202, max_samples)
        assert list(samples) == list(range(203))
        np.testing.assert_allclose([samples[i] for i in range(200)], WAVE, atol=1.1e-4)
        np.testing.assert_array_equal([samples[i] for i in range(200, 203)], [0.5, np.nan, -0.5])
        assert notices == []
        assert line.source.read(10) is None


def test_lost_samples_are_a_gap_in_the_senders_index(line: Line) -> None:
    line.send(message(1000, [1.0, 2.0]))
    line.send(message(1010, [3.0]))
    samples, notices = line.read_until(1010)
    assert samples == {1000: 1.0, 1001: 2.0, 1010: 3.0}
    assert notices == []


BAD: list[tuple[list[bytes], str]] = [
    ([b""], "header"),
    ([b"\xff\xfe{"], "header"),
    ([b"{"], "header"),
    ([b"[1,2]"], "header"),
    ([b'{"schema":"samples/1","fs_hz":250,"first_sample":2,"n":1,"samples":[NaN]}'], "header"),
    ([b"[" * 100_000], "header"),
    ([json.dumps(header(2, 1)).encode()], "1 frames"),
    ([json.dumps(header(2, 1, samples=[1])).encode(), b"1234"], "2 frames"),
    ([json.dumps(header(2, 1)).encode(), b"1234", b"1234"], "3 frames"),
    ([json.dumps(header(2, 2, samples=[1])).encode()], "n is 2, but there are 1 samples"),
    ([json.dumps(header(2, 2)).encode(), b"1234"], "n is 2 float32, but the second frame holds 4 bytes"),
    (message(2, [1.0], schema="samples/2"), "samples/2"),
    (message(2, [1.0], fs_hz=360), "fs_hz 360, but this source has 250 Hz"),
    (message(2, [1.0], fs_hz="250"), "fs_hz"),
    (message(2, [1.0], units="uV"), "units"),
    (message(2, [1.0], unit="mmHg"), "mmHg"),
    (message(2, [1.0], unit="adc"), "mv_per_unit"),
    (message(2, [1.0], unit="adc", mv_per_unit=0), "mv_per_unit"),
    (message(2, [1.0], mv_per_unit=3), "mv_per_unit"),
    (message(2, [1.0], time="yesterday"), "'yesterday' is not ISO 8601"),
    (message(1, [1.0]), "first_sample 1 runs back, 2 was due"),
    (message(-1, [1.0]), "first_sample"),
    (message(2**60, [1.0]), "first_sample"),
    (message(2**40, [1.0]), "more than a day and the time since the start"),
]


@pytest.mark.parametrize(("frames", "error"), BAD)
def test_an_invalid_message_is_refused_and_counted(line: Line, frames: list[bytes], error: str) -> None:
    line.send(message(0, [0.1, 0.2]))
    line.read_until(1)
    line.send(frames)
    line.send(frames)
    line.send(message(4, [0.5]))
    samples, notices = line.read_until(4)
    assert list(samples) == [4]
    assert [notice.kind for notice in notices] == ["bad_input"] * len(notices)
    assert sum(notice.count for notice in notices) == 2
    assert error in notices[0].text
    assert all("\n" not in notice.text and len(notice.text) < 300 for notice in notices)


def test_impossible_values_are_nan_and_counted(line: Line) -> None:
    line.send(message(0, [0.5, np.nan, np.inf, -np.inf, 1e9, -0.5]))
    line.send(message(6, [-32768, 100], dtype="int16", unit="uV"))
    samples, notices = line.read_until(7)
    np.testing.assert_allclose(list(samples.values()), [0.5, *[np.nan] * 4, -0.5, np.nan, 0.1])
    assert sum(notice.count for notice in notices) == 3, "NaN is leads off and not counted"
    assert "infinite or beyond" in notices[0].text


@pytest.mark.parametrize("epochs", [("a", "b"), ("", "")], ids=["new epoch", "counts from 0 again"])
def test_a_restarted_sender_is_a_gap_of_its_silence(line: Line, epochs: tuple[str, str]) -> None:
    line.send(message(0, [0.1] * 250, epoch=epochs[0]))
    line.read_until(249)
    line.now_s += 4.0
    line.send(message(0, [0.2] * 250, epoch=epochs[1]))
    line.send(message(250, [0.3], epoch=epochs[1]))
    samples, notices = line.read_until(1250)
    assert list(samples) == list(range(1000, 1251)), "of 4 s silence, 3 s are missing and 1 s was late"
    assert [notice.kind for notice in notices] == ["source_back"]
    assert "750 samples missing" in notices[0].text


def test_of_two_senders_the_last_one_is_read(line: Line) -> None:
    line.send(message(0, [0.1] * 5, epoch="a"))
    line.read_until(4)
    line.now_s += 2.0
    line.send(message(0, [0.25] * 5, epoch="b"))
    line.send(message(5, [0.1] * 5, epoch="a"))
    line.send(message(5, [0.25] * 5, epoch="b"))
    line.send(message(0, [0.3] * 5, epoch="c"))
    line.send(message(10, [0.25] * 5, epoch="b"))
    samples, notices = line.read_until(514)
    assert list(samples.values()) == [0.25] * 15
    refused = [notice for notice in notices if notice.kind == "bad_input"]
    assert sum(notice.count for notice in refused) == 2
    assert "epoch 'a' has ended" in refused[0].text


def test_a_frame_above_the_limit_is_not_read(line: Line) -> None:
    line.send(message(0, [0.1]))
    line.read_until(0)
    line.send([json.dumps(header(1, 500_000)).encode(), bytes(2 * FRAME_BYTES)])
    attempts = itertools.count(700_000)

    def received() -> bool:  # ZeroMQ cuts the connection, and with it may drop some messages
        line.send(message(next(attempts), [0.2]))
        time.sleep(0.02)
        chunk = line.source.read(10)
        assert chunk is None or chunk.first_sample >= 700_000
        return chunk is not None and chunk.samples.size > 0

    wait_for(received, "a message on a new connection")


def test_a_flood_waits_at_the_sender_and_is_read_complete(line: Line) -> None:
    line.sender.set_hwm(10)
    piece = np.full(10_000, 0.25)
    sent_messages = 0
    with traced() as memory:
        while line.sender.poll(500, zmq.POLLOUT):
            line.send(message(10_000 * sent_messages, piece))
            sent_messages += 1
            assert sent_messages < 5000, "no buffer holds as much"
        assert memory()[1] < 4e6, "the source reads nothing ahead"
    last = 10_000 * sent_messages - 1
    end = 0

    def complete() -> bool:
        nonlocal end
        chunk = line.source.read(5000)
        if chunk is not None:
            assert (chunk.first_sample, chunk.notices) == (end, ())
            end += chunk.samples.size
        return end > last

    wait_for(complete, "all samples")


def test_duration_is_counted_in_samples(tmp_path: Path) -> None:
    with contextlib.closing(Line(tmp_path, duration_s=0.04)) as line:
        line.send(message(100, [0.1] * 6))
        line.send(message(108, [0.1] * 100))
        assert list(line.read_until(109)[0]) == [*range(100, 106), 108, 109]
        with pytest.raises(EndOfStream):
            line.source.read(10)


def test_without_a_rate_the_first_valid_message_sets_it(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/ecg"
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.connect(endpoint)
        push.send(b"rubbish")
        push.send_multipart(message(0, [0.1], fs_hz=5))
        push.send_multipart(message(500, [0.5], lead="V5", time="2026-03-01T12:00:02+01:00"))
        source = open_source(f"zmq:{endpoint}")
        assert (source.fs_hz, source.lead, source.live) == (250.0, "V5", True)
        assert source.start_time == "2026-03-01T12:00:00+01:00"
        chunk = source.read(10)
        assert isinstance(chunk, Chunk)
        assert (chunk.first_sample, chunk.samples.tolist()) == (500, [0.5])
        assert [notice.count for notice in chunk.notices] == [2]
        source.close()
        source.close()
        with pytest.raises(SourceError, match="closed"):
            source.read(10)


def test_no_message_in_time_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.sources.live.zmq._FIRST_MESSAGE_S", 0.1)
    with pytest.raises(SourceError, match=r"no message came within 0\.1 s; start the sender, or give --fs"):
        open_source(f"zmq:ipc://{tmp_path}/ecg")


@pytest.mark.parametrize(
    ("endpoint", "options", "error"),
    [
        ("", {}, "not understood; give e.g. zmq:tcp"),
        ("nonsense", {}, "not understood"),
        ("udp://127.0.0.1:5600", {}, "not understood"),
        ("tcp://127.0.0.1:*", {}, "not understood"),
        ("tcp://127.0.0.1", {}, "not understood"),
        ("tcp://127.0.0.1:70000", {}, "not understood"),
        ("tcp://no.such.host:5600", {}, "listen on 127.0.0.1"),
        ("tcp://0.0.0.0:5600", {}, "listen on 127.0.0.1"),
        ("tcp://*:5600", {}, "listen on 127.0.0.1"),
        ("tcp://192.0.2.1:5600", {}, "listen on 127.0.0.1"),
        ("ipc:///nowhere/at/all", {}, "cannot be bound"),
        ("tcp://127.0.0.1:5600", {"start_s": 3.0}, "leave out --start"),
        ("tcp://127.0.0.1:5600", {"unit": "adc"}, "--mv-per-unit"),
        ("tcp://127.0.0.1:5600", {"fs_hz": 50.0}, "between 100 and 100000 Hz"),
    ],
)
def test_unusable_endpoints_are_refused_in_one_line(endpoint: str, options: dict[str, Any], error: str) -> None:
    with pytest.raises(SourceError, match=error) as refused:
        open_source(f"zmq:{endpoint}", SourceOptions(**{"fs_hz": 250.0, **options}))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("scheme", ["tcp", "ipc"])
def test_an_endpoint_in_use_is_refused(tmp_path: Path, scheme: str) -> None:
    endpoint = free_endpoint() if scheme == "tcp" else f"ipc://{tmp_path}/ecg"
    first = open_source(f"zmq:{endpoint}", SourceOptions(fs_hz=250))
    with pytest.raises(SourceError, match=f"{endpoint} is in use by another program"):
        open_source(f"zmq:{endpoint}", SourceOptions(fs_hz=250))
    first.close()
    open_source(f"zmq:{endpoint}", SourceOptions(fs_hz=250)).close()


@pytest.mark.slow
def test_the_command_reads_the_example_pusher(tmp_path: Path) -> None:
    """Two runs of the pusher in tools/ and one monitor: a gap, no physiological alarm."""
    endpoint = free_endpoint()
    arguments = ("--source", f"zmq:{endpoint}", "--no-dashboard", *FREE_BUS, "--record", str(tmp_path))
    push = [sys.executable, str(ROOT / "tools" / "examples" / "push_samples.py"), endpoint]
    monitor = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    host, port = endpoint.removeprefix("tcp://").split(":")

    def listens() -> bool:
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1.0):
            return True
        return False

    try:
        wait_for(listens, "the monitor to listen")
        for seconds in (4, 10):  # the second run holds the end of an analysis window for every length of the gap
            subprocess.run([*push, str(seconds)], check=True, timeout=60)
        beats = tmp_path / "p1" / "beats.csv"
        wait_for(lambda: beats.read_text().count("\n") > 6, "beats of the second run")
        monitor.send_signal(signal.SIGINT)
        output, errors = monitor.communicate(timeout=30)
    finally:
        monitor.kill()
        monitor.communicate()
    assert monitor.returncode == 0, errors
    assert f"p1: zmq:{endpoint}, lead ECG, 250 Hz" in output
    assert "the sender started again" in errors
    kinds = {line.split()[3] for line in output.splitlines() if " onset " in line}
    assert kinds <= {"gap", "no_data"}
    assert "gap" in kinds
    session = json.loads((tmp_path / "p1" / "session.json").read_text())["session"]
    assert session["samples_in"] == 14 * 250
    assert session["gaps"] == 1


def test_a_source_counts_its_waiting_samples(line: Line) -> None:
    line.send(message(0, [0.1] * 1000))
    wait_for(lambda: line.source.read(100) is not None, "the first samples")
    assert line.source.waiting == 900


def test_a_sender_that_jumps_at_each_message_is_refused_after_a_day(line: Line) -> None:
    """Else each message would be a gap, an event and an alarm; a new epoch is taken."""
    hour = 3600 * 250
    for number in range(60):
        line.send(message(number * 23 * hour, [0.5]))
    line.send(message(0, [0.75], epoch="again"))
    samples, notices = line.read_until(23 * hour + 2)
    assert len(samples) == 3
    assert sum(notice.count for notice in notices if notice.kind == "bad_input") == 58


def test_rows_whose_time_jumps_at_each_message_lose_at_most_a_day(line: Line) -> None:
    for number in range(60):
        start_s = number * 23 * 3600
        line.send([b"".join(b"%.3f,%.4f\n" % (start_s + i / 250, np.sin(i / 9)) for i in range(1000))])
    line.send([b"5000000,9.5\n5000000.004,9.5\n"])
    samples, notices = gather(line.source, lambda samples, _: 9.5 in samples.values(), 10_000)
    assert max(samples) < 250 * (2 * 86_400 + 60 * 4)
    assert sum(notice.count for notice in notices if notice.kind == "bad_input") >= 58


def test_numbers_that_no_time_can_hold_are_refused(line: Line) -> None:
    line.send(message(2**53, [0.5]))
    line.send(message(0, [0.5], time="9999-12-31T23:00:00"))
    line.send(message(0, [0.5], time="2026-01-01T00:00:00"))
    samples, notices = line.read_until(0)
    assert list(samples) == [0]
    assert sum(notice.count for notice in notices) == 2


def test_rows_as_text_are_read(tmp_path: Path) -> None:
    rows = [f"{i * 4},{v * 1000:.1f}" for i, v in enumerate(WAVE)]
    with contextlib.closing(Line(tmp_path)) as line:
        line.send([("ms,ECG [uV]\n" + "\n".join(rows[:150])).encode()])
        line.send([b"topic", "\n".join(["ms,ECG [uV]", *rows[150:], "?"]).encode()])
        samples, notices = line.read_until(len(WAVE) - 1)
        assert list(samples.values()) == pytest.approx(WAVE.tolist(), abs=1e-6)
        assert (line.source.unit, line.source.lead) == ("uV", "ECG")
        assert any("unreadable rows" in notice.text for notice in notices)


def test_text_after_binary_messages_is_refused(tmp_path: Path) -> None:
    with contextlib.closing(Line(tmp_path)) as line:
        line.send(message(0, WAVE[:10]))
        line.send([b"0.1\n0.2\n"])
        line.send(message(10, WAVE[10:20]))
        _, notices = line.read_until(19)
        assert any("text after samples/1" in notice.text for notice in notices)
