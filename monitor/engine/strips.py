"""Strips: 10 s of signal of each alarm, cut at its decision and again when the last samples are read.

The middle is the onset, or the decision of an alarm that needs a minute for it (`anomaly_burden`): the samples around
its onset are no longer kept then.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detector.pacer import find_pulses
from monitor.engine.bed_input import BedInput
from monitor.messages import Alarm

__all__ = ["STRIP_S", "Cut", "StripCutter", "strip_data"]

STRIP_S = 10.0
_OLD_S = 30.0  # from onset to decision: after more, the strip shows the decision (a bed keeps 60 s of signal)

Cut = tuple[Alarm, int, NDArray[np.float32]]
"""The alarm, the first sample of its strip, and the strip: (2, n) raw and filtered, mV, NaN = no valid sample."""


class StripCutter:
    """Strips of one bed, cut from the recent samples of the lead that is used, at `fs_hz`, Hz."""

    def __init__(self, bed_input: BedInput, fs_hz: float) -> None:
        self._input = bed_input
        self._n = round(STRIP_S * fs_hz)
        self._old = round(_OLD_S * fs_hz)
        self._waiting: list[Alarm] = []  # whose strip is not complete
        self._last: dict[str, str] = {}  # kind -> last alarm of that kind with a strip

    def begin(self, alarm: Alarm) -> Cut | None:
        """Cut the strip of an onset as far as it is read: the monitor may die, or the source fall silent.

        Returns:
            None where the alarm has a strip, or this is no onset.
        """
        if alarm.state != "onset" or self._last.get(alarm.kind) == alarm.alarm_id:
            return None
        self._last[alarm.kind] = alarm.alarm_id
        self._waiting.append(alarm)
        return self._cut(alarm)

    def has(self, alarm: Alarm) -> None:
        """Note that an alarm of an earlier run has a strip: this run has not read the signal around its onset."""
        self._last[alarm.kind] = alarm.alarm_id

    def complete(self, *, ended: bool) -> list[Cut]:
        """Cut the strips that are complete by now; all remaining ones if the source ended."""
        if not self._waiting:
            return []
        last = self._input.history.filtered_end - self._n + self._n // 2
        ready = [alarm for alarm in self._waiting if ended or self._middle(alarm) <= last]
        self._waiting = [alarm for alarm in self._waiting if alarm not in ready]
        return [self._cut(alarm) for alarm in ready]

    def _cut(self, alarm: Alarm) -> Cut:
        first = self._middle(alarm) - self._n // 2
        return alarm, first, self._input.history.get(first, self._n)

    def _middle(self, alarm: Alarm) -> int:
        old = alarm.decided_sample - alarm.onset_sample > self._old
        return alarm.decided_sample if old else alarm.onset_sample


def strip_data(first_sample: int, fs_hz: float, samples: NDArray[np.float32]) -> dict[str, object]:
    """A strip as the control socket sends it; NaN becomes null, because JSON has no NaN."""
    pulses = find_pulses(samples[0], fs_hz, first_sample)
    raw, filtered = ([None if np.isnan(v) else round(float(v), 4) for v in row] for row in samples)
    return {
        "first_sample": first_sample,
        "fs_hz": fs_hz,
        "raw_mv": raw,
        "filtered_mv": filtered,
        "pacer_samples": pulses,
    }
