"""The screen of one bed on a small terminal: what a nurse needs first, from the top down."""

from __future__ import annotations

from monitor.client.liveness import ConnectionState
from monitor.dashboard.alarm_panel import FULL_INK, MARKS, TEXT_INK, format_age
from monitor.dashboard.bed import DashboardBed
from monitor.dashboard.canvas import Canvas, Ink
from monitor.dashboard.digits import SMALL_ROWS, big_number
from monitor.dashboard.panels import CONNECTION, NOTICE, BedView
from monitor.dashboard.state import Condition
from monitor.dashboard.tile import draw_trace
from monitor.dashboard.watch import draw_no_rate, limit_words, no_rate, not_watched, rhythm_words
from monitor.dashboard.waveform import CONDITION_WORDS
from monitor.quality_labels import quality_words

__all__ = ["SMALL_HEIGHT", "SMALL_WIDTH", "draw_small", "draw_tiny"]

SMALL_WIDTH, SMALL_HEIGHT = 20, 6
TRACE_ROWS = 3  # fewer show no rhythm


def draw_small(
    canvas: Canvas, bed: DashboardBed | None, condition: Condition, connection: ConnectionState, view: BedView,
    now_s: float,
) -> None:  # fmt: skip
    """Draw name, alarms, rate between its limits, rhythm and signal; a trace if rows are left; from 20 x 6 cells."""
    width, bottom = canvas.width, canvas.height - 1
    name = view.label or ("no bed" if bed is None else bed.name)
    word, ink = CONNECTION[connection]
    if connection == "connected":
        word = word[0]
    canvas.text(0, 0, f" {name} ", Ink.BED, width - len(word) - 1)
    canvas.text(0, width - len(word), word, ink)
    if view.frozen is not None:
        canvas.text(bottom, 0, f" FROZEN {now_s - view.frozen_at_s:.0f} s ", Ink.MEDIUM)
    elif view.note:
        canvas.text(bottom, 0, view.note, Ink.BOLD)
    else:
        canvas.text(bottom, 0, NOTICE, Ink.NOTICE)
    if bed is None:
        canvas.text(1, 0, "waiting for the monitor", Ink.BOLD)
        return
    row = 1 + _draw_alarms(canvas, 1, max(1, (bottom - 1) // 3), bed, connection, now_s)
    row += _draw_rate(canvas, row, bottom - row, bed, now_s, live=condition == "live")
    lines = [(f" {CONDITION_WORDS[condition]} ", Ink.MEDIUM)] if condition != "live" else _words(bed, now_s)
    for text, line_ink in lines[: bottom - row]:
        canvas.text(row, 0, text, line_ink)
        row += 1
    if condition == "live" and bottom - row >= TRACE_ROWS:
        draw_trace(canvas, row, 0, bottom - row, width, view.frozen or bed)


def draw_tiny(canvas: Canvas, bed: DashboardBed | None, condition: Condition, label: str, now_s: float) -> None:
    """Draw the most urgent alarm and the rate on any number of cells, in one line if there is only one."""
    if bed is None:
        canvas.text(0, 0, "no bed yet", Ink.BOLD)
        return
    rate = bed.shown_rate_bpm(now_s) if condition == "live" else None
    why = no_rate(bed, now_s) if condition == "live" and rate is None else None
    heart = CONDITION_WORDS[condition] or f"HR {'---' if rate is None else f'{min(rate, 999):.0f}'}"
    lines = [(heart, Ink.GOOD if rate is not None else Ink.BOLD)]
    alarm = bed.alarms.most_urgent
    if alarm is not None:
        ink = (TEXT_INK if alarm.state == "acknowledged" else FULL_INK)[alarm.priority]
        lines.insert(0, (f"{MARKS[alarm.priority].strip()} {alarm.kind.replace('_', ' ')}", ink))
    if why is not None and (alarm is None or why.word.casefold() != alarm.kind.replace("_", " ")):
        lines.append((why.word, why.ink))
    if label:
        lines.append((label, Ink.PLAIN))
    col = 0
    for row, (text, ink) in enumerate(lines):
        if canvas.height > 1:
            canvas.text(row, 0, text, ink)
        else:
            col = canvas.text(0, col, text, ink) + 1


def _short_age(seconds: float) -> str:
    """In one unit, e.g. `42 s`, `5 min`, `2 h`."""
    if seconds < 60:
        return f"{int(seconds)} s"
    return f"{int(seconds / 60)} min" if seconds < 3600 else f"{int(seconds / 3600)} h"


def _words(bed: DashboardBed, now_s: float) -> list[tuple[str, Ink]]:
    """Rhythm, then signal quality where it is not good."""
    lines = [rhythm_words(bed, now_s)]
    if bed.status is not None and bed.status.quality != "good":
        lines.append((f"signal {quality_words(bed.status.quality).upper()}", Ink.HIGH_TEXT))
    return lines


def _draw_alarms(
    canvas: Canvas, top: int, rows: int, bed: DashboardBed, connection: ConnectionState, now_s: float
) -> int:
    """Draw the most urgent alarms, one a row; the last row counts those left out. Returns the rows used."""
    alarms = bed.alarms.by_priority()
    if not alarms:
        known = connection == "connected"
        if known and not_watched(bed, now_s) is not None:
            return 0  # the line of the rhythm says so
        canvas.text(top, 0, "no active alarms" if known else "alarms unknown", Ink.GOOD if known else Ink.BOLD)
        return 1
    for number, alarm in enumerate(alarms[:rows]):
        seen = alarm.state == "acknowledged"
        ink = (TEXT_INK if seen else FULL_INK)[alarm.priority]
        age_s = bed.age_s(alarm, now_s)
        age = "" if age_s is None else format_age(age_s)
        if number == rows - 1 and len(alarms) > rows:
            age = f"+{len(alarms) - rows}"
        if not seen:
            canvas.fill(top + number, 0, 1, canvas.width, " ", ink)
        kind = f"{MARKS[alarm.priority].strip()} {alarm.kind.replace('_', ' ')}{' ✓' if seen else ''}"
        if len(kind) + len(age) + 1 > canvas.width and not age.startswith("+"):
            age = "" if age_s is None else _short_age(age_s)
        canvas.text(top + number, 0, kind, ink, canvas.width - len(age) - bool(age))
        canvas.text(top + number, canvas.width - len(age), age, ink)
    return min(rows, len(alarms))


def _draw_rate(canvas: Canvas, top: int, rows: int, bed: DashboardBed, now_s: float, *, live: bool) -> int:
    """Draw the rate, in digits of three rows if the words still fit; returns the rows used."""
    if rows <= 0:
        return 0
    rate = bed.shown_rate_bpm(now_s) if live else None
    text = "---" if rate is None else f"{min(rate, 999):.0f}"
    ink = Ink.DIM if rate is None else Ink.GOOD
    low, high = limit_words(bed.status)
    if rows < SMALL_ROWS + 1:
        col = canvas.text(top, 0, f"HR {text} bpm", ink)
        canvas.text(top, col, f"  {low}-{high}" if low else "", Ink.PLAIN)
        return 1
    digits = big_number(text.rjust(3), large=False)
    why = no_rate(bed, now_s) if live and rate is None else None
    if why is None:
        canvas.block(top, 0, digits, ink)
    else:
        draw_no_rate(canvas, top + 1, 0, digits.shape[1], why)
    for offset, word in ((0, high), (1, "bpm"), (2, low)):
        canvas.text(top + offset, digits.shape[1] + 1, word, Ink.DIM if word == "bpm" else Ink.PLAIN)
    return SMALL_ROWS
