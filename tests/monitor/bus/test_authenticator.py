"""Who gets in and who does not: real sockets on both sides."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import socket
import subprocess
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.bus import authenticator, connections
from monitor.bus.keys import (
    CLIENTS_FILE,
    ClientKey,
    add_client,
    load_client_key,
    load_server_keys,
    make_server_keys,
    remove_client,
    use_key,
)
from monitor.bus.server import Bus, endpoints_from
from monitor.client.client import AlarmClient
from monitor.commands.local_dashboard import LateClient
from monitor.errors import BusError, ConfigError
from monitor.journal import Journal
from monitor.messages import AlarmMessage, BeatMessage, Reply, Request, WaveHeader, bed_topic, encode
from tests.monitor.bus.helpers import ANY_ENDPOINTS, TIMEOUT_S, alarm, beat, heartbeat, join, of, pump, serve, wait_for

ALARMS = bed_topic("p1", "alarm")


class Guarded:
    """A bus with keys, its clients' keys, and plain sockets that are closed at the end."""

    def __init__(self, folder: Path, endpoints: str = "tcp://127.0.0.1:*") -> None:
        self.folder = folder
        self.reconnect_ms = 20
        make_server_keys(folder)
        self.viewer = load_client_key(add_client(folder, "ward-3", "viewer"))
        self.operator = load_client_key(add_client(folder, "desk", "operator"))
        self.told: list[str] = []
        self.now_s = 0.0
        self.served: list[Request] = []
        self.bus = Bus(
            endpoints_from(endpoints),
            epoch="run-1",
            journal=Journal(":memory:"),
            keys=load_server_keys(folder),
            tell=self.told.append,
            clock=lambda: self.now_s,
        )
        self.context = zmq.Context()
        self.made: list[zmq.Socket] = []  # pyzmq warns of one that is forgotten open
        self.bus.publish(ALARMS, alarm(1))

    def turn(self) -> None:
        for request in self.bus.service(0.002):
            self.served.append(request.request)
            reply = self.bus.snapshot() if request.request.op == "snapshot" else Reply(ok=True)
            request.reply(reply)

    def until(self, condition, what: str) -> None:
        wait_for(condition, what, self.turn)

    def socket(self, kind: int, endpoint: str, key: ClientKey | None = None) -> zmq.Socket:
        sock = self.context.socket(kind)
        self.made.append(sock)
        sock.setsockopt(zmq.LINGER, 0)
        sock.setsockopt(zmq.RECONNECT_IVL, self.reconnect_ms)
        if key is not None:
            use_key(sock, key)
        if kind == zmq.SUB:
            sock.subscribe(b"")
        sock.connect(endpoint)
        return sock

    def ask(self, key: ClientKey, request: Request | bytes) -> Reply:
        dealer = self.socket(zmq.DEALER, self.bus.endpoints.control, key)
        reply = self.asked(dealer, request)
        dealer.close()
        return reply

    def asked(self, dealer: zmq.Socket, request: Request | bytes) -> Reply:
        dealer.send(request if isinstance(request, bytes) else encode(request))
        self.until(lambda: dealer.poll(0), "reply")
        return msgspec.json.decode(dealer.recv_multipart()[-1], type=Reply)

    def client(self, key: ClientKey, **options: object) -> AlarmClient:
        ends = self.bus.endpoints
        return AlarmClient(ends.alarms, ends.control, patience_s=TIMEOUT_S, key=key, **options)  # type: ignore[arg-type]

    def close(self) -> None:
        self.context.destroy(linger=0)
        self.bus.close()


@pytest.fixture
def guarded(tmp_path: Path):
    guarded = Guarded(tmp_path / "keys")
    yield guarded
    guarded.close()


# -- who is let in -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["viewer", "operator"])
def test_a_key_of_the_list_sees_everything(guarded, name):
    key = getattr(guarded, name)
    client = guarded.client(key)
    (got,) = join(guarded.bus, client)
    assert [body.alarm.alarm_id for _, body, _ in of(got, AlarmMessage)] == ["p1/asystole/1"]
    guarded.bus.publish(ALARMS, alarm(2))
    pump(guarded.bus, client, until=lambda: len(of(got, AlarmMessage)) == 2, got=[got], what="an alarm")
    for request in (Request(op="ping"), Request(op="since", topic=ALARMS, epoch="run-1"), Request(op="strip")):
        assert guarded.ask(key, request).ok
    assert guarded.bus.counters["refused"] == 0
    assert not guarded.told
    client.close()


def test_waves_need_a_key_too(guarded):
    good = guarded.socket(zmq.SUB, guarded.bus.endpoints.waves, guarded.viewer)
    bad = guarded.socket(zmq.SUB, guarded.bus.endpoints.waves)
    header = WaveHeader(sample=0, time="", bed="p1", first_sample=0, n=2, fs_hz=250.0, channels=("raw",))

    def turn() -> None:
        guarded.turn()
        guarded.bus.publish_wave(header, np.zeros((1, 2), np.float32))

    wait_for(lambda: good.poll(0) and guarded.bus.counters["refused"], "a wave and a refusal", turn)
    assert not bad.poll(0)


def try_to_send(sock: zmq.Socket, body: bytes) -> None:
    with contextlib.suppress(zmq.Again):  # refused already, and given up: a send that waits would wait for good
        sock.send(body, zmq.NOBLOCK)


def stranger(guarded: Guarded, what: str, kind: int, endpoint: str) -> zmq.Socket:
    if what == "no key":
        return guarded.socket(kind, endpoint)
    if what == "unknown key":
        public, secret = (part.decode() for part in zmq.curve_keypair())
        return guarded.socket(kind, endpoint, ClientKey("ward-3", public, secret, guarded.viewer.server))
    if what == "key of another monitor":
        return guarded.socket(
            kind, endpoint, dataclasses.replace(guarded.viewer, server=zmq.curve_keypair()[0].decode())
        )
    sock = guarded.context.socket(kind)
    guarded.made.append(sock)
    sock.setsockopt(zmq.LINGER, 0)
    sock.setsockopt(zmq.RECONNECT_IVL, guarded.reconnect_ms)
    if what == "password":
        sock.setsockopt(zmq.PLAIN_USERNAME, b"ward-3")
        sock.setsockopt(zmq.PLAIN_PASSWORD, b"secret")
    if kind == zmq.SUB:
        sock.subscribe(b"")
    sock.connect(endpoint)
    return sock


@pytest.mark.parametrize("what", ["no key", "unknown key", "key of another monitor", "password"])
@pytest.mark.parametrize("kind", [zmq.SUB, zmq.DEALER])
def test_a_stranger_gets_nothing_and_is_counted_and_told(guarded, what, kind):
    ends = guarded.bus.endpoints
    # More than one: libzmq's client gives up for good where it is told that it speaks another mechanism.
    socks = [stranger(guarded, what, kind, ends.alarms if kind == zmq.SUB else ends.control) for _ in range(3)]
    for sock in socks if kind == zmq.DEALER else ():
        try_to_send(sock, encode(Request(op="acknowledge", alarm_id="p1/asystole/1")))
    guarded.until(lambda: guarded.bus.counters["refused"] >= 3, "three attempts")
    guarded.bus.publish(ALARMS, alarm(2))
    assert guarded.ask(guarded.viewer, Request(op="ping")).ok  # others are served meanwhile
    assert not any(sock.poll(0) for sock in socks)
    assert not guarded.served
    assert guarded.bus.counters["requests"] == 1
    assert guarded.bus.counters["subscriptions"] == 0
    line, *_ = guarded.told
    assert len(guarded.told) == 1  # and not one for every attempt
    said = {
        "unknown key": "unknown key .{40} from 127.0.0.1",
        "key of another monitor": "the key of another monitor",
    }
    # Either side may be the first to see that the other speaks another mechanism.
    assert re.search(said.get(what, "without a key|before it proved its key"), line)
    guarded.now_s += 11
    guarded.until(lambda: len(guarded.told) >= 2, "the second line")


def test_who_makes_up_keys_neither_fills_the_log_nor_hides_another():
    told: list[str] = []
    now_s = [0.0]
    counters: Counter[str] = Counter()
    refusals = connections.Refusals(counters, told.append, lambda: now_s[0])
    for number in range(100):
        refusals.add(f"unknown key {number}")
    assert told == ["bus: refused unknown key 0 (1 in all)"]
    now_s[0] = 11.0
    refusals.tell_due()
    assert [line.split(" (")[0] for line in told[1:]] == [
        *(f"bus: refused unknown key {number}" for number in range(1, 6)),
        "bus: refused others, 94 times since the last line",
    ]
    refusals.add("a client without a key")
    assert len(told) == 7
    refusals.tell_due(at_end=True)
    assert told[7] == "bus: refused a client without a key (101 in all)"
    assert counters["refused"] == 101


@pytest.mark.parametrize("what", ["no key", "unknown key", "key of another monitor", "password"])
def test_an_attempt_is_counted_once(tmp_path, monkeypatch, what):
    monkeypatch.setattr(authenticator, "HANDSHAKE_MS", 200)  # who is refused is disconnected only then
    guarded = Guarded(tmp_path / "keys")
    try:
        guarded.reconnect_ms = -1
        sock = stranger(guarded, what, zmq.DEALER, guarded.bus.endpoints.control)
        try_to_send(sock, b"{}")
        guarded.until(lambda: guarded.bus.counters["refused"], "the refusal")
        door = guarded.bus._authenticator._connections[guarded.bus._control]
        guarded.until(lambda: not door.opened, "the end of the connection")
        assert guarded.ask(guarded.viewer, Request(op="ping")).ok
        guarded.until(lambda: not door.opened, "the end of the other")
        assert guarded.bus.counters["refused"] == 1
        assert (door.pending, door.known) == ((0, 0), {})
    finally:
        guarded.close()


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.0\r\n\r\n", b"", b"\x01\x00", bytes(range(200))])
def test_what_speaks_no_zeromq_is_counted_once(guarded, sent):
    assert guarded.ask(guarded.viewer, Request(op="ping")).ok
    port = int(guarded.bus.endpoints.control.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(sent)
    guarded.until(lambda: guarded.bus.counters["refused"], "the refusal")
    dealer = guarded.socket(zmq.DEALER, guarded.bus.endpoints.control, guarded.viewer)
    assert guarded.asked(dealer, Request(op="ping")).ok
    assert guarded.bus.counters["refused"] == 1


def test_who_comes_and_goes_with_a_key_is_no_stranger(guarded):
    for _ in range(5):
        assert guarded.ask(guarded.viewer, Request(op="ping")).ok
    sub = guarded.socket(zmq.SUB, guarded.bus.endpoints.alarms, guarded.viewer)
    guarded.until(lambda: guarded.bus.counters["subscriptions"], "subscription")
    sub.close()
    silent = guarded.socket(zmq.DEALER, guarded.bus.endpoints.control, guarded.viewer)
    control = guarded.bus._authenticator._connections[guarded.bus._control]
    guarded.until(lambda: control.pending == (1, 0), "one who says nothing")
    silent.close()
    doors = guarded.bus._authenticator._connections.values()
    guarded.until(lambda: not any(door.opened for door in doors), "all to leave")
    assert guarded.bus.counters["refused"] == 0
    assert not any(door.known for door in doors)


def test_nobody_gets_in_while_nobody_answers_zap(tmp_path, monkeypatch):
    """ZeroMQ's default would be to let everybody in: at the end of a run the sockets close in any order."""
    monkeypatch.setattr(authenticator, "HANDSHAKE_MS", 300)
    guarded = Guarded(tmp_path / "keys")
    guarded.bus._authenticator._zap.close()
    guarded.bus._authenticator.look = lambda: None
    client = guarded.socket(zmq.SUB, guarded.bus.endpoints.alarms, guarded.viewer)
    events = client.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
    events.setsockopt(zmq.LINGER, 0)
    assert events.poll(TIMEOUT_S * 1000)
    assert int.from_bytes(events.recv_multipart()[0][:2], "little") == zmq.EVENT_DISCONNECTED
    client.disable_monitor()
    events.close()
    guarded.close()


# -- roles ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["acknowledge", "pause_audio"])
def test_a_viewer_may_not_and_an_operator_may(guarded, op):
    reply = guarded.ask(guarded.viewer, Request(op=op, bed="p1", alarm_id="p1/asystole/1", id="7"))
    assert (reply.ok, reply.id) == (False, "7")
    assert "ward-3" in reply.error
    assert "operator" in reply.error
    assert not guarded.served
    assert guarded.bus.counters["denied"] == 1
    assert guarded.ask(guarded.operator, Request(op=op, bed="p1", alarm_id="p1/asystole/1")).ok
    assert [request.op for request in guarded.served] == [op]


@pytest.mark.parametrize(
    ("said", "who"),
    [("", "desk"), ("desk", "desk"), ("anna", "desk (anna)"), ("boss", "desk (boss)"), ("ward-3", "desk (ward-3)")],
)
def test_who_begins_with_the_name_of_the_key(guarded, said, who):
    assert guarded.ask(guarded.operator, Request(op="acknowledge", alarm_id="p1/asystole/1", who=said)).ok
    assert guarded.served[0].who == who


def test_the_screen_of_this_process_is_an_operator(guarded):
    assert guarded.ask(guarded.bus.screen_key, Request(op="acknowledge", alarm_id="x", who="anna")).ok
    assert guarded.served[0].who == "screen (anna)"


def test_the_screen_connects_with_its_key(guarded):
    client = LateClient()
    client.connect(guarded.bus.endpoints, guarded.bus.screen_key)
    got: list[object] = []
    guarded.bus.heartbeat(heartbeat())
    wait_for(
        lambda: any(isinstance(body, AlarmMessage) for _, body, _ in got),
        "the active alarm",
        lambda: (guarded.turn(), got.extend(client.poll(0.0))),
    )
    client.close()


# -- changes while it runs -----------------------------------------------------------------------------------


def test_a_client_added_later_gets_in_by_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(authenticator, "HANDSHAKE_MS", 300)
    guarded = Guarded(tmp_path / "keys")
    path = guarded.folder / CLIENTS_FILE
    allowed = path.read_text()
    path.write_text("")
    dealer = guarded.socket(zmq.DEALER, guarded.bus.endpoints.control, guarded.viewer)
    guarded.until(lambda: guarded.bus.counters["refused"] >= 2, "two attempts")
    path.write_text(allowed)
    assert guarded.asked(dealer, Request(op="ping")).ok
    assert any("2 clients may connect" in line for line in guarded.told)
    guarded.close()


def test_a_client_that_is_removed_is_cut_off(guarded):
    sub = guarded.socket(zmq.SUB, guarded.bus.endpoints.alarms, guarded.viewer)
    waves = guarded.socket(zmq.SUB, guarded.bus.endpoints.waves, guarded.viewer)
    other = guarded.socket(zmq.SUB, guarded.bus.endpoints.alarms, guarded.operator)
    dealer = guarded.socket(zmq.DEALER, guarded.bus.endpoints.control, guarded.viewer)
    assert guarded.asked(dealer, Request(op="ping")).ok
    doors = guarded.bus._authenticator._connections
    guarded.until(
        lambda: guarded.bus.counters["subscriptions"] == 2 and doors[guarded.bus._waves].known, "subscriptions"
    )
    guarded.until(lambda: sub.poll(0) and other.poll(0), "the active alarm")
    remove_client(guarded.folder, "ward-3")
    guarded.now_s += 1.5  # nobody asks or connects: the loop looks by itself
    guarded.until(
        lambda: not doors[guarded.bus._waves].opened and not doors[guarded.bus._control].known, "the end of it"
    )
    guarded.until(lambda: guarded.bus.counters["refused"] >= 6, "attempts to come back")
    while sub.poll(0):
        sub.recv_multipart()
    while other.poll(0):
        other.recv_multipart()
    published = guarded.bus.publish(ALARMS, alarm(2)).raw
    guarded.until(lambda: other.poll(0), "an alarm for the others")
    assert other.recv_multipart()[1] == published
    assert not sub.poll(0)
    assert not waves.poll(0)
    assert any("1 clients may connect from now on, no more: ward-3" in line for line in guarded.told)
    assert any("not allowed any more" in line for line in guarded.told)


def test_a_role_that_changes_holds_for_the_next_request(guarded):
    dealer = guarded.socket(zmq.DEALER, guarded.bus.endpoints.control, guarded.viewer)
    request = Request(op="acknowledge", alarm_id="p1/asystole/1")
    assert not guarded.asked(dealer, request).ok
    path = guarded.folder / CLIENTS_FILE
    path.write_text(path.read_text().replace('"viewer"', '"operator"'))
    assert guarded.asked(dealer, request).ok


@pytest.mark.parametrize("damage", ["[[client", "", None])
def test_a_list_that_cannot_be_read_changes_nothing_but_is_told(guarded, damage):
    path = guarded.folder / CLIENTS_FILE
    if damage == "":
        path.chmod(0o666)
    elif damage is None:
        path.unlink()
    else:
        path.write_text(damage)
    for _ in range(3):
        assert guarded.ask(guarded.viewer, Request(op="ping")).ok
    assert len([line for line in guarded.told if "clients stay as they were" in line]) == 1


@pytest.mark.parametrize("keyed_first", [True, False])
def test_a_client_finds_a_monitor_again_that_was_started_wrong_first(tmp_path, keyed_first):
    """libzmq gives a connection up for good where only one side wants keys."""
    keys = make_server_keys(tmp_path / "keys")
    key = load_client_key(add_client(tmp_path / "keys", "ward-3", "viewer"))
    now_s = [0.0]
    wrong = Bus(ANY_ENDPOINTS, epoch="a", journal=Journal(":memory:"), keys=keys if keyed_first else None)
    ends = wrong.endpoints
    client = AlarmClient(ends.alarms, ends.control, key=None if keyed_first else key, clock=lambda: now_s[0])
    for _ in range(50):  # time for both to see that they do not fit
        serve(wrong)
    wrong.close()
    right = Bus(ends, epoch="b", journal=Journal(":memory:"), keys=None if keyed_first else keys)

    def turn() -> None:
        now_s[0] += 0.05
        right.heartbeat(heartbeat())
        serve(right)
        client.poll(0.0)

    wait_for(lambda: client.state == "connected", "the monitor", turn)
    client.close()
    right.close()


# -- floods --------------------------------------------------------------------------------------------------


def test_a_client_that_asks_too_much_is_told_to_slow_down_and_others_are_served(guarded):
    flooder = guarded.socket(zmq.DEALER, guarded.bus.endpoints.control, guarded.viewer)
    for number in range(600):
        flooder.send(encode(Request(op="ping", id=str(number))))
    replies = []

    def turn() -> None:
        guarded.turn()
        while flooder.poll(0):
            replies.append(msgspec.json.decode(flooder.recv(), type=Reply))

    assert guarded.ask(guarded.operator, Request(op="ping")).ok
    wait_for(lambda: len(replies) == 600, "all replies", turn)
    assert [reply.id for reply in replies] == [str(number) for number in range(600)]
    assert [reply.ok for reply in replies] == [True] * 400 + [False] * 200
    assert all("slow down" in reply.error and reply.data["retry_after_s"] > 0 for reply in replies[400:])
    assert guarded.bus.counters["slowed"] == 200
    flooder.close()
    again = guarded.socket(zmq.DEALER, guarded.bus.endpoints.control, guarded.viewer)
    assert not guarded.asked(again, Request(op="ping")).ok  # it is the key that counts, not the connection
    guarded.now_s += 1.0
    assert guarded.asked(again, Request(op="ping")).ok


def test_bytes_of_answers_are_limited_and_a_client_recovers_all_the_same(guarded, monkeypatch):
    monkeypatch.setattr("monitor.bus.rate_limits.ANSWER_BYTES_BURST", 100_000.0)
    client = guarded.client(guarded.viewer, streams=("beat",))
    (got,) = join(guarded.bus, client)
    send = guarded.bus._send
    guarded.bus._send = lambda sock, frames: None  # as if the client had not read for long: all of it is lost
    for number in range(2_000):
        guarded.bus.publish(bed_topic("p1", "beat"), beat(number))
    guarded.bus._send = send
    guarded.bus.heartbeat(heartbeat())

    def turn() -> None:
        guarded.now_s += 0.01 * bool(guarded.bus.counters["slowed"])
        serve(guarded.bus)
        got.extend(client.poll(0.0))

    wait_for(lambda: len(of(got, BeatMessage)) == 2_000, "all beats", turn)
    assert [body.seq for _, body, _ in of(got, BeatMessage)] == list(range(1, 2_001))
    assert client.missed == 0
    assert guarded.bus.counters["slowed"] > 0
    client.close()


def test_subscriptions_of_one_connection_are_limited(guarded, monkeypatch):
    monkeypatch.setattr(connections, "MAX_SUBSCRIPTIONS", 50)
    guarded.reconnect_ms = -1
    greedy = guarded.socket(zmq.SUB, guarded.bus.endpoints.alarms, guarded.viewer)
    modest = guarded.socket(zmq.SUB, guarded.bus.endpoints.alarms, guarded.viewer)
    for number in range(200):
        modest.subscribe(f"v1/{number}/")
        modest.unsubscribe(f"v1/{number}/")
    for number in range(200):
        greedy.subscribe(f"v1/{number}/")
    guarded.until(lambda: guarded.bus.counters["refused"], "the refusal")
    door = guarded.bus._authenticator._connections[guarded.bus._alarms]
    guarded.until(lambda: len(door.opened) == 1 and len(door.subscriptions) == 1, "its end")
    published = guarded.bus.publish(ALARMS, alarm(2)).raw
    got: list[bytes] = []
    guarded.until(lambda: (modest.poll(0) and got.append(modest.recv_multipart()[1])) or published in got, "the alarm")
    assert guarded.bus.counters["refused"] == 1


def test_connections_are_limited_and_no_stranger_keeps_them(guarded, monkeypatch):
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 10)
    port = int(guarded.bus.endpoints.control.rpartition(":")[2])
    raw = [socket.create_connection(("127.0.0.1", port)) for _ in range(30)]
    guarded.until(lambda: guarded.bus.counters["refused"] >= 20, "refusals")
    door = guarded.bus._authenticator._connections[guarded.bus._control]
    guarded.until(lambda: len(door.opened) <= 10, "ten that are left")
    for connection in raw:
        connection.close()
    assert guarded.ask(guarded.viewer, Request(op="ping")).ok


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    guarded = Guarded(tmp_path_factory.mktemp("fuzz") / "keys")
    dealers = [
        guarded.socket(zmq.DEALER, guarded.bus.endpoints.control, key) for key in (guarded.viewer, guarded.operator)
    ]
    yield guarded, dealers
    guarded.close()


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(
        st.one_of(
            st.binary(max_size=200),
            st.sampled_from([b"", b"{}", b"null", b'{"op":"ping"}', b'{"op":"acknowledge","who":"x"}', b"\x01v1/"]),
            st.fixed_dictionaries(
                {"op": st.sampled_from(["ping", "acknowledge", "pause_audio", "since", "strip", "snapshot", "x"])},
                optional={
                    "who": st.text(max_size=250),
                    "id": st.text(max_size=5),
                    "seconds": st.floats(),
                    "x": st.none(),
                },
            ).map(lambda fields: json.dumps(fields).encode()),
        ),
        min_size=1,
        max_size=6,
    ),
    operator=st.booleans(),
)
def test_no_frames_of_a_client_with_a_key_stop_it_or_raise_its_role(fuzzed, parts, operator):
    guarded, dealers = fuzzed
    guarded.now_s += 1.0
    guarded.served.clear()
    dealer = dealers[operator]
    dealer.send_multipart(parts)
    guarded.until(lambda: dealer.poll(0), "reply")
    reply = msgspec.json.decode(dealer.recv_multipart()[-1], type=Reply)
    assert reply.ok or reply.error
    assert guarded.bus.counters["internal_errors"] == 0
    for request in guarded.served:
        if request.op in ("acknowledge", "pause_audio"):
            assert operator
            assert request.who == "desk" or request.who.startswith("desk (")


# -- where it listens ----------------------------------------------------------------------------------------


def own_address() -> str:
    """An address of this machine that is not loopback, else every address by its loopback one."""
    said = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False).stdout.split()
    return next((word for word in said if "." in word), "127.0.0.1")


def test_with_keys_every_address_is_served(tmp_path):
    address = own_address()
    guarded = Guarded(tmp_path / "keys", "tcp://0.0.0.0:*")
    try:
        ends = [
            end.replace("0.0.0.0", address) for end in (guarded.bus.endpoints.alarms, guarded.bus.endpoints.control)
        ]
        client = AlarmClient(*ends, key=guarded.viewer, patience_s=TIMEOUT_S)
        (got,) = join(guarded.bus, client)
        assert of(got, AlarmMessage)
        client.close()
        try_to_send(guarded.socket(zmq.DEALER, ends[1]), b"{}")
        guarded.until(lambda: guarded.bus.counters["refused"], "a refusal")
    finally:
        guarded.close()


def test_ipc_asks_for_keys_too(tmp_path):
    guarded = Guarded(tmp_path / "keys", f"ipc://{tmp_path}/ecg")
    try:
        assert guarded.ask(guarded.viewer, Request(op="ping")).ok
        sub = guarded.socket(zmq.SUB, guarded.bus.endpoints.alarms, guarded.viewer)
        guarded.until(lambda: sub.poll(0), "the active alarm")
        try_to_send(guarded.socket(zmq.DEALER, guarded.bus.endpoints.control), b"{}")
        guarded.until(lambda: guarded.bus.counters["refused"], "a refusal")
        remove_client(guarded.folder, "ward-3")
        guarded.now_s += 1.5
        door = guarded.bus._authenticator._connections[guarded.bus._alarms]
        guarded.until(lambda: not door.known, "the end of it")
    finally:
        guarded.close()


def test_the_example_of_the_documents_gets_alarms(guarded, monkeypatch):
    text = (Path(__file__).parents[3] / "docs" / "security.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert "tcp://192.0.2.7:5556" in code
    monkeypatch.chdir(guarded.folder)
    scope: dict[str, zmq.Socket] = {}
    exec(code.replace("tcp://192.0.2.7:5556", guarded.bus.endpoints.alarms), scope)
    guarded.made.append(scope["alarms"])
    try:
        guarded.until(lambda: scope["alarms"].poll(0), "the active alarm")
    finally:
        scope["alarms"].context.destroy(linger=0)


def test_a_bus_that_cannot_be_had_with_keys_leaves_nothing(tmp_path):
    guarded = Guarded(tmp_path / "keys")
    try:
        with pytest.raises(BusError, match="in use"):
            Bus(guarded.bus.endpoints, epoch="e", journal=Journal(":memory:"), keys=load_server_keys(guarded.folder))
        (guarded.folder / CLIENTS_FILE).unlink()
        with pytest.raises(ConfigError, match=CLIENTS_FILE):
            Bus(ANY_ENDPOINTS, epoch="e", journal=Journal(":memory:"), keys=load_server_keys(guarded.folder))
    finally:
        guarded.close()
