"""Braille plots: samples to dots to characters; no extreme is lost.

A terminal cell holds 2 x 4 braille dots (Unicode block U+2800), so a plot of `rows` x `cols` cells has `4 * rows`
levels and `2 * cols` dot columns. A dot column usually contains many samples; it is drawn from their minimum to their
maximum, so a spike of one sample is as visible as a slow wave.

Levels count from the bottom (0) upwards; dot arrays have row 0 at the top, as on the screen.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.dashboard.ring import WaveRing
from monitor.dashboard.scale import VerticalScale

__all__ = [
    "BLANK",
    "Trace",
    "column_edges",
    "column_extrema",
    "dots_to_chars",
    "draw_extrema",
    "plot_seconds",
    "plot_trace",
    "quantise",
]

BLANK = " "  # not U+2800: some fonts draw eight empty circles for it
MIN_SECONDS, MAX_SECONDS = 3, 12  # in a trace
NO_LEVEL = -1  # a column without a valid sample
# Bit of each dot within a cell, rows top to bottom, left and right (Unicode 15, section 21.1).
_DOT_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.uint32)


def column_edges(first_column: int, n_columns: int, samples_per_column: float) -> NDArray[np.int64]:
    """Edges of dot columns on an absolute grid: column k holds samples `edges[k]` up to `edges[k + 1]`.

    The grid is absolute so that a column keeps its samples while it scrolls; otherwise a moving plot shimmers.

    Args:
        first_column: absolute number of the leftmost column; may be negative.
        n_columns: how many columns.
        samples_per_column: over 0; need not be whole.

    Returns:
        (n_columns + 1,) int64 absolute sample indices, never decreasing.
    """
    columns = np.arange(first_column, first_column + n_columns + 1, dtype=np.float64)
    return np.ceil(columns * samples_per_column).astype(np.int64)


def column_extrema(
    samples: NDArray[np.float32], edges: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Minimum and maximum of each column's samples.

    Args:
        samples: (n,) samples, any unit; NaN = no sample.
        edges: (columns + 1,) indices into `samples`, never decreasing, within 0 to n.

    Returns:
        Two (columns,) arrays, minimum and maximum; NaN where a column has no valid sample. A column
        narrower than a sample repeats the sample that follows.
    """
    n_columns = len(edges) - 1
    if n_columns <= 0 or len(samples) == 0:
        empty = np.full(max(n_columns, 0), np.nan, dtype=np.float32)
        return empty, empty.copy()
    starts = np.minimum(edges[:-1], len(samples) - 1)  # reduceat takes no index past the end
    covered = samples[: max(int(edges[-1]), int(starts[-1]) + 1)]
    return np.fmin.reduceat(covered, starts), np.fmax.reduceat(covered, starts)


def quantise(values: NDArray[np.float32], low: float, high: float, n_levels: int) -> NDArray[np.int64]:
    """Level of each value on an axis from `low` (level 0) to `high` (level n_levels - 1), low < high.

    Values outside the axis go to the first or last level.

    Returns:
        (n,) int64 levels; -1 for NaN.
    """
    valid = np.isfinite(values)
    scaled = (np.where(valid, values, low).astype(np.float64) - low) / (high - low) * (n_levels - 1)
    levels = np.clip(np.rint(scaled), 0, n_levels - 1).astype(np.int64)
    return np.where(valid, levels, NO_LEVEL)


def draw_extrema(
    low_levels: NDArray[np.int64], high_levels: NDArray[np.int64], n_levels: int, *, connect: bool = True
) -> NDArray[np.bool_]:
    """Dots of columns drawn from their low to their high level.

    Args:
        low_levels, high_levels: (columns,) levels of each column's minimum and maximum, -1 = nothing.
        n_levels: number of levels.
        connect: join neighbouring columns that do not touch, so that a steep edge is a line. It adds dots only
            between two neighbours.

    Returns:
        (n_levels, columns) bool, row 0 = highest level.
    """
    low, high = low_levels.copy(), high_levels.copy()
    if connect and len(low) > 1:
        both = (low_levels[:-1] >= 0) & (low_levels[1:] >= 0)
        rising = both & (low_levels[1:] > high_levels[:-1] + 1)
        middle = (high_levels[:-1] + low_levels[1:]) // 2
        high[:-1] = np.where(rising, np.maximum(high[:-1], middle), high[:-1])
        low[1:] = np.where(rising, np.minimum(low[1:], middle + 1), low[1:])
        falling = both & (high_levels[1:] < low_levels[:-1] - 1)
        middle = (low_levels[:-1] + high_levels[1:]) // 2
        low[:-1] = np.where(falling, np.minimum(low[:-1], middle + 1), low[:-1])
        high[1:] = np.where(falling, np.maximum(high[1:], middle), high[1:])
    level = np.arange(n_levels - 1, -1, -1)[:, None]
    dots: NDArray[np.bool_] = (level >= low) & (level <= high) & (low_levels >= 0)
    return dots


def dots_to_chars(dots: NDArray[np.bool_]) -> NDArray[np.str_]:
    """Characters of dots: (4 * rows, 2 * cols) bool to (rows, cols); `BLANK` where a cell has no dot."""
    rows, cols = dots.shape[0] // 4, dots.shape[1] // 2
    cells = dots.reshape(rows, 4, cols, 2)
    codes = np.einsum("rico,io->rc", cells, _DOT_BITS, dtype=np.uint32, casting="unsafe") + 0x2800
    codes[codes == 0x2800] = ord(BLANK)
    return np.ascontiguousarray(codes.astype("<u4")).view("<U1")


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
