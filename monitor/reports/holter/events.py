"""What a reviewer looks at: alarms, and anomalous beats by kind and shape, in groups that can be decided at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.reports.decisions import Mark
from monitor.reports.holter.beats import HolterBeats
from monitor.reports.holter.clusters import Shape
from monitor.reports.holter.measures import Episode, Kinds
from monitor.reports.holter.reviewed import mark_of

__all__ = ["Event", "Group", "events_of"]

_KINDS: Final = (
    ("ventricular", "ventricular-looking", "V"),
    ("early", "early", "S"),
    ("other", "other anomalous", "Q"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Events of one kind, of beats also of one shape.

    Attributes:
        title: in words.
        verdict: the label that a confirmation gives, a key of `BEAT_VERDICTS` or `ALARM_VERDICTS`.
        shape: number of the shape from 1, as in the report; 0 = alarms, or beats in no shape.
        mean_mv: mean of the shape, mV; None without one.
    """

    title: str
    verdict: str
    shape: int = 0
    mean_mv: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """An alarm or an anomalous beat.

    Attributes:
        mark: what is decided about.
        group: its number.
        end_sample: of an alarm; of a beat its R-peak; -1 = to the end of the record.
        text: of an alarm.
        score: of a beat; None for an alarm.
    """

    mark: Mark
    group: int
    end_sample: int
    text: str
    score: float | None


def events_of(
    beats: HolterBeats, kinds: Kinds, shapes: Sequence[Shape], episodes: Sequence[Episode]
) -> tuple[list[Group], list[Event]]:
    """Groups, alarms first, then beats by the size of the group; and their events, by time.

    Args:
        beats: as scored, without labels.
        kinds, shapes: of these beats.
        episodes: alarms.
    """
    groups: list[Group] = []
    events: dict[Mark, Event] = {}
    for kind in sorted({episode.kind for episode in episodes}):
        for episode in episodes:
            if episode.kind == kind:
                mark = mark_of(episode)
                events[mark] = Event(mark, len(groups), episode.end_sample, episode.text, None)
        groups.append(Group(kind.replace("_", " "), "true"))
    shape_of = np.zeros(beats.r_sample.size, np.int64)
    for number, shape in enumerate(shapes, 1):
        shape_of[shape.rows] = number
    found: list[tuple[NDArray[np.int64], Group]] = []
    for name, title, verdict in _KINDS:
        own: NDArray[np.bool_] = getattr(kinds, name)
        for number in np.unique(shape_of[own]).tolist():
            mean_mv = shapes[number - 1].mean_mv if number else None
            rows = np.flatnonzero(own & (shape_of == number))
            found.append((rows, Group(title, verdict, number, mean_mv)))
    for rows, group in sorted(found, key=lambda pair: -pair[0].size):
        for row in rows.tolist():
            r = int(beats.r_sample[row])
            score = float(beats.score[row])
            events[Mark(r)] = Event(Mark(r), len(groups), r, "", score if np.isfinite(score) else None)
        groups.append(group)
    return groups, [events[mark] for mark in sorted(events)]
