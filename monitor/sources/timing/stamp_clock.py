"""Sample numbers out of time stamps: what came late is not lost, what is lost shows.

Programs stamp a sample when they hand it on, so stamps are late by whatever the program was busy with; a sample is
never stamped early. A stamp that is late therefore means a loss only where all stamps after it stay late.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["HOLD_S", "LATE_S", "StampClock"]

Floats = NDArray[np.float64]

LATE_S = 0.1  # less is the usual jitter of programs; a loss shorter than this cannot be told from it
HOLD_S = 0.5  # stamps must stay late for so long before that counts as a loss
_CATCHING_UP_S = 0.025  # less late by this: a sender that works off what waited, nothing is decided yet
_HELD_S = 10.0  # never more signal than this waits for the decision
_FOLLOW_S = 2.0  # time constant of the drift correction: 2 % drift is then 40 ms, well under LATE_S
_LONGEST_S = 86_400.0  # a stamp further off was set anew, not late


class StampClock:
    """Give samples their index by their stamps.

    Drift of the sender's clock is followed. Samples whose stamps are late by LATE_S are held until it is clear whether
    something was lost before them: for HOLD_S, and as long as they become less late.

    Args:
        fs_hz: sampling rate, Hz.

    Attributes:
        next: index of the next sample to come out, if nothing was lost before it.
        resets: how often the stamps were set anew: they ran back, or leapt by more than a day.

    >>> clock = StampClock(100.0)
    >>> [(first, len(s)) for first, s in clock.push(np.zeros(100), np.arange(100) / 100)]
    [(0, 100)]
    >>> [(first, len(s)) for first, s in clock.push(np.zeros(100), 3 + np.arange(100) / 100)]
    [(300, 100)]
    """

    def __init__(self, fs_hz: float) -> None:
        self.fs_hz = fs_hz
        self.next = 0
        self.resets = 0
        self._due_s: float | None = None  # stamp that the next sample would have; None = take it from the next one
        self._held: list[tuple[float, float]] = []  # (sample, stamp)
        self._least_late_s = math.inf  # among the held ones
        self._mark_s, self._mark_late_s = 0.0, math.inf  # stamp since which it has not fallen, and how late that was
        self._last_late_s = 0.0
        self._most = round(_HELD_S * fs_hz)
        self._follow = 1.0 / (_FOLLOW_S * fs_hz)

    def push(self, samples: Floats, stamps: Floats) -> list[tuple[int, Floats]]:
        """Take samples in.

        Args:
            samples: (n,) in order.
            stamps: (n,) s on the sender's clock; not finite = none.

        Returns:
            (index of the first, samples) of what is certain now, in order.
        """
        return self._place(zip(samples.tolist(), stamps.tolist(), strict=True))

    def flush(self) -> list[tuple[int, Floats]]:
        """Nothing more comes for now: what is held counts as coming after a loss."""
        runs: list[tuple[int, Floats]] = []
        while self._held:
            runs += self._place(self._lose())
        return runs

    def restart(self, missing: int) -> list[tuple[int, Floats]]:
        """The stream broke off: `missing` samples were lost, and the next stamp begins anew.

        Returns:
            What was held.
        """
        runs = self.flush()
        self.next += missing
        self._due_s = None
        return runs

    def _place(self, arrived: Iterable[tuple[float, float]]) -> list[tuple[int, Floats]]:
        runs: list[tuple[int, Floats]] = []
        certain: list[float] = []  # follow each other, from self.next on
        waiting = deque(arrived)
        while waiting:
            sample, stamp_s = waiting.popleft()
            if self._due_s is None:
                self._due_s = stamp_s if math.isfinite(stamp_s) else None
            due_s = stamp_s if self._due_s is None else self._due_s + (len(certain) + len(self._held)) / self.fs_hz
            late_s = stamp_s - due_s if math.isfinite(stamp_s) else self._least_late_s if self._held else 0.0
            if not -LATE_S <= late_s <= _LONGEST_S:
                self.resets += 1
                if self._due_s is not None:
                    self._due_s += late_s
                late_s = 0.0
            if late_s < LATE_S:
                certain += [*(held for held, _ in self._release()), sample]
                if self._due_s is not None:
                    self._due_s += self._follow * late_s
                continue
            if late_s < self._mark_late_s - _CATCHING_UP_S or late_s > self._last_late_s + LATE_S:  # or late once more
                self._mark_s, self._mark_late_s = stamp_s, late_s
            self._last_late_s = late_s
            self._least_late_s = min(self._least_late_s, late_s)
            self._held.append((sample, stamp_s))
            if stamp_s - self._mark_s >= HOLD_S or len(self._held) >= self._most:
                self._emit(certain, runs)
                certain = []
                waiting.extendleft(reversed(self._lose()))
        self._emit(certain, runs)
        return runs

    def _lose(self) -> list[tuple[float, float]]:
        """What is held came after a loss: give it back, to be placed anew. The least late of it is on time then."""
        lost = max(1, round(self._least_late_s * self.fs_hz))
        self.next += lost
        if self._due_s is not None:
            self._due_s += lost / self.fs_hz
        return self._release()

    def _release(self) -> list[tuple[float, float]]:
        held, self._held = self._held, []
        self._least_late_s = self._mark_late_s = math.inf
        self._last_late_s = 0.0
        return held

    def _emit(self, certain: list[float], runs: list[tuple[int, Floats]]) -> None:
        if certain:
            runs.append((self.next, np.array(certain)))
            self.next += len(certain)
            if self._due_s is not None:
                self._due_s += len(certain) / self.fs_hz
