"""Indices of a live device's samples: by the device's counter or by counting. Pure.

Bytes arrive late and in bursts, so arrival times alone give no index. They decide what counting cannot: the number of
samples lost in a silence, and the multiple of 256 that an 8-bit counter cannot show.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.sources.timing.arrival_line import AHEAD_S, COUNTER, ArrivalLine

__all__ = ["Run", "SampleClock"]

SILENCE_S: Final = 0.25  # samples may be lost in a longer silence; the system alone seldom delays bytes this long
SETTLE_S: Final = 0.3  # time from a silence to the decision: delayed samples have arrived, or still arrive
SETTLE_MOST_S: Final = 5.0  # longest time to the decision while delayed samples arrive in a burst
TOLERANCE_S: Final = 0.1  # a smaller deficit after a silence is jitter, no loss

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


class Run(NamedTuple):
    """Samples without a gap, from `first_sample` on; a jump between two runs is a loss."""

    first_sample: int
    samples: Floats  # (n,), or (n, 2) of two leads


class SampleClock:
    """Gives samples their index as they arrive.

    Samples after a silence are held for SETTLE_S, and longer while they arrive faster than they were taken, until it
    is clear whether they were only late.

    Args:
        fs_hz: nominal rate of the device, Hz.
        counter_values: the device's counter starts again after this number of samples.

    Attributes:
        end: index after the last sample placed.
        lost: samples found missing so far.
    """

    def __init__(self, fs_hz: float, counter_values: int = COUNTER) -> None:
        self.fs_hz = fs_hz
        self._values = counter_values
        self.end = 0
        self.lost = 0
        self._line = ArrivalLine(fs_hz)
        self._counter: int | None = None  # of the last sample placed
        self._was_cut = False
        self._last_s: float | None = None  # arrival of the last samples
        self._held: list[tuple[Floats, Counts | None]] = []
        self._held_since_s: float | None = None  # end of a silence; None: only an unexpected counter is held
        self._late: tuple[float, float] = (0.0, 0.0)  # time of the last check, s; samples late then

    # -- input ----------------------------------------------------------------------------------------------

    def push(self, samples: Floats, arrival_s: float, counters: Counts | None = None) -> list[Run]:
        """Add the samples that arrived together.

        Args:
            samples: (n,) float64, or (n, 2) of two leads; n may be 0.
            arrival_s: monotonic, s.
            counters: (n,) int64, 0 to 255, the device's counter; None without one.

        Returns:
            The samples whose index is decided now, in order.
        """
        if len(samples) == 0:
            return self.poll(arrival_s)
        silent_s = 0.0 if self._last_s is None else arrival_s - self._last_s
        after_silence = self._last_s is not None and (silent_s > SILENCE_S or self._was_cut)
        self._held.append((samples, counters))
        self._last_s = arrival_s
        if self._held_since_s is None and after_silence:
            self._held_since_s = arrival_s
            self._late = arrival_s, self._lateness()
        if self._held_since_s is not None:
            return self.poll(arrival_s)
        return self._settle(arrival_s, final=False)

    def poll(self, now_s: float) -> list[Run]:
        """Return held samples that are decided by `now_s`; call it about every 50 ms while nothing arrives."""
        if not self._held or self._last_s is None:
            return []
        if self._held_since_s is None:
            return self._settle(self._last_s, final=True) if now_s - self._last_s >= SETTLE_S else []
        checked_s, before = self._late
        if now_s - checked_s < SETTLE_S:
            return []
        late, tolerance = self._lateness(), TOLERANCE_S * self.fs_hz
        self._late = now_s, late
        if late > tolerance and before - late > tolerance and now_s - self._held_since_s < SETTLE_MOST_S:
            return []
        return self._settle(self._last_s, final=True)

    def cut(self) -> list[Run]:
        """Mark the loss of the device: a gap precedes the next sample, and the counter starts again.

        Returns:
            The held samples.
        """
        runs = self._settle(self._last_s, final=True) if self._held and self._last_s is not None else []
        self._was_cut = True
        return runs

    # -- state ----------------------------------------------------------------------------------------------

    @property
    def trusted(self) -> bool:
        """Whether the samples arrive at about the nominal rate; otherwise they are placed as NaN."""
        return self._line.trusted

    @property
    def drift(self) -> float | None:
        """Measured rate / nominal rate - 1; None until known."""
        return None if self._line.rate_hz is None else self._line.rate_hz / self.fs_hz - 1.0

    def time_s(self, sample: int) -> float | None:
        """Return the time at which `sample` was taken, monotonic, s, by ArrivalLine; None before the first."""
        return self._line.time_s(sample)

    def _lateness(self) -> float:
        """Number of samples expected by the last arrival that are neither placed nor held."""
        held = sum(len(samples) for samples, _ in self._held)
        return self._due(self._last_s or 0.0) - self.end - held

    # -- indices --------------------------------------------------------------------------------------------

    def _settle(self, arrival_s: float, final: bool) -> list[Run]:
        """Place the held samples."""
        samples = np.concatenate([samples for samples, _ in self._held])
        known = [counters for _, counters in self._held if counters is not None]
        counters = np.concatenate(known) if len(known) == len(self._held) else None
        silence = self._held_since_s is not None
        self._held, self._held_since_s = [], None
        before = self.end
        if counters is None:
            at = np.arange(len(samples))
            missing = self._missing(arrival_s, len(samples)) if silence else 0
        else:
            at, keep = self._unwrap(counters, arrival_s, silence, final)
            if keep < len(samples):  # an unexpected last counter: the next one decides
                self._held = [(samples[keep:], counters[keep:])]
                samples, counters, at = samples[:keep], counters[:keep], at[:keep]
            missing = self._missing(arrival_s, int(at[-1]) + 1, self._jump(counters)) if silence and at.size else 0
        if len(samples) == 0:
            return []
        self._was_cut = False
        if counters is not None:
            self._counter = int(counters[-1])
        at = at + before + missing
        self.end = int(at[-1]) + 1
        self.lost += self.end - before - len(samples)
        self._line.learn(arrival_s, self.end)
        if not self.trusted:
            samples = np.full(samples.shape, np.nan)
        edges = np.flatnonzero(np.diff(at) > 1) + 1
        return [
            Run(int(places[0]), part)
            for places, part in zip(np.split(at, edges), np.split(samples, edges), strict=True)
        ]

    def _unwrap(self, counters: Counts, arrival_s: float, silence: bool, final: bool) -> tuple[Counts, int]:
        """Return the places after `end` by the counters, and how many of them are certain.

        After a silence they count from the first of these samples; `_missing` finds the loss before it.
        """
        first = int(counters[0]) - 1 if silence or self._counter is None else self._counter
        steps = np.diff(counters, prepend=first) % self._values
        odd = np.flatnonzero(steps != 1).tolist()
        if not odd:
            return np.arange(counters.size), counters.size
        most = self._due(arrival_s) - self.end + AHEAD_S * self.fs_hz - counters.size
        lost = 0
        i = 0
        while i < len(odd):
            here = odd[i]
            step, jump = int(steps[here]), (int(steps[here]) - 1) % self._values
            follows = here + 1 < counters.size
            if not follows and not final:
                steps[here] = 1
                return np.cumsum(steps) - 1, here
            # A garbled counter: the next one continues the count, less one or two packets that this one swallowed.
            # A counter that repeats shows it too: time alone would show 256 lost samples.
            after = int(steps[here + 1]) if follows else 1
            swallowed = (step + after - 2) % self._values if follows else self._values
            if swallowed == 0 or (swallowed <= 2 and (jump > 2 or after == 0)):
                steps[here], steps[here + 1] = 1, 1 + swallowed
                lost += swallowed
                i += 1 + (i + 1 < len(odd) and odd[i + 1] == here + 1)
                continue
            if silence or lost + jump <= most:
                lost += jump
                steps[here] = 1 + jump
            else:  # more than time allows: the counter started again
                steps[here] = 1
            i += 1
        return np.cumsum(steps) - 1, counters.size

    def _jump(self, counters: Counts) -> int | None:
        """Samples missing before `counters` by the counter alone, 0 to 255; None where it started again."""
        if self._counter is None or self._was_cut:
            return None
        return (int(counters[0]) - self._counter - 1) % self._values

    def _due(self, arrival_s: float) -> float:
        """Number of samples expected by `arrival_s`."""
        due = self._line.due(arrival_s)
        return float(self.end) if due is None else due

    def _missing(self, arrival_s: float, span: int, jump: int | None = None) -> int:
        """Return the number of samples lost in a silence.

        Args:
            arrival_s: arrival of the last sample after it, s.
            span: samples from the first to the last after it, including losses between them.
            jump: loss by the counter, up to multiples of 256; None without one.
        """
        due = self._due(arrival_s) - self.end - span
        tolerance = max(2.0, TOLERANCE_S * self.fs_hz)
        if jump is not None:
            counted = jump + self._values * max(0, round((due - jump) / self._values))
            if abs(counted - due) <= tolerance:
                self._line.doubt(counted if counted >= self._values else 0)
                return counted
        if due > tolerance:
            self._line.doubt(round(due))
            return round(due)
        return int(self._was_cut)  # after a cut at least one
