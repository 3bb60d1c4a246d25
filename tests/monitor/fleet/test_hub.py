"""The hub in front of shards that are plain buses: one monitor for a subscriber, also across a kill of the hub."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zmq

from monitor.bus.server import Bus
from monitor.fleet.hub import Hub, HubOrder
from monitor.fleet.link import LinkOrder
from monitor.messages import (
    AlarmMessage,
    BeatMessage,
    EventMessage,
    HeartbeatMessage,
    Reply,
    Request,
    StatusMessage,
    WaveHeader,
    bed_topic,
    decode,
)
from tests.monitor.bus.helpers import alarm, beat, heartbeat, make_bus, serve, status
from tests.monitor.commands.helpers import free_endpoint
from tests.monitor.fleet.helpers import Subscriber, ask, fleet_config, kill, until


class Ward:
    """Two shards with a bed each, a hub whose clock can jump ahead, and a subscriber; this thread runs all of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ahead_s = 0.0
        self.since_s = time.time()
        self.config = fleet_config(1.0, bus={"listen": free_endpoint()})  # a port that the next hub takes, too
        self.buses = {name: make_bus(epoch=f"run of {name}") for name in ("s1", "s2")}
        self.heartbeats = dict.fromkeys(self.buses, heartbeat())
        self.served = set(self.buses)
        self.hub = self.new_hub()
        self.seen = Subscriber(self.hub.bus.endpoints.alarms, self.hub.bus.endpoints.control)

    def new_hub(self) -> Hub:
        order = HubOrder(self.config, self.folder, ("b1", "b2"), self.since_s)
        hub = Hub(order, clock=lambda: time.monotonic() + self.ahead_s)
        hub.follow(tuple(self.link(name, bus) for name, bus in self.buses.items()))
        return hub

    @staticmethod
    def link(name: str, bus: Bus, **changes: bool) -> LinkOrder:
        return LinkOrder(name, (f"b{name[1]}",), "", bus.endpoints, bus.epoch, **changes)

    def publish(self, first: int, last: int) -> None:
        """A status, beats and alarms of both beds."""
        for name, bus in self.buses.items():
            bed = f"b{name[1]}"
            bus.publish(bed_topic(bed, "status"), status(first, bed))
            for n in range(first, last):
                bus.publish(bed_topic(bed, "beat"), beat(n, bed))
                if n % 10 == 0:
                    bus.publish(bed_topic(bed, "alarm"), alarm(n, bed=bed))

    def turn(self) -> None:
        for name in self.served:
            self.buses[name].heartbeat(self.heartbeats[name])
            serve(self.buses[name])
        self.hub.turn()
        self.seen.poll()

    def until(self, condition, what: str) -> None:
        until(condition, what, self.turn)

    def until_beats(self, last: int) -> None:
        def newest(bed: str) -> int:
            return max((b.r_sample for b in self.seen.of(BeatMessage, bed)), default=0)

        self.until(lambda: newest("b1") == newest("b2") == last, f"beat {last}")

    def ask(self, request: Request) -> Reply:
        return ask(self.hub, request, self.turn)

    def close(self) -> None:
        self.seen.client.close()
        self.hub.close()
        for bus in self.buses.values():
            bus.close()


@pytest.fixture
def ward(tmp_path):
    ward = Ward(tmp_path)
    ward.until(lambda: ward.seen.client.counters["snapshots"], "the snapshot, before the first message")
    yield ward
    ward.close()


def test_shards_are_one_monitor_also_after_a_kill_of_the_hub(ward):
    ward.publish(1, 50)
    ward.until_beats(49)
    assert len({m.epoch for _, m, _ in ward.seen.received}) == 1, "one monitor, one run"
    assert ward.seen.of(HeartbeatMessage)[-1].beds == ("b1", "b2")
    epoch = ward.hub.bus.epoch
    kill(ward.hub)
    ward.publish(50, 100)
    ward.hub = ward.new_hub()
    ward.until(lambda: ward.seen.client.epoch not in ("", epoch), "the next hub")
    ward.publish(100, 150)
    ward.until_beats(149)
    assert ward.seen.client.missed == 0
    for bed in ("b1", "b2"):
        # A beat that was sent and not committed before the kill is sent twice.
        assert list(dict.fromkeys(b.r_sample for b in ward.seen.of(BeatMessage, bed))) == list(range(1, 150))
        onsets = [a.alarm.alarm_id for a in ward.seen.of(AlarmMessage, bed) if not a.alarm.update]
        assert onsets == [f"{bed}/asystole/{n}" for n in range(10, 150, 10)], "each alarm once"
        updates = {a.alarm.alarm_id for a in ward.seen.of(AlarmMessage, bed) if a.alarm.update}
        assert updates >= {f"{bed}/asystole/{n}" for n in range(10, 50, 10)}, "active alarms belong to the next run too"


def test_requests_go_to_the_shard_of_the_bed(ward):
    ward.publish(1, 11)
    ward.until_beats(10)
    assert not ward.ask(Request(op="strip", bed="b9")).ok
    assert ward.ask(Request(op="strip", bed="b2", n=100)).data == {"op": "strip"}
    assert ward.ask(Request(op="acknowledge", alarm_id="b1/asystole/10", who="nurse 3")).ok
    assert [action.what for action in ward.hub.journal.actions()] == ["acknowledge"]
    assert len(ward.ask(Request(op="snapshot")).messages) >= 4
    ward.hub.follow((LinkOrder("s1", ("b1",), "", None, "run of s1"),))
    ward.turn()
    assert "not watched at the moment" in ward.ask(Request(op="strip", bed="b1")).error


@pytest.mark.parametrize("linked", [True, False])
def test_a_bed_of_a_silent_shard_is_not_watched(ward, linked):
    ward.publish(1, 11)
    ward.until_beats(10)
    ward.served = {"s2"}
    if not linked:
        ward.hub.follow((LinkOrder("s1", ("b1",), "", None, "run of s1", leaving=True),))
    ward.turn()
    ward.ahead_s += 3.5
    ward.until(lambda: any(a.alarm.kind == "no_data" for a in ward.seen.of(AlarmMessage, "b1")), "the alarm")
    raised = ward.seen.of(AlarmMessage, "b1")[-1].alarm
    assert raised.text.startswith("its shard does not answer: the bed has not been watched for ")
    last = ward.seen.of(StatusMessage, "b1")[-1]
    assert (last.state, last.heart_rate_bpm, last.scorable) == ("no_data", None, False)
    assert not any(a.alarm.kind == "no_data" for a in ward.seen.of(AlarmMessage, "b2")), "the other bed is watched"
    assert ward.ask(Request(op="acknowledge", alarm_id=raised.alarm_id, who="nurse 3")).ok
    ward.until(lambda: ward.seen.of(AlarmMessage, "b1")[-1].alarm.acknowledged_by == "nurse 3", "the acknowledgement")
    ward.served = {"s1", "s2"}
    ward.hub.follow((ward.link("s1", ward.buses["s1"]),))
    ward.buses["s1"].publish(bed_topic("b1", "status"), status(20, "b1"))
    ward.until(lambda: ward.seen.of(AlarmMessage, "b1")[-1].alarm.state == "cleared", "the end of the alarm")
    ward.until(lambda: ward.seen.of(StatusMessage, "b1")[-1].state == "running", "the status")


def test_the_heartbeat_has_the_latest_shard_and_the_longest_list_of_thinned_streams(ward):
    def newest() -> tuple[float, tuple[str, ...]]:
        beats = ward.seen.of(HeartbeatMessage)
        return (beats[-1].late_s, beats[-1].thinned) if beats else (0.0, ())

    def late(late_s: float, *thinned: str) -> HeartbeatMessage:
        return msgspec.structs.replace(heartbeat(), late_s=late_s, thinned=thinned)

    def turn() -> None:
        ward.ahead_s += 0.1
        ward.turn()

    ward.heartbeats = {"s1": late(0.6, "waves"), "s2": late(3.5, "waves", "status")}
    until(lambda: newest() == (3.5, ("waves", "status")), "the later shard", turn)
    ward.heartbeats["s2"] = heartbeat()
    until(lambda: newest() == (0.6, ("waves",)), "the other shard", turn)


def test_waves_pass_only_for_shown_beds(ward):
    context = zmq.Context()
    waves = context.socket(zmq.SUB)
    waves.connect(ward.hub.bus.endpoints.waves)
    waves.subscribe("v1/b1/wave/")
    received: list[list[bytes]] = []
    sent = 0

    def turn() -> None:
        nonlocal sent
        for name, bus in ward.buses.items():
            header = WaveHeader(bed=f"b{name[1]}", first_sample=10 * sent, n=10, fs_hz=250.0, time="")
            bus.publish_wave(header, np.zeros((2, 10), np.float32))
        sent += 1
        ward.turn()
        if waves.poll(0):
            received.append(waves.recv_multipart())

    until(lambda: len(received) > 10, "waves", turn)
    headers = [decode(frames[1]) for frames in received]
    assert all(isinstance(h, WaveHeader) and h.bed == "b1" and h.epoch == ward.hub.bus.epoch for h in headers)
    assert [h.seq for h in headers] == list(range(headers[0].seq, headers[0].seq + len(headers)))
    assert ward.buses["s1"].has_viewers("b1")
    assert not ward.buses["s2"].has_viewers("b2"), "the hub subscribes to no other waves"
    context.destroy(linger=0)


def test_the_end_of_a_moving_bed_is_not_published(ward):
    ward.publish(1, 11)
    ward.until_beats(10)
    ward.hub.follow((ward.link("s1", ward.buses["s1"], leaving=True),))
    ward.turn()
    ended = msgspec.structs.replace(status(20, "b1"), state="ended")
    ward.buses["s1"].publish(bed_topic("b1", "status"), ended)
    ward.until(lambda: ward.seen.of(StatusMessage, "b1")[-1].sample == 20, "its last status")
    assert ward.seen.of(StatusMessage, "b1")[-1].state == "no_data", "it continues on another worker"
    assert not ward.seen.of(EventMessage, "b1")
