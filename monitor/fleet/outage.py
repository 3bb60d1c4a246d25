"""A bed whose shard does not answer is not watched, and everybody must see that: never a screen that stands still."""

from __future__ import annotations

import msgspec

from monitor.messages import Alarm, AlarmMessage, Evidence, StatusMessage

__all__ = ["Outages", "not_watched"]

_HEAD = "its shard does not answer"  # by which an alarm of ours is known again


class Outages:
    """Alarms `no_data` that the hub raises itself, for beds of which nothing is heard.

    Attributes:
        alarms: bed -> our alarm, as it was last told.
    """

    def __init__(self) -> None:
        self.alarms: dict[str, AlarmMessage] = {}

    def adopt(self, message: AlarmMessage) -> None:
        """An active alarm of a hub before us: ours, where one of ours it was."""
        if message.alarm.kind == "no_data" and message.alarm.text.startswith(_HEAD):
            self.alarms[message.alarm.bed] = message

    def begin(self, last: StatusMessage, silent_s: float) -> AlarmMessage | None:
        """Nothing is heard of a bed; None where that was told.

        Args:
            last: its last status.
            silent_s: for how long, s.
        """
        if last.bed in self.alarms:
            return None
        alarm = Alarm(
            alarm_id=f"{last.bed}/no_data/{last.sample}",
            bed=last.bed,
            kind="no_data",
            category="technical",
            priority="medium",
            state="onset",
            onset_sample=last.sample,
            decided_sample=last.sample,
            text=f"{_HEAD}: the bed has not been watched for {silent_s:.1f} s",
            evidence=Evidence(value=round(silent_s, 3), limit_unit="s"),
        )
        message = AlarmMessage(sample=last.sample, time=last.time, alarm=alarm, model=last.model)
        self.alarms[last.bed] = message
        return message

    def end(self, bed: str) -> AlarmMessage | None:
        """The bed is heard of again; None where nothing was told."""
        message = self.alarms.pop(bed, None)
        return None if message is None else _changed(message, state="cleared")

    def acknowledge(self, alarm_id: str, who: str) -> AlarmMessage | None:
        """Somebody has seen one of ours; None where it is none."""
        for bed, message in self.alarms.items():
            if message.alarm.alarm_id == alarm_id:
                if message.alarm.state == "acknowledged":
                    return message
                self.alarms[bed] = _changed(message, state="acknowledged", acknowledged_by=who)
                return self.alarms[bed]
        return None


def _changed(message: AlarmMessage, **changes: object) -> AlarmMessage:
    return msgspec.structs.replace(message, alarm=msgspec.structs.replace(message.alarm, **changes))


def not_watched(last: StatusMessage) -> StatusMessage:
    """A bed's last status, less all that is true no more."""
    return msgspec.structs.replace(last, state="no_data", scorable=False, heart_rate_bpm=None)
