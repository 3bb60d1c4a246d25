"""Beats and episodes of a record as a reviewer has decided about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.reports.annotated_beats import matched_annotations
from monitor.reports.decisions import NOT_A_BEAT, Decision, Mark
from monitor.reports.holter.beats import HolterBeats
from monitor.reports.holter.measures import Episode

__all__ = ["ReviewSummary", "aligned", "mark_of", "reviewed_beats", "reviewed_episodes", "summary_of"]

_NORMAL: Final = "N"
_ADDED: Final = "good"  # quality of a beat that the reviewer added


@dataclass(frozen=True, slots=True)
class ReviewSummary:
    """A review in numbers.

    Attributes:
        beats: that have a decision, without the added ones.
        added, removed: beats that were missed, and that are no beats.
        alarms, false_alarms: that have a decision, and were rejected.
        lost: decisions about alarms that this record no longer has.
        who: names, each once.
        first, last: times of the first and the last decision, ISO 8601; empty = not known.
    """

    beats: int
    added: int
    removed: int
    alarms: int
    false_alarms: int
    lost: int
    who: tuple[str, ...]
    first: str
    last: str

    @property
    def text(self) -> str:
        """One line: how many, by whom and when."""
        day, until = self.first[:16].replace("T", " "), self.last[:16].replace("T", " ")
        when = day if day == until else f"{day} to {until}"
        lost = f"; {_counted(self.lost, 'decision')} about alarms that this scoring does not have" if self.lost else ""
        return (
            f"{_counted(self.beats, 'beat')} ({self.removed} of them not a beat), {self.added} added, "
            f"{_counted(self.alarms, 'alarm')} ({self.false_alarms} false){lost}; by "
            f"{', '.join(self.who) or 'a person without a name'}" + (f", {when} UTC" if day else "")
        )


def _counted(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def mark_of(episode: Episode) -> Mark:
    """The mark of an alarm."""
    return Mark(max(0, episode.first_sample), episode.kind)


def aligned(decisions: Mapping[Mark, Decision], beats: HolterBeats) -> dict[Mark, Decision]:
    """The decisions with the R-peaks of these beats: another version may find a beat some samples away.

    A decision without a beat within 150 ms stays as it is: an added beat.
    """
    found = {mark: decision for mark, decision in decisions.items() if mark.alarm}
    marks = sorted(mark for mark in decisions if not mark.alarm)
    samples = np.array([mark.sample for mark in marks], np.int64)
    moved = samples.copy()
    matched = matched_annotations(beats.r_sample, samples, beats.fs_hz)
    known = matched >= 0
    moved[matched[known]] = beats.r_sample[known]
    for mark, sample in zip(marks, moved.tolist(), strict=True):
        found[Mark(sample)] = decisions[mark]
    return found


def reviewed_beats(beats: HolterBeats, decisions: Mapping[Mark, Decision]) -> HolterBeats:
    """The beats with their labels.

    A beat that is no beat is left out, and the interval of the next one spans both. An added beat divides the interval
    in which it lies; where that is not known, neither part is. A beat with a label counts as scored.

    Args:
        beats: as scored.
        decisions: `aligned`.
    """
    label_of = {mark.sample: decision.verdict for mark, decision in decisions.items() if not mark.alarm}
    rows = {int(r): row for row, r in enumerate(beats.r_sample.tolist())}
    added = sorted(r for r, verdict in label_of.items() if r not in rows and verdict != NOT_A_BEAT)
    r_sample = np.concatenate([beats.r_sample, np.array(added, np.int64)])
    order = np.argsort(r_sample, kind="stable")
    more = len(added)

    def with_added(values: NDArray[np.float64], value: float) -> NDArray[np.float64]:
        joined: NDArray[np.float64] = np.concatenate([values, np.full(more, value)])[order]
        return joined

    labels = [label_of.get(int(r), "") for r in r_sample[order]]
    kept = np.array([label != NOT_A_BEAT for label in labels], np.bool_)
    score = with_added(beats.score, np.nan)
    anomalous = with_added(beats.anomalous.astype(np.float64), 0.0) > 0.5
    for row, label in enumerate(labels):
        if label:
            anomalous[row] = label != _NORMAL
            score[row] = 0.0 if np.isnan(score[row]) else score[row]
    quality = [*beats.quality, *([_ADDED] * more)]
    chosen = np.flatnonzero(kept)
    return HolterBeats(
        beats.fs_hz,
        r_sample[order][kept],
        _intervals_s(r_sample[order], with_added(beats.rr_s, np.nan), order >= beats.r_sample.size, kept, beats.fs_hz),
        score[kept],
        anomalous[kept],
        tuple(quality[order[row]] for row in chosen.tolist()),
        tuple(labels[row] for row in chosen.tolist()),
    )


def _intervals_s(
    r_sample: NDArray[np.int64], rr_s: NDArray[np.float64], added: NDArray[np.bool_], kept: NDArray[np.bool_],
    fs_hz: float,
) -> NDArray[np.float64]:  # fmt: skip
    """Intervals of the kept beats; one is known if every scored interval that it touches is.

    Args:
        r_sample: (n,) R-peaks, also of added beats and of those that are no beats.
        rr_s: (n,) intervals as scored, s; NaN = not known, and for added beats.
        added, kept: (n,) bool.
    """
    touched = rr_s.copy()
    following = np.nan  # interval of the next beat that was scored
    for row in range(rr_s.size - 1, -1, -1):
        if added[row]:
            touched[row] = following
        else:
            following = rr_s[row]
    found: list[float] = []
    before, whole = -1, True
    changed = False
    for row in range(rr_s.size):
        whole = whole and bool(np.isfinite(touched[row]))
        changed = changed or bool(added[row]) or not kept[row]
        if not kept[row]:
            continue
        near = changed or (row > 0 and bool(added[row - 1]))
        spanned = float(r_sample[row] - r_sample[before]) / fs_hz if before >= 0 else np.nan
        found.append((spanned if whole else np.nan) if near else float(rr_s[row]))
        before, whole, changed = row, True, False
    return np.array(found, np.float64)


def reviewed_episodes(episodes: Iterable[Episode], decisions: Mapping[Mark, Decision]) -> tuple[Episode, ...]:
    """The episodes without false alarms."""

    def is_false(episode: Episode) -> bool:
        decision = decisions.get(mark_of(episode))
        return decision is not None and decision.verdict == "false"

    return tuple(episode for episode in episodes if not is_false(episode))


def summary_of(
    decisions: Mapping[Mark, Decision], beats: HolterBeats, episodes: Sequence[Episode]
) -> ReviewSummary | None:
    """The review of a record, with `aligned` decisions; None without one."""
    if not decisions:
        return None
    known, alarms = set(beats.r_sample.tolist()), {mark_of(episode) for episode in episodes}
    of_beats = {mark.sample: each.verdict for mark, each in decisions.items() if not mark.alarm}
    of_alarms = {mark: each.verdict for mark, each in decisions.items() if mark.alarm}
    times = sorted(each.time for each in decisions.values() if each.time)
    return ReviewSummary(
        beats=sum(r in known for r in of_beats),
        added=sum(r not in known and verdict != NOT_A_BEAT for r, verdict in of_beats.items()),
        removed=sum(r in known and verdict == NOT_A_BEAT for r, verdict in of_beats.items()),
        alarms=sum(mark in alarms for mark in of_alarms),
        false_alarms=sum(mark in alarms and verdict == "false" for mark, verdict in of_alarms.items()),
        lost=sum(mark not in alarms for mark in of_alarms),
        who=tuple(sorted({each.who for each in decisions.values() if each.who})),
        first=times[0] if times else "",
        last=times[-1] if times else "",
    )
