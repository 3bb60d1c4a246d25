"""The console of Windows: escape sequences for colours and the cursor, which it does not take by itself."""

from __future__ import annotations

import contextlib
import sys
from typing import Final, TextIO

if sys.platform == "win32":
    import ctypes
    import msvcrt

__all__ = ["accept_escapes"]

_PROCESSING: Final = 0x0004  # ENABLE_VIRTUAL_TERMINAL_PROCESSING


def accept_escapes(stream: TextIO) -> None:
    """Make the console of a stream take escape sequences.

    No effect on files and pipes, on other systems, and on consoles older than Windows 10, which have no such mode.

    Source: SetConsoleMode of the Windows console API.
    """
    if sys.platform == "win32" and stream.isatty():
        with contextlib.suppress(OSError, ValueError):  # a stream without a descriptor
            handle = ctypes.c_void_p(msvcrt.get_osfhandle(stream.fileno()))
            mode = ctypes.c_ulong()
            if ctypes.windll.kernel32.GetConsoleMode(handle, ctypes.byref(mode)):
                ctypes.windll.kernel32.SetConsoleMode(handle, mode.value | _PROCESSING)
