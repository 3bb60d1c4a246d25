"""Decisions as WFDB annotations: read by wfdb, read back, and never lost or overwritten without a word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import wfdb
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ConfigError, RecorderError
from monitor.recording.review_file import ReviewFiles
from monitor.reports.decisions import ALARM_VERDICTS, BEAT_VERDICTS, Decision, Mark
from tests.monitor.journal.helpers import fillable_disk

TIME = "2026-11-30T06:11:52Z"
ANNA = Decision("V", "anna", TIME)
names = st.text(st.characters(exclude_characters=";", exclude_categories=("Cc", "Cs")), max_size=20).map(str.strip)
samples = st.one_of(st.integers(0, 2000), st.integers(0, 70_000_000))
decided = st.one_of(
    st.tuples(
        st.builds(Mark, samples, st.just("")),
        st.builds(Decision, st.sampled_from(list(BEAT_VERDICTS)), names, st.just(TIME)),
    ),
    st.tuples(
        st.builds(Mark, samples, st.sampled_from(["asystole", "ventricular_run"])),
        st.builds(Decision, st.sampled_from(list(ALARM_VERDICTS)), names, st.just(TIME)),
    ),
)


def pieces(folder: Path) -> list[tuple[Path, int]]:
    return [(folder / "signal", 0), (folder / "signal_2", 1500)]


@given(st.lists(decided, max_size=12).map(dict))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, decisions: dict[Mark, Decision]) -> None:
    folder = tmp_path_factory.mktemp("review")
    files = ReviewFiles(pieces(folder))
    assert files.read() == {}
    files.write(decisions)
    assert ReviewFiles(pieces(folder)).read() == decisions
    files.write({})
    assert ReviewFiles(pieces(folder)).read() == {}


def test_wfdb_reads_it(tmp_path: Path) -> None:
    files = ReviewFiles(pieces(tmp_path))
    files.write(
        {
            Mark(300): ANNA,
            Mark(120): Decision("|", "Jürgen", TIME),
            Mark(300, "asystole"): Decision("false", "anna", TIME),
            Mark(2000): Decision("S", "", ""),
        }
    )
    first, second = (wfdb.rdann(str(path), "review") for path, _ in pieces(tmp_path))
    assert first.sample.tolist() == [120, 300, 300]
    assert first.symbol == ["|", "V", '"']
    assert first.aux_note[1:] == [f"{TIME} anna", f"{TIME} anna; alarm asystole false"]
    assert first.aux_note[0].encode("latin-1").decode() == f"{TIME} Jürgen"
    assert (second.sample.tolist(), second.symbol) == ([500], ["S"])  # samples of its own record


def test_only_the_files_that_change_are_written(tmp_path: Path) -> None:
    files = ReviewFiles(pieces(tmp_path))
    files.read()
    files.write({Mark(300): ANNA})
    assert [path.exists() for path in files.paths] == [True, False]
    before = files.paths[0].stat().st_ino
    files.write({Mark(300): ANNA, Mark(1600): ANNA})
    assert files.paths[0].stat().st_ino == before
    assert files.paths[1].exists()


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    with fillable_disk(tmp_path / "disk", 1) as disk:
        files = ReviewFiles(pieces(disk.folder))
        files.read()
        files.write({Mark(300): ANNA})
        disk.fill()
        with pytest.raises(OSError, match=r"No space left|File too large"):
            files.write({Mark(sample): ANNA for sample in range(300, 1300)})
        assert ReviewFiles(pieces(disk.folder)).read() == {Mark(300): ANNA}
        assert not list(disk.folder.glob(".*"))
        disk.empty()
        files.write({Mark(301): ANNA})
        assert ReviewFiles(pieces(disk.folder)).read() == {Mark(301): ANNA}


def test_another_program_has_changed_the_file(tmp_path: Path) -> None:
    files = ReviewFiles(pieces(tmp_path))
    files.write({Mark(300): ANNA})
    ReviewFiles(pieces(tmp_path)).read()
    wfdb.wrann("signal", "review", *_one(400), write_dir=str(tmp_path))
    with pytest.raises(RecorderError, match="another program has changed it"):
        files.write({Mark(301): ANNA})
    assert ReviewFiles(pieces(tmp_path)).read() == {Mark(400): Decision("V", "", "")}


def _one(sample: int) -> tuple[object, list[str]]:
    import numpy as np

    return np.array([sample]), ["V"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x01", id="one byte"),
        pytest.param(b"PK\x03\x04 a zip file", id="another format"),
        pytest.param(b"\x05\x14\x0a\xfcabc", id="cut off in a note"),
        pytest.param(b"\x05\x14", id="without an end"),
        pytest.param(b"\x05\xa4\x00\x00", id="unknown code"),
        pytest.param(b"\x05\x30\x00\x00", id="paced, which no review writes"),
    ],
)
def test_a_file_of_another_program_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "signal.review").write_bytes(content)
    with pytest.raises(ConfigError, match=re.escape(f"{tmp_path / 'signal.review'}: not written by a review")):
        ReviewFiles(pieces(tmp_path)).read()
    assert (tmp_path / "signal.review").read_bytes() == content


def test_one_review_at_a_time(tmp_path: Path) -> None:
    other = ReviewFiles(pieces(tmp_path))
    with ReviewFiles(pieces(tmp_path)), pytest.raises(ConfigError, match="another program reviews it"):
        other.__enter__()
    with other:
        pass
