"""The pipeline on real sockets and files: several beds, broken sources, the end of a run."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import wfdb

from detector import Scorer
from monitor.errors import SourceError
from monitor.journal import Journal
from monitor.messages import bed_topic
from monitor.sources import SourceOptions, open_source
from tests.monitor.engine.helpers import (
    FS_HZ,
    FedSource,
    Run,
    Script,
    breaking_record,
    ecg,
    kept,
    settings,
    sim,
    watched,
)

STORY = "sinus=14,pvc=6,asystole=6,sinus=5,leadsoff=3,sinus=4"


# -- several beds -------------------------------------------------------------------------------------------


def test_a_bed_gives_the_same_results_alone_and_among_others(tmp_path: Path, scorer: Scorer) -> None:
    stories = {
        "p1": STORY,
        "p2": "sinus=30,af=8;seed=2",
        "p3": "vt=12,sinus=20;seed=3;fs=360",
        "p10": f"{STORY};seed=5",
        "icu-4": "brady=25,noise=4,sinus=5;seed=4;fs=500",
    }

    def ran(beds: Iterable[str], folder: Path) -> Run:
        sources = {bed: open_source(f"sim:{stories[bed]}", SourceOptions()) for bed in beds}
        run = Run(sources, scorer, settings(record={"folder": str(folder)}))
        run.pipeline.run()
        return run

    together = ran(stories, tmp_path / "all")
    for bed in stories:
        alone = ran([bed], tmp_path / f"only-{bed}")
        assert kept(tmp_path / f"only-{bed}", bed) == kept(tmp_path / "all", bed)
        assert alone.status(bed).beats == together.status(bed).beats > 10
    assert kept(tmp_path / "all", "p1") != kept(tmp_path / "all", "p10")


def test_all_beds_share_one_batch(scorer: Scorer) -> None:
    alone, together = Run({"p0": sim(STORY)}, scorer), Run({f"p{i}": sim(STORY) for i in range(5)}, scorer)
    alone.pipeline.run()
    together.pipeline.run()
    (one, beats), (five, of_five) = (run.pipeline.counters.batch_beats.read() for run in (alone, together))
    assert beats == alone.status("p0").beats - alone.status("p0").unscored_beats > 20
    assert of_five == 5 * beats
    assert sum(five) == sum(one), "as many calls of the model"


def test_each_bed_publishes_on_its_own_topics(scorer: Scorer) -> None:
    beds = {name: FedSource(name) for name in ("p1", "p10")}
    with watched(dict(beds), scorer) as w:
        w.joined()
        beds["p1"].feed(ecg(STORY))
        beds["p10"].feed(ecg("sinus=20"))
        for source in beds.values():
            source.end()
        w.finished()
        for topic, message, _ in w.got:
            bed = getattr(message, "bed", None) or getattr(getattr(message, "alarm", None), "bed", None)
            assert topic.split("/")[1] == (bed or "monitor")
        assert w.alarms("asystole", "p1")
        assert not w.alarms("asystole", "p10")
        for bed in beds:
            assert len(w.beats(bed)) == w.run.status(bed).beats
            assert [b.seq for b in w.beats(bed)] == list(range(1, len(w.beats(bed)) + 1))
        assert w.client.missed == 0


def test_the_last_heartbeat_has_all_sequence_numbers_and_the_state_goodbye(scorer: Scorer) -> None:
    source = FedSource()
    with watched({"p1": source}, scorer) as w:
        w.joined()
        source.feed(ecg(STORY))
        source.end()
        w.finished()
        assert [h.state for h in w.heartbeats() if h.state != "running"] == ["goodbye"]
        last = w.heartbeats()[-1]
        newest = {topic: message.seq for topic, message, _ in w.got if "/wave/" not in topic}
        assert last.seqs == newest | {"v1/monitor/heartbeat/": last.seq - 1}
        assert w.statuses()[-1].state == "ended"


def test_other_beds_run_on_when_one_ends_or_breaks(scorer: Scorer) -> None:
    beds = {name: FedSource(name) for name in ("short", "bad", "long")}
    with watched(dict(beds), scorer) as w:
        w.joined()
        beds["short"].feed(ecg("sinus=6"))
        beds["short"].end()
        beds["bad"].feed(ecg("sinus=8"))
        beds["bad"].fail("bad: unknown format")
        w.until(lambda: any(s.state == "ended" for s in w.statuses("short")), "the end of the short one")
        w.until(lambda: any(s.state == "source_lost" for s in w.statuses("bad")), "the loss of the bad one")
        beds["long"].feed(ecg("sinus=12"))
        w.until(lambda: len(w.beats("long")) > 5, "beats of the other")
        beds["long"].end()
        w.finished()
        assert not w.failed
        assert len(w.beats("short")) == w.run.status("short").beats >= 5
        assert w.run.pipeline.incomplete == ["bad: unknown format"]
        assert "unknown format" in w.alarms("source_lost", "bad")[0].alarm.text
        assert len(w.beats("bad")) >= 7
        order = [topic for topic, *_ in w.got if topic.startswith("v1/bad/") and topic.endswith(("alarm/", "beat/"))]
        assert order[-1] == "v1/bad/alarm/", "beats before the loss are published before the alarm"
        assert all(source.closed for source in beds.values())


def test_run_raises_when_the_last_source_breaks(tmp_path: Path, scorer: Scorer) -> None:
    record = breaking_record(tmp_path / "source")
    source = open_source(f"wfdb:{record}", SourceOptions())
    run = Run({"p1": source}, scorer, settings(record={"folder": str(tmp_path / "out")}))
    turns = itertools.count()

    def third_turn() -> bool:
        if next(turns) == 2:
            record.with_suffix(".dat").unlink()
        return False

    with pytest.raises(SourceError, match="rec"):
        run.pipeline.run(third_turn)
    status = run.status()
    assert status.samples_in == 131_072  # all samples read before
    assert json.loads((tmp_path / "out" / "p1" / "session.json").read_text())["recorded"]["samples"] == 131_072
    assert run.onsets()[-1] == "source_lost"
    assert status.beats > 150


# -- the end ------------------------------------------------------------------------------------------------


def test_recording_and_journal_hold_the_same_messages(tmp_path: Path, scorer: Scorer) -> None:
    run = Run({"p1": sim(STORY)}, scorer, settings(record={"folder": str(tmp_path)}))
    run.pipeline.run()
    lines = (tmp_path / "p1" / "alarms.jsonl").read_bytes().splitlines()
    journal = Journal(tmp_path / "journal.sqlite")
    (epoch,) = journal.epochs()
    assert list(journal.since(bed_topic("p1", "alarm"), epoch, 0).bodies) == lines
    assert len(lines) == len(run.alarms) > 3
    beats = journal.since(bed_topic("p1", "beat"), epoch, 0)
    assert len(beats.bodies) == run.status().beats
    assert beats.complete
    for message in run.alarms:
        if message.alarm.state == "onset":
            strip = journal.get_strip(message.alarm.alarm_id)
            assert strip is not None
            assert strip.samples.shape == (2, 2500)
    journal.close()


def test_a_stopped_run_scores_all_samples_read(tmp_path: Path, scorer: Scorer) -> None:
    """The results are those of a source that ends there."""
    stopped = Run({"p1": sim("sinus=600")}, scorer, settings(record={"folder": str(tmp_path / "stopped")}))
    turns = iter(range(100))
    stopped.pipeline.run(lambda: next(turns) == 3)
    n = stopped.status().samples_in
    assert n > 10 * FS_HZ
    source = FedSource(live=False)
    source.feed(ecg("sinus=600")[:n])
    source.end()
    ended = Run({"p1": source}, scorer, settings(record={"folder": str(tmp_path / "ended")}))
    ended.pipeline.run()
    assert kept(tmp_path / "stopped") == kept(tmp_path / "ended")
    assert wfdb.rdrecord(str(tmp_path / "stopped" / "p1" / "signal")).sig_len == n


def test_a_live_source_ends_after_its_duration(scorer: Scorer) -> None:
    source = FedSource()
    acts: list[tuple[float, Any]] = [(t, lambda: source.feed(ecg("sinus=1"))) for t in range(1, 30)]
    script = Script(acts)
    run = Run({"p1": source}, scorer, settings(source={"duration_s": 10.0}), clock=script.clock)
    run.pipeline.run(script)
    assert 10.0 <= script.now_s <= 10.5
    assert run.status().state == "ended"
    assert source.closed


def test_sources_are_closed_when_the_monitor_cannot_start(tmp_path: Path, scorer: Scorer) -> None:
    source = FedSource()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Exception, match="file"):
        Run({"p1": source}, scorer, settings(record={"folder": str(tmp_path / "file")}))
    assert source.closed
