"""What the ward view costs: the share of one core that a dashboard of many beds takes, by size of its terminal."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from benchmarks.process import MONITOR, ROOT, announced_endpoint, environment, running
from benchmarks.report import BenchError, Figure, Report

__all__ = ["measure"]

GOAL_SHARE = 10.0
_USUAL = (120, 40)
_SIZES = ((80, 24), _USUAL, (200, 60))
_SETTLE_S = 8.0  # Python starts, a snapshot comes, traces fill
_SHOWN = "Not a medical device"


def measure(beds: int, seconds: float) -> Report:
    """Watch a bus with so many made-up beds on pseudo-terminals, one after the other.

    Each bed sends a status a second, 1.2 beats a second and waves 20 times a second; a tenth of the beds have an
    alarm, and a hundredth get or lose one every second.

    Args:
        beds: how many.
        seconds: measured at each size, s.

    Raises:
        BenchError: no /proc, or a program failed.
    """
    if not Path("/proc/self/stat").exists():
        raise BenchError("this benchmark reads /proc: run it on Linux")
    figures: list[Figure] = []
    for columns, rows in _SIZES:
        crowd = (sys.executable, "-m", "benchmarks.crowd", str(beds), f"{2 * seconds + 10 * _SETTLE_S:g}")
        with running(crowd) as publisher:
            screen = _Screen(announced_endpoint(publisher), columns, rows)
            try:
                screen.wait_shown()
                time.sleep(_SETTLE_S)
                share, frames_kb = screen.share(seconds)
                at = f"{columns}x{rows}"
                figures.append(Figure(f"ward, {at}", share, "%", GOAL_SHARE))
                figures.append(Figure(f"  written to the terminal, {at}", frames_kb, "kB/s"))
                if (columns, rows) == _USUAL:
                    figures.append(
                        Figure(
                            f"  the monitor's side (made up, for comparison), {at}", _share(publisher.pid, seconds), "%"
                        )
                    )
                    screen.press("\r")
                    time.sleep(_SETTLE_S)
                    figures.append(Figure(f"one bed opened, {at}", screen.share(seconds)[0], "%", GOAL_SHARE))
                    figures.append(Figure("  resident memory of the dashboard", screen.resident_mb(), "MB"))
            finally:
                screen.close()
    return Report(
        "ward",
        {"beds": beds, "seconds": seconds},
        figures,
        ("Share of one core, user and system, all threads of the dashboard: 100 % = a whole core.",),
    )


class _Screen:
    """A dashboard on a pseudo-terminal that is read all the time."""

    def __init__(self, endpoint: str, columns: int, rows: int) -> None:
        import pexpect  # type: ignore[import-untyped]

        self._child = pexpect.spawn(
            MONITOR[0],
            [*MONITOR[1:], "watch", "--connect", endpoint],
            cwd=str(ROOT),
            env=environment() | {"TERM": "xterm-256color", "LANG": "C.UTF-8"},
            dimensions=(rows, columns),
            encoding="utf-8",
            codec_errors="replace",
            timeout=60,
        )
        self._written = 0

    def wait_shown(self) -> None:
        import pexpect

        try:
            self._child.expect_exact(_SHOWN)
        except (pexpect.EOF, pexpect.TIMEOUT):
            raise BenchError("the dashboard did not show itself within 60 s") from None
        threading.Thread(target=self._drain, daemon=True).start()

    def press(self, key: str) -> None:
        self._child.send(key)

    def share(self, seconds: float) -> tuple[float, float]:
        """Percent of a core, and kB/s written, over so many seconds."""
        before = self._written
        share = _share(self._child.pid, seconds)
        return share, (self._written - before) / seconds / 1e3

    def resident_mb(self) -> float:
        """Resident memory, MB."""
        status = Path(f"/proc/{self._child.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 / 1e6 for line in status.splitlines() if line.startswith("VmRSS"))

    def close(self) -> None:
        self._child.close(force=True)

    def _drain(self) -> None:
        try:
            while piece := os.read(self._child.child_fd, 1 << 16):
                self._written += len(piece)
        except OSError:  # it has ended
            pass


def _share(pid: int, seconds: float) -> float:
    """Percent of a core that a process takes."""
    before, began_s = _cpu_s(pid), time.monotonic()
    time.sleep(seconds)
    return 100 * (_cpu_s(pid) - before) / (time.monotonic() - began_s)


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        raise BenchError("a program ended while it was measured") from None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
