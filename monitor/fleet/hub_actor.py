"""The hub in a process of its own. Ray starts it, and restarts it after a kill."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback

from monitor.errors import BusError, JournalInUse, PortInUse
from monitor.fleet.hub import Hub, HubOrder, HubReport
from monitor.fleet.link import LinkOrder

__all__ = ["HubActor"]

_TRIES_S = 10.0  # the ports and the journal of a killed hub are free soon


class HubActor:
    """Runs a hub in a thread.

    Args:
        order: configuration.
    """

    def __init__(self, order: HubOrder) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which then stops the hub
        self._order = order
        self._stop = threading.Event()
        self._hub: Hub | None = None
        self._failed = ""
        self._thread = threading.Thread(target=self._work, name="hub", daemon=True)
        self._thread.start()

    def follow(self, orders: tuple[LinkOrder, ...]) -> None:
        """As Hub.follow."""
        if self._hub is not None:
            self._hub.follow(orders)

    def report(self) -> HubReport | str:
        """The state now; before the start an empty text, after a failed start one line with the reason."""
        return self._failed if self._failed or self._hub is None else self._hub.report()

    def stop(self, timeout_s: float) -> None:
        """Publish the goodbye, and wait for it."""
        self._stop.set()
        self._thread.join(timeout_s)

    def _work(self) -> None:
        try:
            hub = self._hub = self._open()
        except Exception as error:  # the command prints it
            self._failed = str(error) if isinstance(error, BusError) else f"{type(error).__name__}: {error}"
            return
        try:
            hub.run(self._stop.is_set)
        except BaseException:  # restart as after a kill: the next hub continues from the positions
            traceback.print_exc()
            os._exit(1)

    def _open(self) -> Hub:
        until_s = time.monotonic() + _TRIES_S
        while True:
            try:
                return Hub(self._order)
            except (PortInUse, JournalInUse):
                again = self._order.journal.exists() and time.monotonic() < until_s
                if not again or self._stop.wait(0.1):
                    raise
