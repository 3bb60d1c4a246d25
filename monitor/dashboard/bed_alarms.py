"""Alarms of one bed as a subscriber knows them, of bounded size, and the order in which to attend to them. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from monitor.messages import PRIORITY_RANK, Alarm, Priority

__all__ = ["CALM", "NEW_HIGH", "UNSEEN", "BedAlarms", "urgency"]

CLEARED = 16
MAX_ACTIVE = 64
NEW_HIGH = 0  # urgency of a high alarm that is not acknowledged
UNSEEN = 4  # urgency of a bed without data: leads off, source silent, connection lost
CALM = 7  # urgency of a bed without an alarm


def urgency(alarm: Alarm) -> int:
    """Rank of an alarm in the order of attention, 0 = first.

    New alarms come before acknowledged ones, physiological before technical ones. Low alarms come last: single
    unusual beats come and go and must not move beds around.
    """
    acknowledged = alarm.state == "acknowledged"
    if alarm.priority == "high":
        return 2 if acknowledged else NEW_HIGH
    if alarm.priority == "low":
        return 6 if acknowledged else 5
    if alarm.category == "technical":
        return UNSEEN
    return 3 if acknowledged else 1


@dataclass
class BedAlarms:
    """Alarms of one bed.

    Attributes:
        active: alarms not cleared, by id; at most 64, the least urgent is dropped.
        cleared: the last 16 cleared alarms, newest last.
        raised: alarms seen since the start of this run, by priority.
        most_urgent: the active alarm to attend to first, see `urgency`; of equals a physiological one, then the
            newest; None if there is none.
    """

    active: dict[str, Alarm] = field(default_factory=dict)
    cleared: deque[Alarm] = field(default_factory=lambda: deque(maxlen=CLEARED))
    raised: dict[Priority, int] = field(default_factory=lambda: {"high": 0, "medium": 0, "low": 0})
    most_urgent: Alarm | None = None

    def add(self, alarm: Alarm) -> None:
        """Add a change of an alarm."""
        known = self.active.pop(alarm.alarm_id, None)
        if alarm.state == "cleared":
            if known is not None:
                self.cleared.append(alarm)
        else:
            if known is None:
                self.raised[alarm.priority] += 1
            self.active[alarm.alarm_id] = alarm
            if len(self.active) > MAX_ACTIVE:
                del self.active[self.by_priority()[-1].alarm_id]
        self.most_urgent = min(
            self.active.values(), key=lambda a: (urgency(a), a.category == "technical", -a.onset_sample), default=None
        )

    def by_priority(self) -> list[Alarm]:
        """Active alarms: highest priority first, of these physiological ones first, then newest."""
        return sorted(
            self.active.values(),
            key=lambda a: (-PRIORITY_RANK[a.priority], a.category == "technical", -a.onset_sample),
        )

    def top_unacknowledged(self) -> Alarm | None:
        """The alarm that an acknowledgement is for."""
        return next((alarm for alarm in self.by_priority() if alarm.state != "acknowledged"), None)
