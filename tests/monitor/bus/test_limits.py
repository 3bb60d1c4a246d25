"""What one connection to the bus may send, with and without keys, with real sockets and a peer that is no ZeroMQ."""

from __future__ import annotations

import sys

import msgspec
import numpy as np
import pytest
import zmq
from attacks.raw_peer import RawPeer, command, message
from hypothesis import given
from hypothesis import strategies as st

from monitor.bus import connections, request_socket
from monitor.bus.connections import ByteLimit
from monitor.bus.keys import remove_client
from monitor.bus.last_values import REPEAT_FREE, LastValues
from monitor.messages import Reply, Request, WaveHeader, bed_topic, encode
from tests.monitor.bus.helpers import alarm, serve, status, wait_for

ALARMS = bed_topic("p1", "alarm")
WAVES = bed_topic("p1", "wave").encode()
SUBSCRIBE, CANCEL = b"\x01", b"\x00"


def raw_peer(bus, endpoint: str, kind: bytes) -> RawPeer:
    """Connect while the bus serves: the handshake needs no turn of the loop without keys."""
    peer = RawPeer(endpoint, kind)
    serve(bus)
    return peer


def closed(bus, reason: str, reports: list[str]):
    return lambda: bus.counters["refused"] and any(reason in line for line in reports)


@pytest.fixture
def reports(bus, monkeypatch):
    """Lines about refused clients."""
    lines: list[str] = []
    monkeypatch.setattr(bus._sockets._refusals, "_report", lines.append)
    return lines


def test_a_removed_key_that_was_silent_receives_nothing(keyed):
    keyed.reconnect_ms = -1
    silent = keyed.context.socket(zmq.SUB)
    keyed._made.append(silent)
    silent.setsockopt(zmq.RECONNECT_IVL, -1)
    for name, value in (("SERVER", "server"), ("PUBLIC", "public"), ("SECRET", "secret")):
        silent.setsockopt(getattr(zmq, f"CURVE_{name}KEY"), getattr(keyed.viewer, value).encode())
    connected = silent.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    silent.connect(keyed.bus.endpoints.alarms)
    keyed.until(lambda: connected.poll(0), "the handshake")
    remove_client(keyed.folder, "ward-3")
    silent.subscribe(b"")
    keyed.now_s += 1.5
    other = keyed.socket(zmq.SUB, keyed.bus.endpoints.alarms, keyed.operator)
    keyed.until(lambda: other.poll(0), "the alarm for another client")
    other.recv_multipart()
    keyed.bus.publish(ALARMS, alarm(2))
    keyed.until(lambda: other.poll(0), "the next alarm for another client")
    assert not silent.poll(200)
    silent.disable_monitor()
    connected.close(0)


def test_a_message_of_a_removed_key_closes_its_connection(keyed, monkeypatch):
    """Also where the removal did not: the handshake may end just after it."""
    keyed.reconnect_ms = -1
    dealer = keyed.socket(zmq.DEALER, keyed.bus.endpoints.control, keyed.viewer)
    events = dealer.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
    keyed.until(lambda: events.poll(0), "the handshake")
    events.recv_multipart()
    monkeypatch.setattr(connections.Connections, "keep_only", lambda self, allowed: None)
    remove_client(keyed.folder, "ward-3")
    dealer.send(encode(Request(op="ping")))
    keyed.until(lambda: events.poll(0), "the end of the connection")
    assert not keyed.bus.counters["requests"]
    assert any("no longer allowed, of key" in line for line in keyed.reports)
    dealer.disable_monitor()
    events.close(0)


def test_a_stranger_cannot_cancel_the_topics_of_others(bus, sockets):
    viewer = sockets.socket(zmq.SUB, bus.endpoints.waves)
    viewer.subscribe(WAVES)
    wait_for(lambda: bus.viewers == 1, "the viewer", lambda: serve(bus))
    with raw_peer(bus, bus.endpoints.waves, b"SUB") as stranger:
        stranger.send(message(SUBSCRIBE + b"v1/p2/") + message(CANCEL + WAVES) * 10 + message(SUBSCRIBE + b"v1/p3/"))
        wait_for(lambda: bus.viewers == 3, "its other topics", lambda: serve(bus))
        assert bus.has_viewers("p1")
    wait_for(lambda: bus.viewers == 1, "the end of the stranger", lambda: serve(bus))
    assert bus.has_viewers("p1")
    bus.publish_wave(WaveHeader(bed="p1", first_sample=0, n=2, fs_hz=360.0), np.zeros((2, 2), np.float32))
    wait_for(lambda: viewer.poll(0), "a wave", lambda: serve(bus))


@given(
    steps=st.lists(
        st.tuples(
            st.integers(0, 2), st.sampled_from([SUBSCRIBE, CANCEL, b"leave"]), st.sampled_from([b"", b"v1/", b"x"])
        ),
        max_size=60,
    )
)
def test_topics_are_those_of_the_open_connections(steps):
    """A model: a set of topics for each connection, whatever it repeats, cancels and when it leaves."""

    class _Events:
        def setsockopt(self, *_: object) -> None: ...

    class _Socket:
        def get_monitor_socket(self, _: int) -> _Events:
            return _Events()

    subject = connections.Connections(_Socket(), ByteLimit(1.0, 1.0), None, lambda: 0.0)
    model: dict[int, set[bytes]] = {}
    for descriptor, step, topic in steps:
        if descriptor not in model:
            subject._add(descriptor)
            model[descriptor] = set()
        connection = subject.sender(descriptor)
        if step == SUBSCRIBE:
            assert subject.subscribe(descriptor, connection, topic) is (topic not in model[descriptor])
            model[descriptor].add(topic)
        elif step == CANCEL:
            subject.unsubscribe(connection, topic)
            model[descriptor].discard(topic)
        else:
            subject._remove(descriptor)
            del model[descriptor]
        for topic_of_bed in (b"v1/p1/wave/", b"x"):
            covered = any(topic_of_bed.startswith(tuple(topics)) for topics in model.values() if topics)
            assert subject.covers(topic_of_bed) is covered
        assert subject.topics.total() == sum(map(len, model.values()))


def test_doubled_subscriptions_end_with_their_connection(bus):
    with raw_peer(bus, bus.endpoints.waves, b"SUB") as client:
        client.send(message(SUBSCRIBE + WAVES) * 10)
        wait_for(lambda: bus.has_viewers("p1"), "the subscription", lambda: serve(bus))
        assert bus.viewers == 1
    wait_for(lambda: not bus.has_viewers("p1"), "the end of the waves", lambda: serve(bus))


@pytest.mark.parametrize(
    ("topics", "reason"),
    [
        ([b"x" * 301], "a topic of more than 300 bytes"),
        ([b"%d" % n for n in range(1_001)], "more than 1000 subscriptions"),
        ([(b"%d" % n).ljust(300, b"x") for n in range(300)], "subscriptions of more than 65536 bytes"),
        ([b"y"] * 2_100, "more than 200 messages a second"),
    ],
)  # fmt: skip
def test_a_connection_with_too_many_or_too_long_topics_is_closed(bus, sockets, reports, topics, reason):
    honest = sockets.subscribe(bus, "v1/")
    wait_for(lambda: bus.counters["subscriptions"], "the honest subscriber", lambda: serve(bus))
    with raw_peer(bus, bus.endpoints.alarms, b"SUB") as peer:
        peer.send(b"".join(message(SUBSCRIBE + topic) for topic in topics))
        wait_for(closed(bus, reason, reports), "the refusal", lambda: serve(bus))
        wait_for(lambda: not peer.send(message(SUBSCRIBE)), "the end of the connection", lambda: serve(bus))
    bus.publish(ALARMS, alarm(1))
    wait_for(lambda: honest.poll(0), "the alarm", lambda: serve(bus))


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of bytes needs Linux")
@pytest.mark.parametrize("socket_name", ["alarms", "waves", "control"])
def test_a_message_without_an_end_closes_the_connection(bus, reports, socket_name):
    """ZeroMQ collects it in memory, and hands nothing to the loop."""
    kind = b"DEALER" if socket_name == "control" else b"SUB"
    with raw_peer(bus, getattr(bus.endpoints, socket_name), kind) as peer:
        part = b"\x01\xff" + bytes(255)  # a frame with more to come
        wait_for(lambda: not peer.send(part * 200), "the end of the connection", lambda: serve(bus))
    assert closed(bus, "KiB at once", reports)()


def test_a_flood_of_requests_is_closed_and_other_clients_are_served(bus, sockets, reports):
    with raw_peer(bus, bus.endpoints.control, b"DEALER") as peer:
        peer.send((message(encode(Request(op="ping"))) + command(b"PING", bytes(2))) * 4_000)
        wait_for(closed(bus, "more than", reports), "the refusal", lambda: serve(bus))  # messages or bytes
    assert sockets.ask(bus, Request(op="ping")).ok
    assert bus.counters["requests"] < 4_000


def test_one_turn_gives_the_pipeline_few_requests_and_loses_none(bus, sockets):
    dealer = sockets.socket(zmq.DEALER, bus.endpoints.control)
    for number in range(100):
        dealer.send(encode(Request(op="strip", bed="p1", id=str(number))))
    replies: list[Reply] = []

    def turn() -> None:
        waiting = bus.service(0.002)
        assert len(waiting) <= request_socket.PIPELINE_REQUESTS_PER_CALL
        for request in waiting:
            request.reply(Reply(ok=True))
        while dealer.poll(0):
            replies.append(msgspec.json.decode(dealer.recv(), type=Reply))

    wait_for(lambda: len(replies) == 100, "all replies", turn)
    assert [reply.id for reply in replies] == [str(number) for number in range(100)]


def test_last_values_of_a_big_ward_are_not_repeated_all_the_time():
    values = LastValues({})
    for bed in range(REPEAT_FREE + 1_000):
        values.store(bed_topic(str(bed), "status"), status(1, str(bed)), b"x")
    values.want([b"v1/"])
    assert len(values.due(0.0)) == REPEAT_FREE + 1_000
    values.want([b"v1/"])
    assert values.due(0.01) == []
    assert len(values.due(0.07)) == REPEAT_FREE + 1_000
    assert values.due(9.0) == []
