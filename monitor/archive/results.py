"""The folder of results: one folder per record, complete or absent, written by one process at a time.

OUT/summary.csv, OUT/summary.parquet      one row per record
OUT/<name>/summary.json                   the record
OUT/<name>/beats.parquet, alarms.jsonl, strips/
OUT/<name>/signal.review                  decisions of a reviewer; the only file that outlives a new scoring
OUT/.score/<name>.lock                    locked while the record is scored; the system unlocks it after a kill
OUT/.score/<name>.part/                   draft; the next run deletes the draft of a killed one
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from monitor.archive.summary import FORMAT, Summary
from monitor.atomic_file import move, sync
from monitor.errors import ConfigError
from monitor.file_lock import FileLock
from monitor.recording.review_file import ANNOTATOR

__all__ = ["ALARMS", "BEATS", "SIGNAL", "STRIPS", "SUMMARY", "Results"]

SUMMARY: Final = "summary.json"
BEATS: Final = "beats.parquet"
ALARMS: Final = "alarms.jsonl"
STRIPS: Final = "strips"
SIGNAL: Final = "signal"  # name of the record in WFDB files, as in a recording
_WORK: Final = ".score"


class Results:
    """Results in one folder, created if missing; ConfigError where it cannot be created or written."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._work = out / _WORK
        try:
            self._work.mkdir(parents=True, exist_ok=True)
            if not os.access(self._work, os.W_OK | os.X_OK):
                raise PermissionError(0, "Permission denied")
        except OSError as error:
            raise ConfigError(f"--out {out}: {error.strerror}; name a folder that can be written") from None

    def get(self, name: str) -> Summary | None:
        """The summary of a record; None where there is none that this version can read."""
        try:
            summary = msgspec.json.decode((self.out / name / SUMMARY).read_bytes(), type=Summary)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        return summary if summary.format == FORMAT else None

    def names(self) -> list[str]:
        """Names of all records with a result."""
        return sorted(path.parent.name for path in self.out.glob(f"*/{SUMMARY}"))

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[bool]:
        """Lock a record in this context; False where another process has it."""
        try:
            lock = FileLock(self._work / f"{name}.lock")
        except BlockingIOError:
            yield False
            return
        with lock:
            yield True

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """An empty folder for a record, with its lock held; at the end it replaces the result, and is on the disk.

        After an error the earlier result is untouched.

        Raises:
            OSError: from the system, e.g. the disk is full.
        """
        part, old = self._work / f"{name}.part", self._work / f"{name}.old"
        for left in (part, old):  # of a killed run
            if left.exists():
                shutil.rmtree(left)
        part.mkdir()
        try:
            yield part
            place = self.out / name
            review = f"{SIGNAL}.{ANNOTATOR}"
            if (place / review).exists():  # the work of a person
                shutil.copy2(place / review, part / review)
            for folder, _, files in os.walk(part, topdown=False):
                for file in files:
                    sync(Path(folder, file))
                sync(Path(folder))
            if place.exists():
                move(place, old)  # after a kill here the record has no result and is scored again
            move(part, place)
            sync(self.out)
            shutil.rmtree(old, ignore_errors=True)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
