"""Write to a journal, fill its disk, run a writer in a process of its own."""

from __future__ import annotations

import contextlib
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from monitor.journal import Journal
from monitor.messages import Message, encode
from tests import ROOT


def put(journal: Journal, topic: str, body: Message, seq: int) -> bytes:
    """Append a message as the bus does."""
    body = msgspec.structs.replace(body, epoch=journal.epoch, seq=seq)
    raw = encode(body)
    journal.append(topic, body, raw)
    return raw


def query(path: Path, statement: str) -> list[tuple[Any, ...]]:
    """Execute one statement as another SQLite program does."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute(statement).fetchall()


def count(path: Path, table: str = "messages") -> int:
    """Committed rows of a table."""
    return int(query(path, f"SELECT COUNT(*) FROM {table}")[0][0])


def abandon(journal: Journal) -> None:
    """Leave a journal as kill -9 does: without the rows that were not committed, and without the end of the run."""
    journal._db.rollback()
    journal._db.close()
    assert journal._lock is not None
    journal._lock.release()


def child(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Run Python code in a process of its own, with this project and its tests on the path."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


class FillableDisk:
    """A folder on a disk that can be filled: a small tmpfs, or a limit of the file size where mounting is refused."""

    def __init__(self, folder: Path, mounted: bool) -> None:
        self.folder = folder
        self._mounted = mounted
        self._limit = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        if not self._mounted:
            # No file can grow beyond the size of the largest; Python ignores SIGXFSZ.
            largest = max((path.stat().st_size for path in self.folder.iterdir()), default=0)
            resource.setrlimit(resource.RLIMIT_FSIZE, (max(1, largest), self._limit[1]))
            return
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError), (self.folder / "filler").open("ab", buffering=0) as file:
                while file.write(bytes(size)):
                    pass

    def empty(self) -> None:
        if not self._mounted:
            resource.setrlimit(resource.RLIMIT_FSIZE, self._limit)
        else:
            (self.folder / "filler").unlink(missing_ok=True)


@contextlib.contextmanager
def fillable_disk(folder: Path, megabytes: int = 4) -> Iterator[FillableDisk]:
    """Mount a small disk at a folder; unmount it afterwards."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    disk = FillableDisk(folder, mounted)
    try:
        yield disk
    finally:
        disk.empty()
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)
