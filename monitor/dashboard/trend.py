"""Trend of the anomaly score: the last beats against the patient's limit."""

from __future__ import annotations

import numpy as np

from monitor.dashboard.bed import DashboardBed
from monitor.dashboard.braille import BLANK, dots_to_chars, quantise
from monitor.dashboard.canvas import Canvas, Ink
from monitor.messages import BeatMessage
from monitor.quality_labels import quality_words

__all__ = ["draw_trend", "format_p"]

AXIS_CELLS = 7
MAX_BEATS = 120
LIMIT = " ⠄⠄⠄ this patient's limit "


def format_p(p_value: float | None) -> str:
    """Format a p-value; None = not known.

    >>> format_p(0.42), format_p(0.0123), format_p(0.00009), format_p(None)
    ('p 0.42', 'p 0.012', 'p <0.001', 'p --')
    """
    if p_value is None:
        return "p --"
    return "p <0.001" if p_value < 0.001 else f"p {p_value:.2g}" if p_value < 0.1 else f"p {p_value:.2f}"


def draw_trend(canvas: Canvas, top: int, left: int, rows: int, cols: int, bed: DashboardBed, *, live: bool) -> None:
    """Draw the panel: one beat per cell, newest at the right, the patient's limit as a dashed line; dimmed unless live.

    Higher is less usual. The limit and the usual beats set the axis. Beats far above it are marked `▲` in the top row,
    so that one extreme beat does not flatten the others. The panel needs at least 3 rows and 18 columns.
    """
    last = bed.last_beat
    note = "no beat yet"
    if last is not None and last.score is None:
        note = f"not scored: {quality_words(last.quality)}"
    elif last is not None:
        note = f"last {last.score:.1f}  {format_p(last.p_value)}"
    title = "score" if cols < 48 or not bed.model_name else f"score  {bed.model_name}"
    canvas.rule(top, left, cols, title, note)
    if len(title) + len(LIMIT) + len(note) + 9 <= cols:
        canvas.text(top, left + len(title) + 4, LIMIT, Ink.THRESHOLD if live else Ink.DIM)
    plot_rows, plot_cols = rows - 1, cols - AXIS_CELLS
    beats = list(bed.beats)[-min(plot_cols, MAX_BEATS) :]
    axis = _axis(beats)
    if axis is None:
        canvas.text(top + 1 + plot_rows // 2, left + AXIS_CELLS, "no scored beat yet", Ink.DIM)
        return
    low, high, threshold = axis
    n_levels = 4 * plot_rows
    values = np.array([np.nan if b.score is None else b.score for b in beats], dtype=np.float32)
    limits = np.array([np.nan if b.threshold is None else b.threshold for b in beats], dtype=np.float32)
    levels = quantise(values, low, high, n_levels)
    limit_levels = quantise(limits, low, high, n_levels)
    dots = np.zeros((n_levels, 2 * len(beats)), dtype=bool)
    at = np.flatnonzero(levels >= 0)
    dots[n_levels - 1 - levels[at], 2 * at] = True
    dots[n_levels - 1 - levels[at], 2 * at + 1] = True
    has_beat = dots.reshape(plot_rows, 4, len(beats), 2).any(axis=(1, 3))
    at = np.flatnonzero(limit_levels >= 0)
    dots[n_levels - 1 - limit_levels[at], 2 * at] = True  # every other dot: a dashed line
    chars = dots_to_chars(dots)
    anomalous = np.array([beat.anomalous for beat in beats])
    inks = np.where(has_beat, np.where(anomalous, Ink.ANOMALOUS, Ink.TRACE), Ink.THRESHOLD).astype(np.uint8)
    chars[0, np.flatnonzero(values > high)] = "▲"
    chars[plot_rows - 1, np.flatnonzero(np.isnan(values) & (chars[plot_rows - 1] == BLANK))] = "○"
    if not live:
        inks[:] = Ink.DIM
    canvas.block(top + 1, left + cols - len(beats), chars, inks)
    for row in range(plot_rows):
        canvas.text(top + 1 + row, left + AXIS_CELLS - 1, "│", Ink.DIM)
    canvas.text(top + 1, left, _tick(high))
    canvas.text(top + plot_rows, left, _tick(low))
    if threshold is None:
        return
    level = int(quantise(np.array([threshold], np.float32), low, high, n_levels)[0])
    row = plot_rows - 1 - level // 4
    if 0 < row < plot_rows - 1:
        canvas.text(top + 1 + row, left, f"{threshold:.1f}".rjust(AXIS_CELLS - 1), Ink.THRESHOLD)


def _tick(value: float) -> str:
    """A number on the axis, in AXIS_CELLS - 1 cells."""
    text = f"{value:g}"
    return (text if len(text) < AXIS_CELLS else f"{value:.0e}").rjust(AXIS_CELLS - 1)


def _axis(beats: list[BeatMessage]) -> tuple[float, float, float | None] | None:
    """(low, high, threshold) of the trend's axis, in the score's unit; None without a scored beat."""
    values = np.array([b.score for b in beats if b.score is not None], dtype=np.float64)
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return None
    limits = [b.threshold for b in beats if b.threshold is not None]
    threshold = limits[-1] if limits else None
    low, high = (float(end) for end in np.percentile(values, (2, 95)))
    if threshold is not None:
        low = min(low, threshold - 1.0)
        high = threshold + (threshold - low)  # the limit is in the middle
    middle = (high + low) / 2
    half = max(high - low, 1.0, 1e-9 * abs(middle)) / 2  # equal values still need an axis
    step = 10.0 ** np.floor(np.log10(2 * half)) / 2
    low, high = np.floor((middle - half) / step) * step, np.ceil((middle + half) / step) * step
    return float(low), float(high), threshold
