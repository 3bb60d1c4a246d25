"""All beds of all monitors at a glance: what is the matter with each, which come first, how many of what.

Pure, as the states that it looks at. Beds keep their places: they are sorted anew at most every few seconds, or at
once where a bed has a new high alarm.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from monitor.dashboard.bed import BedState
from monitor.dashboard.state import Condition, DashboardState
from monitor.dashboard.urgency import CALM, NEW_HIGH, UNSEEN, rank_of
from monitor.messages import Alarm, Priority

__all__ = ["BedRef", "Counts", "Entry", "Survey", "short_address"]

SORT_EVERY_S = 5.0


class BedRef(NamedTuple):
    """A bed of a monitor, by the monitor's address and the bed's name."""

    address: str
    name: str


@dataclass(slots=True)
class Entry:
    """One bed as the ward shows it.

    Attributes:
        ref: which.
        label: its name; with the monitor's address where two monitors have a bed of that name.
        bed: its state.
        condition: `live`, or why not.
        alarm: the one to look at first.
        rank: see `urgency`; 0 = look here first.
    """

    ref: BedRef
    label: str
    bed: BedState
    condition: Condition = "starting"
    alarm: Alarm | None = None
    rank: int = CALM
    sort_key: tuple[tuple[str, ...], str] = ((), "")


@dataclass(frozen=True, slots=True)
class Counts:
    """How many beds.

    Attributes:
        beds: in all.
        alarms: whose most urgent alarm has that priority.
        new: the same, of those that nobody has acknowledged.
        unseen: without data: the source or the monitor is silent.
        waiting: have not begun.
        ended: are over.
        left_out: that a monitor has and we cannot show.
    """

    beds: int = 0
    alarms: Mapping[Priority, int] = field(default_factory=dict)
    new: Mapping[Priority, int] = field(default_factory=dict)
    unseen: int = 0
    waiting: int = 0
    ended: int = 0
    left_out: int = 0


class Survey:
    """What is known of all beds.

    Args:
        states: by address of the monitor; they are folded elsewhere.

    Attributes:
        states: as given.
        entries: all beds, the most urgent first.
        counts: of them.
    """

    def __init__(self, states: Mapping[str, DashboardState]) -> None:
        self.states = states
        self.entries: list[Entry] = []
        self.counts = Counts()
        self._by_ref: dict[BedRef, Entry] = {}
        self._changes: tuple[int, ...] = ()
        self._sorted_s: float | None = None
        self._high: frozenset[BedRef] = frozenset()

    def find(self, ref: BedRef | None) -> Entry | None:
        """The entry of a bed; None where there is none any more."""
        return None if ref is None else self._by_ref.get(ref)

    def named(self, name: str) -> Entry | None:
        """The first bed that is called or labelled so."""
        return next((entry for entry in self.entries if name in (entry.label, entry.ref.name)), None)

    def by_label(self) -> list[Entry]:
        """All beds, by name."""
        return sorted(self.entries, key=lambda entry: entry.sort_key)

    def look(self, now_s: float) -> None:
        """Take in what the states say now.

        Args:
            now_s: the subscriber's monotonic clock, s.
        """
        changes = tuple(state.changes for state in self.states.values())
        if changes != self._changes:
            self._changes = changes
            self._list_anew()
        connections = {address: state.connection_now(now_s) for address, state in self.states.items()}
        for entry in self.entries:
            bed = entry.bed
            entry.condition = DashboardState.condition_under(connections[entry.ref.address], bed, now_s)
            entry.alarm = bed.most_urgent if bed.active else None
            entry.rank = CALM if entry.alarm is None else rank_of(entry.alarm)
            if entry.condition in _UNSEEN:
                entry.rank = min(entry.rank, UNSEEN)
        high = frozenset(entry.ref for entry in self.entries if entry.rank == NEW_HIGH)
        if self._sorted_s is None or now_s - self._sorted_s >= SORT_EVERY_S or high - self._high:
            self._sorted_s = now_s
            self.entries.sort(key=lambda entry: (entry.rank, entry.sort_key))
        self._high = high
        told = ((state.heartbeat, len(state.beds)) for state in self.states.values())
        left_out = sum(max(0, len(heartbeat.beds) - known) for heartbeat, known in told if heartbeat is not None)
        self.counts = _counts(self.entries, left_out)

    def _list_anew(self) -> None:
        """Beds have come or gone: places of those that stay are kept until the next sorting."""
        refs = [BedRef(address, name) for address, state in self.states.items() for name in state.beds]
        shared = {name for name, times in Counter(ref.name for ref in refs).items() if times > 1}
        new: dict[BedRef, Entry] = {}
        for ref in refs:
            label = f"{ref.name}@{short_address(ref.address)}" if ref.name in shared else ref.name
            new[ref] = Entry(ref, label, self.states[ref.address].beds[ref.name], sort_key=_natural(label))
        if not new.keys() <= self._by_ref.keys():
            self._sorted_s = None
        places = {entry.ref: place for place, entry in enumerate(self.entries)}
        self._by_ref = new
        self.entries = sorted(new.values(), key=lambda entry: places.get(entry.ref, len(places)))


_UNSEEN: frozenset[Condition] = frozenset(("no_data", "source_lost", "stale", "lost"))


def short_address(address: str) -> str:
    """An endpoint as people say it: without `tcp://`.

    >>> short_address("tcp://127.0.0.1:5556")
    '127.0.0.1:5556'
    """
    return address.removeprefix("tcp://").removeprefix("ipc://")


def _natural(label: str) -> tuple[tuple[str, ...], str]:
    """Sorts `bed 9` before `bed 10`."""
    parts = re.split(r"(\d+)", label.casefold())
    return tuple(part.lstrip("0").rjust(20, "0") if at % 2 else part for at, part in enumerate(parts)), label


def _counts(entries: Sequence[Entry], left_out: int) -> Counts:
    alarms: dict[Priority, int] = {"high": 0, "medium": 0, "low": 0}
    new = dict(alarms)
    conditions: Counter[Condition] = Counter()
    for entry in entries:
        conditions[entry.condition] += 1
        if entry.alarm is not None:
            alarms[entry.alarm.priority] += 1
            new[entry.alarm.priority] += entry.alarm.state != "acknowledged"
    return Counts(
        beds=len(entries),
        alarms=alarms,
        new=new,
        unseen=sum(conditions[condition] for condition in _UNSEEN),
        waiting=conditions["starting"],
        ended=conditions["ended"],
        left_out=left_out,
    )
