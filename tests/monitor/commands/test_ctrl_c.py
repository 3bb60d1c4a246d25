"""Ctrl-C at any moment of a command: one line and exit code 130. Moments: the import of a module, the exit."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.monitor.commands.conftest import Session
from tests.monitor.commands.helpers import COMMAND, FREE_BUS, environment

AT_MOMENT = """
import atexit, os, signal, sys

def stop():
    os.kill(os.getpid(), signal.SIGINT)

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["STOP_AT"]:
            stop()

sys.meta_path.insert(0, Finder())
if os.environ["STOP_AT"] == "exit":
    atexit.register(stop)
"""


def stopped(folder: Path, moment: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command that gets SIGINT while it imports the module `moment`."""
    (folder / "sitecustomize.py").write_text(AT_MOMENT)
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", ""), str(Path.cwd())])
    env = environment(STOP_AT=moment, PYTHONPATH=path)
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, env=env, timeout=120, stdin=-3)


RUN = ("--no-dashboard", "--duration", "5", "--speed", "max", *FREE_BUS)
RUN_MOMENTS = ("typer", "monitor.commands.app", "msgspec", "numpy", "onnxruntime", "zmq", "monitor.engine.pipeline")
OTHERS = (
    ("typer", "-h"), ("rich", "--help"), ("serial", "ports"), ("numpy", "emulate"), ("zmq", "keys", "new", "{}/k"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("moment", "arguments"),
    [(moment, RUN) for moment in RUN_MOMENTS[1:2]]
    + [pytest.param(moment, RUN, marks=pytest.mark.slow) for moment in (RUN_MOMENTS[0], *RUN_MOMENTS[2:])]
    + [pytest.param(moment, rest, marks=pytest.mark.slow) for moment, *rest in OTHERS],
)
def test_ctrl_c_during_imports_is_one_line(tmp_path: Path, moment: str, arguments: tuple[str, ...]) -> None:
    done = stopped(tmp_path, moment, *(word.format(tmp_path) for word in arguments))
    assert done.returncode in (130, -2), done.stderr  # -2: Python ends itself by the signal, 130 for a shell
    assert (done.stdout, done.stderr) == ("", "ecg-monitor: stopped\n")


def test_ctrl_c_at_exit_is_one_line(tmp_path: Path, session: Session) -> None:
    done = stopped(tmp_path, "exit", "alarms", "--record", str(session.folder), "--limit", "1")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (130, "ecg-monitor: stopped")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_run_that_has_ended_in_order_ignores_ctrl_c_at_exit(tmp_path: Path) -> None:
    done = stopped(tmp_path, "exit", *RUN)
    assert (done.returncode, done.stderr) == (0, "")
