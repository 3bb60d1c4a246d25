"""Beds with a patient each, a subscriber that keeps all it receives, and what one undisturbed monitor publishes."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import zmq

from detector.scorer import Scorer
from monitor.client.client import ALL_STREAMS, AlarmClient, Received
from monitor.config import Config, merge
from monitor.engine.assembly import build_pipeline
from monitor.engine.bed_plan import BedPlan, open_bed
from monitor.fleet.hub import Hub
from monitor.journal import JournalReader
from monitor.messages import AlarmMessage, BeatMessage, EventMessage, Reply, Request, bed_topic, decode, encode
from tests.monitor.journal.helpers import abandon

PATIENCE_S = 40.0
SCENARIO = "sim:" + ",".join(["sinus=25,asystole=7,sinus=20,vt=8,sinus=15"] * 40)  # 50 minutes


def fleet_config(speed: float, beds: int = 0, **sections: dict[str, object]) -> Config:
    changes = {"bus": {"listen": "tcp://127.0.0.1:*"}, "source": {"speed": speed, "spec": SCENARIO}} | sections
    return merge(Config(), changes, "test")


def patients(config: Config, count: int) -> list[BedPlan]:
    """Beds with a patient each; each scenario starts at another time."""
    return [
        BedPlan(f"b{n}", msgspec.structs.replace(config.source, bed=f"b{n}", seed=n, start_s=3.0 * n))
        for n in range(1, count + 1)
    ]


class Subscriber:
    """A client of the fleet; it keeps all it receives."""

    def __init__(self, alarms: str, control: str) -> None:
        self.client = AlarmClient(alarms, control, streams=ALL_STREAMS, patience_s=PATIENCE_S)
        self.received: list[Received] = []

    def poll(self, timeout_s: float = 0.0) -> None:
        self.received += self.client.poll(timeout_s)

    def of(self, kind: type, bed: str = "") -> list:
        messages = [m for _, m, _ in self.received if isinstance(m, kind)]
        return [m for m in messages if not bed or (m.alarm.bed if isinstance(m, AlarmMessage) else m.bed) == bed]


def kill(hub: Hub) -> None:
    """Leave a hub as kill -9 does: committed rows, and positions up to a second old."""
    for shard in hub._shards:
        if shard.link is not None:
            shard.link.close()
    abandon(hub.journal)
    hub.bus._sockets.close(0)


def ask(hub: Hub, request: Request, *turns: Callable[[], object]) -> Reply:
    """Send a request to a hub that this thread runs, and wait for the reply."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as control:
        control.connect(hub.bus.endpoints.control)
        control.send_multipart([b"", encode(request)])
        until(lambda: control.poll(0), f"a reply to {request.op}", *turns)
        return msgspec.json.decode(control.recv_multipart()[-1], type=Reply)


def until(condition: Callable[[], object], what: str, *turns: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {PATIENCE_S} s for {what}"
        for turn in turns:
            turn()


def comparable(message: AlarmMessage | BeatMessage) -> bytes:
    """A message without the run, its number and the wall clock."""
    bare = {"epoch": "", "seq": 0, "time": "", "latency_ms": None}
    return msgspec.json.encode(msgspec.structs.replace(message, **bare))


def undisturbed(plans: Iterable[BedPlan], config: Config, reached_s: float, folder: Path) -> dict[str, list]:
    """Messages of a single monitor with the same beds: bed -> beats, then alarms, each in order.

    Args:
        reached_s: end, s from sample 0 of the source; 0 = end of the source.
    """
    long = []
    for plan in plans:
        duration_s = reached_s + 15.0 - plan.source.start_s if reached_s else plan.source.duration_s
        long.append(BedPlan(plan.name, msgspec.structs.replace(plan.source, duration_s=duration_s)))
    path = folder / f"alone-{uuid.uuid4().hex}.sqlite"
    changes = {"source": {"speed": 0.0}, "journal": {"path": str(path)}, "bus": {"listen": "tcp://127.0.0.1:*"}}
    quick = merge(config, changes, "test")
    build_pipeline({plan.name: open_bed(plan, quick) for plan in long}, quick, Scorer()).run()
    with contextlib.closing(JournalReader(path)) as reader:
        return {
            plan.name: [
                decode(raw)
                for stream in ("beat", "alarm")
                for page in reader.pages(bed_topic(plan.name, stream), "", 0)
                for raw in page.bodies
            ]
            for plan in long
        }


def gaps(events: Iterable[EventMessage]) -> list[tuple[int, int]]:
    """First sample of each gap, and the sample after it."""
    return [(e.first_sample, e.first_sample + e.n_samples) for e in events if e.kind == "gap"]
