"""The web server beside a monitor: one ends with the other, and harms it in no way. Real processes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from monitor.commands.web import with_page_address
from tests.monitor.web.helpers import WebMonitor, keys_in, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def monitor() -> Iterator[WebMonitor]:
    with WebMonitor() as started:
        yield started


def _server(monitor: WebMonitor) -> psutil.Process:
    (server,) = monitor.usage.children()
    return server


def test_it_prints_the_address_and_serves(monitor: WebMonitor) -> None:
    assert monitor.address.startswith("http://127.0.0.1:")
    assert _server(monitor).nice() > monitor.usage.nice()


@pytest.mark.posix
@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "SIGKILL"])
def test_it_ends_with_the_monitor(monitor: WebMonitor, how: str) -> None:
    server = _server(monitor)
    monitor.process.send_signal(signal.Signals[how])
    wait_for(lambda: not monitor.alive, "the end of the monitor")
    wait_for(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE, "the end of the server")


def test_a_stopped_server_is_killed_at_the_end(monitor: WebMonitor) -> None:
    server = _server(monitor)
    server.suspend()
    assert "watched" in monitor.end()
    wait_for(lambda: not server.is_running(), "the end of the server")


def test_a_killed_server_is_started_again_at_the_same_address(monitor: WebMonitor) -> None:
    for times in (1, 2):
        _server(monitor).kill()
        wait_for(lambda times=times: monitor.output().count("it is started again in") == times, "the report")  # type: ignore[misc]
        wait_for(monitor.answers, "the page")
    assert "ended (code -9); it is started again in 0.5 s" in monitor.output()
    assert "started again in 1 s" in monitor.output()
    assert "Traceback" not in monitor.output()
    assert monitor.alive


def test_its_key_stands_nowhere(tmp_path: Path) -> None:
    keys_in(tmp_path / "keys")
    with WebMonitor("--keys", str(tmp_path / "keys")) as monitor:
        server = _server(monitor)
        words = " ".join((*server.cmdline(), *server.environ().values()))
        assert "secret" not in words
        assert server.cmdline()[-2:] == ["-m", "monitor.web.beside"], "all else is on its input"


def test_an_address_is_optional() -> None:
    assert with_page_address(["--web"]) == ["--web", "127.0.0.1:8080"]
    assert with_page_address(["--web", "0", "--speed", "1"]) == ["--web", "0", "--speed", "1"]
    assert with_page_address(["--web=[::1]:1"]) == ["--web=[::1]:1"]
