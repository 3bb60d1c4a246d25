"""Stop the program in order on `STOP_SIGNALS`: Ctrl-C, SIGTERM, SIGHUP (Windows: Ctrl-Break)."""

from __future__ import annotations

import signal
import threading

from monitor.stop_signals import STOP_SIGNALS

__all__ = ["ignore_stops", "stop_on_signals"]


class _Stop:
    """Handler that sets an event, once.

    It stays in place and does nothing on a further signal. If it had the signal ignored instead, programs that are
    started afterwards (a worker, a command of `[notify]`) would inherit that, and could not be stopped.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._called = False

    def __call__(self, *_: object) -> None:
        if self._called:
            return  # a signal that arrives in `set` would call it again within itself
        self._called = True
        self._stop.set()


def stop_on_signals(stop: threading.Event) -> None:
    """Set `stop` on STOP_SIGNALS; SIGHUP stays ignored under nohup.

    Call it once everything is open: until then Ctrl-C must interrupt a slow download.
    """
    handler = _Stop(stop)
    for number in STOP_SIGNALS:
        kept = number not in (signal.SIGINT, signal.SIGTERM) and signal.getsignal(number) is signal.SIG_IGN  # nohup
        if not kept:
            signal.signal(number, handler)


def ignore_stops() -> None:
    """Everything is closed: a further signal must not change the exit code while the interpreter ends."""
    for number in STOP_SIGNALS:
        if isinstance(signal.getsignal(number), _Stop):
            signal.signal(number, signal.SIG_IGN)
