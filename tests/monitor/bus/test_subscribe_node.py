"""The example tools/examples/subscribe.mjs under Node.js, with the package zeromq from npm."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from monitor.bus.endpoints import endpoints_from
from tests.monitor.bus.helpers import BusProcess, wait_for

SCRIPT = Path(__file__).parents[3] / "tools" / "examples" / "subscribe.mjs"
INSTALL = "npm install --no-audit --no-fund --ignore-scripts --fetch-retries=1 --fetch-timeout=20000 zeromq@6"

pytestmark = [pytest.mark.slow, pytest.mark.may_skip("node")]


@pytest.fixture(scope="module")
def script(tmp_path_factory) -> Path:
    """Install the example and its package in a folder."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node.js is missing: install node and npm")
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text("{}")
    for command in (INSTALL.split(), ["node", "-e", "require('zeromq')"]):
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip(f"{command[0]} did not end; is a registry reachable?")
        if done.returncode:
            pytest.skip(f"package zeromq cannot be installed: {done.stderr.strip().splitlines()[:1]}")
    return Path(shutil.copy(SCRIPT, folder))


class Node:
    """The running example."""

    def __init__(self, script: Path, connect: str) -> None:
        self.process = subprocess.Popen(
            ["node", script, connect], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._threads = [
            threading.Thread(target=lambda pipe=pipe, into=into: into.extend(pipe))
            for pipe, into in ((self.process.stdout, self.lines), (self.process.stderr, self.errors))
        ]
        for thread in self._threads:
            thread.start()

    def places(self) -> list[tuple[str, int]]:
        found = (line.rsplit("(", 1)[1].rstrip(")\n").split() for line in list(self.lines))
        return [(epoch, int(seq)) for epoch, seq in found]

    def wait(self, monitor: BusProcess, count: int) -> None:
        """Wait for `count` printed alarms while the monitor sends heartbeats."""

        def turn() -> None:
            assert self.process.poll() is None, self.errors
            monitor.execute("heartbeat")

        wait_for(lambda: len(self.lines) >= count, f"{count} alarms", turn)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for thread in self._threads:
            thread.join()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


def test_no_alarm_is_lost_when_the_monitor_is_killed_or_sends_a_burst(script, tmp_path):
    place = f"ipc://{tmp_path}/ecg"
    monitor = BusProcess(tmp_path / "j.db", "run-1", place)
    node = Node(script, endpoints_from(place).alarms)
    try:
        monitor.execute("alarm 2")
        node.wait(monitor, 2)  # by the snapshot
        monitor.execute("alarm 3")
        node.wait(monitor, 5)
        node.process.send_signal(signal.SIGSTOP)
        monitor.execute("alarm 4")  # in the journal; those on the wire are lost with the monitor
        monitor.kill()
        monitor = BusProcess(tmp_path / "j.db", "run-2", place)
        monitor.execute("alarm 15000")  # more than the queues of both sides hold
        node.process.send_signal(signal.SIGCONT)
        node.wait(monitor, 9 + 15_000)
        want = [("run-1", n) for n in range(1, 10)] + [("run-2", n) for n in range(1, 15_001)]
        assert node.places() == want
        assert "p1 high asystole onset no QRS for 4 s" in node.lines[0]
        assert not node.errors
    finally:
        node.close()
        monitor.kill()


def test_the_loss_of_a_monitor_without_a_journal_is_reported(script, tmp_path):
    place = f"ipc://{tmp_path}/ecg"
    monitor = BusProcess(":memory:", "run-1", place)
    node = Node(script, endpoints_from(place).alarms)
    try:
        monitor.execute("alarm 1")
        node.wait(monitor, 1)
        monitor.kill()
        monitor = BusProcess(":memory:", "run-2", place)
        monitor.execute("alarm 2")
        node.wait(monitor, 3)
        assert node.places() == [("run-1", 1), ("run-2", 1), ("run-2", 2)]
        wait_for(lambda: node.errors, "the report of the loss")
        assert "no longer has all messages" in node.errors[0]
    finally:
        node.close()
        monitor.kill()
