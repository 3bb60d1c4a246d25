"""The program on a real terminal: its screen, its keys, and the terminal's settings afterwards."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.monitor.commands.helpers import COMMAND, FREE_BUS, environment, free_endpoint
from tests.monitor.dashboard.terminal import (
    LEAVE,
    NOTICE,
    SHOW,
    TIMEOUT_S,
    TRACE,
    interrupt,
    output_after,
    start_in_shell,
    wait_for_trace,
)
from tests.monitor.dashboard.ward_helpers import WardMonitor
from tests.monitor.engine.helpers import breaking_record

ROWS, COLUMNS = 30, 100

Start = Callable[..., pexpect.spawn]
Ward = Callable[..., WardMonitor]


def terminal_environment() -> dict[str, str]:
    kept = environment(TERM="xterm-256color", PYTHONUTF8="1", LANG="C.UTF-8")
    return {name: value for name, value in kept.items() if name not in ("COLUMNS", "LINES", "PYTHONUNBUFFERED")}


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Start]:
    """Starts a monitor in a shell on a pseudo-terminal; the shell writes `stty -a` before and after to files."""
    children: list[pexpect.spawn] = []

    def start(*arguments: str, **variables: str) -> pexpect.spawn:
        command = shlex.join([*COMMAND, *arguments])
        env = terminal_environment() | variables
        children.append(start_in_shell(command, tmp_path, env, ROWS, COLUMNS))
        return children[-1]

    yield start
    for child in children:
        child.close(force=True)


@pytest.fixture
def ward() -> Iterator[Ward]:
    """Starts a monitor of many beds."""
    with contextlib.ExitStack() as stack:

        def start(*arguments: Any, **options: Any) -> WardMonitor:
            monitor = WardMonitor(*arguments, **options)
            stack.callback(monitor.stop)
            return monitor

        yield start


def ended(child: pexpect.spawn, tmp_path: Path, code: int) -> str:
    """Wait for the exit code; returns the output after the dashboard."""
    written = output_after(child, tmp_path, code)
    assert "Traceback" not in written
    return written.rpartition(LEAVE)[2].partition("code:")[0].replace(SHOW, "").strip()


HELD_IMPORT = """
import sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            open({!r}).read()

sys.meta_path.insert(0, Finder())
"""
SUMMARY = r"p1: [\d.]+ s watched, \d+ beats, .* samples lost, alarms: \d+ high, \d+ medium, \d+ low"


def summary_of(child: pexpect.spawn, tmp_path: Path, code: int = 0) -> list[str]:
    """Lines after the summary of the only bed, which comes first."""
    first, *rest = ended(child, tmp_path, code).splitlines()
    assert re.fullmatch(SUMMARY, first.strip()), first
    return rest


def test_it_shows_the_synthetic_patient_and_q_quits(shell: Start, tmp_path: Path) -> None:
    child = shell("--speed", "20", "--bus", free_endpoint())
    child.expect_exact(NOTICE)
    wait_for_trace(child)
    for word in ("heart rate, bpm", "score  "):
        child.expect_exact(word)
    assert child.logfile_read is not None
    shown = child.logfile_read.getvalue()
    for word in ("p1", "sim", "250 Hz"):
        assert word in shown
    for alarm in ("ventricular run", "asystole", "leads off"):
        child.expect_exact(alarm)
    child.send("a")
    child.expect_exact("acknowledged: ")
    child.send("q")
    assert summary_of(child, tmp_path) == []


def test_the_bell_rings_until_the_alarm_is_acknowledged(shell: Start, ward: Ward, tmp_path: Path) -> None:
    monitor = ward(["p1"], [("p1", "asystole", "high")])
    child = shell("watch", "--bell", "--connect", monitor.endpoint)
    child.expect_exact("\x07")
    child.expect_exact("\x07")  # 8 s later
    child.send("a")
    child.expect_exact("ACKNOWLEDGED")
    child.send("q")
    assert ended(child, tmp_path, 0) == ""
    assert child.logfile_read is not None
    assert "\x07" not in child.logfile_read.getvalue().rpartition("ACKNOWLEDGED")[2]


def test_without_the_option_no_bell_rings(shell: Start, ward: Ward, tmp_path: Path) -> None:
    monitor = ward(["p1"], [("p1", "asystole", "high")])
    child = shell("watch", "--connect", monitor.endpoint)
    child.expect_exact("asystole")
    child.send("a")
    child.expect_exact("ACKNOWLEDGED")
    child.send("q")
    assert ended(child, tmp_path, 0) == ""
    assert child.logfile_read is not None
    assert "\x07" not in child.logfile_read.getvalue()


def test_a_bell_without_the_dashboard_is_refused_in_a_line() -> None:
    command = [*COMMAND, "--bell", "--no-dashboard", "--duration", "5", "--speed", "max", *FREE_BUS]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0
    assert "ecg-monitor: --bell: without the dashboard no bell rings" in done.stderr
    assert "\x07" not in done.stdout
    assert re.search(SUMMARY, done.stdout)


@pytest.mark.slow
def test_the_address_of_the_page_is_shown_on_the_dashboard(shell: Start, tmp_path: Path) -> None:
    child = shell("--web", "0", *FREE_BUS)
    child.expect(r"page on (http://127\.0\.0\.1:[0-9]+/)")
    address = child.match[1].decode() if isinstance(child.match[1], bytes) else child.match[1]
    wait_for_trace(child)
    child.expect_exact(f"page on {address}")  # once more, on the dashboard
    with urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer:
        assert b"ecg-monitor" in answer.read()
    child.send("q")
    assert "watched" in ended(child, tmp_path, 0)  # the summary alone
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(address, timeout=TIMEOUT_S)


@pytest.mark.slow
@pytest.mark.parametrize("number", [None, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_and_signals_end_it_in_order(shell: Start, tmp_path: Path, number: signal.Signals | None) -> None:
    files = {"recording": ("--record", tmp_path / "out"), "journal": ("--journal", tmp_path / "a b.sqlite")}
    child = shell("--speed", "10", *FREE_BUS, *(str(word) for option in files.values() for word in option))
    wait_for_trace(child)
    interrupt(child, tmp_path, number)
    lines = summary_of(child, tmp_path)
    assert [line.partition(":")[0] for line in lines] == list(files)
    assert lines[0].strip() == f"recording: {tmp_path / 'out'}"
    for line in lines[1:]:
        argv = shlex.split(line.partition("its alarms: ecg-monitor ")[2])
        assert (
            subprocess.run([*COMMAND, *argv], env=environment(), capture_output=True, timeout=TIMEOUT_S).returncode == 0
        )
    assert '"state": "closed"' in (tmp_path / "out" / "p1" / "session.json").read_text()


@pytest.mark.slow
def test_a_source_that_breaks_ends_in_one_line(shell: Start, tmp_path: Path) -> None:
    record = breaking_record(tmp_path / "source")
    child = shell("--source", f"wfdb:{record}", "--speed", "40", *FREE_BUS)
    wait_for_trace(child)
    record.with_suffix(".dat").unlink()
    (line,) = [text for text in ended(child, tmp_path, 3).splitlines() if " s watched, " not in text]
    assert line.startswith("ecg-monitor: wfdb:")
    assert "rec" in line


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--source", "mitdb:nonsense"), "nonsense"),  # before the dashboard is drawn
        pytest.param(("--model", "/nowhere.onnx"), "/nowhere.onnx", marks=pytest.mark.slow),  # after
    ],
)
def test_an_error_at_the_start_is_one_line(
    shell: Start, tmp_path: Path, arguments: tuple[str, ...], expected: str
) -> None:
    line = ended(shell(*FREE_BUS, *arguments), tmp_path, 2)
    assert len(line.splitlines()) == 1, line
    assert line.startswith("ecg-monitor: ")
    assert expected in line


@pytest.mark.slow
def test_the_first_frame_does_not_wait_for_the_model(shell: Start, tmp_path: Path) -> None:
    fifo = tmp_path / "hold"
    os.mkfifo(fifo)  # the import of the runtime of the model waits until the test writes
    (tmp_path / "sitecustomize.py").write_text(HELD_IMPORT.format(str(fifo)))
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", ""), str(Path.cwd())])
    child = shell(*FREE_BUS, PYTHONPATH=path)
    child.expect_exact(NOTICE)
    child.expect_exact("waiting for the monitor")
    fifo.write_bytes(b"go")
    wait_for_trace(child)
    child.send("q")
    assert summary_of(child, tmp_path) == []


@pytest.mark.slow
def test_after_the_end_of_the_record_the_screen_stays_until_q(shell: Start, tmp_path: Path) -> None:
    child = shell("--duration", "12", "--speed", "max", *FREE_BUS)
    wait_for_trace(child)
    child.expect_exact("MONITOR ENDED")
    child.send("q")
    assert summary_of(child, tmp_path) == []


@pytest.mark.slow
def test_watch_shows_a_killed_monitor_and_its_restart(shell: Start, tmp_path: Path) -> None:
    endpoint = free_endpoint()
    command = [*COMMAND, "--no-dashboard", "--speed", "5", "--bus", endpoint, "--bed", "icu-4"]
    with contextlib.ExitStack() as stack:

        def monitor() -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env=environment(),
            )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        first = monitor()
        child = shell("watch", "--connect", endpoint)
        wait_for_trace(child)
        child.expect_exact("icu-4")
        child.expect_exact("connected")
        first.kill()
        child.expect_exact("CONNECTION LOST")
        monitor()
        child.expect("● connected")
        child.expect(TRACE)
        child.send("q")
        assert ended(child, tmp_path, 0) == ""


@pytest.mark.slow
def test_a_ward_opens_a_bed_acknowledges_its_alarm_and_returns(shell: Start, ward: Ward, tmp_path: Path) -> None:
    monitor = ward([f"bed-{number}" for number in range(1, 41)], [("bed-33", "asystole", "high")])
    child = shell("watch", "--connect", monitor.endpoint)
    child.expect_exact("40 beds")
    child.expect_exact("!!! bed-33")
    child.expect(TRACE)
    child.expect_exact("page 1 of 2")
    child.send("\x1b[C")  # to the bed beside it, and back
    child.send("\x1b[D")
    child.send("\r")
    child.expect_exact("heart rate, bpm")
    child.expect_exact("!!! HIGH")
    child.send("a")
    child.expect_exact("acknowledged: asystole")
    child.expect_exact("ACKNOWLEDGED")
    child.send("\x1b")
    child.expect_exact("40 beds")
    child.expect_exact("asystole ✓")
    child.send("\x1b[6~")
    child.expect_exact("page 2 of 2")
    child.send("?")
    child.expect_exact("open the bed under the cursor")
    child.send("q")
    assert ended(child, tmp_path, 0) == ""
    assert [alarm_id for alarm_id, _ in monitor.acknowledged] == ["bed-33/asystole/0"]


@pytest.mark.slow
def test_a_monitor_of_many_beds_starts_with_its_ward(shell: Start, tmp_path: Path) -> None:
    child = shell("--source", "sim", "--beds-count", "5", "--speed", "5", *FREE_BUS)
    child.expect_exact("5 beds")
    child.expect(TRACE)
    for key, seen in (("\r", "heart rate, bpm"), ("b", "RR "), ("w", "5 beds")):
        child.send(key)
        child.expect_exact(seen)
    child.send("q")
    lines = ended(child, tmp_path, 0).splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"b000{number}" for number in range(1, 6)]


@pytest.mark.slow
def test_of_two_monitors_the_lost_one_is_named(shell: Start, ward: Ward, tmp_path: Path) -> None:
    one = ward(["icu-1", "icu-2"], epoch="one")
    two = ward(["icu-1", "icu-9"], [("icu-1", "asystole", "high")], epoch="two")
    places = [monitor.endpoint.removeprefix("tcp://") for monitor in (one, two)]
    child = shell("watch", "--connect", one.endpoint, "--connect", two.endpoint)
    child.expect_exact("all 2 connected")
    child.expect_exact(f"!!! icu-1@{places[1]}")
    child.send("a")
    child.expect_exact(f"acknowledged: asystole (icu-1@{places[1]})")
    child.expect_exact("asystole ✓")
    assert (len(one.acknowledged), len(two.acknowledged)) == (0, 1)
    one.stop()
    child.expect_exact("1 of 2 not connected")
    child.expect(f"✕ LOST.{{0,30}}{re.escape(places[0])}")  # in the line of monitors
    child.expect_exact("CONNECTION LOST ")  # and in its tiles
    child.send("q")
    assert ended(child, tmp_path, 0) == ""


@pytest.mark.slow
def test_watch_draws_a_picture_of_a_ward(ward: Ward, tmp_path: Path) -> None:
    monitor = ward(["icu-1", "icu-2", "icu-3"], [("icu-2", "tachycardia", "medium")])
    picture = tmp_path / "ward.svg"
    command = [*COMMAND, "watch", "--connect", monitor.endpoint, "--svg", str(picture), "--after", "4"]
    subprocess.run(command, env=environment(), check=True, timeout=TIMEOUT_S)
    words = picture.read_text("utf-8").replace("&#160;", " ")
    for word in ("icu-1", "icu-2", "icu-3", "tachycardia", "beds"):
        assert word in words
    assert re.search(TRACE, words)


def test_a_picture_without_a_monitor_is_one_line_and_no_file(tmp_path: Path) -> None:
    picture, nowhere = tmp_path / "none.svg", f"ipc://{tmp_path}/none"
    command = [*COMMAND, "watch", "--connect", nowhere, "--svg", str(picture), "--after", "1"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=TIMEOUT_S)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"ecg-monitor: no monitor answers at {nowhere}; start one, or name its address: --connect\n"
    assert not picture.exists()


@pytest.mark.slow
def test_a_picture_of_an_unknown_bed_names_the_beds(ward: Ward, tmp_path: Path) -> None:
    monitor = ward(["icu-1", "icu-2"], [])
    command = [*COMMAND, "watch", "--connect", monitor.endpoint, "--svg", str(tmp_path / "x.svg"), "--after", "3"]
    done = subprocess.run([*command, "--bed", "p9"], env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "ecg-monitor: --bed p9: no monitor has it; there are icu-1, icu-2\n")


def tmux(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["tmux", "-S", str(folder / "socket"), "-f", "/dev/null", *arguments],
        capture_output=True, text=True, encoding="utf-8", env=terminal_environment(), timeout=TIMEOUT_S, check=True,
    ).stdout  # fmt: skip


if shutil.which("tmux"):  # the screen as a terminal renders it, cell by cell

    @pytest.mark.slow
    def test_a_terminal_multiplexer_shows_the_dashboard(tmp_path: Path) -> None:
        command = shlex.join([*COMMAND, "--speed", "10", *FREE_BUS])
        shown = f"echo before; {command}; echo code:$?; exec sleep 100"
        tmux(tmp_path, "new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), shown)
        try:

            def until(pattern: str) -> list[str]:
                deadline_s = time.monotonic() + TIMEOUT_S
                while True:
                    screen = tmux(tmp_path, "capture-pane", "-p")
                    if re.search(pattern, screen):
                        return screen.split("\n")[:ROWS]
                    assert time.monotonic() < deadline_s, f"waited for {pattern} on:\n{screen}"
                    time.sleep(0.1)

            lines = until("(?s)ventricular run.*beats +[1-9]")
            assert re.search(rf"^ p1 .*sim.*II.*250 Hz.*connected.*{NOTICE}", lines[0])
            assert len(lines) == ROWS
            assert all(len(line) <= COLUMNS for line in lines)
            assert sum(bool(re.search(TRACE, line)) for line in lines) > 6
            assert any("quit" in line for line in lines[-2:])
            tmux(tmp_path, "send-keys", "q")
            after = until("code:")
            assert after[0] == "before"
            assert re.match(r"p1: [\d.]+ s watched, ", after[1])
            assert sum(bool(line.strip()) for line in after) <= 4
        finally:
            tmux(tmp_path, "kill-server")
