"""How a bed is watched, in words: limits of the rate alarms, rhythm, and the state "not watched". Pure."""

from __future__ import annotations

from msgspec import UnsetType

from monitor.dashboard.bed import DashboardBed
from monitor.dashboard.canvas import Ink
from monitor.messages import StatusMessage

__all__ = ["limit_words", "not_watched", "rhythm_words"]

NOT_WATCHED_AFTER_S = 5.0  # as in the rhythm of the status


def limit_words(status: StatusMessage | None) -> tuple[str, str]:
    """Lower and upper limit of the rate alarms, `off` where the alarm is off; empty where the status does not say."""
    if status is None:
        return "", ""
    low, high = status.rate_low_bpm, status.rate_high_bpm
    if isinstance(low, UnsetType) or isinstance(high, UnsetType):  # an older monitor
        return "", ""
    return "off" if low is None else f"{low:.0f}", "off" if high is None else f"{high:.0f}"


def not_watched(bed: DashboardBed, now_s: float) -> tuple[str, Ink] | None:
    """`NOT WATCHED 0:42` and its colour, where a live bed has had no good signal for 5 s or more; else None.

    The colour is that of the technical alarm that is up, at least that of a medium one.
    """
    status = bed.status
    if status is None or status.unwatched_s < NOT_WATCHED_AFTER_S or bed.stream_condition(now_s) != "live":
        return None
    seconds = int(status.unwatched_s)
    high = any(alarm.priority == "high" and alarm.category == "technical" for alarm in bed.alarms.active.values())
    return f"NOT WATCHED {seconds // 60}:{seconds % 60:02d}", Ink.HIGH if high else Ink.MEDIUM


def rhythm_words(bed: DashboardBed, now_s: float) -> tuple[str, Ink]:
    """The rhythm in words with its colour, or that the bed is not watched."""
    unseen = not_watched(bed, now_s)
    if unseen is not None:
        return f" {unseen[0]} ", unseen[1]
    if bed.status is None or not bed.status.rhythm or bed.stream_condition(now_s) != "live":
        return "rhythm --", Ink.DIM
    return bed.status.rhythm, Ink.BOLD
