"""`ecg-monitor export` on journals of real monitors and on a running monitor."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import hl7
import msgspec
import pytest
from fhir.resources.R4B.bundle import Bundle

from detector import Scorer
from monitor.bus.keys import add_client, make_server_keys
from monitor.journal import Journal
from monitor.messages import bed_topic
from tests.monitor.bus.helpers import alarm, make_bus, status, wait_for
from tests.monitor.commands.conftest import Here, Session
from tests.monitor.engine.helpers import FedSource, Run, ecg, settings, sim

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


def test_fhir_is_a_bundle_with_the_states_and_the_strip(journal: tuple[Path, Run], here: Here) -> None:
    path, run = journal
    alarm_id = id_of(run, "asystole")
    done = here("export", alarm_id, "--journal", str(path))
    assert (done.code, done.err) == (0, "")
    bundle = Bundle.model_validate_json(done.out)
    *states, strip = [entry.resource for entry in bundle.entry][2:]
    found = [state.component[2].valueString for state in states]
    assert (found[0], found[-1]) == ("active", "latched")
    assert strip.code.text == "ECG II"  # the lead of the simulator, from the status messages of the journal
    data = [component.valueSampledData for component in strip.component]
    kept = Journal(path)
    samples = kept.get_strip(alarm_id)
    kept.close()
    assert samples is not None
    for row, column in zip(samples.samples, data, strict=True):
        read = [float(word) * float(column.factor) for word in column.data.split(" ")]
        assert read == pytest.approx(row.tolist(), abs=0.00051)


def test_hl7_is_one_message_per_state(journal: tuple[Path, Run], here: Here) -> None:
    path, run = journal
    for kind in ("asystole", "leads_off"):
        alarm_id = id_of(run, kind)
        done = here("export", alarm_id, "--format", "hl7", ECG_MONITOR_JOURNAL=str(path))
        assert (done.code, done.err) == (0, "")
        states = [m.alarm.state for m in run.alarms if m.alarm.alarm_id == alarm_id]
        messages = ["MSH" + part for part in done.out.replace("\n", "\r").split("MSH")[1:]]
        assert len(messages) == len(states) >= 2
        assert {str(hl7.parse(m).segment("OBR")[29]) for m in messages} == {
            f"^{run.pipeline.bus.epoch}/{alarm_id}&ecg-monitor"
        }


def written(path: Path, *runs: str) -> Path:
    """A journal of runs with the same alarms; the second one was latched during an audio pause."""
    for epoch in runs:
        kept = Journal(path)
        bus = make_bus(kept, epoch)
        bus.publish(bed_topic("p1", "alarm"), alarm(100))
        bus.publish(bed_topic("p1", "status"), msgspec.structs.replace(status(105), audio_paused_s=1.0))
        bus.publish(bed_topic("p1", "alarm"), alarm(110, "latched"))
        bus.publish(bed_topic("p1", "alarm"), alarm(100, "latched"))
        bus.close()
        kept.close()
    return path


def test_without_epoch_the_newest_run_is_exported(tmp_path: Path, here: Here) -> None:
    path = written(tmp_path / "j", "run-1", "run-2")
    newest = json.loads(here("export", "p1/asystole/100", "--journal", str(path)).out)
    older = json.loads(here("export", "p1/asystole/100", "--journal", str(path), "--epoch", "run-1").out)
    ids = [b["entry"][2]["resource"]["identifier"][0]["value"] for b in (newest, older)]
    assert ids == ["run-2/p1/asystole/100", "run-1/p1/asystole/100"]


def test_last_is_the_alarm_that_alarms_show_shows(journal: tuple[Path, Run], tmp_path: Path, here: Here) -> None:
    for path in (journal[0], written(tmp_path / "j", "run-1", "run-2")):
        shown = here("alarms", "show", "last", "--journal", str(path)).out.partition(":")[0]
        exported = json.loads(here("export", "last", "--journal", str(path)).out)
        assert exported["entry"][2]["resource"]["identifier"][0]["value"].endswith(f"/{shown}")
    named = here("export", "last", "--journal", str(tmp_path / "j"), "--epoch", "run-1").out
    assert json.loads(named)["entry"][2]["resource"]["identifier"][0]["value"].startswith("run-1/")


def test_the_last_alarm_of_a_recording(session: Session, here: Here) -> None:
    done = here("export", "last", "--record", str(session.folder), "--format", "hl7")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("MSH|")


def test_a_state_during_an_audio_pause_says_so(tmp_path: Path, here: Here) -> None:
    path = written(tmp_path / "j", "run-1")
    bundle = json.loads(here("export", "p1/asystole/110", "--journal", str(path)).out)
    assert bundle["entry"][2]["resource"]["component"][3]["valueString"] == "audio-paused"
    bundle = json.loads(here("export", "p1/asystole/100", "--journal", str(path)).out)
    assert bundle["entry"][2]["resource"]["component"][3]["valueString"] == "enabled"


def test_an_error_is_one_line(tmp_path: Path, here: Here) -> None:
    path = written(tmp_path / "j", "run-1")
    (tmp_path / "text").write_text("not a journal, but as long as one" * 100)
    for arguments, expected in (
        (["p1/asystole/7", "--journal", str(path)], "newest of bed p1 are p1/asystole/100, p1/asystole/110"),
        (["p9/asystole/7", "--journal", str(path)], "bed 'p9' has none; an id is BED/KIND/SAMPLE"),
        (["asystole", "--journal", str(path)], "an id is BED/KIND/SAMPLE"),
        (["p1/asystole/100", "--journal", str(path), "--epoch", "x"], "--epoch x: no run of"),
        (["p1/asystole/100", "--journal", str(tmp_path / "none")], "no such file"),
        (["p1/asystole/100", "--journal", str(tmp_path / "text")], "damaged or no journal"),
        (["p1/asystole/100"], "--record FOLDER or --connect"),
        (["p1/asystole/100", "--connect", "nowhere"], "is not understood"),
    ):
        done = here("export", *arguments)
        assert done.code == 2, arguments
        assert done.out == ""
        assert expected in done.err
        assert done.err.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_a_running_monitor_with_keys(scorer: Scorer, tmp_path: Path, here: Here) -> None:
    keys, place, source, stop = tmp_path / "keys", f"ipc://{tmp_path}/ecg", FedSource(), threading.Event()
    make_server_keys(keys)
    key = add_client(keys, "records", "viewer")
    run = Run({"p1": source}, scorer, settings(bus={"listen": place, "keys": str(keys)}))
    thread = threading.Thread(target=run.pipeline.run, args=(stop.is_set,))
    thread.start()
    try:
        source.feed(ecg("sinus=14,asystole=7,sinus=12"))
        wait_for(lambda: "latched" in run.states("asystole"), "the alarm")
        alarm_id = id_of(run, "asystole")
        done = here("export", alarm_id, "--connect", place, "--key", str(key))
        assert (done.code, done.err) == (0, "")
        kinds = [entry.resource.get_resource_type() for entry in Bundle.model_validate_json(done.out).entry]
        assert kinds[:2] == ["Device", "Location"]
        assert len(kinds) == 2 + len(run.states("asystole")) + 1, "the states and the strip"
        last = here("export", "last", "--connect", place, "--key", str(key))
        assert (last.code, last.err) == (0, "")
        assert run.alarms[-1].alarm.bed in last.out
        for epoch in ("last", run.pipeline.bus.epoch, run.pipeline.bus.epoch[:6]):
            same = here("export", alarm_id, "--connect", place, "--key", str(key), "--epoch", epoch)
            assert (same.code, same.out) == (0, done.out)
        other = here("export", alarm_id, "--connect", place, "--key", str(key), "--epoch", "x")
        assert (other.code, f"--epoch x: no run of {place}" in other.err) == (2, True)
        unknown = here("export", "p1/asystole/1", "--connect", place, "--key", str(key))
        assert unknown.code == 2
        assert alarm_id in unknown.err
    finally:
        stop.set()
        thread.join(60)
