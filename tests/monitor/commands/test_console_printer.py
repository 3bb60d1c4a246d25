"""ConsolePrinter on real pipes: read, read late, closed, full; in real time the caller never waits."""

from __future__ import annotations

import fcntl
import io
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from monitor.commands import console_printer
from monitor.commands.console_printer import ConsolePrinter
from tests.monitor.bus.helpers import alarm
from tests.monitor.commands.helpers import COMMAND, FREE_BUS, environment
from tests.monitor.sources.helpers import PATIENCE_S, wait_for

PIPE_BYTES = 4096


class Pipe:
    """A small pipe that the test reads when it wants to."""

    def __init__(self) -> None:
        self.reading, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.written = os.fdopen(writing, "w", encoding="utf-8")

    def read_all(self) -> Iterator[str]:
        """Lines until the writing end is closed."""
        with os.fdopen(self.reading, encoding="utf-8") as lines:
            yield from (line.rstrip("\n") for line in lines)


def numbered(n: int) -> list[str]:
    return [f"{i} {'x' * 90}" for i in range(n)]


def test_a_pipe_that_is_not_read_blocks_nothing_and_dropped_lines_are_counted() -> None:
    out, err = Pipe(), Pipe()
    stop = threading.Event()
    with ConsolePrinter(stop, queued_lines=100, out=out.written, err=err.written) as printer:
        for line in numbered(1_000):
            printer.line(line)  # must not block
        got: list[str] = []
        reader = threading.Thread(target=lambda: got.extend(out.read_all()))
        reader.start()
    out.written.close()
    err.written.close()
    reader.join(PATIENCE_S)
    (notice,) = err.read_all()
    dropped = re.fullmatch(r"ecg-monitor: (\d+) lines were not printed: the output was not read", notice)
    assert dropped is not None
    assert 100 <= len(got) < 200
    assert got == numbered(1_000)[: len(got)]
    assert len(got) + int(dropped[1]) == 1_000


def test_a_printer_that_may_wait_drops_nothing() -> None:
    out, err = Pipe(), Pipe()
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.extend(out.read_all()))
    with ConsolePrinter(threading.Event(), may_wait=True, queued_lines=10, out=out.written, err=err.written) as printer:
        for line in numbered(100):
            printer.line(line)
            if line.startswith("40 "):  # the pipe holds about 40 lines
                reader.start()
        printer.notice("the end")
    out.written.close()
    err.written.close()
    reader.join(PATIENCE_S)
    assert got == numbered(100)
    assert list(err.read_all()) == ["ecg-monitor: the end"]


def test_after_stop_it_does_not_wait_for_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_printer, "_GRACE_S", 0.2)
    out, err = Pipe(), Pipe()
    stop = threading.Event()
    with ConsolePrinter(stop, may_wait=True, queued_lines=5, out=out.written, err=err.written) as printer:
        threading.Timer(0.2, stop.set).start()
        for line in numbered(60):
            printer.line(line)
    os.close(out.reading)  # ends the writer thread, which still waits
    wait_for(lambda: "lines" not in [thread.name for thread in threading.enumerate()], "the end of the writer thread")
    out.written.close()
    err.written.close()
    os.close(err.reading)


def test_a_closed_pipe_sets_stop() -> None:
    out, err = Pipe(), Pipe()
    stop = threading.Event()
    os.close(out.reading)
    with ConsolePrinter(stop, out=out.written, err=err.written) as printer:
        printer.line("text")
        wait_for(stop.is_set, "stop")
    assert not printer.failed
    out.written.close()
    err.written.close()
    assert list(err.read_all()) == []


def test_a_full_disk_is_printed_once_and_does_not_set_stop() -> None:
    err = Pipe()
    stop = threading.Event()
    with Path("/dev/full").open("w") as full, ConsolePrinter(stop, out=full, err=err.written) as printer:
        printer.line("one")
        printer.line("two")
    assert printer.failed
    assert not stop.is_set()
    err.written.close()
    assert list(err.read_all()) == ["ecg-monitor: standard output: No space left on device; no more alarms are printed"]


@pytest.mark.slow
def test_a_monitor_whose_output_is_not_read_runs_to_the_end(tmp_path: Path) -> None:
    story = "sim:sinus=10,pvc=6,vt=4,asystole=6,leadsoff=3;repeat=yes"
    argv = [*COMMAND, "--source", story, "--duration", "300", "--speed", "60", *FREE_BUS, "--no-dashboard"]
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
    assert sum(len(line) for line in printed) > 2 * PIPE_BYTES, "too little to fill the pipe"
    assert printed[-2].startswith("p1: 300.0 s watched")
    assert printed[-1].startswith(f"recording: {tmp_path / 'rec'}; its alarms: ecg-monitor alarms --record ")


def test_an_alarm_that_comes_back_is_printed_each_time_with_its_count() -> None:
    out = io.StringIO()
    first = alarm(100, kind="gap")
    with ConsolePrinter(threading.Event(), out=out) as printer:
        for state, count, update in [
            ("onset", 1, False), ("onset", 2, True), ("onset", 3, False), ("latched", 3, False), ("onset", 4, False),
            ("cleared", 4, False),
        ]:  # fmt: skip
            changes = {"state": state, "count": count, "update": update}
            printer.alarm(msgspec.structs.replace(first, alarm=msgspec.structs.replace(first.alarm, **changes)))
    lines = out.getvalue().splitlines()
    assert [line.split()[4] for line in lines] == ["onset", "onset", "latched", "onset", "cleared"]
    assert [found[1] if (found := re.search(r"\((\d+) times\)", line)) else "" for line in lines] == [
        "", "3", "3", "4", "4",
    ]  # fmt: skip
