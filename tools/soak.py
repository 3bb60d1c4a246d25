"""Hours of ECG through pseudo-terminal, serial source and pipeline, with faults: python tools/soak.py [--hours 8]

One process with a clock that it sets: each piece of at most 1 KB is read before time advances. Every few minutes a
seeded fault occurs; single packets are lost and garbled all the time. Ends with 1 where a sample is not accounted for,
an alarm is missing or false, or memory grows.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # test this working tree

from common.pages import save_json
from stress.world import Tap, World, open_serial

from detector.scorer import Scorer
from monitor.config import Config, merge
from monitor.emulator.device import BANNER
from monitor.emulator.faults import BOOT_S, Fault, Faults
from monitor.emulator.plan import Fate, Span
from monitor.engine.assembly import build_pipeline
from monitor.engine.bed import Bed
from monitor.messages import Alarm, AlarmMessage
from monitor.sources import SourceOptions, open_source
from monitor.sources.serial.formats import FORMATS

PATIENT = "sim:sinus=50,pvc=25,sinus=40,pac=25;repeat=yes"
BED = "p1"
LASTS_S = {
    "unplug": (2.0, 20.0),
    "stall": (0.5, 10.0),
    "hiccup": (0.3, 5.0),
    "leadsoff": (4.0, 20.0),
    "noise": (0.5, 5.0),
}
DROP, GARBLE = 0.001, 0.0002  # share of the packets
FIRST_S = 20.0  # time of the first fault
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


def random_faults(options: argparse.Namespace) -> Faults:
    """Faults of random kind and length, one every `options.every` seconds on the mean."""
    kinds = [*LASTS_S, "banner"]
    lasts_s = dict(LASTS_S)
    drop, garble = DROP, GARBLE
    if not FORMATS[options.format].counted:
        drop = 0.0  # invisible: the samples after it are out of place until a silence shows the time
        kinds = [kind for kind in kinds if kind != "noise"]
    if options.format == "raw16":
        garble = 0.0  # the reader could not get in step again
    if options.format == "chords":
        lasts_s["hiccup"] = (0.3, 0.9)  # after 1 s of silence the source asks it for its name, and any byte stops it
    dice = random.Random(options.seed)
    at_s = FIRST_S
    lasting: list[Fault] = []
    while True:
        at_s += dice.uniform(options.every / 3, options.every * 5 / 3) if lasting else 0.0
        kind = dice.choice(kinds)
        duration_s = BOOT_S if kind == "banner" else round(dice.uniform(*lasts_s[kind]), 3)
        at_s = round(at_s, 3)
        if at_s + duration_s + AFTER_S > options.hours * 3600:
            return Faults(drop=drop, garble=garble, drift=0.0001, lasting=tuple(lasting))
        lasting.append(Fault(kind, at_s, duration_s))
        at_s += duration_s


def gap_samples(journal: Path) -> int:
    """Samples of all gaps that were published."""
    with closing(sqlite3.connect(journal)) as db:
        bodies = db.execute("SELECT body FROM log WHERE topic LIKE '%/event/'").fetchall()
    events = [json.loads(body) for (body,) in bodies]
    return sum(event["n_samples"] for event in events if event["kind"] == "gap")


def soak(options: argparse.Namespace, journal: Path) -> dict[str, Any]:
    """Run with a journal in this file; all figures."""
    began_s = time.monotonic()
    faults = random_faults(options)
    patient = open_source(PATIENT, SourceOptions(seed=options.seed))
    world = World(patient, options.format, faults, options.seed, options.hours)
    onsets: list[Onset] = []

    def keep_onset(message: AlarmMessage) -> None:
        if message.alarm.state == "onset" and not message.alarm.update:
            onsets.append((message.alarm, world.device_s))

    source = open_serial(world, options.format, patient.fs_hz)
    world.bytes_in = lambda: source.bytes_in
    world.tap = Tap(source, world.ledger)
    settings: dict[str, dict[str, Any]] = {
        "bus": {"listen": "tcp://127.0.0.1:*"},
        "source": {"speed": 0.0},
        "journal": {"path": str(journal), "keep_days": 0.0, "max_mb": 0.0},
    }
    config = merge(Config(), settings, "soak")
    start = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
    pipeline = build_pipeline(
        {BED: world.tap},
        config,
        Scorer(None, 1),
        on_alarm=keep_onset,
        clock=world.clock,
        wall=lambda: start + datetime.timedelta(seconds=world.device_s),
    )
    bed = pipeline.beds[BED]
    world.state = lambda: bed.input.state
    tenths = 0

    def stop() -> bool:
        nonlocal tenths
        if world.device_s >= (tenths + 1) * options.hours * 360:
            tenths += 1
            print(f"{10 * tenths} % after {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)
        return world.turn()

    try:
        pipeline.run(stop)
    finally:
        world.port.close()
        patient.close()
    world.ledger.finish()
    checks = judge(world, bed, gap_samples(journal), onsets, options.format)
    return {
        "faults": dict(Counter(fault.kind for fault in faults.lasting)),
        "device": world.device.tally(),
        "beats": bed.status().beats,
        "alarms": dict(Counter(alarm.kind for alarm, _ in onsets)),
        "incomplete": pipeline.incomplete,
        "seconds": round(time.monotonic() - began_s, 1),
        "checks": [vars(check) for check in checks],
    }


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
    if tap is None or tap.end is None:
        raise ValueError("the device was not tapped to its end")
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=8.0, help="of signal")
    parser.add_argument("--format", choices=list(FORMATS), default="cyton")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=float, default=180.0, help="mean time between two faults, s")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = soak(options, Path(folder) / "journal.sqlite")
    for key in ("faults", "device", "alarms"):
        print(f"{key}: " + ", ".join(f"{name} {count}" for name, count in report[key].items()))
    print(f"beats: {report['beats']}; took {report['seconds']} s")
    for check in report["checks"]:
        print(f"{'ok  ' if check['good'] else 'FAIL'}  {check['what']:42} {check['figure']}")
    if options.json:
        save_json(options.json, report)
    return 0 if all(check["good"] for check in report["checks"]) else 1


if __name__ == "__main__":
    sys.exit(main())
