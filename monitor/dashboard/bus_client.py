"""What the dashboard needs of a client."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from monitor.messages import Message, Reply, Request

__all__ = ["BusClient"]


class BusClient(Protocol):
    """A subscriber to one monitor; `monitor.client.client.AlarmClient` is one."""

    @property
    def state(self) -> str:
        """`connecting`, `connected`, `stale`, `lost` or `ended`."""
        ...

    def poll(self, timeout_s: float = 0.0) -> Sequence[tuple[str, Message, bytes]]:
        """Topic, message and its bytes (of a wave: its samples), after at most `timeout_s`."""
        ...

    def request(self, request: Request, timeout_s: float = 2.0) -> Reply:
        """Ask the monitor."""
        ...

    def set_detail(self, wave_beds: Collection[str], beat_beds: Collection[str] = ()) -> None:
        """Choose the beds whose waves, and whose beats and events, are received."""
        ...
