"""A source of a higher sampling rate than the detector takes, decimated by a whole number."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.sources.base import Chunk, EndOfStream, Source
from monitor.sources.options import FS_MAX_HZ
from monitor.sources.wrappers import SourceWrapper

__all__ = ["DecimatedSource", "decimation"]

TARGET_HZ = 500.0  # the rate that the AHA recommends for the ECG of adults, doi:10.1161/CIRCULATIONAHA.106.180200
_RAIL_MARGIN = 1e-6  # of the ADC's range: the filter's sum of a constant may be a rounding error below the rail

Floats = NDArray[np.float64]


def decimation(fs_hz: float) -> int:
    """Number of samples that become one, so that the rate is at most FS_MAX_HZ and near TARGET_HZ.

    >>> [(fs, decimation(fs)) for fs in (1000, 1024, 1200, 2000, 2048, 5000, 10_000)]
    [(1000, 1), (1024, 2), (1200, 2), (2000, 4), (2048, 4), (5000, 10), (10000, 20)]
    """
    return 1 if fs_hz <= FS_MAX_HZ else max(2, math.floor(fs_hz / TARGET_HZ + 0.5))


class DecimatedSource(SourceWrapper):
    """Low-pass filters the samples of a source and keeps each n-th, on a grid that begins at its sample 0.

    The filter is a moving average of n samples, twice: a triangle as wide as two samples of the output. It is
    symmetric, so an R-peak stays where it is, and nowhere negative, so a pacing pulse stays a spike. (A steep filter
    makes it ring for 20 ms: the detector then takes the pulses of a standstill for beats.) It keeps 97 % at 40 Hz, and
    what would be folded into the detector's band, from within 40 Hz of the output's rate, is damped by 36 dB or more.

    Output k is at input sample n*k. Samples without a value and those beyond an end or a gap have no weight, and the
    rest of the filter is scaled up; an output whose valid samples have less than half of the weight is NaN. Output does
    not depend on how the input is cut. Of a live source of two leads each lead is filtered.

    Many attributes: nine are those of SourceWrapper.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._n = n = decimation(source.fs_hz)
        average = np.full(n, 1.0 / n)
        self._taps: Floats = np.pad(np.convolve(average, average), 1)  # 0 at either end: a whole number of outputs
        self._input_hz = source.fs_hz
        self.fs_hz = source.fs_hz / self._n
        if self.total_samples is not None:
            self.total_samples = -(-self.total_samples // self._n)
        self.rails_mv, self.second_rails_mv = _inner(self.rails_mv), _inner(self.second_rails_mv)
        self._leads = () if len(self.leads) == 1 else (len(self.leads),)
        # Samples that later outputs need, (n,), or (n, 2) of two leads; NaN = no weight.
        self._pending: Floats = np.empty((0, *self._leads))
        self._at = 0  # index of its first sample
        self._end: int | None = None  # index after the last sample; None before the first
        self._output = 0  # index of the next output
        self._ready: deque[Chunk] = deque()

    def __getattr__(self, name: str) -> Any:
        """Delegate attributes beyond Source, e.g. `waiting`, to the wrapped source."""
        return getattr(self._source, name)

    def read(self, max_samples: int) -> Chunk | None:
        """Return the next chunk at the lower rate; see Source."""
        if not self._ready:
            try:
                chunk = self._source.read(max_samples * self._n)
            except EndOfStream:
                self._finish(Chunk(0, np.empty(0)))
                if not self._ready:
                    raise
            else:
                if chunk is None:
                    return None
                self._take(chunk)
        first = self._ready.popleft()
        if first.samples.size > max_samples:
            time_s = None if first.time_s is None else first.time_s + max_samples / self.fs_hz
            self._ready.appendleft(replace(first.part(max_samples), notices=(), time_s=time_s))
            first = first.part(0, max_samples)
        return first

    def _take(self, chunk: Chunk) -> None:
        """Filter the samples of a chunk, and add what is complete to `_ready`: always at least one chunk."""
        if chunk.samples.size and chunk.first_sample != self._end:
            self._finish(replace(chunk, notices=()))
            self._at = chunk.first_sample - self._n
            self._pending = np.full((self._n, *self._leads), np.nan)
            self._output = -(-chunk.first_sample // self._n)
        if chunk.samples.size:
            self._end = chunk.first_sample + chunk.samples.size
            self._pending = np.concatenate((self._pending, self._columns(chunk)))
        outputs = self._filter()
        self._add(outputs, chunk, chunk.notices)

    def _finish(self, after: Chunk) -> None:
        """Add the outputs that waited for samples which do not come; `after` is the chunk after the gap."""
        if self._end is None:
            return
        self._pending = np.concatenate((self._pending, np.full((self._n, *self._leads), np.nan)))
        outputs = self._filter()
        self._pending, self._end = np.empty((0, *self._leads)), None
        if len(outputs):
            self._add(outputs, after, ())

    def _filter(self) -> Floats:
        """Outputs whose samples are all there; drops the samples that no later output needs."""
        from scipy.signal import upfirdn

        low = self._output * self._n - self._n - self._at
        n = (len(self._pending) - low - 2 * self._n - 1) // self._n + 1
        if n <= 0:
            return np.empty((0, *self._leads))
        used = self._pending[low : low + (n - 1) * self._n + 2 * self._n + 1]
        valid = ~np.isnan(used)
        kept = slice(2, 2 + n)  # the outputs before and after see a part of the filter
        total = upfirdn(self._taps, np.where(valid, used, 0.0), down=self._n, axis=0)[kept]
        weight = upfirdn(self._taps, valid.astype(np.float64), down=self._n, axis=0)[kept]
        weight[weight < 0.5] = np.nan
        outputs: Floats = total / weight
        self._output += n
        dropped = min(low + n * self._n, len(self._pending))
        self._pending, self._at = self._pending[dropped:], self._at + dropped
        return outputs

    def _columns(self, chunk: Chunk) -> Floats:
        """The samples of one lead, (n,), or of two, (n, 2)."""
        if not self._leads:
            return chunk.samples
        second = np.full(chunk.samples.size, np.nan) if chunk.second is None else chunk.second
        return np.stack((chunk.samples, second), axis=1)

    def _add(self, outputs: Floats, chunk: Chunk, notices: tuple[Any, ...]) -> None:
        first = self._output - len(outputs)
        time_s = chunk.time_s
        if time_s is not None:
            time_s += (first * self._n - chunk.first_sample) / self._input_hz
        lead, second = np.ascontiguousarray(outputs.T) if self._leads else (outputs, None)
        self._ready.append(Chunk(first, lead, chunk.arrival_s, notices, time_s, second))


def _inner(rails_mv: tuple[float, float] | None) -> tuple[float, float] | None:
    """Rails that the filter's sum of a constant rail does reach."""
    if rails_mv is None:
        return None
    margin = _RAIL_MARGIN * (rails_mv[1] - rails_mv[0])
    return rails_mv[0] + margin, rails_mv[1] - margin
