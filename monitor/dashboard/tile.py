"""Tile of one bed in the ward: name, heart rate, most urgent alarm or signal quality, a small trace.

In a small tile the trace is left out first, then words; sign, name and rate remain.
"""

from __future__ import annotations

import numpy as np
from rich.cells import cell_len

from monitor.dashboard.alarm_panel import FULL_INK, MARKS, TEXT_INK, format_clock
from monitor.dashboard.bed import DashboardBed
from monitor.dashboard.bed_order import WardBed
from monitor.dashboard.braille import plot_seconds, plot_trace
from monitor.dashboard.canvas import Canvas, Ink
from monitor.dashboard.ring import SampleKind
from monitor.dashboard.state import Condition
from monitor.dashboard.watch import limit_words, not_watched
from monitor.dashboard.waveform import CONDITION_WORDS
from monitor.quality_labels import quality_words
from monitor.terminal import printable

__all__ = ["HEAD_ROWS", "draw_tile", "draw_trace", "shortened"]

HEAD_ROWS = 2  # one of name and rate, one of words
RATE_CELLS = 4
DOTS_PER_S = 14  # coarser than the trace of one bed: only rhythm is visible at this size


def shortened(text: str, cells: int) -> str:
    """Shorten a name in its middle: names differ at their ends.

    >>> shortened("icu-4@127.0.0.1:5556", 12)
    'icu-4@…:5556'
    """
    text = printable(text)
    if cell_len(text) <= cells:
        return text
    if not text.isascii():
        return text  # the canvas cuts it at the right edge
    after = (cells - 1) // 2
    return f"{text[: cells - 1 - after]}…{text[len(text) - after :]}"


def draw_tile(
    canvas: Canvas, top: int, left: int, rows: int, cols: int, entry: WardBed, now_s: float, *, chosen: bool
) -> None:
    """Draw one bed in at least 1 row and 16 columns, of which the last stays free; `chosen`: the cursor is on it."""
    if chosen:
        canvas.fill(top, left, rows, 1, "▌", Ink.BOLD)
    left, cols = left + 1, cols - 2
    _draw_head(canvas, top, left, cols, entry, now_s, chosen=chosen)
    if rows >= HEAD_ROWS:
        _draw_words(canvas, top + 1, left, cols, entry, now_s, beside_trace=rows > HEAD_ROWS)
    if rows > HEAD_ROWS:
        if entry.condition == "live":
            draw_trace(canvas, top + HEAD_ROWS, left, rows - HEAD_ROWS, cols, entry.bed)
        else:
            _draw_banner(canvas, top + HEAD_ROWS, left, rows - HEAD_ROWS, cols, entry, now_s)


def _draw_head(canvas: Canvas, row: int, left: int, cols: int, entry: WardBed, now_s: float, *, chosen: bool) -> None:
    """Draw sign, name and rate, on the alarm's colour while it is not acknowledged."""
    alarm = entry.alarm
    ink, mark = Ink.DIM, ""
    if alarm is not None:
        mark = MARKS[alarm.priority].strip()
        ink = TEXT_INK[alarm.priority] if alarm.state == "acknowledged" else FULL_INK[alarm.priority]
    painted = alarm is not None and alarm.state != "acknowledged"
    canvas.fill(row, left, 1, cols, " " if painted else "─", ink)
    rate = entry.bed.shown_rate_bpm(now_s) if entry.condition == "live" else None
    text = "---" if rate is None else f"{min(rate, 999):.0f}"
    rate_left = left + cols - RATE_CELLS
    at = left
    if mark:
        at = canvas.text(row, at, f"{mark} ", ink)
    name_ink = ink if painted else Ink.BED if chosen else Ink.BOLD
    at = canvas.text(row, at, shortened(entry.label, rate_left - at - 1), name_ink, rate_left - at - 1)
    if not painted:
        canvas.text(row, at, " ")
    rate_ink = ink if painted else Ink.DIM if rate is None else Ink.GOOD
    canvas.text(row, rate_left, text.rjust(RATE_CELLS), rate_ink)


def _draw_words(
    canvas: Canvas, row: int, left: int, cols: int, entry: WardBed, now_s: float, *, beside_trace: bool
) -> None:
    """Draw the alarm in words, or the signal quality; without a trace also the condition of the stream."""
    parts: list[tuple[str, Ink]] = []
    if entry.condition != "live" and not beside_trace:
        parts.append((CONDITION_WORDS[entry.condition], _condition_ink(entry.condition)))
    bed, alarm = entry.bed, entry.alarm
    unseen = not_watched(bed, now_s)
    if unseen is not None and (alarm is None or alarm.category == "technical"):
        parts.append((f" {unseen[0]} ", unseen[1]))
    if alarm is not None:
        kind = alarm.kind.replace("_", " ")
        kind = f"TECH {kind}" if alarm.category == "technical" else kind
        acknowledged = alarm.state == "acknowledged"
        state = " ✓" if acknowledged else " latched" if alarm.state == "latched" else ""
        more = f" +{len(bed.alarms.active) - 1}" if len(bed.alarms.active) > 1 else ""
        words_ink = TEXT_INK[alarm.priority]
        room = cols - sum(cell_len(text) + 1 for text, _ in parts) - len(state) - len(more)
        if len(kind) > room and not acknowledged:  # the name of the alarm matters more
            room, state, more = room + len(state) + len(more), "", ""
        if len(kind) > room > 1:
            kind = f"{kind[: room - 1]}…"
        parts.append((f"{kind}{state}{more}", words_ink))
        if unseen is not None and alarm.category != "technical":
            parts.append((f" {unseen[0]} ", unseen[1]))
    if entry.condition == "live" and bed.status is not None and bed.status.quality != "good":
        words = quality_words(bed.status.quality)
        if alarm is None or words != alarm.kind.replace("_", " "):
            parts.append((f"signal {words}", Ink.BOLD))
    paused_s = bed.audio_paused_s(now_s)
    if paused_s > 0:
        parts.append((f"audio paused, {format_clock(paused_s)[3:]} left", Ink.NOTICE))
    if not parts and bed.status is not None:
        parts.append((bed.status.rhythm or bed.status.source, Ink.DIM))
    at = left
    for text, ink in parts:
        if at > left and at + cell_len(text) > left + cols:
            continue  # only the first text is cut; others are left out if they do not fit
        at = canvas.text(row, at, text, ink, left + cols - at) + 1
    low, high = limit_words(bed.status)
    limits = f"{low}-{high}"
    if low and at + len(limits) <= left + cols:  # under the rate
        canvas.text(row, left + cols - len(limits), limits, Ink.DIM)


def _condition_ink(condition: Condition) -> Ink:
    return Ink.MEDIUM if condition in ("stale", "no_data") else Ink.BED


def _draw_banner(canvas: Canvas, top: int, left: int, rows: int, cols: int, entry: WardBed, now_s: float) -> None:
    """Draw a banner instead of the trace of a stream that is not live."""
    ink = _condition_ink(entry.condition)
    canvas.fill(top, left, rows, cols, "╌", Ink.DIM)
    silent_s = entry.bed.clock.silent_s(now_s)
    since = "" if silent_s < 1 or entry.condition in ("starting", "ended") else f" {format_clock(silent_s)[2:]}"
    word = CONDITION_WORDS[entry.condition]
    text = f" {word}{since} "
    text = text if len(text) <= cols else f" {word} "
    canvas.text(top + (rows - 1) // 2, left + max(0, (cols - len(text)) // 2), text, ink, cols)


def draw_trace(canvas: Canvas, top: int, left: int, rows: int, cols: int, bed: DashboardBed) -> None:
    """Draw the last seconds, scrolled by whole cells."""
    wave = bed.lead.wave
    if wave is None or wave.end is None:
        return
    chars, edges, kinds = plot_trace(wave, bed.lead.scale, plot_seconds(cols, DOTS_PER_S), rows, cols)
    if (kinds > SampleKind.VALID).any():  # missing samples; before the first wave the plot stays empty
        at = np.searchsorted(edges - edges[0], np.flatnonzero(kinds > SampleKind.VALID), side="right") - 1
        chars[rows // 2, np.unique(at // 2)] = "╌"
    canvas.block(top, left, chars, np.where(chars == "╌", Ink.DIM, Ink.TRACE).astype(np.uint8))
