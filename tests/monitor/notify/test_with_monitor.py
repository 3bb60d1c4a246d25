"""Notifications of a real monitor: the receiver is down, hangs or fails; the monitor is killed. Nothing is lost."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.monitor.commands.helpers import COMMAND, FREE_BUS, ecg_monitor, environment
from tests.monitor.notify.helpers import HttpServer
from tests.monitor.sources.helpers import wait_for

pytestmark = pytest.mark.slow

TWO_ALARMS = "sim:sinus=20,asystole=10,sinus=20,vt=10,sinus=10"  # of high priority
LASTING = "sim:sinus=20,asystole=10,sinus=600"


def config(folder: Path, **settings: object) -> Path:
    path = folder / "mine.toml"
    path.write_text("[notify]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))
    return path


def words(folder: Path, source: str, **settings: object) -> list[str]:
    journal = str(folder / "j.sqlite")
    return [
        "--config",
        str(config(folder, **settings)),
        "--source",
        source,
        "--no-dashboard",
        "--journal",
        journal,
        *FREE_BUS,
    ]


class Started:
    """A running monitor; a context manager that kills it."""

    def __init__(self, folder: Path, arguments: list[str]) -> None:
        self._errors = (folder / "errors").open("w+")
        self.process = subprocess.Popen(
            [*COMMAND, *arguments], stdout=subprocess.DEVNULL, stderr=self._errors, env=environment()
        )

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._errors.close()

    def errors(self) -> str:
        return Path(self._errors.name).read_text()

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def kinds(server: HttpServer) -> list[str]:
    return [json.loads(body)["alarm"]["kind"] for _, body in server.requests]


def events(folder: Path) -> list[str]:
    """Kinds of the events in the journal."""
    with sqlite3.connect(folder / "j.sqlite") as database:
        rows = database.execute("SELECT CAST(body AS TEXT) FROM messages").fetchall()
    return [body["kind"] for (text,) in rows if (body := json.loads(text))["schema"] == "event/1"]


def test_every_alarm_of_a_run_at_full_speed_is_delivered_before_the_end(tmp_path: Path) -> None:
    with HttpServer() as server:
        done = ecg_monitor(*words(tmp_path, TWO_ALARMS, webhook=f"http://127.0.0.1:{server.port}/"), "--speed", "max")
    assert (done.returncode, done.stderr) == (0, "")
    assert kinds(server) == ["asystole", "ventricular_run"]


def test_alarms_raised_while_the_receiver_was_down_are_delivered_after_a_restart(tmp_path: Path) -> None:
    with HttpServer(lambda _: 503) as down:
        port = down.port
        done = ecg_monitor(*words(tmp_path, TWO_ALARMS, webhook=f"http://127.0.0.1:{port}/"), "--speed", "30")
    assert done.returncode == 3
    assert "127.0.0.1 answered 503; it is tried again" in done.stderr
    assert "2 alarms were not delivered" in done.stderr
    assert "notify_failed" in events(tmp_path)
    times = [json.loads(body)["time"] for _, body in down.requests[:1]]
    with HttpServer() as server:
        done = ecg_monitor(*words(tmp_path, "sim:sinus=5", webhook=f"http://127.0.0.1:{server.port}/"), "--speed", "1")
        assert done.returncode == 0, done.stderr
    assert sorted(kinds(server)) == ["asystole", "ventricular_run"]
    assert times[0] in [json.loads(body)["time"] for _, body in server.requests]
    with HttpServer() as server:
        ecg_monitor(*words(tmp_path, "sim:sinus=5", webhook=f"http://127.0.0.1:{server.port}/"), "--speed", "max")
    assert server.requests == [], "each is delivered once"


def test_after_a_kill_the_alarms_of_the_killed_run_are_delivered(tmp_path: Path) -> None:
    with (
        HttpServer(lambda _: 500) as down,
        Started(
            tmp_path, [*words(tmp_path, LASTING, webhook=f"http://127.0.0.1:{down.port}/"), "--speed", "20"]
        ) as run,
    ):
        wait_for(lambda: bool(down.requests), "an attempt")
        run.process.kill()
        run.process.wait()
    with HttpServer() as server:
        ecg_monitor(*words(tmp_path, "sim:sinus=5", webhook=f"http://127.0.0.1:{server.port}/"), "--speed", "1")
    assert kinds(server) == ["asystole"]


def test_a_receiver_that_works_again_gets_the_alarm_in_the_same_run(tmp_path: Path) -> None:
    with (
        HttpServer(lambda number: 500 if number < 3 else 200) as server,
        Started(
            tmp_path, [*words(tmp_path, LASTING, webhook=f"http://127.0.0.1:{server.port}/"), "--speed", "20"]
        ) as run,
    ):
        wait_for(lambda: "works again" in run.errors(), "the delivery")
        assert run.end() == 0
    assert len({body for _, body in server.requests}) == 1
    assert {"notify_failed", "notify_back"} <= set(events(tmp_path))


def test_a_command_that_hangs_does_not_hold_up_the_monitor(tmp_path: Path) -> None:
    hanging = words(tmp_path, TWO_ALARMS, command="sleep 600", timeout_s=1.0, states="", priorities="")
    done = ecg_monitor(*hanging, "--speed", "30")
    assert done.returncode == 3
    assert "sleep: killed, not finished after 1 s; it is tried again" in done.stderr
    (summary,) = [line for line in done.stdout.splitlines() if "watched" in line]
    assert "70.0 s watched" in summary
    assert "0 samples lost" in summary


def test_each_receiver_gets_all_and_what_was_not_delivered_is_counted(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = f"sh -c 'echo $ALARM_KIND >> {out}'"
    dead = {"webhook": "http://127.0.0.1:9/", "mqtt": "mqtt://127.0.0.1:9"}
    done = ecg_monitor(*words(tmp_path, TWO_ALARMS, command=command, timeout_s=7.0, **dead), "--speed", "max")
    assert out.read_text().split() == ["asystole", "ventricular_run"]
    assert done.returncode == 3
    assert "notify: webhook: 2 alarms were not delivered" in done.stderr
    assert "notify: mqtt: 2 alarms were not delivered" in done.stderr


def test_a_fleet_refuses_receivers(tmp_path: Path) -> None:
    done = ecg_monitor("fleet", "--config", str(config(tmp_path, command="true")), "--source", "sim")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "omit [notify]" in done.stderr


def test_a_damaged_file_of_waiting_alarms_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "j.sqlite.notify-command.json").write_text("nonsense")
    done = ecg_monitor(*words(tmp_path, "sim:sinus=5", command="true"), "--speed", "max")
    assert done.returncode == 2
    assert "remove it to begin anew" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_name_that_no_bed_has_is_refused_at_the_start(tmp_path: Path) -> None:
    done = ecg_monitor(*words(tmp_path, "sim:sinus=5", command="true", beds="p1, p-1"), "--speed", "max")
    assert done.returncode == 2
    assert "notify.beds: no bed 'p-1'; give some of p1, with commas" in done.stderr
    assert done.stderr.count("\n") == 1
