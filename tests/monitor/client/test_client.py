"""A client and a bus over real sockets: joining, recovery, connection state, requests, waves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zmq
from msgspec.structs import replace

from monitor.bus import server, sockets
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
from tests import ROOT
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


def test_messages_that_zeromq_drops_are_recovered_once_and_in_order(monkeypatch, closing):
    """Short queues and long texts fill the buffers of the system within a second.

    A client that does not read for longer than its ping timeout makes libzmq 4.3.5 abort (zeromq/libzmq#3937).
    """
    monkeypatch.setattr(sockets, "ALARM_HWM", 100)
    bus = make_bus()
    client = closing(connect(bus, receive_hwm=5))
    (got,) = join(bus, client)
    n = 4_000  # 16 MB
    for seq in range(1, n + 1):
        message = alarm(seq)
        bus.publish(ALARMS, replace(message, alarm=replace(message.alarm, text="x" * 4000)))
        if seq % 4 == 0:
            bus.publish(BEATS, beat(seq))

    def all_here() -> bool:
        bus.heartbeat(heartbeat())  # may be dropped too; the next one repeats its content
        return sum(topic != HEARTBEAT_TOPIC for topic, _, _ in got) >= n + n // 4

    pump(bus, client, until=all_here, got=[got], what="all messages")
    assert [body.seq for _, body, _ in of(got, AlarmMessage)] == list(range(1, n + 1))
    assert [body.seq for _, body, _ in of(got, BeatMessage)] == list(range(1, n // 4 + 1))
    assert client.recovered > 0, "no message was dropped, so the test proves nothing"
    assert client.missed == 0
    bus.close()


def test_a_missing_message_of_a_silent_topic_is_found_by_the_heartbeat(bus, closing):
    client = closing(connect(bus))
    (got,) = join(bus, client)
    with dropped():
        lost = bus.publish(ALARMS, alarm(1))
    bus.heartbeat(heartbeat())
    pump(bus, client, until=lambda: of(got, AlarmMessage), got=[got], what="the alarm")
    assert of(got, AlarmMessage) == [(ALARMS, lost.body, lost.raw)]
    assert client.recovered == 1


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


def test_ipc_works_like_tcp(tmp_path: Path, closing):
    bus = make_bus(endpoints=endpoints_from(f"ipc://{tmp_path}/ecg"))
    client = closing(connect(bus))
    (got,) = join(bus, client)
    bus.publish(ALARMS, alarm(1))
    pump(bus, client, until=lambda: of(got, AlarmMessage), got=[got], what="an alarm")
    bus.close()


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


DOES_NOT_POLL = """
import sys
from monitor.client import sockets
from monitor.client.client import AlarmClient
from monitor.messages import BeatMessage

def memory_mb():
    fields = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(fields["VmHWM"].split()[0]) / 1024

sockets.PING_TIMEOUT_MS = 60_000  # else libzmq may abort while this client does not read (zeromq/libzmq#3937)
client = AlarmClient(*sys.argv[1:3], patience_s=60.0)
seqs = []

def read(count):
    while len(seqs) < count:
        seqs.extend(body.seq for _, body, _ in client.poll(0.1) if isinstance(body, BeatMessage))

read(1)
before_mb = memory_mb()
print("joined", flush=True)
sys.stdin.readline()
after_mb = memory_mb()
read(int(sys.argv[3]))
assert seqs == list(range(1, len(seqs) + 1)), "not each once and in order"
print(after_mb - before_mb, client.recovered, client.missed, flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_client_that_does_not_poll_uses_bounded_memory_and_recovers(tmp_path):
    n = 80_000  # more than the queues of both sides and the buffers of the system hold
    process = BusProcess(tmp_path / "j.db", "run-1")
    ends = process.endpoints
    client = subprocess.Popen(
        [sys.executable, "-c", DOES_NOT_POLL, ends.alarms, ends.control, str(n)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        process.execute("beat 1")
        process.execute("heartbeat")
        assert client.stdout is not None
        assert client.stdout.readline() == "joined\n"
        process.execute(f"beat {n - 1}")
        assert client.stdin is not None
        client.stdin.write("go\n")
        client.stdin.flush()
        # A heartbeat shows the last missing message; the first heartbeat was dropped too.
        wait_for(lambda: client.poll() is not None, "the other beats", lambda: process.execute("heartbeat"))
        grown_mb, recovered, missed = client.stdout.read().split()
        # 10,000 messages are about 10 MB, but each may hold the 8 kB buffer that libzmq read it with.
        assert float(grown_mb) < 120.0
        assert int(recovered) > 0, "no message was dropped, so the test proves nothing"
        assert missed == "0"
    finally:
        client.kill()
        client.communicate()
        process.kill()
