"""A pseudo-terminal that is opened as a serial port. POSIX only: on Windows it is no COM port."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from monitor.errors import SourceError

if sys.platform == "win32":
    raise ImportError("Windows has no pseudo-terminals that are serial ports")

import tty

__all__ = ["PtyPort"]

_READ_BYTES: Final = 4096


class PtyPort:
    """A pseudo-terminal with a link of a fixed name; each `plug` makes a new terminal.

    Args:
        link: path of the link; None = in a new temporary folder.

    Attributes:
        path: path that a monitor opens.

    Raises:
        SourceError: another file has that path, or the link cannot be made.
    """

    def __init__(self, link: Path | None = None) -> None:
        self._folder = None if link is not None else Path(tempfile.mkdtemp(prefix="ecg-monitor-"))
        self._link = link if link is not None else self._folder / "port" if self._folder else Path("port")
        self.path = str(self._link)
        self._fd: int | None = None  # the device's end
        self._name = ""
        self.plug()

    @property
    def has_reader(self) -> bool:
        """Whether the other end is open, as far as this can be known."""
        return self._fd is not None and not self._poll(0) & select.POLLHUP

    def write(self, data: bytes) -> int:
        """Send bytes; return the number accepted, fewer than all if the line is full or has no reader."""
        if not self.has_reader or self._fd is None:
            return 0
        try:
            return os.write(self._fd, data)
        except OSError:  # full, or just closed
            return 0

    def read(self) -> bytes:
        """Return the bytes that the other end sent; may be empty."""
        try:
            return os.read(self._fd, _READ_BYTES) if self._fd is not None else b""
        except OSError:  # no bytes, or no reader
            return b""

    def plug(self) -> None:
        """Make a new pseudo-terminal unless there is one."""
        if self._fd is not None:
            return
        self._fd, near = os.openpty()
        tty.setraw(near)
        self._name = os.ttyname(near)
        os.close(near)  # from now on poll() shows whether it is open
        os.set_blocking(self._fd, False)
        try:
            if self._link.is_symlink() and str(self._link.readlink()).startswith("/dev/"):
                self._link.unlink()  # left by a killed emulator
            self._link.symlink_to(self._name)
        except OSError as error:
            self.close()
            raise SourceError(f"--link {self._link}: {error.strerror}; name a file that does not exist") from None

    def unplug(self) -> None:
        """Close the device's end: a reader sees the device vanish."""
        with contextlib.suppress(OSError):
            if str(self._link.readlink()) == self._name:
                self._link.unlink()
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def wait(self, timeout_s: float) -> None:
        """Wait until the other end sends something, at most `timeout_s`."""
        began_s = time.monotonic()
        if self._fd is None or self._poll(timeout_s) & select.POLLHUP:  # poll() does not wait without a reader
            time.sleep(max(0.0, timeout_s - (time.monotonic() - began_s)))

    def close(self) -> None:
        """Release everything; may be called twice."""
        self.unplug()
        if self._folder is not None:
            with contextlib.suppress(OSError):
                self._folder.rmdir()

    def _poll(self, timeout_s: float) -> int:
        poll = select.poll()
        if self._fd is not None:
            poll.register(self._fd, select.POLLIN)
        return sum(event for _, event in poll.poll(timeout_s * 1e3))
