"""Requests and replies on the control socket."""

from __future__ import annotations

import json
import random
import socket

import msgspec
import pytest
import zmq
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.bus.requests import MAX_REQUEST_BYTES, OPS
from monitor.messages import Reply, Request, bed_topic, decode, encode
from tests.monitor.bus.helpers import TIMEOUT_S, Sockets, alarm, heartbeat, make_bus, serve, status, wait_for
from tests.monitor.bus.keyed_bus import KeyedBus

ALARMS = bed_topic("p1", "alarm")


def test_since_returns_the_journal_page_by_page(bus, sockets):
    published = [bus.publish(ALARMS, alarm(n)).raw for n in range(1, 2501)]
    got: list[bytes] = []
    seq = 0
    while True:
        reply = sockets.ask(bus, Request(op="since", topic=ALARMS, epoch="run-1", seq=seq))
        assert reply.ok
        assert reply.complete
        got += [bytes(raw) for raw in reply.messages]
        seq = reply.data["seq"]
        if not reply.data["more"]:
            break
    assert got == published


def test_ping_and_snapshot_and_requests_for_the_pipeline(bus, sockets):
    reply = sockets.ask(bus, Request(op="ping", id="x"))
    assert (reply.ok, reply.id, reply.epoch) == (True, "x", "run-1")
    bus.publish(ALARMS, alarm(1))
    bus.publish(ALARMS, alarm(2, "cleared"))
    bus.publish(bed_topic("p2", "status"), status(4, "p2"))
    bus.heartbeat(heartbeat())
    reply = sockets.ask(bus, Request(op="snapshot"))
    assert [type(decode(raw)).__name__ for raw in reply.messages] == ["AlarmMessage", "StatusMessage"]
    assert reply.data["seqs"][ALARMS] == 2
    reply = sockets.ask(bus, Request(op="snapshot", bed="p1"))
    assert len(reply.messages) == 1
    for op in ("acknowledge", "pause_audio", "strip"):
        assert sockets.ask(bus, Request(op=op)).data == {"op": op}


def test_a_request_is_answered_once_and_a_reply_to_a_client_that_left_is_dropped(bus, sockets):
    client = sockets.socket(zmq.DEALER, bus.endpoints.control)
    client.send(encode(Request(op="snapshot")))  # a DEALER needs no empty frame
    waiting: list = []
    wait_for(lambda: waiting, "a request", lambda: waiting.extend(bus.service(0.01)))
    assert waiting[0].reply(Reply(ok=True))
    assert not waiting[0].reply(Reply(ok=False))
    wait_for(lambda: client.poll(0), "the reply", lambda: serve(bus))
    assert len(client.recv_multipart()) == 1
    for _ in range(500):  # ZeroMQ sees the end of the connection only when it reads the socket again
        client.send(encode(Request(op="snapshot")))
    waiting.clear()
    wait_for(lambda: waiting, "a request", lambda: waiting.extend(bus.service(0.01)))
    client.close(0)
    wait_for(
        lambda: bus.counters["replies_lost"],
        "a reply that is not delivered",
        lambda: [request.reply(Reply(ok=True)) for request in bus.service(0.01)],
    )
    assert sockets.ask(bus, Request(op="ping")).ok


def test_reply_data_that_is_not_json_becomes_an_error_reply(bus, sockets):
    client = sockets.socket(zmq.REQ, bus.endpoints.control)
    client.send(encode(Request(op="strip", id="7")))
    waiting: list = []
    wait_for(lambda: waiting, "a request", lambda: waiting.extend(bus.service(0.01)))
    assert waiting[0].reply(Reply(ok=True, data={"x": object()}))
    wait_for(lambda: client.poll(0), "the reply", lambda: serve(bus))
    reply = msgspec.json.decode(client.recv(), type=Reply)
    assert (reply.ok, reply.id) == (False, "7")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "not a JSON object"),
        (b"[1, 2]", "not a JSON object"),
        (b"[" * 60_000, "not a JSON object"),
        (b'{"op": "reboot", "id": "7"}', "unknown op 'reboot'; the ops are snapshot, since"),
        (b'{"op": 3}', "unknown op 3"),
        (b'{"op": "ping", "colour": 1}', "unknown field `colour`"),
        (b'{"op": "since", "seq": "x"}', "Expected `int`"),
        (b'{"op": "since", "seq": 99999999999999999999999}', "out of range"),
        (b'{"op": "since", "seq": -1}', "seq = -1 is out of range"),
        (b'{"op": "strip", "n": 0}', "n = 0 is out of range"),
        (b'{"op": "pause_audio", "seconds": 121}', "must be 0 to 120"),
        (b'{"op": "acknowledge", "who": "' + b"x" * 300 + b'"}', "who is longer than 200"),
        (b'{"op": "since", "topic": "v1/monitor/heartbeat/"}', "is not in the journal"),
        (b'{"op": "ping", "id": "' + b"x" * MAX_REQUEST_BYTES + b'"}', "at most 65536"),
        (b"\xff\xfe", "not a JSON object"),
    ],
)
def test_a_bad_request_gets_one_line_and_is_counted(bus, sockets, body, error):
    reply = sockets.ask(bus, body)
    assert not reply.ok
    assert error in reply.error
    assert "\n" not in reply.error
    assert reply.id == ("7" if b'"7"' in body else "")
    assert bus.counters["bad_requests"] == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
near_requests = st.fixed_dictionaries(
    {"op": st.sampled_from([*OPS, "nothing"])},
    optional={
        "id": st.text(max_size=10),
        "who": st.text(max_size=250),
        "bed": st.text(max_size=10),
        "topic": st.sampled_from([ALARMS, "v1/p1/beat/", "v1/p1/wave/", ""]) | st.text(max_size=20),
        "epoch": st.sampled_from(["run-1", ""]) | st.text(max_size=10),
        "seq": st.integers() | st.integers(0, 10),
        "seconds": st.floats(allow_nan=False, allow_infinity=False) | json_values,
        "n": st.none() | st.integers(),
        "first_sample": st.none() | st.integers(),
    },
)
bodies = (
    st.binary(max_size=200)
    | st.sampled_from([b"", b"{}", b"null", b'{"op":"ping"}', b'{"op":"acknowledge","who":"x"}', b"\x01v1/"])
    | near_requests.map(lambda value: json.dumps(value).encode())
    | json_values.map(lambda value: json.dumps(value).encode())
)
frame_lists = st.lists(bodies, min_size=1, max_size=4)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    """A bus with keys; for each client of it, and one of a bus without keys: a socket, and a turn of the bus."""
    keyed = KeyedBus(tmp_path_factory.mktemp("fuzz") / "keys")
    bus, sockets = make_bus(), Sockets()
    bus.publish(ALARMS, alarm(1))
    control = keyed.bus.endpoints.control
    yield (
        keyed,
        {
            "viewer": (keyed.bus, keyed.socket(zmq.DEALER, control, keyed.viewer), keyed.turn),
            "operator": (keyed.bus, keyed.socket(zmq.DEALER, control, keyed.operator), keyed.turn),
            "without keys": (bus, sockets.socket(zmq.DEALER, bus.endpoints.control), lambda: serve(bus)),
        },
    )
    sockets.close()
    bus.close()
    keyed.close()


@settings(max_examples=500, deadline=None)
@given(parts=frame_lists, role=st.sampled_from(["viewer", "operator", "without keys"]))
@example(parts=[b"", b"", b""], role="without keys")
@example(parts=[b""], role="without keys")
@example(parts=[b"x"] * 2000, role="without keys")
@example(parts=[b'{"op":"ping","id":"\\ud800"}'], role="without keys")
@example(parts=[b'{"a":' * 12_000], role="without keys")
def test_any_frames_get_one_reply_and_no_other_role(fuzzed, parts, role):
    keyed, clients = fuzzed
    keyed.now_s += 1.0
    keyed.served.clear()
    bus, dealer, turn = clients[role]
    dealer.send_multipart(parts)
    wait_for(lambda: dealer.poll(0), "a reply", turn)
    reply = msgspec.json.decode(dealer.recv_multipart()[-1], type=Reply)
    assert reply.ok or reply.error
    assert not dealer.poll(0)
    assert bus.counters["internal_errors"] == 0
    for request in keyed.served:
        if request.op in ("acknowledge", "pause_audio"):
            assert role == "operator"
            assert request.who == "desk" or request.who.startswith("desk (")


def test_bytes_that_are_not_zeromq_and_a_frame_that_is_too_long_are_harmless(bus, sockets):
    _, _, port = bus.endpoints.control.rpartition(":")
    with socket.create_connection(("127.0.0.1", int(port))) as raw:
        raw.sendall(random.Random(1).randbytes(5000))
        raw.settimeout(TIMEOUT_S)
        assert sockets.ask(bus, Request(op="ping")).ok
    flooder = sockets.socket(zmq.DEALER, bus.endpoints.control)
    flooder.send(bytes(2 << 20))  # ZeroMQ closes the connection; the bus reads nothing
    assert sockets.ask(bus, Request(op="ping")).ok
    assert bus.counters["internal_errors"] == 0


def test_one_turn_of_the_loop_reads_a_limited_number_of_requests(bus, sockets):
    flooder = sockets.socket(zmq.DEALER, bus.endpoints.control)
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
