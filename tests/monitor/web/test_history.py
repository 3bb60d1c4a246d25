"""The history over HTTP: a real monitor whose journal holds an earlier run."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pytest
from fhir.resources.R4B.bundle import Bundle

from monitor.client import past
from monitor.web import history, journal_copy
from monitor.web.server import WebOptions
from tests.monitor.bus.helpers import wait_for
from tests.monitor.commands.helpers import ecg_monitor, free_endpoint
from tests.monitor.web.helpers import ask, keys_in, login, served
from tests.monitor.web.past_monitor import Ward, get, page_of, ward_with_past

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    with ward_with_past(tmp_path_factory.mktemp("ward") / "j.sqlite") as made:
        yield made


def test_the_list_is_that_of_the_command(ward: Ward) -> None:
    address, run, path = ward.address, ward.run, ward.path
    epoch = run.pipeline.bus.epoch
    command = ecg_monitor("alarms", "--journal", path, "--format", "jsonl", "--epoch", epoch)
    rows = [json.loads(line) for line in command.stdout.splitlines()]
    assert len(rows) >= 4
    found = [row for row in get(address, "/api/alarms").data["alarms"] if row["epoch"] == epoch]
    names = ("time", "bed", "kind", "priority", "state", "lasted_s", "text", "count", "alarm_id", "category")
    assert [[row[name] for name in names] for row in reversed(found)] == [[row[name] for name in names] for row in rows]
    table = list(csv.DictReader(io.StringIO(get(address, "/api/alarms.csv").text)))
    assert [row["alarm_id"] for row in table if row["epoch"] == epoch] == [row["alarm_id"] for row in rows]


def test_filters_and_pages(ward: Ward) -> None:
    address, run = ward.address, ward.run
    everything = get(address, "/api/alarms").data["alarms"]
    high = get(address, "/api/alarms", priority="high").data["alarms"]
    assert high == [row for row in everything if row["priority"] == "high"] != []
    kinds = get(address, "/api/alarms", kind=["asystole", "leads_off"], bed="p1").data["alarms"]
    assert {row["kind"] for row in kinds} == {"asystole", "leads_off"}
    assert get(address, "/api/alarms", bed="p9").data["total"] == 0
    assert {row["kind"] for row in get(address, "/api/alarms", text="Electrode OFF").data["alarms"]} == {"leads_off"}
    old, seen, before = run.pipeline.bus.epoch, [], ""
    while True:
        page = get(address, "/api/alarms", limit=2, before=before).data
        seen += [row["alarm_id"] for row in page["alarms"] if row["epoch"] == old]
        before = page["before"]
        if not before:
            break
        assert len(page["alarms"]) == 2
    assert seen == [row["alarm_id"] for row in everything if row["epoch"] == old]


def test_a_new_alarm_of_the_present_run_is_listed(ward: Ward) -> None:
    address, run = ward.address, ward.run

    def newest() -> list[str]:
        return [row["epoch"] for row in get(address, "/api/alarms", state="open").data["alarms"]]

    wait_for(lambda: any(epoch != run.pipeline.bus.epoch for epoch in newest()), "an alarm of the present run")


def test_one_alarm_its_strip_and_its_exports(ward: Ward) -> None:
    address, run, path = ward.address, ward.run, ward.path
    state = next(m for m in run.alarms if m.alarm.kind == "ventricular_run")
    alarm_id, epoch = state.alarm.alarm_id, run.pipeline.bus.epoch
    found = get(address, "/api/alarm", id=alarm_id, epoch=epoch).data
    assert [m["alarm"]["state"] for m in found["states"]] == [
        m.alarm.state for m in run.alarms if m.alarm.alarm_id == alarm_id
    ]
    assert found["evidence"]["r_samples"]
    assert found["sources"][0]["lead"] == "II"
    drawn = get(address, "/api/strip.svg", id=alarm_id, epoch=epoch)
    command = ecg_monitor("alarms", "show", alarm_id, "--svg", "-", "--journal", path, "--epoch", epoch)
    # The control socket rounds to 0.1 uV, so numbers may differ in the last place; the marks may not.
    ours, theirs = ET.fromstring(drawn.text), ET.fromstring(command.stdout)
    assert [e.get("data-r") for e in ours.iter() if e.get("data-r")] == [
        e.get("data-r") for e in theirs.iter() if e.get("data-r")
    ]
    assert [e.text for e in ours.iter() if e.text] == [e.text for e in theirs.iter() if e.text]
    assert "style-src 'unsafe-inline'; sandbox" in drawn.headers["Content-Security-Policy"]
    bundle = Bundle.model_validate_json(get(address, "/api/export", id=alarm_id, epoch=epoch).text)
    assert bundle.entry[-1].resource.code.text == "ECG II"
    hl7 = get(address, "/api/export", id=alarm_id, epoch=epoch, format="hl7")
    command = ecg_monitor("export", alarm_id, "--format", "hl7", "--journal", path, "--epoch", epoch)
    lines = [[line for line in text.replace("\n", "\r").split("\r") if line] for text in (hl7.text, command.stdout)]
    assert [line for line in lines[0] if line[:3] != "MSH"] == [line for line in lines[1] if line[:3] != "MSH"]


def test_the_export_over_the_bus_finds_an_earlier_run(ward: Ward) -> None:
    alarm_id = next(m.alarm.alarm_id for m in ward.run.alarms if m.alarm.kind == "leads_off")
    command = ecg_monitor("export", alarm_id, "--connect", ward.endpoint, "--format", "hl7")
    assert (command.returncode, command.stderr) == (0, "")
    assert f"{ward.run.pipeline.bus.epoch}/{alarm_id}" in command.stdout


@pytest.mark.parametrize(
    ("path", "query", "status", "word"),
    [
        ("/api/alarms", {"state": "gone"}, 400, "state gone: give onset"),
        ("/api/alarms", {"kind": "x\ny"}, 400, "kind"),
        ("/api/alarms", {"since": "yesterday"}, 400, "give a date"),
        ("/api/alarms", {"since": "9" * 50 + "w"}, 400, "give a date"),
        ("/api/alarms", {"limit": 501}, 400, "limit"),
        ("/api/alarms", {"limit": "x"}, 400, "limit"),
        ("/api/alarms", {"monitor": 1}, 400, "no monitor 1"),
        ("/api/alarms", {"monitor": -1}, 400, "monitor"),
        ("/api/alarms", {"before": "nothing"}, 400, "before"),
        ("/api/alarms", {"text": "x" * 201}, 400, "text"),
        ("/api/alarms", {"limit": [1, 2]}, 400, "give it once"),
        ("/api/alarms", {"sql": "1"}, 400, "sql"),
        ("/api/alarm", {}, 400, "id"),
        ("/api/alarm", {"id": "p1/asystole/1"}, 404, "no alarm"),
        ("/api/strip.svg", {"id": "../../etc/passwd"}, 404, "no alarm"),
        ("/api/export", {"id": "x", "format": "pdf"}, 400, "format"),
        ("/api/export", {"id": "x", "epoch": "none"}, 404, "no alarm"),
    ],
)
def test_a_bad_question_is_one_line(ward: Ward, path: str, query: dict[str, object], status: int, word: str) -> None:
    answer = get(ward.address, path, **query)
    assert answer.status == status
    assert word in answer.text
    assert answer.text.count("\n") == 1


def test_a_monitor_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "TIMEOUT_S", 0.3)
    with page_of(free_endpoint()) as address:
        answer = get(address, "/api/alarms")
    assert (answer.status, answer.text.count("\n")) == (504, 1)
    assert "no answer" in answer.text


def test_a_monitor_that_does_not_answer_hides_no_other(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "_REPLY_S", 1.0)
    everything = get(ward.address, "/api/alarms").data["total"]
    silent = free_endpoint()
    with page_of(silent, ward.endpoint) as address:
        found = get(address, "/api/alarms").data
        assert get(address, "/api/alarms.csv").status == 504  # a file must not lack what it does not name
    assert len(found["missing"]) == 1
    assert "no answer" in found["missing"][0]
    assert found["total"] >= everything
    assert {row["monitor"] for row in found["alarms"]} == {1}


def test_a_page_goes_on_behind_an_alarm_that_no_longer_matches(ward: Ward) -> None:
    rows = get(ward.address, "/api/alarms").data["alarms"]
    place = next(n for n, row in enumerate(rows) if row["priority"] != "high")
    at = f"0 {rows[place]['epoch']} {rows[place]['alarm_id']}"
    found = get(ward.address, "/api/alarms", priority="high", before=at).data["alarms"]
    assert found == [row for row in rows[place:] if row["priority"] == "high"]


def test_of_a_long_journal_the_newest_alarms_are_kept(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = get(ward.address, "/api/alarms").data
    assert everything["complete"]
    monkeypatch.setattr(journal_copy, "MAX_MESSAGES", 5)
    with page_of(ward.endpoint) as other:
        found = get(other, "/api/alarms").data
    assert not found["complete"]
    assert 0 < found["total"] < everything["total"]
    assert {row["alarm_id"] for row in found["alarms"]} <= {row["alarm_id"] for row in everything["alarms"][:5]}


@pytest.mark.parametrize("path", ["/api/alarms", "/api/alarms.csv", "/api/alarm", "/api/strip.svg", "/api/export"])
def test_with_keys_a_session_is_needed(path: str, keys: tuple[str, str]) -> None:
    address, cookie = keys
    assert ask(address, f"{path}?id=x").status == 401
    assert ask(address, f"{path}?bad=x", Cookie=cookie).status == 400


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address of a page with keys, and the cookie of a viewer."""
    folder = tmp_path_factory.mktemp("keys") / "keys"
    tokens = keys_in(folder)
    with served(WebOptions(keys=str(folder))) as address:
        yield address, login(address, tokens["ward"])
