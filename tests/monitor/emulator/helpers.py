"""An emulated device and a serial source in lock-step: a real pseudo-terminal, a clock that the test moves."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monitor.emulator.device import Device
from monitor.emulator.encoder import NO_SCALE, Scale
from monitor.emulator.faults import parse_faults
from monitor.emulator.player import Player
from monitor.emulator.pty_port import PtyPort
from monitor.emulator.samples import Samples
from monitor.errors import SourceError
from monitor.sources import SourceOptions, open_source
from monitor.sources.serial.source import SerialSource
from tests.monitor.sources.helpers import PATIENCE_S
from tests.monitor.sources.serial.helpers import Reader

__all__ = ["Bench", "signal_of"]

STEP_S = 0.05
RESYNC_S = 0.3  # wall time
SOURCE = "sim:sinus=3600"


def signal_of(n: int, fs_hz: float) -> NDArray[np.float64]:
    """The first `n` samples of the device's signal, mV."""
    return Samples(open_source(SOURCE, SourceOptions(fs_hz=fs_hz))).take(n)


class _CountingPort(PtyPort):
    """Counts the bytes that the terminal accepted."""

    sent = 0
    replugged = False  # plugged in again: bytes from before the reader is ready are discarded

    def plug(self) -> None:
        super().plug()
        self.replugged = True

    def write(self, data: bytes) -> int:
        n = super().write(data)
        self.sent += n
        return n


class Bench(Reader):
    """A device on a pseudo-terminal and the source that watches it.

    Args:
        folder: folder of the port's link.
        form: format of the device.
        faults: faults of the device, in their grammar.
        scale: scale of the device's ADC.
        changes: options of the source; `clock` and `port` are set.
    """

    def __init__(
        self, folder: Path, form: str, faults: str = "", *, scale: Scale = NO_SCALE, **changes: object
    ) -> None:
        self.now_s = 1000.0
        self._read_before = 0  # bytes read when the port last had no reader
        # Created without __init__, which a thread calls: `bytes_in` is needed during recognition.
        super().__init__(SerialSource.__new__(SerialSource), 100_000)
        self.error: SourceError | None = None
        self.port = _CountingPort(folder / "ttyECG")
        self.device = Device(
            open_source(SOURCE, SourceOptions(fs_hz=250.0)), form, parse_faults(faults), seed=1, scale=scale
        )
        self.player = Player(self.device, self.port, line_bytes=1 << 20, clock=lambda: self.now_s)
        options = SourceOptions(**({"clock": lambda: self.now_s, "port": self.port.path} | changes))  # type: ignore[arg-type]
        self._opening = threading.Thread(target=self._open, args=(options,))
        self._opening.start()
        while self._opening.is_alive():
            self._step()
            self._opening.join(timeout=0.0005)
        if self.error is not None:
            self.port.close()
            raise self.error

    def play(self, seconds: float) -> None:
        """Advance the time of both."""
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self._step()
            self.poll()

    def close(self) -> None:
        self.source.close()
        self.port.close()

    def _open(self, options: SourceOptions) -> None:
        try:
            SerialSource.__init__(self.source, "", options, "serial")
        except SourceError as error:
            self.error = error

    def _step(self) -> None:
        self.now_s += STEP_S
        self.player.step()
        if not self.device.running:  # it waits for a command; the source's thread polls every 50 ms of wall time
            time.sleep(0.05)
        began_s = time.monotonic()
        while self.port.has_reader and self.error is None and getattr(self.source, "bytes_in", 0) < self.port.sent:
            waited_s = time.monotonic() - began_s
            if self.port.replugged and waited_s > RESYNC_S:
                self.port.sent = self.source.bytes_in
            assert waited_s < PATIENCE_S, "the bytes to be read"
            time.sleep(0.0001)
        read = getattr(self.source, "bytes_in", 0)
        if not self.port.has_reader:
            self._read_before = read
        elif read > self._read_before:
            self.port.replugged = False
