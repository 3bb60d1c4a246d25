"""What beds cost, from one to more than the machine can hold: is it a straight line?"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.beds import GOAL_P99_MS, WardRun, watch
from benchmarks.report import Figure, Report, percentile

__all__ = ["measure"]


def measure(
    counts: Sequence[int],
    seconds: float,
    source: str,
    seed: int,
    journal: bool,
    model: str | None,
    plot: Path | None,
    tell: Callable[[str], None],
) -> Report:
    """Watch so many beds for so many seconds of signal each, one number after the other.

    Raises:
        BenchError: no /proc, no records, or the monitor failed.
    """
    runs: list[WardRun] = []
    for beds in counts:
        runs.append(watch(beds, seconds, source, seed, journal, model))
        tell(json.dumps({k: v for k, v in asdict(runs[-1]).items() if not isinstance(v, list)}))
    figures: list[Figure] = []
    for run in runs:
        p99 = percentile(run.alarm_ms or [0.0], 0.99)
        figures += [
            Figure(f"{run.beds:,} beds: processor, a second of a bed", run.cpu_ms, "ms"),
            Figure(f"{run.beds:,} beds: processor, share of one core", 100 * run.cpu_s / run.wall_s, "%"),
            Figure(f"{run.beds:,} beds: wall time to signal", run.wall_s / run.seconds, "x"),
            Figure(f"{run.beds:,} beds: deciding sample to alarm received, p99", p99, "ms", GOAL_P99_MS),
            Figure(f"{run.beds:,} beds: beats and alarms lost", run.lost, ""),
            Figure(f"{run.beds:,} beds: resident", run.rss_mb, "MB"),
        ]
    figures += [
        Figure("farthest from a straight line", 100 * _farthest(runs), "%"),
        Figure("ratio: a bed-second of the most beds / of the second fewest", _proportion(runs), "x"),
    ]
    if plot is not None:
        _draw(runs, plot)
    return Report(
        "curve",
        {"counts": list(counts), "seconds": seconds, "source": source, "seed": seed, "journal": journal},
        figures,
        ("The straight line goes through the fewest and the most beds: what the loop costs, and what each bed adds.",),
    )


def _proportion(runs: Sequence[WardRun]) -> float:
    return runs[-1].cpu_ms / runs[min(1, len(runs) - 1)].cpu_ms


def _line(runs: Sequence[WardRun]) -> tuple[float, float]:
    """Processor seconds a second of signal: of the loop, and of each bed; through the fewest and the most beds."""
    first, last = runs[0], runs[-1]
    each = (last.cpu_s / last.seconds - first.cpu_s / first.seconds) / max(1, last.beds - first.beds)
    return first.cpu_s / first.seconds - each * first.beds, each


def _farthest(runs: Sequence[WardRun]) -> float:
    """How far off its line the run is that is farthest, as a part of the line there; positive."""
    loop, each = _line(runs)
    return max(abs(run.cpu_s / run.seconds / (loop + each * run.beds) - 1) for run in runs)


def _draw(runs: Sequence[WardRun], file: Path) -> None:
    """Processor time and memory over the number of beds, as PNG or SVG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    beds = [run.beds for run in runs]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), constrained_layout=True)
    left.loglog(beds, [run.cpu_s / run.seconds for run in runs], "o-", label="measured")
    loop, each = _line(runs)
    steps = [beds[0] * (beds[-1] / beds[0]) ** (k / 99) for k in range(100)]
    straight = f"straight line: {loop * 1e3:.0f} ms and {each * 1e3:.2f} ms a bed"
    left.loglog(steps, [loop + each * n for n in steps], ":", color="grey", label=straight)
    left.set_xlabel("beds")
    left.set_ylabel("processor seconds a second of signal")
    left.legend()
    right.loglog(beds, [run.rss_mb for run in runs], "o-")
    right.set_xlabel("beds")
    right.set_ylabel("resident memory, MB")
    for axes in (left, right):
        axes.grid(alpha=0.3, which="both")
    figure.savefig(file, dpi=120)
    plt.close(figure)
