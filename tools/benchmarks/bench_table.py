"""The kept figures as tables: every figure for docs/performance.md, a few for README.md."""

from __future__ import annotations

from pathlib import Path

from common.pages import markdown_table
from common.programs import ToolError

from benchmarks.report import Report, figures_table, goal_text, machine_line

__all__ = ["page_table", "readme_table"]

_ORDER = ("replay", "latency", "rpeaks", "score", "beds", "fleet")
# Lines of the README: title, benchmark, name of the figure, format of its value.
_README = (
    ("half-hour record, all files written: time of `neurokit2.ecg_process` / ours", "replay",
     "ratio: our process / their call", "{:.1f}"),
    ("one bed: latency of a beat, p99", "latency", "deciding sample to beat received, p99", "{:.0f} ms"),
    ("{beds:,} beds in one process: latency of an alarm, p99", "beds",
     "deciding sample to alarm received, p99", "{:,.0f} ms"),
    ("{beds:,} beds in a fleet on 2 cores: latency of an alarm, p99", "fleet",
     "deciding sample to alarm received, p99", "{:,.0f} ms"),
)  # fmt: skip


def page_table(folder: Path) -> str:
    """All figures of the benchmarks in the folder, one table each.

    Raises:
        ToolError: there are none.
    """
    reports = [Report.read(file) for name in _ORDER if (file := folder / f"{name}.json").exists()]
    if not reports:
        raise ToolError(f"no figures in {folder}: run python tools/bench.py all")
    return "\n\n".join([*map(figures_table, reports), machine_line(reports[0])])


def readme_table(folder: Path) -> str:
    """The few figures of the README.

    Raises:
        ToolError: a figure is not in the folder.
    """
    rows = []
    for title, name, what, form in _README:
        report = Report.read(folder / f"{name}.json")
        figures = {figure.what: figure for figure in report.figures}
        if what not in figures:
            raise ToolError(f"{folder / name}.json has no figure {what!r}: measure it again")
        rows.append((title.format_map(report.settings), form.format(figures[what].value), goal_text(figures[what])))
    return markdown_table(("speed", "measured", "goal"), rows, "lrl")
