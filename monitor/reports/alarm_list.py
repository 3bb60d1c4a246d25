"""Alarms of a journal as JSON lines and as CSV."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

from monitor.terminal import json_line, printable

if TYPE_CHECKING:
    from monitor.reports.episodes import PastAlarm

__all__ = ["COLUMNS", "alarm_row", "write_csv", "write_json_lines"]

_FORMULA = ("=", "+", "-", "@")
COLUMNS = ("time", "bed", "kind", "priority", "state", "lasted_s", "text", "who", "count", "alarm_id", "epoch")


def alarm_row(alarm: PastAlarm) -> dict[str, Any]:
    """COLUMNS of one alarm."""
    last, lasted_s = alarm.last, alarm.lasted_s
    return {
        "time": alarm.onset_time.isoformat(timespec="milliseconds"),
        "bed": last.bed,
        "kind": last.kind,
        "priority": last.priority,
        "state": alarm.outcome,
        "lasted_s": None if lasted_s is None else round(lasted_s, 3),
        "text": last.text,
        "who": last.acknowledged_by,
        "count": last.count,
        "alarm_id": last.alarm_id,
        "epoch": alarm.epoch,
    }


def write_json_lines(alarms: list[PastAlarm], out: TextIO) -> None:
    """Write one JSON object per line: COLUMNS, evidence and every state."""
    for alarm in alarms:
        states = [
            {"time": m.time, "sample": m.alarm.decided_sample, "state": m.alarm.state, "who": m.alarm.acknowledged_by}
            for m in alarm.messages
            if not m.alarm.update
        ]
        last = alarm.last
        more = {"category": last.category, "onset_sample": last.onset_sample, "evidence": last.evidence}
        out.write(json_line(msgspec.json.encode(alarm_row(alarm) | more | {"states": states})) + "\n")


def write_csv(alarms: list[PastAlarm], out: TextIO) -> None:
    """Write COLUMNS with a header.

    In the texts each character is a visible one, and a text that a spreadsheet would take for a formula begins with an
    apostrophe: an operator's name is whatever a client sent.
    """
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for alarm in alarms:
        writer.writerow({k: _cell(v) if isinstance(v, str) else v for k, v in alarm_row(alarm).items()})


def _cell(text: str) -> str:
    text = printable(text)
    return f"'{text}" if text.startswith(_FORMULA) else text
