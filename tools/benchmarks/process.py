"""Fresh processes of the working tree, timed from outside."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.report import BenchError

__all__ = [
    "FREE_BUS",
    "MONITOR",
    "ROOT",
    "Finished",
    "announced_endpoint",
    "data_folder",
    "environment",
    "run",
    "running",
]

ROOT = Path(__file__).resolve().parents[2]
MONITOR = (sys.executable, "-m", "monitor")  # what the `ecg-monitor` script does, of this working tree
FREE_BUS = ("--bus", "tcp://127.0.0.1:*")
_LIMIT_S = 3600.0
_ENDPOINT = re.compile(r"(?:alarms|listening) on (\S+)")


@dataclass(frozen=True, slots=True)
class Finished:
    """A process that has ended.

    Attributes:
        wall_s: from before it was started until it was gone, s.
        cpu_s: processor time of it and of its children, user and system, s.
        output: what it printed.
    """

    wall_s: float
    cpu_s: float
    output: str


def environment() -> dict[str, str]:
    """The caller's environment; of ours only the data folder, so that no setting of a person leaks in."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ECG_MONITOR_") or k == "ECG_MONITOR_DATA"}
    return kept | {"PYTHONWARNINGS": "ignore", "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tools")))}


def data_folder() -> Path:
    """Folder of the records.

    Raises:
        BenchError: not told, or without mitdb/.
    """
    folder = Path(os.environ.get("ECG_MONITOR_DATA", ""))
    if not os.environ.get("ECG_MONITOR_DATA") or not (folder / "mitdb").is_dir():
        raise BenchError("set ECG_MONITOR_DATA to the folder that holds mitdb/: this benchmark replays a record of it")
    return folder


def run(command: Sequence[str]) -> Finished:
    """Run to the end.

    Raises:
        BenchError: it failed; its last line says why.
    """
    with tempfile.TemporaryFile() as output:
        began_s = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        guard = threading.Timer(_LIMIT_S, process.kill)
        guard.start()
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began_s
        guard.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    _must_have_worked(process.returncode, text)
    return Finished(wall_s, used.ru_utime + used.ru_stime, text)


@contextmanager
def running(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A process to look at while it runs, with its output as a pipe; ended at the latest when the block is left."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment() | {"PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def announced_endpoint(process: subprocess.Popen[str], timeout_s: float = 60.0) -> str:
    """The alarm socket a monitor says it listens on; its further output is read and dropped.

    Raises:
        BenchError: it ended, or said nothing in time.
    """
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    assert process.stdout is not None  # `running` made it a pipe
    threading.Thread(target=_drain, args=(process.stdout, lines), daemon=True).start()
    deadline_s = time.monotonic() + timeout_s
    last = "it printed nothing"
    while True:
        try:
            line = lines.get(timeout=max(0.0, deadline_s - time.monotonic()))
        except queue.Empty:
            raise BenchError(f"the monitor named no socket within {timeout_s:g} s") from None
        if line is None:
            raise BenchError(f"the monitor ended before it listened: {last}")
        last = line.strip() or last
        if found := _ENDPOINT.search(line):
            return found[1]


def _drain(pipe: IO[str], lines: queue.SimpleQueue[str | None]) -> None:
    try:
        for line in pipe:
            lines.put(line)
    except ValueError:  # closed while it was read
        pass
    lines.put(None)


def _must_have_worked(code: int, output: str) -> None:
    if code != 0:
        last = (output.strip().splitlines() or ["it printed nothing"])[-1]
        raise BenchError(f"exit code {code}: {last}")
