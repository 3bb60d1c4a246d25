"""What the ward view costs: the share of one core that a dashboard of many beds takes, by size of its terminal."""

from __future__ import annotations

import os
import sys
import threading
import time

from benchmarks.proc import cpu_s, need_proc, rss_mb
from benchmarks.process import MONITOR, ROOT, announced_endpoint, environment, running
from benchmarks.report import BenchError, Figure, Report

__all__ = ["measure"]

GOAL_SHARE = 10.0
_USUAL = (120, 40)
_SIZES = ((80, 24), _USUAL, (200, 60))
_SHOWN = "Not a medical device"
_HOME = b"\x1b[H"  # each frame begins in the upper left corner
_START_S = 60.0  # the most that a program may take to start


def measure(beds: int, seconds: float, settle_s: float) -> Report:
    """Watch a bus with so many made-up beds on pseudo-terminals, one after the other.

    Each bed sends a status a second, 1.2 beats a second and waves 20 times a second; a tenth of the beds have an
    alarm, and a hundredth get or lose one every second.

    Args:
        beds: how many.
        seconds: measured at each size, s.
        settle_s: left out before, s: a snapshot comes, traces fill.

    Raises:
        BenchError: no /proc, or a program failed.
    """
    need_proc()
    figures: list[Figure] = []
    shares: list[float] = []

    def look(what: str, screen: _Screen) -> None:
        share, frames_hz, kb_s = screen.look(seconds)
        shares.append(share)
        figures.append(Figure(what, share, "%", GOAL_SHARE))
        figures.append(Figure(f"  frames, {what}", frames_hz, "/s"))
        figures.append(Figure(f"  written to the terminal, {what}", kb_s, "kB/s"))

    for columns, rows in _SIZES:
        at = f"{columns}x{rows}"
        crowd = (sys.executable, "-m", "benchmarks.crowd", str(beds), f"{3 * seconds + 3 * settle_s + _START_S:g}")
        with running(crowd) as publisher:
            screen = _Screen(announced_endpoint(publisher), columns, rows)
            try:
                screen.wait_shown()
                time.sleep(settle_s)
                look(f"ward, {at}", screen)
                if (columns, rows) == _USUAL:
                    figures.append(Figure("  the made-up monitor beside it", _share(publisher.pid, seconds), "%"))
                    screen.press("\r")
                    time.sleep(settle_s)
                    look(f"one bed opened, {at}", screen)
                    figures.append(Figure("  resident memory of the dashboard", screen.resident_mb(), "MB"))
            finally:
                screen.close()
    figures.append(Figure("ratio: goal / the largest share", GOAL_SHARE / max(*shares, 0.01), "x"))
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
        self._written = self._frames = 0

    def wait_shown(self) -> None:
        import pexpect

        try:
            self._child.expect_exact(_SHOWN)
        except (pexpect.EOF, pexpect.TIMEOUT):
            raise BenchError("the dashboard did not show itself within 60 s") from None
        threading.Thread(target=self._drain, daemon=True).start()

    def press(self, key: str) -> None:
        self._child.send(key)

    def look(self, seconds: float) -> tuple[float, float, float]:
        """Percent of a core, frames a second, and kB a second written, over so many seconds."""
        frames, written = self._frames, self._written
        share = _share(self._child.pid, seconds)
        return share, (self._frames - frames) / seconds, (self._written - written) / seconds / 1e3

    def resident_mb(self) -> float:
        """Resident memory, MB."""
        return rss_mb(self._child.pid)

    def close(self) -> None:
        self._child.close(force=True)

    def _drain(self) -> None:
        try:
            while piece := os.read(self._child.child_fd, 1 << 16):
                self._written += len(piece)
                self._frames += piece.count(_HOME)
        except OSError:  # it has ended
            pass


def _share(pid: int, seconds: float) -> float:
    """Percent of a core that a process takes."""
    try:
        before, began_s = cpu_s(pid), time.monotonic()
        time.sleep(seconds)
        return 100 * (cpu_s(pid) - before) / (time.monotonic() - began_s)
    except OSError:
        raise BenchError("a program ended while it was measured") from None
