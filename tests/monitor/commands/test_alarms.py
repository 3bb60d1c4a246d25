"""`ecg-monitor alarms` on a journal of a real monitor and on a journal with every outcome."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor.journal import Journal, OperatorAction
from monitor.journal import Session as BedSession
from monitor.messages import AlarmMessage, AlarmState, bed_topic
from monitor.reports.episodes import past_alarms
from tests.monitor.bus.helpers import alarm
from tests.monitor.commands.conftest import Here, Session
from tests.monitor.journal.helpers import abandon, put

DAY = "2026-01-31T08:00:"
IDS = ["p1/asystole/100", "p2/gap/1000", "p2/asystole/2900", "p1/anomalous_beat/3900"]


def write(path: Path, epoch: str) -> None:
    """Write the alarms of one run to the journal."""
    seqs: dict[str, int] = {}
    journal = Journal(path)
    journal.start(epoch)

    def add(second: float, sample: int, onset: int, state: AlarmState, bed: str, kind: str, **changes: object) -> None:
        body = alarm(onset, state, bed, kind)
        changes = {"decided_sample": sample, "priority": "high" if kind == "asystole" else "low"} | changes
        changed = msgspec.structs.replace(body.alarm, **changes)
        body = msgspec.structs.replace(body, alarm=changed, time=f"{DAY}{second:06.3f}+00:00")
        topic = bed_topic(bed, "alarm")
        seqs[topic] = seqs.get(topic, 0) + 1
        put(journal, topic, body, seqs[topic])

    if epoch == "2026-a":
        sessions = [BedSession("p1", "sim", "II", 100.0, "m", "00"), BedSession("p2", "sim", "V1", 100.0, "m", "00")]
        journal.put_sessions(sessions, "9")
        add(5, 500, 100, "onset", "p1", "asystole")
        add(9, 900, 100, "latched", "p1", "asystole")
        add(20, 2000, 100, "cleared", "p1", "asystole", acknowledged_by="nurse 3")
        journal.put_action(OperatorAction("nurse 3", "acknowledge", "p1", "p1/asystole/100", 2000))
        add(10, 1000, 1000, "onset", "p2", "gap", text='=1+1, "quoted"\x1b[31m\n')
        add(12, 1200, 1000, "cleared", "p2", "gap", text="2 gaps")
        add(30, 3000, 2900, "onset", "p2", "asystole")
        journal.close()
    else:
        add(40, 4000, 3900, "onset", "p1", "anomalous_beat")
        add(41, 4100, 3900, "acknowledged", "p1", "anomalous_beat", acknowledged_by="Dr Ä")
        journal.commit()
        abandon(journal)


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Journal of two beds and two runs with every outcome; the second run was killed."""
    path = tmp_path_factory.mktemp("ward") / "j.db"
    write(path, "2026-a")
    write(path, "2026-b")
    return path


def listed(here: Here, path: Path, *options: str) -> list[dict[str, Any]]:
    done = here("alarms", "--journal", str(path), "--format", "jsonl", *options)
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def test_each_alarm_has_its_outcome_duration_and_operator(ward: Path, here: Here) -> None:
    rows = listed(here, ward)
    assert [(r["alarm_id"], r["state"], r["lasted_s"], r["who"], r["time"]) for r in rows] == [
        (IDS[0], "cleared", 8.0, "nurse 3", f"{DAY}01.000+00:00"),  # until it was latched
        (IDS[1], "cleared", 2.0, "", f"{DAY}10.000+00:00"),
        (IDS[2], "monitor ended", None, "", f"{DAY}29.000+00:00"),
        (IDS[3], "monitor died", None, "Dr Ä", f"{DAY}40.000+00:00"),
    ]
    assert [state["state"] for state in rows[0]["states"]] == ["onset", "latched", "cleared"]
    assert rows[0]["evidence"]["limit"] == 4.0


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
        (["--bed", "p9"], []),
    ],
)
def test_filters(ward: Path, options: list[str], found: list[int], here: Here) -> None:
    assert [row["alarm_id"] for row in listed(here, ward, *options)] == [IDS[n] for n in found]


def test_table_and_csv(ward: Path, here: Here) -> None:
    done = here("alarms", "--journal", str(ward))
    lines = done.out.splitlines()
    assert lines[0].split() == [
        "time", "bed", "kind", "priority", "state", "count", "lasted", "text", "who", "id",
    ]  # fmt: skip
    assert len(lines) == 5
    assert lines[1].split()[:6] == ["2026-01-31", "08:00:01", "p1", "asystole", "high", "cleared"]
    assert "8.0 s" in lines[1]
    assert "monitor died" in lines[4]
    assert done.out.replace("\n", "").isprintable()
    assert r'=1+1, "quoted"\x1b[31m\n' not in done.out  # the last text of that alarm has replaced it
    done = here("alarms", "--format", "csv", ECG_MONITOR_JOURNAL=str(ward))
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [row["kind"] for row in rows] == ["asystole", "gap", "asystole", "anomalous_beat"]
    assert (rows[3]["who"], rows[0]["lasted_s"]) == ("Dr Ä", "8.0")
    few = here("alarms", "--journal", str(ward), "--limit", "1")
    assert few.err == "ecg-monitor: the newest 1 of 4 alarms; --limit 0 lists all\n"
    assert here("alarms", "--journal", str(ward), "--bed", "p9")[:2] == (0, "no such alarm\n")


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_no_id_or_kind_is_broken_at_any_width(ward: Path, width: int, here: Here) -> None:
    done = here("alarms", "--journal", str(ward), COLUMNS=str(width))
    head, *lines = done.out.splitlines()
    assert [line.split()[-1] for line in lines] == IDS
    assert max(map(len, (head, *lines))) <= width
    assert ("anomalous beat" in lines[-1]) == ("kind" in head.split())
    assert ("who" in head.split()) == (width >= 100)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "which journal? give the monitor's --journal FILE or --record FOLDER"),
        (["--journal", ":memory:"], "which journal?"),
        (["--journal", "nowhere.db"], "journal nowhere.db: no such file"),
        (["--journal", "{text}"], "is damaged or no journal"),
        (["--journal", "{other}"], "is not a journal this version can read"),
        (["--journal", "{ward}", "--kind", "asistole"], "--kind asistole: give asystole, "),
        (["--journal", "{ward}", "--priority", "urgent"], "--priority urgent: give high, medium, low"),
        (["--journal", "{ward}", "--state", "gone"], "--state gone: give onset, "),
        (["--journal", "{ward}", "--format", "xml"], "--format xml: give table, jsonl, csv"),
        (["--journal", "{ward}", "--since", "yesterday"], "--since yesterday: give a date (2026-01-31)"),
        (["--journal", "{ward}", "--until", "9e99d"], "--until 9e99d: give a date"),
        (["--journal", "{ward}", "--epoch", "2025"], "--epoch 2025: no run of"),
        (["--journal", "{ward}", "--epoch", "2026"], "--epoch 2026: several runs of"),
        (["show", "p1/asystole/7", "--journal", "{ward}"], "no alarm 'p1/asystole/7' in"),
        (["show", IDS[0], "--journal", "{ward}", "--svg", "x.svg"], f"the journal has no strip of {IDS[0]}"),
        (["--config", "nowhere.toml"], "config nowhere.toml: No such file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_an_error_is_one_line(ward: Path, tmp_path: Path, options: list[str], expected: str, here: Here) -> None:
    (tmp_path / "text").write_text("not a database, only text\n" * 100)
    with sqlite3.connect(tmp_path / "other") as other:
        other.execute("CREATE TABLE messages (x)")
    other.close()
    places = {"ward": ward, "text": tmp_path / "text", "other": tmp_path / "other"}
    code, out, err = here("alarms", *(option.format(**places) for option in options))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("ecg-monitor: ")
    assert expected in err


def test_show_prints_states_and_evidence_and_draws_the_strip(session: Session, tmp_path: Path, here: Here) -> None:
    svg = tmp_path / "strip.svg"
    done = here("alarms", "--record", str(session.folder), "show", "last", "--svg", str(svg))
    assert done.code == 0, done.err
    assert "asystole, high priority, physiological; monitor ended" in done.out
    for part in ("no QRS for 4.", "onset", "latched", "limit 4 s", "source sim:", "lead II, 250 Hz", "Strip: 10 s"):
        assert part in done.out, part
    root = ET.parse(svg).getroot()
    assert root.attrib["width"] == "285mm"
    ids = {element.get("id") for element in root.iter()}
    assert {"trace", "calibration", "grid-1mm", "grid-5mm", "threshold"} <= ids
    # Which kinds 8 s of ventricular tachycardia raise is a matter of the engine; one of them has its onset within.
    onsets = {row["alarm_id"]: row["onset_sample"] / 250 for row in listed(here, session.folder / "journal.sqlite")}
    run = str(next(alarm_id for alarm_id, onset_s in onsets.items() if 19 <= onset_s <= 24))
    drawn = here("alarms", "show", run, "--record", str(session.folder), "--svg", "-")
    marked = [element for element in ET.fromstring(drawn.out).iter() if element.get("data-r")]
    assert len(marked) >= 8, "every beat of the run"
    raw = here("alarms", "show", run, "--record", str(session.folder), "--svg", "-", "--raw")
    assert "unfiltered" in raw.out
    bad = here("alarms", "show", "last", "--record", str(session.folder), "--svg", str(tmp_path / "no" / "x.svg"))
    assert (bad.code, bad.err.count("\n")) == (2, 1)
    assert "name a file that can be written" in bad.err


def test_show_prints_operators_and_their_actions(ward: Path, here: Here) -> None:
    done = here("alarms", "show", IDS[0], "--journal", str(ward))
    assert "nurse 3: acknowledge" in done.out
    assert "cleared       no QRS for 4 s by nurse 3" in done.out
    assert "began 2026-01-31 08:00:01.000, lasted 8.0 s" in done.out
    assert "ecg-monitor 9" in done.out


def test_an_alarm_of_a_run_without_a_session() -> None:
    """A journal of version 1 has no sampling rate: the times of the messages give the duration."""
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
