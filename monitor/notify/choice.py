"""Which alarm messages `[notify]` delivers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, get_args

from monitor.alarm_config import AlarmsConfig
from monitor.alarm_state import PRIORITY_RANK, AlarmState
from monitor.config import NotifyConfig
from monitor.errors import ConfigError
from monitor.messages import AlarmMessage

__all__ = ["Choice", "names_in"]

_KNOWN_ALARMS: Final = 1_000  # alarms whose priority is remembered; a forgotten one may be delivered again


class Choice:
    """The filter of `[notify]`; an update of an alarm counts only where its priority has risen.

    Args:
        config: `[notify]`.
        follow: the receiver has states: an alarm that was chosen once is chosen in every later state.

    Raises:
        ConfigError: an unknown kind, priority or state.
    """

    def __init__(self, config: NotifyConfig, *, follow: bool = False) -> None:
        self._follow = follow
        self._kinds = _names("kinds", config.kinds, AlarmsConfig.__struct_fields__)
        self._priorities = _names("priorities", config.priorities, PRIORITY_RANK)
        self._states = _names("states", config.states, get_args(AlarmState))
        self._beds = names_in(config.beds)
        # alarm id -> highest rank of its priority, whether it was chosen and is followed
        self._known: OrderedDict[str, tuple[int, bool]] = OrderedDict()

    def wants(self, message: AlarmMessage) -> bool:
        """Whether this message is delivered; call it once for every message, in their order."""
        alarm = message.alarm
        rank = PRIORITY_RANK[alarm.priority]
        before, chosen_before = self._known.pop(alarm.alarm_id, (-1, False))
        chosen = chosen_before or all(
            not names or name in names
            for names, name in (
                (self._kinds, alarm.kind),
                (self._priorities, alarm.priority),
                (self._beds, alarm.bed),
            )
        )
        self._known[alarm.alarm_id] = max(rank, before), chosen and self._follow
        if len(self._known) > _KNOWN_ALARMS:
            self._known.popitem(last=False)
        if alarm.update and rank <= before:
            return False
        return chosen and (self._follow or not self._states or alarm.state in self._states)


def names_in(given: str) -> frozenset[str]:
    """The names of a text with commas."""
    return frozenset(name for part in given.split(",") if (name := part.strip()))


def _names(key: str, given: str, known: Iterable[str]) -> frozenset[str]:
    names = names_in(given)
    if unknown := sorted(names - set(known)):
        raise ConfigError(f"notify.{key}: no {unknown[0]!r}; give some of {', '.join(known)}, with commas")
    return names
