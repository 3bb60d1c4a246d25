"""Accepted and refused connections, and roles, over real sockets."""

from __future__ import annotations

import re
import subprocess
from collections import Counter

import numpy as np
import pytest
import zmq

from monitor.bus import sockets as bus_sockets
from monitor.bus.allow_list import CLIENTS_FILE
from monitor.bus.authenticator import Authenticator
from monitor.bus.keys import load_server_keys, remove_client, use_key
from monitor.bus.refusals import Refusals
from monitor.bus.server import Bus
from monitor.client.client import AlarmClient
from monitor.commands.local_dashboard import DeferredClient
from monitor.errors import ConfigError, PortInUse
from monitor.journal import Journal
from monitor.messages import AlarmMessage, Request, WaveHeader, encode
from tests import ROOT
from tests.monitor.bus.helpers import ANY_ENDPOINTS, TIMEOUT_S, alarm, heartbeat, join, of, pump, wait_for
from tests.monitor.bus.keyed_bus import ALARMS, WITHOUT_VALID_KEY, KeyedBus, try_to_send


@pytest.mark.parametrize("name", ["viewer", "operator"])
def test_a_client_of_the_allow_list_receives_everything(keyed, name):
    key = getattr(keyed, name)
    client = keyed.client(key)
    (got,) = join(keyed.bus, client)
    assert [body.alarm.alarm_id for _, body, _ in of(got, AlarmMessage)] == ["p1/asystole/1"]
    keyed.bus.publish(ALARMS, alarm(2))
    pump(keyed.bus, client, until=lambda: len(of(got, AlarmMessage)) == 2, got=[got], what="an alarm")
    for request in (Request(op="ping"), Request(op="since", topic=ALARMS, epoch="run-1"), Request(op="strip")):
        assert keyed.ask(key, request).ok
    assert keyed.bus.counters["refused"] == 0
    assert not keyed.reports
    client.close()


def test_waves_need_a_key(keyed):
    good = keyed.socket(zmq.SUB, keyed.bus.endpoints.waves, keyed.viewer)
    bad = keyed.socket(zmq.SUB, keyed.bus.endpoints.waves)
    header = WaveHeader(sample=0, time="", bed="p1", first_sample=0, n=2, fs_hz=250.0, channels=("raw",))

    def turn() -> None:
        keyed.turn()
        keyed.bus.publish_wave(header, np.zeros((1, 2), np.float32))

    wait_for(lambda: good.poll(0) and keyed.bus.counters["refused"], "a wave and a refusal", turn)
    assert not bad.poll(0)


@pytest.mark.parametrize("what", WITHOUT_VALID_KEY)
@pytest.mark.parametrize("kind", [zmq.SUB, zmq.DEALER])
def test_a_client_without_a_valid_key_gets_nothing_and_is_counted_and_reported(keyed, what, kind):
    ends = keyed.bus.endpoints
    # Several: libzmq's client stops for good when the server uses another mechanism.
    socks = [keyed.intruder(what, kind, ends.alarms if kind == zmq.SUB else ends.control) for _ in range(3)]
    for sock in socks if kind == zmq.DEALER else ():
        try_to_send(sock, encode(Request(op="acknowledge", alarm_id="p1/asystole/1")))
    keyed.until(lambda: keyed.bus.counters["refused"] >= 3, "three attempts")
    keyed.bus.publish(ALARMS, alarm(2))
    assert keyed.ask(keyed.viewer, Request(op="ping")).ok  # other clients are served meanwhile
    assert not any(sock.poll(0) for sock in socks)
    assert not keyed.served
    assert keyed.bus.counters["requests"] == 1
    assert keyed.bus.counters["subscriptions"] == 0
    (line,) = keyed.reports  # one for all attempts
    reasons = {
        "unknown key": "unknown key .{40} from 127.0.0.1",
        "key of another monitor": "the key of another monitor",
    }
    # Either side may be the first to notice that the mechanisms differ.
    assert re.search(reasons.get(what, "without a key|before it proved its key"), line)
    keyed.now_s += 11
    keyed.until(lambda: len(keyed.reports) >= 2, "the second line")


def test_reports_of_refusals_are_limited_and_cover_other_reasons():
    lines: list[str] = []
    now_s = [0.0]
    counters: Counter[str] = Counter()
    refusals = Refusals(counters, lines.append, lambda: now_s[0])
    for number in range(100):
        refusals.add(f"unknown key {number}")
    assert lines == ["bus: refused unknown key 0 (1 in all)"]
    now_s[0] = 11.0
    refusals.report_due()
    assert [line.split(" (")[0] for line in lines[1:]] == [
        *(f"bus: refused unknown key {number}" for number in range(1, 6)),
        "bus: refused others, 94 times since the last line",
    ]
    refusals.add("a client without a key")
    assert len(lines) == 7
    refusals.report_due(at_end=True)
    assert lines[7] == "bus: refused a client without a key (101 in all)"
    assert counters["refused"] == 101


@pytest.mark.parametrize("what", WITHOUT_VALID_KEY)
def test_an_attempt_is_counted_once(tmp_path, monkeypatch, what):
    monkeypatch.setattr(bus_sockets, "HANDSHAKE_MS", 200)  # a refused connection is closed only then
    keyed = KeyedBus(tmp_path / "keys")
    try:
        keyed.reconnect_ms = -1
        sock = keyed.intruder(what, zmq.DEALER, keyed.bus.endpoints.control)
        end = sock.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        try_to_send(sock, b"{}")
        keyed.until(lambda: end.poll(0), "the end of the connection")
        keyed.check_refusals(1, keyed.bus.endpoints.control)
    finally:
        keyed.close()


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.0\r\n\r\n", b"", b"\x01\x00", bytes(range(200))])
def test_a_connection_that_does_not_speak_zeromq_is_counted_once(keyed, sent):
    assert keyed.ask(keyed.viewer, Request(op="ping")).ok
    keyed.check_refusals(0, keyed.bus.endpoints.control, sent)


def test_clients_with_a_key_that_connect_and_leave_are_not_refusals(keyed):
    for _ in range(5):
        assert keyed.ask(keyed.viewer, Request(op="ping")).ok
    sub = keyed.socket(zmq.SUB, keyed.bus.endpoints.alarms, keyed.viewer)
    keyed.until(lambda: keyed.bus.counters["subscriptions"], "a subscription")
    sub.close()
    silent = keyed.socket(zmq.DEALER, keyed.bus.endpoints.control, keyed.viewer)
    connected = silent.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    keyed.until(lambda: connected.poll(0), "a client that sends nothing")
    silent.close()
    keyed.check_refusals(0, keyed.bus.endpoints.alarms)
    keyed.check_refusals(1, keyed.bus.endpoints.control)


def test_without_an_answer_to_zap_no_client_is_accepted(keyed):
    """ZeroMQ's default accepts every client without a ZAP socket; sockets close in any order at the end of a run."""
    keys = load_server_keys(keyed.folder)
    with zmq.Context() as with_zap, zmq.Context() as without_zap, without_zap.socket(zmq.XPUB) as server:
        counters, refusals = Counter(), Refusals(Counter(), lambda _: None, lambda: 0.0)
        other = Authenticator(with_zap, keys, counters, refusals, lambda _: None, lambda _: None, lambda: 0.0)
        other.require_key(server)
        server.setsockopt(zmq.HANDSHAKE_IVL, 300)
        port = server.bind_to_random_port("tcp://127.0.0.1")
        with without_zap.socket(zmq.SUB) as client:
            use_key(client, keyed.viewer)
            events = client.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
            client.connect(f"tcp://127.0.0.1:{port}")
            assert events.poll(TIMEOUT_S * 1000)
            assert int.from_bytes(events.recv_multipart()[0][:2], "little") == zmq.EVENT_DISCONNECTED
            client.disable_monitor()
            events.close(0)
        with_zap.destroy(linger=0)
        without_zap.destroy(linger=0)


@pytest.mark.parametrize("op", ["acknowledge", "pause_audio"])
def test_only_an_operator_may_acknowledge_and_pause_audio(keyed, op):
    reply = keyed.ask(keyed.viewer, Request(op=op, bed="p1", alarm_id="p1/asystole/1", id="7"))
    assert (reply.ok, reply.id) == (False, "7")
    assert "ward-3" in reply.error
    assert "operator" in reply.error
    assert not keyed.served
    assert keyed.bus.counters["denied"] == 1
    assert keyed.ask(keyed.operator, Request(op=op, bed="p1", alarm_id="p1/asystole/1")).ok
    assert [request.op for request in keyed.served] == [op]


@pytest.mark.parametrize(
    ("given_who", "who"),
    [("", "desk"), ("desk", "desk"), ("anna", "desk (anna)"), ("boss", "desk (boss)"), ("ward-3", "desk (ward-3)")],
)
def test_who_begins_with_the_name_of_the_key(keyed, given_who, who):
    assert keyed.ask(keyed.operator, Request(op="acknowledge", alarm_id="p1/asystole/1", who=given_who)).ok
    assert keyed.served[0].who == who


def test_the_dashboard_of_this_process_connects_with_its_key_as_an_operator(keyed):
    assert keyed.ask(keyed.bus.screen_key, Request(op="acknowledge", alarm_id="x", who="anna")).ok
    assert keyed.served[0].who == "screen (anna)"
    client = DeferredClient()
    client.connect(keyed.bus.endpoints, keyed.bus.screen_key)
    got: list[object] = []
    keyed.bus.heartbeat(heartbeat())
    wait_for(
        lambda: any(isinstance(body, AlarmMessage) for _, body, _ in got),
        "the active alarm",
        lambda: (keyed.turn(), got.extend(client.poll(0.0))),
    )
    client.close()


def own_address() -> str:
    """An address of this machine that is not loopback, else the loopback address."""
    output = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False).stdout
    return next((address for address in output.split() if "." in address), "127.0.0.1")


def test_with_keys_every_address_may_be_bound(tmp_path):
    address = own_address()
    keyed = KeyedBus(tmp_path / "keys", "tcp://0.0.0.0:*")
    try:
        ends = [end.replace("0.0.0.0", address) for end in (keyed.bus.endpoints.alarms, keyed.bus.endpoints.control)]
        client = AlarmClient(*ends, key=keyed.viewer, patience_s=TIMEOUT_S)
        (got,) = join(keyed.bus, client)
        assert of(got, AlarmMessage)
        client.close()
        try_to_send(keyed.socket(zmq.DEALER, ends[1]), b"{}")
        keyed.until(lambda: keyed.bus.counters["refused"], "a refusal")
    finally:
        keyed.close()


@pytest.mark.posix
def test_ipc_needs_a_key(tmp_path):
    keyed = KeyedBus(tmp_path / "keys", f"ipc://{tmp_path}/ecg")
    try:
        assert keyed.ask(keyed.viewer, Request(op="ping")).ok
        sub = keyed.socket(zmq.SUB, keyed.bus.endpoints.alarms, keyed.viewer)
        keyed.until(lambda: sub.poll(0), "the active alarm")
        try_to_send(keyed.socket(zmq.DEALER, keyed.bus.endpoints.control), b"{}")
        keyed.until(lambda: keyed.bus.counters["refused"], "a refusal")
        end = sub.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        remove_client(keyed.folder, "ward-3")
        keyed.now_s += 1.5
        keyed.until(lambda: end.poll(0), "the end of the connection")
    finally:
        keyed.close()


def test_the_example_of_the_documents_receives_alarms(keyed, monkeypatch):
    text = (ROOT / "docs" / "bus.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert "tcp://192.0.2.7:5556" in code
    monkeypatch.chdir(keyed.folder)
    scope: dict[str, zmq.Socket] = {}
    exec(code.replace("tcp://192.0.2.7:5556", keyed.bus.endpoints.alarms), scope)
    try:
        keyed.until(lambda: scope["alarms"].poll(0), "the active alarm")
    finally:
        scope["alarms"].close(0)
        scope["alarms"].context.destroy(linger=0)


def test_a_bus_with_keys_that_cannot_start_leaves_nothing_open(keyed):
    keys = load_server_keys(keyed.folder)
    with pytest.raises(PortInUse):
        Bus(keyed.bus.endpoints, epoch="e", journal=Journal(":memory:"), keys=keys)
    (keyed.folder / CLIENTS_FILE).unlink()
    with pytest.raises(ConfigError, match=CLIENTS_FILE):
        Bus(ANY_ENDPOINTS, epoch="e", journal=Journal(":memory:"), keys=keys)
