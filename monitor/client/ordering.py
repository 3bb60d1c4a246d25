"""One topic in order: every message once, nothing skipped, whatever the wire dropped, doubled or cut off.

Pure: messages go in, messages come out. The client does the asking where `hole` says that something is missing.
What has come is never thrown away: where the journal has lost a message that is held here, it goes out in its place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from monitor.messages import Message

__all__ = ["HELD_MAX", "PAST_EPOCHS", "Item", "TopicOrder"]

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
        missed: messages known to have been published that were skipped: given up, or gone from the journal.
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
        self._runs: deque[str] = deque(maxlen=PAST_EPOCHS)  # heard of after ours, oldest first
        self._more = False  # the journal has not told all yet

    @property
    def hole(self) -> bool:
        """Whether something is missing: ask for what follows (`epoch`, `seq`)."""
        return self._more or bool(self._held) or self._newest > self.seq or bool(self._runs)

    def accept(self, body: Message, raw: bytes) -> list[Item]:
        """Take a message off the wire; gives what may go out now: it, more, or nothing yet."""
        if self._known(body):
            return []
        if body.epoch == self.epoch and body.seq == self.seq + 1 and not self._runs:
            return [self._advance(body, raw), *self._drain()]
        self.expect(body.epoch, body.seq)
        if len(self._held) < HELD_MAX:
            self._held.setdefault((body.epoch, body.seq), (body, raw))
        return []

    def expect(self, epoch: str, seq: int) -> None:
        """Learn that the run `epoch` of the monitor has published up to `seq`."""
        if epoch == self.epoch:
            self._newest = max(self._newest, seq)
        elif epoch not in self._past and epoch not in self._runs:
            self._runs.append(epoch)

    def fill(self, items: Iterable[Item], epoch: str, seq: int, *, more: bool) -> list[Item]:
        """Take the journal's answer to what followed our position; gives what may go out now.

        Args:
            items: messages in order, of our run and later ones.
            epoch, seq: the position the answer reaches.
            more: the answer was cut short.
        """
        out: list[Item] = []
        for body, raw in items:
            if self._known(body):
                continue
            out += self._go(body.epoch, body.seq - 1)
            self.recovered += 1
            out.append(self._advance(body, raw))
        self._more = more
        if more:
            return out
        if epoch not in self._past:
            out += self._go(epoch, seq)  # what the journal has lost of it is skipped
        return out + self._drain()

    def give_up(self, epoch: str) -> list[Item]:
        """Go on without what is missing; gives what was held back.

        Args:
            epoch: the monitor's run now.
        """
        newest = self._newest if epoch == self.epoch else 0
        out = self._go(epoch, max([newest, *(seq for run, seq in self._held if run == epoch)]))
        self.missed += len(self._held)  # of runs later than `epoch`: nobody gives up before the newest
        self._held.clear()
        self._runs.clear()
        self._more = False
        return out

    def _known(self, body: Message) -> bool:
        """Whether it was given out before, or is of a run that is over."""
        known = body.epoch in self._past or (body.epoch == self.epoch and body.seq <= self.seq)
        self.duplicates += known
        return known

    def _drain(self) -> list[Item]:
        """What was held back and follows without a hole."""
        out: list[Item] = []
        while item := self._held.get((self.epoch, self.seq + 1)):
            out.append(self._advance(*item))
        return out

    def _go(self, epoch: str, seq: int) -> list[Item]:
        """Move to a position; what is held of what lies between goes out, the rest is counted as missed."""
        out: list[Item] = []
        if epoch != self.epoch:
            out += self._to(self._end())
            for run in self._between(epoch):  # the journal knows nothing of them: what is held is all there is
                self._enter(run)
                out += self._to(self._end())
            self._enter(epoch)
        return out + self._to(seq)

    def _between(self, epoch: str) -> list[str]:
        """Runs after ours and before `epoch`, as far as that can be told."""
        if self._runs and epoch == self._runs[-1]:  # the newest: so all others of which something is held
            held = dict.fromkeys(run for run, _ in self._held)
            return [run for run in dict.fromkeys((*held, *self._runs)) if run not in (self.epoch, epoch)]
        return list(self._runs)[: self._runs.index(epoch)] if epoch in self._runs else []

    def _end(self) -> int:
        """Last known `seq` of our run."""
        return max([self.seq, self._newest, *(seq for run, seq in self._held if run == self.epoch)])

    def _to(self, seq: int) -> list[Item]:
        """Move within our run."""
        held = sorted(key for key in self._held if key[0] == self.epoch and key[1] <= seq) if self._held else []
        out = [self._advance(*self._held[key]) for key in held]
        self._skip_to(seq)
        return out

    def _enter(self, epoch: str) -> None:
        """Our run is over."""
        self._past.append(self.epoch)
        self.epoch, self.seq, self._newest = epoch, 0, 0
        if epoch in self._runs:
            self._runs.remove(epoch)

    def _advance(self, body: Message, raw: bytes) -> Item:
        """Give out a message of our run."""
        self._held.pop((body.epoch, body.seq), None)
        self._skip_to(body.seq - 1)
        self.seq = body.seq
        return body, raw

    def _skip_to(self, seq: int) -> None:
        self.missed += max(0, seq - self.seq)
        self.seq = max(self.seq, seq)
