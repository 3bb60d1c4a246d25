"""All beds of all monitors: their condition and the order of attention. Pure.

Beds keep their places: they are sorted at most every few seconds, or at once when a bed has a new high alarm.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from monitor.dashboard.bed import DashboardBed
from monitor.dashboard.bed_alarms import CALM, NEW_HIGH, UNSEEN, urgency
from monitor.dashboard.state import Condition, DashboardState, condition_of
from monitor.messages import Alarm

__all__ = ["NO_DATA", "BedOrder", "BedRef", "WardBed", "short_address"]

SORT_EVERY_S = 5.0
NO_DATA: frozenset[Condition] = frozenset(("no_data", "source_lost", "stale", "lost"))  # or the monitor is silent


class BedRef(NamedTuple):
    """A bed, by the address of its monitor and its name."""

    address: str
    name: str


@dataclass(slots=True)
class WardBed:
    """One bed of the ward.

    Attributes:
        label: the name; with the monitor's address if two monitors have a bed of that name.
        condition: `live`, or why it is not.
        alarm: the alarm to attend to first.
        rank: order of attention, see `urgency`; 0 = first.
        sort_key: sorts labels with their numbers in numeric order.
    """

    ref: BedRef
    label: str
    bed: DashboardBed
    condition: Condition = "starting"
    alarm: Alarm | None = None
    rank: int = CALM
    sort_key: tuple[tuple[str, ...], str] = ((), "")


class BedOrder:
    """All beds, in the order of attention.

    Attributes:
        states: by address of the monitor; the caller folds messages into them.
        entries: all beds, the most urgent first.
    """

    def __init__(self, states: Mapping[str, DashboardState]) -> None:
        self.states = states
        self.entries: list[WardBed] = []
        self._by_ref: dict[BedRef, WardBed] = {}
        self._changes: tuple[int, ...] = ()
        self._sorted_s: float | None = None
        self._high: frozenset[BedRef] = frozenset()

    def find(self, ref: BedRef | None) -> WardBed | None:
        """The entry of a bed; None if it does not exist (any more)."""
        return None if ref is None else self._by_ref.get(ref)

    def named(self, name: str) -> WardBed | None:
        """The first bed with that label or name."""
        return next((entry for entry in self.entries if name in (entry.label, entry.ref.name)), None)

    def by_label(self) -> list[WardBed]:
        """All beds, sorted by label."""
        return sorted(self.entries, key=lambda entry: entry.sort_key)

    def update(self, now_s: float) -> None:
        """Take over the present states: conditions, alarms, order.

        Args:
            now_s: the subscriber's monotonic clock, s.
        """
        changes = tuple(state.changes for state in self.states.values())
        if changes != self._changes:
            self._changes = changes
            self._rebuild()
        connections = {address: state.connection_now(now_s) for address, state in self.states.items()}
        for entry in self.entries:
            entry.condition = condition_of(entry.bed, connections[entry.ref.address], now_s)
            entry.alarm = entry.bed.alarms.most_urgent
            entry.rank = CALM if entry.alarm is None else urgency(entry.alarm)
            if entry.condition in NO_DATA:
                entry.rank = min(entry.rank, UNSEEN)
        high = frozenset(entry.ref for entry in self.entries if entry.rank == NEW_HIGH)
        if self._sorted_s is None or now_s - self._sorted_s >= SORT_EVERY_S or high - self._high:
            self._sorted_s = now_s
            self.entries.sort(key=lambda entry: (entry.rank, entry.sort_key))
        self._high = high

    def _rebuild(self) -> None:
        """Beds were added or removed: the others keep their places until the next sorting."""
        refs = [BedRef(address, name) for address, state in self.states.items() for name in state.beds]
        shared = {name for name, times in Counter(ref.name for ref in refs).items() if times > 1}
        new: dict[BedRef, WardBed] = {}
        for ref in refs:
            label = f"{ref.name}@{short_address(ref.address)}" if ref.name in shared else ref.name
            new[ref] = WardBed(ref, label, self.states[ref.address].beds[ref.name], sort_key=_natural(label))
        if not new.keys() <= self._by_ref.keys():
            self._sorted_s = None
        places = {entry.ref: place for place, entry in enumerate(self.entries)}
        self._by_ref = new
        self.entries = sorted(new.values(), key=lambda entry: places.get(entry.ref, len(places)))


def short_address(address: str) -> str:
    """An endpoint without its scheme.

    >>> short_address("tcp://127.0.0.1:5556")
    '127.0.0.1:5556'
    """
    return address.removeprefix("tcp://").removeprefix("ipc://")


def _natural(label: str) -> tuple[tuple[str, ...], str]:
    """Sort key that puts `bed 9` before `bed 10`."""
    parts = re.split(r"(\d+)", label.casefold())
    return tuple(part.lstrip("0").rjust(20, "0") if at % 2 else part for at, part in enumerate(parts)), label
