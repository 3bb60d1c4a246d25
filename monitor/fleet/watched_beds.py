"""Beds whose shard does not answer: their status becomes `no_data`, and the hub raises an alarm. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from monitor.alarms.rhythm_word import NOT_WATCHED
from monitor.messages import Alarm, AlarmMessage, Evidence, StatusMessage, bed_topic

__all__ = ["WatchedBeds", "not_watched"]

_TEXT = "its shard does not answer"  # begins the text of the hub's alarms; after a restart they are known by it


class WatchedBeds:
    """The last status of each bed, and the hub's own `no_data` alarms."""

    def __init__(self) -> None:
        self._last: dict[str, StatusMessage] = {}
        self._alarms: dict[str, AlarmMessage] = {}  # bed -> the hub's alarm as last published

    def adopt(self, message: AlarmMessage) -> None:
        """Take over an active alarm of an earlier hub, if a hub raised it."""
        if message.alarm.kind == "no_data" and message.alarm.text.startswith(_TEXT):
            self._alarms[message.alarm.bed] = message

    def update(self, status: StatusMessage) -> bool:
        """Keep a new status; whether it is the first of its bed."""
        first = status.bed not in self._last
        self._last[status.bed] = status
        return first

    def silent(self, bed: str, silent_s: float) -> Iterator[tuple[str, StatusMessage | AlarmMessage]]:
        """Topics and messages to publish for a bed whose shard has been silent for `silent_s`; each once."""
        last = self._last.get(bed)
        if last is None or last.state == "ended":
            return
        if last.state != "no_data":
            self._last[bed] = last = not_watched(last)
            yield bed_topic(bed, "status"), last
        if bed not in self._alarms:
            self._alarms[bed] = _no_data(last, silent_s)
            yield bed_topic(bed, "alarm"), self._alarms[bed]

    def clear(self, bed: str) -> AlarmMessage | None:
        """End the hub's alarm of a bed; None where there is none."""
        message = self._alarms.pop(bed, None)
        return None if message is None else _changed(message, state="cleared")

    def acknowledge(self, alarm_id: str, who: str) -> AlarmMessage | None:
        """Acknowledge an alarm of the hub; None where it is not one."""
        for bed, message in self._alarms.items():
            if message.alarm.alarm_id == alarm_id:
                if message.alarm.state == "acknowledged":
                    return message
                self._alarms[bed] = _changed(message, state="acknowledged", acknowledged_by=who)
                return self._alarms[bed]
        return None


def not_watched(last: StatusMessage) -> StatusMessage:
    """The last status of a bed without the values that are no longer known."""
    return msgspec.structs.replace(last, state="no_data", scorable=False, heart_rate_bpm=None, rhythm=NOT_WATCHED)


def _no_data(last: StatusMessage, silent_s: float) -> AlarmMessage:
    alarm = Alarm(
        alarm_id=f"{last.bed}/no_data/{last.sample}",
        bed=last.bed,
        kind="no_data",
        category="technical",
        priority="medium",
        state="onset",
        onset_sample=last.sample,
        decided_sample=last.sample,
        text=f"{_TEXT}: the bed has not been watched for {silent_s:.1f} s",
        evidence=Evidence(value=round(silent_s, 3), limit_unit="s"),
    )
    return AlarmMessage(sample=last.sample, time=last.time, alarm=alarm, model=last.model)


def _changed(message: AlarmMessage, **changes: object) -> AlarmMessage:
    return msgspec.structs.replace(message, alarm=msgspec.structs.replace(message.alarm, **changes))
