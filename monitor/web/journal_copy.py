"""The alarm messages of a monitor's journal, copied by requests: what was read once is not requested again."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from monitor.client.past import Past, Runs
from monitor.messages import AlarmMessage, bed_topic, decode
from monitor.reports.alarm_list import alarm_row
from monitor.reports.episodes import PastAlarm, past_alarms

__all__ = ["MAX_MESSAGES", "Entry", "JournalCopy"]

MAX_MESSAGES: Final = 20_000  # alarm messages of one monitor in memory, a few kB each; the oldest are dropped


@dataclass(frozen=True, slots=True)
class Entry:
    """An alarm of a monitor.

    Attributes:
        monitor: number of the monitor.
        began_s: Unix time at which its run began, s; 0 = not known.
        alarm: the alarm.
    """

    monitor: int
    began_s: float
    alarm: PastAlarm

    @property
    def order(self) -> tuple[float, datetime.datetime]:
        """Sort key, oldest first: a replayed record has its own time, so the run comes first."""
        return self.began_s, self.alarm.onset_time

    @property
    def key(self) -> tuple[int, str, str]:
        """What names it among all alarms."""
        return self.monitor, self.alarm.epoch, self.alarm.last.alarm_id

    def row(self) -> dict[str, Any]:
        """For the list."""
        return {"monitor": self.monitor, **alarm_row(self.alarm), "category": self.alarm.last.category}


@dataclass(eq=False)
class JournalCopy:
    """What was read of one monitor's journal.

    Attributes:
        monitor, where: number and endpoint of the monitor.
        lock: held while it is read or used.
        positions: by topic, run and number of the last message.
        messages: by run and alarm id, oldest first.
        count: number of those.
        complete: no message was dropped here.
    """

    monitor: int
    where: str
    runs: Runs = field(default_factory=Runs)
    lock: threading.Lock = field(default_factory=threading.Lock)
    positions: dict[str, tuple[str, int]] = field(default_factory=dict)
    messages: dict[tuple[str, str], list[AlarmMessage]] = field(default_factory=dict)
    count: int = 0
    complete: bool = True

    def read(self, past: Past) -> None:
        """Read what is new.

        Raises:
            ClientError: no reply in time; what came before is kept.
        """
        self.runs = past.runs()
        if self.runs.runs:
            known = {run.epoch for run in self.runs.runs}
            for gone in [
                key for key in self.messages if key[0] not in known
            ]:  # another journal, or rows too old for it
                self.count -= len(self.messages.pop(gone))
        first = self.runs.runs[0].epoch if self.runs.runs else ""
        for bed in dict.fromkeys((*(row.bed for row in self.runs.sessions), *past.beds(self.where))):
            topic = bed_topic(bed, "alarm")
            for bodies, epoch, seq in past.pages(topic, *self.positions.get(topic, (first, 0))):
                self._add(map(decode, bodies))
                self.positions[topic] = epoch, seq

    def entries(self) -> list[Entry]:
        """All alarms, by run and onset."""
        ended = {run.epoch: run.ended for run in self.runs.runs} or {epoch: "running" for epoch, _ in self.messages}
        rates_hz = {(row.epoch, row.bed): row.fs_hz for row in self.runs.sessions}
        alarms = past_alarms((body for own in self.messages.values() for body in own), ended, rates_hz)
        began_s = {run.epoch: run.started_s for run in self.runs.runs}
        return [Entry(self.monitor, began_s.get(alarm.epoch, 0.0), alarm) for alarm in alarms]

    def _add(self, bodies: Iterable[object]) -> None:
        for body in bodies:
            if isinstance(body, AlarmMessage):
                own = self.messages.setdefault((body.epoch, body.alarm.alarm_id), [])
                if not own or own[-1].seq < body.seq:
                    own.append(body)
                    self.count += 1
        if self.count <= MAX_MESSAGES:
            return
        self.complete = False
        began_s = {run.epoch: run.started_s for run in self.runs.runs}
        oldest = sorted(self.messages, key=lambda key: (began_s.get(key[0], 0.0), self.messages[key][-1].time))
        for key in oldest:
            if self.count <= MAX_MESSAGES * 9 // 10:
                break
            self.count -= len(self.messages.pop(key))
