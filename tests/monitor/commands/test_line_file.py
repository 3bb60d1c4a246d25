"""Whole lines on a full disk, after a kill, and on a pipe."""

from __future__ import annotations

import contextlib
import os
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.commands.line_file import LineFile

BEGINS = '{"schema":"'
LINE = '{"schema":"alarm/1","n":1}'


@contextlib.contextmanager
def room(n_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size: a write fails in the middle of a line, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("mode", ["a", "w"])
def test_a_full_disk_leaves_whole_lines(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "lines"
    with path.open(mode) as out:
        file = LineFile(out, begins=BEGINS)
        with room(2 * len(LINE) + 10), pytest.raises(OSError, match="File too large"):
            file.write([LINE] * 5)
        assert path.read_text() == f"{LINE}\n" * 2
        file.write([LINE])  # there is room again
        file.sync()
    assert path.read_text() == f"{LINE}\n" * 3


@pytest.mark.parametrize(
    ("end", "repeats", "mended"),
    [
        ("", True, ""),
        (LINE[:3], True, ""),
        (LINE[:-3], True, ""),
        (LINE[:-3], False, f"{LINE[:-3]}\n"),  # it does not come again
        (LINE, True, f"{LINE}\n"),  # whole: only the line break is missing
        ("other text", True, "other text\n"),
    ],
)
def test_a_last_line_without_its_end_is_mended_at_the_start(
    tmp_path: Path, end: str, repeats: bool, mended: str
) -> None:
    path = tmp_path / "lines"
    for before in ("", f"{LINE}\n", f"{'x' * 200_000}\n"):
        path.write_text(before + end)
        with path.open("a") as out:
            LineFile(out, begins=BEGINS, repeats=repeats).write([LINE])
        assert path.read_text() == f"{before}{mended}{LINE}\n"


@given(cut=st.integers(0, len(LINE)), before=st.integers(0, 2))
def test_wherever_a_kill_cuts_a_line_no_line_is_lost_or_glued(
    tmp_path_factory: pytest.TempPathFactory, cut: int, before: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "lines"
    path.write_text(f"{LINE}\n" * before + LINE[:cut])
    with path.open("a") as out:
        LineFile(out, begins=BEGINS, repeats=True).write([LINE])
    assert set(path.read_text().splitlines()) == {LINE}
    assert len(path.read_text().splitlines()) >= before + 1


def test_a_pipe_without_blocking_gets_all_lines() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    received = bytearray()

    def read() -> None:
        while piece := os.read(reading, 4096):
            received.extend(piece)

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(writing, "w") as out:
        LineFile(out).write([LINE] * 10_000)
    reader.join()
    os.close(reading)
    assert received.decode() == f"{LINE}\n" * 10_000
