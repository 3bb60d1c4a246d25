"""Resident memory over hours of signal: how much, and whether it grows."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.proc import need_proc, rss_mb
from benchmarks.process import FREE_BUS, MONITOR, announced_endpoint, running
from benchmarks.report import BenchError, Figure, Report

__all__ = ["measure"]

GOAL_MB = 400.0
_WARM_SHARE = 0.25  # buffers, the patient's baseline and SQLite's cache have filled by then


def measure(hours: float, every_s: float, seed: int, record: bool, model: str | None) -> Report:
    """Run a synthetic patient for so many hours of signal at full speed and look at the process from outside.

    Args:
        hours: of signal.
        every_s: how often to look, s of wall time.
        seed: of the simulator.
        record: write the session to a folder, with its journal; else the journal lives in memory.
        model: ONNX file; None = the shipped one.

    Raises:
        BenchError: no /proc, or the monitor failed.
    """
    need_proc()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        command = (
            *(*MONITOR, "--seed", str(seed), "--speed", "max", "--duration", f"{hours * 3600:g}", "--no-dashboard"),
            *(*FREE_BUS, *(("--record", folder) if record else ()), *(() if model is None else ("--model", model))),
        )
        monitor = stack.enter_context(running(command))
        announced_endpoint(monitor)
        began_s = time.monotonic()
        samples, maps = _watch(monitor, every_s)
        took_s = time.monotonic() - began_s
        if monitor.wait(60):
            raise BenchError(f"the monitor ended with exit code {monitor.returncode}")
    if not samples:
        raise BenchError("the monitor ended before it was looked at; give more --hours or look more often")
    at = [(when_s - began_s) / took_s * hours for when_s, _ in samples]
    rss = [mb for _, mb in samples]
    warm = min(int(len(rss) * _WARM_SHARE), len(rss) - 1)
    end = statistics.median(rss[-max(1, len(rss) // 10) :])  # the very last look may meet a process that is leaving
    growth = _slope(at[warm:], rss[warm:])
    torch_loaded = "libtorch" in maps
    return Report(
        "memory",
        {"source": "sim", "hours": hours, "seed": seed, "record": record, "every_s": every_s},
        [
            Figure("looks", len(rss), ""),
            Figure("resident, first look", rss[0], "MB"),
            Figure("resident, p50", statistics.median(rss), "MB"),
            Figure("resident, last tenth of the looks", end, "MB"),
            Figure("resident, most", max(rss), "MB", GOAL_MB),
            Figure("growth after the first quarter, an hour of signal", growth, "MB/h"),
            Figure("  the same from then to the last tenth", end - rss[warm], "MB"),
            Figure("torch loaded (1 = yes)", float(torch_loaded), ""),
            Figure("speed, signal to wall time", hours * 3600 / took_s, "x"),
            Figure("ratio: goal / most", GOAL_MB / max(rss), "x"),
        ],
        ("VmRSS of /proc, with the pages of shared libraries that are in use.",),
    )


def _watch(monitor: subprocess.Popen[str], every_s: float) -> tuple[list[tuple[float, float]], str]:
    """(time, resident MB) until the process ends, and the names of the files it had mapped last."""
    samples: list[tuple[float, float]] = []
    maps = ""
    folder = Path("/proc") / str(monitor.pid)
    while monitor.poll() is None:
        try:
            resident_mb, maps = rss_mb(monitor.pid), (folder / "maps").read_text() or maps
        except OSError:
            break
        if resident_mb:
            samples.append((time.monotonic(), resident_mb))
        with contextlib.suppress(subprocess.TimeoutExpired):
            monitor.wait(every_s)
    return samples, maps


def _slope(x: list[float], y: list[float]) -> float:
    """Least-squares slope; 0 where there are too few points for one."""
    if len(x) < 3 or len(set(x)) < 2:
        return 0.0
    return statistics.linear_regression(x, y).slope
