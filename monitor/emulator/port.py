"""Where an emulated device is plugged in: a pseudo-terminal that others open as a serial port, or a real port."""

from __future__ import annotations

import contextlib
import os
import select
import tempfile
import time
import tty
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from monitor.errors import SourceError

if TYPE_CHECKING:
    import serial

__all__ = ["DevicePort", "PtyPort", "RealPort"]

_READ_BYTES: Final = 4096


class DevicePort(Protocol):
    """The device's end of a cable; nothing here waits but `wait`.

    Attributes:
        path: what a monitor opens.
    """

    path: str

    @property
    def has_reader(self) -> bool:
        """Whether somebody has opened the other end, as far as can be known."""

    def write(self, data: bytes) -> int:
        """Send; how many bytes the line took, fewer than all where it is full or nobody is there."""

    def read(self) -> bytes:
        """What the other end sent; empty where there is nothing."""

    def unplug(self) -> None:
        """The port vanishes."""

    def plug(self) -> None:
        """The port is there again."""

    def wait(self, timeout_s: float) -> None:
        """Until the other end sends something, `timeout_s` at most."""

    def close(self) -> None:
        """Let go of everything; may be called twice."""


class PtyPort:
    """A pseudo-terminal under a link that keeps its name; the terminal behind it is a new one at each `plug`.

    Args:
        link: where the link shall lie; None = in a new folder for temporary files.

    Raises:
        SourceError: something else lies there, or it cannot be made.
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
        """Whether the other end is open."""
        return self._fd is not None and not self._poll(0) & select.POLLHUP

    def write(self, data: bytes) -> int:
        """See DevicePort."""
        if not self.has_reader or self._fd is None:
            return 0
        try:
            return os.write(self._fd, data)
        except OSError:  # full, or closed meanwhile
            return 0

    def read(self) -> bytes:
        """See DevicePort."""
        try:
            return os.read(self._fd, _READ_BYTES) if self._fd is not None else b""
        except OSError:  # nothing there, or nobody
            return b""

    def plug(self) -> None:
        """A new pseudo-terminal; nothing where there is one."""
        if self._fd is not None:
            return
        self._fd, near = os.openpty()
        tty.setraw(near)
        self._name = os.ttyname(near)
        os.close(near)  # from now on poll() tells whether somebody has it open
        os.set_blocking(self._fd, False)
        try:
            if self._link.is_symlink() and str(self._link.readlink()).startswith("/dev/"):
                self._link.unlink()  # of an emulator that was killed
            self._link.symlink_to(self._name)
        except OSError as error:
            self.close()
            raise SourceError(f"--link {self._link}: {error.strerror}; name a file that is not there yet") from None

    def unplug(self) -> None:
        """Close both ends, so that whoever reads sees the device vanish."""
        with contextlib.suppress(OSError):
            if str(self._link.readlink()) == self._name:
                self._link.unlink()
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def wait(self, timeout_s: float) -> None:
        """See DevicePort."""
        began_s = time.monotonic()
        if self._fd is None or self._poll(timeout_s) & select.POLLHUP:  # poll() does not wait where nobody is there
            time.sleep(max(0.0, timeout_s - (time.monotonic() - began_s)))

    def close(self) -> None:
        """See DevicePort."""
        self.unplug()
        if self._folder is not None:
            with contextlib.suppress(OSError):
                self._folder.rmdir()

    def _poll(self, timeout_s: float) -> int:
        poll = select.poll()
        if self._fd is not None:
            poll.register(self._fd, select.POLLIN)
        return sum(event for _, event in poll.poll(timeout_s * 1e3))


class RealPort:
    """A serial port of this machine, with a cable to the one that listens; unplugged, it is just silent.

    Args:
        path: the port.
        baud: bits a second.

    Raises:
        SourceError: it cannot be opened, or (from `read` and `write`) is gone.
    """

    has_reader = True

    def __init__(self, path: str, baud: int) -> None:
        import serial

        self.path = path
        self._plugged = True
        try:
            self._serial: serial.Serial = serial.Serial(path, baud, timeout=0, exclusive=True)
        except (OSError, ValueError) as error:  # SerialException is an OSError
            raise SourceError(
                f"--port {path}: {getattr(error, 'strerror', None) or error}; name a serial port that nobody else uses"
            ) from None
        os.set_blocking(self._serial.fileno(), False)

    def write(self, data: bytes) -> int:
        """See DevicePort."""
        if not self._plugged:
            return 0
        try:
            return os.write(self._serial.fileno(), data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._gone(error) from None

    def read(self) -> bytes:
        """See DevicePort."""
        try:
            data = os.read(self._serial.fileno(), _READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._gone(error) from None
        return data if self._plugged else b""

    def plug(self) -> None:
        """Speak again."""
        self._plugged = True

    def unplug(self) -> None:
        """Be silent and deaf."""
        self._plugged = False

    def wait(self, timeout_s: float) -> None:
        """See DevicePort."""
        select.select([self._serial.fileno()], [], [], timeout_s)

    def close(self) -> None:
        """See DevicePort."""
        self._serial.close()

    def _gone(self, error: OSError) -> SourceError:
        return SourceError(f"--port {self.path}: {error.strerror}; is its cable in?")
