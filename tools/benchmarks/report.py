"""The figures of a benchmark: as JSON, as a table for docs/performance.md, and a few for README.md."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from common.pages import machine, markdown_table, save_json
from common.programs import ToolError

_ORDER = ("replay", "latency", "rpeaks", "score", "beds", "fleet", "web")
# Lines of the README: title, benchmark, name of the figure, format of its number.
_README = (
    ("half-hour record, all files written: time of `neurokit2.ecg_process` / ours", "replay",
     "ratio: our process / their call", ".1f"),
    ("one bed: latency of a beat, p99", "latency", "deciding sample to beat received, p99", ".0f"),
    ("{beds:,} beds in one process: latency of an alarm, p99", "beds",
     "deciding sample to alarm received, p99", ",.0f"),
    ("{beds:,} beds in a fleet on 2 cores: latency of an alarm, p99", "fleet",
     "deciding sample to alarm received, p99", ",.0f"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number."""

    what: str
    value: float  # of repeats the median
    unit: str  # `x` marks a ratio
    goal: float | None = None  # the limit in the same unit
    more_is_better: bool = False  # the goal is a minimum, not a maximum
    low: float | None = None  # extremes of the repeats
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one benchmark: figures in reading order, settings that repeat it, notes for the reader."""

    benchmark: str
    settings: Mapping[str, Any]
    figures: Sequence[Figure]
    notes: Sequence[str] = ()
    machine: Mapping[str, Any] = field(default_factory=machine)


def timed(what: str, values: Sequence[float], unit: str) -> Figure:
    """Median and extremes of repeats."""
    return Figure(what, statistics.median(values), unit, low=min(values), high=max(values))


def paired_ratio(what: str, theirs: Sequence[float], ours: Sequence[float], goal: float | None = None) -> Figure:
    """Median of theirs / ours over pairs of repeats: a disturbance of the machine slows both of a pair alike."""
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    return Figure(what, statistics.median(ratios), "x", goal, more_is_better=True, low=min(ratios), high=max(ratios))


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of the values do not exceed (nearest rank)."""
    return float(np.percentile(values, percent, method="inverted_cdf"))


def show(report: Report, json_file: Path | None = None) -> None:
    """Print the table and, if asked, write the same as JSON."""
    print(f"{_figures_table(report)}\n\n{_machine_line(report)}", *(f"- {note}" for note in report.notes), sep="\n")
    if json_file is not None:
        save_json(json_file, asdict(report), indent=2)


def page_table(folder: Path) -> str:
    """All figures of the benchmarks in the folder, one table each; ToolError: there are none."""
    reports = [_read(file) for name in _ORDER if (file := folder / f"{name}.json").exists()]
    if not reports:
        raise ToolError(f"no figures in {folder}: run python tools/bench.py all")
    return "\n\n".join([*map(_figures_table, reports), _machine_line(reports[0])])


def readme_table(folder: Path) -> str:
    """The few figures of the README; ToolError: one is not in the folder."""
    rows = []
    for title, name, what, form in _README:
        report = _read(folder / f"{name}.json")
        figures = {figure.what: figure for figure in report.figures}
        if what not in figures:
            raise ToolError(f"{folder / name}.json has no figure {what!r}: measure it again")
        figure = figures[what]
        value = _with_unit(_shown(figure, format(figure.value, form)), figure)
        rows.append((title.format_map(report.settings), value, _goal_text(figure)))
    return markdown_table(("speed", "measured", "goal"), rows, "lrl")


def _read(path: Path) -> Report:
    return msgspec.json.decode(path.read_bytes(), type=Report)


def _figures_table(report: Report) -> str:
    settings = " ".join(f"{key}={value}" for key, value in report.settings.items())
    heading = f"**`{report.benchmark}`**: {settings}, load at the end {report.machine['load_1_min']:g}"
    rows = []
    for figure in report.figures:
        title = f"... {figure.what.strip()}" if figure.what.startswith(" ") else figure.what
        span = "" if figure.low is None or figure.high is None else f"{_number(figure.low)} to {_number(figure.high)}"
        value = f"{_shown(figure, _number(figure.value))} {figure.unit}".strip()
        rows.append((title, value, span, _goal_text(figure)))
    return markdown_table((heading, "value", "range", "goal"), rows, "lrrl")


def _goal_text(figure: Figure) -> str:
    """The goal of a figure, and whether it is met."""
    if figure.goal is None:
        return ""
    sign = "≥" if figure.more_is_better else "≤"
    goal = _with_unit(_number(figure.goal), figure)
    return f"{sign} {goal}, {'met' if _meets(figure, figure.value) else 'missed'}"


def _meets(figure: Figure, value: float) -> bool:
    """Whether a value meets the goal of a figure; without a goal each does."""
    if figure.goal is None:
        return True
    return value >= figure.goal if figure.more_is_better else value <= figure.goal


def _shown(figure: Figure, rounded: str) -> str:
    """The rounded value, with more digits where it would be on the other side of the goal than the value itself."""
    texts = (rounded, *(f"{figure.value:.{digits}g}" for digits in range(4, 18)))
    met = _meets(figure, figure.value)
    return next(text for text in texts if _meets(figure, float(text.replace(",", ""))) == met)


def _with_unit(number: str, figure: Figure) -> str:
    return number if figure.unit in ("", "x") else f"{number} {figure.unit}"


def _machine_line(report: Report) -> str:
    m = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in m["versions"].items())
    return f"{m['cpu']}, {m['cores']} cores, {m['system']}, Python {m['python']},\n{versions}."


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"
