"""The surroundings of the pipeline in a soak: a device, its port, and a clock that the soak sets."""

from __future__ import annotations

import concurrent.futures
import time
from collections import deque
from collections.abc import Callable

import numpy as np
import psutil

from monitor.emulator.device import Action, Device, Plug, Unplug
from monitor.emulator.encoder import Encoder, make_encoder
from monitor.emulator.faults import Faults
from monitor.emulator.pty_port import PtyPort
from monitor.engine.pacing import LOOP_S
from monitor.sources import Chunk, Source, SourceOptions
from monitor.sources.serial.formats import make_decoder
from monitor.sources.serial.source import SerialSource
from monitor.sources.wrappers import SourceWrapper
from stress.ledger import Ledger

PIECE_BYTES = 1024
STEP_S, SILENT_STEP_S = 0.1, 0.2
PATIENCE_S = 60.0  # real time that another thread may take
SETTLE_S = 3.0  # at the end, until samples that were held back have their place
MEMORY_SAMPLES = 100


class Tap(SourceWrapper):
    """The source that the pipeline reads; it counts the samples, and gives them to the ledger.

    Attributes:
        idle: every chunk was read; the next piece may be written.
        given, lost: samples given, and samples missing between them.
        end: sample after the last one.
    """

    def __init__(self, source: SerialSource, ledger: Ledger) -> None:
        super().__init__(source)
        self.idle = False
        self.given = self.lost = 0
        self.end: int | None = None
        self._ledger = ledger
        self._ahead: Chunk | None = None

    def read(self, max_samples: int) -> Chunk | None:
        chunk = self._source.read(max_samples) if self._ahead is None else self._ahead
        self._ahead = None if chunk is None else self._source.read(max_samples)
        self.idle = self._ahead is None
        if chunk is not None and chunk.samples.size:
            self.lost += 0 if self.end is None else chunk.first_sample - self.end
            self.given += chunk.samples.size
            self.end = chunk.first_sample + chunk.samples.size
            self._ledger.taken(chunk.first_sample, chunk.samples)
        return chunk


class World:
    """Device, port and clock.

    Many attributes: it joins the device, its port, the clock, the ledger and the records of the run.
    """

    def __init__(self, source: Source, form: str, faults: Faults, seed: int, hours: float) -> None:
        self.encoder: Encoder = make_encoder(form)
        off = make_decoder(form, reading(self.encoder), form).feed(b"".join(self.encoder.encode(np.full(2, np.nan), 0)))
        self.ledger = Ledger(self.encoder, source.fs_hz, float(off.mv[-1]) if off.mv.size else np.nan)
        self.device = Device(source, form, faults, seed=seed, log=self.ledger.sent)
        self.port = PtyPort()
        self.now_s = self.began_s = 1000.0
        self.written = 0
        self._before = -1  # `written` one step ago
        self.bytes_in: Callable[[], int] = lambda: self.written
        self.state: Callable[[], str] = lambda: ""
        self.tap: Tap | None = None
        self.rss: list[tuple[float, int]] = []
        self._end_s = hours * 3600.0
        self._slow = form == "chords"  # the source asks it questions, in real time
        self._todo: deque[Action] = deque()
        self._awaited: tuple[str, float] | None = None
        packet = max(len(packet) for packet in self.encoder.encode(np.array([-1.0]), 0))
        self._step_s = min(STEP_S, 0.95 * PIECE_BYTES / (packet * source.fs_hz))

    def clock(self) -> float:
        return self.now_s

    @property
    def device_s(self) -> float:
        """Time of the device, s."""
        return self.now_s - self.began_s

    def turn(self) -> bool:
        """Advance the world by one step. The pipeline calls it once a round as its `stop`; True = end."""
        if self.tap is not None and not self.tap.idle:
            self.now_s += LOOP_S  # first the pipeline reads every chunk, for which the clock must advance
            return False
        if self._awaited is not None:
            wanted, until_s = self._awaited
            if (self.state() == "source_lost") != (wanted == "lost"):
                if time.monotonic() > until_s:
                    raise TimeoutError(f"waited {PATIENCE_S:g} s for the source to see its port {wanted}")
                self.now_s += LOOP_S
                return False
            self._awaited = None
        if not self._todo:
            if self.device_s >= self._end_s + SETTLE_S:
                return True
            self._advance()
        if self._todo:
            self._do(self._todo.popleft())
        if self.tap is not None:
            self.tap.idle = False
        return False

    def _advance(self) -> None:
        silent = not self._todo and self.written == self._before
        self._before = self.written
        self.now_s += SILENT_STEP_S if silent else self._step_s
        if silent and self._slow:
            time.sleep(0.06)
        until_s = min(self.device_s, self._end_s)
        if self.device.running or self.device.sample:
            self._todo.extend(self.device.advance(until_s))
        self._todo.extend(self.device.receive(self.port.read()))
        if not self.rss or self.device_s - self.rss[-1][0] >= self._end_s / MEMORY_SAMPLES:
            self.rss.append((self.device_s, psutil.Process().memory_info().rss))

    def _do(self, action: Action) -> None:
        match action:
            case bytes():
                if len(action) > PIECE_BYTES:
                    self._todo.appendleft(action[PIECE_BYTES:])
                self._write(action[:PIECE_BYTES])
            case Unplug():
                self.port.unplug()
                self._awaited = "lost", time.monotonic() + PATIENCE_S
            case Plug():
                self.port.plug()
                self._awaited = "back", time.monotonic() + PATIENCE_S
            case _:
                pass

    def _write(self, data: bytes) -> None:
        until_s = time.monotonic() + PATIENCE_S
        at = 0
        self.written += len(data)
        while at < len(data) or self.bytes_in() < self.written:
            at += self.port.write(data[at:]) if at < len(data) else 0
            if time.monotonic() > until_s:
                raise TimeoutError(f"{self.bytes_in()} of {self.written} bytes arrived within {PATIENCE_S:g} s")
            time.sleep(5e-5)


def reading(encoder: Encoder, **more: object) -> SourceOptions:
    """Options of a source that reads this encoder."""
    options = dict(zip(encoder.reading[::2], encoder.reading[1::2], strict=True))
    bits, vref, gain = (options.get(name) for name in ("--adc-bits", "--vref", "--gain"))
    return SourceOptions(
        adc_bits=int(bits) if bits else None,
        vref=float(vref) if vref else None,
        gain=float(gain) if gain else None,
        **more,  # type: ignore[arg-type]
    )


def open_serial(world: World, form: str, fs_hz: float) -> SerialSource:
    """Open the source on the port of the device, which answers the questions of some formats meanwhile."""
    options = reading(
        world.encoder, port=world.port.path, format=form, fs_hz=fs_hz, clock=world.clock, rate_tolerance=0.02
    )
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        opening = pool.submit(SerialSource, "", options, "serial")
        while not opening.done():
            if world.port.has_reader and form == "chords":
                was_running = world.device.running
                world.turn()
                if world.device.running and not was_running:
                    world.began_s = world.now_s
            time.sleep(0.005)
        return opening.result()
