"""Batches: the beats of many beds scored in one call of the model, with many beds in a thread beside the loop."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import NamedTuple

from detector import Beat, Event, Scores
from detector.scorer import Scorer
from monitor.engine.bed import Bed
from monitor.engine.counters import Counters

__all__ = ["Batches", "Scored"]


class Scored(NamedTuple):
    """The events of one bed, and the scores of its scorable beats."""

    bed: Bed
    events: list[Event]
    scores: Scores


class Batches:
    """At most one batch at a time: `put`, then `take`.

    Args:
        scorer: the model.
        counters: counts beats and seconds of each batch, in the thread that calls `take`.
        beside: score in a thread while the caller continues; the model releases the interpreter lock.
    """

    def __init__(self, scorer: Scorer, counters: Counters, *, beside: bool) -> None:
        self.beside = beside
        self._scorer = scorer
        self._counters = counters
        self._thread = ThreadPoolExecutor(1, "scoring") if beside else None
        self._waiting: list[tuple[Bed, list[Event], int]] = []  # bed, events, number of beats
        self._future: Future[tuple[Scores, float]] | None = None

    def put(self, beds: Sequence[Bed]) -> None:
        """Start to score the events of these beds.

        Raises:
            ValueError: the last batch was not taken.
        """
        if self._future is not None:
            raise ValueError("the last batch was not taken")
        beats: list[Beat] = []
        for bed in beds:
            unscored, events = bed.input.unscored, bed.input.take_events()
            beats += unscored
            self._waiting.append((bed, events, len(unscored)))
        if self._thread is not None and beats:
            self._future = self._thread.submit(self._score, beats)
        else:
            self._future = Future()
            self._future.set_result(self._score(beats))

    def ready(self, timeout_s: float) -> bool:
        """Whether `take` returns a batch without waiting; waits for that up to `timeout_s`."""
        return self._future is not None and not wait([self._future], max(0.0, timeout_s)).not_done

    def take(self) -> list[Scored]:
        """Wait for the batch; empty without one."""
        if self._future is None:
            return []
        (scores, seconds), waiting = self._future.result(), self._waiting
        self._future, self._waiting = None, []
        self._counters.scored(seconds, len(scores.score))
        scored: list[Scored] = []
        first = 0
        for bed, events, beats in waiting:
            part = slice(first, first + beats)
            scored.append(Scored(bed, events, Scores(scores.log_prob[part], scores.score[part])))
            first = part.stop
        return scored

    def close(self) -> None:
        """End the thread."""
        if self._thread is not None:
            self._thread.shutdown()

    def _score(self, beats: list[Beat]) -> tuple[Scores, float]:
        began_s = time.perf_counter()
        scores = self._scorer.score_beats(beats)
        return scores, time.perf_counter() - began_s
