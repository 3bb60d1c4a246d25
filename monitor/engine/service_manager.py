"""Notifications to systemd: the service is ready, its loop runs, it stops (sd_notify)."""

from __future__ import annotations

import contextlib
import socket
from typing import Final, Literal

__all__ = ["ServiceManager"]

_STATES: Final = {"running": b"READY=1\nWATCHDOG=1", "goodbye": b"STOPPING=1"}


class ServiceManager:
    """Reports each heartbeat to systemd, which restarts a service with `WatchdogSec=` whose loop stands still.

    Without systemd nothing is sent. A message that cannot be sent is left out: a missing one has the same effect as a
    loop that stands still, and the loop must not wait for it.

    Args:
        address: `NOTIFY_SOCKET` of the environment: a path, or `@NAME` in Linux' abstract namespace; empty = none.

    Source: sd_notify(3).
    """

    def __init__(self, address: str) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if address and hasattr(socket, "AF_UNIX"):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)

    def heartbeat(self, state: Literal["running", "goodbye"]) -> None:
        """Send the state of a heartbeat."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto(_STATES[state], self._address)

    def close(self) -> None:
        """Close the socket; may be called twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
