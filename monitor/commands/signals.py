"""Signals that tell the program to end."""

from __future__ import annotations

import signal
import threading

__all__ = ["end_in_order_on_signals"]


def end_in_order_on_signals(stop: threading.Event) -> None:
    """Not before everything is open: until then Ctrl-C must break off a download that hangs."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, lambda *_: stop.set())
