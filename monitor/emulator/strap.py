"""An emulated strap: samples in, notifications and events out. Pure: no socket, no clock."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.emulator.device import FaultReport, garbled
from monitor.emulator.faults import NO_FAULTS, Faults
from monitor.emulator.plan import Fate, Plan
from monitor.emulator.samples import Resampled, Samples
from monitor.emulator.strap_models import Moment, Sent, StrapModel
from monitor.sources import Source
from monitor.sources.ble import polar
from monitor.sources.ble.frame import MAX_BYTES

__all__ = ["Action", "InReach", "OutOfReach", "Strap"]

_NOISE: Final = (1, 60)  # bytes of a notification of noise


@dataclass(frozen=True, slots=True)
class OutOfReach:
    """The connection breaks, and the strap is not found."""


@dataclass(frozen=True, slots=True)
class InReach:
    """The strap is found again."""


Action = Sent | OutOfReach | InReach | FaultReport


class Strap:
    """Plays a source as a strap.

    The strap measures from its first start on, also while it is out of reach or not connected; what it measures then is
    lost. The output depends on source, model, faults and seed only, not on the steps in which time advances.

    Many attributes: the counts for the report at the end.

    Args:
        source: a recorded or simulated source of any rate; the caller closes it.
        model: the kind of strap.
        faults: of a strap: `late`, `twice` and `steps` too. Shares are of notifications.
        seed: seed of the random faults, 0 or more.
        log: called with each notification of samples: its number, its fate.

    Attributes:
        model: the kind of strap.
        plan: time and fate of each notification.
        index: number of the next notification of samples, from 0.
        fates: number of notifications with each fate.
        in_reach: it can be found and connected.
        ended: the source has given its last sample; the last, incomplete notification is not sent.

    Raises:
        SourceError: a live source.
    """

    def __init__(
        self,
        source: Source,
        model: StrapModel,
        faults: Faults = NO_FAULTS,
        *,
        seed: int = 0,
        log: Callable[[int, Fate], None] = lambda *_: None,
    ) -> None:
        samples = Samples(source)
        self._samples = samples if source.fs_hz == model.fs_hz else Resampled(samples, source.fs_hz, model.fs_hz)
        self.model = model
        self.plan = Plan(faults, model.fs_hz / model.n, seed)
        self.fates: Counter[Fate] = Counter()
        self.index = 0
        self.in_reach, self.ended = True, False
        self._log, self._seed = log, seed
        self._faster = 1.0 + faults.drift  # of its clock: crystal of converter and clock are one
        self._steps = list(faults.steps)
        self._spans = list(self.plan.spans)  # that have not ended
        self._begun = False  # the first of them has begun
        self._shift_s = 0.0
        self._held: list[Sent] = []  # by a hiccup
        self._late: list[Sent] = []  # until the next notification
        self._out: list[Action] = []

    def advance(self, until_s: float) -> list[Action]:
        """Advance the strap's time to `until_s`, s since its first start; return what it does, in order."""
        end = self.plan.due(until_s)
        while self.index < end and not self.ended:
            self._faults_until(self.index)
            mv = self._samples.take(self.model.n)
            self.ended = mv.size < self.model.n
            if not self.ended:
                self._notify(mv * 1e3)
                self.index += 1
        if self.ended:
            self._send([*self._held, *self._late])
            self._held, self._late = [], []
        out, self._out = self._out, []
        return out

    def tally(self) -> dict[str, int]:
        """Return all counts by name; `taken` is the sum of the counts after it up to `twice`."""
        fates = {fate.name.lower(): self.fates[fate] for fate in Fate if fate != Fate.BOOTING}
        return {"taken": self.index, **fates}

    # -- notifications -----------------------------------------------------------------------------------------

    def _notify(self, uv: NDArray[np.float64]) -> None:
        """One notification of samples, (n,) uV."""
        i, kind = self.index, self._spans[0].fault.kind if self._begun else ""
        fate = Fate(int(self.plan.fates(i, i + 1)[0]))
        if fate not in (Fate.UNPLUGGED, Fate.STALLED) and not self.model.running:
            fate = Fate.STOPPED
        self.fates[fate] += 1
        self._log(i, fate)
        if kind == "leadsoff":
            uv = np.full(uv.size, np.nan)
        stamp_s = self.plan.time_s(i + 1) * self._faster + self._shift_s
        if fate in (Fate.UNPLUGGED, Fate.STALLED, Fate.STOPPED):
            return
        packets = self.model.packets(uv, Moment(stamp_s, i))
        dice = random.Random(f"{self._seed} {i}")
        if fate == Fate.DROPPED:
            packets = [packet for packet in packets if packet[0] != self.model.data]
        elif fate == Fate.GARBLED:
            packets = [(uuid, garbled(value, dice)[:MAX_BYTES]) for uuid, value in packets]
        elif fate == Fate.NOISE:
            packets = [(self.model.data, dice.randbytes(dice.randint(*_NOISE)))]
        elif fate == Fate.TWICE:
            packets = packets * 2
        elif fate == Fate.LATE:
            self._late += packets
            return
        if kind == "hiccup":
            self._held += packets
            return
        late, self._late = self._late, []
        self._send([*packets, *late])

    def _send(self, packets: list[Sent]) -> None:
        if self.model.running and self.in_reach:
            self._out += packets

    # -- faults ------------------------------------------------------------------------------------------------

    def _faults_until(self, index: int) -> None:
        """Begin and end the faults that are due before notification `index` is measured."""
        while self._steps and self.plan.due(self._steps[0].at_s) <= index:
            step = self._steps.pop(0)
            self._report(step.at_s, str(step))
            if step.kind == "clock":
                self._shift_s += step.value
            else:
                self.model.battery = int(step.value)
                self._send([(polar.BATTERY, bytes([self.model.battery]))])
        while self._spans:
            span = self._spans[0]
            if not self._begun and span.first_sample <= index:
                self._begun = True
                self._report(span.fault.start_s, f"{span.fault} begins")
                if span.fault.kind == "unplug":
                    self.in_reach = self.model.running = False
                    self._late, self._held = [], []
                    self._out.append(OutOfReach())
            if not self._begun or span.end_sample > index:
                return
            self._begun = False
            self._spans.pop(0)
            if span.fault.kind == "hiccup":
                self._send(self._held)
                self._held = []
            if span.fault.kind == "unplug":
                self.in_reach = True
                self._out.append(InReach())
            self._report(span.fault.end_s, f"{span.fault} ends")

    def _report(self, at_s: float, text: str) -> None:
        self._out.append(FaultReport(at_s, self.index * self.model.n, text))
