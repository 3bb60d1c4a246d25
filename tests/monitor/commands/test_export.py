"""`ecg-monitor export`, the real command, on journals that real monitors wrote and on a monitor that runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from pathlib import Path

import hl7
import pytest
from fhir.resources.R4B.bundle import Bundle

from detector import Scorer
from monitor.bus.keys import add_client, make_server_keys
from monitor.journal import Journal
from monitor.messages import Request, bed_topic
from tests.monitor.bus.helpers import alarm, make_bus, status, wait_for
from tests.monitor.commands.helpers import COMMAND, ecg_monitor, environment
from tests.monitor.engine.helpers import FedSource, Run, Watched, ecg, settings, sim

STORY = "sinus=14,asystole=6,sinus=8,leadsoff=3,sinus=4"


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer()


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory, scorer: Scorer) -> tuple[Path, Run]:
    path = tmp_path_factory.mktemp("journal") / "a.sqlite"
    run = Run({"p1": sim(STORY)}, scorer, settings(journal={"path": str(path)}))
    run.pipeline.run()
    return path, run


def id_of(run: Run, kind: str) -> str:
    return next(m.alarm.alarm_id for m in run.alarms if m.alarm.kind == kind)


def test_an_alarm_leaves_a_journal_as_a_bundle_with_its_strip(journal: tuple[Path, Run]) -> None:
    path, run = journal
    alarm_id = id_of(run, "asystole")
    done = ecg_monitor("export", alarm_id, "--journal", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    bundle = Bundle.model_validate_json(done.stdout)
    *states, strip = [entry.resource for entry in bundle.entry][2:]
    told = [state.component[2].valueString for state in states]
    assert (told[0], told[-1]) == ("active", "latched")
    assert strip.code.text == "ECG II"  # the simulator's lead, out of the journal's status messages
    data = [component.valueSampledData for component in strip.component]
    kept = Journal(path)
    samples = kept.get_strip(alarm_id)
    kept.close()
    assert samples is not None
    for row, column in zip(samples.samples, data, strict=True):
        read = [float(word) * float(column.factor) for word in column.data.split(" ")]
        assert read == pytest.approx(row.tolist(), abs=0.00051)


def test_an_alarm_leaves_a_journal_as_one_message_a_state(journal: tuple[Path, Run]) -> None:
    path, run = journal
    for kind in ("asystole", "leads_off"):
        alarm_id = id_of(run, kind)
        done = ecg_monitor("export", alarm_id, "--format", "hl7", ECG_MONITOR_JOURNAL=str(path))
        assert (done.returncode, done.stderr) == (0, "")
        told = [m.alarm.state for m in run.alarms if m.alarm.alarm_id == alarm_id]
        # Text mode makes line feeds of carriage returns: a message is what begins with MSH.
        messages = ["MSH" + part for part in done.stdout.replace("\n", "\r").split("MSH")[1:]]
        assert len(messages) == len(told) >= 2
        assert {str(hl7.parse(m).segment("OBR")[29]) for m in messages} == {
            f"^{run.pipeline.bus.epoch}/{alarm_id}&ecg-monitor"
        }


def test_exporting_changes_nothing(journal: tuple[Path, Run]) -> None:
    path, run = journal
    before = path.read_bytes()
    first = ecg_monitor("export", id_of(run, "asystole"), "--journal", str(path)).stdout
    assert ecg_monitor("export", id_of(run, "asystole"), "--journal", str(path)).stdout == first
    kept = Journal(path)
    assert len(kept.since(bed_topic("p1", "alarm"), run.pipeline.bus.epoch, 0).bodies) == len(run.alarms)
    kept.close()
    assert len(path.read_bytes()) == len(before)


def written(path: Path, *runs: str) -> Path:
    """A journal of runs in each of which the same alarm was raised, acknowledged while its sound was paused."""
    for epoch in runs:
        kept = Journal(path)
        bus = make_bus(kept, epoch)
        bus.publish(bed_topic("p1", "alarm"), alarm(100))
        paused = status(105)
        bus.publish(bed_topic("p1", "status"), type(paused)(**{**fields(paused), "audio_paused_s": 1.0}))
        bus.publish(bed_topic("p1", "alarm"), alarm(110, "latched"))
        bus.publish(bed_topic("p1", "alarm"), alarm(100, "latched"))
        bus.close()
        kept.close()
    return path


def fields(message: object) -> dict[str, object]:
    return {name: getattr(message, name) for name in message.__struct_fields__}  # type: ignore[attr-defined]


def test_a_replay_gives_the_same_id_and_the_newest_run_is_meant(tmp_path: Path) -> None:
    path = written(tmp_path / "j", "run-1", "run-2")
    newest = json.loads(ecg_monitor("export", "p1/asystole/100", "--journal", str(path)).stdout)
    asked = json.loads(ecg_monitor("export", "p1/asystole/100", "--journal", str(path), "--epoch", "run-1").stdout)
    told = [b["entry"][2]["resource"]["identifier"][0]["value"] for b in (newest, asked)]
    assert told == ["run-2/p1/asystole/100", "run-1/p1/asystole/100"]


def test_a_pause_of_the_sound_is_seen_in_the_state_it_fell_into(tmp_path: Path) -> None:
    path = written(tmp_path / "j", "run-1")
    bundle = json.loads(ecg_monitor("export", "p1/asystole/110", "--journal", str(path)).stdout)
    assert bundle["entry"][2]["resource"]["component"][3]["valueString"] == "audio-paused"
    bundle = json.loads(ecg_monitor("export", "p1/asystole/100", "--journal", str(path)).stdout)
    assert bundle["entry"][2]["resource"]["component"][3]["valueString"] == "enabled"


def test_what_is_not_there_is_one_line_with_what_is(tmp_path: Path) -> None:
    path = written(tmp_path / "j", "run-1")
    (tmp_path / "text").write_text("no journal at all, but long enough to look like one" * 100)
    for arguments, said in (
        (["p1/asystole/7", "--journal", str(path)], "newest of bed p1 are p1/asystole/100, p1/asystole/110"),
        (["p9/asystole/7", "--journal", str(path)], "bed 'p9' has none; an id is BED/KIND/SAMPLE"),
        (["asystole", "--journal", str(path)], "an id is BED/KIND/SAMPLE"),
        (["p1/asystole/100", "--journal", str(path), "--epoch", "x"], "no run 'x'"),
        (["p1/asystole/100", "--journal", str(tmp_path / "none")], "no journal"),
        (["p1/asystole/100", "--journal", str(tmp_path / "text")], "damaged or no journal"),
        (["p1/asystole/100"], "--journal FILE or --connect"),
        (["p1/asystole/100", "--connect", "nowhere"], "is not understood"),
    ):
        done = ecg_monitor("export", *arguments)
        assert done.returncode == 2, arguments
        assert done.stdout == ""
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_a_journal_that_a_monitor_writes_is_read_all_the_same(tmp_path: Path) -> None:
    kept = Journal(written(tmp_path / "j", "run-1"))
    done = ecg_monitor("export", "p1/asystole/100", "--journal", str(tmp_path / "j"))
    kept.close()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["resourceType"] == "Bundle"


def test_a_full_disk_is_one_line_and_a_reader_that_leaves_is_none(tmp_path: Path) -> None:
    path = written(tmp_path / "j", "run-1")
    command = [*COMMAND, "export", "p1/asystole/100", "--journal", str(path)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment())
    assert done.returncode == 2
    assert re.fullmatch(r"ecg-monitor: export: standard output: [^\n]+\n", done.stderr)
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, env=environment())
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_monitor_with_keys_is_asked_with_one(scorer: Scorer, tmp_path: Path) -> None:
    make_server_keys(tmp_path / "keys")
    key = add_client(tmp_path / "keys", "records", "viewer")
    place, source, stop = f"ipc://{tmp_path}/ecg", FedSource(), threading.Event()
    run = Run({"p1": source}, scorer, settings(bus={"listen": place, "keys": str(tmp_path / "keys")}))
    thread = threading.Thread(target=run.pipeline.run, args=(stop.is_set,))
    thread.start()
    try:
        source.feed(ecg("sinus=14,asystole=7,sinus=4"))
        wait_for(lambda: "asystole" in run.onsets(), "the alarm")
        done = ecg_monitor("export", id_of(run, "asystole"), "--connect", place, "--key", str(key))
        assert (done.returncode, done.stderr) == (0, "")
        assert Bundle.model_validate_json(done.stdout).entry
    finally:
        stop.set()
        thread.join(60)


def test_a_running_monitor_is_asked_over_the_bus(scorer: Scorer, tmp_path: Path) -> None:
    from monitor.bus.endpoints import endpoints_from

    source = FedSource()
    place = f"ipc://{tmp_path}/ecg"
    watched = Watched(Run({"p1": source}, scorer, settings(bus={"listen": place})))
    try:
        watched.joined()
        source.feed(ecg("sinus=14,asystole=7,sinus=12"))
        watched.until(lambda: watched.alarms("asystole"), "the alarm")
        alarm_id = watched.alarms("asystole")[0].alarm.alarm_id
        ask = Request(op="strip", alarm_id=alarm_id)
        watched.until(lambda: watched.client.request(ask).ok, "the strip")
        done = ecg_monitor("export", alarm_id, "--connect", place)
        assert (done.returncode, done.stderr) == (0, "")
        kinds = [entry.resource.get_resource_type() for entry in Bundle.model_validate_json(done.stdout).entry]
        assert kinds[:2] == ["Device", "Location"]
        assert len(kinds) >= 4
        unknown = ecg_monitor("export", "p1/asystole/1", "--connect", endpoints_from(place).alarms)
        assert unknown.returncode == 2
        assert alarm_id in unknown.stderr
    finally:
        watched.close()
