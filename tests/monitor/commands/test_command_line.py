"""Wrong command lines, closed streams and pipes: one line on standard error, never a traceback."""

from __future__ import annotations

import errno
import os
import subprocess
import typing
from pathlib import Path

import pytest
import typer

from monitor.commands.app import app
from tests.monitor.commands.conftest import Here
from tests.monitor.commands.helpers import COMMAND, environment


def commands() -> dict[str, typing.Any]:
    """Every command and subcommand by its words."""

    def below(words: str, command: typing.Any) -> dict[str, typing.Any]:
        found = {words: command}
        for name, part in getattr(command, "commands", {}).items():
            found |= below(f"{words} {name}".strip(), part)
        return found

    return below("", typer.main.get_command(app))


@pytest.mark.parametrize("words", commands())
def test_h_and_help_show_the_help_of_every_command(here: Here, words: str) -> None:
    short, long = (here(*words.split(), flag) for flag in ("-h", "--help"))
    assert (short.code, short.err) == (long.code, long.err) == (0, "")
    assert short.out == long.out
    assert f"Usage: {' '.join(['ecg-monitor', *words.split()])} " in short.out


@pytest.mark.parametrize("words", commands())
@pytest.mark.parametrize("wrong", [["--nonsense"], ["--\x1b[2J"], ["a", "b", "c", "d"]])
def test_a_wrong_command_line_is_one_line_with_the_help_to_read(here: Here, words: str, wrong: list[str]) -> None:
    done = here(*words.split(), *wrong)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert done.err.startswith("ecg-monitor: ")
    assert "\x1b" not in done.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("keys", "give one of the commands new, add, list, remove; see ecg-monitor keys --help"),
        ("keys add", "missing argument 'DIR'; see ecg-monitor keys add --help"),
        ("export", "missing argument 'ID'; see ecg-monitor export --help"),
        ("score", "missing argument 'RECORDS...'; see ecg-monitor score --help"),
        ("score mitdb:100", "missing option '--out'; see ecg-monitor score --help"),
        ("nonsense", "no such command 'nonsense'; see ecg-monitor --help"),
        ("--fs", "option '--fs' requires an argument; see ecg-monitor --help"),
    ],
)
def test_what_is_missing_is_named(here: Here, words: str, expected: str) -> None:
    done = here(*words.split())
    assert (done.code, done.err) == (2, f"ecg-monitor: {expected}\n")


def test_the_help_names_the_list_of_rhythms(here: Here) -> None:
    text = " ".join(here("--help").out.split())
    assert "--help-sim" in text.partition("Sources:")[2]


def shell(line: str) -> subprocess.CompletedProcess[str]:
    command = " ".join(COMMAND)
    script = line.replace("ecg-monitor", f"{command}")
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment(), timeout=120)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "code", "lines"),
    [
        ("ecg-monitor --help | true; exit ${PIPESTATUS[0]}", 0, 0),
        ("ecg-monitor --help-sim | true; exit ${PIPESTATUS[0]}", 0, 0),
        ("ecg-monitor --help > /dev/full", 2, 1),
        ("ecg-monitor --version > /dev/full", 2, 1),
        ("ecg-monitor --version <&- >&-", 0, 0),
        ("ecg-monitor ports <&- >&- 2>&-", 0, 0),
        ("ecg-monitor --speed max --duration 5 --bus 'tcp://127.0.0.1:*' <&- > /dev/null", 0, 0),
        ("ecg-monitor --speed max --duration 5 --bus 'tcp://127.0.0.1:*' <&- >&-", 0, 0),
        ("PYTHONIOENCODING=ascii PYTHONUTF8=0 ecg-monitor --help > /dev/null", 0, 0),
        ("PYTHONIOENCODING=ascii ecg-monitor --source sim:nonsense=é --no-dashboard", 2, 1),
    ],
)
def test_streams_that_are_closed_full_or_ascii(line: str, code: int, lines: int) -> None:
    done = shell(line)
    assert (done.returncode, done.stderr.count("\n")) == (code, lines), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("rr",),
        ("report", "--out", "report.html"),
        ("review",),
        ("score", "--out", "scores"),
        ("export", "last", "--journal"),
        ("alarms", "--journal"),
        ("demo", "--out"),
        ("--no-dashboard", "--duration", "1", "--bus", "tcp://127.0.0.1:0", "--config"),
        ("--no-dashboard", "--duration", "1", "--bus", "tcp://127.0.0.1:0", "--beds"),
        ("--no-dashboard", "--duration", "1", "--bus", "tcp://127.0.0.1:0", "--model"),
        ("--no-dashboard", "--duration", "1", "--bus", "tcp://127.0.0.1:0", "--record"),
    ],
)
def test_a_path_that_is_too_long_is_one_line(
    here: Here, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = here(*words, "x" * 5000)
    assert done.code == 2
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    "words", [("rr",), ("report", "--out", "r.html"), ("review",), ("score", "--out", "scores"), ("inspect",)]
)
def test_a_path_in_a_closed_folder_is_one_line(
    here: Here, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may look everywhere, so the operating system's answer is given here."""
    closed, stat = tmp_path / "closed" / "a.csv", os.stat

    def refused(path: typing.Any, *given: typing.Any, **named: typing.Any) -> os.stat_result:
        if str(path).startswith(str(closed)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return stat(path, *given, **named)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "stat", refused)
    done = here(*words, str(closed))
    assert done.code == 2
    lines = (done.err or done.out).splitlines()
    assert "Permission denied" in " ".join(lines)
    assert words == ("inspect",) or len(lines) == 1
