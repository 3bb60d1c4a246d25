"""Processor time and memory of other processes, as Linux tells them."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.report import BenchError

__all__ = ["cpu_s", "need_proc", "rss_mb"]

_FOLDER = Path("/proc")


def need_proc() -> None:
    """Before anything begins.

    Raises:
        BenchError: this system tells it otherwise.
    """
    if not (_FOLDER / "self" / "stat").exists():
        raise BenchError("this benchmark reads /proc: run it on Linux")


def cpu_s(pid: int) -> float:
    """Processor time of all threads so far, s.

    Raises:
        OSError: it has ended.
    """
    fields = (_FOLDER / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    """Resident memory with the pages of shared libraries that are in use, MB; 0 of a process that is just ending.

    Raises:
        OSError: it has ended.
    """
    return int((_FOLDER / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
