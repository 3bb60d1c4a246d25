"""The dashboard on a real terminal: keys, and the terminal restored however it ends."""

import io
import os
import re
import shlex
import signal
import sys

import pexpect
import pytest
from rich.console import Console

from monitor.dashboard.live import fits_dashboard, run_dashboard
from tests import ROOT
from tests.monitor.dashboard.terminal import (
    ENTER,
    HIDE,
    LEAVE,
    NOTICE,
    TIMEOUT_S,
    interrupt,
    output_after,
    start_in_shell,
    wait_for_trace,
)

PROGRAM = shlex.join([sys.executable, "-m", "tests.monitor.dashboard.ward_helpers"])
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "PYTHONUTF8": "1"}


@pytest.fixture
def shell(tmp_path):
    """Starts the program in a shell on a pseudo-terminal."""
    children = []

    def start(mode="run", rows=24, cols=80):
        children.append(start_in_shell(f"{PROGRAM} {mode}", tmp_path, ENVIRONMENT, rows, cols))
        return children[-1]

    yield start
    for child in children:
        child.close(force=True)


def output_of(child, tmp_path, code=0):
    """Output of a program that drew the dashboard and restored the terminal."""
    written = output_after(child, tmp_path, code)
    assert ENTER in written
    assert HIDE in written
    return written


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, None], ids=str)
def test_a_signal_or_ctrl_c_ends_it_in_order(shell, tmp_path, number):
    child = shell()
    wait_for_trace(child)
    interrupt(child, tmp_path, number)
    output_of(child, tmp_path)


@pytest.mark.slow
def test_an_exception_is_printed_on_a_restored_terminal(shell, tmp_path):
    child = shell("crash")
    wait_for_trace(child)
    child.expect_exact("RuntimeError: the dashboard broke")
    written = output_of(child, tmp_path, 1)
    assert written.rindex(LEAVE) < written.index("Traceback")


@pytest.mark.slow
def test_should_stop_ends_it(shell, tmp_path):
    child = shell("stop")
    output_of(child, tmp_path)


def test_keys_freeze_help_acknowledge_pause_and_quit(shell, tmp_path):
    child = shell(rows=30, cols=100)
    wait_for_trace(child)
    child.expect_exact("asystole")
    child.send("\x1b[A")  # arrow keys do nothing here, nor do their letters
    child.send("a")
    child.expect_exact("acknowledged: asystole")
    child.expect_exact("ACKNOWLEDGED")
    child.send("m")
    child.expect_exact("alarm audio paused for 120 s")
    child.send(" ")
    child.expect(r"FROZEN \d+ s")
    child.send(" ")
    child.send("?")
    child.expect_exact("next bed")
    child.send("?")
    child.send("q")
    output_of(child, tmp_path)


@pytest.mark.slow
def test_a_resized_terminal_is_redrawn(shell, tmp_path):
    child = shell()
    wait_for_trace(child)
    child.setwinsize(5, 40)
    child.expect_exact("HR ---")
    child.setwinsize(10, 40)
    child.expect_exact(NOTICE)
    child.setwinsize(24, 80)
    child.expect_exact(NOTICE)
    child.send("q")
    output_of(child, tmp_path)


@pytest.mark.slow
def test_ctrl_z_restores_the_terminal_until_fg(tmp_path):
    child = pexpect.spawn(
        "/bin/bash",
        ["--norc", "--noprofile", "--noediting", "-i"],
        env=ENVIRONMENT | {"PS1": "ready> ", "INPUTRC": "/dev/null"},
        dimensions=(24, 80),
        encoding="utf-8",
        timeout=TIMEOUT_S,
    )
    child.expect_exact("ready> ")
    child.sendline(f"{PROGRAM} run")
    wait_for_trace(child)
    child.send("\x1a")
    child.expect_exact(LEAVE)
    child.expect("Stopped")
    child.expect_exact("ready> ")
    child.sendline(f"stty -a > {tmp_path}/suspended; fg")
    wait_for_trace(child)
    assert re.search(r"(?<!-)icanon", (tmp_path / "suspended").read_text())
    assert re.search(r"(?<!-)\becho\b", (tmp_path / "suspended").read_text())
    child.send("q")
    child.expect_exact("ready> ")
    child.sendline("exit")
    child.expect(pexpect.EOF)
    child.close()


def test_without_a_terminal_it_raises_with_the_remedy():
    console = Console(file=io.StringIO())
    assert not fits_dashboard(console)
    with pytest.raises(ValueError, match="print alarms as lines"):
        run_dashboard({}, console, lambda: 0.0)
