"""Past alarms: the messages of one alarm put together, with onset time, duration and outcome. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from monitor.messages import Alarm, AlarmMessage

__all__ = ["Outcome", "PastAlarm", "moment", "past_alarms"]

# While the run lasts: the last published state. After its end: `cleared`, or how the monitor ended.
Outcome = Literal["onset", "latched", "acknowledged", "cleared", "monitor ended", "monitor died"]


@dataclass(frozen=True, slots=True)
class PastAlarm:
    """One alarm of one run.

    Attributes:
        epoch: id of the run.
        messages: all states, oldest first; at least one.
        outcome: the last state, or how the run ended before the alarm cleared.
        fs_hz: sampling rate of the bed, Hz; None if unknown.
    """

    epoch: str
    messages: tuple[AlarmMessage, ...]
    outcome: Outcome
    fs_hz: float | None

    @property
    def last(self) -> Alarm:
        """The last state."""
        return self.messages[-1].alarm

    @property
    def onset_time(self) -> datetime.datetime:
        """When the cause began, on the stream's clock; without a sampling rate, when the alarm was raised."""
        first = self.messages[0]
        delay_s = (first.alarm.decided_sample - first.alarm.onset_sample) / self.fs_hz if self.fs_hz else 0.0
        return moment(first.time) - datetime.timedelta(seconds=delay_s)

    @property
    def lasted_s(self) -> float | None:
        """Duration of the cause, s; None while it lasts, and if the run ended first."""
        last, before = self.messages[-1], self.messages[-2] if len(self.messages) > 1 else None
        if last.alarm.state not in ("latched", "cleared"):
            return None
        # An alarm cleared by an acknowledgement after it latched: its cause ended when it latched.
        end = before if before is not None and before.alarm.state == "latched" else last
        if self.fs_hz:
            return (end.alarm.decided_sample - end.alarm.onset_sample) / self.fs_hz
        return (moment(end.time) - moment(self.messages[0].time)).total_seconds()


def past_alarms(
    messages: Iterable[AlarmMessage], ended: Mapping[str, str], rates_hz: Mapping[tuple[str, str], float]
) -> list[PastAlarm]:
    """Group messages by alarm, sorted by run and onset.

    Args:
        messages: alarm messages; those of one alarm oldest first.
        ended: by epoch, oldest run first: how the run ended, `running` while it lasts.
        rates_hz: by epoch and bed: sampling rate, Hz.
    """
    states: dict[tuple[str, str], list[AlarmMessage]] = {}
    for message in messages:
        states.setdefault((message.epoch, message.alarm.alarm_id), []).append(message)
    order = {epoch: n for n, epoch in enumerate(ended)}
    found = []
    for (epoch, _), own in states.items():
        last = own[-1].alarm
        outcome = _outcome(last, ended.get(epoch, "unknown"))
        found.append(PastAlarm(epoch, tuple(own), outcome, rates_hz.get((epoch, last.bed))))
    return sorted(found, key=lambda alarm: (order.get(alarm.epoch, -1), alarm.onset_time))


def moment(text: str) -> datetime.datetime:
    """Time of a message; a time without an offset counts as UTC.

    Raises:
        ValueError: not ISO 8601.
    """
    read = datetime.datetime.fromisoformat(text)
    return read if read.tzinfo is not None else read.replace(tzinfo=datetime.UTC)


def _outcome(alarm: Alarm, ended: str) -> Outcome:
    if alarm.state == "cleared" or ended == "running":
        return alarm.state
    return "monitor died" if ended == "died" else "monitor ended"
