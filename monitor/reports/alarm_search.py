"""Search among past alarms by bed, kind, priority, state, time and text. Pure."""

from __future__ import annotations

import contextlib
import datetime
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from monitor.config import AlarmsConfig
from monitor.errors import ConfigError
from monitor.reports.episodes import PastAlarm, moment

__all__ = ["AlarmSearch", "alarm_search"]

_PRIORITIES: Final = ("high", "medium", "low")
_OUTCOMES: Final = {  # word -> outcome of a PastAlarm
    "onset": "onset", "latched": "latched", "acknowledged": "acknowledged", "cleared": "cleared",
    "ended": "monitor ended", "died": "monitor died",
}  # fmt: skip
_OPEN: Final = ("onset", "latched", "acknowledged")
_UNITS_S: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


@dataclass(frozen=True, slots=True)
class AlarmSearch:
    """What to search for; an empty collection or text, and None, match every alarm.

    Attributes:
        beds, kinds, priorities, outcomes: accepted values.
        since, until: of the onset, from and before.
        text: part of kind, text, bed, id or operator; case is ignored.
    """

    beds: Collection[str] = ()
    kinds: Collection[str] = ()
    priorities: Collection[str] = ()
    outcomes: Collection[str] = ()
    since: datetime.datetime | None = None
    until: datetime.datetime | None = None
    text: str = ""

    def matches(self, alarm: PastAlarm) -> bool:
        """Whether an alarm is one of those."""
        last = alarm.last
        return (
            (not self.beds or last.bed in self.beds)
            and (not self.kinds or last.kind in self.kinds)
            and (not self.priorities or last.priority in self.priorities)
            and (not self.outcomes or alarm.outcome in self.outcomes)
            and (self.since is None or alarm.onset_time >= self.since)
            and (self.until is None or alarm.onset_time < self.until)
            and (not self.text or self.text.casefold() in _words(alarm))
        )


def alarm_search(
    now: datetime.datetime,
    *,
    beds: Collection[str] = (),
    kinds: Collection[str] = (),
    priorities: Collection[str] = (),
    states: Collection[str] = (),
    since: str = "",
    until: str = "",
    text: str = "",
    flags: str = "--",
) -> AlarmSearch:
    """Check the words of a person.

    Args:
        now: present time, for ages.
        beds, kinds, priorities: accepted values.
        states: `onset`, `latched`, `acknowledged`, `cleared`, `ended`, `died`, or `open` for the first three.
        since, until: date, time, or age, e.g. `2026-01-31`, `2026-01-31T08:00`, `2h`.
        text: part of a text.
        flags: what stands before a name in an error, e.g. `--`.

    Raises:
        ConfigError: a value that is none of these.
    """
    for name, values, known in (
        ("kind", kinds, AlarmsConfig.__struct_fields__),
        ("priority", priorities, _PRIORITIES),
        ("state", states, (*_OUTCOMES, "open")),
    ):
        for value in values:
            if value not in known:
                raise ConfigError(f"{flags}{name} {value}: give {', '.join(known)}")
    outcomes = {_OUTCOMES[word] for word in states if word != "open"} | set(_OPEN if "open" in states else ())
    first, last = _time(f"{flags}since", since, now), _time(f"{flags}until", until, now)
    return AlarmSearch(beds, kinds, priorities, outcomes, first, last, text)


def _words(alarm: PastAlarm) -> str:
    last = alarm.last
    kind = last.kind.replace("_", " ")
    return "\n".join((kind, last.kind, last.text, last.bed, last.alarm_id, last.acknowledged_by)).casefold()


def _time(name: str, text: str, now: datetime.datetime) -> datetime.datetime | None:
    """A date, a time, or a duration before now; empty = None."""
    if not text:
        return None
    with contextlib.suppress(ValueError, OverflowError):
        ago = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
        if ago is not None:
            return now - datetime.timedelta(seconds=float(ago[1]) * _UNITS_S[ago[2]])
        return moment(text)
    raise ConfigError(
        f"{name} {text}: give a date (2026-01-31), a time (2026-01-31T08:00, UTC) or a time before now (90m, 2h, 3d)"
    )
