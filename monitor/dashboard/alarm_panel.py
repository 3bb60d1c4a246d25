"""Alarm panel: most urgent first, each with its reason in words."""

from __future__ import annotations

import re
import textwrap

from rich.cells import cell_len

from monitor.client.liveness import ConnectionState
from monitor.dashboard.bed import DashboardBed
from monitor.dashboard.canvas import Canvas, Ink
from monitor.dashboard.watch import not_watched
from monitor.messages import Alarm, Priority

__all__ = ["FULL_INK", "MARKS", "TEXT_INK", "draw_alarms", "format_age", "format_clock"]

# Priority marks of patient monitors (IEC 60601-1-8): the number of exclamation marks gives the priority without colour.
MARKS: dict[Priority, str] = {"high": "!!!", "medium": "!! ", "low": "!  "}
FULL_INK: dict[Priority, Ink] = {"high": Ink.HIGH, "medium": Ink.MEDIUM, "low": Ink.LOW}
TEXT_INK: dict[Priority, Ink] = {"high": Ink.HIGH_TEXT, "medium": Ink.MEDIUM_TEXT, "low": Ink.LOW_TEXT}


def format_clock(seconds: float) -> str:
    """Hours, minutes and seconds, e.g. `0:05:12`."""
    whole = max(0, int(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def format_age(seconds: float | None) -> str:
    """How long ago, e.g. `0:42 ago`, `1:05:12 ago`; `--` where that is not known."""
    if seconds is None:
        return "--"
    seconds = max(0.0, seconds)
    short = f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
    return f"{short if seconds < 3600 else format_clock(seconds)} ago"


def draw_alarms(
    canvas: Canvas, top: int, rows: int, bed: DashboardBed | None, now_s: float, connection: ConnectionState
) -> None:
    """Draw active alarms, highest priority first, then newest; those that do not fit are counted.

    "no active alarms" is shown only while connected: otherwise alarms are unknown.
    """
    alarms = bed.alarms.by_priority() if bed is not None else []
    paused_s = bed.audio_paused_s(now_s) if bed is not None else 0.0
    if not alarms or bed is None:
        if connection == "connected" and bed is not None:
            unseen = not_watched(bed, now_s)
            if unseen is None:
                canvas.text(top, 1, "no active alarms", Ink.GOOD)
            else:
                col = canvas.text(top, 0, f" {unseen[0]} ", unseen[1])
                canvas.text(top, col + 1, "no alarm of the heart can be raised", Ink.BOLD)
        elif connection == "ended":
            canvas.text(top, 1, "no alarm was active when the monitor ended", Ink.BOLD)
        else:
            canvas.text(top, 1, "alarms unknown: not connected", Ink.BOLD)
        if bed is not None and bed.alarms.cleared and rows > 1:
            _draw_cleared(canvas, top + 1, rows - 1, bed, now_s)
        _draw_pause(canvas, top, paused_s)
        return
    shown = alarms if len(alarms) <= rows else alarms[: max(1, rows - 1)]
    kind_cells = max(len(_kind(alarm)) for alarm in shown)
    kind_cells = min(kind_cells, 32 if canvas.width >= 100 else 24)
    state_cells = max(len(alarm.state) for alarm in shown)
    row, spare = top, rows - len(alarms)
    for alarm in shown:
        used = _draw_alarm(canvas, row, alarm, kind_cells, state_cells, bed.age_s(alarm, now_s), spare)
        row, spare = row + used, spare - (used - 1)
    if len(shown) < len(alarms) and rows > 1:
        rest = alarms[len(shown) :]
        words = ", ".join(f"{n} {priority}" for priority in MARKS if (n := sum(a.priority == priority for a in rest)))
        canvas.text(row, 1, f"and {len(rest)} more: {words}", Ink.BOLD)
    elif row < top + rows:
        _draw_cleared(canvas, row, top + rows - row, bed, now_s)
    _draw_pause(canvas, top, paused_s)


def _kind(alarm: Alarm) -> str:
    kind = alarm.kind.replace("_", " ")
    return f"TECHNICAL {kind}" if alarm.category == "technical" else kind


def _draw_alarm(
    canvas: Canvas, row: int, alarm: Alarm, kind_cells: int, state_cells: int, age_s: float | None, spare: int
) -> int:
    """Draw one alarm: with a coloured background, or as coloured text once it is acknowledged.

    A long text continues below if there are `spare` rows; else it loses its numbers in brackets.

    Returns:
        Rows used.
    """
    quiet = alarm.state == "acknowledged"
    ink = TEXT_INK[alarm.priority] if quiet else FULL_INK[alarm.priority]
    head = f" {MARKS[alarm.priority]} {alarm.priority.upper():<6} "
    kind = _kind(alarm)
    if len(kind) > kind_cells:
        kind = kind[: kind_cells - 1] + "…"
    # Colour the whole line of a high alarm, only the head of others, so that high alarms stand out.
    wide_ink = ink if alarm.priority == "high" else Ink.PLAIN
    label = f"{head} {kind.ljust(kind_cells)} "
    who = f" by {alarm.acknowledged_by}" if alarm.acknowledged_by else ""
    times = f"  ({alarm.count} times)" if alarm.count > 1 else ""
    state = f"{alarm.state.upper():<{state_cells}} {format_age(age_s):>9}"
    at = cell_len(label) + 1 + len(state) + 2
    lines = _wrapped(alarm.text, f"{times}{who}", canvas.width - at, 1 + max(spare, 0))
    if alarm.priority == "high" and not quiet:
        canvas.fill(row, 0, len(lines), canvas.width, " ", ink)
    canvas.text(row, 0, label, ink)
    canvas.text(row, cell_len(label) + 1, state, wide_ink)
    for number, line in enumerate(lines):
        canvas.text(row + number, at, line, wide_ink)
    return len(lines)


def _wrapped(text: str, end: str, cells: int, most: int) -> list[str]:
    """Wrap text and end into at most `most` lines; if they do not fit, without the numbers in brackets."""
    lines = textwrap.wrap(text + end, max(cells, 1)) or [""]
    if len(lines) > most:
        short = re.sub(r" \([^()]*\)", "", text) + end
        lines = textwrap.wrap(short, max(cells, 1))
        if len(lines) > most:
            return [short]  # the canvas cuts it with an ellipsis
    return lines


def _draw_cleared(canvas: Canvas, top: int, rows: int, bed: DashboardBed, now_s: float) -> None:
    """Draw the last cleared alarms, dimmed."""
    for number, alarm in enumerate(list(bed.alarms.cleared)[: -rows - 1 : -1]):
        age_s = bed.age_s(alarm, now_s)
        ago = "" if age_s is None else f"  began {format_age(age_s)}"
        canvas.text(top + number, 1, f"cleared: {MARKS[alarm.priority]} {_kind(alarm)}{ago}", Ink.DIM)


def _draw_pause(canvas: Canvas, row: int, paused_s: float) -> None:
    if paused_s > 0:
        text = f" AUDIO PAUSED, {format_clock(paused_s)[3:]} left "
        canvas.text(row, canvas.width - len(text), text, Ink.BED)
