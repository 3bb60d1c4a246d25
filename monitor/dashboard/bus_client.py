"""Interface of the client that the dashboard uses."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from monitor.messages import Message, Reply, Request

__all__ = ["BusClient"]


class BusClient(Protocol):
    """A subscriber to one monitor, e.g. `monitor.client.client.AlarmClient`."""

    @property
    def state(self) -> str:
        """`connecting`, `connected`, `stale`, `lost` or `ended`."""
        ...

    def poll(self, timeout_s: float = 0.0) -> Sequence[tuple[str, Message, bytes]]:
        """Topics, messages and their bytes (of a wave message: its samples), after at most `timeout_s`."""
        ...

    def request(self, request: Request, timeout_s: float = 2.0) -> Reply:
        """Send a request and wait for the reply."""
        ...

    def set_detail(self, wave_beds: Collection[str], beat_beds: Collection[str] = ()) -> None:
        """Choose the beds whose waves, and whose beats and events, are received."""
        ...
