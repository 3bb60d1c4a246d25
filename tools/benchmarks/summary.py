"""The figures that the project is held to, out of the files that the benchmarks wrote: a table for README.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import BenchError

__all__ = ["ROWS", "Row", "put", "table"]

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    Attributes:
        what: in words, with the settings of the benchmark in braces.
        report: the benchmark that measures it.
        figure: its name there.
        form: how the value is shown, a format string.
        goal: in words, shown where the figure has one or `good` decides.
        at_least, at_most: what `goal` means; None = no such bound.
    """

    what: str
    report: str
    figure: str
    form: str
    goal: str = ""
    at_least: float | None = None
    at_most: float | None = None


_HELD = "held in real time: in time, nothing lost, no overload (1 = yes)"
ROWS = (
    Row("beds in one process for {minutes:g} minutes: in time, nothing lost, no overload", "beds", _HELD,
        "{settings[beds]:,}"),
    Row("... deciding sample to alarm received, p99", "beds", "deciding sample to alarm received, p99",
        "{value:,.0f} ms", "≤ 1,000 ms", at_most=1000),
    Row("... beats and alarms lost", "beds", "beats and alarms lost", "{value:,.0f}", "0", at_most=0),
    Row("... processor time for a second of a bed", "beds", "processor, a second of a bed", "{value:.2f} ms"),
    Row("... memory of each further bed", "beds", "resident, each further bed", "{value:.2f} MB", "≤ 1 MB", at_most=1),
    Row("beds in a fleet on all cores for {minutes:g} minutes: in time, nothing lost, no overload", "fleet", _HELD,
        "{settings[beds]:,}"),
    Row("... deciding sample to alarm received from the hub, p99", "fleet", "deciding sample to alarm received, p99",
        "{value:,.0f} ms", "≤ 1,000 ms", at_most=1000),
    Row("... beats and alarms lost", "fleet", "beats and alarms lost", "{value:,.0f}", "0", at_most=0),
    Row("... cores in use", "fleet", "processor, cores in use on the mean", "{value:.2f}"),
    Row("processor time of {counts} beds: farthest from a straight line", "curve", "farthest from a straight line",
        "{value:.0f} %"),
    Row("cost of a bed-second, the most beds of {counts} over the second fewest", "curve",
        "ratio: a bed-second of the most beds / of the second fewest", "{value:.2f}", "near 1", 0.5, 1.5),
    Row("half-hour record, everything written: `nk.ecg_process` / ours", "replay", "ratio: our process / their call",
        "{value:.1f} times", "≥ 30", at_least=30),
    Row("R-peaks alone: `nk.ecg_findpeaks`, whole record / ours", "rpeaks",
        "ratio: neurokit2 ecg_clean + ecg_findpeaks / ours", "{value:.2f} times", "≥ 0.33", at_least=1 / 3),
    Row("R-peaks alone: `xqrs_detect` / ours", "rpeaks", "ratio: wfdb xqrs_detect / ours", "{value:.1f} times", "> 1",
        at_least=1),
    Row("R-peaks alone: `gqrs_detect` / ours", "rpeaks", "ratio: wfdb gqrs_detect / ours", "{value:.1f} times", "> 1",
        at_least=1),
    Row("scoring 64 beats, one core: published model in eager torch / ours", "score",
        "ratio: eager torch / ours, batch 64", "{value:.2f} times", "≥ 4", at_least=4),
    Row("scoring 64 beats, one core: published model as ONNX / ours", "score", "ratio: published ONNX / ours, batch 64",
        "{value:.2f} times", "≥ 1.5", at_least=1.5),
    Row("one bed, deciding sample to beat received, p50", "latency", "deciding sample to beat received, p50",
        "{value:.0f} ms", "≤ 50 ms", at_most=50),
    Row("one bed, deciding sample to beat received, p99", "latency", "deciding sample to beat received, p99",
        "{value:.0f} ms", "≤ 150 ms", at_most=150),
    Row("start: `--help`", "start", "ecg-monitor --help", "{value:.2f} s", "≤ 0.3 s", at_most=0.3),
    Row("start: first frame", "start", "first frame of the dashboard", "{value:.2f} s", "≤ 1 s", at_most=1),
    Row("start: first scored beat, `--speed max`", "start", "first scored beat received, --speed max", "{value:.2f} s"),
    Row("the screen of 1,000 beds, share of one core", "ward", "ward, 120x40", "{value:.1f} %", "≤ 10 %", at_most=10),
)  # fmt: skip


def table(folder: Path) -> str:
    """What lies in a folder of figures, a line each; figures that were not measured are left out.

    Raises:
        BenchError: there are none.
    """
    reports: dict[str, Mapping[str, Any]] = {}
    for file in sorted(folder.glob("*.json")):
        report = json.loads(file.read_text(encoding="utf-8"))
        reports[report["benchmark"]] = report
    rows = [row for row in ROWS if row.report in reports]
    if not rows:
        raise BenchError(f"no figures in {folder}: run python tools/bench.py all")
    lines = ["| figure | measured | goal |", "|---|---:|---|"]
    for row in rows:
        report = reports[row.report]
        values = {figure["what"].strip(): figure["value"] for figure in report["figures"]}
        if row.figure not in values:
            raise BenchError(f"{folder / row.report}.json has no figure {row.figure!r}: measure it again")
        value = values[row.figure]
        shown = row.form.format(value=value, settings=report["settings"])
        lines.append(f"| {row.what.format_map(report['settings'])} | {shown} | {_judged(row, value)} |")
    loads = ", ".join(f"{name} {report['machine']['load_1_min']:g}" for name, report in sorted(reports.items()))
    machine = next(iter(reports.values()))["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines += [
        "",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}, {versions}. "
        f"Load of the machine at the end of each: {loads}. All again with one command: `python tools/bench.py all`.",
    ]
    return "\n".join(lines)


def put(page: str, text: str) -> str:
    """README.md with the table between its markers; ValueError where one is missing."""
    from train.tables import put as put_between

    return put_between(page, text, (BEGIN, END), "README.md")


def _judged(row: Row, value: float) -> str:
    if row.figure == _HELD:
        return "held" if value else "not held"
    good = (row.at_least is None or value >= row.at_least) and (row.at_most is None or value <= row.at_most)
    return f"{row.goal}, {'met' if good else 'missed'}" if row.goal else ""
