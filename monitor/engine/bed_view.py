"""View of a bed: which waves and status a display has received, and when the next are due."""

from __future__ import annotations

import math
from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray

from monitor.engine.bed_input import BedInput
from monitor.messages import WaveHeader

__all__ = ["STATUS_S", "BedView"]

STATUS_S = 1.0  # between two status messages


class BedView:
    """What displays know of a bed.

    Args:
        name: name of the bed.
        bed_input: its signal.
        counts: the counts of the bed; `dropped_waves` is counted here.

    Attributes:
        shown: samples before this index were sent or skipped.
        wave_due_s, status_due_s: when the next wave and status are due, by the clock, s.
    """

    def __init__(self, name: str, bed_input: BedInput, counts: dict[str, int]) -> None:
        self._name = name
        self._input = bed_input
        self._counts = counts
        self.shown = 0
        self.wave_due_s = self.status_due_s = -math.inf
        self._condition: Hashable = None  # at the last status

    def wave_due(self, now_s: float, period_s: float) -> bool:
        """Whether a wave is due; if so, the next is due a period later."""
        if now_s < self.wave_due_s:
            return False
        # Counted from the due time: else the step of the loop would make waves rarer than configured.
        self.wave_due_s = max(self.wave_due_s + period_s, now_s)
        return True

    def wave(self) -> tuple[WaveHeader, NDArray[np.float32]] | None:
        """The newest samples not sent yet, as far as they are kept; None when there are none."""
        now, most = self._input.history.filtered_end, self._input.history.capacity
        first, n = self.shown, now - self.shown
        if n <= 0:
            return None
        if n > most:
            self._counts["dropped_waves"] += 1
            first, n = now - most, most
        self.shown = now
        header = WaveHeader(
            sample=first,
            time=self._input.time_of(first),
            bed=self._name,
            first_sample=first,
            n=n,
            fs_hz=self._input.source.fs_hz,
            pacer_samples=self._input.detector.pacer.between(first, first + n),
        )
        return header, self._input.history.get(first, n)

    def skip_wave(self, *, counted: bool) -> None:
        """Do not send the samples up to now: no display shows the bed, or (`counted`) the monitor is overloaded."""
        now = self._input.history.filtered_end
        self._counts["dropped_waves"] += counted and now > self.shown
        self.shown = now

    def status_due(self, now_s: float, condition: Hashable, least_s: float) -> bool:
        """Whether a status is due: its time has come, or the condition changed; the next one not before `least_s`."""
        if now_s < self.status_due_s and condition == self._condition:
            return False
        self.status_due_s = max(self.status_due_s + STATUS_S, now_s + least_s)
        self._condition = condition
        return True
