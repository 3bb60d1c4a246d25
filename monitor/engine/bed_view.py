"""View of a bed: which waves and status a display has received, and when the next are due."""

from __future__ import annotations

import math
from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray

from monitor.engine.bed_input import BedInput
from monitor.messages import WaveHeader

__all__ = ["BedView"]


class BedView:
    """What displays know of a bed.

    Args:
        name: name of the bed.
        bed_input: its signal.
        counts: the counts of the bed; `dropped_waves` is counted here.
    """

    def __init__(self, name: str, bed_input: BedInput, counts: dict[str, int]) -> None:
        self._name = name
        self._input = bed_input
        self._counts = counts
        self._shown = 0  # samples before this index were sent or skipped
        self._wave_due_s = -math.inf
        self._status_due_s = -math.inf
        self._condition: Hashable = None  # at the last status

    def begin(self, first_sample: int) -> None:
        """Waves start with this sample."""
        self._shown = first_sample

    def wave_due(self, now_s: float, period_s: float) -> bool:
        """Whether a wave is due; if so, the next is due a period later."""
        if now_s < self._wave_due_s:
            return False
        # Counted from the due time: else the step of the loop would make waves rarer than configured.
        self._wave_due_s = max(self._wave_due_s + period_s, now_s)
        return True

    def wave(self, most: int) -> tuple[WaveHeader, NDArray[np.float32]] | None:
        """The newest samples not sent yet, at most `most`; None when there are none."""
        now = self._input.now
        first, n = self._shown, now - self._shown
        if n <= 0:
            return None
        if n > most:
            self._counts["dropped_waves"] += 1
            first, n = now - most, most
        self._shown = now
        header = WaveHeader(
            sample=first,
            time=self._input.time.of(first),
            bed=self._name,
            first_sample=first,
            n=n,
            fs_hz=self._input.source.fs_hz,
        )
        return header, self._input.history.get(first, n)

    def skip_wave(self, *, counted: bool) -> None:
        """Do not send the samples up to now: no display shows the bed, or (`counted`) the monitor is overloaded."""
        now = self._input.now
        self._counts["dropped_waves"] += counted and now > self._shown
        self._shown = now

    def status_due(self, now_s: float, condition: Hashable, period_s: float, least_s: float) -> bool:
        """Whether a status is due: its time has come, or the condition changed.

        Args:
            now_s: by the clock, s.
            condition: parts of the status that are published at once when they change.
            period_s: from one due time to the next, s.
            least_s: from now to the next due time at least, s.
        """
        if now_s < self._status_due_s and condition == self._condition:
            return False
        self._status_due_s = max(self._status_due_s + period_s, now_s + least_s)
        self._condition = condition
        return True

    def follow(self, other: BedView) -> None:
        """Take over from the view of the bed that this one replaces when the next status is due."""
        self._status_due_s = other._status_due_s

    def delay_status(self, due_s: float) -> None:
        """Set when the next status is due, by the clock, s."""
        self._status_due_s = due_s

    def show_status_at_once(self) -> None:
        """A status is due now."""
        self._status_due_s = -math.inf

    def show_at_once(self) -> None:
        """A wave and a status are due now."""
        self._wave_due_s = self._status_due_s = -math.inf
