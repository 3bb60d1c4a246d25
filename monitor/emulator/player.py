"""Plays an emulated device on a port, paced by a clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from monitor.emulator.device import Action, Bytes, Device, Plug, Told, Unplug
from monitor.emulator.port import DevicePort

__all__ = ["BOOT_PAUSE_S", "Player"]

BOOT_PAUSE_S: Final = 0.5  # readers throw away what came before they were ready; boards boot when they are opened
LINGER_S: Final = 0.5  # after the last byte: what the reader has not fetched is lost when the port closes
LINE_S: Final = 10.0  # bytes of so many seconds wait for a reader whom a busy machine keeps waiting; more is lost
_STEP_S: Final = 1.0  # s of the device that are made at once: bounds the memory
_MOST_S: Final = 60.0  # s of the device in one step: after this machine slept, or at a mad speed, Ctrl-C still works


class Player:
    """Lets a device's time begin when somebody opens its port, and its bytes go out.

    Where the reader goes away, the device goes on and nobody hears it.

    Args:
        device: what is played.
        port: where.
        line_bytes: how many bytes may wait for the reader.
        clock: monotonic, s.
        speed: seconds of the device in one second of the clock.
        tell: told each fault as it happens.

    Attributes:
        unheard: bytes that nobody was there to read.
        overrun: bytes lost since the reader was too slow.
        ended: the source has ended, and what was left to send is gone.
    """

    def __init__(
        self,
        device: Device,
        port: DevicePort,
        *,
        line_bytes: int,
        clock: Callable[[], float],
        speed: float = 1.0,
        tell: Callable[[Told], None] = lambda _: None,
    ) -> None:
        self.unheard = self.overrun = 0
        self.ended = False
        self._device, self._port, self._clock, self._speed, self._tell = device, port, clock, speed, tell
        self._line_bytes = line_bytes
        self._line = bytearray()  # bytes on their way
        self._opened_s: float | None = None
        self._began_s: float | None = None
        self._done_s = 0.0  # of the device
        self._ended_s: float | None = None

    def step(self) -> None:
        """Do what is due by now; never waits."""
        now_s = self._clock()
        if self._opened_s is None:
            if not self._port.has_reader:
                return
            self._opened_s = now_s
        if now_s - self._opened_s < BOOT_PAUSE_S:
            return
        self._play(now_s)
        self._do(self._device.hear(self._port.read()))
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
                case Bytes(data):
                    self._line += data
                    self._flush()
                case Unplug():
                    self.unheard += len(self._line)
                    self._line.clear()
                    self._port.unplug()
                case Plug():
                    self._port.plug()
                case Told():
                    self._tell(action)

    def _flush(self) -> None:
        if not self._port.has_reader:
            self.unheard += len(self._line)
            self._line.clear()
            return
        while self._line and (sent := self._port.write(bytes(self._line[:65_536]))):
            del self._line[:sent]
        if (excess := len(self._line) - self._line_bytes) > 0:
            self.overrun += excess
            del self._line[self._line_bytes :]
