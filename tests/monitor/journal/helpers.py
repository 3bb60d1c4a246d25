"""Journals to write into: messages, a disk that can be filled, a writer in a process of its own."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from monitor.journal import Journal
from monitor.messages import Message, encode

__all__ = ["FillableDisk", "child", "fillable_disk", "put"]

ROOT = Path(__file__).parents[3]


def put(journal: Journal, topic: str, body: Message, seq: int) -> bytes:
    """Append a message as the bus does."""
    body = msgspec.structs.replace(body, epoch=journal.epoch, seq=seq)
    raw = encode(body)
    journal.append(topic, body, raw)
    return raw


def child(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Python code in a process of its own, with this project and these helpers."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


class FillableDisk:
    """A folder whose disk is full when told so: a small tmpfs, or where none may be mounted, a limit of file size."""

    def __init__(self, folder: Path, mounted: bool) -> None:
        self.folder = folder
        self._mounted = mounted
        self._limit = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        if not self._mounted:
            # Nothing can grow beyond what the largest file has now; SIGXFSZ is ignored by Python.
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
    """A disk of some megabytes at a folder, gone afterwards."""
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
