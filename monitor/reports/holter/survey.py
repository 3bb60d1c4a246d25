"""One pass over the signal of a record: shapes of beats, strips, and the lines of the full disclosure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from detector.bandpass import Bandpass, qrs_delay_samples
from monitor.reports.holter.beats import HolterBeats
from monitor.reports.holter.clusters import AFTER_S, BEFORE_S, CUT_OFFSETS_S, ShapeClusters

__all__ = ["LINE_COLUMNS", "LINE_S", "SignalSurvey"]

LINE_S: Final = 60.0  # of the full disclosure
LINE_COLUMNS: Final = 720  # in a line
_EDGE_S: Final = 0.1  # of a cut, for the spline
_BLOCK_S: Final = 20.0
_MORE_LINES: Final = 240  # by which the full disclosure grows


class SignalSurvey:
    """Take the signal of a record, piece by piece.

    Args:
        beats: of the record.
        strips: (first sample, number of samples) of each strip.
        full: also collect the lines of the full disclosure, from sample 0 on.

    Attributes:
        clusters: of the scored beats.
        strips: (n,) float32, mV, filtered and without the delay of the filter; NaN = no valid sample.
        lowest, highest: (lines, LINE_COLUMNS) float32, mV, of each column; NaN = no valid sample.
        samples, invalid: samples taken, and those without a value.
        end_sample: behind the last sample, samples of the record.

    Many attributes: the state of the filter, of the block and of the results.
    """

    def __init__(
        self, beats: HolterBeats, strips: Sequence[tuple[int, int]], *, full: bool = False,
        keep: Callable[[int, NDArray[np.float64]], None] | None = None,
    ) -> None:  # fmt: skip
        self.clusters = ShapeClusters(beats.r_sample.size)
        self.strips = [np.full(n, np.nan, np.float32) for _, n in strips]
        self.lowest = np.full((_MORE_LINES if full else 0, LINE_COLUMNS), np.nan, np.float32)
        self.highest = self.lowest.copy()
        self.samples = self.invalid = self.end_sample = 0
        self._keep = keep
        self._beats = beats
        self._scored = beats.scored
        self._firsts = [first for first, _ in strips]
        self._delay = qrs_delay_samples(beats.fs_hz)
        self._filter = Bandpass(beats.fs_hz)
        self._last = 0.0  # valid sample
        self._first: int | None = None  # of the block, without the delay of the filter
        self._block: list[NDArray[np.float64]] = []
        self._size = 0
        self._row = 0  # next beat

    def put(self, first_sample: int, samples: NDArray[np.float64]) -> None:
        """Take (n,) samples, mV, NaN = no valid sample; a jump forward is a gap."""
        if not samples.size:
            return
        at = first_sample - self._delay
        if self._first is None or at != self._first + self._size:
            self._end_block(last=True)
            self._filter.reset()
            self._first = at
        filtered = self._filtered(samples)
        self.samples += samples.size
        self.end_sample = first_sample + samples.size
        self._draw(at, filtered)
        if self._keep is not None:
            self._keep(at, filtered)
        self._block.append(filtered)
        self._size += filtered.size
        if self._size > _BLOCK_S * self._beats.fs_hz:
            self._end_block(last=False)

    def finish(self) -> None:
        """End of the signal."""
        self._end_block(last=True)
        if self.lowest.size:
            lines = max(1, math.ceil(self.end_sample / self._beats.fs_hz / LINE_S))
            self._grow(lines)
            self.lowest, self.highest = self.lowest[:lines], self.highest[:lines]

    def _filtered(self, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        valid = np.isfinite(samples)
        held = samples
        if not valid.all():  # hold the last valid sample
            self.invalid += int(samples.size - valid.sum())
            at = np.maximum.accumulate(np.where(valid, np.arange(samples.size), -1))
            held = np.where(at >= 0, samples[at], self._last)
        self._last = float(held[-1])
        return np.where(valid, self._filter.push(held), np.nan)

    def _draw(self, first: int, filtered: NDArray[np.float64]) -> None:
        for begin, strip in zip(self._firsts, self.strips, strict=True):
            low, high = max(begin, first), min(begin + strip.size, first + filtered.size)
            if low < high:
                strip[low - begin : high - begin] = filtered[low - first : high - first]
        if not self.lowest.size:
            return
        per_s = LINE_COLUMNS / LINE_S
        column = ((np.arange(first, first + filtered.size) / self._beats.fs_hz) * per_s).astype(np.int64)
        inside = (column >= 0) & np.isfinite(filtered)
        column, values = column[inside], filtered[inside]
        if column.size:
            self._grow(int(column[-1]) // LINE_COLUMNS + 1)
            starts = np.flatnonzero(np.diff(column, prepend=column[0] - 1))
            own = column[starts]
            low_mv, high_mv = self.lowest.reshape(-1), self.highest.reshape(-1)
            low_mv[own] = np.fmin(low_mv[own], np.minimum.reduceat(values, starts))
            high_mv[own] = np.fmax(high_mv[own], np.maximum.reduceat(values, starts))

    def _grow(self, lines: int) -> None:
        more = lines - len(self.lowest)
        if more > 0:
            room = np.full((max(more, _MORE_LINES), LINE_COLUMNS), np.nan, np.float32)
            self.lowest, self.highest = np.concatenate([self.lowest, room]), np.concatenate([self.highest, room])

    def _end_block(self, *, last: bool) -> None:
        """Cut the beats that lie within the block; keep its end for the beats to come."""
        if self._first is None or not self._block:
            return
        fs_hz, beats = self._beats.fs_hz, self._beats
        block = np.concatenate(self._block)
        low = self._first + math.ceil((BEFORE_S + _EDGE_S) * fs_hz)
        high = self._first + block.size - math.ceil((AFTER_S + _EDGE_S) * fs_hz)
        begin = max(self._row, int(np.searchsorted(beats.r_sample, low)))
        end = int(np.searchsorted(beats.r_sample, high))
        if end > begin:
            rows = np.arange(begin, end)[self._scored[begin:end]]
            places = (beats.r_sample[rows] - self._first)[:, None] + CUT_OFFSETS_S[None, :] * fs_hz
            cuts = map_coordinates(np.nan_to_num(block), places.reshape(1, -1), order=3, mode="nearest")
            self.clusters.put(rows, cuts.reshape(places.shape))
            self._row = end
        keep = 0 if last else min(block.size, math.ceil((BEFORE_S + AFTER_S + 3 * _EDGE_S) * fs_hz))
        self._first += block.size - keep
        self._block = [block[block.size - keep :]] if keep else []
        self._size = keep
