"""The device's end of a cable: a serial port of this machine, or a pseudo-terminal (`monitor.emulator.pty_port`)."""

from __future__ import annotations

import os
import select
import sys
import time
from typing import TYPE_CHECKING, Final, Protocol

from monitor.errors import SourceError

if TYPE_CHECKING:
    import serial

__all__ = ["DevicePort", "RealPort"]

_READ_BYTES: Final = 4096


class DevicePort(Protocol):
    """The device's end of a cable. Only `wait` waits."""

    path: str

    @property
    def has_reader(self) -> bool:
        """Whether the other end is open, as far as this can be known."""

    def write(self, data: bytes) -> int:
        """Send bytes; return the number accepted, fewer than all if the line is full or has no reader."""

    def read(self) -> bytes:
        """Return the bytes that the other end sent; may be empty."""

    def plug(self) -> None:
        """Connect, unless it is."""

    def unplug(self) -> None:
        """Disconnect."""

    def wait(self, timeout_s: float) -> None:
        """Wait until the other end sends something, at most `timeout_s`."""

    def close(self) -> None:
        """Release everything; may be called twice."""


class RealPort:
    """A serial port of this machine with a cable to the monitor; `unplug` only makes it silent.

    Args:
        path: path of the port.
        baud: speed, bit/s.

    Raises:
        SourceError: it cannot be opened, or (from `read` and `write`) is lost.
    """

    has_reader = True

    def __init__(self, path: str, baud: int) -> None:
        import serial

        self.path = path
        self._plugged = True
        try:
            # No time limits: `write` and `read` return at once.
            self._serial: serial.Serial = serial.Serial(path, baud, timeout=0, write_timeout=0, exclusive=True)
        except (OSError, ValueError) as error:  # SerialException is an OSError
            raise SourceError(
                f"--port {path}: {getattr(error, 'strerror', None) or error}; name a free serial port"
            ) from None
        if sys.platform != "win32":
            os.set_blocking(self._serial.fileno(), False)

    def write(self, data: bytes) -> int:
        """See DevicePort."""
        if not self._plugged:
            return 0
        try:
            if sys.platform == "win32":  # no descriptor there
                return int(self._serial.write(data) or 0)
            return os.write(self._serial.fileno(), data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._lost(error) from None

    def read(self) -> bytes:
        """See DevicePort."""
        try:
            if sys.platform == "win32":
                data = bytes(self._serial.read(_READ_BYTES))
            else:
                data = os.read(self._serial.fileno(), _READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._lost(error) from None
        return data if self._plugged else b""

    def plug(self) -> None:
        """Send and receive again."""
        self._plugged = True

    def unplug(self) -> None:
        """Neither send nor receive."""
        self._plugged = False

    def wait(self, timeout_s: float) -> None:
        """See DevicePort."""
        if sys.platform == "win32":
            time.sleep(timeout_s)
        else:
            select.select([self._serial.fileno()], [], [], timeout_s)

    def close(self) -> None:
        """See DevicePort."""
        self._serial.close()

    def _lost(self, error: OSError) -> SourceError:
        return SourceError(f"--port {self.path}: {error.strerror or error}; is its cable in?")
