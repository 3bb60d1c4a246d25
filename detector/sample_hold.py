"""Replacement of samples without a value, missing or invalid (NaN), so that the filter gets finite input."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.events import GapEffect
from detector.short_repr import short_repr

__all__ = ["BRIDGE_S", "NEW_OFFSET_MV", "RESTART_S", "SHORT_S", "SampleHold", "Stretch"]

BRIDGE_S = 0.0125  # half a period of the band's upper edge: nothing that passes the filter turns within it
SHORT_S = 0.06  # a QRS of 70 ms or more is not hidden by it, nor is its R-peak moved beyond the tolerance of 150 ms
NEW_OFFSET_MV = 15.0  # between the sides of a hole: more than any ECG, the electrode has another offset
RESTART_S = 1.5  # as long as a silence goes on across a loss; a restart costs what is not decided before it

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Samples that follow each other and are all of one kind.

    Attributes:
        raw: (n,) float64, mV; a straight line in a gap; NaN where the signal is off.
        filled: (n,) float64, mV, finite: the input of the filter. Same array as `raw` except where the signal is off.
        effect: of a gap; "restart" for invalid samples where the signal is off; None for valid samples.
        missing: the samples never came; otherwise invalid ones came.
        anew: the first valid sample after a run without values that was too long: the signal restarts before it.
    """

    raw: Floats
    filled: Floats
    effect: GapEffect | None = None
    missing: bool = False
    anew: bool = False

    __repr__ = short_repr


class SampleHold:
    """Straight lines over runs of missing and invalid samples, alike for both; hold back a run until its end is known.

    A run ends with the next valid sample. From `RESTART_S` on, and before the first valid sample, the signal is off:
    the last valid value (or 0) is held, nothing is held back, and the next valid sample starts a new signal: otherwise
    the filter would see the electrode's new offset, often many mV, as a step. A hole with such a step is off, too.

    Args:
        fs_hz: sampling rate, Hz.

    Attributes:
        bridge, short, restart: longest run of each effect, samples (`restart`: the shortest).
        waiting: samples held back.
    """

    def __init__(self, fs_hz: float) -> None:
        self.bridge = max(1, int(BRIDGE_S * fs_hz))
        self.short = max(self.bridge, round(SHORT_S * fs_hz))
        self.restart = round(RESTART_S * fs_hz)
        self.reset()

    def reset(self) -> None:
        """Start a new signal."""
        self.waiting = 0
        self._parts: list[tuple[int, bool]] = []  # of what is held back: samples, whether they are missing
        self._off = False
        self._value: float | None = None  # the last valid one, mV

    def push(self, raw: Floats) -> list[Stretch]:
        """Take the next samples, (n,) mV, n at least 1, NaN = invalid."""
        if self._value is not None and not self.waiting and not self._off and math.isfinite(raw.sum()):
            self._value = float(raw[-1])  # the usual case: every sample is valid
            return [Stretch(raw, raw)]
        valid = ~np.isnan(raw)
        stretches: list[Stretch] = []
        edges = [0, *(np.flatnonzero(np.diff(valid)) + 1).tolist(), raw.size]
        for low, high in itertools.pairwise(edges):
            if not valid[low]:
                stretches += self._wait(high - low, missing=False)
                continue
            stretches += self._fill(float(raw[low]))
            stretches.append(Stretch(raw[low:high], raw[low:high], anew=self._off))
            self._off, self._value = False, float(raw[high - 1])
        return stretches

    def skip(self, n: int) -> list[Stretch]:
        """The next `n` samples are missing; `n` is under `restart`."""
        return self._wait(n, missing=True)

    def release(self) -> list[Stretch]:
        """No valid sample follows: give what is held back, filled with the last valid value."""
        return self._fill(0.0 if self._value is None else self._value)

    def _wait(self, n: int, missing: bool) -> list[Stretch]:
        """Hold back `n` more samples, or give them with what was held back if the signal is off."""
        if self._parts and self._parts[-1][1] == missing:
            self._parts[-1] = self._parts[-1][0] + n, missing
        else:
            self._parts.append((n, missing))
        self.waiting += n
        self._off = self._off or self._value is None or self.waiting >= self.restart
        return self._give_off() if self._off else []

    def _give_off(self) -> list[Stretch]:
        """What is held back, as a signal that is off."""
        value = 0.0 if self._value is None else self._value
        stretches = [
            Stretch(np.full(n, np.nan), np.full(n, value), "hole" if gone else "restart", gone)
            for n, gone in self._parts
        ]
        self.waiting, self._parts = 0, []
        return stretches

    def _fill(self, next_mv: float) -> list[Stretch]:
        """What is held back, as a straight line to the valid sample that follows it."""
        if not self._parts or self._value is None:
            return []
        if self.waiting > self.short and abs(next_mv - self._value) > NEW_OFFSET_MV:
            self._off = True
            return self._give_off()
        effect: GapEffect = "bridged" if self.waiting <= self.bridge else "hole"
        if self.bridge < self.waiting <= self.short:
            effect = "unscored"
        line = np.linspace(self._value, next_mv, self.waiting + 2)[1:-1]
        stretches, at = [], 0
        for n, missing in self._parts:
            stretches.append(Stretch(line[at : at + n], line[at : at + n], effect, missing))
            at += n
        self.waiting, self._parts = 0, []
        return stretches
