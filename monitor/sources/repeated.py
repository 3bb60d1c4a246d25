"""A finite source over and over, for load tests that last longer than a record."""

from __future__ import annotations

from dataclasses import replace

from monitor.errors import SourceError
from monitor.sources.base import Chunk, EndOfStream
from monitor.sources.options import SourceOptions
from monitor.sources.wrappers import SourceWrapper

__all__ = ["SEAM_S", "RepeatedSource"]

SEAM_S = 1.0  # between its end and its beginning: told as a gap, so that nothing is computed across it


class RepeatedSource(SourceWrapper):
    """Source that begins anew where another one ends; its sample clock goes on.

    Args:
        spec: of the other, see `open_source`.
        options: of the other; `start_s` holds for the first time only, `duration_s` for all times together.

    Raises:
        SourceError: it cannot be opened, is live, or gives nothing.
    """

    def __init__(self, spec: str, options: SourceOptions) -> None:
        from monitor.sources import open_source

        self._open = open_source
        self._spec = spec
        self._options = replace(options, duration_s=None)
        super().__init__(open_source(spec, self._options))
        if self.live:
            self.close()
            raise SourceError(f"{spec}: a live source cannot be copied; take a record, a file or sim")
        self._left = None if options.duration_s is None else max(1, round(options.duration_s * self.fs_hz))
        self.total_samples = self._left
        self._shift = 0
        self._end = 0  # on our clock
        self._gave = True  # since it was opened; of the first time it is believed

    def read(self, max_samples: int) -> Chunk | None:
        """As Source.read."""
        if self._left is not None:
            if self._left <= 0:
                raise EndOfStream
            max_samples = min(max_samples, self._left)
        try:
            chunk = self._source.read(max_samples)
        except EndOfStream:
            if not self._gave:
                raise
            self._begin_anew()
            return self.read(max_samples)
        if chunk is None:
            return None
        self._gave |= chunk.samples.size > 0
        if self._left is not None:
            self._left -= chunk.samples.size
        chunk = replace(chunk, first_sample=chunk.first_sample + self._shift)
        self._end = chunk.first_sample + chunk.samples.size
        return chunk

    def _begin_anew(self) -> None:
        self.close()
        self._source = self._open(self._spec, replace(self._options, start_s=0.0))
        self._shift = self._end + round(SEAM_S * self.fs_hz)
        self._gave = False
