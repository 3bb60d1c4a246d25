"""A finite source repeated without end, for load tests that last longer than a record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from monitor.errors import SourceError
from monitor.sources.base import Chunk, EndOfStream, Source
from monitor.sources.options import SourceOptions
from monitor.sources.wrappers import SourceWrapper

__all__ = ["SEAM_S", "RepeatedSource"]

SEAM_S = 1.0  # gap between end and beginning: nothing is computed across it


class RepeatedSource(SourceWrapper):
    """Opens a source again at its end; the sample clock continues.

    Many attributes: nine are those of SourceWrapper.

    Args:
        open_it: opens a source by specification and options, see `open_source`.
        spec: of the wrapped source.
        options: of the wrapped source; `start_s` holds for the first pass only, `duration_s` for all passes together.

    Raises:
        SourceError: it cannot be opened, is live, or is empty.
    """

    def __init__(self, open_it: Callable[[str, SourceOptions], Source], spec: str, options: SourceOptions) -> None:
        self._open = open_it
        self._spec = spec
        self._options = replace(options, duration_s=None)
        super().__init__(open_it(spec, self._options))
        if self.live:
            self.close()
            raise SourceError(f"{spec}: a live source cannot be copied; take a record, a file or sim")
        self._left = None if options.duration_s is None else max(1, round(options.duration_s * self.fs_hz))
        self.total_samples = self._left
        self._shift = 0  # our sample index minus that of the wrapped source
        self._end = 0  # on our clock
        self._gave = True  # samples came since it was opened; assumed for the first pass

    def read(self, max_samples: int) -> Chunk | None:
        """Return the next samples; see Source."""
        if self._left is not None:
            if self._left <= 0:
                raise EndOfStream
            max_samples = min(max_samples, self._left)
        try:
            chunk = self._source.read(max_samples)
        except EndOfStream:
            if not self._gave:
                raise
            self._reopen()
            return self.read(max_samples)
        if chunk is None:
            return None
        self._gave |= chunk.samples.size > 0
        if self._left is not None:
            self._left -= chunk.samples.size
        chunk = replace(chunk, first_sample=chunk.first_sample + self._shift)
        self._end = chunk.first_sample + chunk.samples.size
        return chunk

    def _reopen(self) -> None:
        self.close()
        self._source = self._open(self._spec, replace(self._options, start_s=0.0))
        self._shift = self._end + round(SEAM_S * self.fs_hz)
        self._gave = False
