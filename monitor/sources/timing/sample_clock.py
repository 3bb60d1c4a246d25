"""Where each sample of a live device lies on the source's own clock: by its counter or by counting, never by arrival.

Bytes arrive late and in bursts. What the counter or counting cannot show, the line of arrivals does: how many samples a
silence has cost, and which multiple of 256 an 8-bit counter has lost.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.sources.timing.arrival_line import AHEAD_S, COUNTER, ArrivalLine

__all__ = ["Run", "SampleClock"]

SILENCE_S: Final = 0.25  # a longer one may have cost samples: the system alone seldom holds bytes back so long
SETTLE_S: Final = 0.3  # ... which is decided so much later: what was only held back has come by then, or still comes
SETTLE_MOST_S: Final = 5.0  # faster than it was taken, and is waited for so long at most
TOLERANCE_S: Final = 0.1  # a smaller deficit after a silence is no loss but jitter

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


class Run(NamedTuple):
    """Samples without a gap between them, from `first_sample` on; a jump between two runs is a loss."""

    first_sample: int
    samples: Floats


class SampleClock:
    """Gives samples their places as they come.

    Samples that come after a silence are held for SETTLE_S, or while they come faster than they were taken, until it is
    clear whether they were only late.

    Args:
        fs_hz: rate the device is said to have, Hz.

    Attributes:
        end: index after the last sample placed.
        lost: samples known as missing so far.
    """

    def __init__(self, fs_hz: float) -> None:
        self.fs_hz = fs_hz
        self.end = 0
        self.lost = 0
        self._line = ArrivalLine(fs_hz)
        self._counter: int | None = None  # of the last sample placed
        self._was_cut = False
        self._last_s: float | None = None  # arrival of the last samples
        self._held: list[tuple[Floats, Counts | None]] = []
        self._held_since_s: float | None = None  # a silence ended then; None: only an odd counter is held
        self._late: tuple[float, float] = (0.0, 0.0)  # when it was looked at last, how many samples were late

    # -- what goes in ---------------------------------------------------------------------------------------

    def push(self, samples: Floats, arrival_s: float, counters: Counts | None = None) -> list[Run]:
        """Take the samples that arrived together.

        Args:
            samples: (n,) float64; n may be 0.
            arrival_s: monotonic, s.
            counters: (n,) int64, 0 to 255, the device's own count; None where it has none.

        Returns:
            What has its place now, in order.
        """
        if samples.size == 0:
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
        """What waited long enough; to be asked now and then when nothing comes."""
        if not self._held or self._last_s is None:
            return []
        if self._held_since_s is None:
            return self._settle(self._last_s, final=True) if now_s - self._last_s >= SETTLE_S else []
        looked_s, before = self._late
        if now_s - looked_s < SETTLE_S:
            return []
        late, tolerance = self._lateness(), TOLERANCE_S * self.fs_hz
        self._late = now_s, late
        if late > tolerance and before - late > tolerance and now_s - self._held_since_s < SETTLE_MOST_S:
            return []
        return self._settle(self._last_s, final=True)

    def cut(self) -> list[Run]:
        """The device went away: something is missing before what comes next, and its counter begins anew.

        Returns:
            What was held.
        """
        runs = self._settle(self._last_s, final=True) if self._held and self._last_s is not None else []
        self._was_cut = True
        return runs

    # -- what it knows --------------------------------------------------------------------------------------

    @property
    def trusted(self) -> bool:
        """Whether the samples come at about the rate that was said; while they do not, they are placed as NaN."""
        return self._line.trusted

    @property
    def rate_hz(self) -> float | None:
        """The device's true rate, Hz; None until some seconds of signal came."""
        return self._line.rate_hz

    @property
    def drift(self) -> float | None:
        """How much faster than said it is, as a share; None until known."""
        return None if self._line.rate_hz is None else self._line.rate_hz / self.fs_hz - 1.0

    def time_s(self, sample: int) -> float | None:
        """When a sample was taken, monotonic s, by the line of the soonest arrivals; None before the first."""
        return self._line.time_s(sample)

    def _lateness(self) -> float:
        """How many samples should be here by the last arrival and are not, placed or held."""
        held = sum(samples.size for samples, _ in self._held)
        return self._due(self._last_s or 0.0) - self.end - held

    # -- places ---------------------------------------------------------------------------------------------

    def _settle(self, arrival_s: float, final: bool) -> list[Run]:
        """Place what is held."""
        samples = np.concatenate([samples for samples, _ in self._held])
        known = [counters for _, counters in self._held if counters is not None]
        counters = np.concatenate(known) if len(known) == len(self._held) else None
        silence = self._held_since_s is not None
        self._held, self._held_since_s = [], None
        before = self.end
        if counters is None:
            at = np.arange(samples.size)
            missing = self._missing(arrival_s, samples.size) if silence else 0
        else:
            at, keep = self._unwrap(counters, arrival_s, silence, final)
            if keep < samples.size:  # a last counter that does not follow: the next one tells what it is worth
                self._held = [(samples[keep:], counters[keep:])]
                samples, counters, at = samples[:keep], counters[:keep], at[:keep]
            missing = self._missing(arrival_s, int(at[-1]) + 1, self._jump(counters)) if silence and at.size else 0
        if samples.size == 0:
            return []
        self._was_cut = False
        if counters is not None:
            self._counter = int(counters[-1])
        at = at + before + missing
        self.end = int(at[-1]) + 1
        self.lost += self.end - before - samples.size
        self._line.learn(arrival_s, self.end)
        if not self.trusted:
            samples = np.full(samples.size, np.nan)
        edges = np.flatnonzero(np.diff(at) > 1) + 1
        return [
            Run(int(places[0]), part)
            for places, part in zip(np.split(at, edges), np.split(samples, edges), strict=True)
        ]

    def _unwrap(self, counters: Counts, arrival_s: float, silence: bool, final: bool) -> tuple[Counts, int]:
        """Places after `end` that the counters tell, and how many of them are sure.

        After a silence they count from the first of these samples: what was lost before it is `_missing`'s.
        """
        first = int(counters[0]) - 1 if silence or self._counter is None else self._counter
        steps = np.diff(counters, prepend=first) % COUNTER
        odd = np.flatnonzero(steps != 1).tolist()
        if not odd:
            return np.arange(counters.size), counters.size
        most = self._due(arrival_s) - self.end + AHEAD_S * self.fs_hz - counters.size
        lost = 0
        i = 0
        while i < len(odd):
            here = odd[i]
            step, jump = int(steps[here]), (int(steps[here]) - 1) % COUNTER
            follows = here + 1 < counters.size
            if not follows and not final:
                steps[here] = 1
                return np.cumsum(steps) - 1, here
            # As if nothing was from the next one on, but for one or two whose beginning this one swallowed: garbled.
            swallowed = (step + int(steps[here + 1]) - 2) % COUNTER if follows else COUNTER
            if swallowed == 0 or swallowed <= 2 < jump:
                steps[here], steps[here + 1] = 1, 1 + swallowed
                lost += swallowed
                i += 1 + (i + 1 < len(odd) and odd[i + 1] == here + 1)
                continue
            if silence or lost + jump <= most:
                lost += jump
                steps[here] = 1 + jump
            else:  # more than time allows: the counter began anew
                steps[here] = 1
            i += 1
        return np.cumsum(steps) - 1, counters.size

    def _jump(self, counters: Counts) -> int | None:
        """What the counter alone says is missing before `counters`, 0 to 255; None where it began anew."""
        if self._counter is None or self._was_cut:
            return None
        return (int(counters[0]) - self._counter - 1) % COUNTER

    def _due(self, arrival_s: float) -> float:
        """How many samples should have been placed by then."""
        due = self._line.due(arrival_s)
        return float(self.end) if due is None else due

    def _missing(self, arrival_s: float, span: int, jump: int | None = None) -> int:
        """How many samples a silence has cost.

        Args:
            arrival_s: when the last of what came after it arrived.
            span: samples from the first to the last of these, losses between them included.
            jump: what the counter says, up to multiples of 256; None without one.
        """
        due = self._due(arrival_s) - self.end - span
        tolerance = max(2.0, TOLERANCE_S * self.fs_hz)
        if jump is not None:
            counted = jump + COUNTER * max(0, round((due - jump) / COUNTER))
            if abs(counted - due) <= tolerance:
                self._line.doubt(counted if counted >= COUNTER else 0)
                return counted
        if due > tolerance:
            self._line.doubt(round(due))
            return round(due)
        return int(self._was_cut)  # a gap, however short it was
