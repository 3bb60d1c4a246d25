"""Changes of the allow-list, and limits of each client, while the monitor runs."""

from __future__ import annotations

import socket

import msgspec
import numpy as np
import psutil
import pytest
import zmq

from monitor.bus import connections, request_socket, sockets
from monitor.bus.allow_list import CLIENTS_FILE
from monitor.bus.keys import add_client, load_client_key, make_server_keys, remove_client
from monitor.bus.server import Bus
from monitor.client.client import AlarmClient
from monitor.journal import Journal
from monitor.messages import BeatMessage, Reply, Request, WaveHeader, bed_topic, encode
from tests.monitor.bus.helpers import ANY_ENDPOINTS, alarm, beat, dropped, heartbeat, join, of, serve, wait_for
from tests.monitor.bus.keyed_bus import ALARMS, KeyedBus


def test_a_client_that_is_added_later_connects_by_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(sockets, "HANDSHAKE_MS", 300)
    keyed = KeyedBus(tmp_path / "keys")
    path = keyed.folder / CLIENTS_FILE
    allowed = path.read_text()
    path.write_text("")
    dealer = keyed.socket(zmq.DEALER, keyed.bus.endpoints.control, keyed.viewer)
    keyed.until(lambda: keyed.bus.counters["refused"] >= 2, "two attempts")
    path.write_text(allowed)
    assert keyed.ask_on(dealer, Request(op="ping")).ok
    assert "bus: allow-list changed: 2 clients" in keyed.reports
    keyed.close()


def test_a_removed_client_is_disconnected(keyed):
    sub = keyed.socket(zmq.SUB, keyed.bus.endpoints.alarms, keyed.viewer)
    waves = keyed.socket(zmq.SUB, keyed.bus.endpoints.waves, keyed.viewer)
    other = keyed.socket(zmq.SUB, keyed.bus.endpoints.alarms, keyed.operator)
    dealer = keyed.socket(zmq.DEALER, keyed.bus.endpoints.control, keyed.viewer)
    assert keyed.ask_on(dealer, Request(op="ping")).ok
    keyed.until(lambda: keyed.bus.counters["subscriptions"] == 2 and keyed.bus.viewers, "subscriptions")
    keyed.until(lambda: sub.poll(0) and other.poll(0), "the active alarm")
    ends = [sock.get_monitor_socket(zmq.EVENT_DISCONNECTED) for sock in (sub, waves, dealer)]
    remove_client(keyed.folder, "ward-3")
    keyed.now_s += 1.5  # without requests or connections the loop checks the list by itself
    keyed.until(lambda: all(end.poll(0) for end in ends), "the end of the connections")
    keyed.until(lambda: keyed.bus.counters["refused"] >= 6, "attempts to connect again")
    for subscriber in (sub, other):
        while subscriber.poll(0):
            subscriber.recv_multipart()
    published = keyed.bus.publish(ALARMS, alarm(2)).raw
    keyed.bus.publish_wave(WaveHeader(bed="p1", first_sample=0, n=2, fs_hz=360.0), np.zeros((2, 2), np.float32))
    keyed.until(lambda: other.poll(0), "an alarm for the other client")
    assert other.recv_multipart()[1] == published
    assert not sub.poll(0)
    assert not waves.poll(0)
    assert "bus: allow-list changed: 1 clients, removed ward-3" in keyed.reports
    assert any("no longer allowed" in line for line in keyed.reports)


def test_a_changed_role_applies_to_the_next_request(keyed):
    dealer = keyed.socket(zmq.DEALER, keyed.bus.endpoints.control, keyed.viewer)
    request = Request(op="acknowledge", alarm_id="p1/asystole/1")
    assert not keyed.ask_on(dealer, request).ok
    path = keyed.folder / CLIENTS_FILE
    path.write_text(path.read_text().replace('"viewer"', '"operator"'))
    assert keyed.ask_on(dealer, request).ok


@pytest.mark.parametrize("damage", ["not TOML", pytest.param("writable by others", marks=pytest.mark.posix), "missing"])
def test_an_allow_list_that_cannot_be_read_is_reported_and_changes_nothing(keyed, damage):
    path = keyed.folder / CLIENTS_FILE
    if damage == "writable by others":
        path.chmod(0o666)
    elif damage == "missing":
        path.unlink()
    else:
        path.write_text("[[client")
    for _ in range(3):
        assert keyed.ask(keyed.viewer, Request(op="ping")).ok
    assert len([line for line in keyed.reports if "the allow-list in force is unchanged" in line]) == 1


@pytest.mark.parametrize("keyed_first", [True, False])
def test_a_client_reconnects_to_a_monitor_that_was_first_started_with_or_without_keys_by_mistake(tmp_path, keyed_first):
    """libzmq stops connecting for good when only one side has keys."""
    keys = make_server_keys(tmp_path / "keys")
    key = load_client_key(add_client(tmp_path / "keys", "ward-3", "viewer"))
    now_s = [0.0]
    wrong = Bus(ANY_ENDPOINTS, epoch="a", journal=Journal(":memory:"), keys=keys if keyed_first else None)
    ends = wrong.endpoints
    client = AlarmClient(ends.alarms, ends.control, key=None if keyed_first else key, clock=lambda: now_s[0])
    for _ in range(50):  # time for both sides to notice the difference
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


def test_a_client_over_its_request_rate_gets_slow_down_and_others_are_served(keyed):
    flooder = keyed.socket(zmq.DEALER, keyed.bus.endpoints.control, keyed.viewer)
    for number in range(600):
        flooder.send(encode(Request(op="ping", id=str(number))))
    replies = []

    def turn() -> None:
        keyed.turn()
        while flooder.poll(0):
            replies.append(msgspec.json.decode(flooder.recv(), type=Reply))

    assert keyed.ask(keyed.operator, Request(op="ping")).ok
    wait_for(lambda: len(replies) == 600, "all replies", turn)
    assert [reply.id for reply in replies] == [str(number) for number in range(600)]
    assert [reply.ok for reply in replies] == [True] * 400 + [False] * 200
    assert all("slow down" in reply.error and reply.data["retry_after_s"] > 0 for reply in replies[400:])
    assert keyed.bus.counters["slowed"] == 200
    flooder.close()
    again = keyed.socket(zmq.DEALER, keyed.bus.endpoints.control, keyed.viewer)
    assert not keyed.ask_on(again, Request(op="ping")).ok  # the limit is per key, not per connection
    keyed.now_s += 1.0
    assert keyed.ask_on(again, Request(op="ping")).ok


def test_bytes_of_answers_are_limited_and_a_client_still_recovers_all(keyed, monkeypatch):
    monkeypatch.setattr(request_socket, "ANSWER_BYTES_BURST", 100_000.0)
    client = keyed.client(keyed.viewer, streams=("beat",))
    (got,) = join(keyed.bus, client)
    with dropped():
        for number in range(2_000):
            keyed.bus.publish(bed_topic("p1", "beat"), beat(number))
    keyed.bus.heartbeat(heartbeat())

    def turn() -> None:
        keyed.now_s += 0.01 * bool(keyed.bus.counters["slowed"])
        serve(keyed.bus)
        got.extend(client.poll(0.0))

    wait_for(lambda: len(of(got, BeatMessage)) == 2_000, "all beats", turn)
    assert [body.seq for _, body, _ in of(got, BeatMessage)] == list(range(1, 2_001))
    assert client.missed == 0
    assert keyed.bus.counters["slowed"] > 0
    client.close()


def test_subscriptions_of_one_connection_are_limited(keyed, monkeypatch):
    monkeypatch.setattr(connections, "MAX_TOPICS", 50)
    keyed.reconnect_ms = -1
    greedy = keyed.socket(zmq.SUB, keyed.bus.endpoints.alarms, keyed.viewer)
    end = greedy.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    modest = keyed.socket(zmq.SUB, keyed.bus.endpoints.alarms, keyed.viewer)
    for number in range(200):
        modest.subscribe(f"v1/{number}/")
        modest.unsubscribe(f"v1/{number}/")
    for number in range(200):
        greedy.subscribe(f"v1/{number}/")
    keyed.until(lambda: end.poll(0), "the end of the connection")
    published = keyed.bus.publish(ALARMS, alarm(2)).raw
    got: list[bytes] = []
    keyed.until(lambda: (modest.poll(0) and got.append(modest.recv_multipart()[1])) or published in got, "the alarm")
    assert keyed.bus.counters["refused"] == 1


def test_connections_are_limited_and_intruders_cannot_occupy_them(keyed, monkeypatch):
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 10)
    port = int(keyed.bus.endpoints.control.rpartition(":")[2])
    raw = [socket.create_connection(("127.0.0.1", port)) for _ in range(30)]
    keyed.until(lambda: keyed.bus.counters["refused"] >= 20, "refusals")

    def accepted() -> int:
        return sum(tcp.laddr[1] == port and tcp.status != "LISTEN" for tcp in psutil.Process().net_connections("tcp"))

    keyed.until(lambda: accepted() <= 10, "at most ten connections")
    for connection in raw:
        connection.close()
    assert keyed.ask(keyed.viewer, Request(op="ping")).ok
