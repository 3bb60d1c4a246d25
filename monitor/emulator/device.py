"""An emulated device: samples in, bytes and events out. Pure: no port, no clock."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.emulator.console import ChordsConsole
from monitor.emulator.encoder import NO_SCALE, Scale, make_encoder
from monitor.emulator.faults import NO_FAULTS, Fault, Faults, Rate
from monitor.emulator.plan import Fate, Plan
from monitor.emulator.samples import Samples
from monitor.sources import Source

__all__ = ["BANNER", "Action", "Device", "FaultReport", "Plug", "Unplug", "garbled"]

BANNER: Final = b"ECG sketch starts, 115200 baud\r\n"
_PIECE: Final = 4096  # largest number of samples held
_SILENT: Final = frozenset({"unplug", "stall", "banner"})
_DEAF: Final = _SILENT | {"noise"}


@dataclass(frozen=True, slots=True)
class Unplug:
    """The port vanishes."""


@dataclass(frozen=True, slots=True)
class Plug:
    """The port is back."""


@dataclass(frozen=True, slots=True)
class FaultReport:
    """Begin or end of a fault, for the user: time in s, sample, text."""

    at_s: float
    sample: int
    text: str


Action = bytes | Unplug | Plug | FaultReport  # bytes that the device sends, or an event


class _Event(NamedTuple):
    at_s: float
    rank: int  # at one time, ends come before begins
    cause: Fault | Rate


class Device:
    """Plays a source as a device.

    The output depends on source, format, faults and seed only, not on the steps in which time advances. The device
    holds one piece of signal, and the bytes of a hiccup.

    Many attributes: six are counts for the report at the end.

    Args:
        source: a recorded or simulated source; the caller closes it.
        form: format of the device, one of FORMS.
        seed: seed of the random faults, 0 or more.
        log: called with all samples taken: index of the first, mV (NaN = leads off), fates.

    Attributes:
        encoder: encoder of the format.
        plan: time and fate of each sample, and the lasting faults in samples. The plan ignores commands: until START
            the fate of a sample is STOPPED.
        fates: number of samples with each fate.
        leads_off: intact samples that were sent as leads off.
        sample: index of the next sample, from 0.
        bytes_out: bytes sent.
        ended: the source has given its last sample.

    Raises:
        ConfigError: unknown format, or a scale that the format does not have.
        SourceError: a live source.
    """

    def __init__(
        self,
        source: Source,
        form: str,
        faults: Faults = NO_FAULTS,
        *,
        seed: int = 0,
        scale: Scale = NO_SCALE,
        log: Callable[[int, NDArray[np.float64], NDArray[np.uint8]], None] = lambda *_: None,
    ) -> None:
        self._log = log
        self.plan = Plan(faults, source.fs_hz, seed)
        self.fates: Counter[Fate] = Counter()
        self.leads_off = self.bytes_out = 0
        self.ended = False
        self.encoder = make_encoder(form, scale)
        self._samples, self._seed = Samples(source), seed
        self._console = ChordsConsole() if form == "chords" else None  # None = it sends by itself
        self.sample = self._counter = 0
        self._last_mv = float("nan")
        self._fault: Fault | None = None  # the present lasting fault
        self._held = bytearray()  # bytes held back by a hiccup
        self._out: list[Action] = []
        self._events = sorted(
            [_Event(rate.start_s, 2, rate) for rate in faults.rates]
            + [_Event(fault.start_s, 1, fault) for fault in faults.lasting]
            + [_Event(fault.end_s, 0, fault) for fault in faults.lasting],
            key=lambda event: event[:2],
            reverse=True,
        )

    @property
    def running(self) -> bool:
        """Whether it sends; False while it waits for START."""
        return self._console is None or self._console.running

    def advance(self, until_s: float) -> list[Action]:
        """Advance the device's time.

        Args:
            until_s: time since its first sample, s; everything before it is done.

        Returns:
            The actions of the device, in order.
        """
        while not self.ended:
            event = self._events[-1] if self._events and self._events[-1].at_s < until_s else None
            self._take_until(self.plan.due(until_s if event is None else event.at_s))
            if self.ended or event is None:
                break
            self._events.pop()
            self._apply(event)
        if self.ended:
            self._release()
        out, self._out = self._out, []
        return out

    def receive(self, data: bytes) -> list[Action]:
        """Process bytes from the monitor; return the answers. Ignored without power and at a wrong baud rate."""
        if self._console is not None and not (self._fault and self._fault.kind in _DEAF):
            self._send(self._console.feed(data))
        out, self._out = self._out, []
        return out

    def tally(self) -> dict[str, int]:
        """Return all counts by name; `taken` is the sum of the counts after it up to `stopped`."""
        fates = {fate.name.lower(): self.fates[fate] for fate in Fate if fate <= Fate.STOPPED}
        return {"taken": self.sample, **fates, "leads_off": self.leads_off, "bytes_out": self.bytes_out}

    # -- samples ------------------------------------------------------------------------------------------

    def _take_until(self, end: int) -> None:
        while self.sample < end and not self.ended:
            n = min(_PIECE, end - self.sample)
            mv = self._samples.take(n)
            self.ended = mv.size < n
            if mv.size:
                self._take(mv)

    def _take(self, mv: NDArray[np.float64]) -> None:
        """Process samples between two events: the same lasting fault, if any, holds for all of them."""
        first, kind = self.sample, self._fault.kind if self._fault else ""
        self.sample += mv.size
        fates = self.plan.fates(first, self.sample)
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
        packets = self.encoder.encode(mv, self._counter)
        self._counter = (self._counter + mv.size) % 256
        self._last_mv = float(mv[-1])
        for i in np.flatnonzero(fates != Fate.INTACT).tolist():
            dice = random.Random(f"{self._seed} {first + i}")
            if fates[i] == Fate.DROPPED:
                packets[i] = b""
            elif fates[i] == Fate.GARBLED:
                packets[i] = garbled(packets[i], dice)
            else:
                packets[i] = dice.randbytes(len(packets[i]))
        self._send(b"".join(packets))

    def _send(self, data: bytes) -> None:
        if self._fault is not None and self._fault.kind == "hiccup":
            self._held += data
            return
        self.bytes_out += len(data)
        last = self._out[-1] if self._out else None
        if isinstance(last, bytes):
            self._out[-1] = last + data
        elif data:
            self._out.append(data)

    def _release(self) -> None:
        """Send the bytes that a hiccup held back."""
        self._fault = None if self._fault and self._fault.kind == "hiccup" else self._fault
        held, self._held = bytes(self._held), bytearray()
        self._send(held)

    # -- faults -------------------------------------------------------------------------------------------

    def _apply(self, event: _Event) -> None:
        at_s, rank, cause = event
        if isinstance(cause, Rate):
            self._report(at_s, f"rate x{cause.factor:g}")
        elif rank == 1:
            self._begin(cause)
        else:
            self._end(cause)

    def _begin(self, fault: Fault) -> None:
        if fault.kind in ("unplug", "banner"):
            self._send(self._half_a_packet())
            self._counter = 0
            if self._console is not None:
                self._console.restart()
        self._fault = fault
        self._report(fault.start_s, f"{fault} begins")
        if fault.kind == "unplug":
            self._out.append(Unplug())

    def _end(self, fault: Fault) -> None:
        if fault.kind == "hiccup":
            self._release()
        self._fault = None
        if fault.kind == "banner":
            self._send(BANNER)
        if fault.kind == "unplug":
            self._out.append(Plug())
        self._report(fault.end_s, f"{fault} ends")

    def _half_a_packet(self) -> bytes:
        """The packet that a loss of power interrupts; empty if it would put all later packets out of step."""
        if self.sample == 0 or not self.running:
            return b""
        packet = self.encoder.encode(np.array([self._last_mv]), self._counter)[0]
        return packet[: len(packet) // 2] if len(packet) > 2 else b""

    def _report(self, at_s: float, text: str) -> None:
        self._out.append(FaultReport(at_s, self.sample, text))


def garbled(packet: bytes, dice: random.Random) -> bytes:
    """Return `packet` with one to three bytes changed, inserted or removed; never equal to it, possibly empty."""
    damaged = bytearray(packet)
    while bytes(damaged) == packet:
        damaged = bytearray(packet)
        for _ in range(dice.randint(1, 3)):
            at = dice.randrange(len(damaged) + 1)
            cut = dice.randrange(2)
            damaged[at : at + cut] = dice.randbytes(dice.randrange(2))
    return bytes(damaged)
