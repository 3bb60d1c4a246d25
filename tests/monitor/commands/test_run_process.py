"""`ecg-monitor` as a process without a dashboard: signals, kill, closed pipes, full disks, memory."""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import wfdb
import zmq

from tests.monitor.commands.helpers import COMMAND, FREE_BUS, environment
from tests.monitor.engine.helpers import breaking_record
from tests.monitor.sources.helpers import wait_for

QUIET = ("--no-dashboard", *FREE_BUS)


def session_json(folder: Path) -> Any:
    return json.loads((folder / "p1" / "session.json").read_text())


def started(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    """A running monitor and its alarm endpoint."""
    process = subprocess.Popen(
        [*COMMAND, *QUIET, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("alarms on "):
            return process, line.split()[2]
    raise AssertionError(process.communicate()[1])


SIGNALS_AGAIN = (pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGINT, signal.SIGHUP))
SLOW_SIGNALS = (pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGTERM, signal.SIGHUP))


@pytest.mark.parametrize("number", [signal.SIGINT, *SLOW_SIGNALS])
def test_a_signal_ends_the_run_in_order(tmp_path: Path, number: signal.Signals) -> None:
    process, endpoint = started("--speed", "20", "--record", str(tmp_path))
    context = zmq.Context()
    try:
        sub = context.socket(zmq.SUB)
        sub.connect(endpoint)
        sub.subscribe(b"v1/monitor/heartbeat/")  # from the start: a later subscription may arrive after the goodbye
        sub.subscribe(b"v1/p1/beat/")
        states: list[str] = []
        sent = False
        while "goodbye" not in states:
            assert sub.poll(20_000), f"no beat, or no goodbye: {states}"
            topic, body = sub.recv_multipart()
            if topic == b"v1/monitor/heartbeat/":
                states.append(json.loads(body)["state"])
            elif not sent:
                process.send_signal(number)
                sent = True
        assert process.wait(20) == 0
    finally:
        context.destroy(linger=0)
        process.kill()
        process.communicate()
    session = session_json(tmp_path)
    assert session["state"] == "closed"
    assert session["session"]["samples_in"] > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, *SIGNALS_AGAIN])
def test_further_signals_do_not_change_the_end(tmp_path: Path, number: signal.Signals) -> None:
    """They arrive at any moment, also while the interpreter ends."""
    process, _ = started("--speed", "20", "--record", str(tmp_path))
    try:
        deadline_s = time.monotonic() + 60.0
        while process.poll() is None:
            assert time.monotonic() < deadline_s
            process.send_signal(number)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()
    assert session_json(tmp_path)["state"] == "closed"


@pytest.mark.slow
def test_a_closed_pipe_ends_the_run_in_order(tmp_path: Path) -> None:
    process, _ = started("--speed", "50", "--record", str(tmp_path))
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        process.stdout.close()  # as `ecg-monitor | head` does
        assert process.wait(60) == 0
        assert process.stderr.read() == ""
    assert session_json(tmp_path)["state"] == "closed"


@pytest.mark.slow
def test_a_full_disk_on_standard_output_does_not_end_the_run(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        arguments = ("--duration", "30", "--speed", "max", "--record", str(tmp_path))
        done = subprocess.run(
            [*COMMAND, *QUIET, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, env=environment()
        )
    assert done.returncode == 3
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "standard output" in done.stderr
    session = session_json(tmp_path)
    assert session["session"]["samples_in"] == 30 * session["fs_hz"]


@pytest.mark.slow
def test_a_source_that_breaks_is_one_line_and_its_samples_are_kept(tmp_path: Path) -> None:
    record = breaking_record(tmp_path / "source")
    process, _ = started("--source", f"wfdb:{record}", "--speed", "20", "--record", str(tmp_path / "out"))
    with process:
        wait_for(lambda: (tmp_path / "out" / "p1" / "beats.csv").read_text().count("\n") > 3, "beats")
        record.with_suffix(".dat").unlink()
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 3
    assert errors.count("rec") >= 1
    assert len(errors.strip().splitlines()) == 1, errors
    assert "source_lost" in output
    session = session_json(tmp_path / "out")
    assert session["state"] == "closed"
    assert session["session"]["state"] == "source_lost"
    assert session["session"]["samples_in"] == session["recorded"]["samples"] > 0


@pytest.mark.slow
def test_a_full_disk_ends_the_recording_but_not_the_run(tmp_path: Path) -> None:
    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    arguments = ("--duration", "120", "--speed", "max", "--record", str(tmp_path), "--journal", ":memory:")
    done = subprocess.run(
        [*COMMAND, *QUIET, *arguments], capture_output=True, text=True, env=environment(), preexec_fn=small_files
    )
    assert done.returncode == 3, done.stderr
    assert "120.0 s watched" in done.stdout
    assert str(tmp_path) in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_killed_run_leaves_a_readable_recording(tmp_path: Path) -> None:
    process, _ = started("--speed", "20", "--record", str(tmp_path))
    beats = tmp_path / "p1" / "beats.csv"
    wait_for(lambda: beats.read_text().count("\n") >= 30, "30 beats")
    process.kill()
    process.communicate()
    record = wfdb.rdrecord(str(tmp_path / "p1" / "signal"))
    marks = wfdb.rdann(str(tmp_path / "p1" / "signal"), "ecg")
    assert record.sig_len >= marks.sample[-1]
    assert len(marks.sample) >= 29
    assert session_json(tmp_path)["state"] == "recording"


# -- hours of signal ----------------------------------------------------------------------------------------


def resident_mb(pid: int) -> float:
    status = (Path("/proc") / str(pid) / "status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


@pytest.mark.slow
@pytest.mark.parametrize("recording", [False, True], ids=["journal in memory", "recording"])
def test_memory_does_not_grow_with_time(tmp_path: Path, recording: bool) -> None:
    """An hour and a half of the synthetic patient; bounded buffers are full after the first third."""
    hours = 1.5
    arguments = ("--record", str(tmp_path)) if recording else ()
    process, endpoint = started("--speed", "max", "--duration", f"{hours * 3600:g}", *arguments)
    sizes: list[tuple[float, float]] = []  # (signal, h; resident memory, MB)
    context = zmq.Context()
    try:
        sub = context.socket(zmq.SUB)
        sub.connect(endpoint)
        sub.subscribe(b"v1/p1/status/")
        reader = threading.Thread(target=process.communicate)  # the lines of the alarms
        reader.start()
        torch = False
        while sub.poll(60_000):
            status = json.loads(sub.recv_multipart()[1])
            if status["state"] == "ended":
                break
            with contextlib.suppress(OSError, StopIteration):  # the process has ended
                sizes.append((status["sample"] / status["fs_hz"] / 3600, resident_mb(process.pid)))
                torch = torch or "libtorch" in (Path("/proc") / str(process.pid) / "maps").read_text()
        reader.join(60)
        assert process.returncode == 0
    finally:
        context.destroy(linger=0)
        process.kill()
    first = [mb for hour, mb in sizes if hour <= hours / 3]
    rest = [mb for hour, mb in sizes if hour > hours / 3]
    assert len(first) >= 3
    assert len(rest) >= 3
    assert max(mb for _, mb in sizes) < 400
    assert max(rest) - max(first) < 8, sizes
    assert not torch
