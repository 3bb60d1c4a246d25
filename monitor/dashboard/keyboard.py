"""Single key presses from the terminal.

POSIX: cbreak mode, restored afterwards; special keys arrive as escape sequences. Windows: the console's own functions,
which need no mode; a special key arrives as two characters.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import sys
import time
from typing import Any, Final

if sys.platform == "win32":
    import msvcrt
else:
    import termios
    import tty

__all__ = ["Keyboard", "keys_in"]

# Arrow and function keys arrive as escape sequences (ECMA-48); their letters are no keys.
_KEYS = re.compile(r"(\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|\[[0-?]*[ -/]*\Z|O?\Z|[^\[O\x1b]))|(.)", re.DOTALL)
_NAMES = {
    "A": "up", "B": "down", "C": "right", "D": "left", "H": "home", "F": "end",
    "1~": "home", "4~": "end", "5~": "page up", "6~": "page down", "7~": "home", "8~": "end",
}  # fmt: skip
_CONTROL = {"\r": "enter", "\n": "enter", "\x1b": "escape", "\x7f": "backspace", "\b": "backspace"}
_UNFINISHED = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|O)?\Z")  # the input ends within an escape sequence
_PIECE: Final = 4096  # most that one `read` takes
_REST_S = 0.03  # the rest of an escape sequence arrives within this time; otherwise it was the Escape key


def keys_in(text: str) -> list[str]:
    """Names of the keys in a terminal's input: a character, or e.g. `up`, `enter`, `escape`; others are left out.

    >>> keys_in("a\\x1b[A\\x1bOB\\r\\x1b[15~\\x1b")
    ['a', 'up', 'down', 'enter', 'escape']
    """
    keys: list[str] = []
    for sequence, char in _KEYS.findall(text):
        if sequence == "\x1b":
            keys.append("escape")
        elif sequence:
            name = _NAMES.get(sequence[2:])
            keys += [name] if name is not None and sequence[1] in "[O" else []
        elif char.isprintable() or char in _CONTROL:
            keys.append(_CONTROL.get(char, char))
    return keys


if sys.platform == "win32":
    _LOOK_S: Final = 0.02  # period of looking for a key while waiting
    _PREFIXES: Final = "\0\xe0"  # of a special key; the second is also the letter à
    # Second character of a special key -> escape sequence of that key.
    _SPECIAL: Final = {
        "H": "\x1b[A", "P": "\x1b[B", "M": "\x1b[C", "K": "\x1b[D", "G": "\x1b[H", "O": "\x1b[F", "I": "\x1b[5~",
        "Q": "\x1b[6~",
    }  # fmt: skip

    class Keyboard:
        """Key presses of the console, as a context manager.

        Args:
            fd: of standard input; a file that is no terminal gives no keys.
        """

        def __init__(self, fd: int | None) -> None:
            self._is_console = fd is not None and os.isatty(fd)

        def __enter__(self) -> Keyboard:
            return self

        def __exit__(self, *_error: object) -> None:
            while self._is_console and msvcrt.kbhit():  # the shell must not receive our keys
                msvcrt.getwch()

        def wait(self, timeout_s: float) -> bool:
            """Wait for a key, at most `timeout_s`; True if there is one to `read`."""
            until_s = time.monotonic() + timeout_s
            while not (self._is_console and msvcrt.kbhit()):
                if (left_s := until_s - time.monotonic()) <= 0:
                    return False
                time.sleep(min(_LOOK_S, left_s))
            return True

        def read(self) -> list[str]:
            """Keys pressed since the last call, see `keys_in`; empty without a terminal."""
            pressed = ""
            while self._is_console and len(pressed) < _PIECE and msvcrt.kbhit():
                char = msvcrt.getwch()
                if char in _PREFIXES and msvcrt.kbhit():
                    char = _SPECIAL.get(msvcrt.getwch(), "")
                pressed += char
            return keys_in(pressed)

else:

    class Keyboard:
        """Key presses of a terminal in cbreak mode, as a context manager.

        Args:
            fd: of the terminal; a file that is no terminal gives no keys and is not changed.
        """

        def __init__(self, fd: int | None) -> None:
            self._fd = fd if fd is not None and os.isatty(fd) else None
            self._before: list[Any] | None = None
            self._gone = False

        def __enter__(self) -> Keyboard:
            if self._fd is not None:
                with contextlib.suppress(termios.error):
                    self._before = termios.tcgetattr(self._fd)
                    tty.setcbreak(self._fd, termios.TCSANOW)
            return self

        def __exit__(self, *_error: object) -> None:
            if self._fd is None or self._before is None:
                return
            with contextlib.suppress(termios.error):  # the terminal is gone: nothing to restore
                termios.tcflush(self._fd, termios.TCIFLUSH)  # the shell must not receive our keys
                # Not TCSADRAIN: it waits forever if the output was stopped with Ctrl-S.
                termios.tcsetattr(self._fd, termios.TCSANOW, self._before)
            self._before = None

        def wait(self, timeout_s: float) -> bool:
            """Wait for a key, at most `timeout_s`; True if there is one to `read`."""
            try:
                return bool(select.select(self._readable(), [], [], timeout_s)[0])
            except OSError:
                self._gone = True
                return False

        def read(self) -> list[str]:
            """Keys pressed since the last call, see `keys_in`; empty without a terminal."""
            pressed = b""
            try:
                while select.select(self._readable(), [], [], _REST_S if _UNFINISHED.search(pressed) else 0)[0]:
                    piece = os.read(self._readable()[0], 1024)
                    self._gone = not piece
                    pressed += piece
                    if not piece or len(pressed) > _PIECE:
                        break
            except OSError:  # the terminal is gone: SIGHUP ends the program
                self._gone = True
            return keys_in(pressed.decode("utf-8", "ignore"))

        def _readable(self) -> list[int]:
            return [] if self._fd is None or self._before is None or self._gone else [self._fd]
