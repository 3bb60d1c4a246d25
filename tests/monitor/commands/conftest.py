"""Run a command in this process: most tests need no process of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from monitor.__main__ import main
from monitor.stop_signals import STOP_SIGNALS
from tests.monitor.commands.helpers import FREE_BUS, ecg_monitor


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str


Here = Callable[..., Done]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Here]:
    """`here("alarms", "--limit", "1", ECG_MONITOR_JOURNAL="j.db")` runs `ecg-monitor alarms --limit 1`."""
    for name in [name for name in os.environ if name.startswith("ECG_MONITOR_") and name != "ECG_MONITOR_DATA"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def run(*words: str, **extra: str) -> Done:
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["ecg-monitor", *words])
            for name, value in extra.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main()
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


class Session(NamedTuple):
    """A recorded session of the real monitor."""

    story: str
    folder: Path
    done: subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """One replay at full speed, recorded, for all tests that need one."""
    story, folder = "sim:sinus=20,vt=8,sinus=10,asystole=6,sinus=6", tmp_path_factory.mktemp("session") / "rec"
    done = ecg_monitor("--source", story, "--speed", "max", "--no-dashboard", *FREE_BUS, "--record", str(folder))
    assert done.returncode == 0, done.stderr
    return Session(story, folder, done)


__all__ = ["Done", "Here", "Session", "here", "session"]
