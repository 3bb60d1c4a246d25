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
    figures.append(Figure("ratio: a bed-second of the most beds / of the second fewest", _straight(runs), "x"))
    if plot is not None:
        _draw(runs, plot)
    return Report(
        "curve",
        {"counts": list(counts), "seconds": seconds, "source": source, "seed": seed, "journal": journal},
        figures,
        ("A straight line has the same processor time for a second of a bed everywhere; one bed alone pays the loop.",),
    )


def _straight(runs: Sequence[WardRun]) -> float:
    return runs[-1].cpu_ms / runs[min(1, len(runs) - 1)].cpu_ms


def _draw(runs: Sequence[WardRun], file: Path) -> None:
    """Processor time and memory over the number of beds, as PNG or SVG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    beds = [run.beds for run in runs]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), constrained_layout=True)
    left.loglog(beds, [run.cpu_s / run.seconds for run in runs], "o-", label="measured")
    line = runs[-1].cpu_ms / 1e3
    left.loglog(beds, [line * n for n in beds], ":", color="grey", label=f"{line * 1e3:.2f} ms a bed-second")
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
