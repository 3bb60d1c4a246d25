"""When the samples of a live device are due: the line of their soonest arrivals.

An arrival says only that a sample was taken no later. The arrivals that came soonest lie on a line all the same, whose
slope is the device's true rate. (The lower envelope of delays is how network clocks are compared: Moon, Skelly and
Towsley 1999, doi:10.1109/INFCOM.1999.749287.)
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["AHEAD_S", "COUNTER", "ArrivalLine", "measure_rate"]

COUNTER: Final = 256
AHEAD_S: Final = 0.3  # nothing can arrive so much before it is due: the device sends faster than it was said to
BLOCK_S: Final = 0.25
FIT_BLOCKS: Final = 480  # two minutes: an oscillator's temperature changes no faster
FIT_MIN_S: Final = 8.0
WINDOW_S: Final = 3.0  # over which a rate is checked that is far off
WRONG: Final = 0.1  # a heart rate is off by as much: such samples are no ECG of the time they claim
_RECENT: Final = 8  # blocks that tell when the next samples are due
_LATE_S: Final = 0.05  # over the line: what a stall held back tells nothing of the rate
USUAL_HZ: Final = (100, 120, 125, 128, 150, 200, 240, 250, 256, 300, 360, 400, 480, 500, 512, 600, 720, 800, 960, 1000)
_SNAP: Final = 0.005  # measured over 10 s with some ms of jitter: so near to a usual rate is that rate

Counts = NDArray[np.int64]


class _Block(NamedTuple):
    """A quarter of a second: the last arrival in it, the samples up to then, and the shortest delay seen, s."""

    arrival_s: float
    end: int
    delay_s: float


class ArrivalLine:
    """Learns when samples arrive, tells when others are due.

    Args:
        fs_hz: rate the device is said to have, Hz.

    Attributes:
        rate_hz: its true rate, Hz; None until FIT_MIN_S of signal came.
        trusted: whether the samples come at about the rate that was said.
    """

    def __init__(self, fs_hz: float) -> None:
        self.fs_hz = fs_hz
        self.rate_hz: float | None = None
        self.trusted = True
        self._blocks: deque[_Block] = deque(maxlen=FIT_BLOCKS)
        self._block: _Block | None = None
        self._began_s = -math.inf  # of that block
        self._doubt = 0

    def doubt(self, samples: int) -> None:
        """So many samples were given up by time alone: should they come after all, that is no faster device."""
        self._doubt = samples

    def due(self, arrival_s: float) -> float | None:
        """How many samples should have arrived by then; None before the first."""
        if self._block is None:
            return None
        rate = self.rate_hz or self.fs_hz
        recent = [*list(self._blocks)[-_RECENT:], self._block]
        return float(np.median([block.end + (arrival_s - block.arrival_s) * rate for block in recent]))

    def time_s(self, sample: int) -> float | None:
        """When a sample was taken, monotonic s; None before the first."""
        if self._block is None or (due := self.due(self._block.arrival_s)) is None:
            return None
        return self._block.arrival_s - (due - sample) / (self.rate_hz or self.fs_hz)

    def learn(self, arrival_s: float, end: int) -> None:
        """The samples up to `end` have arrived by then."""
        due = self.due(arrival_s)
        ahead = 0.0 if due is None else end - due - AHEAD_S * self.fs_hz
        if ahead > 0:
            if ahead > self._doubt:
                self.trusted, self.rate_hz = False, None
            self._doubt = 0
            self._begin_anew(arrival_s, end)
        delay_s = arrival_s - end / self.fs_hz
        block = self._block
        self._block = _Block(arrival_s, end, delay_s if block is None else min(delay_s, block.delay_s))
        if block is None:
            self._began_s = arrival_s
        elif arrival_s - self._began_s >= BLOCK_S:
            self._blocks.append(self._block)
            self._block, self._began_s = _Block(arrival_s, end, delay_s), arrival_s
            self._check()

    def _begin_anew(self, arrival_s: float, end: int) -> None:
        """What is known of the arrivals holds no more."""
        self._blocks.clear()
        self._block = _Block(arrival_s, end, arrival_s - end / self.fs_hz)
        self._began_s = arrival_s

    def _check(self) -> None:
        """Once a block: the rate of the last seconds, and that of the last minutes."""
        last = self._blocks[-1]
        recent = [block for block in self._blocks if last.arrival_s - block.arrival_s <= WINDOW_S + BLOCK_S]
        span_s = last.arrival_s - recent[0].arrival_s
        if span_s >= WINDOW_S - BLOCK_S:
            wrong = abs((last.end - recent[0].end) / span_s / self.fs_hz - 1.0) > WRONG
            self._doubt = 0
            if wrong and self.trusted:
                self.trusted, self.rate_hz = False, None
                self._begin_anew(last.arrival_s, last.end)
                return
            self.trusted = not wrong
        if last.arrival_s - self._blocks[0].arrival_s >= FIT_MIN_S:
            self.rate_hz = self.fs_hz * (1.0 - _slope(self._blocks))


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
    rate = rough * (1.0 - _slope(list(delays.values())))
    nearest = min(USUAL_HZ, key=lambda usual: abs(usual / rate - 1.0))
    return float(nearest) if abs(nearest / rate - 1.0) <= _SNAP else round(rate, 1)


def _slope(blocks: Sequence[_Block]) -> float:
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
        kept = delay_s - (offset + slope * arrival_s) < _LATE_S
    return float(slope)
