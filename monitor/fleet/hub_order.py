"""What a hub is given at its start, and what it reports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from monitor.bus.endpoints import BusEndpoints
from monitor.config import Config

__all__ = ["HubOrder", "HubReport"]


@dataclass(frozen=True)
class HubOrder:
    """Configuration of a hub.

    Attributes:
        config: of the fleet; `[bus]` has the hub's address, `[journal]` its journal if named.
        folder: for the position files, and the journal where none is named.
        beds: all beds of the fleet, in order.
        since_s: start of the fleet, Unix time; earlier runs in the journal belong to another fleet.
    """

    config: Config
    folder: Path
    beds: tuple[str, ...]
    since_s: float

    @property
    def journal(self) -> Path:
        """File of the hub's journal."""
        return Path(self.config.journal.path) if self.config.journal.path else self.folder / "hub.sqlite"


@dataclass(frozen=True)
class HubReport:
    """State of a hub.

    Attributes:
        epoch: of its run.
        endpoints: where it listens.
        drained: shards that have ended and whose messages were all published.
        published: messages so far.
        notice: the last line for a person; empty = none.
    """

    epoch: str
    endpoints: BusEndpoints
    drained: frozenset[str]
    published: int
    notice: str = ""
