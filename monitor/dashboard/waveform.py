"""Scrolling ECG: braille trace, calibration pulse, axes, gaps and R-peak markers."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from monitor.dashboard.bed import DashboardBed
from monitor.dashboard.braille import BLANK, dots_to_chars, draw_extrema, plot_seconds, plot_trace
from monitor.dashboard.canvas import Canvas, Ink
from monitor.dashboard.ring import SampleKind, WaveRing
from monitor.dashboard.scale import VerticalScale, even_axis, tick_label
from monitor.dashboard.state import Condition

__all__ = ["CONDITION_WORDS", "draw_waveform"]

CONDITION_WORDS: dict[Condition, str] = {
    "live": "",
    "starting": "WAITING FOR SIGNAL",
    "no_data": "NO DATA",
    "source_lost": "SOURCE LOST",
    "ended": "ENDED",
    "stale": "CONNECTION STALE",
    "lost": "CONNECTION LOST",
}
_GAP_WORDS = {SampleKind.LEADS_OFF: "LEADS OFF", SampleKind.LOST: "GAP", SampleKind.DROPPED: "NOT SHOWN"}
AXIS_CELLS = 6
PULSE_CELLS = 4  # width of the calibration pulse; unlike on paper it does not scale with time
DOTS_PER_S = 24  # enough to separate P, QRS and T; a wider plot first shows more seconds
PULSE_ROWS = 1  # height of the mark of a pacing pulse, at the top of the plot
TINT_S = 0.12  # half width of the coloured trace at an anomalous R-peak


def draw_waveform(
    canvas: Canvas,
    top: int,
    left: int,
    rows: int,
    cols: int,
    bed: DashboardBed,
    condition: Condition,
    silent_s: float,
    *,
    unseen: tuple[str, Ink] | None = None,
    rhythm: str = "",
) -> None:
    """Draw the panel: title, plot, R-peak markers, time axis; it needs at least 5 rows and 24 columns.

    Args:
        canvas, top, left, rows, cols: target and rectangle, cells.
        bed: the bed, or a frozen copy of it.
        condition: if not `live`, the trace is dimmed and the condition is written across it.
        silent_s: time since the last sample, s; shown with the condition.
        rhythm: words for the title.
        unseen: words and colour above a trace that is not judged; see `watch.not_watched`.
    """
    plot_left = left + AXIS_CELLS + PULSE_CELLS
    plot_cols, plot_rows = left + cols - plot_left, rows - 3
    lead = bed.status.lead if bed.status is not None and bed.status.lead else "ECG"
    pulses = bed.lead.pulses
    signs = ("╿ pacing pulse  " if pulses else "") + "▲ anomalous  ╵ normal  ○ not scored"
    canvas.rule(top, left, cols, f"{lead}, mV" + (f"  {rhythm}" if rhythm else ""), signs)
    live, wave = condition == "live", bed.lead.wave
    scale, ticks = even_axis(bed.lead.scale, plot_rows)
    _draw_axis(canvas, top + 1, left, plot_rows, scale, ticks, live)
    if wave is None or wave.end is None:
        _banner(canvas, top + 1, plot_left, plot_rows, plot_cols, condition, silent_s)
        return
    trace, edges, kinds = plot_trace(wave, scale, plot_seconds(plot_cols, DOTS_PER_S), plot_rows, plot_cols)
    inks = np.full(trace.shape, Ink.TRACE if live else Ink.DIM, dtype=np.uint8)
    beats = [beat for beat in bed.beats if edges[0] <= beat.r_sample < edges[-1]]
    for beat in beats:
        if beat.anomalous and live:
            reach = TINT_S * wave.fs_hz
            a, b = np.searchsorted(edges[:-1:2], [beat.r_sample - reach, beat.r_sample + reach], side="right")
            inks[:, max(0, a - 1) : b] = Ink.ANOMALOUS
    seconds_at = _second_marks(edges, wave)
    for cell, _ in seconds_at:  # a faint line at each second where the trace leaves room
        free = trace[:, cell] == BLANK
        trace[free, cell] = "┊"
        inks[free, cell] = Ink.DIM
    shown = np.array([sample for sample in pulses if edges[0] <= sample < edges[-1]], np.int64)
    for cell in np.unique((np.searchsorted(edges, shown, side="right") - 1) // 2):
        trace[:PULSE_ROWS, cell], inks[:PULSE_ROWS, cell] = "╿", Ink.THRESHOLD if live else Ink.DIM
    canvas.block(top + 1, plot_left, trace, inks)
    _draw_gaps(canvas, top + 1, plot_left, plot_rows, kinds, edges - edges[0])
    for beat in beats:
        cell = int(np.searchsorted(edges, beat.r_sample, side="right") - 1) // 2
        sign, ink = ("▲", Ink.ANOMALOUS) if beat.anomalous else ("╵", Ink.TRACE)
        if beat.score is None:
            sign, ink = "○", Ink.PLAIN
        canvas.text(top + 1 + plot_rows, plot_left + cell, sign, ink if live else Ink.DIM)
    _draw_time(canvas, top + 2 + plot_rows, plot_left, plot_cols, seconds_at)
    if not live:
        _banner(canvas, top + 1, plot_left, plot_rows, plot_cols, condition, silent_s)
    elif unseen is not None:
        text = f"  {unseen[0]}  "
        canvas.text(top + 1, plot_left + max(0, (plot_cols - len(text)) // 2), text, unseen[1], plot_cols)


def _second_marks(edges: NDArray[np.int64], wave: WaveRing) -> list[tuple[int, int]]:
    """(cell, second) of each whole second within the plot."""
    first_s = int(np.ceil(edges[0] / wave.fs_hz))
    last_s = int(np.floor((edges[-1] - 1) / wave.fs_hz))
    at = np.arange(first_s, last_s + 1)
    dots = np.searchsorted(edges, np.ceil(at * wave.fs_hz), side="right") - 1
    return [(int(dot) // 2, int(second)) for dot, second in zip(dots, at, strict=True)]


def _draw_axis(
    canvas: Canvas, top: int, left: int, rows: int, scale: VerticalScale, ticks: dict[int, float], live: bool
) -> None:
    """Draw ticks in mV and the calibration pulse: 1 mV if it fits, else 0.1 mV."""
    for row in range(rows):
        canvas.text(top + row, left + AXIS_CELLS - 1, "│", Ink.DIM)
    for row, tick in ticks.items():
        canvas.text(top + row, left, tick_label(tick, ticks.values()).rjust(AXIS_CELLS - 1))
        canvas.text(top + row, left + AXIS_CELLS - 1, "┤", Ink.DIM)
    height_mv = 1.0 if scale.half_mv >= 0.55 else 0.1
    height = round(height_mv / (2 * scale.half_mv) * (4 * rows - 1))
    foot = (4 * rows - height) // 2
    low = np.full(2 * PULSE_CELLS, foot, dtype=np.int64)
    high = low.copy()
    high[2:6] = foot + height
    low[3:5] = foot + height
    pulse = dots_to_chars(draw_extrema(low, high, 4 * rows))
    canvas.block(top, left + AXIS_CELLS, pulse, Ink.PLAIN if live else Ink.DIM)
    label = "1 mV" if height_mv == 1.0 else "0.1mV"
    canvas.text(top + rows, left + AXIS_CELLS - 1, label.center(5))


def _draw_gaps(
    canvas: Canvas, top: int, left: int, rows: int, kinds: NDArray[np.uint8], edges: NDArray[np.int64]
) -> None:
    """Label each stretch without signal; one too short for its label gets a mark under the plot."""
    if not (kinds > SampleKind.VALID).any():
        return
    # A new stretch begins where the kind changes, e.g. leads off right after a gap.
    changes = np.flatnonzero(np.diff(kinds)) + 1
    bounds = [0, *changes.tolist(), len(kinds)]
    for start, stop in itertools.pairwise(bounds):
        kind = SampleKind(kinds[start])
        if kind not in _GAP_WORDS:
            continue
        first = -(-int(np.searchsorted(edges, start, side="left")) // 2)
        last = (int(np.searchsorted(edges, stop, side="right")) - 1) // 2
        word = _GAP_WORDS[kind]
        middle = top + rows // 2
        if last - first >= len(word):
            canvas.fill(middle, left + first, 1, last - first, "╌", Ink.DIM)
            canvas.text(middle, left + (first + last - len(word)) // 2, word, Ink.BOLD)
        else:
            cell = (int(np.searchsorted(edges, start, side="right")) - 1) // 2
            canvas.text(top + rows, left + min(max(cell, 0), (len(edges) - 1) // 2 - 1), "┆", Ink.BOLD)


def _draw_time(canvas: Canvas, row: int, left: int, cols: int, marks: list[tuple[int, int]]) -> None:
    """Label the seconds of the stream, as many as there is room for."""
    if not marks:
        return
    width = len(f"{marks[-1][1]} s") + 2
    apart = max(1, cols // max(1, len(marks)))
    every = next(step for step in (1, 2, 5, 10, 60) if apart * step >= width or step == 60)
    for cell, second in marks:
        label = f"{second} s"
        if second % every == 0 and cell + len(label) <= cols:
            canvas.text(row, left + cell, label, Ink.DIM)


def _banner(canvas: Canvas, top: int, left: int, rows: int, cols: int, condition: Condition, silent_s: float) -> None:
    """Draw the condition across the waveform of a stream that is not live."""
    word = CONDITION_WORDS[condition]
    if not word:
        return
    loud = " ".join(word) if 2 * len(word) + 8 <= cols else word
    since = f"  {silent_s:.0f} s" if silent_s >= 1 and condition not in ("starting", "ended") else ""
    text = f"{loud}{since}"
    width = min(cols, len(text) + 6)
    at = left + (cols - width) // 2
    ink = {"starting": Ink.BED, "ended": Ink.BED, "no_data": Ink.MEDIUM, "stale": Ink.MEDIUM}.get(condition, Ink.HIGH)
    middle = top + rows // 2
    for row in (middle - 1, middle, middle + 1):
        if top <= row < top + rows:
            canvas.fill(row, at, 1, width, " ", ink)
    canvas.text(middle, at + (width - len(text)) // 2, text, ink, width)
