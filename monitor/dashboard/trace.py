"""Braille trace of the last seconds of a lead, for the plot of one bed and for tiles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.dashboard.braille import column_edges, column_extrema, dots_to_chars, draw_extrema, quantise
from monitor.dashboard.ring import WaveRing
from monitor.dashboard.scale import VerticalScale

__all__ = ["Trace", "plot_seconds", "plot_trace"]

MIN_SECONDS, MAX_SECONDS = 3, 12


class Trace(NamedTuple):
    """A plotted trace.

    Attributes:
        chars: (rows, cols) characters.
        edges: (2 * cols + 1,) int64, edges of the dot columns, absolute sample indices.
        kinds: (edges[-1] - edges[0],) uint8, the SampleKind of each sample.
    """

    chars: NDArray[np.str_]
    edges: NDArray[np.int64]
    kinds: NDArray[np.uint8]


def plot_seconds(cols: int, dots_per_s: int) -> int:
    """Whole seconds in a trace of a width in cells."""
    return int(np.clip(round(2 * cols / dots_per_s), MIN_SECONDS, MAX_SECONDS))


def plot_trace(wave: WaveRing, scale: VerticalScale, seconds: int, rows: int, cols: int) -> Trace:
    """Plot the newest `seconds` in `rows` x `cols` cells; the ring must not be empty.

    The last dot column is the last complete one: a column does not change after it was drawn.
    """
    samples_per_dot = seconds * wave.fs_hz / (2 * cols)
    end_dot = int(np.floor((wave.end or 0) / samples_per_dot))
    end_dot -= end_dot % 2  # scroll by whole cells
    edges = column_edges(end_dot - 2 * cols, 2 * cols, samples_per_dot)
    first = int(edges[0])
    values, kinds = wave.read(first, int(edges[-1]) - first)
    levels = 4 * rows
    low, high = (quantise(v, scale.low_mv, scale.high_mv, levels) for v in column_extrema(values, edges - first))
    return Trace(dots_to_chars(draw_extrema(low, high, levels)), edges, kinds)
