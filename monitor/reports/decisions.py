"""What a reviewer decides about beats and alarms: decisions with undo and redo, and conflicts of two pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

__all__ = ["ALARM_VERDICTS", "BEAT_VERDICTS", "NOT_A_BEAT", "Change", "ConflictError", "Decision", "Decisions", "Mark"]

NOT_A_BEAT: Final = "|"  # WFDB's symbol of an isolated QRS-like artefact
BEAT_VERDICTS: Final = {
    "N": "normal",
    "S": "supraventricular",
    "V": "ventricular",
    "F": "fusion",
    "Q": "unclassifiable",
    NOT_A_BEAT: "not a beat",
}
ALARM_VERDICTS: Final = {"true": "true alarm", "false": "false alarm"}
_UNDO_MARKS: Final = 1_000_000  # of all changes that can be undone


class Mark(NamedTuple):
    """What is decided about: a beat by its R-peak, or an alarm (its kind) by its onset; samples of the record."""

    sample: int
    alarm: str = ""


class Decision(NamedTuple):
    """A decision.

    Attributes:
        verdict: of BEAT_VERDICTS or ALARM_VERDICTS.
        who: name of the reviewer; empty = not known.
        time: when, ISO 8601 in UTC, whole seconds; empty = not known.
    """

    verdict: str
    who: str
    time: str


class ConflictError(Exception):
    """Another page has decided since; the text is one line."""


class Change(NamedTuple):
    """Decisions before and after; None = undecided."""

    before: dict[Mark, Decision | None]
    after: dict[Mark, Decision | None]
    way: Literal["new", "undo", "redo"] = "new"


class Decisions:
    """The decisions of a record.

    A change is proposed first, and committed once it is saved.

    Args:
        known: decisions so far; they cannot be undone.

    Attributes:
        known: decisions now.
        number: changes so far; a page sends the number up to which it has received them.
    """

    def __init__(self, known: Mapping[Mark, Decision]) -> None:
        self.known = dict(known)
        self.number = 0
        self._changed: dict[Mark, int] = {}  # number of the last change
        self._done: list[Change] = []
        self._undone: list[Change] = []

    @property
    def last(self) -> Change | None:
        """The change that `propose_undo` takes back."""
        return self._done[-1] if self._done else None

    @property
    def undone(self) -> Change | None:
        """The change that `propose_redo` brings back."""
        return self._undone[-1] if self._undone else None

    def propose(self, marks: Iterable[Mark], decision: Decision | None, seen: int) -> Change:
        """A change of some marks; None = undecided.

        Args:
            marks: to decide.
            decision: for all of them.
            seen: number of the last change that the page has received.

        Raises:
            ConflictError: one of them has changed since.
        """
        wanted = list(marks)
        if any(self._changed.get(mark, 0) > seen for mark in wanted):
            raise ConflictError("another page has decided about this; look at it, and decide again")
        return Change({mark: self.known.get(mark) for mark in wanted}, dict.fromkeys(wanted, decision))

    def propose_undo(self, seen: int) -> Change | None:
        """The change that takes back the last one; None: there is none.

        Raises:
            ConflictError: there are changes that the page has not received.
        """
        self._check_seen(seen)
        return Change(self._done[-1].after, self._done[-1].before, "undo") if self._done else None

    def propose_redo(self, seen: int) -> Change | None:
        """The change that was undone last; None: there is none.

        Raises:
            ConflictError: there are changes that the page has not received.
        """
        self._check_seen(seen)
        return self._undone[-1]._replace(way="redo") if self._undone else None

    def commit(self, change: Change) -> None:
        """Make a proposed change."""
        if change.way == "redo":
            self._done.append(self._undone.pop())
        elif change.way == "undo":
            self._undone.append(self._done.pop())
        else:
            self._done.append(change)
            self._undone.clear()
        self.number += 1
        self.known = self.with_change(change)
        self._changed.update(dict.fromkeys(change.after, self.number))
        while sum(len(each.after) for each in self._done) > _UNDO_MARKS and len(self._done) > 1:
            del self._done[0]

    def with_change(self, change: Change) -> dict[Mark, Decision]:
        """The decisions after a change; they are not committed."""
        merged = {**self.known, **change.after}
        return {mark: decision for mark, decision in merged.items() if decision is not None}

    def since(self, seen: int) -> dict[Mark, Decision | None]:
        """Decisions of the marks that have changed since a number; None = undecided."""
        if seen >= self.number:
            return {}
        return {mark: self.known.get(mark) for mark, number in self._changed.items() if number > seen}

    def _check_seen(self, seen: int) -> None:
        if seen < self.number:
            raise ConflictError("another page has made a change; look at it first")
