"""One topic in order: every message once, nothing skipped, whatever the wire dropped, doubled or cut off.

Pure: messages go in, messages come out. The client does the asking where `hole` says that something is missing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from monitor.messages import Message

__all__ = ["HELD_MAX", "Item", "TopicOrder"]

HELD_MAX = 10_000  # messages held back behind a hole; what is more is asked for again
PAST_EPOCHS = 16  # runs whose belated messages are known to be old

Item = tuple[Message, bytes]
"""A message and its bytes as published."""


class TopicOrder:
    """Order of one topic.

    Args:
        epoch, seq: position to begin at: the last message that is done with.

    Attributes:
        epoch, seq: the last message given out.
        duplicates: messages that came again.
        recovered: messages that `fill` brought.
        missed: messages that were skipped: given up, or gone from the journal.
    """

    def __init__(self, epoch: str, seq: int = 0) -> None:
        self.epoch = epoch
        self.seq = seq
        self.duplicates = 0
        self.recovered = 0
        self.missed = 0
        self._held: dict[tuple[str, int], Item] = {}
        self._past: deque[str] = deque(maxlen=PAST_EPOCHS)
        self._newest = seq  # known to exist in `epoch`
        self._moved = False  # the monitor is in a later run than we are

    @property
    def hole(self) -> bool:
        """Whether something is missing: ask for what follows (`epoch`, `seq`)."""
        return bool(self._held) or self._newest > self.seq or self._moved

    def accept(self, body: Message, raw: bytes) -> list[Item]:
        """Take a message off the wire; gives what may go out now: it, more, or nothing yet."""
        if body.epoch in self._past or (body.epoch == self.epoch and body.seq <= self.seq):
            self.duplicates += 1
            return []
        if body.epoch == self.epoch and body.seq == self.seq + 1 and not self._moved:
            return [self._advance(body, raw), *self._drain()]
        if len(self._held) < HELD_MAX:
            self._held.setdefault((body.epoch, body.seq), (body, raw))
        else:
            self._newest = max(self._newest, body.seq) if body.epoch == self.epoch else self._newest
        return []

    def expect(self, epoch: str, seq: int) -> None:
        """Learn from a heartbeat that the monitor's run `epoch` has published up to `seq`."""
        if epoch == self.epoch:
            self._newest = max(self._newest, seq)
        elif epoch not in self._past:
            self._moved = True

    def fill(self, items: Iterable[Item], epoch: str, seq: int, *, more: bool) -> list[Item]:
        """Take the journal's answer to what followed our position; gives what may go out now.

        Args:
            items: messages in order, of our run and later ones.
            epoch, seq: the position the answer reaches.
            more: the answer was cut short.
        """
        out: list[Item] = []
        for body, raw in items:
            if body.epoch in self._past or (body.epoch == self.epoch and body.seq <= self.seq):
                self.duplicates += 1
                continue
            self._held.pop((body.epoch, body.seq), None)
            self.recovered += 1
            out.append(self._advance(body, raw))
        if more:
            return out
        self._moved = False
        if epoch != self.epoch or seq > self.seq:  # the journal has lost what lies between
            self._skip_to(epoch, seq)
        # What is held of another run is either older than the journal's, or newer: then the next answer has it.
        others = {key for key in self._held if key[0] != self.epoch}
        self._moved = any(key[0] not in self._past for key in others)
        for key in others:
            del self._held[key]
        for key in [key for key in self._held if key[1] <= self.seq]:
            self.duplicates += 1
            del self._held[key]
        return out + self._drain()

    def give_up(self, epoch: str) -> list[Item]:
        """Go on without what is missing; gives what was held back.

        Args:
            epoch: the monitor's run now.
        """
        held = sorted(self._held.items(), key=lambda item: (item[0][0] != self.epoch, item[0][0] == epoch, item[0][1]))
        self._held.clear()
        self._moved = False
        out = [self._advance(body, raw) for _, (body, raw) in held]
        if self.epoch != epoch:
            self._skip_to(epoch, 0)
        elif self._newest > self.seq:
            self._skip_to(epoch, self._newest)
        return out

    def _drain(self) -> list[Item]:
        """What was held back and follows without a hole."""
        out: list[Item] = []
        while item := self._held.pop((self.epoch, self.seq + 1), None):
            out.append(self._advance(*item))
        return out

    def _advance(self, body: Message, raw: bytes) -> Item:
        self._skip_to(body.epoch, body.seq - 1)
        self.seq = body.seq
        return body, raw

    def _skip_to(self, epoch: str, seq: int) -> None:
        """Move the position, counting what lies between as missed."""
        if epoch != self.epoch:
            self._past.append(self.epoch)
            self.epoch = epoch
            self.seq = 0
            self._newest = 0
        self.missed += max(0, seq - self.seq)
        self.seq = max(self.seq, seq)
