"""One record under review: its events, its signal, and the decisions, each saved before it takes effect."""

from __future__ import annotations

import datetime
import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.errors import EcgMonitorError, plain_line
from monitor.recording.review_file import ReviewFiles
from monitor.reports.annotated_beats import MATCH_S
from monitor.reports.decisions import ALARM_VERDICTS, BEAT_VERDICTS, NOT_A_BEAT, Change, Decision, Decisions, Mark
from monitor.reports.holter.beats import HolterBeats
from monitor.reports.holter.clusters import BEFORE_S, CUT_HZ
from monitor.reports.holter.events import Event, Group
from monitor.reports.holter.measures import smoothed_rates_bpm
from monitor.reports.holter.reviewed import aligned
from monitor.web.review.signal_store import SignalStore

__all__ = ["NotSavedError", "ReviewDesk", "ReviewRecord"]

_COLUMNS: Final = 1200  # of the overview
_SPREAD: Final = 60  # beats of a group that are drawn over each other
_CUT_S: Final = (0.25, 0.45)  # before and after the R-peak


class NotSavedError(Exception):
    """A decision could not be written, and has no effect; the text is one line."""


@dataclass(frozen=True, slots=True, eq=False)
class ReviewRecord:
    """What is reviewed.

    Attributes:
        name, source, lead: of the record.
        start_time: ISO 8601 time of sample 0; None if unknown.
        end_sample: behind the last sample.
        beats: as scored.
        groups, events: of `events_of`.
        usual_mv: mean of the patient's usual beats at CUT_HZ, from BEFORE_S before the R-peak; None without one.
        signal: filtered.
    """

    name: str
    source: str
    lead: str
    start_time: str | None
    end_sample: int
    beats: HolterBeats
    groups: Sequence[Group]
    events: Sequence[Event]
    usual_mv: NDArray[np.float64] | None
    signal: SignalStore


class ReviewDesk:
    """The record, and the decisions of all pages.

    Args:
        record: what is reviewed.
        files: where decisions are kept.
        now: time of day, UTC.

    Attributes:
        run: names this start of the review. A page sends it with each change: after the next start, perhaps with
            another record, the numbers of groups and changes have another meaning.

    Raises:
        ConfigError: earlier decisions that cannot be read.
    """

    def __init__(self, record: ReviewRecord, files: ReviewFiles, now: Callable[[], datetime.datetime]) -> None:
        self.record = record
        self.run = now().isoformat()
        self._files = files
        self._now = now
        self._lock = threading.Lock()  # over the decisions and their files
        self._decisions = Decisions(aligned(files.read(), record.beats))
        self._beats = frozenset(record.beats.r_sample.tolist())
        self._events = {event.mark: event for event in record.events}

    # -- what a page shows ---------------------------------------------------------------------------------------

    def about(self) -> dict[str, Any]:
        """Record, groups and events, as columns, for a page that is opened."""
        record = self.record
        return {
            "name": record.name,
            "source": record.source,
            "lead": record.lead,
            "start_time": record.start_time,
            "fs_hz": record.beats.fs_hz,
            "end_sample": record.end_sample,
            "beats": int(record.beats.r_sample.size),
            "usual_mv": _rounded(record.usual_mv),
            "usual_hz": CUT_HZ,
            "usual_before_s": BEFORE_S,
            "groups": [
                {"title": g.title, "verdict": g.verdict, "shape": g.shape, "mean_mv": _rounded(g.mean_mv)}
                for g in record.groups
            ],
            "events": {
                "sample": [event.mark.sample for event in record.events],
                "alarm": [event.mark.alarm for event in record.events],
                "group": [event.group for event in record.events],
                "end": [event.end_sample for event in record.events],
                "text": [event.text for event in record.events],
                "score": [None if event.score is None else round(event.score, 2) for event in record.events],
            },
            "verdicts": {"beat": BEAT_VERDICTS, "alarm": ALARM_VERDICTS},
            **self.changes(-1),
        }

    def overview(self) -> dict[str, Any]:
        """Lowest, mean and highest heart rate and the highest score in each of up to 1,200 columns."""
        record, beats = self.record, self.record.beats
        columns = min(_COLUMNS, max(1, beats.r_sample.size))
        edges = np.linspace(0, max(1, record.end_sample), columns + 1)
        rows = np.searchsorted(beats.r_sample, edges)
        rates, score = smoothed_rates_bpm(beats), beats.score

        def each(values: NDArray[np.float64], what: Callable[[NDArray[np.float64]], float]) -> list[float | None]:
            own = (values[low:high] for low, high in itertools.pairwise(rows.tolist()))
            known = (part[np.isfinite(part)] for part in own)
            return [round(float(what(part)), 2) if part.size else None for part in known]

        return {
            "columns": columns,
            "low_bpm": each(rates, np.min), "mean_bpm": each(rates, np.mean), "high_bpm": each(rates, np.max),
            "score": each(score, np.max),
        }  # fmt: skip

    def strip(self, first_sample: int, n: int) -> dict[str, Any]:
        """Signal, mV at the record's rate, and beats of `n` samples from `first_sample` on; None = not known."""
        beats = self.record.beats
        low, high = np.searchsorted(beats.r_sample, [first_sample, first_sample + n]).tolist()
        scores = [round(value, 2) if np.isfinite(value) else None for value in beats.score[low:high].tolist()]
        return {
            "first_sample": first_sample,
            "mv": _rounded(self.record.signal.window(first_sample, n)),
            "r_sample": beats.r_sample[low:high].tolist(),
            "score": scores,
            "anomalous": beats.anomalous[low:high].tolist(),
            "quality": list(beats.quality[low:high]),
            "rr_s": [round(value, 3) if np.isfinite(value) else None for value in beats.rr_s[low:high].tolist()],
        }

    def spread(self, group: int) -> dict[str, Any]:
        """Up to 60 beats of a group, evenly over the record: mV at the record's rate; R-peak at `before`."""
        own = [event.mark.sample for event in self.record.events if event.group == group and not event.mark.alarm]
        chosen = own[:: max(1, -(-len(own) // _SPREAD))]
        fs_hz = self.record.beats.fs_hz
        before, n = round(_CUT_S[0] * fs_hz), round(sum(_CUT_S) * fs_hz) + 1
        return {
            "before": before,
            "cuts": [_rounded(self.record.signal.window(sample - before, n)) for sample in chosen],
        }

    def changes(self, seen: int) -> dict[str, Any]:
        """Decisions that have changed since change number `seen`; all for -1."""
        with self._lock:
            decisions = self._decisions
            changed = decisions.known if seen < 0 else decisions.since(seen)
            return {
                "run": self.run,
                "number": decisions.number,
                "changed": [[mark.sample, mark.alarm, *(each or (None, "", ""))] for mark, each in changed.items()],
                "undo": _words(decisions.last),
                "redo": _words(decisions.undone),
                "obstacle": self._files.obstacle,
            }

    # -- decisions -----------------------------------------------------------------------------------------------

    def decide(self, marks: Sequence[Mark], verdict: str, who: str, seen: int, *, add: bool = False) -> None:
        """Decide about events or beats.

        Args:
            marks: alarms, or beats; with `add` one beat that was missed.
            verdict: a key of BEAT_VERDICTS or ALARM_VERDICTS; empty = undecided again. An added beat that is no beat,
                or undecided, is taken out again.
            who: name of the reviewer.
            seen: number of the last change that the page has received.
            add: the beat was missed.

        Raises:
            ValueError: an unknown mark or verdict, or a beat is there already; one line.
            ConflictError: another page has changed one of the marks since.
            NotSavedError: it could not be written.
        """
        decision: Decision | None = Decision(verdict, who, f"{self._now():%Y-%m-%dT%H:%M:%SZ}") if verdict else None
        if verdict == NOT_A_BEAT and all(not mark.alarm and mark.sample not in self._beats for mark in marks):
            decision = None  # an added beat
        with self._lock:
            for mark in marks:
                self._check(mark, verdict, add=add)
            self._save(self._decisions.propose(marks, decision, seen))

    def undecided(self, group: int) -> list[Mark]:
        """The marks of a group that have no decision."""
        known = self._decisions.known
        return [event.mark for event in self.record.events if event.group == group and event.mark not in known]

    def undo(self, seen: int) -> None:
        """Take the last change back; errors as for `decide`."""
        with self._lock:
            self._save(self._decisions.propose_undo(seen))

    def redo(self, seen: int) -> None:
        """Bring back the change that was undone last; errors as for `decide`."""
        with self._lock:
            self._save(self._decisions.propose_redo(seen))

    def _check(self, mark: Mark, verdict: str, *, add: bool) -> None:
        if verdict and verdict not in (ALARM_VERDICTS if mark.alarm else BEAT_VERDICTS):
            raise ValueError(f"verdict {verdict!r}: give one of {', '.join((*BEAT_VERDICTS, *ALARM_VERDICTS))}")
        if mark.alarm:
            if mark not in self._events:
                raise ValueError(f"no alarm {mark.alarm} at sample {mark.sample}")
            return
        if not add:
            if mark.sample not in self._beats and mark not in self._decisions.known:
                raise ValueError(f"no beat at sample {mark.sample}")
            return
        if not 0 <= mark.sample < self.record.end_sample:
            raise ValueError(f"sample {mark.sample} is outside of the record")
        known = self._decisions.known
        others = self._near(mark.sample) | {each.sample for each in known if not each.alarm}
        for r in sorted(others):
            label = known.get(Mark(r))
            if abs(r - mark.sample) <= MATCH_S * self.record.beats.fs_hz and (
                label is None or label.verdict != NOT_A_BEAT
            ):
                raise ValueError("a beat is there already, less than 150 ms away: choose it and give it a label")

    def _near(self, sample: int) -> set[int]:
        r_sample, reach = self.record.beats.r_sample, MATCH_S * self.record.beats.fs_hz
        low, high = np.searchsorted(r_sample, [sample - reach, sample + reach + 1]).tolist()
        return set(r_sample[low:high].tolist())

    def _save(self, change: Change | None) -> None:
        if change is None:
            return
        try:
            self._files.write(self._decisions.with_change(change))
        except (OSError, EcgMonitorError) as error:
            what = error.strerror if isinstance(error, OSError) else error
            where = f"{self._files.paths[0].parent}: " if isinstance(error, OSError) else ""
            raise NotSavedError(f"not saved: {where}{plain_line(what)}") from None
        self._decisions.commit(change)


def _words(change: Change | None) -> str:
    """A change in words: `12 × V`; empty without one."""
    if change is None:
        return ""
    decision = next(iter(change.after.values()), None)
    return f"{len(change.after):,} × {'undecided' if decision is None else decision.verdict}"


def _rounded(samples: NDArray[Any] | None) -> list[float | None] | None:
    """mV in steps of 1 uV; None where there is no valid sample."""
    if samples is None:
        return None
    return [round(value, 3) if value == value else None for value in samples.astype(np.float64).tolist()]
