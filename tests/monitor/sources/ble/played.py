"""An emulated strap that a test plays in lock-step with a source: real TCP; each notification moves the clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from bleak.backends.scanner import AdvertisementData
from numpy.typing import NDArray

from monitor.emulator.air import Air
from monitor.emulator.faults import parse_faults
from monitor.emulator.plan import Fate
from monitor.emulator.strap import Strap
from monitor.emulator.strap_models import PolarStrap, StrapModel
from monitor.sources import Chunk, EndOfStream, Notice, Source
from monitor.sources.ble.emulated import Client, Scanner, emulated_backend
from monitor.sources.ble.radio import Backend
from tests.monitor.sources.helpers import Clock, gather

__all__ = ["ArraySource", "Played", "raising", "received", "with_client", "with_others", "with_scanner"]

SENT = (Fate.INTACT, Fate.LATE, Fate.TWICE)


class ArraySource(Source):
    """Samples from an array, (n,) mV."""

    name, lead, live = "array", "ECG", False

    def __init__(self, mv: NDArray[np.float64], fs_hz: float) -> None:
        self.fs_hz = fs_hz
        self._mv, self._at = mv, 0

    def read(self, max_samples: int) -> Chunk | None:
        piece = self._mv[self._at : self._at + max_samples]
        if not piece.size:
            raise EndOfStream
        self._at += piece.size
        return Chunk(self._at - piece.size, piece)

    def close(self) -> None: ...


class Played:
    """Plays `uv`, (n,) uV, until closed. The clock stands still while the strap is in reach and sends no samples.

    Attributes:
        clock: of strap and source.
        fates: of the notifications so far.
        at: `HOST:PORT`.
    """

    def __init__(
        self, uv: NDArray[np.float64], model: StrapModel | None = None, faults: str = "", *, away: bool = False
    ) -> None:
        self.model = model or PolarStrap()
        self.clock = Clock()
        self.fates: list[Fate] = []
        self.strap = Strap(
            ArraySource(uv / 1e3, self.model.fs_hz),
            self.model,
            parse_faults(faults),
            seed=5,
            log=lambda _, fate: self.fates.append(fate),
        )
        self.strap.in_reach = not away
        self.air = Air(self.strap, ("127.0.0.1", 0), clock=self.clock)
        self.at = f"127.0.0.1:{self.air.at[1]}"
        self.backend = emulated_backend(*self.air.at)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def samples(self) -> list[int]:
        """Indices of the samples that the strap has sent."""
        n = self.model.n
        return [i for k, fate in enumerate(self.fates) if fate in SENT for i in range(k * n, (k + 1) * n)]

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.air.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.air.step()
            moves = self.air.streaming or not self.strap.in_reach
            if moves and not self.air.unconfirmed and not self.strap.ended:
                self.clock.now_s += self.model.n / self.model.fs_hz
                time.sleep(0)  # for the source's thread
            else:
                self.air.wait(0.001)


def with_scanner(played: Played, **methods: Any) -> Backend:
    """The backend of `played` with other methods of the scanner, e.g. one whose start raises."""
    assert played.backend.scanner is not None
    return played.backend._replace(scanner=type("Other", (played.backend.scanner,), methods))


def with_client(played: Played, **methods: Any) -> Backend:
    """The backend of `played` with other methods of the client."""
    assert played.backend.client is not None
    return played.backend._replace(client=type("Other", (played.backend.client,), methods))


def with_others(played: Played, names: list[str]) -> Backend:
    """The backend of `played` whose scanner also finds devices with these names; the list may change."""

    def call(self: Scanner, *found: Any) -> None:
        for i, name in enumerate(names):
            advertised = AdvertisementData(name, {}, {}, [], None, -60 - i, ())
            address = f"00:00:00:00:00:{i:02X}"
            device = self.create_or_update_device(address, address, name, None, advertised)
            Scanner.call_detection_callbacks(self, device, advertised)
        Scanner.call_detection_callbacks(self, *found)

    return with_scanner(played, call_detection_callbacks=call)._replace(alone=False)


def raising(error: Exception) -> Any:
    """A method that raises."""

    async def method(self: Scanner | Client, *_: Any, **__: Any) -> None:
        raise error

    return method


def received(
    played: Played, source: Source, enough: Callable[[dict[int, float]], bool] | None = None
) -> tuple[dict[int, float], list[Notice]]:
    """Samples by index, mV, and notices, until the strap has sent all."""

    def done(samples: dict[int, float], _: list[Notice]) -> bool:
        if enough is not None:
            return enough(samples)
        sent = played.samples() if played.strap.ended else []
        return bool(sent) and max(samples, default=-1) >= sent[-1]

    try:
        return gather(source, done)
    finally:
        source.close()
