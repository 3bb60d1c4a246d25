"""What a benchmark found, as a table for a person and as JSON for a program."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["BenchError", "Figure", "Report", "machine", "paired_ratio", "percentile", "show", "timed"]

_PACKAGES = ("numpy", "scipy", "neurokit2", "onnxruntime", "wfdb", "torch")


class BenchError(Exception):
    """A benchmark cannot run. One line, with the remedy."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    Attributes:
        what: what was measured.
        value: the number that counts, mostly a median.
        unit: of the value; `x` marks a ratio.
        goal: the limit it is held against, in the same unit; None = none.
        more_is_better: the goal is the least, not the most.
        low, high: extremes of the repeats, where it was repeated.
    """

    what: str
    value: float
    unit: str
    goal: float | None = None
    more_is_better: bool = False
    low: float | None = None
    high: float | None = None

    @property
    def margin(self) -> float | None:
        """How many times better than the goal; under 1 = missed."""
        if self.goal is None or not self.value or not self.goal:
            return None
        return self.value / self.goal if self.more_is_better else self.goal / self.value


@dataclass(frozen=True, slots=True)
class Report:
    """What one benchmark found.

    Attributes:
        benchmark: its name.
        settings: everything a repetition needs, seeds too.
        figures: in the order they are read.
        notes: what a reader must know to judge the figures.
    """

    benchmark: str
    settings: Mapping[str, Any]
    figures: Sequence[Figure]
    notes: Sequence[str] = ()
    machine: Mapping[str, Any] = field(default_factory=lambda: machine())


def timed(what: str, values: Sequence[float], unit: str, goal: float | None = None) -> Figure:
    """Median and extremes of repeats."""
    return Figure(what, statistics.median(values), unit, goal, low=min(values), high=max(values))


def paired_ratio(what: str, theirs: Sequence[float], ours: Sequence[float], goal: float | None = None) -> Figure:
    """Median of theirs / ours, repeat by repeat: what disturbs the machine disturbs both of a pair alike."""
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    return Figure(what, statistics.median(ratios), "x", goal, more_is_better=True, low=min(ratios), high=max(ratios))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, -int(-share * len(ranked) // 1) - 1))]


def machine() -> dict[str, Any]:
    """The kind of machine, how busy it is, and the versions that matter; nothing that names it."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_1_min": round(os.getloadavg()[0], 2),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": versions,
    }


def show(report: Report, console: Console, json_file: Path | None = None) -> None:
    """Print the table and, if asked, write the same as JSON."""
    title = " ".join(f"{key}={value}" for key, value in report.settings.items())
    table = Table(title=f"{report.benchmark}  {title}", title_justify="left", title_style="bold")
    table.add_column("figure")
    for heading in ("value", "unit", "repeats", "goal", "margin"):
        table.add_column(heading, justify="right" if heading != "unit" else "left", no_wrap=True)
    for figure in report.figures:
        margin = figure.margin
        style = "" if margin is None else "green" if margin >= 1 else "red"
        goal = "" if figure.goal is None else f"{'≥' if figure.more_is_better else '≤'} {_number(figure.goal)}"
        table.add_row(
            figure.what,
            _number(figure.value),
            figure.unit,
            "" if figure.low is None else f"{_number(figure.low)} to {_number(figure.high)}",
            goal,
            "" if margin is None else f"{margin:.2f}x",
            style=style,
        )
    console.print(table)
    m = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in m["versions"].items())
    console.print(f"{m['cpu']}, {m['cores']} cores, load {m['load_1_min']}; Python {m['python']}, {versions}")
    for note in report.notes:
        console.print(f"- {note}")
    if json_file is not None:
        content = asdict(report) | {"figures": [asdict(f) | {"margin": f.margin} for f in report.figures]}
        json_file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _cpu() -> str:
    """Kind of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
