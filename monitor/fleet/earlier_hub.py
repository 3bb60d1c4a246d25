"""What an earlier hub of the same fleet published before it was killed, read from its journal."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Iterable
from pathlib import Path

import msgspec

from monitor.journal import JournalReader
from monitor.messages import AlarmMessage, Message, decode, encode

__all__ = ["EarlierHub"]

_NEWEST_ROWS = 50_000  # of the journal: more than is published between two saved positions


class EarlierHub:
    """Messages that an earlier hub published, with their topics, and the alarms that were active at its end."""

    def __init__(self, messages: Iterable[tuple[str, Message]] = (), active: Iterable[AlarmMessage] = ()) -> None:
        self.active = tuple(active)
        self._digests = {_digest(topic, body) for topic, body in messages}

    @classmethod
    def read(cls, path: Path, since_s: float, beds: Collection[str]) -> EarlierHub:
        """Read the journal of a hub. Runs before the start of the fleet, `since_s` (Unix time), are not its own.

        Raises:
            JournalError: the journal cannot be read.
        """
        with contextlib.closing(JournalReader(path)) as reader:
            epochs = {run.epoch for run in reader.runs() if run.started_s >= since_s}
            if not epochs:
                return cls()
            newest = []
            for topic, raw in reader.newest_messages(_NEWEST_ROWS):
                with contextlib.suppress(ValueError):
                    if (body := decode(raw)).epoch in epochs:
                        newest.append((topic, body))
            bodies = (decode(raw) for bed in beds for raw in reader.alarm_changes(bed, 1 << 62))
            return cls(newest, [b for b in bodies if isinstance(b, AlarmMessage) and b.epoch in epochs])

    def published(self, topic: str, body: Message) -> bool:
        """Whether it published this message."""
        return bool(self._digests) and _digest(topic, body) in self._digests

    def forget(self) -> None:
        """Drop the messages: from now on none is repeated."""
        self._digests.clear()


def _digest(topic: str, body: Message) -> bytes:
    """Hash of a message without its run and number."""
    bare = encode(msgspec.structs.replace(body, epoch="", seq=0))
    return hashlib.blake2b(topic.encode() + b"\0" + bare, digest_size=16).digest()
