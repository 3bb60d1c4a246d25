"""Sample indices from time stamps: a late sample is not lost, a lost sample leaves a gap. Pure.

A program stamps a sample when it sends it, so a busy program stamps late, but never early. A late stamp therefore means
a loss only if all stamps after it are late too.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["FOLLOW_S", "HOLD_S", "LATE_S", "LONGEST_GAP_S", "Sample", "StampClock"]

Floats = NDArray[np.float64]
Sample = float | list[float]  # of one lead, or of two

LATE_S = 0.1  # usual jitter of programs; a shorter loss cannot be distinguished from it
HOLD_S = 0.5  # stamps that stay late for this time mean a loss
_CATCHING_UP = 0.25  # decrease of lateness, of late_s, that shows a sender catching up; the decision waits
_HELD_S = 10.0  # longest signal that waits for the decision
FOLLOW_S = 2.0  # time constant of the drift correction: 2 % drift is then 40 ms, well under LATE_S
LONGEST_GAP_S = 86_400.0  # a stamp later than this is a reset, not a delay


class StampClock:
    """Gives samples their index by their stamps; follows drift of the sender's clock.

    Samples whose stamps are late by `late_s` are held until it is clear whether samples before them were lost: for
    `hold_s`, and longer while they become less late.

    Many attributes: the lateness of the held samples needs five numbers, and its limits two.

    Args:
        fs_hz: sampling rate, Hz.
        late_s: lateness that may be a loss, s; less where the stamps are regular.
        hold_s: time for which stamps must stay late, s.

    Attributes:
        next: index of the next sample, unless samples before it were lost.
        resets: number of resets of the stamps: they ran back, or jumped by more than a day or beyond `longest_s`.
        longest_s: longest sum of all losses, s; a live source sets it, because a stream cannot lose more than a fault
            of its clock and the time that has passed.

    >>> clock = StampClock(100.0)
    >>> [(first, len(s)) for first, s in clock.push(np.zeros(100), np.arange(100) / 100)]
    [(0, 100)]
    >>> [(first, len(s)) for first, s in clock.push(np.zeros(100), 3 + np.arange(100) / 100)]
    [(300, 100)]
    """

    def __init__(self, fs_hz: float, late_s: float = LATE_S, hold_s: float = HOLD_S) -> None:
        self.fs_hz = fs_hz
        self._late_s, self._hold_s = late_s, hold_s
        self.next = 0
        self.resets = 0
        self.longest_s = math.inf
        self._lost_s = 0.0  # sum of all losses
        self._due_s: float | None = None  # expected stamp of the next sample; None = take the stamp of the next one
        self._held: list[tuple[Sample, float]] = []  # (sample, stamp)
        self._least_late_s = math.inf  # of the held samples
        self._mark_s, self._mark_late_s = 0.0, math.inf  # stamp since which lateness has not fallen, and its lateness
        self._last_late_s = 0.0
        self._most = round(_HELD_S * fs_hz)
        self._follow = 1.0 / (FOLLOW_S * fs_hz)

    def push(self, samples: Floats, stamps: Floats) -> list[tuple[int, Floats]]:
        """Add samples.

        Args:
            samples: (n,) float64, or (n, 2) of two leads, in order.
            stamps: (n,) float64, s on the sender's clock; not finite = no stamp.

        Returns:
            Runs of samples whose index is certain now, in order: (index of the first, samples).
        """
        return self._place(zip(samples.tolist(), stamps.tolist(), strict=True))

    def flush(self) -> list[tuple[int, Floats]]:
        """Give the held samples, as after a loss: nothing more comes for now."""
        runs: list[tuple[int, Floats]] = []
        while self._held:
            runs += self._place(self._lose())
        return runs

    def restart(self, missing: int) -> list[tuple[int, Floats]]:
        """Begin again after the stream was lost: `missing` samples are missing, the next stamp is a new start.

        Returns:
            The held samples, as runs.
        """
        runs = self.flush()
        self.next += missing
        self._due_s = None
        return runs

    def _place(self, arrived: Iterable[tuple[Sample, float]]) -> list[tuple[int, Floats]]:
        runs: list[tuple[int, Floats]] = []
        certain: list[Sample] = []  # without a gap, from self.next on
        waiting = deque(arrived)
        while waiting:
            sample, stamp_s = waiting.popleft()
            if self._due_s is None:
                before = (len(certain) + len(self._held)) / self.fs_hz  # samples without a stamp
                self._due_s = stamp_s - before if math.isfinite(stamp_s) else None
            due_s = stamp_s if self._due_s is None else self._due_s + (len(certain) + len(self._held)) / self.fs_hz
            late_s = stamp_s - due_s if math.isfinite(stamp_s) else self._least_late_s if self._held else 0.0
            if not -LATE_S <= late_s <= min(LONGEST_GAP_S, self.longest_s - self._lost_s):
                self.resets += 1
                if self._due_s is not None:
                    self._due_s += late_s
                late_s = 0.0
            if late_s < self._late_s:
                certain += [*(held for held, _ in self._release()), sample]
                if self._due_s is not None:
                    self._due_s += self._follow * late_s
                continue
            catching_up = late_s < self._mark_late_s - _CATCHING_UP * self._late_s
            if catching_up or late_s > self._last_late_s + self._late_s:  # or late again
                self._mark_s, self._mark_late_s = stamp_s, late_s
            self._last_late_s = late_s
            self._least_late_s = min(self._least_late_s, late_s)
            self._held.append((sample, stamp_s))
            if stamp_s - self._mark_s >= self._hold_s or len(self._held) >= self._most:
                self._emit(certain, runs)
                certain = []
                waiting.extendleft(reversed(self._lose()))
        self._emit(certain, runs)
        return runs

    def _lose(self) -> list[tuple[Sample, float]]:
        """Assume a loss before the held samples and return them, to be placed again; the least late is then on time."""
        lost = max(1, round(self._least_late_s * self.fs_hz))
        self.next += lost
        self._lost_s += lost / self.fs_hz
        if self._due_s is not None:
            self._due_s += lost / self.fs_hz
        return self._release()

    def _release(self) -> list[tuple[Sample, float]]:
        held, self._held = self._held, []
        self._least_late_s = self._mark_late_s = math.inf
        self._last_late_s = 0.0
        return held

    def _emit(self, certain: list[Sample], runs: list[tuple[int, Floats]]) -> None:
        if certain:
            runs.append((self.next, np.array(certain)))
            self.next += len(certain)
            if self._due_s is not None:
                self._due_s += len(certain) / self.fs_hz
