"""The hub in a process of its own, which Ray starts, and starts again where it was killed."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback

from monitor.errors import BusError
from monitor.fleet.hub import Hub, HubOrder, HubReport
from monitor.fleet.link import LinkOrder

__all__ = ["HubActor"]

_TRIES_S = 10.0  # the ports and the journal of one that was killed are free in a moment


class HubActor:
    """Runs a hub in a thread.

    Args:
        order: what it is.
    """

    def __init__(self, order: HubOrder) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which then tells us
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
        """How it is; a line where it could not begin; empty while it has not yet."""
        return self._failed if self._failed or self._hub is None else self._hub.report()

    def pid(self) -> int:
        """Of this process."""
        return os.getpid()

    def stop(self, timeout_s: float) -> None:
        """Say goodbye, and wait for that."""
        self._stop.set()
        self._thread.join(timeout_s)

    def _work(self) -> None:
        try:
            hub = self._open()
            self._hub = hub
        except Exception as error:  # the command tells it
            self._failed = str(error) if isinstance(error, BusError) else f"{type(error).__name__}: {error}"
            return
        try:
            hub.run(self._stop.is_set)
        except BaseException:  # start anew, as after a kill: the next one goes on from the positions
            traceback.print_exc()
            os._exit(1)

    def _open(self) -> Hub:
        from monitor.errors import JournalError

        until_s = time.monotonic() + _TRIES_S
        while True:
            try:
                return Hub(self._order)
            except (BusError, JournalError) as error:
                again = "in use" in str(error) and self._order.journal.exists() and time.monotonic() < until_s
                if not again or self._stop.wait(0.1):
                    raise
