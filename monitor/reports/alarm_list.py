"""Alarms of the past as a table, as JSON lines, as CSV."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from monitor.reports.episodes import PastAlarm

__all__ = ["COLUMNS", "FORMATS", "as_csv", "as_json_lines", "as_table"]

COLUMNS = ("time", "bed", "kind", "priority", "state", "lasted_s", "text", "who", "count", "alarm_id", "epoch")
PIPED_WIDTH = 160  # of a table that nobody looks at in a terminal


def _row(alarm: PastAlarm) -> dict[str, Any]:
    last, lasted_s = alarm.last, alarm.lasted_s
    return {
        "time": alarm.onset_time.isoformat(timespec="milliseconds"),
        "bed": last.bed,
        "kind": last.kind,
        "priority": last.priority,
        "state": alarm.outcome,
        "lasted_s": None if lasted_s is None else round(lasted_s, 3),
        "text": last.text,
        "who": alarm.who,
        "count": last.count,
        "alarm_id": last.alarm_id,
        "epoch": alarm.epoch,
    }


def as_table(alarms: list[PastAlarm], out: TextIO) -> None:
    """For a person: one row an alarm, as wide as the terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=out, width=None if out.isatty() else int(os.environ.get("COLUMNS") or PIPED_WIDTH))
    if not alarms:
        console.print("no such alarm")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("time", "bed", "kind", "priority", "state", "lasted", "text", "who", "id"):
        table.add_column(name, overflow="fold", no_wrap=name in ("time", "priority"))
    for alarm in alarms:
        last = alarm.last
        cells = (
            f"{alarm.onset_time:%Y-%m-%d %H:%M:%S}", last.bed, last.kind.replace("_", " "), last.priority,
            alarm.outcome, _lasted(alarm.lasted_s), last.text, alarm.who, last.alarm_id,
        )  # fmt: skip
        style = _STYLES[last.priority] if alarm.outcome != "cleared" else ""
        table.add_row(*(Text("".join(c for c in cell if c.isprintable())) for cell in cells), style=style)
    console.print(table)


_STYLES = {"high": "bold red", "medium": "yellow", "low": "cyan"}


def _lasted(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)}:{int(seconds % 60):02d} min"


def as_json_lines(alarms: list[PastAlarm], out: TextIO) -> None:
    """One JSON object a line, with evidence and states."""
    import msgspec

    for alarm in alarms:
        row = _row(alarm) | {
            "category": alarm.last.category,
            "onset_sample": alarm.last.onset_sample,
            "evidence": alarm.last.evidence,
            "states": [
                {
                    "time": m.time,
                    "sample": m.alarm.decided_sample,
                    "state": m.alarm.state,
                    "who": m.alarm.acknowledged_by,
                }
                for m in alarm.messages
                if not m.alarm.update
            ],
        }
        out.write(msgspec.json.encode(row).decode() + "\n")


def as_csv(alarms: list[PastAlarm], out: TextIO) -> None:
    """COLUMNS, with a header."""
    import csv

    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_row(alarm) for alarm in alarms)


FORMATS: Final[dict[str, Callable[[list[PastAlarm], TextIO], None]]] = {
    "table": as_table,
    "jsonl": as_json_lines,
    "csv": as_csv,
}
