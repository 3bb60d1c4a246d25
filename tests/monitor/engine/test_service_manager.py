"""What systemd receives: a real monitor with a notify socket of the test."""

from __future__ import annotations

import contextlib
import secrets
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.engine.service_manager import ServiceManager
from tests.monitor.commands.helpers import COMMAND, FREE_BUS, environment

RUNNING = b"READY=1\nWATCHDOG=1"
PATIENCE_S = 60.0


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket that receives notifications, and its address."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@ecg-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as received:
        received.bind(address.replace("@", "\0", 1))
        received.settimeout(PATIENCE_S)
        yield received, address


def test_a_run_is_ready_then_feeds_the_watchdog_then_stops(manager: tuple[socket.socket, str]) -> None:
    received, address = manager
    command = [*COMMAND, "--no-dashboard", *FREE_BUS]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment(NOTIFY_SOCKET=address)) as process:
        try:
            assert [received.recv(100) for _ in range(3)] == [RUNNING] * 3
            process.send_signal(signal.SIGTERM)
            while (state := received.recv(100)) == RUNNING:
                pass
            assert state == b"STOPPING=1"
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()


def test_a_loop_that_stands_still_sends_nothing(manager: tuple[socket.socket, str]) -> None:
    received, address = manager
    command = [*COMMAND, "--no-dashboard", *FREE_BUS]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment(NOTIFY_SOCKET=address)) as process:
        try:
            assert received.recv(100) == RUNNING
            process.send_signal(signal.SIGSTOP)
            received.settimeout(2.5)  # two heartbeats
            with contextlib.suppress(TimeoutError):
                for _ in range(3):
                    received.recv(100)
                pytest.fail("a stopped process sends heartbeats")
        finally:
            process.kill()


def test_a_manager_that_is_away_or_slow_does_not_stop_the_loop(tmp_path: Path) -> None:
    for address in ("", str(tmp_path / "none"), "@" + "x" * 300):
        service = ServiceManager(address)
        service.heartbeat("running")
        service.close()
        service.close()
        service.heartbeat("goodbye")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as full:
        full.bind(str(tmp_path / "full"))
        service = ServiceManager(str(tmp_path / "full"))
        for _ in range(10_000):
            service.heartbeat("running")
        service.close()
