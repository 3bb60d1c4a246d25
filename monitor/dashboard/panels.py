"""Text panels: header, vital signs, counters, beds, keys."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from monitor.client.liveness import ConnectionState
from monitor.dashboard.alarm_panel import FULL_INK, MARKS, TEXT_INK, format_clock
from monitor.dashboard.bed import DashboardBed
from monitor.dashboard.canvas import Canvas, Ink
from monitor.dashboard.digits import LARGE_ROWS, SMALL_ROWS, big_number
from monitor.dashboard.state import Condition, DashboardState
from monitor.dashboard.watch import draw_no_rate, hrv_words, limit_words, no_rate, not_watched, rhythm_words
from monitor.quality_labels import quality_words

__all__ = [
    "NOTICE",
    "RHYTHM_CELLS",
    "BedView",
    "draw_beds",
    "draw_counters",
    "draw_footer",
    "draw_header",
    "draw_vitals",
]

WHY_S = 10.0  # reasons of an anomalous beat stay as long as its alarm's hold time
EVENT_SHOWN_S = 10.0
EVENT_MIN_CELLS = 12
COUNTERS = 8
CLOCK_FROM_WIDTH = 72  # in a narrower header the source is more important than the time since its begin
RHYTHM_CELLS = 28  # `regular, premature beats` and a margin
NOTICE = "Not a medical device"
CONNECTION: dict[ConnectionState, tuple[str, Ink]] = {
    "connecting": ("○ CONNECTING", Ink.BED),
    "connected": ("● connected", Ink.GOOD),
    "stale": ("◌ STALE", Ink.MEDIUM),
    "lost": ("✕ CONNECTION LOST", Ink.HIGH),
    "ended": ("■ MONITOR ENDED", Ink.BED),
}


@dataclass(frozen=True)
class BedView:
    """What the screen of one bed shows.

    Attributes:
        bed: name of the bed; None = the first.
        frozen: a copy of the bed whose waveform is frozen; None = live.
        frozen_at_s: time of freezing, on the clock of `now_s`.
        help: whether the help page covers the screen.
        note: one line for the person, e.g. the result of a request.
        label: of the bed; empty = its name.
        only: show no other bed while this one is unknown.
        ward: whether there is a ward to return to.
        others: label, state and condition of all beds for the line of beds, this one first; None = those of the state.
        warning: shown before the line of beds, e.g. about another monitor.
        bell: whether the terminal's bell rings.
    """

    bed: str | None = None
    frozen: DashboardBed | None = None
    frozen_at_s: float = 0.0
    help: bool = False
    note: str = ""
    label: str = ""
    only: bool = False
    ward: bool = False
    others: Sequence[tuple[str, DashboardBed, Condition]] | None = None
    warning: str = ""
    bell: bool = False


def draw_header(canvas: Canvas, state: DashboardState, bed: DashboardBed | None, now_s: float, label: str = "") -> None:
    """Draw the top line: bed, source, lead, rate, speed, clock, model, connection, notice."""
    connection, ink = CONNECTION[state.connection_now(now_s)]
    right: list[tuple[str, Ink]] = [(connection, ink), (NOTICE, Ink.NOTICE)]
    name = label or (bed.name if bed is not None else "no bed")
    left: list[tuple[str, Ink]] = [(f" {name} ", Ink.BED)]
    optional: list[tuple[str, Ink]] = []
    if bed is not None:
        status, fs_hz, time = bed.status, bed.fs_hz, bed.clock.time
        since = f"signal {format_clock(bed.clock.sample / fs_hz)}" if fs_hz else ""
        if canvas.width >= CLOCK_FROM_WIDTH:
            left.append((since, Ink.BOLD))
            since = ""
        if status is not None:
            left.append((status.source, Ink.PLAIN))
        optional = [
            (since, Ink.BOLD),
            ("" if status is None else status.lead, Ink.PLAIN),
            (f"{fs_hz:g} Hz" if fs_hz else "", Ink.PLAIN),
            ("" if status is None else "×max" if status.speed == 0 else f"×{status.speed:g}", Ink.PLAIN),
            (_date_and_time(time), Ink.PLAIN),
            (bed.model_name, Ink.DIM),
        ]
    optional = [part for part in optional if part[0]]
    right_cells = sum(len(text) + 2 for text, _ in right)
    while optional and _cells(left + optional) + right_cells > canvas.width:
        optional.pop()
    col = 0
    for text, part_ink in left + optional:
        col = canvas.text(0, col, text, part_ink, canvas.width - right_cells - col) + 2
    col = max(canvas.width - right_cells + 1, 0)
    for text, part_ink in right:
        col = canvas.text(0, col, text, part_ink) + 2


def _date_and_time(time: str) -> str:
    """Time of the signal, e.g. `2026-11-30 02:05:12 UTC`, with its zone; empty where a message has none.

    >>> _date_and_time("2026-11-30T02:05:12.250+00:00"), _date_and_time("2026-11-30T02:05:12.250+01:00")
    ('2026-11-30 02:05:12 UTC', '2026-11-30 02:05:12 +01:00')
    """
    if len(time) < 19:
        return ""
    zone = time[19:].lstrip(".0123456789")
    return f"{time[:19].replace('T', ' ')} {'UTC' if zone in ('Z', '+00:00') else zone}".rstrip()


def _cells(parts: list[tuple[str, Ink]]) -> int:
    return sum(len(text) + 2 for text, _ in parts)


def draw_vitals(
    canvas: Canvas, top: int, left: int, rows: int, cols: int, bed: DashboardBed, now_s: float, *, live: bool
) -> None:
    """Draw heart rate in large digits and its limits, rhythm, RR interval, signal, and whether beats are scored.

    The last row has the heart rate variability if nothing else needs it.
    If the stream is not live, dashes replace the numbers: an old number is no heart rate. Under `RHYTHM_CELLS` there is
    no room for the rhythm: the waveform has it then.
    """
    canvas.rule(top, left, cols, "heart rate, bpm" if cols >= 20 else "bpm")
    low, high = limit_words(bed.status)
    if low:
        limits = f" {low}-{high} "
        canvas.text(top, left + cols - len(limits) - 1, limits, Ink.PLAIN)
    rate = bed.shown_rate_bpm(now_s) if live else None
    text = "---" if rate is None else f"{min(rate, 999):.0f}".rjust(3)
    large = rows >= LARGE_ROWS + 5 and cols >= 28
    why = no_rate(bed, now_s) if live and rate is None else None
    digits = big_number(text, large=large)
    digit_rows = LARGE_ROWS if large else SMALL_ROWS
    urgent = any(a.priority == "high" and a.category == "physiological" for a in bed.alarms.active.values())
    ink = Ink.DIM if rate is None else Ink.ANOMALOUS if urgent else Ink.GOOD
    row = top + 1 + (1 if large else 0)
    if row + digit_rows <= top + rows:
        if why is None:
            canvas.block(row, left + 1, digits, ink)
        else:
            draw_no_rate(canvas, row + digit_rows // 2, left + 1, digits.shape[1], why)
    status = bed.status
    last = bed.last_beat
    rr = f"RR {last.rr_s:.2f} s" if rate is not None and last is not None and last.rr_s else "RR --"
    quality, ink = "quality --", Ink.DIM
    if status is not None and live:
        word = quality_words(status.quality)
        good = status.quality == "good"
        quality, ink = (f"signal {word}", Ink.GOOD) if good else (f"signal {word.upper()}", Ink.HIGH_TEXT)
        if len(quality) > cols - 1:
            quality = quality.removeprefix("signal ")
    scored = "" if status is None or not live else "scored" if status.scorable else "NOT SCORED"
    row += digit_rows + (1 if large else 0)
    side = left + 1 + digits.shape[1] + 2
    if not large and cols - digits.shape[1] >= 17:  # beside the digits
        row, at = top + 1, side
    else:
        at = left + 1
    lines = [(rr, Ink.PLAIN), (quality, ink), (scored, Ink.PLAIN if scored == "scored" else Ink.HIGH_TEXT)]
    if cols >= RHYTHM_CELLS:
        rhythm, rhythm_ink = rhythm_words(bed, now_s) if live else ("rhythm --", Ink.DIM)
        parts = [rhythm] if len(rhythm) < left + cols - at else textwrap.wrap(rhythm, left + cols - at - 1)
        lines[:0] = [(part, rhythm_ink) for part in parts]
    for line, line_ink in lines:
        if row < top + rows:
            canvas.text(row, at, line, line_ink, left + cols - at)
        row += 1
    if live:
        row = _draw_why(canvas, row, left, top + rows - row, cols, bed)
        hrv = hrv_words(status, cols - 1)
        if hrv is not None and row < top + rows:
            canvas.text(top + rows - 1, left + 1, *hrv)


def _draw_why(canvas: Canvas, top: int, left: int, rows: int, cols: int, bed: DashboardBed) -> int:
    """Draw the reasons of the newest anomalous beat while it is on the screen, if they fit; return the next row."""
    last = next((beat for beat in reversed(bed.beats) if beat.anomalous), None)
    if last is None or bed.fs_hz is None or not last.words:
        return top
    ago_s = (bed.clock.sample - last.r_sample) / bed.fs_hz
    lines = textwrap.wrap(", ".join(last.words), max(cols - 4, 1))
    if ago_s > WHY_S or len(lines) > rows:
        return top
    top += len(lines) < rows  # a free row above, if there is one
    canvas.text(top, left + 1, "▲", Ink.ANOMALOUS)
    for number, line in enumerate(lines):
        canvas.text(top + number, left + 3, line, Ink.PLAIN)
    return top + len(lines)


def draw_counters(canvas: Canvas, top: int, left: int, rows: int, cols: int, bed: DashboardBed) -> None:
    """Draw counters since the start, the most important first; those that do not fit are left out."""
    canvas.rule(top, left, cols, "since start")
    status = bed.status
    high, medium, low = (bed.alarms.raised[priority] for priority in ("high", "medium", "low"))
    alarms = f"!!! {high} !! {medium} ! {low}"
    if status is None:
        canvas.text(top + 1, left + 1, f"alarms {alarms}", Ink.PLAIN, cols - 1)
        return
    scored = status.beats - status.unscored_beats
    share = f" ({100 * status.anomalous_beats / scored:.1f}%)" if scored > 0 else ""
    p50, p99 = status.latency_p50_ms, status.latency_p99_ms
    latency = "--" if p50 is None or p99 is None else f"{p50:.0f} / {p99:.0f} ms"
    bad = Ink.MEDIUM_TEXT
    lost = ("lost samples", f"{status.samples_lost:,}", bad if status.samples_lost else Ink.PLAIN)
    last = ("dropped waves", f"{status.dropped_waves:,}", bad if status.dropped_waves else Ink.PLAIN)
    if status.mains_hz is not None:
        last = ("mains notch", f"{status.mains_hz:g} Hz", Ink.PLAIN)
    roomy = rows > COUNTERS
    if not roomy:  # too few rows: gaps and lost samples share one line
        missing = bad if status.gaps or status.samples_lost else Ink.PLAIN
        lost = ("gaps / lost", f"{status.gaps:,} / {status.samples_lost:,}", missing)
    lines: list[tuple[str, str, Ink]] = [
        ("beats", f"{status.beats:,}", Ink.PLAIN),
        ("anomalous", f"{status.anomalous_beats:,}{share}", Ink.PLAIN),
        ("not scored", f"{status.unscored_beats:,}", Ink.PLAIN),
        lost,
        ("alarms", alarms, Ink.PLAIN),
        ("latency p50/p99" if roomy else "latency", latency, Ink.PLAIN),
        ("gaps", f"{status.gaps:,}", bad if status.gaps else Ink.PLAIN),
        last,
    ]
    for number, (name, value, ink) in enumerate(lines[: rows - 1]):
        row = top + 1 + number
        if len(name) + len(value) + 3 <= cols:
            canvas.text(row, left + 1, name, Ink.DIM)
        canvas.text(row, max(left + 1, left + cols - len(value) - 1), value, ink)


def draw_beds(
    canvas: Canvas,
    row: int,
    beds: Sequence[tuple[str, DashboardBed, Condition]],
    shown: str,
    now_s: float,
    warning: str,
) -> None:
    """Draw all beds in one line: rate and most urgent alarm of each."""
    col = canvas.text(row, 1, "beds", Ink.DIM) + 1
    if warning:
        col = canvas.text(row, 1, f" {warning} ", Ink.HIGH) + 1
    for name, bed, condition in beds:
        alarm = bed.alarms.most_urgent
        rate = bed.shown_rate_bpm(now_s) if condition == "live" else None
        text = f" {name} {'--' if rate is None else f'{rate:.0f}'} "
        if condition != "live":
            text += f"{condition.replace('_', ' ').upper()} "
        elif (unseen := not_watched(bed, now_s)) is not None:
            text += f"{unseen[0].rpartition(' ')[0]} "
        ink = Ink.PLAIN
        if alarm is not None:
            text += f"{MARKS[alarm.priority].strip()} "
            ink = (TEXT_INK if alarm.state == "acknowledged" else FULL_INK)[alarm.priority]
        if col + len(text) + 4 > canvas.width:
            canvas.text(row, col, " …", Ink.BOLD)
            return
        if name == shown:
            col = canvas.text(row, col, "▸", Ink.BOLD)
        col = canvas.text(row, col, text, ink) + 1


def draw_footer(canvas: Canvas, row: int, state: DashboardState, view: BedView, now_s: float) -> None:
    """Draw the keys or the note, whether the waveform is frozen, and at the right the newest event."""
    col = 0
    if view.frozen is not None:
        text = f" FROZEN {now_s - view.frozen_at_s:.0f} s, space to continue "
        col = canvas.text(row, 0, text, Ink.MEDIUM) + 1
    if view.note:
        canvas.text(row, col + (col == 0), view.note, Ink.BOLD)
        return
    keys = [("q", "quit"), ("space", "freeze"), ("a", "acknowledge"), ("m", "pause audio"), ("?", "help")]
    if len(state.beds) > 1 or view.ward:
        keys.insert(2, ("b", "next bed"))
    if view.ward:
        keys.insert(1, ("w", "ward"))
    col += col == 0
    for key, word in keys:
        if col + len(key) + len(word) + 3 > canvas.width:
            return
        col = canvas.text(row, col, key, Ink.BOLD)
        col = canvas.text(row, col + 1, word, Ink.DIM) + 2
    bed = state.beds.get(view.bed or "") if view.only else state.bed(view.bed)
    if bed is not None and bed.event is not None and now_s - bed.event[1] < EVENT_SHOWN_S:
        room = canvas.width - col - 2
        text = bed.event[0].text
        if room >= EVENT_MIN_CELLS:
            text = text if len(text) <= room else f"{text[: room - 1]}…"
            canvas.text(row, canvas.width - len(text) - 1, text, Ink.LOW_TEXT)
