"""The hub, without Ray: several shards seen as one monitor, also by whoever looks while it is started anew."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from monitor.bus.keys import add_client, make_server_keys
from monitor.config import Config, merge
from monitor.engine.bed_plan import BedPlan
from monitor.fleet.hub import Hub, HubOrder
from monitor.fleet.link import LinkOrder
from monitor.fleet.shard import Shard, ShardOrder
from monitor.messages import AlarmMessage, BeatMessage, EventMessage, HeartbeatMessage, Request, StatusMessage
from tests.monitor.bus.helpers import heartbeat, make_bus, serve
from tests.monitor.commands.helpers import free_endpoint
from tests.monitor.fleet.helpers import Subscriber, as_told, fleet_config, patients, undisturbed, until

SPEED = 12.0


class Ward:
    """Shards in threads and a hub that this thread turns."""

    def __init__(self, folder: Path, beds: int, duration_s: float = 0.0) -> None:
        self.config = fleet_config(SPEED)
        # A port that the next hub has, too.
        self.config = merge(self.config, {"bus": {"listen": free_endpoint()}}, "test")
        self.plans = patients(self.config, beds)
        if duration_s:
            self.plans = [
                BedPlan(p.name, msgspec.structs.replace(p.source, duration_s=duration_s)) for p in self.plans
            ]  # fmt: skip
        self.folder = folder
        self.shards = {
            f"s{n}": Shard(ShardOrder(f"s{n}", (plan,), self.shard_config, folder))
            for n, plan in enumerate(self.plans, 1)
        }
        self.since_s = time.time()
        self.subscribers: list[Subscriber] = []
        self.hub = self.new_hub()

    @property
    def shard_config(self) -> Config:
        return merge(self.config, {"bus": {"listen": "tcp://127.0.0.1:*"}}, "test")

    def new_hub(self) -> Hub:
        beds = tuple(plan.name for plan in self.plans)
        return Hub(HubOrder(self.config, self.folder, beds, self.since_s))

    def link(self, name: str, *, leaving: bool = False) -> LinkOrder:
        shard = self.shards[name]
        report = shard.report()
        assert report.state != "failed", report
        return LinkOrder(
            name, tuple(plan.name for plan in shard.order.plans), str(shard.order.journal), report.endpoints,
            report.first_epoch, leaving=leaving, ended=report.state == "ended",
        )  # fmt: skip

    def follow(self) -> None:
        self.hub.follow(tuple(self.link(name) for name in self.shards))

    def subscriber(self) -> Subscriber:
        self.subscribers.append(Subscriber(self.hub.bus.endpoints.alarms, self.hub.bus.endpoints.control))
        return self.subscribers[-1]

    def kill_hub(self) -> None:
        """What is left of it after kill -9: what was committed, positions that are a second old."""
        for shard in self.hub._shards.values():
            if shard.link is not None:
                shard.link.close()
        self.hub.journal._db.rollback()
        self.hub.journal._db.close()
        self.hub.journal._lock.release()
        self.hub.bus._context.destroy(linger=0)

    def close(self) -> None:
        for shard in self.shards.values():
            shard.stop()
        for shard in self.shards.values():
            shard.join(30)
        self.hub.close()
        for subscriber in self.subscribers:
            subscriber.client.close()


@pytest.fixture
def ward(tmp_path):
    ward = Ward(tmp_path, 2)
    yield ward
    ward.close()


def running(ward: Ward) -> None:
    until(lambda: all(s.report().state == "running" for s in ward.shards.values()), "shards", lambda: time.sleep(0.02))
    ward.follow()


def test_shards_are_one_monitor_and_a_killed_hub_loses_and_doubles_nothing(ward, tmp_path):
    seen = ward.subscriber()
    running(ward)
    turns = (lambda: ward.hub.turn(), seen.poll)
    until(lambda: all(len(seen.of(BeatMessage, p.name)) > 30 for p in ward.plans), "beats", *turns)
    assert len({m.epoch for _, m, _ in seen.got}) == 1, "one monitor, one run"
    assert seen.of(HeartbeatMessage)[-1].beds == ("b1", "b2")

    ward.kill_hub()
    ward.hub = ward.new_hub()
    ward.follow()
    until(lambda: any(a.alarm.kind == "anomaly_run" for a in seen.of(AlarmMessage, "b1")), "an alarm", *turns)
    count = len(seen.got)
    until(lambda: len(seen.got) > count + 200, "more", *turns)
    late = ward.subscriber()
    until(lambda: late.client.counters["snapshots"], "the snapshot of a latecomer", ward.hub.turn, late.poll)
    reached = {p.name: max(b.r_sample for b in seen.of(BeatMessage, p.name)) for p in ward.plans}
    for name, shard in ward.shards.items():
        shard.stop()
        until(lambda shard=shard: shard.report().state == "stopped", f"the end of {name}", *turns)
    ward.hub.close()
    until(lambda: seen.client.state == "ended", "the goodbye", seen.poll)
    assert seen.client.missed == 0
    reached_s = max(reached.values()) / 250 + 3
    alone = undisturbed(ward.plans, ward.config, reached_s, tmp_path)
    for bed, upto in reached.items():
        # A beat that was sent and not yet committed when the hub was killed is said again.
        beats = list(dict.fromkeys(as_told(b) for b in seen.of(BeatMessage, bed) if b.r_sample <= upto))
        assert beats == [as_told(b) for b in alone[bed] if isinstance(b, BeatMessage) and b.r_sample <= upto]
        # What was active when the hub began anew is said once more; the rest is what one monitor alone says.
        alarms = [a for a in seen.of(AlarmMessage, bed) if a.sample <= upto]
        told = list(dict.fromkeys(as_told(a) for a in alarms))
        expected = [as_told(a) for a in alone[bed] if isinstance(a, AlarmMessage) and a.sample <= upto]
        again = {as_told(a) for a in alarms if a.alarm.update} - set(expected)
        assert [a for a in told if a not in again] == expected
    # The state of a latecomer is that of who was there all the time.
    states = {a.alarm.alarm_id: a.alarm.state for a in late.of(AlarmMessage)}
    assert set(states) <= {a.alarm.alarm_id for a in seen.of(AlarmMessage)}


def test_requests_go_to_the_shard_that_has_the_bed(ward):
    seen = ward.subscriber()
    running(ward)
    turns = (lambda: ward.hub.turn(), seen.poll)
    until(lambda: any(a.alarm.kind == "asystole" for a in seen.of(AlarmMessage, "b2")), "an asystole", *turns)
    asystole = next(a.alarm for a in seen.of(AlarmMessage, "b2") if a.alarm.kind == "asystole")

    def ask(request: Request):
        sent = seen.client._ask(request)
        seen.client._answers[sent] = None
        until(lambda: seen.client._answers[sent] is not None, f"an answer to {request.op}", *turns)
        return seen.client._answers.pop(sent)

    assert not ask(Request(op="strip", bed="b9")).ok
    strip = ask(Request(op="strip", bed="b2", n=100))
    assert strip.ok
    assert len(strip.data["raw_mv"]) == 100
    assert ask(Request(op="strip", alarm_id=asystole.alarm_id, epoch=ward.hub.epoch)).ok
    assert ask(Request(op="acknowledge", alarm_id=asystole.alarm_id, who="nurse 3")).ok
    until(
        lambda: any(a.alarm.acknowledged_by == "nurse 3" for a in seen.of(AlarmMessage, "b2")), "acknowledged", *turns
    )
    assert not ask(Request(op="acknowledge", alarm_id="b2/asystole/1", who="nurse 3")).ok
    assert ask(Request(op="pause_audio", bed="b1", seconds=60, who="nurse 3")).data["seconds"] == 60
    assert [a.what for a in ward.hub.journal.actions()][:1] == ["acknowledge"]
    snapshot = ask(Request(op="snapshot"))
    assert snapshot.ok
    assert len(snapshot.messages) >= 4


def test_waves_come_of_beds_that_are_looked_at(ward):
    import zmq

    running(ward)
    context = zmq.Context()
    waves = context.socket(zmq.SUB)
    waves.connect(ward.hub.bus.endpoints.waves)
    waves.subscribe("v1/b1/wave/")
    got: list[list[bytes]] = []

    def look() -> None:
        if waves.poll(0):
            got.append(waves.recv_multipart())

    until(lambda: len(got) > 10, "waves", ward.hub.turn, look)
    from monitor.messages import WaveHeader, decode

    headers = [decode(frames[1]) for frames in got]
    assert all(isinstance(h, WaveHeader) and h.bed == "b1" and h.epoch == ward.hub.epoch for h in headers)
    assert [h.seq for h in headers] == list(range(headers[0].seq, headers[0].seq + len(headers)))
    assert not ward.hub._shards["s2"].link._shown
    context.destroy(linger=0)


def test_a_bed_whose_shard_is_lost_is_said_not_to_be_watched(ward, monkeypatch):
    monkeypatch.setattr("monitor.fleet.hub._SILENT_S", 2.0)
    seen = ward.subscriber()
    running(ward)
    turns = (lambda: ward.hub.turn(), seen.poll)
    until(lambda: len(seen.of(BeatMessage, "b1")) > 5, "beats", *turns)
    ward.hub.follow((ward.link("s1", leaving=True),))
    ward.hub.turn()
    ward.shards["s1"].stop()
    until(lambda: ward.shards["s1"].report().state == "stopped", "its end", *turns)
    ward.hub.follow((ward.link("s2"),))
    gone = LinkOrder("s1", ("b1",), str(ward.shards["s1"].order.journal), None, "x", leaving=True)
    ward.hub.follow((gone,))
    until(lambda: any(a.alarm.kind == "no_data" for a in seen.of(AlarmMessage, "b1")), "the alarm", *turns)
    assert seen.of(StatusMessage, "b1")[-1].state == "no_data"
    assert seen.of(StatusMessage, "b1")[-1].heart_rate_bpm is None
    assert not any(a.alarm.kind == "no_data" for a in seen.of(AlarmMessage, "b2")), "the other bed is watched"

    ward.shards["s1"] = Shard(ward.shards["s1"].order)
    until(lambda: ward.shards["s1"].report().state == "running", "its return", *turns)
    ward.follow()
    until(lambda: seen.of(StatusMessage, "b1")[-1].state == "running", "running", *turns)
    until(
        lambda: [a.alarm.state for a in seen.of(AlarmMessage, "b1") if a.alarm.kind == "no_data"][-1] == "cleared",
        "the all-clear", *turns,
    )  # fmt: skip
    until(lambda: len(gap_events(seen)) == 1, "the gap", *turns)


def test_all_that_a_fleet_said_is_there_when_its_sources_have_ended(tmp_path):
    """Its shards are gone before the hub has heard of them: the rest is in their journals."""
    ward = Ward(tmp_path, 2, duration_s=30.0)
    try:
        seen = ward.subscriber()
        until(
            lambda: all(s.report().state == "ended" for s in ward.shards.values()), "the end", lambda: time.sleep(0.02)
        )
        until(lambda: seen.client.state == "connected", "the hub", ward.hub.turn, seen.poll)
        ward.follow()
        until(lambda: len(ward.hub.report().drained) == 2, "the rest", ward.hub.turn, seen.poll)
        ward.hub.close()
        until(lambda: seen.client.state == "ended", "the goodbye", seen.poll)
        alone = undisturbed(ward.plans, ward.config, 0.0, tmp_path)
        for plan in ward.plans:
            for kind in (BeatMessage, AlarmMessage):
                told = [as_told(m) for m in seen.of(kind, plan.name)]
                assert told == [as_told(m) for m in alone[plan.name] if isinstance(m, kind)]
    finally:
        ward.close()


def test_a_shard_on_another_machine_asks_the_hub_for_its_key(tmp_path):
    keys = tmp_path / "keys"
    make_server_keys(keys)
    key = add_client(keys, "hub", "operator")
    ward = Ward(tmp_path, 1)
    try:
        order = replace(ward.shards["s1"].order, name="s9", keys=str(keys))
        ward.shards["s1"].stop()
        ward.shards["s1"].join(30)
        ward.shards["s1"] = shard = Shard(order)
        seen = ward.subscriber()
        until(lambda: shard.report().state == "running", "the shard", lambda: time.sleep(0.02))
        ward.hub.follow((replace(ward.link("s1"), key=str(key)),))
        until(lambda: len(seen.of(BeatMessage, "b1")) > 3, "beats", ward.hub.turn, seen.poll)
    finally:
        ward.close()


def gap_events(seen: Subscriber) -> list[EventMessage]:
    return [e for e in seen.of(EventMessage, "b1") if e.kind == "gap"]


def test_the_hub_tells_how_late_the_latest_shard_is_and_what_any_leaves_out(tmp_path):
    hub = Hub(HubOrder(fleet_config(1.0), tmp_path, ("b1", "b2"), time.time()))
    told = {
        "s1": msgspec.structs.replace(heartbeat(), late_s=0.6, thinned=("waves",)),
        "s2": msgspec.structs.replace(heartbeat(), late_s=3.5, thinned=("waves", "status")),
    }
    buses = {name: make_bus(epoch=f"run of {name}") for name in told}
    hub.follow(tuple(LinkOrder(name, (f"b{name[1]}",), "", bus.endpoints, bus.epoch) for name, bus in buses.items()))
    seen = Subscriber(hub.bus.endpoints.alarms, hub.bus.endpoints.control)

    def turn() -> None:
        for name, bus in buses.items():
            bus.heartbeat(told[name])
            serve(bus)
        hub.turn()
        seen.poll()

    def latest() -> tuple[float, tuple[str, ...]]:
        beats = seen.of(HeartbeatMessage)
        return (beats[-1].late_s, beats[-1].thinned) if beats else (0.0, ())

    try:
        until(lambda: latest() == (3.5, ("waves", "status")), "the latest", turn)
        told["s2"] = heartbeat()
        until(lambda: latest() == (0.6, ("waves",)), "the other", turn)
    finally:
        seen.client.close()
        hub.close()
        for bus in buses.values():
            bus.close()
