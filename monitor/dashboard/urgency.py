"""How urgent an alarm and a bed are: the order in which a person should look at them."""

from __future__ import annotations

from collections.abc import Iterable

from monitor.messages import Alarm

__all__ = ["CALM", "NEW_HIGH", "UNSEEN", "most_urgent", "rank_of"]

NEW_HIGH = 0  # high and not acknowledged
UNSEEN = 4  # the patient is not seen: leads off, no data, connection lost
CALM = 7


def rank_of(alarm: Alarm) -> int:
    """Rank of an alarm, 0 = look here first.

    What nobody has acknowledged comes before what somebody has, the patient before the technique; low alarms come
    last, for single unusual beats come and go and must not move beds about.
    """
    acknowledged = alarm.state == "acknowledged"
    if alarm.priority == "high":
        return 2 if acknowledged else NEW_HIGH
    if alarm.priority == "low":
        return 6 if acknowledged else 5
    if alarm.category == "technical":
        return UNSEEN
    return 3 if acknowledged else 1


def most_urgent(alarms: Iterable[Alarm]) -> Alarm | None:
    """The alarm to look at first: by rank, then the newest; None where there is none."""
    return min(alarms, key=lambda alarm: (rank_of(alarm), -alarm.onset_sample), default=None)
