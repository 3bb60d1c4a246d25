"""`AlarmClient.set_detail`: waves, beats and events of some beds."""

from __future__ import annotations

import numpy as np

from monitor.messages import BeatMessage, StatusMessage, WaveHeader, bed_topic
from tests.monitor.bus.helpers import beat, connect, join, of, pump, status


def publish_wave(bus, bed, first):
    header = WaveHeader(sample=first, bed=bed, first_sample=first, n=10, fs_hz=360.0)
    bus.publish_wave(header, np.full((2, 10), 0.5, np.float32))


def test_waves_arrive_of_the_chosen_beds_only(bus, closing):
    client = closing(connect(bus, waves_endpoint=bus.endpoints.waves, streams=("alarm", "status")))
    client.set_detail(("p1",))
    (got,) = join(bus, client)
    first = 0

    def publish() -> set[str]:
        nonlocal first
        for bed in ("p1", "p2", "p3"):
            publish_wave(bus, bed, first)
        first += 10
        return {body.bed for _, body, _ in of(got, WaveHeader)}

    pump(bus, client, until=lambda: "p1" in publish(), got=[got], what="waves of p1")
    assert {body.bed for _, body, _ in of(got, WaveHeader)} == {"p1"}
    client.set_detail(("p2", "p3"))
    pump(bus, client, until=lambda: {"p2", "p3"} <= publish(), got=[got], what="waves of p2 and p3")
    got.clear()
    pump(bus, client, until=lambda: {"p2", "p3"} <= publish(), got=[got], what="more waves")
    assert {body.bed for _, body, _ in of(got, WaveHeader)} == {"p2", "p3"}


def test_beats_of_a_chosen_bed_begin_with_the_last_ones_and_none_is_lost(bus, closing):
    for number in range(1, 101):
        bus.publish(bed_topic("p1", "beat"), beat(number, "p1"))
        bus.publish(bed_topic("p2", "beat"), beat(number, "p2"))
    client = closing(connect(bus, streams=("alarm", "status")))
    (got,) = join(bus, client)
    bus.publish(bed_topic("p1", "beat"), beat(101, "p1"))
    bus.publish(bed_topic("p1", "status"), status(1))
    pump(bus, client, until=lambda: of(got, StatusMessage), got=[got], what="the status")
    assert not of(got, BeatMessage)  # no bed is chosen

    client.set_detail((), ("p1",))
    bus.publish(bed_topic("p1", "beat"), beat(102, "p1"))
    bus.publish(bed_topic("p2", "beat"), beat(101, "p2"))
    pump(bus, client, until=lambda: any(body.r_sample == 102 for _, body, _ in of(got, BeatMessage)), got=[got],
         what="beats of p1")  # fmt: skip
    beats = [body for _, body, _ in of(got, BeatMessage)]
    assert {body.bed for body in beats} == {"p1"}
    assert [body.r_sample for body in beats] == list(range(103 - len(beats), 103))
    assert len(beats) >= 60
    assert client.missed == 0

    got.clear()
    client.set_detail((), ("p2",))
    bus.publish(bed_topic("p1", "beat"), beat(103, "p1"))
    bus.publish(bed_topic("p2", "beat"), beat(102, "p2"))
    pump(bus, client, until=lambda: any(body.r_sample == 102 for _, body, _ in of(got, BeatMessage)), got=[got],
         what="beats of p2")  # fmt: skip
    assert {body.bed for _, body, _ in of(got, BeatMessage)} == {"p2"}
    assert client.missed == 0


def test_beds_may_be_chosen_before_the_client_has_joined(bus, closing):
    for number in range(1, 11):
        bus.publish(bed_topic("p1", "beat"), beat(number, "p1"))
    client = closing(connect(bus, streams=("alarm", "status"), waves_endpoint=bus.endpoints.waves))
    client.set_detail(("p1",), ("p1",))
    (got,) = join(bus, client)
    pump(bus, client, until=lambda: len(of(got, BeatMessage)) >= 10, got=[got], what="beats")
    assert [body.r_sample for _, body, _ in of(got, BeatMessage)] == list(range(1, 11))
