"""Alarms of the past: each with all its states, when, how long, who, out of the journal's messages. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from monitor.journal import Run, Session
from monitor.messages import Alarm, AlarmMessage

__all__ = ["OUTCOMES", "Outcome", "PastAlarm", "past_alarms"]

# Of a run that goes on: as published. Of one that is over: `cleared`, or how the monitor left it.
Outcome = Literal["onset", "latched", "acknowledged", "cleared", "monitor ended", "monitor died"]
OUTCOMES: Final = get_args(Outcome)


@dataclass(frozen=True, slots=True)
class PastAlarm:
    """One alarm of one run.

    Attributes:
        epoch: of the run.
        messages: every state, oldest first; at least one.
        outcome: where it stands now.
        fs_hz: of its bed then, Hz; None where it is not known.
    """

    epoch: str
    messages: tuple[AlarmMessage, ...]
    outcome: Outcome
    fs_hz: float | None

    @property
    def last(self) -> Alarm:
        """Its last state."""
        return self.messages[-1].alarm

    @property
    def onset_time(self) -> datetime.datetime:
        """When its cause began, on the stream's clock; when it was raised, where the sampling rate is not known."""
        first = self.messages[0]
        late = (first.alarm.decided_sample - first.alarm.onset_sample) / self.fs_hz if self.fs_hz else 0.0
        return moment(first.time) - datetime.timedelta(seconds=late)

    @property
    def lasted_s(self) -> float | None:
        """How long its cause held, s; None while it does, and where the monitor did not see the end."""
        last, before = self.messages[-1], self.messages[-2] if len(self.messages) > 1 else None
        if last.alarm.state not in ("latched", "cleared"):
            return None
        # Who is cleared by an acknowledgement after it had latched: its cause was gone before.
        end = before if before is not None and before.alarm.state == "latched" else last
        if self.fs_hz:
            return (end.alarm.decided_sample - end.alarm.onset_sample) / self.fs_hz
        return (moment(end.time) - moment(self.messages[0].time)).total_seconds()

    @property
    def who(self) -> str:
        """Who acknowledged it; empty if nobody did."""
        return self.last.acknowledged_by


def past_alarms(messages: Iterable[AlarmMessage], runs: Iterable[Run], sessions: Iterable[Session]) -> list[PastAlarm]:
    """Put messages together by alarm, in the order of the first.

    Args:
        messages: of alarms, each alarm's own oldest first.
        runs: that they belong to.
        sessions: what these watched.
    """
    ended: Mapping[str, str] = {run.epoch: run.ended for run in runs}
    rates = {(session.epoch, session.bed): session.fs_hz for session in sessions}
    states: dict[tuple[str, str], list[AlarmMessage]] = {}
    for message in messages:
        states.setdefault((message.epoch, message.alarm.alarm_id), []).append(message)
    order = {epoch: n for n, epoch in enumerate(ended)}
    found = []
    for (epoch, _), own in states.items():
        last = own[-1].alarm
        outcome = _outcome(last, ended.get(epoch, "unknown"))
        found.append(PastAlarm(epoch, tuple(own), outcome, rates.get((epoch, last.bed))))
    return sorted(found, key=lambda alarm: (order.get(alarm.epoch, -1), alarm.onset_time))


def moment(text: str) -> datetime.datetime:
    """A message's time; one without a zone (of a record that knows none) counts as UTC."""
    read = datetime.datetime.fromisoformat(text)
    return read if read.tzinfo is not None else read.replace(tzinfo=datetime.UTC)


def _outcome(alarm: Alarm, ended: str) -> Outcome:
    if alarm.state == "cleared" or ended == "running":
        return alarm.state
    return "monitor died" if ended == "died" else "monitor ended"
