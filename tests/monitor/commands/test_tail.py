"""`ecg-monitor tail`: lines as published, restarts of the monitor, a closed pipe, wrong endpoints."""

from __future__ import annotations

import io
import json
import signal
import subprocess

import pytest

from monitor.bus.endpoints import endpoints_from
from monitor.commands.tail import run_tail
from monitor.journal import Journal
from monitor.messages import bed_topic
from tests.monitor.bus.helpers import TIMEOUT_S, BusProcess, alarm, beat, heartbeat, make_bus, serve, wait_for
from tests.monitor.commands.conftest import Here
from tests.monitor.commands.helpers import COMMAND, environment


def start(connect: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "tail", "--connect", connect],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )


@pytest.fixture
def place(tmp_path):
    """An endpoint on whose three sockets a bus listens."""
    return f"ipc://{tmp_path}/ecg"


def test_it_writes_each_alarm_as_one_line_exactly_as_published(place):
    bus = make_bus(endpoints=endpoints_from(place))
    active = bus.publish(bed_topic("p1", "alarm"), alarm(1)).raw.decode()
    bus.publish(bed_topic("p10", "alarm"), alarm(2, bed="p10"))
    bus.publish(bed_topic("p1", "beat"), beat(1))
    bus.heartbeat(heartbeat())
    out, err = io.StringIO(), io.StringIO()

    def stop() -> bool:
        """Called between the polls: serve the bus, and publish once the snapshot has been written."""
        serve(bus)
        lines = out.getvalue().splitlines()
        if len(lines) == 1 and bus.seqs[bed_topic("p1", "alarm")] == 1:
            bus.publish(bed_topic("p1", "beat"), beat(2))
            bus.publish(bed_topic("p10", "alarm"), alarm(2, "cleared", bed="p10"))
            bus.publish(bed_topic("p1", "alarm"), alarm(1, "cleared"))
        return len(lines) >= 2

    run_tail(place, "p1", out, err=err, stop=stop)
    first, second = out.getvalue().splitlines()
    assert first == active
    assert json.loads(second)["alarm"]["state"] == "cleared"
    assert f"connected to {place}" in err.getvalue()
    bus.close()


@pytest.mark.slow
def test_it_waits_for_a_monitor_and_continues_after_its_restart(place, tmp_path):
    process = start(place)
    assert process.stdout is not None
    assert process.stderr is not None
    assert "waiting for a monitor" in process.stderr.readline()
    monitor = BusProcess(tmp_path / "j.db", "run-1", place)
    try:
        monitor.execute("heartbeat")
        assert any("connected to" in line for line in iter(process.stderr.readline, "")), "it ended"
        monitor.execute("alarm 2")
        lines = [process.stdout.readline() for _ in range(2)]
        monitor.kill()
        monitor = BusProcess(tmp_path / "j.db", "run-2", place)
        monitor.execute("alarm 1")
        monitor.execute("heartbeat")
        lines.append(process.stdout.readline())
        assert [(json.loads(line)["epoch"], json.loads(line)["seq"]) for line in lines] == [
            ("run-1", 1), ("run-1", 2), ("run-2", 1),
        ]  # fmt: skip
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_S) == 0
        assert "Traceback" not in process.stderr.read()
    finally:
        monitor.kill()
        process.kill()
        process.communicate()


@pytest.mark.parametrize("with_alarms", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_closed_pipe_ends_it_without_an_error(place, with_alarms):
    """Like `tail | head -1`, also when no further alarm comes."""
    bus = make_bus(Journal(":memory:"), endpoints=endpoints_from(place))
    process = start(place)
    assert process.stdout is not None
    try:
        bus.heartbeat(heartbeat())
        bus.publish(bed_topic("p1", "alarm"), alarm(1))
        wait_for(lambda: bus.counters["requests"], "snapshot", lambda: serve(bus, 0.01))
        assert process.stdout.readline()
        process.stdout.close()

        def turn() -> None:
            serve(bus, 0.01)
            if with_alarms:
                bus.publish(bed_topic("p1", "alarm"), alarm(2))

        wait_for(lambda: process.poll() is not None, "end", turn)
        assert process.returncode == 0
        assert process.stderr is not None
        errors = process.stderr.read()
        assert "Traceback" not in errors
        assert "Broken pipe" not in errors
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
        bus.close()


@pytest.mark.parametrize("connect", ["nonsense", "tcp://host:99999", "tcp://127.0.0.1"])
def test_a_wrong_endpoint_is_one_line_and_exit_code_2(connect, here: Here):
    done = here("tail", "--connect", connect)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert connect in done.err
