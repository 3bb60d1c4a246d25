"""Stop the program in order on `STOP_SIGNALS`: Ctrl-C, SIGTERM, SIGHUP (Windows: Ctrl-Break)."""

from __future__ import annotations

import signal
import threading

from monitor.stop_signals import STOP_SIGNALS

__all__ = ["ignore_stops", "stop_on_signals"]


class _Stop:
    """Handler that sets an event, once: further signals are ignored from then on, also while the interpreter ends."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def __call__(self, *_: object) -> None:
        ignore_stops()  # first: a signal that arrives in the handler would call it again within itself
        self._stop.set()


def stop_on_signals(stop: threading.Event) -> None:
    """Set `stop` on STOP_SIGNALS; SIGHUP stays ignored under nohup.

    Call it once everything is open: until then Ctrl-C must interrupt a slow download.
    """
    for number in STOP_SIGNALS:
        kept = number not in (signal.SIGINT, signal.SIGTERM) and signal.getsignal(number) is signal.SIG_IGN  # nohup
        if not kept:
            signal.signal(number, _Stop(stop))


def ignore_stops() -> None:
    """Everything is closed: a further signal must not change the exit code while the interpreter ends."""
    for number in STOP_SIGNALS:
        if isinstance(signal.getsignal(number), _Stop):
            signal.signal(number, signal.SIG_IGN)
