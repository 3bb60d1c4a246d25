"""One record of an archive: beats and alarms of the monitor, correct counts, complete or no result."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import xml.etree.ElementTree as ET
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from detector import Scorer
from monitor.archive.results import ALARMS, Results
from monitor.archive.scoring import score_record
from monitor.archive.task import fingerprint
from monitor.archive.worst import APART_S
from monitor.journal import JournalReader
from monitor.sources import SourceOptions, open_source
from tests.monitor.archive.helpers import beats_of, summary_of, task_of, write_record
from tests.monitor.engine.helpers import Run, settings

STORY = "sim:sinus=40,pvc=20,sinus=20,vt=6,sinus=25,leadsoff=4,sinus=20,asystole=6,sinus=20,noise=8,sinus=30;seed=3"
RUN_STORY = "sim:sinus=45,vt=8,sinus=25,asystole=5,sinus=20"


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("archive")
    outcome = score_record(task_of(RUN_STORY, out))
    assert (outcome.state, outcome.text) == ("scored", "")
    return out


def by_pipeline(spec: str, tmp_path: Path, duration_s: float | None) -> tuple[list[Any], list[Any]]:
    """Beats and alarms as a monitor publishes them, without the run and the wall clock."""
    journal = tmp_path / "journal.sqlite"
    source = open_source(spec, SourceOptions(duration_s=duration_s))
    run = Run({"rec": source}, Scorer(), settings(journal={"path": str(journal)}))
    run.pipeline.run()
    with contextlib.closing(JournalReader(journal)) as reader:
        beats = [json.loads(body) for body in reader.beats("rec", reader.epoch, 0, 1 << 60)]
    return beats, [json.loads(msgspec.json.encode(message)) for message in run.alarms]


@pytest.mark.parametrize(
    ("spec", "duration_s"), [pytest.param("mitdb:208", 400.0, marks=pytest.mark.slow), (STORY, None)]
)
def test_beats_and_alarms_are_those_of_a_monitor(
    spec: str, duration_s: float | None, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if spec.startswith("mitdb"):
        request.getfixturevalue("data_folder")
    beats, alarms = by_pipeline(spec, tmp_path, duration_s)
    assert len(beats) > 150
    assert len(alarms) > 5
    outcome = score_record(task_of(spec, tmp_path, source={"duration_s": duration_s or 0.0}))
    assert (outcome.state, outcome.text, outcome.beats) == ("scored", "", len(beats))
    rows = beats_of(tmp_path)
    keys = ("r_sample", "rr_s", "heart_rate_bpm", "log_prob", "score", "threshold", "p_value", "anomalous", "quality")
    assert [{key: row[key] for key in (*keys, "words")} for row in rows] == [
        {key: beat.get(key) for key in keys} | {"words": beat.get("words", [])} for beat in beats
    ]
    written = [json.loads(line) for line in (tmp_path / "rec" / ALARMS).read_text().splitlines()]
    for message in (*alarms, *written):
        for key in ("epoch", "seq", "time"):
            message.pop(key, None)
    assert written == alarms


def test_the_summary_counts_the_beats(scored: Path) -> None:
    rows, summary = beats_of(scored), summary_of(scored)
    rr_s = np.array([row["rr_s"] for row in rows], dtype=float)  # None: NaN
    good = np.array([row["score"] is not None for row in rows])
    both = good & np.concatenate(([False], good[:-1])) & np.isfinite(rr_s)
    assert summary.beats == len(rows) > 100
    assert (summary.scored, summary.unscored) == (good.sum(), (~good).sum())
    assert sum(summary.unscored_by.values()) == summary.unscored
    assert summary.abnormal == sum(row["anomalous"] for row in rows) > 10
    assert summary.rates.mean_bpm == pytest.approx(60 / rr_s[both].mean(), abs=0.06)
    rates = [row["heart_rate_bpm"] for row in rows if row["heart_rate_bpm"] is not None]
    assert (summary.rates.min_bpm, summary.rates.max_bpm) == (min(rates), max(rates))
    pauses = np.flatnonzero(both & (rr_s >= 3.0))
    assert summary.pauses.count == pauses.size == 1
    assert summary.pauses.longest_s == rr_s[pauses[0]] > 4.5
    assert summary.pauses.longest_sample == rows[pauses[0] - 1]["r_sample"]
    runs = [list(run) for odd, run in groupby(rows, key=lambda row: row["anomalous"]) if odd]
    longest = max(runs, key=len)
    assert summary.longest_run is not None
    assert summary.longest_run.beats == len(longest) >= 15
    assert summary.longest_run.first_sample == longest[0]["r_sample"]
    assert summary.longest_run.rate_bpm == pytest.approx(60 / np.mean([row["rr_s"] for row in longest[1:]]), abs=0.1)
    assert summary.runs == sum(len(run) >= 3 for run in runs)
    alarms = [json.loads(line)["alarm"] for line in (scored / "rec" / ALARMS).read_text().splitlines()]
    began = {alarm["alarm_id"]: alarm["kind"] for alarm in alarms if alarm["state"] == "onset"}
    assert summary.alarms == {kind: list(began.values()).count(kind) for kind in set(began.values())}
    assert summary.alarms["asystole"] == 1
    assert summary.duration_s == pytest.approx(103, abs=0.1)
    assert [hour.abnormal for hour in summary.hours] == [summary.abnormal]
    assert summary.model.sha256 == Scorer().info.sha256


def test_strips_are_drawings_of_the_highest_scores(scored: Path) -> None:
    summary = summary_of(scored)
    strips = summary.strips
    assert len(strips) >= 2
    highest = max((row["score"], row["r_sample"]) for row in beats_of(scored) if row["score"] is not None)
    assert (strips[0].score, strips[0].r_sample) == highest
    assert [strip.score for strip in strips] == sorted((strip.score for strip in strips), reverse=True)
    at = sorted(strip.r_sample for strip in strips)
    assert min(np.diff(at)) >= APART_S * summary.fs_hz
    files = {str(file.relative_to(scored / "rec")) for file in (scored / "rec" / "strips").iterdir()}
    assert files == {strip.file for strip in strips}
    for number, strip in enumerate(strips, 1):
        assert strip.end_sample - strip.first_sample == 10 * summary.fs_hz
        drawing = ET.parse(scored / "rec" / strip.file).getroot()
        assert f"highest scores, {number} of {len(strips)}" in {text.text for text in drawing.iterfind(".//{*}text")}
        trace = drawing.find(".//*[@id='trace']")
        assert trace is not None
        assert len(trace.get("d", "")) > 1000
        odd = {int(mark.get("data-r", "")) for mark in drawing.iterfind(".//*[@data-r]")}
        assert (strip.r_sample in odd) == strip.anomalous


def test_a_valid_result_is_not_scored_again(tmp_path: Path) -> None:
    path = write_record(tmp_path / "in" / "a", "sinus=25")
    task = task_of(f"wfdb:{path}", tmp_path / "out")

    def state() -> str:
        return score_record(task).state

    def seen() -> dict[str, int]:
        return {str(file): file.stat().st_ino for file in (tmp_path / "out" / "rec").rglob("*")}

    assert state() == "scored"
    first = seen()
    assert state() == "kept"
    os.utime(path.with_suffix(".dat"))  # touched, not changed
    assert state() == "kept"
    assert seen() == first
    with path.with_suffix(".dat").open("r+b") as file:
        file.write(b"\x01\x00")
    assert state() == "scored"
    assert state() == "kept"
    task = task_of(f"wfdb:{path}", tmp_path / "out", alarms={"pause": {"limit": 2.5}})
    assert state() == "scored"
    assert summary_of(tmp_path / "out").pauses.limit_s == 2.5
    assert not [left.name for left in (tmp_path / "out" / ".score").iterdir() if left.suffix != ".lock"]


def test_a_result_of_another_record_is_not_overwritten(tmp_path: Path) -> None:
    one, two = write_record(tmp_path / "a", "sinus=20"), write_record(tmp_path / "b", "sinus=21")
    assert score_record(task_of(f"wfdb:{one}", tmp_path)).state == "scored"
    outcome = score_record(task_of(f"wfdb:{two}", tmp_path))
    assert outcome.state == "failed"
    assert "holds the result of wfdb:" in outcome.text
    assert summary_of(tmp_path).source == f"wfdb:{one}"


def test_a_broken_record_leaves_the_earlier_result(tmp_path: Path) -> None:
    path = write_record(tmp_path / "a", "sinus=20")
    task = task_of(f"wfdb:{path}", tmp_path / "out")
    assert score_record(task).state == "scored"
    before = summary_of(tmp_path / "out")
    path.with_suffix(".dat").write_bytes(b"")
    outcome = score_record(task)
    assert outcome.state == "failed"
    assert "holds no sample" in outcome.text
    assert "\n" not in outcome.text
    assert summary_of(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("spec", "reason"),
    [("sim", "say --duration"), ("mitdb:x", "no record"), ("wfdb:/nowhere/a", "read"), ("csv:/nowhere", "read")],
)
def test_a_record_that_cannot_be_scored_is_one_line(spec: str, reason: str, tmp_path: Path, data_folder: Path) -> None:
    outcome = score_record(task_of(spec, tmp_path))
    assert outcome.state == "failed"
    assert reason in outcome.text
    assert "\n" not in outcome.text
    assert Results(tmp_path).names() == []


def test_a_path_that_is_no_utf_8_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"a\xff.csv")
    path.write_text("1.0\n2.0\n" * 2000)
    outcome = score_record(task_of(f"csv:{path}", tmp_path / "out", source={"fs_hz": 250.0}))
    assert outcome.state == "failed"
    assert "no UTF-8" in outcome.text
    assert outcome.text.isascii()
    assert Results(tmp_path / "out").names() == []


def test_a_record_without_valid_samples_has_a_result_without_beats(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\n".join(["1.0", *["nan"] * 5000]))
    outcome = score_record(task_of(f"csv:{tmp_path / 'a.csv'}", tmp_path, source={"fs_hz": 250.0}))
    assert (outcome.state, outcome.text, outcome.beats) == ("scored", "", 0)
    summary = summary_of(tmp_path)
    assert (summary.abnormal_share, summary.longest_run, summary.strips) == (None, None, ())
    assert summary.unreadable == 5000
    assert beats_of(tmp_path) == []


def test_a_record_that_another_run_scores_is_busy(tmp_path: Path) -> None:
    with Results(tmp_path).lock("rec") as ours:
        assert ours
        assert score_record(task_of("sim:sinus=20", tmp_path)).state == "busy"
    assert score_record(task_of("sim:sinus=20", tmp_path)).state == "scored"


def test_a_fingerprint_is_the_same_in_another_process(tmp_path: Path) -> None:
    """A copy has other objects for the default values."""
    task = task_of("sim:sinus=5", tmp_path)
    assert fingerprint(pickle.loads(pickle.dumps(task)), ()) == fingerprint(task, ())
