"""The hub with real shards, without Ray: all their messages once, and those of one undisturbed monitor."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from monitor.bus.keys import add_client, make_server_keys
from monitor.config import merge
from monitor.engine.bed_plan import BedPlan
from monitor.fleet.hub import Hub, HubOrder
from monitor.fleet.link import LinkOrder
from monitor.fleet.shard import Shard, ShardOrder
from monitor.messages import AlarmMessage, BeatMessage, Request
from tests.monitor.commands.helpers import free_endpoint
from tests.monitor.fleet.helpers import Subscriber, ask, comparable, fleet_config, kill, patients, undisturbed, until

SPEED = 12.0


class Ward:
    """Shards in threads, a hub that this thread runs, and subscribers."""

    def __init__(self, folder: Path, beds: int, duration_s: float = 0.0) -> None:
        self.folder = folder
        shard_config = fleet_config(SPEED)
        self.config = merge(shard_config, {"bus": {"listen": free_endpoint()}}, "test")  # the next hub takes it, too
        self.plans = [
            BedPlan(p.name, msgspec.structs.replace(p.source, duration_s=duration_s))
            for p in patients(shard_config, beds)
        ]
        self.shards = {
            f"s{n}": Shard(ShardOrder(f"s{n}", (plan,), shard_config, folder)) for n, plan in enumerate(self.plans, 1)
        }
        self.since_s = time.time()
        self.hub = self.new_hub()
        self.subscribers: list[Subscriber] = []
        self.seen = self.subscriber()

    def new_hub(self) -> Hub:
        return Hub(HubOrder(self.config, self.folder, tuple(plan.name for plan in self.plans), self.since_s))

    def link(self, name: str) -> LinkOrder:
        shard = self.shards[name]
        report = shard.report()
        assert report.state != "failed", report
        return LinkOrder(
            name, tuple(plan.name for plan in shard.order.plans), str(shard.order.journal), report.endpoints,
            report.first_epoch, ended=report.state == "ended",
        )  # fmt: skip

    def follow(self) -> None:
        self.hub.follow(tuple(self.link(name) for name in self.shards))

    def subscriber(self) -> Subscriber:
        self.subscribers.append(Subscriber(self.hub.bus.endpoints.alarms, self.hub.bus.endpoints.control))
        return self.subscribers[-1]

    def turn(self) -> None:
        self.hub.turn()
        for subscriber in self.subscribers:
            subscriber.poll()

    def until(self, condition, what: str) -> None:
        until(condition, what, self.turn)

    def until_shards(self, state: str) -> None:
        shards = self.shards.values()
        until(lambda: all(s.report().state == state for s in shards), state, lambda: time.sleep(0.02))

    def stop(self, name: str) -> None:
        self.shards[name].stop()
        self.until(lambda: self.shards[name].report().state == "stopped", f"the end of {name}")

    def close(self) -> None:
        for shard in self.shards.values():
            shard.stop()
        for shard in self.shards.values():
            shard.join(30)
        self.hub.close()
        for subscriber in self.subscribers:
            subscriber.client.close()


@pytest.fixture
def make_ward(tmp_path):
    wards = []

    def make(beds: int, duration_s: float = 0.0) -> Ward:
        wards.append(Ward(tmp_path, beds, duration_s))
        return wards[-1]

    yield make
    for ward in wards:
        ward.close()


def test_messages_of_shards_that_ended_before_the_hub_saw_them_are_published(make_ward, tmp_path):
    ward = make_ward(2, duration_s=30.0)
    ward.until_shards("ended")
    ward.until(lambda: ward.seen.client.state == "connected", "the hub")
    ward.follow()
    ward.until(lambda: len(ward.hub.report().drained) == 2, "the rest, from their journals")
    ward.hub.close()
    until(lambda: ward.seen.client.state == "ended", "the goodbye", ward.seen.poll)
    alone = undisturbed(ward.plans, ward.config, 0.0, tmp_path)
    for plan in ward.plans:
        for kind in (BeatMessage, AlarmMessage):
            received = [comparable(m) for m in ward.seen.of(kind, plan.name)]
            assert received == [comparable(m) for m in alone[plan.name] if isinstance(m, kind)]


@pytest.mark.slow
def test_a_killed_hub_loses_and_doubles_nothing(make_ward, tmp_path):
    ward = make_ward(2)
    seen = ward.seen
    ward.until_shards("running")
    ward.follow()
    ward.until(lambda: all(len(seen.of(BeatMessage, p.name)) > 30 for p in ward.plans), "beats")
    strip = ask(ward.hub, Request(op="strip", bed="b2", n=100), ward.turn)
    assert len(strip.data["raw_mv"]) == 100

    kill(ward.hub)
    ward.hub = ward.new_hub()
    ward.follow()
    ward.until(lambda: any(a.alarm.kind == "anomaly_run" for a in seen.of(AlarmMessage, "b1")), "an alarm")
    count = len(seen.received)
    ward.until(lambda: len(seen.received) > count + 200, "more messages")
    late = ward.subscriber()
    ward.until(lambda: late.client.counters["snapshots"], "the snapshot of a late subscriber")
    reached = {p.name: max(b.r_sample for b in seen.of(BeatMessage, p.name)) for p in ward.plans}
    for name in ward.shards:
        ward.stop(name)
    ward.hub.close()
    until(lambda: seen.client.state == "ended", "the goodbye", seen.poll)
    assert seen.client.missed == 0
    alone = undisturbed(ward.plans, ward.config, max(reached.values()) / 250 + 3, tmp_path)
    for bed, last in reached.items():
        # A beat that was sent and not committed before the kill is sent twice.
        beats = list(dict.fromkeys(comparable(b) for b in seen.of(BeatMessage, bed) if b.r_sample <= last))
        assert beats == [comparable(b) for b in alone[bed] if isinstance(b, BeatMessage) and b.r_sample <= last]
        # The next hub publishes the active alarms again; the others are those of one monitor.
        alarms = [a for a in seen.of(AlarmMessage, bed) if a.sample <= last]
        expected = [comparable(a) for a in alone[bed] if isinstance(a, AlarmMessage) and a.sample <= last]
        repeated = {comparable(a) for a in alarms if a.alarm.update} - set(expected)
        assert [a for a in dict.fromkeys(map(comparable, alarms)) if a not in repeated] == expected
    assert {a.alarm.alarm_id for a in late.of(AlarmMessage)} <= {a.alarm.alarm_id for a in seen.of(AlarmMessage)}


@pytest.mark.slow
def test_a_shard_with_keys_lets_the_hub_in(make_ward, tmp_path):
    keys = tmp_path / "keys"
    make_server_keys(keys)
    key = add_client(keys, "hub", "operator")
    ward = make_ward(1)
    order = replace(ward.shards["s1"].order, name="s9", keys=str(keys))
    ward.stop("s1")
    ward.shards["s1"] = Shard(order)
    ward.until(lambda: ward.shards["s1"].report().state == "running", "the shard")
    ward.hub.follow((replace(ward.link("s1"), key=str(key)),))
    ward.until(lambda: len(ward.seen.of(BeatMessage, "b1")) > 3, "beats")
