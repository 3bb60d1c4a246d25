"""Position files, and `tail --resume`."""

from __future__ import annotations

import io
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.bus.endpoints import endpoints_from
from monitor.client.positions import Place, Position, load_position, save_position
from monitor.commands.tail import run_tail
from monitor.errors import PositionError
from tests.monitor.bus.helpers import BusProcess, heartbeat, make_bus, serve, wait_for
from tests.monitor.commands.helpers import environment

ROOT = Path(__file__).parents[3]


def tail(place: str, out: Path, position: Path, limit: int = resource.RLIM_INFINITY) -> subprocess.Popen[str]:
    """Run `ecg-monitor tail --resume POSITION >> OUT`; no file can grow beyond `limit` bytes."""
    with out.open("a") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "monitor", "tail", "--connect", place, "--resume", str(position)],
            stdout=file, stderr=subprocess.PIPE, text=True, env=environment(), cwd=ROOT,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)),
        )  # fmt: skip


def places(out: Path) -> list[tuple[str, int]]:
    return [(body["epoch"], body["seq"]) for body in map(json.loads, out.read_text().splitlines())]


def test_a_tail_that_is_killed_and_restarted_loses_and_repeats_nothing(tmp_path):
    place, out, position = f"ipc://{tmp_path}/ecg", tmp_path / "alarms.jsonl", tmp_path / "position.json"
    monitor = BusProcess(tmp_path / "j.db", "run-1", place)
    process = tail(place, out, position)
    try:
        assert process.stderr is not None
        assert process.stderr.readline()  # it waits or is connected
        monitor.execute("heartbeat")
        wait_for(position.exists, "a position file")
        monitor.execute("alarm 5")
        wait_for(lambda: len(places(out)) == 5, "five alarms")
        read = Place("run-1", 5)
        wait_for(lambda: (kept := load_position(position)) and read in kept.topics.values(), "the position after them")
        process.kill()
        process.communicate()
        monitor.execute("alarm 3")  # no subscriber
        monitor.kill()
        monitor = BusProcess(tmp_path / "j.db", "run-2", place)
        monitor.execute("alarm 2")
        process = tail(place, out, position)
        monitor.execute("heartbeat")
        wait_for(lambda: len(places(out)) >= 10, "the messages in between")
        monitor.execute("alarm 1")
        wait_for(lambda: len(places(out)) >= 11, "the message of now")
        assert places(out) == [("run-1", n) for n in range(1, 9)] + [("run-2", n) for n in range(1, 4)]
    finally:
        monitor.kill()
        process.kill()
        process.communicate()


def test_a_full_disk_loses_no_alarm_and_leaves_whole_lines(tmp_path):
    """The disk is full in the middle of a line, three times; each time there is a little more room afterwards."""
    place, out, position = f"ipc://{tmp_path}/ecg", tmp_path / "alarms.jsonl", tmp_path / "position.json"
    monitor = BusProcess(tmp_path / "j.db", "run-1", place)
    save_position(position, Position("run-1", {"v1/p1/alarm/": Place("run-1", 0)}))
    seen: list[int] = []
    try:
        monitor.execute("alarm 20")
        for limit in (1500, 3900, 7300):
            process = tail(place, out, position, limit)
            monitor.execute("heartbeat")
            wait_for(
                lambda process=process: process.poll() is not None, "the end", lambda: monitor.execute("heartbeat")
            )
            assert process.returncode == 2
            assert process.stderr is not None
            assert "standard output: File too large; write somewhere else" in process.stderr.read()
            process.communicate()
            seen = [seq for _, seq in places(out)]  # each line is whole
            kept = load_position(position)
            assert kept is not None
            assert kept.topics["v1/p1/alarm/"].seq <= max(seen)
        process = tail(place, out, position)
        wait_for(lambda: 20 in [seq for _, seq in places(out)], "the last", lambda: monitor.execute("heartbeat"))
        assert {seq for _, seq in places(out)} == set(range(1, 21))
    finally:
        monitor.kill()
        process.kill()
        process.communicate()


@pytest.mark.parametrize("seq", [-1, 1 << 63, 1 << 70])
def test_a_position_that_no_monitor_can_have_is_one_line(tmp_path, seq):
    path = tmp_path / "position"
    path.write_text(json.dumps({"epoch": "run-1", "topics": {"v1/p1/alarm/": {"epoch": "run-1", "seq": seq}}}))
    with pytest.raises(PositionError, match="give another file, or remove it to begin anew"):
        load_position(path)


def test_a_position_beyond_the_monitor_silences_no_alarm(tmp_path):
    """A place that the run has not reached, by a damaged file: every alarm would count as printed."""
    place = f"ipc://{tmp_path}/ecg"
    save_position(tmp_path / "position", Position("run-1", {"v1/p1/alarm/": Place("run-1", 10**9)}))
    monitor = BusProcess(tmp_path / "j.db", "run-1", place)
    out, err = io.StringIO(), io.StringIO()
    try:
        monitor.execute("alarm 3")

        def stop() -> bool:
            monitor.execute("heartbeat")
            return out.getvalue().count("\n") == 3

        run_tail(place, None, out, resume=tmp_path / "position", err=err, stop=stop)
    finally:
        monitor.kill()
    assert [json.loads(line)["seq"] for line in out.getvalue().splitlines()] == [1, 2, 3]
    assert "the position file is beyond the messages of the monitor" in err.getvalue()


def test_a_position_in_a_run_without_a_journal_gives_a_notice(tmp_path):
    """The messages that exist are printed, with the notice that some may be missing."""
    place = f"ipc://{tmp_path}/ecg"
    save_position(tmp_path / "position", Position("another-run", {"v1/p1/alarm/": Place("another-run", 7)}))
    monitor = BusProcess(":memory:", "run-2", place)
    out, err = io.StringIO(), io.StringIO()
    try:
        monitor.execute("alarm 2")

        def stop() -> bool:
            if "connected" not in err.getvalue():
                monitor.execute("heartbeat")
            return "some may be missing" in err.getvalue() and out.getvalue().count("\n") == 2

        run_tail(place, None, out, resume=tmp_path / "position", err=err, stop=stop)
    finally:
        monitor.kill()
    assert "--journal FILE keeps them" in err.getvalue()


@pytest.mark.parametrize("content", ["", "[1]", '{"epoch": 3}', "\xff"])
def test_a_file_that_is_not_a_position_is_one_line(tmp_path, content):
    path = tmp_path / "position"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(PositionError, match="give another file, or remove it to begin anew") as error:
        run_tail(f"ipc://{tmp_path}/ecg", None, io.StringIO(), resume=path)
    assert "\n" not in str(error.value)


def test_a_position_that_cannot_be_written_is_one_line(tmp_path):
    place = f"ipc://{tmp_path}/ecg"
    bus = make_bus(endpoints=endpoints_from(place))
    bus.heartbeat(heartbeat())

    def stop() -> bool:
        serve(bus)
        return False

    with pytest.raises(PositionError, match="No such file or directory"):
        run_tail(place, None, io.StringIO(), resume=tmp_path / "no" / "folder", err=io.StringIO(), stop=stop)
    bus.close()


def test_a_saved_position_is_loaded_unchanged(tmp_path):
    path = tmp_path / "position"
    assert load_position(path) is None
    for seq in range(20):
        position = Position("run-1", {"v1/p1/alarm/": Place("run-1", seq)})
        save_position(path, position)
        assert load_position(path) == position
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(PositionError, match="Is a directory"):
        load_position(tmp_path)
