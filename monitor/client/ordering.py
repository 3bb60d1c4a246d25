"""The order of one topic: each message once and in order, although the wire drops and repeats messages.

Pure: messages go in, messages come out. The caller requests missing messages from the journal while `hole` is true.
A received message is never discarded: if the journal has lost a message that is held here, it goes out in its place.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

from monitor.messages import Message

__all__ = ["HELD_MAX", "PAST_EPOCHS", "Item", "Received", "TopicOrder"]

HELD_MAX = 10_000  # messages held back after a hole; further ones are requested again
PAST_EPOCHS = 16  # ended runs that are remembered, so that their late messages are recognised

Item = tuple[Message, bytes]
"""A message and its bytes as published."""
Received = tuple[str, Message, bytes]
"""Topic, message, and its bytes as published (of a wave: its samples, see `monitor.client.client.wave_samples`)."""


class TopicOrder:
    """Order of one topic.

    Args:
        epoch, seq: the last message before the first one to give out; later the last message given out.
        counters: recovered (messages from the journal, by `fill`), missed (published messages that were skipped:
            given up, or no longer in the journal).
    """

    def __init__(self, epoch: str, seq: int, counters: Counter[str]) -> None:
        self.epoch = epoch
        self.seq = seq
        self.counters = counters
        self._held: dict[tuple[str, int], Item] = {}
        self._past: deque[str] = deque(maxlen=PAST_EPOCHS)
        self._newest = seq  # known to exist in `epoch`
        self._runs: deque[str] = deque(maxlen=PAST_EPOCHS)  # later than `epoch`, oldest first
        self._more = False  # the last answer of the journal was cut short

    @property
    def hole(self) -> bool:
        """Whether messages are missing after (`epoch`, `seq`): request them from the journal."""
        return self._more or bool(self._held) or self._newest > self.seq or bool(self._runs)

    def accept(self, body: Message, raw: bytes) -> list[Item]:
        """Take a message from the wire; returns the messages that can be given out now."""
        if self._known(body):
            return []
        if body.epoch == self.epoch and body.seq == self.seq + 1 and not self._runs:
            return [self._advance(body, raw), *self._drain()]
        self.expect(body.epoch, body.seq)
        if len(self._held) < HELD_MAX:
            self._held.setdefault((body.epoch, body.seq), (body, raw))
        return []

    def expect(self, epoch: str, seq: int) -> None:
        """Note that the run `epoch` of the monitor has published up to `seq`."""
        if epoch == self.epoch:
            self._newest = max(self._newest, seq)
        elif epoch not in self._past and epoch not in self._runs:
            self._runs.append(epoch)

    def fill(self, items: Iterable[Item], epoch: str, seq: int, *, more: bool) -> list[Item]:
        """Take the answer of the journal: what it has after `self.epoch`, `self.seq`, in order, also of later runs.

        The answer reaches `epoch`, `seq`; `more` if it was cut short. Returns the messages that can be given out now.
        """
        out: list[Item] = []
        for body, raw in items:
            if self._known(body):
                continue
            out += self._move_to(body.epoch, body.seq - 1)
            self.counters["recovered"] += 1
            out.append(self._advance(body, raw))
        self._more = more
        if more:
            return out
        if epoch not in self._past:
            out += self._move_to(epoch, seq)  # what the journal has lost is skipped
        return out + self._drain()

    def give_up(self, epoch: str) -> list[Item]:
        """Skip the missing messages; returns those that were held back. `epoch`: the present run of the monitor."""
        newest = self._newest if epoch == self.epoch else 0
        out = self._move_to(epoch, max([newest, *(seq for run, seq in self._held if run == epoch)]))
        # Of runs later than `epoch`; none in practice, since `epoch` is the newest.
        self.counters["missed"] += len(self._held)
        self._held.clear()
        self._runs.clear()
        self._more = False
        return out

    def _known(self, body: Message) -> bool:
        """Whether a message was given out before, or its run is over."""
        return body.epoch in self._past or (body.epoch == self.epoch and body.seq <= self.seq)

    def _drain(self) -> list[Item]:
        """Give out the held messages that follow without a hole."""
        out: list[Item] = []
        while item := self._held.get((self.epoch, self.seq + 1)):
            out.append(self._advance(*item))
        return out

    def _move_to(self, epoch: str, seq: int) -> list[Item]:
        """Move to a position; held messages up to there go out, the others count as missed."""
        out: list[Item] = []
        if epoch != self.epoch:
            out += self._move_within_run(self._end())
            for run in self._between(epoch):  # not in the journal: only held messages of them exist
                self._enter(run)
                out += self._move_within_run(self._end())
            self._enter(epoch)
        return out + self._move_within_run(seq)

    def _between(self, epoch: str) -> list[str]:
        """Return the known runs after the present one and before `epoch`."""
        if self._runs and epoch == self._runs[-1]:  # the newest run, so all other held ones are before it
            held = dict.fromkeys(run for run, _ in self._held)
            return [run for run in dict.fromkeys((*held, *self._runs)) if run not in (self.epoch, epoch)]
        return list(self._runs)[: self._runs.index(epoch)] if epoch in self._runs else []

    def _end(self) -> int:
        """Return the last known `seq` of the present run."""
        return max([self.seq, self._newest, *(seq for run, seq in self._held if run == self.epoch)])

    def _move_within_run(self, seq: int) -> list[Item]:
        """Move within the present run."""
        held = sorted(key for key in self._held if key[0] == self.epoch and key[1] <= seq) if self._held else []
        out = [self._advance(*self._held[key]) for key in held]
        self._skip_to(seq)
        return out

    def _enter(self, epoch: str) -> None:
        """Change to the run `epoch`."""
        self._past.append(self.epoch)
        self.epoch, self.seq, self._newest = epoch, 0, 0
        if epoch in self._runs:
            self._runs.remove(epoch)

    def _advance(self, body: Message, raw: bytes) -> Item:
        """Give out a message of the present run."""
        self._held.pop((body.epoch, body.seq), None)
        self._skip_to(body.seq - 1)
        self.seq = body.seq
        return body, raw

    def _skip_to(self, seq: int) -> None:
        self.counters["missed"] += max(0, seq - self.seq)
        self.seq = max(self.seq, seq)
