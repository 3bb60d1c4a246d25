"""The decisions of a reviewer as WFDB annotations beside the signal: `RECORD.review`.

A beat has the symbol of its verdict, an alarm a comment (`"`). The note is `TIME NAME`, of an alarm
`TIME NAME; alarm KIND VERDICT`: `wfdb.rdann(RECORD, "review")` reads it. Names are UTF-8.
"""

from __future__ import annotations

import bisect
import functools
import os
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from monitor.atomic_file import replace_file
from monitor.errors import ConfigError, RecorderError
from monitor.file_lock import FileLock
from monitor.recording.wfdb_writer import ANNOTATION_CODES, AUX, SKIP, annotation_bytes
from monitor.reports.decisions import ALARM_VERDICTS, BEAT_VERDICTS, Decision, Mark

__all__ = ["ANNOTATOR", "ReviewFiles"]

ANNOTATOR: Final = "review"
_LOCK_FILE: Final = ".review.lock"
_COMMENT: Final = '"'
_SYMBOLS: Final = {code: symbol for symbol, code in ANNOTATION_CODES.items()}
_NUM, _SUB, _CHN = 60, 61, 62
_NAME_BYTES: Final = 100
_NOTE: Final = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT[\d:.]+Z)? ?(?P<who>[^;]*)(; alarm (?P<alarm>\w+) (?P<verdict>\w+))?", re.DOTALL
)
_END: Final = b"\x00\x00"


class ReviewFiles:
    """The annotation files of a record: one for each piece of its signal, in order.

    Args:
        pieces: path of each WFDB record, without suffix, and its first sample.

    Raises:
        ConfigError: a file that cannot be read, or was not written by a review (from `read`); another program has
            them (from `with`).
    """

    def __init__(self, pieces: Sequence[tuple[Path, int]]) -> None:
        self._firsts = [first for _, first in pieces]
        self.paths = [path.with_name(f"{path.name}.{ANNOTATOR}") for path, _ in pieces]
        self._on_disk: list[bytes | None] = [None for _ in pieces]
        self._lock: FileLock | None = None

    def __enter__(self) -> ReviewFiles:
        """Lock the files for this process, until the end of the block or of the process; not if they are only read."""
        folder = self.paths[0].parent
        try:
            self._lock = None if self.obstacle else FileLock(folder / _LOCK_FILE)
        except BlockingIOError:
            raise ConfigError(f"{folder}: another program reviews it; end that one, or use its page") from None
        except OSError as error:
            raise ConfigError(f"{folder}: {error.strerror}") from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.release()

    def read(self) -> dict[Mark, Decision]:
        """All decisions; empty where there is no file."""
        found: dict[Mark, Decision] = {}
        for number, (path, first) in enumerate(zip(self.paths, self._firsts, strict=True)):
            self._on_disk[number] = content = _content(path)
            if content is not None:
                found |= {mark._replace(sample=mark.sample + first): each for mark, each in _decoded(path, content)}
        return found

    def write(self, decisions: Mapping[Mark, Decision]) -> None:
        """Replace the files whose decisions have changed since `read`; a kill leaves each as it was or as it will be.

        Raises:
            OSError: from the system; the file is as it was.
            RecorderError: another program has changed a file.
        """
        parts: list[list[tuple[int, Mark, Decision]]] = [[] for _ in self.paths]
        for mark, decision in decisions.items():
            number = max(0, bisect.bisect_right(self._firsts, mark.sample) - 1)
            parts[number].append((max(0, mark.sample - self._firsts[number]), mark, decision))
        for number, (path, part) in enumerate(zip(self.paths, parts, strict=True)):
            content = _encoded(sorted(part))
            before = self._on_disk[number]
            if content == (_END if before is None else before):
                continue
            if _content(path) != before:
                raise RecorderError(f"{path}: another program has changed it; start the review again")
            replace_file(path, content, durable=True)
            self._on_disk[number] = content

    @property
    def obstacle(self) -> str:
        """Why nothing can be written here, as one line; empty = it can."""
        folder = self.paths[0].parent
        return "" if os.access(folder, os.W_OK | os.X_OK) else f"{folder}: cannot be written"


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None


def _encoded(rows: Sequence[tuple[int, Mark, Decision]]) -> bytes:
    data, last = [], 0
    for sample, mark, (verdict, who, time) in rows:
        note = f"{time} {_name(who)}".rstrip() + (f"; alarm {mark.alarm} {verdict}" if mark.alarm else "")
        data.append(annotation_bytes(sample - last, _COMMENT if mark.alarm else verdict, note.encode()))
        last = sample
    return b"".join(data) + _END


@functools.lru_cache
def _name(who: str) -> str:
    return re.sub(r"[;\x00-\x1f]", ",", who).encode("utf-8", "replace")[:_NAME_BYTES].decode("utf-8", "ignore")


def _decoded(path: Path, content: bytes) -> list[tuple[Mark, Decision]]:
    found: list[tuple[Mark, Decision]] = []
    try:
        for sample, symbol, note in _annotations(content):
            read = _NOTE.fullmatch(note.decode())
            if read is None or (symbol == _COMMENT) != bool(read["alarm"]):
                raise ValueError(f"annotation at sample {sample}")
            verdict = read["verdict"] if read["alarm"] else symbol
            if verdict not in (ALARM_VERDICTS if read["alarm"] else BEAT_VERDICTS):
                raise ValueError(f"verdict {verdict} at sample {sample}")
            found.append((Mark(sample, read["alarm"] or ""), Decision(verdict, read["who"], read["time"] or "")))
    except (ValueError, struct.error, KeyError, IndexError) as error:
        why = str(error) if type(error) is ValueError else "not an annotation file"
        raise ConfigError(f"{path}: not written by a review ({why}); move it away") from None
    return found


def _annotations(content: bytes) -> list[tuple[int, str, bytes]]:
    """Sample, symbol and note of each annotation."""
    found: list[tuple[int, str, bytes]] = []
    at = sample = 0
    while True:
        (word,) = struct.unpack_from("<H", content, at)
        at += 2
        code, low = word >> 10, word & 0x3FF
        if word == 0:
            return found
        if code == SKIP:
            high, rest = struct.unpack_from("<HH", content, at)
            sample += high << 16 | rest
            at += 4
        elif code == AUX:
            sample_before, symbol, _ = found[-1]
            found[-1] = (sample_before, symbol, content[at : at + low])
            at += low + low % 2
        elif code not in (_NUM, _SUB, _CHN):
            sample += low
            found.append((sample, _SYMBOLS[code], b""))
