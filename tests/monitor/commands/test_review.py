"""`ecg-monitor review` as a process: kept after kill -9, the recording untouched, and its labels in the report."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import wfdb
from common.programs import MONITOR, Program

from tests.monitor.archive.helpers import write_record
from tests.monitor.commands.conftest import Here, Session
from tests.monitor.web.helpers import ask, wait_for


class Review(Program):
    """The command, and its page; a context manager."""

    def __init__(self, *words: str) -> None:
        super().__init__([*MONITOR, "review", *words, "--listen", "127.0.0.1:0", "--reviewer", "anna"])
        wait_for(lambda: "on http" in self.output() or not self.alive, "the page")
        found = re.search(r"on (http\S+)", self.output())
        assert found, self.output()
        self.address = found[1]

    def decide(self, verdict: str, *marks: tuple[int, str], **more: object) -> None:
        now = json.loads(ask(self.address, "/api/review/changes").text)
        body = json.dumps({"run": now["run"], "seen": now["number"], "verdict": verdict, "marks": marks, **more})
        answer = ask(self.address, "/api/review/decide", "POST", body=body, content_type="application/json")
        assert answer.status == 200, answer.text

    def about(self) -> dict[str, dict[str, list[object]]]:
        return json.loads(ask(self.address, "/api/review").text)  # type: ignore[no-any-return]


@pytest.fixture
def folder(session: Session, tmp_path: Path) -> Iterator[Path]:
    """A copy of the recording; at the end all that was recorded is as it was."""
    copy = tmp_path / "rec"
    shutil.copytree(session.folder, copy)
    before = {path.relative_to(copy): path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    yield copy
    after = {path.relative_to(copy): path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    ours = {name for name in after if name.suffix == ".review" or name.name == ".review.lock"}
    assert {name: content for name, content in after.items() if name not in ours} == before


def test_a_review_from_the_first_decision_to_the_report(folder: Path, here: Here, tmp_path: Path) -> None:
    def report(*words: str) -> str:
        done = here("report", str(folder), "--out", str(tmp_path / "r.html"), *words)
        assert done.code == 0, done.err
        return (tmp_path / "r.html").read_text()

    def beats_in(text: str) -> str:
        found = re.search(r"<th>Beats</th><td>(\d+)", text)
        assert found
        return found[1]

    unreviewed = report()
    assert "Not checked by a person" in unreviewed
    n = int(beats_in(unreviewed))
    with Review(str(folder)) as review:
        events = review.about()["events"]
        odd = [int(str(r)) for r, alarm in zip(events["sample"], events["alarm"], strict=True) if not alarm]
        arrest = next(
            (int(str(r)), str(alarm))
            for r, alarm in zip(events["sample"], events["alarm"], strict=True)
            if alarm == "asystole"
        )
        review.decide("V", *((r, "") for r in odd[:3]))
        review.decide("|", (odd[3], ""))
        review.decide("false", arrest)
        other = here("review", str(folder))
        assert (other.code, "another program reviews it" in other.err, len(other.err.splitlines())) == (2, True, 1)
        review.kill()
    notes = wfdb.rdann(str(folder / "p1" / "signal"), "review")
    assert sorted(notes.symbol) == sorted(["V"] * 3 + ["|", '"'])
    assert all(re.match(r"20\d\d-\d\d-\d\dT[\d:]+Z anna", note) for note in notes.aux_note)
    reviewed = report()
    assert "<th>Review</th><td>4 beats (1 of them not a beat), 0 added, 1 alarm (1 false); by anna, 20" in reviewed
    assert "Not checked by a person" not in reviewed
    assert int(beats_in(reviewed)) == n - 1
    row = re.compile(r"<td class=l>asystole</td><td>(\d+)</td>")
    assert [row.findall(text) for text in (unreviewed, reviewed)] == [["1"], ["0"]]
    assert beats_in(report("--no-review")) == str(n)
    lines = [here("rr", str(folder), *words).out.count("\n") for words in ((), ("--no-review",))]
    assert lines == [lines[1] - 1, lines[1]]
    with Review(str(folder)) as again:
        known = {(each[0], each[1]): each[2] for each in json.loads(ask(again.address, "/api/review").text)["changed"]}
    assert known == {**{(r, ""): "V" for r in odd[:3]}, (odd[3], ""): "|", arrest: "false"}


@pytest.mark.slow
def test_a_scored_record_is_not_scored_again_and_its_labels_outlive_a_new_scoring(here: Here, tmp_path: Path) -> None:
    path, out = write_record(tmp_path / "in" / "a", "sinus=25,pvc=15"), tmp_path / "scores"
    words = ("score", f"wfdb:{path}", "--out", str(out), "--processes", "1")
    assert here(*words).code == 0
    (summary,) = out.glob("*/summary.json")
    scored = summary.stat().st_mtime_ns
    with Review(f"wfdb:{path}", "--out", str(out)) as review:
        assert summary.stat().st_mtime_ns == scored
        review.decide("V", (int(str(review.about()["events"]["sample"][0])), ""))
    labels = (summary.parent / "signal.review").read_bytes()
    assert here(*words, "--mains", "60").code == 0
    assert summary.stat().st_mtime_ns != scored
    assert (summary.parent / "signal.review").read_bytes() == labels
    done = here("report", str(out), "--out", str(tmp_path / "r.html"))
    assert "reviewed: 1 beat " in done.err


def test_what_cannot_be_reviewed_is_one_line(session: Session, here: Here, tmp_path: Path) -> None:
    two = tmp_path / "two"
    for name in ("p1", "p2"):
        shutil.copytree(session.folder / "p1", two / name)
    foreign = tmp_path / "foreign"
    shutil.copytree(session.folder / "p1", foreign)
    (foreign / "signal.review").write_bytes(b"PK\x03\x04")
    shutil.copy(session.folder / "journal.sqlite", tmp_path / "ward.sqlite")
    empty = tmp_path / "empty"
    empty.mkdir()
    free = ("--listen", "127.0.0.1:0")
    for words, text in (
        ((str(two), *free), "holds 2 records; name one of"),
        ((str(tmp_path / "ward.sqlite"), *free), "a journal keeps 10 s around each alarm"),
        ((str(empty), *free), "neither a recording (--record) nor results"),
        ((str(foreign), *free), "signal.review: not written by a review"),
        (("sim:sinus=5", *free), "give --out DIR"),
        (("mitdb:nosuch", "--out", str(tmp_path / "o"), *free), "nosuch"),
        ((str(session.folder), "--listen", "somewhere"), "give HOST:PORT"),
        ((str(session.folder), "--listen", "0.0.0.0:0"), "other machines could connect"),
        ((str(session.folder / "p1" / "beats.csv"), *free), "give --out DIR"),
    ):
        done = here("review", *words)
        assert done.code == 2, words
        assert len(done.err.splitlines()) == 1, done.err
        assert text in done.err
