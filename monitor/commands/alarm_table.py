"""Alarms of a journal as a table for a terminal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from monitor.reports.episodes import PastAlarm

__all__ = ["write_table"]

_COLUMNS: Final = ("time", "bed", "kind", "priority", "state", "lasted", "text", "who", "id")
_STYLES: Final = {"high": "bold red", "medium": "yellow", "low": "cyan"}
_PIPE_WIDTH: Final = 160  # columns, where the output is no terminal


def write_table(alarms: list[PastAlarm], out: TextIO) -> None:
    """Write one row per alarm, as wide as the terminal; a cleared alarm has no colour."""
    console = Console(file=out, width=None if out.isatty() else int(os.environ.get("COLUMNS") or _PIPE_WIDTH))
    if not alarms:
        console.print("no such alarm")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in _COLUMNS:
        table.add_column(name, overflow="fold", no_wrap=name in ("time", "priority"))
    for alarm in alarms:
        last = alarm.last
        cells = (
            f"{alarm.onset_time:%Y-%m-%d %H:%M:%S}", last.bed, last.kind.replace("_", " "), last.priority,
            alarm.outcome, _duration(alarm.lasted_s), last.text, last.acknowledged_by, last.alarm_id,
        )  # fmt: skip
        style = _STYLES[last.priority] if alarm.outcome != "cleared" else ""
        table.add_row(*(Text("".join(c for c in cell if c.isprintable())) for cell in cells), style=style)
    console.print(table)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)}:{int(seconds % 60):02d} min"
