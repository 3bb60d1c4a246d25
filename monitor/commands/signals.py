"""Signals that end the program: SIGINT (Ctrl-C), SIGTERM, SIGHUP."""

from __future__ import annotations

import signal
import threading

__all__ = ["stop_on_signals"]


def stop_on_signals(stop: threading.Event) -> None:
    """Set `stop` on SIGINT, SIGTERM and SIGHUP; SIGHUP stays ignored under nohup.

    Call it once everything is open: until then Ctrl-C must interrupt a slow download.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, lambda *_: stop.set())
