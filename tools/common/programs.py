"""Programs of this working tree, run as processes and measured from outside."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Self

import psutil

ROOT = Path(__file__).resolve().parents[2]
MONITOR = (sys.executable, "-m", "monitor")  # the `ecg-monitor` command of this working tree
FREE_BUS = ("--bus", "tcp://127.0.0.1:*")
TIMEOUT_S = 120.0  # longer than any wait here takes on a slow machine
_ENDPOINT = re.compile(r"(?:alarms|listening) on (\S+)")


class ToolError(Exception):
    """A tool cannot do its work. One line, with the remedy; the command ends with exit code 2."""


def run_command(name: str, command: Callable[[], object]) -> None:
    """Run a command line program; an error that a person can mend is one line and exit code 2."""
    try:
        command()
    except (ToolError, OSError, ValueError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(2)


def data_folder() -> Path:
    """Folder of the PhysioNet records; ToolError: `ECG_MONITOR_DATA` names none with `mitdb/`."""
    folder = os.environ.get("ECG_MONITOR_DATA", "")
    if not folder or not (Path(folder) / "mitdb").is_dir():
        raise ToolError("set ECG_MONITOR_DATA to the folder that holds mitdb/: this command replays its records")
    return Path(folder)


def wait_for(condition: Callable[[], object], what: str, timeout_s: float = TIMEOUT_S) -> None:
    """Wait until `condition` holds; ToolError: it did not within `timeout_s`."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise ToolError(f"no {what} within {timeout_s:.0f} s")
        time.sleep(0.02)


def rss_mb(process: psutil.Process) -> float:
    """Resident memory, MB."""
    return float(process.memory_info().rss) / 1e6


class Program:
    """A process of the working tree; output and errors go to one temporary file.

    Of the caller's `ECG_MONITOR_*` variables it gets the data folder only, so that no personal setting leaks in.
    As a context manager it is killed at the end.

    Attributes:
        process: to send signals.
        usage: to read processor time and memory.
        wall_s, cpu_s: from its start to its end, and processor time of it and its children, s; set by `wait`.
    """

    def __init__(self, command: Sequence[str]) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ECG_MONITOR_") or k == "ECG_MONITOR_DATA"}
        paths = os.pathsep.join((str(ROOT), str(ROOT / "tools")))
        self.wall_s = self.cpu_s = 0.0
        self._began_s = time.perf_counter()
        self._output = tempfile.NamedTemporaryFile("w+", errors="replace")  # noqa: SIM115
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=self._output, stderr=subprocess.STDOUT, text=True,
            env=kept | {"PYTHONPATH": paths, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore"},
        )  # fmt: skip
        self.usage = psutil.Process(self.process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether it runs; leaves its resource usage for `wait`."""
        if self.process.returncode is not None:
            return False
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    @property
    def age_s(self) -> float:
        """Time since it was started, s."""
        return time.perf_counter() - self._began_s

    def output(self) -> str:
        """Everything that it has printed so far."""
        return Path(self._output.name).read_text(errors="replace")

    def endpoint(self, timeout_s: float = 60.0) -> str:
        """Wait until the monitor listens; the endpoint of its alarm socket. ToolError: it named none in time."""
        wait_for(lambda: _ENDPOINT.search(self.output()) or not self.alive, "endpoint of the monitor", timeout_s)
        found = _ENDPOINT.search(self.output())
        if found is None:
            raise ToolError(f"the monitor ended before it listened: {self._last_line()}")
        return found[1]

    def send_line(self, line: str) -> None:
        """Write a line to its standard input."""
        if self.process.stdin is None:
            raise ValueError("this program was started without a pipe for its standard input")
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def wait(self, timeout_s: float = TIMEOUT_S) -> str:
        """Wait until it ends, and set `wall_s` and `cpu_s`; its output.

        Raises:
            ToolError: it had to be killed after `timeout_s`, or ended with an exit code other than 0.
        """
        code = self._reap(timeout_s)
        if code:
            arguments = [str(word) for word in self.process.args][1:4]  # type: ignore[union-attr]
            raise ToolError(f"{' '.join(arguments)} ended with exit code {code}: {self._last_line()}")
        return self.output()

    def end(self) -> str:
        """Send SIGTERM and wait; its output."""
        self.process.terminate()
        return self.wait()

    def kill(self) -> None:
        """Send SIGKILL and wait until it has ended."""
        if self.process.returncode is None:
            self.process.kill()
            self._reap(TIMEOUT_S)

    def close(self) -> None:
        """Kill it if it still runs, and delete its output."""
        self.kill()
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        self._output.close()

    def _reap(self, timeout_s: float) -> int:
        if self.process.returncode is None:
            guard = threading.Timer(timeout_s, self.process.kill)
            guard.start()
            _, status, used = os.wait4(self.process.pid, 0)
            guard.cancel()
            self.wall_s, self.cpu_s = self.age_s, used.ru_utime + used.ru_stime
            self.process.returncode = os.waitstatus_to_exitcode(status)
        return self.process.returncode

    def _last_line(self) -> str:
        return (self.output().strip().splitlines() or ["it printed nothing"])[-1]


class Watch:
    """Samples processor time and memory of processes from a thread, until `end`; the figures stay.

    Args:
        processes: gives the processes to sample, at every sample.
        memory_mb: memory of one process, MB.
        every_s: time between two samples of the processor time, s.
        memory_every: samples of the processor time between two samples of the memory.
    """

    def __init__(
        self,
        processes: Callable[[], Iterable[psutil.Process]],
        memory_mb: Callable[[psutil.Process], float] = rss_mb,
        every_s: float = 0.5,
        memory_every: int = 1,
    ) -> None:
        self.now_mb = self.most_mb = 0.0
        self._processes, self._memory_mb = processes, memory_mb
        self._every_s, self._memory_every = every_s, memory_every
        self._cpu_s: dict[int, float] = {}
        self._samples = 0
        self._stop = threading.Event()
        self._sample()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @property
    def cpu_s(self) -> float:
        """Processor time of all processes since their start, user and system, s."""
        return sum(self._cpu_s.values())

    def end(self) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.wait(self._every_s):
            self._sample()

    def _sample(self) -> None:
        memory_mb = 0.0
        for process in self._processes():
            with contextlib.suppress(psutil.Error):  # it has ended
                times = process.cpu_times()
                self._cpu_s[process.pid] = times.user + times.system
                if self._samples % self._memory_every == 0:
                    memory_mb += self._memory_mb(process)
        self._samples += 1
        if memory_mb:
            self.now_mb, self.most_mb = memory_mb, max(memory_mb, self.most_mb)
