"""Player of an emulated device on a port, paced by a clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from monitor.emulator.device import Action, Device, FaultReport, Plug, Unplug
from monitor.emulator.port import DevicePort

__all__ = ["BOOT_PAUSE_S", "Player"]

BOOT_PAUSE_S: Final = 0.5  # boards boot when they are opened, and readers discard bytes from before they are ready
LINGER_S: Final = 0.5  # pause after the last byte: bytes that are not read are lost when the port closes
LINE_S: Final = 10.0  # time of bytes kept for a slow reader on a busy machine; more are lost
_STEP_S: Final = 1.0  # device time made at once: bounds the memory
_MOST_S: Final = 60.0  # longest device time in one step: Ctrl-C still works after a suspend or at an extreme speed


class Player:
    """Starts the device's time when its port is opened, and writes its bytes to the port.

    The device continues while there is no reader; its bytes are then lost.

    Many attributes: three are counts for the report at the end.

    Args:
        line_bytes: largest number of bytes that wait for the reader.
        clock: monotonic, s.
        speed: device time in one second of the clock, s.
        report: called with each begin and end of a fault.

    Attributes:
        unread: bytes lost while there was no reader.
        overrun: bytes lost because the reader was too slow.
        ended: the source has ended, and all bytes are sent or lost.
    """

    def __init__(
        self,
        device: Device,
        port: DevicePort,
        *,
        line_bytes: int,
        clock: Callable[[], float],
        speed: float = 1.0,
        report: Callable[[FaultReport], None] = lambda _: None,
    ) -> None:
        self.unread = self.overrun = 0
        self.ended = False
        self._device, self._port, self._clock, self._speed, self._report = device, port, clock, speed, report
        self._line_bytes = line_bytes
        self._line = bytearray()  # bytes that wait for the reader
        self._opened_s: float | None = None
        self._began_s: float | None = None
        self._done_s = 0.0  # device time
        self._ended_s: float | None = None

    def step(self) -> None:
        """Do everything that is due; never waits."""
        now_s = self._clock()
        if self._opened_s is None:
            if not self._port.has_reader:
                return
            self._opened_s = now_s
        if now_s - self._opened_s < BOOT_PAUSE_S:
            return
        self._play(now_s)
        self._do(self._device.receive(self._port.read()))
        if self._began_s is None and self._device.running:
            self._began_s = now_s
        self._flush()
        if self._device.ended:
            self._ended_s = now_s if self._ended_s is None else self._ended_s
            if now_s - self._ended_s >= LINGER_S:
                self.ended = True
                self.overrun += len(self._line)
                self._line.clear()

    def _play(self, now_s: float) -> None:
        if self._began_s is None:
            return
        until_s = min((now_s - self._began_s) * self._speed, self._done_s + _MOST_S)
        while self._done_s < until_s and not self._device.ended:
            self._done_s = min(until_s, self._done_s + _STEP_S)
            self._do(self._device.advance(self._done_s))

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case bytes():
                    self._line += action
                    self._flush()
                case Unplug():
                    self.unread += len(self._line)
                    self._line.clear()
                    self._port.unplug()
                case Plug():
                    self._port.plug()
                case FaultReport():
                    self._report(action)

    def _flush(self) -> None:
        if not self._port.has_reader:
            self.unread += len(self._line)
            self._line.clear()
            return
        while self._line and (sent := self._port.write(bytes(self._line[:65_536]))):
            del self._line[:sent]
        if (excess := len(self._line) - self._line_bytes) > 0:
            self.overrun += excess
            del self._line[self._line_bytes :]
