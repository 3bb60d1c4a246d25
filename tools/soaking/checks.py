"""What must hold after a soak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitor.emulator.device import BANNER
from monitor.emulator.plan import Fate, Span
from monitor.engine.bed import Bed
from monitor.sources.serial.formats import FORMATS
from soaking.listener import Listener
from soaking.world import World

AFTER_S = 15.0  # an alarm so long after a fault is still of it
SHIFT_S = 0.3  # what a clock may be wrong by after a device was away: only time tells then
GROWTH = 1.05, 4e6  # of memory: times, plus bytes


@dataclass
class Onset:
    """An alarm: which, of what kind and priority, and when, s of the device."""

    kind: str
    category: str
    priority: str
    at_s: float


@dataclass
class Check:
    """What must hold, the figure it is about, and whether it does."""

    what: str
    figure: str
    good: bool


def alarms_of(span: Span, spans: Sequence[Span], kind: str, onsets: list[Onset]) -> int:
    """How many alarms of a kind came with a fault."""
    start_s, end_s = span.fault.start_s, span.fault.end_s + AFTER_S
    later_s = min((other.fault.start_s for other in spans if other.fault.start_s > start_s), default=end_s)
    return sum(onset.kind == kind and start_s <= onset.at_s <= min(end_s, later_s) for onset in onsets)


def judge(world: World, bed: Bed, listener: Listener, onsets: list[Onset], form: str) -> list[Check]:
    """What must hold."""
    device, ledger, tap = world.device, world.ledger, world.tap
    status = bed.status()
    fates, spans = device.fates, device.plan.spans
    if tap is None or tap.end is None:
        return [Check("samples taken", "0", False)]
    early, late = world.rss[len(world.rss) // 10][1], world.rss[-1][1]
    exact = FORMATS[form].counted
    strange = fates[Fate.GARBLED] + fates[Fate.NOISE]
    if form == "raw16":  # to it, text is numbers
        strange += len(BANNER) // 2 * sum(s.fault.kind == "banner" for s in spans)
    away = [s for s in spans if s.fault.kind in ("unplug", "banner", "stall", "noise")]
    stray = [
        at
        for at, _ in ledger.shifts
        if not any(s.first_sample - 1 <= at <= s.end_sample + 2 * device.plan.fastest_hz for s in away)
    ]
    worst = max((abs(shift) for _, shift in ledger.shifts), default=0)
    fs_hz = status.fs_hz
    checks = [
        Check("device: every sample has one fate", f"{device.sample}", device.sample == sum(fates.values())),
        Check("sent intact, and never taken", f"{ledger.missed} of {ledger.intact}", ledger.missed == 0),
        Check(
            "never taken, just after garbage",
            f"{ledger.excused}",
            ledger.excused <= 2 * (fates[Fate.GARBLED] + len(away)),
        ),
        Check("taken twice", f"{ledger.twice}", ledger.twice == 0),
        Check(
            "taken, never sent so (garbled, noise)",
            f"{ledger.wrong}; {strange} were sent",
            # Three line ends put into a line make four of it.
            ledger.wrong <= strange * (4 if form == "lines" else 1) + len(away),
        ),
        Check(
            "samples_in + samples_lost = clock",
            f"{status.samples_in} + {status.samples_lost} = {tap.end}",
            status.samples_in == tap.given and tap.given + status.samples_lost == tap.end,
        ),
        Check(
            "gaps published = samples lost",
            f"{listener.gap_samples}",
            listener.gap_samples == status.samples_lost == tap.lost,
        ),
        Check("gap lengths wrong outside of faults", f"{len(stray)}", not stray or not exact),
        Check("clock wrong after a fault, at most", f"{worst / fs_hz * 1e3:.0f} ms", worst <= SHIFT_S * fs_hz),
    ]
    for fault, alarm in (("unplug", "source_lost"), ("leadsoff", "leads_off")):
        its = [s for s in spans if s.fault.kind == fault]
        once = sum(alarms_of(span, spans, alarm, onsets) == 1 for span in its)
        said = sum(o.kind == alarm for o in onsets)
        checks.append(Check(f"{fault}: one {alarm} each", f"{once} of {len(its)}", once == len(its) == said))
    high = [o for o in onsets if o.category == "physiological" and o.priority == "high"]
    near = [o for o in high if any(s.fault.start_s <= o.at_s <= s.fault.end_s + AFTER_S for s in spans)]
    checks.append(Check("high-priority alarms out of a fault", f"{len(near)}", not near))
    checks.append(
        Check(
            "memory, at 10 % and at the end",
            f"{early / 1e6:.1f}, {late / 1e6:.1f} MB",
            late <= early * GROWTH[0] + GROWTH[1],
        )
    )
    return checks
