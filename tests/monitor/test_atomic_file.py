"""A file that is replaced has the old content or the new one at any time."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from monitor.atomic_file import replace_file


@pytest.mark.posix
@pytest.mark.parametrize("durable", [False, True])
def test_the_content_and_mode_are_as_given(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "a"
    replace_file(path, "µV\n", durable=durable)
    assert path.read_bytes() == "µV\n".encode()
    replace_file(path, b"\x00", mode=0o600, durable=durable)
    assert path.read_bytes() == b"\x00"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["a"], "no draft is left"


def test_a_reader_sees_no_half_written_file(tmp_path: Path) -> None:
    path, contents = tmp_path / "a", {b"x" * 100_000, b"y" * 50_000}
    replace_file(path, b"x" * 100_000)
    done = threading.Event()

    def write() -> None:
        for _ in range(200):
            for content in contents:
                replace_file(path, content)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        assert path.read_bytes() in contents
    writer.join()


def test_an_error_leaves_the_old_file_and_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    replace_file(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, "new", durable=True)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
    with pytest.raises(FileNotFoundError):
        replace_file(tmp_path / "missing" / "a", "new")
