"""Read what has arrived on a pipe, without waiting for more than a given time.

POSIX: select(2) and one read. Windows: select takes sockets only there, so a thread reads ahead, one piece.
"""

from __future__ import annotations

import os
import queue
import select
import sys
import threading
from typing import Final

__all__ = ["READ_BYTES", "PipeReader"]

READ_BYTES: Final = 65_536  # default capacity of a pipe


if sys.platform == "win32":

    class PipeReader:
        """Reads pieces of a descriptor, which stays open.

        Its thread reads one piece of READ_BYTES ahead, then a faster writer has to wait. It ends with the program.
        """

        def __init__(self, fd: int) -> None:
            self._fd = fd
            self._pieces: queue.Queue[bytes | OSError] = queue.Queue(1)
            self._thread = threading.Thread(target=self._read_ahead, name="standard input", daemon=True)

        def read(self, wait_s: float) -> bytes | None:
            """The next piece; None if nothing arrived within `wait_s`, empty at the end.

            Raises:
                OSError: from the system.
            """
            if self._thread.ident is None:
                self._thread.start()
            try:
                piece = self._pieces.get(timeout=wait_s) if wait_s > 0 else self._pieces.get_nowait()
            except queue.Empty:
                return None
            if isinstance(piece, OSError):
                raise piece
            return piece

        def _read_ahead(self) -> None:
            piece: bytes | OSError = b"-"
            while piece and not isinstance(piece, OSError):
                try:
                    piece = os.read(self._fd, READ_BYTES)
                except BrokenPipeError:  # Windows' way to say that the writer has closed the pipe
                    piece = b""
                except OSError as error:
                    piece = error
                self._pieces.put(piece)

else:

    class PipeReader:
        """Reads pieces of a descriptor, which stays open. Only `read` reads from it."""

        def __init__(self, fd: int) -> None:
            self._fd = fd

        def read(self, wait_s: float) -> bytes | None:
            """The next piece; None if nothing arrived within `wait_s`, empty at the end.

            Raises:
                OSError, ValueError: from the system.
            """
            try:
                if not select.select([self._fd], [], [], wait_s)[0]:
                    return None
                return os.read(self._fd, READ_BYTES)
            except BlockingIOError:  # non-blocking, and another process was faster
                return None
