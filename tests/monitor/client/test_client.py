"""A client and a bus over real sockets: joining, recovery, connection state, requests, waves."""

from __future__ import annotations

import numpy as np
import pytest
import zmq

from monitor.bus import server
from monitor.bus.endpoints import endpoints_from
from monitor.client.client import AlarmClient, wave_samples
from monitor.errors import ClientError
from monitor.messages import (
    HEARTBEAT_TOPIC,
    AlarmMessage,
    BeatMessage,
    HeartbeatMessage,
    Reply,
    Request,
    StatusMessage,
    WaveHeader,
    bed_topic,
)
from tests.monitor.bus.helpers import (
    BusProcess,
    alarm,
    beat,
    connect,
    dropped,
    heartbeat,
    join,
    make_bus,
    of,
    pump,
    status,
    wait_for,
)
from tests.monitor.commands.helpers import free_endpoint

ALARMS = bed_topic("p1", "alarm")
BEATS = bed_topic("p1", "beat")


def test_a_new_client_receives_the_last_values_then_new_messages(bus, closing):
    bus.publish(ALARMS, alarm(1))
    bus.publish(ALARMS, alarm(2))
    bus.publish(ALARMS, alarm(1, "cleared"))
    bus.publish(BEATS, beat(1))
    last_beat = bus.publish(BEATS, beat(2))
    client = closing(connect(bus))
    (got,) = join(bus, client)
    bus.publish(ALARMS, alarm(3))
    pump(bus, client, until=lambda: len(of(got, AlarmMessage)) >= 2, got=[got], what="alarms")
    assert [body.alarm.onset_sample for _, body, _ in of(got, AlarmMessage)] == [2, 3]
    assert of(got, BeatMessage) == [(BEATS, last_beat.body, last_beat.raw)]
    assert client.missed == client.recovered == 0
    assert client.epoch == "run-1"


def test_messages_published_while_a_client_joins_arrive_once(bus, closing):
    """Alarms are published during connecting, subscribing and the snapshot."""
    client = closing(connect(bus))
    got: list = []
    sent = 0

    def publish_more() -> bool:
        nonlocal sent
        if not client.counters["snapshots"] or sent < 50:
            sent += 1
            bus.publish(ALARMS, alarm(sent))
            bus.heartbeat(heartbeat())
            return False
        return any(body.seq == sent for _, body, _ in of(got, AlarmMessage))

    pump(bus, client, until=publish_more, got=[got], what="the last alarm")
    assert [body.seq for _, body, _ in of(got, AlarmMessage)] == list(range(1, sent + 1))


def test_a_client_receives_its_beds_and_streams_only(bus, closing):
    client = closing(connect(bus, beds=("p1",), streams=("alarm",)))
    everything = closing(connect(bus))
    got, all_messages = join(bus, client, everything)
    for bed in ("p10", "p1", "p"):
        bus.publish(bed_topic(bed, "alarm"), alarm(1, bed=bed))
        bus.publish(bed_topic(bed, "beat"), beat(1, bed=bed))
        bus.publish(bed_topic(bed, "status"), status(1, bed=bed))
    bus.heartbeat(heartbeat())
    pump(
        bus,
        client,
        everything,
        until=lambda: len(of(got, HeartbeatMessage)) >= 2 and len(of(all_messages, HeartbeatMessage)) >= 2,
        got=[got, all_messages],
        what="heartbeats",
    )
    assert {topic for topic, _, _ in got} == {ALARMS, HEARTBEAT_TOPIC}
    for kind in (AlarmMessage, BeatMessage, StatusMessage):
        assert len(of(all_messages, kind)) == 3


def test_alarms_arrive_without_the_control_socket(closing):
    """A firewall or tunnel may let only the alarms socket through."""
    bus = make_bus()
    bus.publish(ALARMS, alarm(1))
    bus.publish(ALARMS, alarm(2))
    bus.publish(ALARMS, alarm(1, "cleared"))
    bus.heartbeat(heartbeat())
    now = [0.0]
    client = closing(AlarmClient(bus.endpoints.alarms, free_endpoint(), clock=lambda: now[0], patience_s=3.0))
    got: list = []
    pump(bus, client, until=lambda: of(got, HeartbeatMessage), got=[got], what="a heartbeat")
    assert not of(got, AlarmMessage)

    def after_some_turns() -> bool:  # many turns of the client, not one long suspension
        now[0] += 0.5
        return bool(of(got, AlarmMessage))

    pump(bus, client, until=after_some_turns, got=[got], what="the active alarm")
    bus.publish(ALARMS, alarm(4))
    pump(bus, client, until=lambda: len(of(got, AlarmMessage)) == 2, got=[got], what="a live alarm")
    assert [body.seq for _, body, _ in of(got, AlarmMessage)] == [2, 4]
    with dropped():
        for onset in range(5, 10):  # cleared, so that no last value of them is sent after a reconnection
            bus.publish(ALARMS, alarm(onset))
            bus.publish(ALARMS, alarm(onset, "cleared"))
    bus.publish(ALARMS, alarm(10))
    bus.heartbeat(heartbeat())
    pump(bus, client, until=lambda: len(of(got, HeartbeatMessage)) == 2, got=[got], what="a heartbeat")
    assert len(of(got, AlarmMessage)) == 2
    now[0] += 60.0  # a suspension for a minute does not count as waiting
    got += client.poll()
    assert len(of(got, AlarmMessage)) == 2

    def after_the_missing_alarms() -> bool:
        now[0] += 0.5
        return len(of(got, AlarmMessage)) == 3

    pump(bus, client, until=after_the_missing_alarms, got=[got], what="the alarm after the missing ones")
    assert client.missed == 10
    bus.close()


def test_the_connection_state_follows_the_heartbeat(bus, closing):
    now = [100.0]
    client = closing(connect(bus, clock=lambda: now[0]))
    assert client.state == "connecting"
    assert client.silent_s is None
    now[0] += 5.0
    assert client.state == "lost"
    (got,) = join(bus, client)
    assert client.state == "connected"
    now[0] += 1.9
    assert client.state == "connected"
    now[0] += 0.1
    assert client.state == "stale"
    bus.publish(ALARMS, alarm(1))
    pump(bus, client, until=lambda: of(got, AlarmMessage), got=[got], what="an alarm")
    assert client.state == "stale"  # only a heartbeat proves that the whole monitor works
    now[0] += 3.0
    assert client.state == "lost"
    assert client.silent_s == pytest.approx(5.0)
    bus.heartbeat(heartbeat())
    pump(bus, client, until=lambda: client.state == "connected", got=[got], what="the connection")
    bus.heartbeat(heartbeat("goodbye"))
    pump(bus, client, until=lambda: client.state == "ended", got=[got], what="the goodbye")


def test_a_heartbeat_repeated_for_another_subscriber_does_not_count(bus, closing):
    now = [0.0]
    client = closing(connect(bus, clock=lambda: now[0]))
    (got,) = join(bus, client)
    now[0] += 3.0
    other = closing(connect(bus))
    pump(bus, client, other, until=lambda: other.counters["snapshots"], got=[got, []], what="the other client")
    pump(bus, client, until=lambda: client.counters["received"] >= 2, got=[got], what="repetitions")
    assert len(of(got, HeartbeatMessage)) == 1
    assert client.state == "stale"


def test_poll_returns_the_messages_that_arrived_during_a_request(closing):
    process = BusProcess(":memory:", "run-1")
    try:
        client = closing(AlarmClient(process.endpoints.alarms, process.endpoints.control))
        reply = client.request(Request(op="ping"), 30.0)
        assert (reply.ok, reply.epoch) == (True, "run-1")
        process.execute("heartbeat")
        got: list = []
        pump(None, client, until=lambda: client.counters["snapshots"], got=[got], what="a snapshot")
        process.execute("alarm 3")
        reply = client.request(Request(op="acknowledge", alarm_id="p1/asystole/1", who="nurse 3"), 30.0)
        assert reply.data == {"op": "acknowledge"}
        refused = client.request(Request(op="pause_audio", seconds=500.0), 30.0)
        assert not refused.ok
        assert "0 to 120" in refused.error
        pump(None, client, until=lambda: len(of(got, AlarmMessage)) == 3, got=[got], what="the alarms")
    finally:
        process.kill()


def test_a_request_without_an_answer_is_one_line_and_takes_no_effect_later(closing):
    ends = endpoints_from(free_endpoint())
    client = closing(AlarmClient(ends.alarms, ends.control))
    with pytest.raises(ClientError, match=f"no answer to 'acknowledge' from {ends.control} within 0.05 s") as error:
        client.request(Request(op="acknowledge", alarm_id="p1/asystole/1"), 0.05)
    assert "\n" not in str(error.value)
    bus = make_bus(endpoints=ends)
    served: list = []
    got: list = []

    def turn() -> None:
        got.extend(client.poll(0.0))
        for request in bus.service(0.005):
            served.append(request.request.op)
            request.reply(Reply(ok=True))

    bus.heartbeat(heartbeat())
    wait_for(lambda: of(got, HeartbeatMessage) and served, "a connection", turn)
    assert set(served) == {"snapshot"}
    bus.close()


def test_an_invalid_endpoint_is_one_line():
    with pytest.raises(ClientError, match="cannot connect to nonsense"):
        AlarmClient("nonsense", "tcp://127.0.0.1:5558")


def test_waves_arrive_and_may_be_dropped(bus, closing):
    client = closing(connect(bus, waves_endpoint=bus.endpoints.waves))
    (got,) = join(bus, client)
    samples = np.arange(12, dtype=np.float32).reshape(2, 6)
    header = WaveHeader(bed="p1", first_sample=7, n=6, fs_hz=360.0)

    def has_arrived() -> bool:
        bus.publish_wave(header, samples)
        return bool(of(got, WaveHeader))

    pump(bus, client, until=has_arrived, got=[got], what="a wave")
    topic, body, raw = of(got, WaveHeader)[0]
    assert topic == bed_topic("p1", "wave")
    np.testing.assert_array_equal(wave_samples(body, raw), samples)
    for _ in range(5000):
        bus.publish_wave(header, samples)
    seen = len(of(got, WaveHeader))
    bus.publish(ALARMS, alarm(1))
    pump(bus, client, until=lambda: of(got, AlarmMessage), got=[got], what="an alarm after a flood of waves")
    assert len(of(got, WaveHeader)) - seen < 5000
    assert client.missed == 0


def test_undecodable_messages_are_counted_and_skipped(closing):
    context = zmq.Context()
    fake = context.socket(zmq.XPUB)
    fake.setsockopt(zmq.XPUB_VERBOSE, 1)
    port = fake.bind_to_random_port("tcp://127.0.0.1")
    client = closing(AlarmClient(f"tcp://127.0.0.1:{port}", free_endpoint()))
    wait_for(lambda: fake.poll(5), "a subscription")
    for frames in (
        [b"v1/p1/alarm/"],
        [b"v1/p1/alarm/", b"{"],
        [b"v1/p1/beat/", b'{"schema": "beat/9"}'],
        [b"v1/\xff/beat/", b""],
    ):
        fake.send_multipart(frames)
    wait_for(lambda: client.counters["undecodable"] == 4, "four messages", lambda: client.poll(0.01))
    assert client.state == "connecting"
    context.destroy(linger=0)


def test_an_unknown_kind_of_message_in_the_snapshot_is_skipped(bus, closing, monkeypatch):
    newer = b'{"schema":"beat/9","epoch":"run-1","seq":1}'  # as of a newer monitor
    with monkeypatch.context() as patch:
        patch.setattr(server, "encode", lambda body: newer)
        bus.publish(BEATS, beat(1))
    active = bus.publish(ALARMS, alarm(1))
    client = closing(connect(bus))
    (got,) = join(bus, client)
    after = bus.publish(ALARMS, alarm(2))
    pump(bus, client, until=lambda: len(of(got, AlarmMessage)) == 2, got=[got], what="alarms")
    assert [raw for _, _, raw in of(got, AlarmMessage)] == [active.raw, after.raw]
    assert client.counters["undecodable"] >= 1
