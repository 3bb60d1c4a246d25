"""What a source around another one has of it."""

from __future__ import annotations

from monitor.sources.base import Source

__all__ = ["SourceWrapper"]


class SourceWrapper:
    """Says of itself what the other says; who inherits reads.

    Args:
        source: the other; closed by `close`.
    """

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self.lead = source.lead
        self.fs_hz = source.fs_hz
        self.live = source.live
        self.rails_mv = source.rails_mv
        self.start_time = source.start_time
        self.total_samples = source.total_samples
        self.never_blocks = bool(getattr(source, "never_blocks", False))
        self._source = source

    def close(self) -> None:
        """Let go of the other."""
        self._source.close()
