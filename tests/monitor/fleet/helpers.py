"""Fleets to look at: beds of which each has its own patient, what a subscriber had, and what it should have had."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from detector.scorer import Scorer
from monitor.client.client import ALL_STREAMS, AlarmClient, Received
from monitor.config import Config, merge
from monitor.engine.assembly import build_pipeline
from monitor.engine.bed_plan import BedPlan, open_bed
from monitor.journal import JournalReader
from monitor.messages import AlarmMessage, BeatMessage, EventMessage, bed_topic, decode

PATIENCE_S = 40.0
SCENARIO = "sim:" + ",".join(["sinus=25,asystole=7,sinus=20,vt=8,sinus=15"] * 40)  # 50 minutes


def fleet_config(speed: float, beds: int = 0, **sections: dict[str, object]) -> Config:
    changes = {"bus": {"listen": "tcp://127.0.0.1:*"}, "source": {"speed": speed, "spec": SCENARIO}} | sections
    return merge(Config(), changes, "test")


def patients(config: Config, count: int) -> list[BedPlan]:
    """Beds with a patient each; each scenario begins elsewhere."""
    return [
        BedPlan(f"b{n}", msgspec.structs.replace(config.source, bed=f"b{n}", seed=n, start_s=3.0 * n))
        for n in range(1, count + 1)
    ]


class Subscriber:
    """A client of the fleet; it keeps all it is given."""

    def __init__(self, alarms: str, control: str) -> None:
        self.client = AlarmClient(alarms, control, streams=ALL_STREAMS, patience_s=PATIENCE_S)
        self.got: list[Received] = []

    def poll(self, timeout_s: float = 0.0) -> None:
        self.got += self.client.poll(timeout_s)

    def of(self, kind: type, bed: str = "") -> list:
        of_bed = [m for _, m, _ in self.got if isinstance(m, kind)]
        return [m for m in of_bed if not bed or (m.alarm.bed if isinstance(m, AlarmMessage) else m.bed) == bed]


def until(condition: Callable[[], object], what: str, *turns: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {PATIENCE_S} s for {what}"
        for turn in turns:
            turn()


def as_told(message: AlarmMessage | BeatMessage) -> bytes:
    """A message, less what belongs to the run and the wall clock."""
    bare = {"epoch": "", "seq": 0, "time": "", "latency_ms": None}
    return msgspec.json.encode(msgspec.structs.replace(message, **bare))


def undisturbed(plans: Iterable[BedPlan], config: Config, reached_s: float, folder: Path) -> dict[str, list]:
    """What a single monitor tells of the same beds: bed -> beats and alarms, each in order.

    Args:
        reached_s: how far, s from the source's sample 0; 0 = to their end.
    """
    long = []
    for plan in plans:
        duration_s = reached_s + 15.0 - plan.source.start_s if reached_s else plan.source.duration_s
        long.append(BedPlan(plan.name, msgspec.structs.replace(plan.source, duration_s=duration_s)))
    path = folder / f"alone-{uuid.uuid4().hex}.sqlite"
    quick = merge(config, {"source": {"speed": 0.0}, "journal": {"path": str(path)}}, "test")
    quick = merge(quick, {"bus": {"listen": "tcp://127.0.0.1:*"}}, "test")
    pipeline = build_pipeline({plan.name: open_bed(plan, quick) for plan in long}, quick, Scorer())
    pipeline.run()
    reader = JournalReader(path)
    told: dict[str, list] = {}
    for plan in long:
        told[plan.name] = []
        for stream in ("beat", "alarm"):
            more, seq = True, 0
            while more:
                since = reader.since(bed_topic(plan.name, stream), "", seq)
                told[plan.name] += map(decode, since.bodies)
                seq, more = since.seq, since.more
    reader.close()
    return told


def gaps(events: Iterable[EventMessage]) -> list[tuple[int, int]]:
    """First sample, and the one behind."""
    return [(e.first_sample, e.first_sample + e.n_samples) for e in events if e.kind == "gap"]
