"""A monitor that is killed, restarted, or has lost its journal."""

from __future__ import annotations

from monitor.bus.endpoints import endpoints_from
from monitor.client.client import AlarmClient
from monitor.journal import Journal
from monitor.messages import AlarmMessage, bed_topic
from tests.monitor.bus.helpers import (
    BusProcess,
    alarm,
    connect,
    heartbeat,
    make_bus,
    of,
    pump,
    serve,
    wait_for,
)
from tests.monitor.commands.helpers import free_endpoint

ALARMS = bed_topic("p1", "alarm")


def test_no_alarm_is_lost_when_the_monitor_is_killed_and_restarted(tmp_path, closing):
    address = free_endpoint()
    process = BusProcess(tmp_path / "j.db", "run-1", address)
    try:
        ends = process.endpoints
        client = closing(AlarmClient(ends.alarms, ends.control, patience_s=30.0))
        other = closing(AlarmClient(ends.alarms, ends.control, patience_s=30.0, streams=("alarm",)))
        got: list = []
        others: list = []

        def alarms() -> int:
            return min(len(of(got, AlarmMessage)), len(of(others, AlarmMessage)))

        process.execute("heartbeat")
        both = [got, others]
        joined = [client.counters, other.counters]
        pump(None, client, other, until=lambda: all(c["snapshots"] for c in joined), got=both, what="snapshots")
        process.execute("alarm 5")
        pump(None, client, other, until=lambda: alarms() == 5, got=both, what="the first alarms")
        process.execute("alarm 20")  # the client does not read them before the monitor is killed
        process.kill()
        process = BusProcess(tmp_path / "j.db", "run-2", address)
        process.execute("alarm 7")
        process.execute("heartbeat")
        pump(None, client, other, until=lambda: alarms() >= 32, got=both, what="all alarms")
        want = [("run-1", n) for n in range(1, 26)] + [("run-2", n) for n in range(1, 8)]
        assert [(body.epoch, body.seq) for _, body, _ in of(got, AlarmMessage)] == want
        assert [(body.epoch, body.seq) for _, body, _ in of(others, AlarmMessage)] == want
        assert client.epoch == "run-2"
        assert client.missed == other.missed == 0
    finally:
        process.kill()


def test_a_client_that_joins_during_a_restart_begins_with_the_new_run(tmp_path, closing):
    endpoints = endpoints_from(f"ipc://{tmp_path}/ecg")
    bus = make_bus(Journal(":memory:"), "run-1", endpoints)
    client = closing(connect(bus))
    bus.publish(ALARMS, alarm(1))
    bus.heartbeat(heartbeat())
    got: list = []

    def turn_without_reply() -> None:
        bus.service(0.002)
        got.extend(client.poll(0.0))

    wait_for(lambda: client.epoch == "run-1", "the first message", turn_without_reply)
    bus.close()
    bus = make_bus(Journal(":memory:"), "run-2", endpoints)
    bus.publish(ALARMS, alarm(9))
    bus.heartbeat(heartbeat())
    pump(bus, client, until=lambda: of(got, AlarmMessage), got=[got], what="the alarm of the new run")
    assert [(body.epoch, body.alarm.onset_sample) for _, body, _ in of(got, AlarmMessage)] == [("run-2", 9)]
    serve(bus)
    bus.close()
