"""`ecg-monitor rr`: the same intervals from a recording, from results of `score`, and from the record."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from tests.monitor.archive.helpers import beats_of
from tests.monitor.commands.conftest import Here, Session


def test_intervals_of_a_recording_and_of_its_source_are_the_same(session: Session, here: Here) -> None:
    recorded = here("rr", str(session.folder))
    scored = here("rr", session.story)
    assert recorded.code == scored.code == 0
    assert recorded.out == scored.out
    rows = list(csv.DictReader((session.folder / "p1" / "beats.csv").read_text().splitlines()))
    intervals = [f"{1000 * float(row['rr_s']):.1f}" for row in rows if row["rr_s"]]
    assert recorded.out.splitlines() == intervals
    assert len(intervals) > 40
    assert f"{len(intervals)} RR intervals of {len(rows)} beats" in recorded.err


def test_intervals_of_results_as_csv(session: Session, here: Here, tmp_path: Path) -> None:
    assert here("score", session.story, "--out", str(tmp_path), "--processes", "1", "--strips", "0").code == 0
    done = here("rr", str(tmp_path), "--format", "csv")
    assert done.code == 0
    rows = list(csv.DictReader(done.out.splitlines()))
    (name,) = [path.name for path in tmp_path.iterdir() if (path / "summary.json").is_file()]
    beats = beats_of(tmp_path, name)
    known = [at for at, beat in enumerate(beats) if beat["rr_s"] is not None]
    assert [float(row["time_s"]) for row in rows] == pytest.approx([beats[at]["time_s"] for at in known], abs=1e-4)
    kinds = {True: "anomalous", False: "usual"}
    for row, at in zip(rows, known, strict=True):
        beat, before = beats[at], beats[at - 1]
        assert row["kind"] == ("not scored" if beat["score"] is None else kinds[beat["anomalous"]])
        assert row["quality"] == beat["quality"]
        plain = [one["score"] is not None and not one["anomalous"] for one in (before, beat)]
        assert row["nn"] == str(int(all(plain)))
    only = here("rr", str(tmp_path), "--nn")
    assert only.out.splitlines() == [row["rr_ms"] for row in rows if row["nn"] == "1"]
    assert 0 < len(only.out.splitlines()) < len(rows)


def test_a_line_that_is_being_written_is_left_out(session: Session, here: Here, tmp_path: Path) -> None:
    shutil.copytree(session.folder, tmp_path / "rec")
    whole = here("rr", str(tmp_path / "rec")).out
    with (tmp_path / "rec" / "p1" / "beats.csv").open("a") as file:
        file.write("99999,3")
    assert here("rr", str(tmp_path / "rec")).out == whole


def test_what_cannot_be_used_is_one_line(session: Session, here: Here, tmp_path: Path) -> None:
    copy = tmp_path / "rec"
    shutil.copytree(session.folder, copy)
    shutil.copytree(copy / "p1", copy / "p2")
    (tmp_path / "empty").mkdir()
    bad = tmp_path / "bad"
    shutil.copytree(copy / "p1", bad)
    (bad / "beats.csv").write_text("r_sample,time_s,rr_s,score,anomalous,quality\n1,2,x,1,0,good\n")
    huge = tmp_path / "huge"
    shutil.copytree(copy / "p1", huge)
    (huge / "beats.csv").write_text(f"r_sample,time_s,rr_s,score,anomalous,quality\n{10**30},2,1,1,0,good\n")
    no_rate = tmp_path / "no_rate"
    shutil.copytree(copy / "p1", no_rate)
    session_file = no_rate / "session.json"
    session_file.write_text(session_file.read_text().replace('"fs_hz": 250.0', '"fs_hz": 0'))
    cut = tmp_path / "cut"
    shutil.copytree(copy / "p1", cut)
    (cut / "session.json").write_text('{"bed": ')
    cases = {
        (str(copy),): f"holds 2 records; name one of {copy / 'p1'}, {copy / 'p2'}",
        (str(tmp_path / "empty"),): "neither a recording",
        (str(bad),): "line 2 is no beat",
        (str(huge),): "line 2 is no beat",
        (str(no_rate),): "not the session file",
        (str(cut),): "not the session file",
        (str(tmp_path / "absent"),): "no such file",
        ("sim",): "it has no end; say --duration",
        ("serial",): "serial: a live source has no end; record it",
        ("mitdb:1000000",): "1000000",
        (str(copy / "p1"), "--format", "xml"): "give text or csv",
    }
    for words, text in cases.items():
        done = here("rr", *words)
        assert (done.code, done.out) == (2, ""), words
        assert len(done.err.splitlines()) == 1
        assert text in done.err
    assert here("rr", str(copy / "p1")).code == 0
