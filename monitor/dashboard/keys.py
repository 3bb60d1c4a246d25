"""Single keys from the terminal, without waiting, and the terminal as it was afterwards."""

from __future__ import annotations

import contextlib
import os
import re
import select
import termios
import tty
from types import TracebackType
from typing import Any

__all__ = ["Keyboard"]

# Arrow and function keys come as escape sequences (ECMA-48): they are none of our keys, and their letters
# must not be taken for keys either.
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|.)?")


class Keyboard:
    """Keys of a terminal in cbreak mode, as a context manager.

    Args:
        fd: the terminal to read from; anything that is no terminal gives no keys and is left alone.
    """

    def __init__(self, fd: int | None) -> None:
        self._fd = fd if fd is not None and os.isatty(fd) else None
        self._before: list[Any] | None = None

    def __enter__(self) -> Keyboard:
        if self._fd is not None:
            with contextlib.suppress(termios.error):
                self._before = termios.tcgetattr(self._fd)
                tty.setcbreak(self._fd, termios.TCSANOW)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd is None or self._before is None:
            return
        with contextlib.suppress(termios.error):  # the terminal is gone: nothing to restore
            termios.tcflush(self._fd, termios.TCIFLUSH)  # keys meant for us must not go to the shell
            # Not TCSADRAIN: it waits for ever where the output was stopped with Ctrl-S.
            termios.tcsetattr(self._fd, termios.TCSANOW, self._before)
        self._before = None

    def read(self) -> str:
        """The keys pressed since the last call; empty if none, or if this is no terminal."""
        if self._fd is None or self._before is None:
            return ""
        pressed = b""
        try:
            while select.select([self._fd], [], [], 0)[0]:
                piece = os.read(self._fd, 1024)
                pressed += piece
                if not piece or len(pressed) > 4096:
                    break
        except OSError:  # the terminal is gone: SIGHUP says the rest
            return ""
        return _SEQUENCE.sub("", pressed.decode("ascii", "ignore"))
