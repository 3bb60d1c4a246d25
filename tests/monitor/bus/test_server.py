"""Publishing: numbers, last values for new subscribers, bursts, waves, commits."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
import zmq

from monitor.bus.server import BURST, Bus
from monitor.journal import Journal
from monitor.messages import HEARTBEAT_TOPIC, AlarmMessage, Request, WaveHeader, bed_topic, decode
from tests import ROOT
from tests.monitor.bus.helpers import (
    ANY_ENDPOINTS,
    TIMEOUT_S,
    alarm,
    beat,
    heartbeat,
    make_bus,
    serve,
    status,
    wait_for,
)

ALARMS = bed_topic("p1", "alarm")
BEATS = bed_topic("p1", "beat")


def drain(sub: zmq.Socket) -> list[tuple[str, bytes]]:
    got = []
    while sub.poll(0):
        topic, raw = sub.recv_multipart()
        got.append((topic.decode(), raw))
    return got


def wait_for_subscription(bus: Bus, count: int = 1) -> None:
    wait_for(lambda: bus.counters["subscriptions"] >= count, "a subscription", lambda: serve(bus))


def received_before_marker(bus: Bus, sub: zmq.Socket, subscriptions: int) -> list[tuple[str, bytes]]:
    """Publish a marker after `subscriptions` subscriptions; return what the subscriber received before it."""
    wait_for_subscription(bus, subscriptions)
    marker = bus.publish(bed_topic("marker", "status"), status(0, "marker")).raw
    got: list[tuple[str, bytes]] = []
    sub.subscribe("v1/marker/")
    wait_for(lambda: any(raw == marker for _, raw in got), "the marker", lambda: (serve(bus), got.extend(drain(sub))))
    return [item for item in got if not item[0].startswith("v1/marker/")]


def test_each_topic_has_its_own_numbers(bus):
    first = bus.publish(ALARMS, alarm(1))
    second = bus.publish(ALARMS, alarm(2))
    other = bus.publish(BEATS, beat(3))
    assert (first.body.seq, second.body.seq, other.body.seq) == (1, 2, 1)
    assert first.body.epoch == "run-1"
    assert decode(second.raw) == second.body
    sent = bus.heartbeat(heartbeat()).body
    assert sent.seqs == {ALARMS: 2, BEATS: 1}
    assert bus.seqs == {ALARMS: 2, BEATS: 1, HEARTBEAT_TOPIC: 1}


@pytest.mark.parametrize(
    "topic", ["", "v1/p1/alarm", "v1/a/b/alarm/", "v1//alarm/", "v1/p1/wave/", "v2/p1/alarm/", "v1/\n/beat/"]
)
def test_an_invalid_topic_is_refused(bus, topic):
    with pytest.raises(ValueError, match="topic"):
        bus.publish(topic, alarm(1))


def test_a_new_subscriber_receives_active_alarms_and_last_values(bus, sockets):
    bus.publish(ALARMS, alarm(1))
    bus.publish(ALARMS, alarm(2))
    active = bus.publish(ALARMS, alarm(3))
    bus.publish(ALARMS, alarm(2, "cleared"))
    acknowledged = bus.publish(ALARMS, alarm(1, "acknowledged"))
    bus.publish(BEATS, beat(5))
    last_beat = bus.publish(BEATS, beat(6))
    got = received_before_marker(bus, sockets.subscribe(bus, "v1/p1/"), 1)
    assert got == [(ALARMS, active.raw), (ALARMS, acknowledged.raw), (BEATS, last_beat.raw)]


@pytest.mark.parametrize(
    ("prefix", "topics"),
    [
        ("", {ALARMS, BEATS, bed_topic("p10", "alarm"), HEARTBEAT_TOPIC}),
        ("v1/p", {ALARMS, BEATS, bed_topic("p10", "alarm")}),
        ("v1/p1/", {ALARMS, BEATS}),
        ("v1/p1/alarm/", {ALARMS}),
        ("v1/p1/alarm/1", set()),
        ("v1/monitor/", {HEARTBEAT_TOPIC}),
        ("v1/q", set()),
    ],
)
def test_last_values_are_selected_by_prefix(bus, sockets, prefix, topics):
    bus.publish(ALARMS, alarm(1))
    bus.publish(BEATS, beat(1))
    bus.publish(bed_topic("p10", "alarm"), alarm(2, bed="p10"))
    bus.heartbeat(heartbeat())
    got = received_before_marker(bus, sockets.subscribe(bus, prefix), 1)
    assert {topic for topic, _ in got} == topics


def test_a_second_subscriber_to_the_same_topic_receives_last_values(bus, sockets):
    raw = bus.publish(ALARMS, alarm(1)).raw
    first = sockets.subscribe(bus, ALARMS)
    assert received_before_marker(bus, first, 1) == [(ALARMS, raw)]
    second = sockets.subscribe(bus, ALARMS)
    assert (ALARMS, raw) in received_before_marker(bus, second, 3)
    others = [item for item in drain(first) if not item[0].startswith("v1/marker/")]
    assert set(others) <= {(ALARMS, raw)}  # the first subscriber may receive duplicates of the same bytes only


def test_malformed_subscriptions_are_ignored(bus, sockets):
    bus.publish(ALARMS, alarm(1))
    sub = sockets.socket(zmq.XSUB, bus.endpoints.alarms)
    for frames in (
        [b"\x01\xff\xfe"],
        [b"\x02hello"],
        [b""],
        [b"\x01v1/", b"more"],
        [b"\x00v1/"],
        [b"\x01" + ALARMS.encode()],
    ):
        sub.send_multipart(frames)
    wait_for(lambda: sub.poll(0), "the last value", lambda: serve(bus))
    assert sub.recv_multipart()[0] == ALARMS.encode()


def test_a_wave_is_float32_by_channel(bus, sockets):
    sub = sockets.socket(zmq.SUB, bus.endpoints.waves)
    sub.subscribe(bed_topic("p1", "wave"))
    samples = np.array([[1.0, np.nan, 3.0], [4.0, 5.0, -6.5]], dtype=np.float32)
    header = WaveHeader(sample=3, bed="p1", first_sample=3, n=3, fs_hz=360.0)
    wait_for(lambda: sub.poll(5), "a wave", lambda: bus.publish_wave(header, samples))
    topic, raw, block = sub.recv_multipart()
    got = decode(raw)
    assert (topic.decode(), got.epoch, got.first_sample) == (bed_topic("p1", "wave"), "run-1", 3)
    np.testing.assert_array_equal(np.frombuffer(block, "<f4").reshape(2, 3), samples)
    bus.publish_wave(header, samples.astype(np.float64)[:, ::1])
    assert bed_topic("p1", "wave") not in bus.seqs
    with pytest.raises(ValueError, match="header says"):
        bus.publish_wave(header, samples[:, :2])


def test_publishing_does_not_wait_for_a_subscriber_that_does_not_read(bus, sockets):
    sub = sockets.context.socket(zmq.SUB)
    sub.setsockopt(zmq.RCVHWM, 1)
    sub.connect(bus.endpoints.alarms)
    sub.subscribe("")
    wait_for_subscription(bus)
    for n in range(30_000):  # more than the queues of both sides hold
        bus.publish(BEATS, beat(n))
    assert bus.counters["published"] == 30_000
    assert sockets.ask(bus, Request(op="ping")).ok
    sub.close(0)


def test_a_burst_arrives_in_order_and_an_alarm_at_once(bus, sockets):
    sub = sockets.subscribe(bus, "v1/")
    sub.setsockopt(zmq.RCVTIMEO, round(TIMEOUT_S * 1000))
    wait_for_subscription(bus)
    published = []
    with contextlib.suppress(KeyError), bus.burst():
        published += [bus.publish(BEATS, beat(n)) for n in range(3)]
        assert not sub.poll(50)
        published.append(bus.publish(ALARMS, alarm(1)))
        assert [sub.recv_multipart()[1] for _ in published] == [message.raw for message in published]
        published += [bus.publish(BEATS, beat(n)) for n in range(3, 3 + 2 * BURST + 1)]
        raise KeyError
    assert [sub.recv_multipart()[1] for _ in published[4:]] == [message.raw for message in published[4:]]
    assert bus.publish(BEATS, beat(100)).raw == sub.recv_multipart()[1]


def test_the_goodbye_is_sent_before_the_ports_are_free(sockets):
    bus = make_bus()
    sub = sockets.subscribe(bus, HEARTBEAT_TOPIC)
    wait_for_subscription(bus)
    raw = bus.heartbeat(heartbeat("goodbye")).raw
    bus.close()
    bus.close()
    assert sub.poll(TIMEOUT_S * 1000)
    assert sub.recv_multipart()[1] == raw


def test_an_alarm_is_committed_at_once_and_other_messages_by_the_loop(tmp_path):
    """A second connection to the journal sees committed messages only."""
    now = [0.0]
    path = tmp_path / "j.db"
    journal = Journal(path)
    bus = Bus(ANY_ENDPOINTS, epoch="run-1", journal=journal, clock=lambda: now[0])

    def committed() -> int:
        with contextlib.closing(sqlite3.connect(path)) as reader:
            return int(reader.execute("SELECT count(*) FROM messages").fetchone()[0])

    bus.publish(BEATS, beat(1))
    bus.service(0.0)
    assert committed() == 0
    now[0] += 0.3
    bus.service(0.0)
    assert committed() == 1
    bus.publish(BEATS, beat(2))
    bus.publish(ALARMS, alarm(1))
    assert committed() == 3
    bus.close()
    journal.close()


def test_the_number_of_active_alarms_is_limited(bus):
    for n in range(1500):
        bus.publish(ALARMS, alarm(n))
    active = bus.snapshot("p1").messages
    assert len(active) == 1000
    assert bus.counters["active_forgotten"] == 500
    newest = decode(active[-1])
    assert isinstance(newest, AlarmMessage)
    assert newest.alarm.onset_sample == 1499


def test_the_example_subscriber_prints_alarms(bus):
    bus.publish(BEATS, beat(1))
    bus.publish(ALARMS, alarm(1))
    process = subprocess.Popen(
        [sys.executable, ROOT / "tools" / "examples" / "subscribe.py", bus.endpoints.alarms],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for_subscription(bus)
        serve(bus)
        bus.publish(BEATS, beat(2))
        bus.publish(ALARMS, alarm(1, "cleared"))
        assert process.stdout is not None
        first, second = process.stdout.readline(), process.stdout.readline()
    finally:
        process.kill()
        process.communicate()
    assert "p1" in first
    assert "onset" in first
    assert "asystole" in first
    assert "cleared" in second
