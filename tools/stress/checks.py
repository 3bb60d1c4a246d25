"""The checks after a soak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitor.emulator.device import BANNER
from monitor.emulator.plan import Fate, Span
from monitor.engine.bed import Bed
from monitor.messages import Alarm
from monitor.sources.serial.formats import FORMATS
from stress.world import World

AFTER_S = 15.0  # an alarm up to this time after a fault belongs to it
SHIFT_S = 0.3  # the largest error of the sample clock after a device was away: only time gives its place then
GROWTH = 1.05, 4e6  # limit of the memory at the end: factor, plus bytes

Onset = tuple[Alarm, float]
"""Onset of an alarm, and the time of the device, s."""


@dataclass
class Check:
    """One check: text, figure, result."""

    what: str
    figure: str
    good: bool


def judge(world: World, bed: Bed, gap_samples: int, onsets: list[Onset], form: str) -> list[Check]:
    """Check samples, clock, published gaps, alarms and memory."""
    if world.tap is None or world.tap.end is None:
        return [Check("samples taken", "0", False)]
    early, late = world.rss[len(world.rss) // 10][1], world.rss[-1][1]
    growth = f"{early / 1e6:.1f}, {late / 1e6:.1f} MB"
    return [
        *_samples(world, form),
        *_clock(world, bed, gap_samples, form),
        *_alarms(world.device.plan.spans, onsets),
        Check("memory, at 10 % and at the end", growth, late <= early * GROWTH[0] + GROWTH[1]),
    ]


def _samples(world: World, form: str) -> list[Check]:
    device, ledger = world.device, world.ledger
    fates, spans = device.fates, device.plan.spans
    false = fates[Fate.GARBLED] + fates[Fate.NOISE]
    if form == "raw16":  # text is numbers in this format
        false += len(BANNER) // 2 * sum(s.fault.kind == "banner" for s in spans)
    away = len(_away(spans))
    excused = ledger.excused <= 2 * (fates[Fate.GARBLED] + away)
    # Three line ends put into a line make four of it.
    wrong = ledger.wrong <= false * (4 if form == "lines" else 1) + away
    return [
        Check("device: every sample has one fate", f"{device.sample}", device.sample == sum(fates.values())),
        Check("sent intact, and never taken", f"{ledger.missed} of {ledger.intact}", ledger.missed == 0),
        Check("never taken, just after garbage", f"{ledger.excused}", excused),
        Check("taken twice", f"{ledger.twice}", ledger.twice == 0),
        Check("taken, never sent so (garbled, noise)", f"{ledger.wrong}; {false} were sent", wrong),
    ]


def _clock(world: World, bed: Bed, gap_samples: int, form: str) -> list[Check]:
    ledger, tap, plan, status = world.ledger, world.tap, world.device.plan, bed.status()
    assert tap is not None
    assert tap.end is not None
    counts = status.samples_in == tap.given and tap.given + status.samples_lost == tap.end
    stray = [
        at
        for at, _ in ledger.shifts
        if not any(s.first_sample - 1 <= at <= s.end_sample + 2 * plan.fastest_hz for s in _away(plan.spans))
    ]
    worst_s = max((abs(shift) for _, shift in ledger.shifts), default=0) / status.fs_hz
    return [
        Check("samples_in + samples_lost = clock", f"{status.samples_in} + {status.samples_lost} = {tap.end}", counts),
        Check("gaps published = samples lost", f"{gap_samples}", gap_samples == status.samples_lost == tap.lost),
        Check("gap lengths wrong outside of faults", f"{len(stray)}", not stray or not FORMATS[form].counted),
        Check("clock wrong after a fault, at most", f"{worst_s * 1e3:.0f} ms", worst_s <= SHIFT_S),
    ]


def _alarms(spans: Sequence[Span], onsets: list[Onset]) -> list[Check]:
    checks = []
    for fault, kind in (("unplug", "source_lost"), ("leadsoff", "leads_off")):
        of_kind = [s for s in spans if s.fault.kind == fault]
        at_s = [at for alarm, at in onsets if alarm.kind == kind]
        once = sum(_within(span, spans, at_s) == 1 for span in of_kind)
        good = once == len(of_kind) == len(at_s)
        checks.append(Check(f"{fault}: one {kind} each", f"{once} of {len(of_kind)}", good))
    high = [at for alarm, at in onsets if alarm.category == "physiological" and alarm.priority == "high"]
    near = [at for at in high if any(s.fault.start_s <= at <= s.fault.end_s + AFTER_S for s in spans)]
    return [*checks, Check("high-priority alarms out of a fault", f"{len(near)}", not near)]


def _within(span: Span, spans: Sequence[Span], at_s: list[float]) -> int:
    """Number of onsets within a fault, up to the next one."""
    start_s, end_s = span.fault.start_s, span.fault.end_s + AFTER_S
    later_s = min((other.fault.start_s for other in spans if other.fault.start_s > start_s), default=end_s)
    return sum(start_s <= at <= min(end_s, later_s) for at in at_s)


def _away(spans: Sequence[Span]) -> list[Span]:
    """Faults in which the device sends no samples."""
    return [s for s in spans if s.fault.kind in ("unplug", "banner", "stall", "noise")]
