"""Counters of the loop: alarms, latencies, inference times.

Plain numbers without locks. Another thread may read them at any time: a read copies one list or dict, which is one
step of CPython.
"""

from __future__ import annotations

import bisect
from collections import Counter

from monitor.messages import AlarmMessage

__all__ = ["Counters", "Histogram"]

_LATENCY_BUCKETS_S = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)
_INFERENCE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)


class Histogram:
    """Counts of values by bucket.

    Args:
        bounds: upper bounds of the buckets, ascending; a last bucket without a bound is added.

    >>> h = Histogram((0.1, 1.0)); h.observe(0.1); h.observe(7.0); h.read()
    ([1, 0, 1], 7.1)
    """

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self._cells: list[float] = [0.0] * (len(bounds) + 2)  # a count for each bucket, then the sum

    def observe(self, value: float) -> None:
        """Count a value."""
        cells = self._cells.copy()  # replaced in one step: count and sum always agree
        cells[bisect.bisect_left(self.bounds, value)] += 1
        cells[-1] += value
        self._cells = cells

    def read(self) -> tuple[list[int], float]:
        """Values in each bucket (not cumulative), and the sum of all values."""
        cells = self._cells
        return [int(count) for count in cells[:-1]], cells[-1]


class Counters:
    """Counts of one monitor.

    Attributes:
        onsets: (bed, kind, priority) -> alarms raised.
        active: alarm_id -> (bed, priority, state) of every alarm not cleared.
        alarm_latency_s, beat_latency_s: from the arrival of the deciding sample to publication, s.
        inference_s, batch_beats: seconds and beats of each call of the model.
        heartbeat_s: time of the last heartbeat, Unix time, s; 0 before the first.
    """

    def __init__(self) -> None:
        self.onsets: Counter[tuple[str, str, str]] = Counter()
        self.active: dict[str, tuple[str, str, str]] = {}
        self.alarm_latency_s = Histogram(_LATENCY_BUCKETS_S)
        self.beat_latency_s = Histogram(_LATENCY_BUCKETS_S)
        self.inference_s = Histogram(_INFERENCE_BUCKETS_S)
        self.batch_beats = Histogram(_BATCH_BUCKETS)
        self.heartbeat_s = 0.0

    def alarm(self, message: AlarmMessage) -> None:
        """Count a changed alarm."""
        alarm = message.alarm
        if alarm.state == "onset" and alarm.count == 1 and not alarm.update:
            self.onsets[alarm.bed, alarm.kind, alarm.priority] += 1
            if message.latency_ms is not None:
                self.alarm_latency_s.observe(message.latency_ms / 1e3)
        if alarm.state == "cleared":
            self.active.pop(alarm.alarm_id, None)
        else:
            self.active[alarm.alarm_id] = (alarm.bed, alarm.priority, alarm.state)

    def scored(self, seconds: float, beats: int) -> None:
        """Count a call of the model."""
        if beats:
            self.inference_s.observe(seconds)
            self.batch_beats.observe(beats)
