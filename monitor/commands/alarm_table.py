"""Alarms of a journal as a table for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TextIO

from monitor.commands.table import Column, write_table
from monitor.terminal import print_line

if TYPE_CHECKING:
    from monitor.reports.episodes import PastAlarm

__all__ = ["write_alarms"]

_COLUMNS: Final = (
    Column("time", 2), Column("bed", 9), Column("kind", 1), Column("priority", 3), Column("state", 4),
    Column("count", 5, right=True), Column("lasted", 7, right=True), Column("text", 8, shortest=20), Column("who", 6),
    Column("id", 0),
)  # fmt: skip
_STYLES: Final = {"high": "bold red", "medium": "yellow", "low": "cyan"}


def write_alarms(alarms: list[PastAlarm], out: TextIO) -> None:
    """Write one row per alarm, as wide as the terminal; a cleared alarm has no colour."""
    if not alarms:
        print_line("no such alarm", out)
        return
    rows = [
        (
            f"{alarm.onset_time:%Y-%m-%d %H:%M:%S}", alarm.last.bed, alarm.last.kind.replace("_", " "),
            alarm.last.priority, alarm.outcome, str(alarm.last.count), _duration(alarm.lasted_s), alarm.last.text,
            alarm.last.acknowledged_by, alarm.last.alarm_id,
        )
        for alarm in alarms
    ]  # fmt: skip
    styles = [_STYLES[alarm.last.priority] if alarm.outcome != "cleared" else "" for alarm in alarms]
    write_table(_COLUMNS, rows, out, styles=styles)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)}:{int(seconds % 60):02d} min"
