from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.bus.endpoints import endpoints_from
from monitor.commands.tail import run_tail
from monitor.journal import Journal
from monitor.messages import bed_topic
from tests.monitor.bus.helpers import TIMEOUT_S, BusProcess, alarm, beat, heartbeat, make_bus, serve, wait_for

ROOT = Path(__file__).parents[3]
TAIL = (
    "import sys; from monitor.commands.tail import run_tail;"
    "sys.exit(run_tail(sys.argv[1], sys.argv[2] or None, sys.stdout))"
)


def start(connect: str, bed: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", TAIL, connect, bed],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.fixture
def place(tmp_path):
    """An endpoint whose three sockets belong together, as a user names them."""
    return f"ipc://{tmp_path}/ecg"


def test_writes_each_alarm_as_one_line_exactly_as_published(place):
    bus = make_bus(endpoints=endpoints_from(place))
    active = bus.publish(bed_topic("p1", "alarm"), alarm(1)).raw.decode()
    bus.publish(bed_topic("p10", "alarm"), alarm(2, bed="p10"))
    bus.publish(bed_topic("p1", "beat"), beat(1))
    bus.heartbeat(heartbeat())
    out, err = io.StringIO(), io.StringIO()

    def stop() -> bool:
        """Asked between the turns of the tail: serve, and publish once it has joined."""
        serve(bus)
        lines = out.getvalue().splitlines()
        if len(lines) == 1 and bus.seqs[bed_topic("p1", "alarm")] == 1:
            bus.publish(bed_topic("p1", "beat"), beat(2))
            bus.publish(bed_topic("p10", "alarm"), alarm(2, "cleared", bed="p10"))
            bus.publish(bed_topic("p1", "alarm"), alarm(1, "cleared"))
        return len(lines) >= 2

    assert run_tail(place, "p1", out, err=err, stop=stop) == 0
    first, second = out.getvalue().splitlines()
    assert first == active
    assert json.loads(second)["alarm"]["state"] == "cleared"
    assert f"connected to {place}" in err.getvalue()
    bus.close()


def test_waits_for_a_monitor_follows_restarts_and_says_so(place, tmp_path):
    process = start(place)
    assert process.stdout is not None
    assert process.stderr is not None
    assert "waiting for a monitor" in process.stderr.readline()
    monitor = BusProcess(tmp_path / "j.db", "run-1", place)
    try:
        monitor.execute("heartbeat")
        assert "connected" in process.stderr.readline()
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


@pytest.mark.parametrize("with_alarms", [True, False])
def test_a_reader_that_goes_away_ends_it_quietly(place, with_alarms):
    """Like `tail | head -1`; where no alarm comes, too."""
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
        said = process.stderr.read()
        assert "Traceback" not in said
        assert "Broken pipe" not in said
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
        bus.close()


@pytest.mark.parametrize("connect", ["nonsense", "tcp://host:99999", "tcp://127.0.0.1"])
def test_an_endpoint_not_understood_is_one_line_and_code_2(connect):
    out, err = io.StringIO(), io.StringIO()
    assert run_tail(connect, None, out, err=err) == 2
    assert out.getvalue() == ""
    assert err.getvalue().count("\n") == 1
    assert connect in err.getvalue()
