"""Signals that end the program: SIGINT (Ctrl-C), SIGTERM, SIGHUP."""

from __future__ import annotations

import signal
import threading

__all__ = ["ignore_stops", "stop_on_signals"]

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Stop:
    """Handler that sets an event, once: further signals are ignored from then on, also while the interpreter ends."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def __call__(self, *_: object) -> None:
        ignore_stops()  # first: a signal that arrives in the handler would call it again within itself
        self._stop.set()


def stop_on_signals(stop: threading.Event) -> None:
    """Set `stop` on SIGINT, SIGTERM and SIGHUP; SIGHUP stays ignored under nohup.

    Call it once everything is open: until then Ctrl-C must interrupt a slow download.
    """
    for number in _STOPS:
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, _Stop(stop))


def ignore_stops() -> None:
    """Everything is closed: a further signal must not change the exit code while the interpreter ends."""
    for number in _STOPS:
        if isinstance(signal.getsignal(number), _Stop):
            signal.signal(number, signal.SIG_IGN)
