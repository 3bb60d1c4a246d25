from __future__ import annotations

import contextlib
import errno
import json
import random
import re
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zmq
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from monitor.bus.requests import MAX_REQUEST_BYTES
from monitor.bus.server import BURST, Bus, BusEndpoints, endpoints_from
from monitor.errors import BusError
from monitor.journal import Journal
from monitor.messages import HEARTBEAT_TOPIC, AlarmMessage, Reply, Request, WaveHeader, bed_topic, decode, encode
from tests.monitor.bus.helpers import (
    ANY_ENDPOINTS,
    TIMEOUT_S,
    BusProcess,
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


@pytest.fixture
def bus():
    bus = make_bus()
    yield bus
    bus.close()


class Sockets:
    """Makes sockets and keeps them until the end of the test (pyzmq warns of one that is forgotten open)."""

    def __init__(self) -> None:
        self.context = zmq.Context()
        self.made: list[zmq.Socket] = []

    def socket(self, kind: int) -> zmq.Socket:
        self.made.append(self.context.socket(kind))
        return self.made[-1]


@pytest.fixture
def context():
    sockets = Sockets()
    yield sockets
    sockets.context.destroy(linger=0)


def subscribe(context: Sockets, bus: Bus, *prefixes: str) -> zmq.Socket:
    sub = context.socket(zmq.SUB)
    sub.connect(bus.endpoints.alarms)
    for prefix in prefixes:
        sub.subscribe(prefix)
    return sub


def drain(sub: zmq.Socket) -> list[tuple[str, bytes]]:
    got = []
    while sub.poll(0):
        topic, raw = sub.recv_multipart()
        got.append((topic.decode(), raw))
    return got


def hear(bus: Bus, sub: zmq.Socket, subscriptions: int) -> list[tuple[str, bytes]]:
    """All a subscriber has got when a marker published after its subscriptions came through."""
    wait_for(lambda: bus.counters["subscriptions"] >= subscriptions, "subscription", lambda: serve(bus))
    marker = bus.publish(bed_topic("marker", "status"), status(0, "marker")).raw
    got: list[tuple[str, bytes]] = []
    sub.subscribe("v1/marker/")
    wait_for(lambda: any(raw == marker for _, raw in got), "marker", lambda: (serve(bus), got.extend(drain(sub))))
    return [item for item in got if not item[0].startswith("v1/marker/")]


def ask(bus: Bus, context: Sockets, request: Request | bytes) -> Reply:
    req = context.socket(zmq.REQ)
    req.connect(bus.endpoints.control)
    req.send(request if isinstance(request, bytes) else encode(request))
    wait_for(lambda: req.poll(0), "reply", lambda: serve(bus))
    reply = msgspec.json.decode(req.recv(), type=Reply)
    req.close(0)
    return reply


def test_numbers_every_topic_by_itself_and_gives_back_what_went_out(bus):
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
def test_refuses_a_topic_that_is_none(bus, topic):
    with pytest.raises(ValueError, match="topic"):
        bus.publish(topic, alarm(1))


def test_a_late_subscriber_gets_the_active_alarms_at_once_and_not_the_cleared(bus, context):
    bus.publish(ALARMS, alarm(1))
    cleared = bus.publish(ALARMS, alarm(2))
    active = bus.publish(ALARMS, alarm(3))
    bus.publish(ALARMS, alarm(2, "cleared"))
    acknowledged = bus.publish(ALARMS, alarm(1, "acknowledged"))
    bus.publish(BEATS, beat(5))
    last_beat = bus.publish(BEATS, beat(6))
    sub = subscribe(context, bus, "v1/p1/")
    got = hear(bus, sub, 1)
    assert got == [(ALARMS, active.raw), (ALARMS, acknowledged.raw), (BEATS, last_beat.raw)]
    assert cleared.raw not in [raw for _, raw in got]


def test_p1_does_not_get_p10(bus, context):
    ten = bed_topic("p10", "alarm")
    bus.publish(ALARMS, alarm(1))
    bus.publish(ten, alarm(2, bed="p10"))
    sub = subscribe(context, bus, ALARMS)
    assert [topic for topic, _ in hear(bus, sub, 1)] == [ALARMS]
    bus.publish(ten, alarm(3, bed="p10"))
    assert hear(bus, sub, 2) == []


@pytest.mark.parametrize(
    ("prefix", "topics"),
    [
        ("", {ALARMS, BEATS, HEARTBEAT_TOPIC}),
        ("v1/p", {ALARMS, BEATS}),
        ("v1/p1/alarm/", {ALARMS}),
        ("v1/p1/alarm/1", set()),
        ("v1/monitor/", {HEARTBEAT_TOPIC}),
        ("v1/q", set()),
    ],
)
def test_last_values_follow_the_rule_of_prefixes(bus, context, prefix, topics):
    bus.publish(ALARMS, alarm(1))
    bus.publish(BEATS, beat(1))
    bus.heartbeat(heartbeat())
    got = hear(bus, subscribe(context, bus, prefix), 1)
    assert {topic for topic, _ in got} == topics


def test_every_newcomer_is_greeted_though_others_hold_the_same_subscription(bus, context):
    raw = bus.publish(ALARMS, alarm(1)).raw
    first = subscribe(context, bus, ALARMS)
    assert hear(bus, first, 1) == [(ALARMS, raw)]
    second = subscribe(context, bus, ALARMS)
    assert (ALARMS, raw) in hear(bus, second, 3)
    others = [item for item in drain(first) if not item[0].startswith("v1/marker/")]
    assert set(others) <= {(ALARMS, raw)}  # who was there before may get duplicates, the same bytes, nothing else


def test_subscriptions_that_are_no_text_do_no_harm(bus, context):
    bus.publish(ALARMS, alarm(1))
    sub = context.socket(zmq.XSUB)
    sub.connect(bus.endpoints.alarms)
    for frames in (
        [b"\x01\xff\xfe"],
        [b"\x02hello"],
        [b""],
        [b"\x01v1/", b"more"],
        [b"\x00v1/"],
        [b"\x01" + ALARMS.encode()],
    ):
        sub.send_multipart(frames)
    wait_for(lambda: sub.poll(0), "last value", lambda: serve(bus))
    assert sub.recv_multipart()[0] == ALARMS.encode()


def test_who_is_dropped_finds_the_rest_in_the_journal(bus, context):
    published = [bus.publish(ALARMS, alarm(n)).raw for n in range(1, 2501)]
    got: list[bytes] = []
    seq = 0
    while True:
        reply = ask(bus, context, Request(op="since", topic=ALARMS, epoch="run-1", seq=seq))
        assert reply.ok
        assert reply.complete
        got += [bytes(raw) for raw in reply.messages]
        seq = reply.data["seq"]
        if not reply.data["more"]:
            break
    assert got == published


def test_ping_and_what_the_pipeline_answers(bus, context):
    reply = ask(bus, context, Request(op="ping", id="x"))
    assert (reply.ok, reply.id, reply.epoch) == (True, "x", "run-1")
    bus.publish(ALARMS, alarm(1))
    bus.publish(ALARMS, alarm(2, "cleared"))
    bus.publish(bed_topic("p2", "status"), status(4, "p2"))
    bus.heartbeat(heartbeat())
    reply = ask(bus, context, Request(op="snapshot"))
    assert [type(decode(raw)).__name__ for raw in reply.messages] == ["AlarmMessage", "StatusMessage"]
    assert reply.data["seqs"][ALARMS] == 2
    reply = ask(bus, context, Request(op="snapshot", bed="p1"))
    assert len(reply.messages) == 1
    for op in ("acknowledge", "pause_audio", "strip"):
        assert ask(bus, context, Request(op=op)).data == {"op": op}


def test_a_request_is_answered_once_and_a_client_that_left_is_no_trouble(bus, context):
    req = context.socket(zmq.DEALER)
    req.connect(bus.endpoints.control)
    req.send(encode(Request(op="snapshot")))  # a DEALER needs no empty frame
    waiting: list = []
    wait_for(lambda: waiting, "request", lambda: waiting.extend(bus.service(0.01)))
    assert waiting[0].reply(Reply(ok=True))
    assert not waiting[0].reply(Reply(ok=False))
    wait_for(lambda: req.poll(0), "reply", lambda: serve(bus))
    assert len(req.recv_multipart()) == 1
    req.send(encode(Request(op="snapshot")))
    waiting.clear()
    wait_for(lambda: waiting, "request", lambda: waiting.extend(bus.service(0.01)))
    req.close(0)
    # The connection's end is seen when the socket is next looked at; until then a reply is merely dropped.
    wait_for(lambda: not waiting[0]._send or not waiting[0].reply(Reply(ok=True)), "end", lambda: serve(bus))
    assert ask(bus, context, Request(op="ping")).ok


def test_a_reply_that_is_no_json_is_an_error_reply(bus, context):
    req = context.socket(zmq.REQ)
    req.connect(bus.endpoints.control)
    req.send(encode(Request(op="strip", id="7")))
    waiting: list = []
    wait_for(lambda: waiting, "request", lambda: waiting.extend(bus.service(0.01)))
    assert waiting[0].reply(Reply(ok=True, data={"x": object()}))
    wait_for(lambda: req.poll(0), "reply", lambda: serve(bus))
    reply = msgspec.json.decode(req.recv(), type=Reply)
    assert (reply.ok, reply.id) == (False, "7")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "no JSON object"),
        (b"[1, 2]", "no JSON object"),
        (b"[" * 60_000, "no JSON object"),
        (b'{"op": "reboot", "id": "7"}', "no such op 'reboot'; there are snapshot, since"),
        (b'{"op": 3}', "no such op 3"),
        (b'{"op": "ping", "colour": 1}', "unknown field `colour`"),
        (b'{"op": "since", "seq": "x"}', "Expected `int`"),
        (b'{"op": "since", "seq": 99999999999999999999999}', "out of range"),
        (b'{"op": "since", "seq": -1}', "seq = -1 is out of range"),
        (b'{"op": "strip", "n": 0}', "n = 0 is out of range"),
        (b'{"op": "pause_audio", "seconds": 121}', "must be 0 to 120"),
        (b'{"op": "acknowledge", "who": "' + b"x" * 300 + b'"}', "who is longer than 200"),
        (b'{"op": "since", "topic": "v1/monitor/heartbeat/"}', "is not kept"),
        (b'{"op": "ping", "id": "' + b"x" * MAX_REQUEST_BYTES + b'"}', "at most 65536"),
        (b"\xff\xfe", "no JSON object"),
    ],
)
def test_a_bad_request_gets_one_line_and_is_counted(bus, context, body, error):
    reply = ask(bus, context, body)
    assert not reply.ok
    assert error in reply.error
    assert "\n" not in reply.error
    assert bus.counters["bad_requests"] == 1
    assert bus.counters["internal_errors"] == 0
    if b'"id": "7"' in body:
        assert reply.id == "7"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
near_requests = st.fixed_dictionaries(
    {"op": st.sampled_from(["snapshot", "since", "acknowledge", "pause_audio", "strip", "ping", "nothing"])},
    optional={
        "id": st.text(max_size=10),
        "bed": st.text(max_size=10),
        "topic": st.sampled_from([ALARMS, BEATS, "v1/p1/wave/", ""]) | st.text(max_size=20),
        "epoch": st.sampled_from(["run-1", ""]) | st.text(max_size=10),
        "seq": st.integers() | st.integers(0, 10),
        "seconds": st.floats(allow_nan=False, allow_infinity=False) | json_values,
        "n": st.none() | st.integers(),
        "first_sample": st.none() | st.integers(),
    },
)
frames = st.lists(
    st.binary(max_size=200)
    | near_requests.map(lambda v: json.dumps(v).encode())
    | json_values.map(lambda v: json.dumps(v).encode()),
    min_size=1,
    max_size=4,
)


@pytest.fixture(scope="module")
def fuzzed():
    """A bus and a client that lives through all of it."""
    bus = make_bus()
    bus.publish(ALARMS, alarm(1))
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.connect(bus.endpoints.control)
    yield bus, dealer
    context.destroy(linger=0)
    bus.close()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=frames)
@example(parts=[b"", b"", b""])
@example(parts=[b""])
@example(parts=[b"x"] * 2000)
@example(parts=[b'{"op":"ping","id":"\\ud800"}'])
@example(parts=[b'{"a":' * 12_000])
def test_no_request_stops_it_and_each_gets_an_answer(fuzzed, parts):
    bus, dealer = fuzzed
    dealer.send_multipart(parts)
    wait_for(lambda: dealer.poll(0), "reply", lambda: serve(bus))
    reply = msgspec.json.decode(dealer.recv_multipart()[-1], type=Reply)
    assert reply.ok or reply.error
    assert not dealer.poll(0)
    assert bus.counters["requests"] > 0
    assert bus.counters["internal_errors"] == 0


def test_bytes_that_are_no_zeromq_and_frames_too_long_do_no_harm(bus, context):
    _, _, port = bus.endpoints.control.rpartition(":")
    with socket.create_connection(("127.0.0.1", int(port))) as raw:
        raw.sendall(random.Random(1).randbytes(5000))
        raw.settimeout(TIMEOUT_S)
        assert ask(bus, context, Request(op="ping")).ok
    flooder = context.socket(zmq.DEALER)
    flooder.connect(bus.endpoints.control)
    flooder.send(bytes(2 << 20))  # the connection is closed, nothing is read
    assert ask(bus, context, Request(op="ping")).ok
    assert bus.counters["internal_errors"] == 0


def test_a_flood_of_requests_does_not_keep_the_loop(bus, context):
    flooder = context.socket(zmq.DEALER)
    flooder.connect(bus.endpoints.control)
    for _ in range(900):
        flooder.send(encode(Request(op="strip")))
    got = 0

    def turn() -> None:
        nonlocal got
        before = bus.counters["requests"]
        got += len(bus.service(0.01))
        assert bus.counters["requests"] - before <= 64

    wait_for(lambda: bus.counters["requests"] == 900, "all requests", turn)
    assert got + bus.counters["slowed"] == 900
    assert bus.counters["slowed"] > 0


def test_waves_carry_float32_row_by_row(bus, context):
    sub = context.socket(zmq.SUB)
    sub.connect(bus.endpoints.waves)
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


def test_publishing_never_blocks_on_who_does_not_read(bus, context):
    sub = context.socket(zmq.SUB)
    sub.setsockopt(zmq.RCVHWM, 1)
    sub.connect(bus.endpoints.alarms)
    sub.subscribe("")
    wait_for(lambda: bus.counters["subscriptions"], "subscription", lambda: serve(bus))
    for n in range(30_000):  # more than the queues on both sides hold
        bus.publish(BEATS, beat(n))
    assert bus.counters["published"] == 30_000
    assert ask(bus, context, Request(op="ping")).ok


def test_what_is_published_together_arrives_in_order_and_an_alarm_at_once(bus, context):
    sub = subscribe(context, bus, "v1/")
    sub.setsockopt(zmq.RCVTIMEO, round(TIMEOUT_S * 1000))
    wait_for(lambda: bus.counters["subscriptions"], "subscription", lambda: serve(bus))
    published = []
    with contextlib.suppress(KeyError), bus.together():
        published += [bus.publish(BEATS, beat(n)) for n in range(3)]
        assert not sub.poll(50)
        published.append(bus.publish(ALARMS, alarm(1)))
        assert [sub.recv_multipart()[1] for _ in published] == [message.raw for message in published]
        published += [bus.publish(BEATS, beat(n)) for n in range(3, 3 + 2 * BURST + 1)]
        raise KeyError
    assert [sub.recv_multipart()[1] for _ in published[4:]] == [message.raw for message in published[4:]]
    assert bus.publish(BEATS, beat(100)).raw == sub.recv_multipart()[1]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_port_in_use_is_one_line_and_leaves_the_others_free(which):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoints = ["tcp://127.0.0.1:*"] * 3
        endpoints[which] = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        journal = Journal(":memory:")
        with pytest.raises(BusError, match=re.escape(f"endpoint {endpoints[which]} is in use")) as error:
            make_bus(journal, endpoints=BusEndpoints(*endpoints))
        assert "\n" not in str(error.value)
        assert journal.epochs() == []
        make_bus(journal).close()


def test_an_ipc_path_in_use_is_not_taken_away_and_one_left_behind_is(tmp_path):
    endpoints = endpoints_from(f"ipc://{tmp_path}/ecg")
    process = BusProcess(":memory:", "run-1", endpoints.alarms)
    try:
        with pytest.raises(BusError, match="is in use"):
            make_bus(endpoints=endpoints)
    finally:
        process.kill()
    assert (tmp_path / "ecg").exists()
    bus = make_bus(endpoints=endpoints)
    assert bus.endpoints == endpoints
    bus.close()


@pytest.mark.parametrize(
    "address", ["tcp://0.0.0.0:*", "tcp://*:5556", "tcp://192.0.2.1:5556", "tcp://eth0:5556", "tcp://[::]:5556"]
)
def test_other_addresses_than_loopback_are_refused(address):
    with pytest.raises(BusError, match=r"without keys.*ecg-monitor keys new DIR.*loopback") as error:
        make_bus(endpoints=BusEndpoints(alarms=address))
    assert "\n" not in str(error.value)


def test_localhost_and_ipv6_are_loopback():
    make_bus(endpoints=endpoints_from("tcp://localhost:*")).close()
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            pytest.skip("no IPv6 here")
        raise
    make_bus(endpoints=endpoints_from("tcp://[::1]:0")).close()


@pytest.mark.parametrize(
    ("given_endpoint", "waves", "control"),
    [
        ("tcp://127.0.0.1:5556", "tcp://127.0.0.1:5557", "tcp://127.0.0.1:5558"),
        ("tcp://bedside.example:65533", "tcp://bedside.example:65534", "tcp://bedside.example:65535"),
        ("tcp://[::1]:7000", "tcp://[::1]:7001", "tcp://[::1]:7002"),
        ("tcp://127.0.0.1:0", "tcp://127.0.0.1:*", "tcp://127.0.0.1:*"),
        ("ipc:///run/ecg", "ipc:///run/ecg.waves", "ipc:///run/ecg.control"),
    ],
)
def test_endpoints_follow_from_one(given_endpoint, waves, control):
    endpoints = endpoints_from(given_endpoint)
    assert (endpoints.waves, endpoints.control) == (waves, control)


@pytest.mark.parametrize(
    "bad",
    ["", "127.0.0.1:5556", "tcp://", "tcp://127.0.0.1", "tcp://:5556", "tcp://h:x", "tcp://h:65534", "tcp://h:-1",
     "udp://h:5556", "tcp://a b:5556", "tcp://h:5556/x", "tcp://::1:5556", "ipc://", "tcp://h:٣", "http://h:5556"],
)  # fmt: skip
def test_an_endpoint_not_understood_is_one_line(bad):
    with pytest.raises(BusError, match="endpoint") as error:
        endpoints_from(bad)
    assert "\n" not in str(error.value)


@given(st.text(max_size=40))
def test_any_text_is_an_endpoint_or_one_error(text):
    with contextlib.suppress(BusError):
        endpoints_from("tcp://" + text)


def test_goodbye_is_heard_before_the_ports_are_freed(context):
    bus = make_bus()
    sub = subscribe(context, bus, HEARTBEAT_TOPIC)
    wait_for(lambda: bus.counters["subscriptions"], "subscription", lambda: serve(bus))
    raw = bus.heartbeat(heartbeat("goodbye")).raw
    bus.close()
    bus.close()
    assert sub.poll(TIMEOUT_S * 1000)
    assert sub.recv_multipart()[1] == raw


def test_what_was_not_alarm_is_committed_by_the_turn_of_the_loop(tmp_path):
    now = [0.0]
    journal = Journal(tmp_path / "j.db")
    bus = Bus(ANY_ENDPOINTS, epoch="run-1", journal=journal, clock=lambda: now[0])
    bus.publish(BEATS, beat(1))
    bus.service(0.0)
    assert journal._db.in_transaction
    now[0] += 0.3
    bus.service(0.0)
    assert not journal._db.in_transaction
    bus.publish(BEATS, beat(2))
    bus.publish(ALARMS, alarm(1))
    assert not journal._db.in_transaction
    bus.close()
    journal.close()


def test_alarms_that_never_clear_are_bounded(bus):
    for n in range(1500):
        bus.publish(ALARMS, alarm(n))
    assert len(bus.current("v1/p1/alarm/")) == 1000
    assert bus.counters["active_forgotten"] == 500
    newest = decode(bus.current("v1/p1/alarm/")[-1])
    assert isinstance(newest, AlarmMessage)
    assert newest.alarm.onset_sample == 1499


def test_the_plain_subscriber_prints_alarms():
    root = Path(__file__).parents[3]
    bus = make_bus()
    bus.publish(BEATS, beat(1))
    bus.publish(ALARMS, alarm(1))
    process = subprocess.Popen(
        [sys.executable, root / "tools" / "subscribe.py", bus.endpoints.alarms], stdout=subprocess.PIPE, text=True
    )
    try:
        wait_for(lambda: bus.counters["subscriptions"], "subscription", lambda: serve(bus))
        serve(bus)
        bus.publish(BEATS, beat(2))
        bus.publish(ALARMS, alarm(1, "cleared"))
        assert process.stdout is not None
        first, second = process.stdout.readline(), process.stdout.readline()
    finally:
        process.kill()
        process.communicate()
        bus.close()
    assert "p1" in first
    assert "onset" in first
    assert "asystole" in first
    assert "cleared" in second
