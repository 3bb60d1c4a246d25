"""A source whose numbers are in another unit than it says."""

from __future__ import annotations

from dataclasses import replace

from monitor.sources.base import Chunk, Source
from monitor.sources.wrappers import SourceWrapper

__all__ = ["RescaledSource"]


class RescaledSource(SourceWrapper):
    """Multiplies the samples of a source that has no unit of its own.

    Args:
        source: says that its samples are mV.
        unit: unit of its samples, or `adc`.
        mv: mV in one of them.
    """

    def __init__(self, source: Source, unit: str, mv: float) -> None:
        super().__init__(source)
        self.unit, self.mv_per_unit = unit, mv
        if self.rails_mv is not None:
            self.rails_mv = self.rails_mv[0] * mv, self.rails_mv[1] * mv

    def read(self, max_samples: int) -> Chunk | None:
        """Return the next chunk in mV; see Source."""
        chunk = self._source.read(max_samples)
        return None if chunk is None else replace(chunk, samples=chunk.samples * self.mv_per_unit)
