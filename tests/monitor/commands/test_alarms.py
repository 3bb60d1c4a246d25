"""`ecg-monitor alarms`, as its users run it."""

from __future__ import annotations

import csv
import io
import json
import os
import sqlite3
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from monitor.__main__ import main
from monitor.journal import Journal, JournalReader, OperatorAction, Session
from monitor.messages import AlarmMessage, AlarmState, bed_topic
from monitor.reports.episodes import past_alarms
from tests.monitor.bus.helpers import alarm
from tests.monitor.commands.helpers import COMMAND, FREE_BUS, ecg_monitor, environment
from tests.monitor.journal.helpers import abandon, put

Here = Callable[..., tuple[int, str, str]]
DAY = "2026-01-31T08:00:"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recorded session of the real monitor."""
    folder = tmp_path_factory.mktemp("session") / "rec"
    done = ecg_monitor(
        "--source", "sim:sinus=20,vt=8,sinus=10,asystole=6,sinus=6", "--speed", "max", "--no-dashboard", *FREE_BUS,
        "--record", str(folder),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two beds, two runs, every outcome."""
    path = tmp_path_factory.mktemp("ward") / "j.db"
    seqs: dict[str, int] = {}

    def say(second: float, sample: int, onset: int, state: AlarmState, bed: str, kind: str, **changes: object) -> None:
        body = alarm(onset, state, bed, kind)
        changes = {"decided_sample": sample, "priority": "high" if kind == "asystole" else "low"} | changes
        its = msgspec.structs.replace(body.alarm, **changes)
        body = msgspec.structs.replace(body, alarm=its, time=f"{DAY}{second:06.3f}+00:00")
        topic = bed_topic(bed, "alarm")
        seqs[topic] = seqs.get(topic, 0) + 1
        put(journal, topic, body, seqs[topic])

    journal = Journal(path)
    journal.start("2026-a")
    journal.put_sessions(
        [Session("p1", "sim", "II", 100.0, "m", "00"), Session("p2", "sim", "V1", 100.0, "m", "00")], "9"
    )
    say(5, 500, 100, "onset", "p1", "asystole")
    say(9, 900, 100, "latched", "p1", "asystole")
    say(20, 2000, 100, "cleared", "p1", "asystole", acknowledged_by="nurse 3")
    journal.put_action(OperatorAction("nurse 3", "acknowledge", "p1", "p1/asystole/100", 2000))
    say(10, 1000, 1000, "onset", "p2", "gap", text='=1+1, "quoted"\x1b[31m\n')
    say(12, 1200, 1000, "cleared", "p2", "gap", text="2 gaps")
    say(30, 3000, 2900, "onset", "p2", "asystole")
    journal.close()
    journal = Journal(path)
    seqs.clear()
    journal.start("2026-b")
    say(40, 4000, 3900, "onset", "p1", "anomalous_beat")
    say(41, 4100, 3900, "acknowledged", "p1", "anomalous_beat", acknowledged_by="Dr Ä")
    journal.commit()
    abandon(journal)
    return path


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """`ecg-monitor alarms` in this process, for what need not wait for another to start: exit code, output, errors."""
    for name in [name for name in os.environ if name.startswith("ECG_MONITOR_")]:
        monkeypatch.delenv(name)

    def run(*options: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ecg-monitor", "alarms", *options])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def listed(path: Path, *options: str) -> list[dict[str, object]]:
    done = ecg_monitor("alarms", "--journal", str(path), "--format", "jsonl", *options)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_each_alarm_once_with_how_it_ended_how_long_and_who(ward: Path) -> None:
    rows = listed(ward)
    told = [(r["alarm_id"], r["state"], r["lasted_s"], r["who"], r["time"]) for r in rows]
    assert told == [
        ("p1/asystole/100", "cleared", 8.0, "nurse 3", f"{DAY}01.000+00:00"),  # its cause was gone when it latched
        ("p2/gap/1000", "cleared", 2.0, "", f"{DAY}10.000+00:00"),
        ("p2/asystole/2900", "monitor ended", None, "", f"{DAY}29.000+00:00"),
        ("p1/anomalous_beat/3900", "monitor died", None, "Dr Ä", f"{DAY}40.000+00:00"),
    ]
    assert [state["state"] for state in rows[0]["states"]] == ["onset", "latched", "cleared"]  # type: ignore[index, attr-defined]
    assert rows[0]["evidence"]["limit"] == 4.0  # type: ignore[index]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--bed", "p2"], [1, 2]),
        (["--bed", "p1", "--bed", "p2", "--kind", "asystole"], [0, 2]),
        (["--priority", "low"], [1, 3]),
        (["--state", "cleared"], [0, 1]),
        (["--state", "died", "--state", "ended"], [2, 3]),
        (["--state", "open"], []),
        (["--since", "2026-01-31T08:00:10"], [1, 2, 3]),
        (["--since", "2026-01-31T09:00:10+01:00", "--until", "2026-01-31T08:00:29"], [1]),
        (["--until", "2026-01-31"], []),
        (["--epoch", "2026-b"], [3]),
        (["--epoch", "last"], [3]),
        (["--limit", "2"], [2, 3]),
        (["--limit", "0"], [0, 1, 2, 3]),
        (["--bed", "nobody"], []),
    ],
)
def test_filters(ward: Path, options: list[str], found: list[int], here: Here) -> None:
    ids = ["p1/asystole/100", "p2/gap/1000", "p2/asystole/2900", "p1/anomalous_beat/3900"]
    code, out, _ = here("--journal", str(ward), "--format", "jsonl", *options)
    assert code == 0
    assert [json.loads(line)["alarm_id"] for line in out.splitlines()] == [ids[n] for n in found]


def test_a_table_and_csv(ward: Path) -> None:
    done = ecg_monitor("alarms", "--journal", str(ward), COLUMNS="200")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["time", "bed", "kind", "priority", "state", "lasted", "text", "who", "id"]
    assert len(lines) == 5
    assert lines[1].split()[:6] == ["2026-01-31", "08:00:01", "p1", "asystole", "high", "cleared"]
    assert "8.0 s" in lines[1]
    assert "monitor died" in lines[4]
    assert "\x1b" not in done.stdout
    done = ecg_monitor("alarms", "--format", "csv", ECG_MONITOR_JOURNAL=str(ward))
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["kind"] for row in rows] == ["asystole", "gap", "asystole", "anomalous_beat"]
    assert rows[3]["who"] == "Dr Ä"
    assert rows[0]["lasted_s"] == "8.0"
    few = ecg_monitor("alarms", "--journal", str(ward), "--limit", "1")
    assert few.stderr == "ecg-monitor: the newest 1 of 4; --limit 0 gives all\n"
    none = ecg_monitor("alarms", "--journal", str(ward), "--bed", "p9")
    assert (none.returncode, none.stdout) == (0, "no such alarm\n")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "alarms: which journal? give --journal FILE or --record FOLDER"),
        (["--journal", ":memory:"], "which journal?"),
        (["--journal", "nowhere.db"], "journal nowhere.db: no such file; give the one that a monitor wrote"),
        (["--journal", "{text}"], "is damaged or no journal"),
        (["--journal", "{other}"], "is not a journal this version can read"),
        (["--journal", "{ward}", "--kind", "asistole"], "--kind asistole: give asystole, "),
        (["--journal", "{ward}", "--priority", "urgent"], "--priority urgent: give high, medium, low"),
        (["--journal", "{ward}", "--state", "gone"], "--state gone: give onset, "),
        (["--journal", "{ward}", "--format", "xml"], "--format xml: give table, jsonl, csv"),
        (["--journal", "{ward}", "--since", "yesterday"], "--since yesterday: give a date (2026-01-31)"),
        (["--journal", "{ward}", "--until", "9e99d"], "--until 9e99d: give a date"),
        (["--journal", "{ward}", "--epoch", "2025"], "--epoch 2025: is no run of"),
        (["--journal", "{ward}", "--epoch", "2026"], "--epoch 2026: is not one run of"),
        (["show", "p1/asystole/7", "--journal", "{ward}"], "no alarm 'p1/asystole/7' in"),
        (
            ["show", "p1/asystole/100", "--journal", "{ward}", "--svg", "x.svg"],
            "the journal has no strip of p1/asystole",
        ),
        (["--config", "nowhere.toml"], "config nowhere.toml: No such file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_is_wrong_is_one_line(ward: Path, tmp_path: Path, options: list[str], said: str, here: Here) -> None:
    (tmp_path / "text").write_text("no database, only text\n" * 100)
    with sqlite3.connect(tmp_path / "other") as other:
        other.execute("CREATE TABLE messages (x)")
    other.close()
    places = {"ward": ward, "text": tmp_path / "text", "other": tmp_path / "other"}
    code, out, err = here(*(option.format(**places) for option in options))
    assert code == 2
    assert out == ""
    assert err.startswith("ecg-monitor: ")
    assert err.count("\n") == 1
    assert said in err


def test_show_tells_states_evidence_operators_and_draws(session: Path, tmp_path: Path) -> None:
    svg = tmp_path / "strip.svg"
    done = ecg_monitor("alarms", "--record", str(session), "show", "last", "--svg", str(svg))
    assert done.returncode == 0, done.stderr
    text = done.stdout
    assert "asystole, high priority, physiological; monitor ended" in text
    assert "no QRS for 4." in text
    for part in (
        "onset",
        "latched",
        "limit 4 s",
        "source sim:",
        "lead II, 250 Hz",
        "not acknowledged",
        "Strip: 10 s",
    ):
        assert part in text, part
    root = ET.parse(svg).getroot()
    assert root.attrib["width"] == "285mm"
    ids = {element.get("id") for element in root.iter()}
    assert {"trace", "calibration", "grid-1mm", "grid-5mm", "threshold"} <= ids
    # Which kinds 8 s of ventricular tachycardia raise is the engine's to say; one is about what began within it.
    onsets = {row["alarm_id"]: row["onset_sample"] / 250 for row in listed(session / "journal.sqlite")}
    run = {"alarm_id": next(alarm_id for alarm_id, onset_s in onsets.items() if 19 <= onset_s <= 24)}
    drawn = ecg_monitor("alarms", "show", str(run["alarm_id"]), "--record", str(session), "--svg", "-")
    root = ET.fromstring(drawn.stdout)
    odd = [element for element in root.iter() if element.get("data-r")]
    assert len(odd) >= 8, "every beat of the run, from the journal"
    raw = ecg_monitor("alarms", "show", str(run["alarm_id"]), "--record", str(session), "--svg", "-", "--raw")
    assert "unfiltered" in raw.stdout
    bad = ecg_monitor("alarms", "show", "last", "--record", str(session), "--svg", str(tmp_path / "no" / "x.svg"))
    assert (bad.returncode, bad.stderr.count("\n")) == (2, 1)
    assert "name a file that can be written" in bad.stderr


def test_show_names_who_did_what(ward: Path) -> None:
    done = ecg_monitor("alarms", "show", "p1/asystole/100", "--journal", str(ward))
    assert "nurse 3: acknowledge" in done.stdout
    assert "cleared       no QRS for 4 s by nurse 3" in done.stdout
    assert "began 2026-01-31 08:00:01.000, lasted 8.0 s" in done.stdout
    assert "ecg-monitor 9" in done.stdout


def test_every_onset_has_its_strip_also_the_first_and_the_last(session: Path) -> None:
    reader = JournalReader(session / "journal.sqlite")
    rows = listed(session / "journal.sqlite")
    assert len(rows) >= 3
    for row in rows:
        strip = reader.get_strip(str(row["alarm_id"]))
        assert strip is not None
        assert np.isfinite(strip.samples[0]).any()
        assert strip.first_sample == row["onset_sample"] - 1250
    reader.close()


def test_a_reader_that_has_seen_enough_is_no_error(ward: Path) -> None:
    command = subprocess.Popen(
        [*COMMAND, "alarms", "--journal", str(ward), "--format", "csv"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    )  # fmt: skip
    assert command.stdout is not None
    assert command.stderr is not None
    command.stdout.close()
    assert command.stderr.read() == b""
    command.stderr.close()
    assert command.wait(60) == 0


def test_an_alarm_of_a_run_that_said_nothing_of_itself() -> None:
    """A journal of version 1 knows no sampling rate: then by the clock of the messages."""
    bodies = [
        msgspec.structs.replace(alarm(100, state), epoch="old", time=f"{DAY}{second:02d}")
        for state, second in (("onset", 5), ("cleared", 12))
    ]
    (found,) = past_alarms(bodies, {"old": "unknown"}, {})
    assert found.lasted_s == 7.0
    assert found.onset_time.isoformat() == f"{DAY}05+00:00"
    (open_,) = past_alarms(bodies[:1], {"old": "unknown"}, {})
    assert (open_.outcome, open_.lasted_s) == ("monitor ended", None)
    (live,) = past_alarms(bodies[:1], {"old": "running"}, {})
    assert live.outcome == "onset"
    assert isinstance(live.messages[0], AlarmMessage)
