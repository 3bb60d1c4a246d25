"""A serial port under supervision: bytes out of it, for ever, however often the device is pulled out."""

from __future__ import annotations

import contextlib
import errno
import threading
from typing import TYPE_CHECKING, Final, Protocol

from monitor.errors import SourceError
from monitor.sources.serial.ports import PortInfo, find_again, open_port

if TYPE_CHECKING:
    pass

__all__ = ["LinkListener", "SerialLink"]

POLL_S: Final = 0.05
BACKOFF_S: Final = (0.1, 1.0)  # first and longest wait between attempts to reopen: each second away is ECG lost
READ_BYTES: Final = 65_536  # at most this at once; the kernel's buffer of a line holds 4,096


class LinkListener(Protocol):
    """Who takes what a link reads; called in the link's thread."""

    def received(self, data: bytes) -> None:
        """Bytes that came together; empty: none for POLL_S."""

    def lost(self, reason: str) -> None:
        """The port failed: pulled out, switched off, driver gone."""

    def back(self, device: str) -> None:
        """It is open again, maybe under another path."""

    def failed(self, reason: str) -> None:
        """The thread ended for a reason that reopening cannot mend."""


class SerialLink:
    """Reads one port in a thread.

    Args:
        port: which; found again by its serial number where it has one.
        baud: speed, bits a second.
        name: of the source, for errors.

    Raises:
        SourceError: the port cannot be opened; one line with the reason.
    """

    def __init__(self, port: PortInfo, baud: int, name: str) -> None:
        self.port, self._baud, self._name = port, baud, name
        self._closing = threading.Event()
        self._device = open_port(port.device, baud, POLL_S, name)
        self._thread: threading.Thread | None = None

    def start(self, listener: LinkListener) -> None:
        """Begin to read."""
        self._thread = threading.Thread(
            target=self._run, args=(listener,), name=f"serial {self.port.device}", daemon=True
        )
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Say something to the device; nothing happens where it is away."""
        with contextlib.suppress(OSError):  # SerialException is one
            self._device.write(data)

    def close(self) -> None:
        """Stop the thread and close the port; may be called twice."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(timeout=2.0)
        self._device.close()

    def _run(self, listener: LinkListener) -> None:
        try:
            while not self._closing.is_set():
                try:
                    self._listen(listener)
                except OSError as error:  # SerialException is one
                    self._device.close()
                    listener.lost(f"lost {self.port.device} ({_short(error)})")
                    self._reopen(listener)
        except Exception as error:  # nothing may die unseen in a thread
            listener.failed(f"the reader stopped ({type(error).__name__}: {error})")
        finally:
            self._device.close()

    def _listen(self, listener: LinkListener) -> None:
        while not self._closing.is_set():
            data = self._device.read(1)
            # All there is, so that the clock sees how much came together.
            while data and len(data) < READ_BYTES and (waiting := self._device.in_waiting):
                data += self._device.read(waiting)
            listener.received(data)

    def _reopen(self, listener: LinkListener) -> None:
        """Try until the port is back or the link is closed."""
        wait_s, longest_s = BACKOFF_S
        while not self._closing.wait(wait_s):
            try:
                device = find_again(self.port)
                self._device = open_port(device, self._baud, POLL_S, self._name)
            except SourceError:
                wait_s = min(2 * wait_s, longest_s)
                continue
            listener.back(device)
            return


def _short(error: OSError) -> str:
    """What happened to the port, without pyserial's guesses."""
    text = str(error)
    return "unplugged or switched off" if "returned no data" in text or error.errno == errno.EIO else text
