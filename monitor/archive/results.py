"""The folder of results: one folder a record, which is there as a whole or not at all, and is made by one at a time.

OUT/summary.csv, OUT/summary.parquet      one row a record
OUT/<name>/summary.json                   the record
OUT/<name>/beats.parquet, alarms.jsonl, strips/
OUT/.score/<name>.lock                    held while the record is scored; goes with the process, however it ends
OUT/.score/<name>.part/                   what is being written; left by a killed run, taken away by the next
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from monitor.archive.summary import FORMAT, Summary
from monitor.errors import ConfigError

__all__ = ["ALARMS", "BEATS", "STRIPS", "SUMMARY", "Results"]

SUMMARY: Final = "summary.json"
BEATS: Final = "beats.parquet"
ALARMS: Final = "alarms.jsonl"
STRIPS: Final = "strips"
_OURS: Final = ".score"


class Results:
    """Results below one folder.

    Args:
        out: the folder; made where it is not there.

    Raises:
        ConfigError: it cannot be had or written.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self._ours = out / _OURS
        try:
            self._ours.mkdir(parents=True, exist_ok=True)
            if not os.access(self._ours, os.W_OK | os.X_OK):
                raise PermissionError(0, "Permission denied")
        except OSError as error:
            raise ConfigError(f"--out {out}: {error.strerror}; name a folder that can be written") from None

    def get(self, name: str) -> Summary | None:
        """What is there of a record; None where nothing is, or nothing that this version can read."""
        try:
            summary = msgspec.json.decode((self.out / name / SUMMARY).read_bytes(), type=Summary)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        return summary if summary.format == FORMAT else None

    def names(self) -> list[str]:
        """Of all records that are there."""
        return sorted(path.parent.name for path in self.out.glob(f"*/{SUMMARY}"))

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[bool]:
        """Whether this process alone may write a record, until the end of the context.

        The lock's file stays: taken away, two processes could each hold a lock of that name.
        """
        descriptor = os.open(self._ours / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def making(self, name: str) -> Iterator[Path]:
        """An empty folder to write a record into; at the end of the context it takes its place, on disk.

        Only with the lock. An error leaves what was there before.

        Raises:
            OSError: the disk is full, or the like.
        """
        part, old = self._ours / f"{name}.part", self._ours / f"{name}.old"
        for left in (part, old):  # by a run that was killed
            if left.exists():
                shutil.rmtree(left)
        part.mkdir()
        try:
            yield part
            for folder, _, files in os.walk(part, topdown=False):
                for file in files:
                    _sync(Path(folder, file))
                _sync(Path(folder))
            place = self.out / name
            if place.exists():
                place.rename(old)  # killed here, the record is not there and is scored again
            part.rename(place)
            _sync(self.out)
            shutil.rmtree(old, ignore_errors=True)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise

    def replace(self, name: str, content: bytes) -> None:
        """Write a file of the whole folder: readers see the old one or the new one.

        Raises:
            OSError: the disk is full, or the like.
        """
        part = self._ours / f"{name}.{os.getpid()}"
        try:
            part.write_bytes(content)
            _sync(part)
            part.replace(self.out / name)
            _sync(self.out)
        finally:
            part.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
