"""Where each sample of a live device lies on the source's own clock: by its counter or by counting, never by arrival.

Bytes arrive late and in bursts, so an arrival says only that a sample was taken no later. The arrivals that came
soonest lie on a line all the same, whose slope is the device's true rate; that line tells how many samples a silence
has cost, which multiple of 256 an 8-bit counter cannot show, and how far the device's crystal is from its stated rate.
(The lower envelope of delays is how network clocks are compared: Moon, Skelly and Towsley 1999,
doi:10.1109/INFCOM.1999.749287.)
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Run", "SampleClock", "measure_rate"]

COUNTER: Final = 256
SILENCE_S: Final = 0.25  # a longer one may have cost samples: the system alone seldom holds bytes back so long
SETTLE_S: Final = 0.3  # ... which is decided so much later: what was only held back has come by then, or still comes
SETTLE_MOST_S: Final = 5.0  # faster than it was taken, and is waited for so long at most
TOLERANCE_S: Final = 0.1  # a smaller deficit after a silence is no loss but jitter
AHEAD_S: Final = 0.3  # nothing can arrive so much before it is due: the device sends faster than it was said to
BLOCK_S: Final = 0.25
FIT_BLOCKS: Final = 480  # two minutes: an oscillator's temperature changes no faster
FIT_MIN_S: Final = 8.0
WINDOW_S: Final = 3.0  # over which a rate is checked that is far off
WRONG: Final = 0.1  # a heart rate is off by as much: such samples are no ECG of the time they claim
USUAL_HZ: Final = (100, 120, 125, 128, 150, 200, 240, 250, 256, 300, 360, 400, 480, 500, 512, 600, 720, 800, 960, 1000)
_SNAP: Final = 0.005  # measured over 10 s with some ms of jitter: so near to a usual rate is that rate

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


class Run(NamedTuple):
    """Samples without a gap between them, from `first_sample` on; a jump between two runs is a loss."""

    first_sample: int
    samples: Floats


class _Block(NamedTuple):
    """A quarter of a second: the last arrival in it, the samples up to then, and the shortest delay seen, s."""

    arrival_s: float
    end: int
    delay_s: float


class SampleClock:
    """Gives samples their places as they come.

    Samples that come after a silence are held for SETTLE_S, or while they come faster than they were taken, until it is
    clear whether they were only late.

    Args:
        fs_hz: rate the device is said to have, Hz.

    Attributes:
        end: index after the last sample placed.
        lost: samples known as missing so far.
        trusted: whether the samples come at about that rate; while they do not, they are placed as NaN.
    """

    def __init__(self, fs_hz: float) -> None:
        self.fs_hz = fs_hz
        self.end = 0
        self.lost = 0
        self.trusted = True
        self._counter: int | None = None  # of the last sample placed
        self._was_cut = False
        self._last_s: float | None = None  # arrival of the last samples
        self._held: list[tuple[Floats, Counts | None]] = []
        self._held_since_s: float | None = None  # a silence ended then; None: only an odd counter is held
        self._late: tuple[float, float] = (0.0, 0.0)  # when it was looked at last, how many samples were late
        self._doubt = 0  # samples that time alone says were lost: they may yet come
        self._blocks: deque[_Block] = deque(maxlen=FIT_BLOCKS)
        self._block_began_s = -math.inf
        self._block: _Block | None = None
        self._rate: float | None = None

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
    def rate_hz(self) -> float | None:
        """The device's true rate, Hz; None until FIT_MIN_S of signal came."""
        return self._rate

    @property
    def drift(self) -> float | None:
        """How much faster than said it is, as a share; None until known."""
        return None if self._rate is None else self._rate / self.fs_hz - 1.0

    def time_s(self, sample: int) -> float | None:
        """When a sample was taken, monotonic s, by the line of the soonest arrivals; None before the first."""
        if self._block is None:
            return None
        return self._block.arrival_s - (self._expected(self._block.arrival_s) - sample) / (self._rate or self.fs_hz)

    def _lateness(self) -> float:
        """How many samples should be here by the last arrival and are not, placed or held."""
        held = sum(samples.size for samples, _ in self._held)
        return self._expected(self._last_s or 0.0) - self.end - held

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
        self._learn(arrival_s, self.end)
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
        most = self._expected(arrival_s) - self.end + AHEAD_S * self.fs_hz - counters.size
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

    def _missing(self, arrival_s: float, span: int, jump: int | None = None) -> int:
        """How many samples a silence has cost.

        Args:
            arrival_s: when the last of what came after it arrived.
            span: samples from the first to the last of these, losses between them included.
            jump: what the counter says, up to multiples of 256; None without one.
        """
        due = self._expected(arrival_s) - self.end - span
        tolerance = max(2.0, TOLERANCE_S * self.fs_hz)
        if jump is not None:
            counted = jump + COUNTER * max(0, round((due - jump) / COUNTER))
            if abs(counted - due) <= tolerance:
                self._doubt = counted if counted >= COUNTER else 0
                return counted
        if due > tolerance:
            self._doubt = round(due)
            return round(due)
        return int(self._was_cut)  # a gap, however short it was

    # -- time -----------------------------------------------------------------------------------------------

    def _expected(self, arrival_s: float) -> float:
        """Samples that should have arrived by then."""
        if self._block is None:
            return float(self.end)
        rate = self._rate or self.fs_hz
        recent = [*list(self._blocks)[-8:], self._block]
        return float(np.median([block.end + (arrival_s - block.arrival_s) * rate for block in recent]))

    def _learn(self, arrival_s: float, end: int) -> None:
        """The samples up to `end` have arrived by then."""
        ahead = 0.0 if self._block is None else end - self._expected(arrival_s) - AHEAD_S * self.fs_hz
        if ahead > 0:
            if ahead > self._doubt:
                self.trusted = False
                self._rate = None
            self._doubt = 0
            self._begin_anew(arrival_s, end)
        delay_s = arrival_s - end / self.fs_hz
        block = self._block
        self._block = _Block(arrival_s, end, delay_s if block is None else min(delay_s, block.delay_s))
        if block is None:
            self._block_began_s = arrival_s
        elif arrival_s - self._block_began_s >= BLOCK_S:
            self._blocks.append(self._block)
            self._block, self._block_began_s = _Block(arrival_s, end, delay_s), arrival_s
            self._check()

    def _begin_anew(self, arrival_s: float, end: int) -> None:
        """What is known of the arrivals holds no more."""
        self._blocks.clear()
        self._block = _Block(arrival_s, end, arrival_s - end / self.fs_hz)
        self._block_began_s = arrival_s

    def _check(self) -> None:
        """Once a block: the rate of the last seconds, and that of the last minutes."""
        last = self._blocks[-1]
        recent = [block for block in self._blocks if last.arrival_s - block.arrival_s <= WINDOW_S + BLOCK_S]
        span_s = last.arrival_s - recent[0].arrival_s
        if span_s >= WINDOW_S - BLOCK_S:
            wrong = abs((last.end - recent[0].end) / span_s / self.fs_hz - 1.0) > WRONG
            self._doubt = 0
            if wrong and self.trusted:
                self.trusted, self._rate = False, None
                self._begin_anew(last.arrival_s, last.end)
                return
            self.trusted = not wrong
        if last.arrival_s - self._blocks[0].arrival_s >= FIT_MIN_S:
            self._rate = self.fs_hz * (1.0 - _slope(self._blocks))


def measure_rate(arrivals: list[tuple[float, int, Counts | None]]) -> float:
    """Sampling rate out of what arrived, Hz: a usual one where it is near, else as measured.

    Args:
        arrivals: (arrival s, samples, their counters) of each batch, some seconds of them.

    Raises:
        ValueError: less than a second of signal.
    """
    end, counter = 0, None
    blocks: list[_Block] = []
    for arrival_s, n, counters in arrivals:
        if counters is not None and n:
            first = int(counters[0]) - 1 if counter is None else counter
            end += int((np.diff(counters, prepend=first) % COUNTER).sum())
            counter = int(counters[-1])
        else:
            end += n
        blocks.append(_Block(arrival_s, end, 0.0))
    span_s = blocks[-1].arrival_s - blocks[0].arrival_s if blocks else 0.0
    if span_s < 1.0:
        raise ValueError(f"{span_s:.2f} s of signal are too few to measure a rate")
    rough = (blocks[-1].end - blocks[0].end) / span_s
    if rough <= 0:
        raise ValueError("no samples came after the first")
    delays: dict[int, _Block] = {}
    for block in blocks:
        delay_s = block.arrival_s - block.end / rough
        piece = int((block.arrival_s - blocks[0].arrival_s) / BLOCK_S)
        if piece not in delays or delay_s < delays[piece].delay_s:
            delays[piece] = _Block(block.arrival_s, block.end, delay_s)
    rate = rough * (1.0 - _slope(deque(delays.values())))
    nearest = min(USUAL_HZ, key=lambda usual: abs(usual / rate - 1.0))
    return float(nearest) if abs(nearest / rate - 1.0) <= _SNAP else round(rate, 1)


def _slope(blocks: deque[_Block]) -> float:
    """Slope of the delays over time, by least squares; delays that a stall made long are left out."""
    arrival_s = np.array([block.arrival_s for block in blocks])
    delay_s = np.array([block.delay_s for block in blocks])
    arrival_s = arrival_s - arrival_s[0]
    kept = np.ones(delay_s.size, dtype=bool)
    slope = 0.0
    for _ in range(2):
        if kept.sum() < 2:
            break
        slope, offset = np.polyfit(arrival_s[kept], delay_s[kept], 1)
        kept = delay_s - (offset + slope * arrival_s) < 0.05
    return float(slope)
