"""A device on a real pseudo-terminal and a reader of its source, for the tests of the serial source."""

from __future__ import annotations

import os
import tty
from pathlib import Path

import numpy as np

from monitor.sources import Chunk, Notice, SourceOptions, open_source
from monitor.sources.serial.source import SerialSource
from tests.monitor.sources.helpers import Clock, wait_for

FS_HZ = 100.0


class Device:
    """The far end of a cable with its near end at `path`; can be pulled out and plugged in again.

    `send` advances the clock as a device of FS_HZ lines a second.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self.clock = clock
        self.sent = 0
        self._fds: tuple[int, ...] = ()
        self.plug_in()

    def plug_in(self) -> None:
        far, near = os.openpty()
        tty.setraw(near)
        self._fds = (far, near)
        self.path.symlink_to(os.ttyname(near))

    def write(self, text: str | bytes) -> None:
        """Write bytes; the clock does not move."""
        data = text.encode() if isinstance(text, str) else text
        self.sent += len(data)
        while data:  # the source's thread empties the 4-KiB buffer meanwhile
            data = data[os.write(self._fds[0], data) :]

    def send(self, source: SerialSource, *lines: str) -> None:
        """Send lines at FS_HZ; the source reads each piece before the next."""
        for first in range(0, len(lines), 10):
            piece = lines[first : first + 10]
            self.clock.now_s += len(piece) / FS_HZ
            self.write("".join(f"{line}\n" for line in piece))
            wait_for(lambda: source.bytes_in >= self.sent, "the bytes to be read")

    def rest(self, seconds: float) -> None:
        self.clock.now_s += seconds

    def pull_out(self) -> None:
        self.path.unlink(missing_ok=True)
        for fd in self._fds:
            os.close(fd)
        self._fds = ()


def open_device(device: Device, **options: object) -> SerialSource:
    """The source of a device that writes lines at FS_HZ, or what `options` say."""
    defaults: dict[str, object] = {"port": str(device.path), "format": "lines", "fs_hz": FS_HZ, "clock": device.clock}
    source = open_source("serial", SourceOptions(**(defaults | options)))  # type: ignore[arg-type]
    assert isinstance(source, SerialSource)
    device.sent = 0
    return source


class Reader:
    """Collects the chunks of a source."""

    def __init__(self, source: SerialSource, max_samples: int = 1000) -> None:
        self.source = source
        self.max_samples = max_samples
        self.chunks: list[Chunk] = []

    def poll(self) -> None:
        while (chunk := self.source.read(self.max_samples)) is not None:
            assert chunk.samples.size <= self.max_samples
            self.chunks.append(chunk)

    def until(self, n: int) -> np.ndarray:
        """Wait for `n` samples; return all."""

        def enough() -> bool:
            self.poll()
            return self.samples.size >= n

        wait_for(enough, f"{n} samples")
        return self.samples

    @property
    def samples(self) -> np.ndarray:
        return np.concatenate([np.empty(0), *(chunk.samples for chunk in self.chunks)])

    @property
    def rows(self) -> np.ndarray:
        """(n, 2), of two leads."""
        filled = [chunk for chunk in self.chunks if chunk.samples.size]
        assert all(chunk.second is not None for chunk in filled)
        parts = [np.stack((chunk.samples, chunk.second), axis=1) for chunk in filled if chunk.second is not None]
        return np.concatenate([np.empty((0, 2)), *parts])

    @property
    def places(self) -> np.ndarray:
        parts = [chunk.first_sample + np.arange(chunk.samples.size) for chunk in self.chunks]
        return np.concatenate([np.empty(0, dtype=np.int64), *parts])

    def notices(self, kind: str) -> list[Notice]:
        return [notice for chunk in self.chunks for notice in chunk.notices if notice.kind == kind]

    def until_notices(self, kind: str, n: int = 1) -> Notice:
        def given() -> bool:
            self.poll()
            return len(self.notices(kind)) >= n

        wait_for(given, f"{n} of {kind}")
        return self.notices(kind)[-1]
