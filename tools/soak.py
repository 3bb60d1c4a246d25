"""Hours of ECG through pseudo-terminal, serial source and pipeline, with faults: python tools/soak.py [--hours 8]

One process and a clock that is moved, not waited for: each piece of at most 1 KB is read to the end before time goes
on. Every few minutes something goes wrong, by a seed; packets are lost and garbled all the time. Ends with 1 where a
sample is not accounted for, an alarm is missing or raised for nothing, or memory grows.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import datetime
import json
import os
import random
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # what is tested is this working tree

from ledger import Ledger

from detector import Gap
from detector.scorer import Scorer
from monitor.bed import Bed
from monitor.config import Config, merge
from monitor.emulator.console import ChordsConsole
from monitor.emulator.device import BANNER, Action, Bytes, Device, Plug, Unplug
from monitor.emulator.encoder import Encoder, make_encoder
from monitor.emulator.faults import BOOT_S, Fault, Faults
from monitor.emulator.plan import Fate, Span
from monitor.emulator.port import PtyPort
from monitor.messages import AlarmMessage
from monitor.pipeline import Pipeline
from monitor.sources import Chunk, Source, SourceOptions, open_source
from monitor.sources.serial_formats import FORMATS, make_decoder
from monitor.sources.serial_source import SerialSource

PATIENT = "sim:sinus=50,pvc=25,sinus=40,pac=25;repeat=yes"
BED = "p1"
PIECE_BYTES = 1024
STEP_S, SILENT_STEP_S = 0.1, 0.2
PATIENCE_S = 60.0  # of real time, for what another thread does
SETTLE_S = 3.0  # at the end, and before the first fault
AFTER_S = 15.0  # an alarm so long after a fault is still of it
LASTS_S = {"unplug": (2, 20), "stall": (0.5, 10), "hiccup": (0.3, 5), "leadsoff": (4, 20), "noise": (0.5, 5)}
SHIFT_S = 0.3  # what a clock without a counter may be wrong by after a device was away
GROWTH = 1.05, 4e6  # times, plus bytes
_PAGE = os.sysconf("SC_PAGE_SIZE")


def random_faults(options: argparse.Namespace) -> Faults:
    """A fault every `options.every` seconds or so, of a kind and length by chance."""
    kinds = options.only.split(",") if options.only else [*LASTS_S, "banner"]
    lasts_s = dict(LASTS_S)
    drop, garble = options.drop / 100, options.garble / 100
    if not FORMATS[options.format].counted:
        drop = 0.0  # nobody can see it: what follows is out of place until a silence lets time tell
        kinds = [kind for kind in kinds if kind != "noise"]
    if options.format == "raw16":
        garble = 0.0  # nothing would be in step again
    if options.format == "chords":
        lasts_s["hiccup"] = (0.3, 0.9)  # after 1 s of silence it is asked who it is, and any byte stops it
    dice = random.Random(options.seed)
    at_s, lasting = 20.0, []
    while True:
        at_s += dice.uniform(options.every / 3, options.every * 5 / 3) if lasting else 0.0
        kind = dice.choice(kinds)
        duration_s = BOOT_S if kind == "banner" else round(dice.uniform(*lasts_s[kind]), 3)
        at_s = round(at_s, 3)
        if at_s + duration_s + AFTER_S > options.hours * 3600:
            return Faults(drop=drop, garble=garble, drift=0.0001, lasting=tuple(lasting))
        lasting.append(Fault(kind, at_s, duration_s))
        at_s += duration_s


class Tap:
    """The source that the pipeline reads, with a look at what it gives.

    Attributes:
        idle: all that has come was read: the next piece may come.
        given, lost: samples given, and missing between them.
    """

    def __init__(self, source: SerialSource, ledger: Ledger) -> None:
        self.name, self.lead, self.fs_hz, self.live = source.name, source.lead, source.fs_hz, source.live
        self.rails_mv, self.start_time, self.total_samples = source.rails_mv, None, None
        self.idle = False
        self.given = self.lost = 0
        self.end: int | None = None
        self._source, self._ledger = source, ledger
        self._ahead: Chunk | None = None
        self.close = source.close

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


class Watched(Pipeline):
    """The pipeline, with a look at the gaps it publishes."""

    gap_samples = 0

    def gap(self, bed: Bed, gap: Gap) -> None:
        self.gap_samples += gap.n_samples
        super().gap(bed, gap)


@dataclass
class Onset:
    """An alarm: which, of what kind and priority, and when, s of the device."""

    kind: str
    category: str
    priority: str
    at_s: float


class World:
    """Device, port and clock; `turn` is what happens between two looks of the pipeline."""

    def __init__(self, source: Source, form: str, faults: Faults, seed: int, hours: float) -> None:
        self.encoder: Encoder = make_encoder(form)
        off = make_decoder(form, reading(self.encoder), form).feed(b"".join(self.encoder.encode(np.full(2, np.nan), 0)))
        self.ledger = Ledger(self.encoder, source.fs_hz, float(off.mv[-1]) if off.mv.size else np.nan)
        console = ChordsConsole() if form == "chords" else None
        self.device = Device(source, self.encoder, faults, seed=seed, console=console, log=self.ledger.sent)
        self.port = PtyPort()
        self.now_s = self.began_s = 1000.0
        self.written = 0
        self.bytes_in: Callable[[], int] = lambda: self.written
        self.state: Callable[[], str] = lambda: ""
        self.tap: Tap | None = None
        self.rss: list[tuple[float, int]] = []
        self._end_s = hours * 3600.0
        self._slow = form == "chords"  # it is asked questions, in real time
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
        """Given to the pipeline as its `stop`, which it asks once a round; True = the end."""
        if self.tap is not None and not self.tap.idle:
            return False  # first it reads what has come
        if self._awaited is not None:
            wanted, until_s = self._awaited
            if (self.state() == "source_lost") != (wanted == "lost"):
                if time.monotonic() > until_s:
                    raise TimeoutError(f"waited {PATIENCE_S:g} s for the source to see its port {wanted}")
                return False
            self._awaited = None
        if not self._todo:
            if self.device_s >= self._end_s + SETTLE_S:
                return True
            self._go_on()
        if self._todo:
            self._do(self._todo.popleft())
        if self.tap is not None:
            self.tap.idle = False
        return False

    def _go_on(self) -> None:
        silent = not self._todo and self.written == self._before
        self._before = self.written
        self.now_s += SILENT_STEP_S if silent else self._step_s
        if silent and self._slow:
            time.sleep(0.06)
        until_s = min(self.device_s, self._end_s)
        if self.device.running or self.device.sample:
            self._todo.extend(self.device.advance(until_s))
        self._todo.extend(self.device.hear(self.port.read()))
        if not self.rss or self.device_s - self.rss[-1][0] >= self._end_s / 100:
            self.rss.append((self.device_s, resident_bytes()))

    _before = -1

    def _do(self, action: Action) -> None:
        match action:
            case Bytes(data):
                if len(data) > PIECE_BYTES:
                    self._todo.appendleft(Bytes(data[PIECE_BYTES:]))
                self._write(data[:PIECE_BYTES])
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
    told = dict(zip(encoder.reading[::2], encoder.reading[1::2], strict=True))
    bits, vref, gain = told.get("--adc-bits"), told.get("--vref"), told.get("--gain")
    return SourceOptions(
        adc_bits=int(bits) if bits else None,
        vref=float(vref) if vref else None,
        gain=float(gain) if gain else None,
        **more,  # type: ignore[arg-type]
    )


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def open_serial(world: World, form: str, fs_hz: float) -> SerialSource:
    """The source on the device's port; some formats are asked who they are meanwhile."""
    options = reading(
        world.encoder, port=world.port.path, format=form, fs_hz=fs_hz, clock=world.clock, rate_tolerance=0.02
    )
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        opening = pool.submit(SerialSource, options, "serial")
        while not opening.done():
            if world.port.has_reader and form == "chords":
                was_running = world.device.running
                world.turn()
                if world.device.running and not was_running:
                    world.began_s = world.now_s
            time.sleep(0.005)
        return opening.result()


@dataclass
class Check:
    what: str
    figure: str
    good: bool


def alarms_of(span: Span, spans: Sequence[Span], kind: str, onsets: list[Onset]) -> int:
    """How many alarms of a kind came with a fault."""
    start_s, end_s = span.fault.start_s, span.fault.end_s + AFTER_S
    later_s = min((other.fault.start_s for other in spans if other.fault.start_s > start_s), default=end_s)
    return sum(onset.kind == kind and start_s <= onset.at_s <= min(end_s, later_s) for onset in onsets)


def judge(world: World, pipeline: Watched, onsets: list[Onset], form: str) -> list[Check]:
    """What must hold."""
    device, ledger, tap = world.device, world.ledger, world.tap
    status = pipeline.beds[BED].status()
    fates, spans = device.fates, device.plan.spans
    end = tap.end or 0 if tap else 0
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
        Check("samples_in + samples_lost = clock", f"{status.samples_in} + {status.samples_lost} = {end}", False),
        Check(
            "gaps published = samples lost",
            f"{pipeline.gap_samples}",
            tap is not None and pipeline.gap_samples == status.samples_lost == tap.lost,
        ),
        Check("gap lengths wrong outside of faults", f"{len(stray)}", not stray or not exact),
        Check("clock wrong after a fault, at most", f"{worst / fs_hz * 1e3:.0f} ms", worst <= SHIFT_S * fs_hz),
    ]
    checks[5].good = tap is not None and status.samples_in == tap.given and tap.given + status.samples_lost == end
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


def soak(options: argparse.Namespace) -> dict[str, object]:
    began_s = time.monotonic()
    faults = random_faults(options)
    patient = open_source(options.source, SourceOptions(seed=options.seed))
    world = World(patient, options.format, faults, options.seed, options.hours)
    onsets: list[Onset] = []

    def heard(message: AlarmMessage) -> None:
        alarm = message.alarm
        if alarm.state == "onset" and not alarm.update:
            onsets.append(Onset(alarm.kind, alarm.category, alarm.priority, world.device_s))

    source = open_serial(world, options.format, patient.fs_hz)
    world.bytes_in = lambda: source.bytes_in
    world.tap = Tap(source, world.ledger)
    config = merge(Config(), {"bus": {"listen": "tcp://127.0.0.1:*"}, "source": {"speed": 0.0}}, "soak")
    start = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
    notices: Counter[str] = Counter()
    pipeline = Watched(
        {BED: world.tap},
        config,
        Scorer(None, 1),
        on_alarm=heard,
        on_notice=lambda line: notices.update([line.split(":")[1].strip()]),
        clock=world.clock,
        wall=lambda: start + datetime.timedelta(seconds=world.device_s),
    )
    world.state = lambda: pipeline.beds[BED].state
    told = 0

    def stop() -> bool:
        nonlocal told
        if world.device_s >= (told + 1) * options.hours * 360:
            told += 1
            print(f"{10 * told} % after {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)
        return world.turn()

    try:
        pipeline.run(stop)
    finally:
        world.port.close()
        patient.close()
    world.ledger.finish()
    checks = judge(world, pipeline, onsets, options.format)
    return {
        "options": {key: str(value) for key, value in vars(options).items() if value is not None},
        "faults": dict(Counter(fault.kind for fault in faults.lasting)),
        "device": world.device.tally(),
        "beats": pipeline.beds[BED].status().beats,
        "unscored_beats": pipeline.beds[BED].status().unscored_beats,
        "alarms": dict(Counter(onset.kind for onset in onsets)),
        "shifts": world.ledger.shifts,
        "incomplete": pipeline.incomplete,
        "seconds": round(time.monotonic() - began_s, 1),
        "checks": [vars(check) for check in checks],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=8.0, help="of signal")
    parser.add_argument("--format", choices=list(FORMATS), default="cyton")
    parser.add_argument("--source", default=PATIENT, help="what the device measures; endless, or long enough")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=float, default=180.0, help="mean time between two faults, s")
    parser.add_argument("--drop", type=float, default=0.1, help="packets lost, %%")
    parser.add_argument("--garble", type=float, default=0.02, help="packets garbled, %%")
    parser.add_argument("--only", help="kinds of faults, with commas between; default: all")
    parser.add_argument("--json", type=Path, help="write all figures into this file")
    options = parser.parse_args()
    report = soak(options)
    for key in ("faults", "device", "alarms"):
        print(f"{key}: " + ", ".join(f"{name} {count}" for name, count in report[key].items()))  # type: ignore[attr-defined]
    print(f"beats: {report['beats']}, of these not scored {report['unscored_beats']}; took {report['seconds']} s")
    for check in report["checks"]:  # type: ignore[attr-defined]
        print(f"{'ok  ' if check['good'] else 'FAIL'}  {check['what']:42} {check['figure']}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1, default=str) + "\n", encoding="utf-8")
    return 0 if all(check["good"] for check in report["checks"]) else 1  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.exit(main())
