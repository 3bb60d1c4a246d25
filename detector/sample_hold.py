"""Sample and hold: replacement of invalid samples for the filter, and restart after a long invalid run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["SampleHold"]

Floats = NDArray[np.float64]


class SampleHold:
    """Replace invalid samples (NaN) by the last valid one, so that the filter gets finite input.

    Args:
        restart: length of an invalid run, samples, after which the signal restarts: otherwise the filter would see
            the electrode's new offset, often many mV, as a step. The first valid sample after an invalid start
            also restarts it.
    """

    def __init__(self, restart: int) -> None:
        self._restart = restart
        self.reset()

    def reset(self) -> None:
        """Start a new signal."""
        self._invalid_run = 0
        self._value: float | None = None

    def split(self, raw: Floats) -> list[Floats]:
        """`raw`, (n,) mV, cut where a valid sample starts a new signal; the first piece may be empty."""
        valid = ~np.isnan(raw)
        if valid.all() and self._invalid_run == 0:
            return [raw]
        cuts, run, began = [], self._invalid_run, self._value is not None
        edges = np.flatnonzero(np.diff(valid)) + 1
        position = 0
        for edge in [*edges.tolist(), raw.size]:
            if valid[position]:
                if self._begins_anew(run, began):
                    cuts.append(position)
                run, began = 0, True
            else:
                run += edge - position
            position = edge
        return np.split(raw, cuts) if cuts else [raw]

    def begins_anew(self, first_mv: float) -> bool:
        """Whether the next sample, `first_mv`, starts a new signal."""
        return not np.isnan(first_mv) and self._begins_anew(self._invalid_run, self._value is not None)

    def fill(self, raw: Floats) -> Floats:
        """`raw`, (n,) mV, n at least 1, with the last valid value in place of invalid samples; 0 without one."""
        valid = ~np.isnan(raw)
        if valid.all():
            self._invalid_run, self._value = 0, float(raw[-1])
            return raw
        at = np.flatnonzero(valid)
        self._invalid_run = raw.size - 1 - int(at[-1]) if at.size else self._invalid_run + raw.size
        last = np.maximum.accumulate(np.where(valid, np.arange(raw.size), -1))
        filled = np.where(last >= 0, raw[last], 0.0 if self._value is None else self._value)
        if at.size:
            self._value = float(raw[at[-1]])
        return filled

    def _begins_anew(self, invalid_run: int, began: bool) -> bool:
        return invalid_run >= self._restart or (invalid_run > 0 and not began)
