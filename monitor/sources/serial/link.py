"""A serial port read by a thread and opened again after every loss."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING, Final

from monitor.errors import SourceError
from monitor.sources.reader_thread import ReaderThread
from monitor.sources.serial.ports import PortInfo, find_again, open_port

if TYPE_CHECKING:
    from monitor.sources.serial.source import SerialSource

__all__ = ["SerialLink"]

POLL_S: Final = 0.05
BACKOFF_S: Final = (0.1, 1.0)  # first and longest wait between attempts to reopen: each second away is lost ECG
READ_BYTES: Final = 65_536  # largest read; the kernel's buffer of a line holds 4,096


class SerialLink:
    """Reads one port in a thread.

    Args:
        port: the port; found again by its serial number if it has one.
        baud: speed, bit/s.
        listener: its `received`, `lost`, `reopened` and `failed` are called in the thread once `start` was called.

    Raises:
        SourceError: the port cannot be opened; one line with the reason.
    """

    def __init__(self, port: PortInfo, baud: int, name: str, listener: SerialSource) -> None:
        self.port, self._baud, self._name, self._listener = port, baud, name, listener
        self._device = open_port(port.device, baud, POLL_S, name)
        self._thread = ReaderThread(self._run, f"serial {port.device}", listener.failed, lambda: self._device.close())

    def start(self) -> None:
        """Start reading."""
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Send bytes to the device; does nothing while it is lost."""
        with contextlib.suppress(OSError):  # SerialException is one
            self._device.write(data)

    def close(self) -> None:
        """Stop the thread and close the port; may be called twice."""
        self._thread.stop(timeout_s=2.0)
        self._device.close()

    def _run(self) -> None:
        while self._thread.running:
            try:
                data = self._device.read(1)
                # All bytes that wait, so that the sample clock knows how many came together.
                while data and len(data) < READ_BYTES and (waiting := self._device.in_waiting):
                    data += self._device.read(waiting)
            except OSError as error:  # SerialException is one
                self._device.close()
                self._listener.lost(f"lost {self.port.device} ({_short(error)})")
                self._thread.retry(self._reopen, BACKOFF_S)
            else:
                self._listener.received(data)

    def _reopen(self) -> bool:
        try:
            device = find_again(self.port)
            self._device = open_port(device, self._baud, POLL_S, self._name)
        except SourceError:
            return False
        self._listener.reopened(device)
        return True


def _short(error: OSError) -> str:
    """Return the reason of a loss without pyserial's advice."""
    text = str(error)  # pyserial gives no errno where a read returns nothing
    return "unplugged or switched off" if "returned no data" in text or error.errno == errno.EIO else text
