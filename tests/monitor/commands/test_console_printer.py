"""Lines on pipes that are real: read, read late, closed, full; the loop never waits where it keeps real time."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.commands.console_printer import ConsolePrinter
from tests.monitor.commands.helpers import COMMAND, FREE_BUS, environment
from tests.monitor.sources.helpers import PATIENCE_S, wait_for

PIPE_BYTES = 4096


class Pipe:
    """A small pipe: what is written to it, and who reads it when the test says so."""

    def __init__(self) -> None:
        self.reading, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.written = os.fdopen(writing, "w", encoding="utf-8")

    def read_all(self) -> Iterator[str]:
        """Lines, until the writing end is closed."""
        with os.fdopen(self.reading, encoding="utf-8") as lines:
            yield from (line.rstrip("\n") for line in lines)


def numbered(n: int) -> list[str]:
    return [f"{i} {'x' * 90}" for i in range(n)]


def test_a_pipe_that_nobody_reads_holds_nothing_up_and_what_was_left_out_is_counted() -> None:
    out, err = Pipe(), Pipe()
    stop = threading.Event()
    with ConsolePrinter(stop, most=100, out=out.written, err=err.written) as lines:
        for line in numbered(1_000):
            lines.say(line)  # here it would stand still for ever
        got: list[str] = []
        reader = threading.Thread(target=lambda: got.extend(out.read_all()))
        reader.start()
    out.written.close()
    err.written.close()
    reader.join(PATIENCE_S)
    (told,) = err.read_all()
    left_out = re.fullmatch(r"ecg-monitor: (\d+) lines were not printed: nobody read them", told)
    assert left_out is not None
    assert 100 <= len(got) < 200
    assert got == numbered(1_000)[: len(got)]
    assert len(got) + int(left_out[1]) == 1_000


def test_a_patient_one_waits_and_leaves_nothing_out() -> None:
    out, err = Pipe(), Pipe()
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.extend(out.read_all()))
    with ConsolePrinter(threading.Event(), patient=True, most=10, out=out.written, err=err.written) as lines:
        for line in numbered(100):
            lines.say(line)
            if line.startswith("40 "):  # the pipe holds some forty of them
                reader.start()
        lines.notice("the end")
    out.written.close()
    err.written.close()
    reader.join(PATIENCE_S)
    assert got == numbered(100)
    assert list(err.read_all()) == ["ecg-monitor: the end"]


def test_one_that_is_told_to_stop_waits_for_nobody() -> None:
    out, err = Pipe(), Pipe()
    stop = threading.Event()
    with ConsolePrinter(stop, patient=True, most=5, out=out.written, err=err.written) as lines:
        threading.Timer(0.2, stop.set).start()
        for line in numbered(60):
            lines.say(line)
    os.close(out.reading)  # the writer, which still waits, finds that out and ends
    lines._writer.join(PATIENCE_S)
    assert not lines._writer.is_alive()
    out.written.close()
    err.written.close()
    os.close(err.reading)


def test_a_reader_that_goes_away_ends_the_watching() -> None:
    out, err = Pipe(), Pipe()
    stop = threading.Event()
    os.close(out.reading)
    with ConsolePrinter(stop, out=out.written, err=err.written) as lines:
        lines.say("nobody")
        wait_for(stop.is_set, "the word to stop")
    assert not lines.failed
    out.written.close()
    err.written.close()
    assert list(err.read_all()) == []


def test_a_full_disk_is_told_once_and_the_watching_goes_on() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    err = Pipe()
    with Path("/dev/full").open("w") as full, ConsolePrinter(threading.Event(), out=full, err=err.written) as lines:
        lines.say("one")
        lines.say("two")
    assert lines.failed
    err.written.close()
    assert list(err.read_all()) == ["ecg-monitor: standard output: No space left on device; alarms are printed no more"]


def test_a_monitor_whose_output_nobody_reads_watches_to_the_end(tmp_path: Path) -> None:
    story = "sim:sinus=10,pvc=6,vt=4,asystole=6,leadsoff=3;repeat=yes"
    argv = [*COMMAND, "--source", story, "--duration", "600", "--speed", "60", *FREE_BUS, "--no-dashboard"]
    pipe = Pipe()
    process = subprocess.Popen(
        [*argv, "--record", str(tmp_path / "rec")], stdout=pipe.written, stderr=subprocess.DEVNULL, env=environment()
    )
    pipe.written.close()
    try:
        session = tmp_path / "rec" / "p1" / "session.json"
        wait_for(lambda: session.exists() and '"session"' in session.read_text(), "the end")
        printed = list(pipe.read_all())
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
    assert sum(len(line) for line in printed) > 2 * PIPE_BYTES, "it would not have filled the pipe"
    assert printed[-1].startswith("p1: 600.0 s watched")
