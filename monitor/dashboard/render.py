"""The screen of one bed, as a pure function of state and size."""

from __future__ import annotations

from monitor.dashboard.alarm_panel import draw_alarms
from monitor.dashboard.bed import DashboardBed
from monitor.dashboard.canvas import Canvas, Frame, Ink
from monitor.dashboard.help_page import HELP, LEGEND, draw_page
from monitor.dashboard.panels import (
    RHYTHM_CELLS,
    BedView,
    draw_beds,
    draw_counters,
    draw_footer,
    draw_header,
    draw_vitals,
)
from monitor.dashboard.small import SMALL_HEIGHT, SMALL_WIDTH, draw_small, draw_tiny
from monitor.dashboard.state import Condition, DashboardState
from monitor.dashboard.trend import draw_trend
from monitor.dashboard.watch import not_watched
from monitor.dashboard.waveform import draw_waveform

__all__ = ["MIN_HEIGHT", "MIN_WIDTH", "BedView", "is_tiny", "render"]

MIN_WIDTH, MIN_HEIGHT = 60, 16  # with waveform, trend and counters
SIDE_FROM_WIDTH = 96  # from this width on, numbers are beside the waveform, as on a bedside monitor
SIDE_CELLS = 30
COUNTER_ROWS = 9


def render(state: DashboardState, width: int, height: int, now_s: float, view: BedView | None = None) -> Frame:
    """The screen of one bed, `width` x `height` cells; under 60 x 16 only what matters most.

    `now_s` is the subscriber's monotonic clock, s, as for `state.apply`.
    """
    view = view or BedView()
    canvas = Canvas(max(1, width), max(1, height))
    bed = state.beds.get(view.bed or "") if view.only else state.bed(view.bed)
    condition: Condition = "starting" if bed is None else state.condition(bed, now_s)
    if is_tiny(canvas):
        draw_tiny(canvas, bed, condition, view.label or ("" if bed is None else bed.name), now_s)
        return canvas.frame()
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        draw_small(canvas, bed, condition, state.connection_now(now_s), view, now_s)
    else:
        _draw_panels(canvas, state, bed, condition, view, now_s)
    if view.help:
        keys = (*HELP, ("w, Esc", "back to the ward")) if view.ward else HELP
        draw_page(canvas, keys, LEGEND, bell=view.bell)
    return canvas.frame()


def _draw_panels(
    canvas: Canvas, state: DashboardState, bed: DashboardBed | None, condition: Condition, view: BedView, now_s: float
) -> None:
    """Draw all panels on at least 60 x 16 cells."""
    width, height = canvas.width, canvas.height
    draw_header(canvas, state, bed, now_s, view.label)
    draw_footer(canvas, height - 1, state, view, now_s)
    bottom = height - 1
    beds = view.others
    if beds is None:
        beds = [(each.name, each, state.condition(each, now_s)) for each in state.beds.values()]
    if (len(beds) > 1 or view.warning) and bed is not None:
        bottom -= 1
        draw_beds(canvas, bottom, beds, view.label or bed.name, now_s, view.warning)
    alarm_rows = max(2, min(8, height // 7))
    draw_alarms(canvas, 1, alarm_rows, bed, now_s, state.connection_now(now_s))
    top = 1 + alarm_rows
    if bed is None:
        canvas.rule(top, 0, width)
        canvas.text((top + bottom) // 2, 0, "waiting for the monitor".center(width), Ink.BOLD)
    elif width >= SIDE_FROM_WIDTH:
        _draw_beside(canvas, top, bottom - top, bed, condition, view, now_s)
    else:
        _draw_below(canvas, top, bottom - top, bed, condition, view, now_s)


def is_tiny(canvas: Canvas) -> bool:
    """Whether the screen is under 20 x 6 cells: then there is room for the rate and one alarm only."""
    return canvas.width < SMALL_WIDTH or canvas.height < SMALL_HEIGHT


def _draw_beside(
    canvas: Canvas, top: int, rows: int, bed: DashboardBed, condition: Condition, view: BedView, now_s: float
) -> None:
    """Draw waveform and trend at the left, numbers at the right."""
    live = condition == "live"
    left_cols = canvas.width - SIDE_CELLS - 1
    trend_rows = max(5, min(12, rows // 4))
    _draw_plot(canvas, top, rows - trend_rows, left_cols, bed, condition, view, now_s)
    draw_trend(canvas, top + rows - trend_rows, 0, trend_rows, left_cols, view.frozen or bed, live=live)
    side = left_cols + 1
    draw_vitals(canvas, top, side, rows - COUNTER_ROWS, SIDE_CELLS, bed, now_s, live=live)
    draw_counters(canvas, top + rows - COUNTER_ROWS, side, COUNTER_ROWS, SIDE_CELLS, bed)


def _draw_below(
    canvas: Canvas, top: int, rows: int, bed: DashboardBed, condition: Condition, view: BedView, now_s: float
) -> None:
    """Draw the waveform over the whole width; rate, trend and counters below."""
    live = condition == "live"
    band_rows = max(4, min(7, rows * 2 // 5))
    vitals, counters = (34, 24) if canvas.width >= 92 else (18, 24)
    rhythm = "" if bed.status is None or not live or vitals >= RHYTHM_CELLS else bed.status.rhythm
    if not_watched(bed, now_s) is not None:
        rhythm = ""  # in a line above the trace
    _draw_plot(canvas, top, rows - band_rows, canvas.width, bed, condition, view, now_s, rhythm)
    band = top + rows - band_rows
    middle = canvas.width - vitals - counters - 2
    draw_vitals(canvas, band, 0, band_rows, vitals, bed, now_s, live=live)
    draw_trend(canvas, band, vitals + 1, band_rows, middle, view.frozen or bed, live=live)
    draw_counters(canvas, band, canvas.width - counters, band_rows, counters, bed)


def _draw_plot(
    canvas: Canvas,
    top: int,
    rows: int,
    cols: int,
    bed: DashboardBed,
    condition: Condition,
    view: BedView,
    now_s: float,
    rhythm: str = "",
) -> None:
    # Missing samples are labelled within the trace.
    off = bed.status is not None and bed.status.quality == "leads_off"
    unseen = None if off else not_watched(bed, now_s)
    draw_waveform(
        canvas, top, 0, rows, cols, view.frozen or bed, condition, bed.clock.silent_s(now_s),
        unseen=unseen, rhythm=rhythm,
    )  # fmt: skip
    if view.frozen is not None:
        canvas.text(top, cols // 4, f" FROZEN {now_s - view.frozen_at_s:.0f} s ", Ink.MEDIUM)
