"""A closed pipe and a full disk on standard output."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from monitor.commands.stdout import standard_output
from monitor.errors import ConfigError
from monitor.journal import Journal
from tests.monitor.commands.helpers import COMMAND, environment


def closed_pipe() -> int:
    """Writing end of a pipe without a reader."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def test_a_closed_pipe_ends_the_output_without_an_error() -> None:
    with os.fdopen(closed_pipe(), "w") as pipe:
        with standard_output("test", pipe) as out:
            out.write("x" * 100_000)
            raise AssertionError("written to a closed pipe")
        pipe.write("discarded")


def test_a_full_disk_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        with (
            pytest.raises(ConfigError, match="test: standard output: No space left on device; write somewhere else"),
            standard_output("test", full) as out,
        ):
            out.write("x")
        full.write("discarded")


def test_the_interpreter_reports_no_error_at_exit(tmp_path: Path) -> None:
    """A real process: else the interpreter would print the error again when it flushes standard output."""
    Journal(tmp_path / "j").close()
    command = [*COMMAND, "alarms", "--journal", str(tmp_path / "j"), "--format", "csv"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment())
    assert done.returncode == 2
    assert done.stderr == "ecg-monitor: alarms: standard output: No space left on device; write somewhere else\n"


@pytest.mark.parametrize("words", ["rr sim:sinus=20", "inspect sim:sinus=5", "ports", "doctor", "--help-sim"])
def test_a_closed_pipe_is_no_error_of_any_command(words: str, tmp_path: Path) -> None:
    """As in `ecg-monitor rr DIR | head`, with each piece written at once."""
    unbuffered = environment() | {"PYTHONUNBUFFERED": "1"}
    with os.fdopen(closed_pipe(), "w") as pipe:
        done = subprocess.run(
            [*COMMAND, *words.split()], stdout=pipe, stderr=subprocess.PIPE, text=True, env=unbuffered, cwd=tmp_path
        )
    assert "Error" not in done.stderr
    assert done.returncode == 0, done.stderr
