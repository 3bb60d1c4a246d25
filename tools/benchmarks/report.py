"""The figures of a benchmark: as a table, and as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from common.pages import machine, markdown_table, save_json

__all__ = [
    "Figure",
    "Report",
    "figures_table",
    "goal_text",
    "machine_line",
    "paired_ratio",
    "percentile",
    "show",
    "timed",
]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    Attributes:
        what: what was measured.
        value: the number; of repeats the median.
        unit: of the value; `x` marks a ratio.
        goal: the limit in the same unit; None = no goal.
        more_is_better: the goal is a minimum, not a maximum.
        low, high: extremes of the repeats.
    """

    what: str
    value: float
    unit: str
    goal: float | None = None
    more_is_better: bool = False
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one benchmark.

    Attributes:
        benchmark: its name.
        settings: everything that a repetition needs, seeds included.
        figures: in reading order.
        notes: how the figures were measured, for the reader.
        machine: see `common.pages.machine`.
    """

    benchmark: str
    settings: Mapping[str, Any]
    figures: Sequence[Figure]
    notes: Sequence[str] = ()
    machine: Mapping[str, Any] = field(default_factory=machine)

    @classmethod
    def read(cls, path: Path) -> Report:
        """Read what `show` has written."""
        content = json.loads(path.read_text("utf-8"))
        names = Figure.__slots__
        figures = [Figure(**{name: figure[name] for name in names}) for figure in content["figures"]]
        return cls(**content | {"figures": figures})


def timed(what: str, values: Sequence[float], unit: str, goal: float | None = None) -> Figure:
    """Median and extremes of repeats."""
    return Figure(what, statistics.median(values), unit, goal, low=min(values), high=max(values))


def paired_ratio(what: str, theirs: Sequence[float], ours: Sequence[float], goal: float | None = None) -> Figure:
    """Median of theirs / ours over pairs of repeats: a disturbance of the machine slows both of a pair alike."""
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    return Figure(what, statistics.median(ratios), "x", goal, more_is_better=True, low=min(ratios), high=max(ratios))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, -int(-share * len(ranked) // 1) - 1))]


def show(report: Report, json_file: Path | None = None) -> None:
    """Print the table and, if asked, write the same as JSON."""
    print(f"{figures_table(report)}\n\n{machine_line(report)}", *(f"- {note}" for note in report.notes), sep="\n")
    if json_file is not None:
        save_json(json_file, asdict(report), indent=2)


def figures_table(report: Report) -> str:
    """All figures as a Markdown table."""
    settings = " ".join(f"{key}={value}" for key, value in report.settings.items())
    heading = f"**`{report.benchmark}`**: {settings}, load at the end {report.machine['load_1_min']:g}"
    rows = []
    for figure in report.figures:
        title = f"... {figure.what.strip()}" if figure.what.startswith(" ") else figure.what
        span = "" if figure.low is None or figure.high is None else f"{_number(figure.low)} to {_number(figure.high)}"
        rows.append((title, f"{_number(figure.value)} {figure.unit}".strip(), span, goal_text(figure)))
    return markdown_table((heading, "value", "range", "goal"), rows, "lrrl")


def goal_text(figure: Figure) -> str:
    """The goal of a figure, and whether it is met."""
    if figure.goal is None:
        return ""
    met = figure.value >= figure.goal if figure.more_is_better else figure.value <= figure.goal
    sign = "≥" if figure.more_is_better else "≤"
    unit = "" if figure.unit == "x" else f" {figure.unit}"
    return f"{sign} {_number(figure.goal)}{unit}, {'met' if met else 'missed'}"


def machine_line(report: Report) -> str:
    """The machine that measured."""
    m = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in m["versions"].items())
    return f"{m['cpu']}, {m['cores']} cores, {m['system']}, Python {m['python']},\n{versions}."


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"
