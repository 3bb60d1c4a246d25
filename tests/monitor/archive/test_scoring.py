"""One record of an archive: the same beats and alarms as on the screen, whole or not at all, and counted rightly."""

from __future__ import annotations

import json
import os
import tracemalloc
import xml.etree.ElementTree as ET
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector import Scorer
from monitor.archive.beat_table import BeatTable
from monitor.archive.results import ALARMS, Results
from monitor.archive.scoring import score_record
from monitor.archive.tally import Tally
from monitor.archive.worst import APART_S, WorstBeats
from monitor.config import AlarmsConfig
from monitor.journal import JournalReader
from monitor.messages import BeatMessage
from monitor.sources import SourceOptions, open_source
from tests.monitor.archive.helpers import beats_of, rr_of, summary_of, task_of, write_record
from tests.monitor.engine.helpers import Run, settings

STORY = "sim:sinus=40,pvc=20,sinus=20,vt=6,sinus=25,leadsoff=4,sinus=20,asystole=6,sinus=20,noise=8,sinus=30;seed=3"
RUN_STORY = "sim:sinus=45,vt=8,sinus=25,asystole=5,sinus=20"


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer()


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("archive")
    outcome = score_record(task_of(RUN_STORY, out))
    assert (outcome.state, outcome.text) == ("scored", "")
    return out


def by_pipeline(spec: str, tmp_path: Path, scorer: Scorer, duration_s: float | None) -> tuple[list[Any], list[Any]]:
    """Beats and alarms as a monitor publishes them, less what names the run and the wall clock."""
    journal = tmp_path / "journal.sqlite"
    source = open_source(spec, SourceOptions(duration_s=duration_s))
    run = Run({"rec": source}, scorer, settings(journal={"path": str(journal)}))
    run.pipeline.run()
    reader = JournalReader(journal)
    (epoch,) = reader.epochs()
    beats = [json.loads(body) for body in reader.beats("rec", epoch, 0, 1 << 60)]
    reader.close()
    return beats, [json.loads(msgspec.json.encode(message)) for message in run.alarms]


@pytest.mark.parametrize(("spec", "duration_s"), [("mitdb:208", 400.0), (STORY, None)])
def test_beats_and_alarms_are_those_of_a_monitor(
    spec: str, duration_s: float | None, tmp_path: Path, scorer: Scorer, request: pytest.FixtureRequest
) -> None:
    if spec.startswith("mitdb"):
        request.getfixturevalue("data_folder")
    beats, alarms = by_pipeline(spec, tmp_path, scorer, duration_s)
    assert len(beats) > 150
    assert len(alarms) > 5
    outcome = score_record(task_of(spec, tmp_path, source={"duration_s": duration_s or 0.0}))
    assert (outcome.state, outcome.text, outcome.beats) == ("scored", "", len(beats))
    kept = beats_of(tmp_path)
    told = ("r_sample", "rr_s", "heart_rate_bpm", "log_prob", "score", "threshold", "p_value", "anomalous", "quality")
    assert [{key: row[key] for key in (*told, "words")} for row in kept] == [
        {key: beat.get(key) for key in told} | {"words": beat.get("words", [])} for beat in beats
    ]
    written = [json.loads(line) for line in (tmp_path / "rec" / ALARMS).read_text().splitlines()]
    for message in (*alarms, *written):
        for key in ("epoch", "seq", "time"):
            message.pop(key, None)
    assert written == alarms


def test_the_summary_counts_what_the_beats_say(scored: Path) -> None:
    rows, summary = beats_of(scored), summary_of(scored)
    rr_s = rr_of(rows)
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


def test_what_stands_is_not_scored_again(tmp_path: Path) -> None:
    path = write_record(tmp_path / "in" / "a", "sinus=25")
    task = task_of(f"wfdb:{path}", tmp_path / "out")

    def state() -> str:
        return score_record(task).state

    def seen() -> dict[str, int]:
        return {str(file): file.stat().st_ino for file in (tmp_path / "out" / "rec").rglob("*")}

    assert state() == "scored"
    first = seen()
    assert state() == "there"
    os.utime(path.with_suffix(".dat"))  # touched, not changed
    assert state() == "there"
    assert seen() == first
    with path.with_suffix(".dat").open("r+b") as file:
        file.write(b"\x01\x00")
    assert state() == "scored"
    assert state() == "there"
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


def test_a_record_that_breaks_leaves_what_was_there(tmp_path: Path) -> None:
    path = write_record(tmp_path / "a", "sinus=20")
    task = task_of(f"wfdb:{path}", tmp_path / "out")
    assert score_record(task).state == "scored"
    before = summary_of(tmp_path / "out")
    path.with_suffix(".dat").write_bytes(b"\x00" * 100)
    outcome = score_record(task)
    assert outcome.state == "failed"
    assert "header promises" in outcome.text
    assert "\n" not in outcome.text
    assert summary_of(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("spec", "said"),
    [("sim", "say --duration"), ("mitdb:x", "no record"), ("wfdb:/nowhere/a", "read"), ("csv:/nowhere", "read")],
)
def test_what_cannot_be_scored_is_one_line(spec: str, said: str, tmp_path: Path, data_folder: Path) -> None:
    outcome = score_record(task_of(spec, tmp_path))
    assert outcome.state == "failed"
    assert said in outcome.text
    assert "\n" not in outcome.text
    assert Results(tmp_path).names() == []


def test_a_path_that_cannot_be_written_down_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"a\xff.csv")
    path.write_text("1.0\n2.0\n" * 2000)
    outcome = score_record(task_of(f"csv:{path}", tmp_path / "out", source={"fs_hz": 250.0}))
    assert outcome.state == "failed"
    assert "no UTF-8" in outcome.text
    assert outcome.text.isascii()
    assert Results(tmp_path / "out").names() == []


def test_a_record_of_nothing_valid_is_a_result_without_beats(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\n".join(["1.0", *["nan"] * 5000]))
    outcome = score_record(task_of(f"csv:{tmp_path / 'a.csv'}", tmp_path, source={"fs_hz": 250.0}))
    assert (outcome.state, outcome.text, outcome.beats) == ("scored", "", 0)
    summary = summary_of(tmp_path)
    assert (summary.abnormal_share, summary.longest_run, summary.strips) == (None, None, ())
    assert summary.unreadable == 5000
    assert beats_of(tmp_path) == []


def test_a_record_that_another_run_is_at_is_left_to_it(tmp_path: Path) -> None:
    with Results(tmp_path).lock("rec") as ours:
        assert ours
        assert score_record(task_of("sim:sinus=20", tmp_path)).state == "busy"
    assert score_record(task_of("sim:sinus=20", tmp_path)).state == "scored"


def beat(r_sample: int, score: float | None, fs_hz: float, rr_s: float = 0.8) -> BeatMessage:
    return BeatMessage(
        bed="rec",
        r_sample=r_sample,
        rr_s=rr_s,
        log_prob=score,
        score=score,
        p_value=None if score is None else 0.5,
        threshold=None if score is None else 5.0,
        anomalous=score is not None and score > 5,
        quality="good" if score is not None else "muscle",
        heart_rate_bpm=75.0,
    )


@given(
    scores=st.lists(st.one_of(st.none(), st.floats(-5, 50, width=32)), min_size=1, max_size=400),
    step_s=st.floats(0.3, 4.0),
    most=st.integers(1, 4),
    cuts=st.lists(st.integers(1, 80), min_size=1, max_size=8),
)
def test_the_worst_beats_do_not_depend_on_the_cuts(
    scores: list[float | None], step_s: float, most: int, cuts: list[int]
) -> None:
    fs_hz = 100.0
    beats = [beat(round((1 + n * step_s) * fs_hz), score, fs_hz) for n, score in enumerate(scores)]
    end = beats[-1].r_sample + 200
    signal = np.arange(end, dtype=np.float64)
    worst = WorstBeats(fs_hz, most)
    waiting, at, turn = list(beats), 0, 0
    while at < end:
        size = round(cuts[turn % len(cuts)] * fs_hz)
        turn += 1
        piece = signal[at : at + size]
        worst.history.put(at, piece, piece)
        at += piece.size
        while waiting and waiting[0].r_sample <= at - 200:  # a beat is known 2 s late
            worst.put(waiting.pop(0))
        worst.settle(ended=at >= end)
    cells: dict[int, BeatMessage] = {}
    for one in beats:
        best = cells.get(one.r_sample // 3000)
        if one.score is not None and (best is None or one.score > (best.score or 0.0)):
            cells[one.r_sample // 3000] = one
    expected: list[int] = []
    for one in sorted(cells.values(), key=lambda b: (-(b.score or 0.0), b.r_sample)):
        if len(expected) < most and all(abs(one.r_sample - other) >= 3000 for other in expected):
            expected.append(one.r_sample)
    found = worst.worst()
    assert [strip.beat.r_sample for strip in found] == expected
    for strip in found:
        there = np.arange(strip.first_sample, strip.first_sample + strip.samples.size)
        inside = (there >= 0) & (there < end)
        assert np.array_equal(strip.samples[inside], there[inside].astype(np.float32))  # cut whole, however late
        assert np.isnan(strip.samples[~inside]).all()
        around = {b.r_sample for b in beats if strip.first_sample <= b.r_sample < there[-1]}
        assert strip.beat.r_sample in {b.r_sample for b in strip.beats} <= around | {there[-1]}


def test_a_day_takes_no_more_memory_than_some_hours(tmp_path: Path) -> None:
    fs_hz, hour_beats = 250.0, 4500
    table = BeatTable(tmp_path / "beats.parquet", fs_hz, {})
    tally, worst = Tally(fs_hz, AlarmsConfig()), WorstBeats(fs_hz, 6)
    piece = np.zeros(round(60 * fs_hz))
    rng = np.random.default_rng(1)
    peaks = []
    tracemalloc.start()
    try:
        for hour in range(24):
            for n, score in enumerate(rng.exponential(2.0, hour_beats).tolist()):
                r_sample = round((hour * 3600 + n * 0.8) * fs_hz)
                if n % 75 == 0:
                    worst.history.put(worst.history.end, piece, piece)
                    worst.settle()
                one = beat(r_sample, score, fs_hz)
                for taker in (table.put, tally.beat, worst.put):
                    taker(one)
            peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
        table.close()
    assert peaks[23] - peaks[7] < 200_000  # the first hours fill what is bounded
    assert tally.beats == 24 * hour_beats
    assert [hour.beats for hour in tally.hours(86_400.0)] == [hour_beats] * 24
