"""Base class of sources that wrap another source."""

from __future__ import annotations

from monitor.sources.base import Source
from monitor.sources.units import MV_BY_UNIT

__all__ = ["SourceWrapper"]


class SourceWrapper:
    """Copies the attributes of the wrapped source and closes it; a subclass implements `read`.

    Many attributes: those of the Source protocol, and what a source of two leads adds.
    """

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self.lead = source.lead
        self.fs_hz = source.fs_hz
        self.live = source.live
        self.rails_mv = source.rails_mv
        self.start_time = source.start_time
        self.total_samples = source.total_samples
        self.unit: str = getattr(source, "unit", "mV")
        self.mv_per_unit: float = getattr(source, "mv_per_unit", MV_BY_UNIT.get(self.unit.lower(), 1.0))
        self.leads: tuple[str, ...] = getattr(source, "leads", (source.lead,))
        self.second_rails_mv: tuple[float, float] | None = getattr(source, "second_rails_mv", None)
        self.never_blocks = bool(getattr(source, "never_blocks", False))
        self._source = source

    def close(self) -> None:
        """Close the wrapped source."""
        self._source.close()
