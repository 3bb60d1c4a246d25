"""An emulated device: samples in, bytes and events out, on its own time; no port, no clock."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.emulator.console import ChordsConsole
from monitor.emulator.encoder import UNTOLD, Encoder, Scale, make_encoder
from monitor.emulator.faults import NO_FAULTS, Fault, Faults, Rate
from monitor.emulator.plan import Fate, Plan
from monitor.emulator.samples import Samples
from monitor.sources import Source

__all__ = ["BANNER", "Action", "Bytes", "Device", "Plug", "Told", "Unplug", "make_device"]

BANNER: Final = b"ECG sketch starts, 115200 baud\r\n"
_PIECE: Final = 4096  # samples that are held at most
_SILENT: Final = frozenset({"unplug", "stall", "banner"})
_DEAF: Final = _SILENT | {"noise"}


@dataclass(frozen=True, slots=True)
class Bytes:
    """The device sends."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Unplug:
    """The port vanishes."""


@dataclass(frozen=True, slots=True)
class Plug:
    """The port is there again."""


@dataclass(frozen=True, slots=True)
class Told:
    """A fault begins or is over, for a person: when, s, with which sample, what."""

    at_s: float
    sample: int
    text: str


Action = Bytes | Unplug | Plug | Told


class _Event(NamedTuple):
    at_s: float
    rank: int  # of two at one time, what is over comes before what begins
    what: Fault | Rate


class Device:
    """Plays a source as a device.

    What comes out depends on source, format, faults and seed alone, however the time is cut into steps. It holds one
    piece of signal, and the bytes of a hiccup.

    Args:
        source: a recorded or simulated one; the caller closes it.
        encoder: of the format.
        faults: what goes wrong.
        seed: of what is left to chance, 0 or more.
        console: commands it obeys; None = it sends by itself.
        log: told all that was taken: index of the first sample, mV (NaN = what says that a lead is off), fates.

    Attributes:
        plan: when each sample is due, what becomes of it, and the lasting faults in samples. It does not know of
            commands: while nobody has said START, samples are `stopped` here.
        fates: how many samples met which fate.
        leads_off: intact samples that said that a lead is off.
        bytes_out: bytes sent.
        ended: the source has given its last sample.

    Raises:
        SourceError: a live source.
    """

    def __init__(
        self,
        source: Source,
        encoder: Encoder,
        faults: Faults = NO_FAULTS,
        *,
        seed: int = 0,
        console: ChordsConsole | None = None,
        log: Callable[[int, NDArray[np.float64], NDArray[np.uint8]], None] = lambda *_: None,
    ) -> None:
        self._log = log
        self.plan = Plan(faults, source.fs_hz, seed)
        self.fates: Counter[Fate] = Counter()
        self.leads_off = self.bytes_out = 0
        self.ended = False
        self._samples, self._encoder, self._seed, self._console = Samples(source), encoder, seed, console
        self._at = self._counter = 0
        self._last_mv = float("nan")
        self._now: Fault | None = None  # what lasts
        self._held = bytearray()  # by a hiccup
        self._out: list[Action] = []
        self._events = sorted(
            [_Event(rate.start_s, 2, rate) for rate in faults.rates]
            + [_Event(fault.start_s, 1, fault) for fault in faults.lasting]
            + [_Event(fault.end_s, 0, fault) for fault in faults.lasting],
            key=lambda event: event[:2],
            reverse=True,
        )

    @property
    def sample(self) -> int:
        """Index of the next sample it takes, from 0."""
        return self._at

    @property
    def running(self) -> bool:
        """Whether it sends, or waits to be told so."""
        return self._console is None or self._console.running

    def advance(self, until_s: float) -> list[Action]:
        """Let its time go on.

        Args:
            until_s: s since its first sample; what happens before that moment is done.

        Returns:
            What it does, in order.
        """
        while not self.ended:
            event = self._events[-1] if self._events and self._events[-1].at_s < until_s else None
            self._take_until(self.plan.due(until_s if event is None else event.at_s))
            if self.ended or event is None:
                break
            self._events.pop()
            self._happen(event)
        if self.ended:
            self._release()
        out, self._out = self._out, []
        return out

    def hear(self, data: bytes) -> list[Action]:
        """Bytes from the monitor; what it answers. One without power, or whose baud rate is wrong, hears nothing."""
        if self._console is not None and not (self._now and self._now.kind in _DEAF):
            self._send(self._console.feed(data))
        out, self._out = self._out, []
        return out

    def tally(self) -> dict[str, int]:
        """All counts by name; `taken` is the sum of what follows it up to `stopped`."""
        fates = {fate.name.lower(): self.fates[fate] for fate in Fate}
        return {"taken": self._at, **fates, "leads_off": self.leads_off, "bytes_out": self.bytes_out}

    # -- samples ------------------------------------------------------------------------------------------

    def _take_until(self, end: int) -> None:
        while self._at < end and not self.ended:
            n = min(_PIECE, end - self._at)
            mv = self._samples.take(n)
            self.ended = mv.size < n
            if mv.size:
                self._take(mv)

    def _take(self, mv: NDArray[np.float64]) -> None:
        """Samples between two events: one lasting fault at most, and that for all of them."""
        first, kind = self._at, self._now.kind if self._now else ""
        self._at += mv.size
        fates = self.plan.fates(first, self._at)
        if not self.running and kind not in _SILENT:
            fates[:] = Fate.STOPPED
        for fate, n in enumerate(np.bincount(fates).tolist()):
            if n:
                self.fates[Fate(fate)] += n
        if kind == "leadsoff":
            mv = np.full(mv.size, np.nan)
        self._log(first, mv, fates)
        if kind in _SILENT or not self.running:
            return
        self.leads_off += int(np.isnan(mv[fates == Fate.INTACT]).sum())
        packets = self._encoder.encode(mv, self._counter)
        self._counter = (self._counter + mv.size) % 256
        self._last_mv = float(mv[-1])
        for i in np.flatnonzero(fates != Fate.INTACT).tolist():
            dice = random.Random(f"{self._seed} {first + i}")
            if fates[i] == Fate.DROPPED:
                packets[i] = b""
            elif fates[i] == Fate.GARBLED:
                packets[i] = _garbled(packets[i], dice)
            else:
                packets[i] = dice.randbytes(len(packets[i]))
        self._send(b"".join(packets))

    def _send(self, data: bytes) -> None:
        if self._now is not None and self._now.kind == "hiccup":
            self._held += data
            return
        self.bytes_out += len(data)
        last = self._out[-1] if self._out else None
        if isinstance(last, Bytes):
            self._out[-1] = Bytes(last.data + data)
        elif data:
            self._out.append(Bytes(data))

    def _release(self) -> None:
        """Give what a hiccup held back."""
        self._now = None if self._now and self._now.kind == "hiccup" else self._now
        held, self._held = bytes(self._held), bytearray()
        self._send(held)

    # -- faults -------------------------------------------------------------------------------------------

    def _happen(self, event: _Event) -> None:
        at_s, rank, what = event
        if isinstance(what, Rate):
            self._tell(at_s, f"rate x{what.factor:g}")
        elif rank == 1:
            self._begin(what)
        else:
            self._end(what)

    def _begin(self, fault: Fault) -> None:
        if fault.kind in ("unplug", "banner"):
            self._send(self._half_a_packet())
            self._counter = 0
            if self._console is not None:
                self._console.restart()
        self._now = fault
        self._tell(fault.start_s, f"{fault} begins")
        if fault.kind == "unplug":
            self._out.append(Unplug())

    def _end(self, fault: Fault) -> None:
        if fault.kind == "hiccup":
            self._release()
        self._now = None
        if fault.kind == "banner":
            self._send(BANNER)
        if fault.kind == "unplug":
            self._out.append(Plug())
        self._tell(fault.end_s, f"{fault} is over")

    def _half_a_packet(self) -> bytes:
        """What was on its way when the power went; nothing where that would put all that follows out of step."""
        if self._at == 0 or not self.running:
            return b""
        packet = self._encoder.encode(np.array([self._last_mv]), self._counter)[0]
        return packet[: len(packet) // 2] if len(packet) > 2 else b""

    def _tell(self, at_s: float, text: str) -> None:
        self._out.append(Told(at_s, self._at, text))


def make_device(
    source: Source, form: str, faults: Faults = NO_FAULTS, *, seed: int = 0, scale: Scale = UNTOLD
) -> Device:
    """Device of a format, with the commands that it has.

    Raises:
        ConfigError: unknown format, or a scale that is none of its.
        SourceError: a live source.
    """
    encoder = make_encoder(form, scale)
    return Device(source, encoder, faults, seed=seed, console=ChordsConsole() if form == "chords" else None)


def _garbled(packet: bytes, dice: random.Random) -> bytes:
    """`packet` with one to three bytes changed, put in or taken out; never the same, perhaps empty."""
    damaged = bytearray(packet)
    while bytes(damaged) == packet:
        damaged = bytearray(packet)
        for _ in range(dice.randint(1, 3)):
            at = dice.randrange(len(damaged) + 1)
            cut = dice.randrange(2)
            damaged[at : at + cut] = dice.randbytes(dice.randrange(2))
    return bytes(damaged)
