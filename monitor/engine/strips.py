"""The 10 s of signal around the onset of each alarm: cut at once as far as they have come, and whole when they have."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.engine.signal_history import SignalHistory
from monitor.messages import Alarm

__all__ = ["STRIP_S", "Cut", "StripCutter", "strip_data"]

STRIP_S = 10.0

Cut = tuple[Alarm, int, NDArray[np.float32]]
"""The alarm, the first sample of its strip, and the strip: (2, n) raw and filtered, mV, NaN = no valid sample."""


class StripCutter:
    """Strips of one bed.

    Args:
        history: of the bed; recent samples.
        fs_hz: sampling rate, Hz.
    """

    def __init__(self, history: SignalHistory, fs_hz: float) -> None:
        self._history = history
        self._n = round(STRIP_S * fs_hz)
        self._waiting: list[Alarm] = []  # for the rest of their 10 s
        self._last: dict[str, str] = {}  # kind -> its last alarm that has a strip

    def begin(self, alarm: Alarm) -> Cut | None:
        """What is there already at an onset, for the monitor may die, or the source fall silent, before the rest.

        Returns:
            None where the alarm has its strip, or this is no onset.
        """
        if alarm.state != "onset" or self._last.get(alarm.kind) == alarm.alarm_id:
            return None
        self._last[alarm.kind] = alarm.alarm_id
        self._waiting.append(alarm)
        return self._cut(alarm)

    def has(self, alarm: Alarm) -> None:
        """An alarm of a run before has its strip: none is cut of signal that this one never saw."""
        self._last[alarm.kind] = alarm.alarm_id

    def complete(self, *, ended: bool) -> list[Cut]:
        """Strips whose signal is there by now, or all that wait where nothing more comes."""
        ready: list[Alarm] = []
        waiting: list[Alarm] = []
        for alarm in self._waiting:
            there = self._history.end >= alarm.onset_sample - self._n // 2 + self._n
            (ready if ended or there else waiting).append(alarm)
        self._waiting = waiting
        return [self._cut(alarm) for alarm in ready]

    def _cut(self, alarm: Alarm) -> Cut:
        first = alarm.onset_sample - self._n // 2
        return alarm, first, self._history.get(first, self._n)


def strip_data(first_sample: int, fs_hz: float, samples: NDArray[np.float32]) -> dict[str, object]:
    """A strip as the control socket gives it; NaN becomes null, which JSON can say."""
    raw, filtered = ([None if np.isnan(v) else round(float(v), 4) for v in row] for row in samples)
    return {"first_sample": first_sample, "fs_hz": fs_hz, "raw_mv": raw, "filtered_mv": filtered}
