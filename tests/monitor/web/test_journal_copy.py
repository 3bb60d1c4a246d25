"""The copy of a journal: what a monitor's restarts, and a monitor of an older version, leave in it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.bus import server
from monitor.bus.server import Bus
from monitor.client.client import AlarmClient
from monitor.client.past import Past
from monitor.journal import Journal
from monitor.messages import Reply, bed_topic
from monitor.web.journal_copy import JournalCopy
from tests.monitor.bus.helpers import alarm, heartbeat, make_bus, serve


@contextlib.contextmanager
def run(journal: str | Path, epoch: str, *onsets: int) -> Iterator[Bus]:
    """A bus that has published alarms; its requests are served in a thread."""
    kept = Journal(journal)
    bus = make_bus(kept, epoch)
    bus.heartbeat(heartbeat())
    for onset in onsets:
        bus.publish(bed_topic("p1", "alarm"), alarm(onset))
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            serve(bus)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield bus
    finally:
        stop.set()
        thread.join()
        bus.close()
        kept.close()


def read(copy: JournalCopy, bus: Bus) -> list[tuple[str, str, str]]:
    """Run, id and outcome of the alarms after another reading."""
    client = AlarmClient(bus.endpoints.alarms, bus.endpoints.control, beds=(), streams=())
    try:
        copy.read(Past(client, 30.0))
    finally:
        client.close()
    return [(entry.alarm.epoch, entry.alarm.last.alarm_id, entry.alarm.outcome) for entry in copy.entries()]


def test_earlier_runs_are_read_once_and_new_ones_join(tmp_path: Path) -> None:
    copy = JournalCopy(0, "here")
    with run(tmp_path / "j", "run-1", 100) as bus:
        assert read(copy, bus) == [("run-1", "p1/asystole/100", "onset")]
    with run(tmp_path / "j", "run-2", 100, 200) as bus:
        found = read(copy, bus)
        assert found == read(copy, bus)
    assert [each[:2] for each in found] == [
        ("run-1", "p1/asystole/100"), ("run-2", "p1/asystole/100"), ("run-2", "p1/asystole/200"),
    ]  # fmt: skip
    assert found[0][2] in ("monitor ended", "monitor died")
    assert copy.count == 3


def test_alarms_of_another_journal_go() -> None:
    copy = JournalCopy(0, "here")
    with run(":memory:", "run-1", 100) as bus:
        read(copy, bus)
    with run(":memory:", "run-2", 300) as bus:
        assert read(copy, bus) == [("run-2", "p1/asystole/300", "onset")]


def test_an_older_monitor_gives_its_present_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with run(tmp_path / "j", "run-1", 100):
        pass
    monkeypatch.setattr(server, "history_reply", lambda *_: Reply(ok=False, error="unknown op 'history'"))
    with run(tmp_path / "j", "run-2", 300) as bus:
        assert read(JournalCopy(0, "here"), bus) == [("run-2", "p1/asystole/300", "onset")]
