"""Signals that ask the program to end in order."""

from __future__ import annotations

import signal
import sys
from typing import Final

__all__ = ["STOP_SIGNALS"]

if sys.platform == "win32":
    # SIGBREAK: Ctrl-Break, or the window of the console was closed.
    STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGBREAK)
else:
    STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # SIGHUP: the terminal is gone
