"""Expected arrival of the samples of a live device: a line through the earliest arrivals. Pure.

A sample arrives no earlier than it was taken. The earliest arrivals lie on a line whose slope is the device's true
rate. (Network clocks are compared by the lower envelope of delays in the same way: Moon, Skelly and Towsley 1999,
doi:10.1109/INFCOM.1999.749287.)
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["AHEAD_S", "COUNTER", "ArrivalLine", "measure_rate", "usual_rate"]

COUNTER: Final = 256
AHEAD_S: Final = 0.3  # a sample this early means that the device sends faster than its nominal rate
BLOCK_S: Final = 0.25
FIT_BLOCKS: Final = 480  # 2 min: the temperature of an oscillator changes no faster
FIT_MIN_S: Final = 8.0
WINDOW_S: Final = 3.0  # time over which a rate is checked for being far off
WRONG: Final = 0.1  # relative error of the rate, and so of the heart rate, above which the samples are no ECG
_RECENT: Final = 8  # number of blocks from which the next arrival is predicted
_LATE_S: Final = 0.05  # delays longer than the line by this came from a stall and are left out of the fit
USUAL_HZ: Final = (100, 120, 125, 128, 150, 200, 240, 250, 256, 300, 360, 400, 480, 500, 512, 600, 720, 800, 960, 1000)
_SNAP: Final = 0.005  # error of 10 s with some ms of jitter: a usual rate this near is taken

Counts = NDArray[np.int64]


class _Block(NamedTuple):
    """A quarter of a second: its last arrival, s; the samples up to then; its shortest delay, s."""

    arrival_s: float
    end: int
    delay_s: float


class ArrivalLine:
    """Learns the arrivals of samples and predicts the next.

    Args:
        fs_hz: nominal rate of the device, Hz.

    Attributes:
        rate_hz: measured rate, Hz; None before FIT_MIN_S of signal.
        trusted: whether the samples arrive at about the nominal rate.
    """

    def __init__(self, fs_hz: float) -> None:
        self.fs_hz = fs_hz
        self.rate_hz: float | None = None
        self.trusted = True
        self._blocks: deque[_Block] = deque(maxlen=FIT_BLOCKS)
        self._block: _Block | None = None
        self._began_s = -math.inf  # first arrival of that block
        self._doubt = math.inf  # samples by which a burst may be ahead: the first of all may have come late

    def doubt(self, samples: int) -> None:
        """Note that `samples` were taken as lost by time alone; if they still come, the device is not faster."""
        self._doubt = samples

    def due(self, arrival_s: float) -> float | None:
        """Return the number of samples expected by `arrival_s`; None before the first."""
        if self._block is None:
            return None
        rate = self.rate_hz or self.fs_hz
        recent = [*list(self._blocks)[-_RECENT:], self._block]
        return float(np.median([block.end + (arrival_s - block.arrival_s) * rate for block in recent]))

    def time_s(self, sample: int) -> float | None:
        """Return the time at which `sample` was taken, monotonic, s; None before the first."""
        if self._block is None or (due := self.due(self._block.arrival_s)) is None:
            return None
        return self._block.arrival_s - (due - sample) / (self.rate_hz or self.fs_hz)

    def learn(self, arrival_s: float, end: int) -> None:
        """Note that the samples before index `end` have arrived at `arrival_s`."""
        due = self.due(arrival_s)
        ahead = 0.0 if due is None else end - due - AHEAD_S * self.fs_hz
        if ahead > 0:
            if ahead > self._doubt:
                self.trusted, self.rate_hz = False, None
            self._doubt = 0
            self._restart(arrival_s, end)
        delay_s = arrival_s - end / self.fs_hz
        block = self._block
        self._block = _Block(arrival_s, end, delay_s if block is None else min(delay_s, block.delay_s))
        if block is None:
            self._began_s = arrival_s
        elif arrival_s - self._began_s >= BLOCK_S:
            if not self._blocks:
                self._doubt = 0
            self._blocks.append(self._block)
            self._block, self._began_s = _Block(arrival_s, end, delay_s), arrival_s
            self._check()

    def _restart(self, arrival_s: float, end: int) -> None:
        """Discard the known arrivals."""
        self._blocks.clear()
        self._block = _Block(arrival_s, end, arrival_s - end / self.fs_hz)
        self._began_s = arrival_s

    def _check(self) -> None:
        """Check the rate over the last seconds and fit the rate over the last minutes; once a block."""
        last = self._blocks[-1]
        recent = [block for block in self._blocks if last.arrival_s - block.arrival_s <= WINDOW_S + BLOCK_S]
        span_s = last.arrival_s - recent[0].arrival_s
        if span_s >= WINDOW_S - BLOCK_S:
            wrong = abs((last.end - recent[0].end) / span_s / self.fs_hz - 1.0) > WRONG
            self._doubt = 0
            if wrong and self.trusted:
                self.trusted, self.rate_hz = False, None
                self._restart(last.arrival_s, last.end)
                return
            self.trusted = not wrong
        if last.arrival_s - self._blocks[0].arrival_s >= FIT_MIN_S:
            self.rate_hz = self.fs_hz * (1.0 - _slope(self._blocks))


def measure_rate(arrivals: list[tuple[float, int, Counts | None]], counter_values: int = COUNTER) -> float:
    """Return the sampling rate, Hz: a usual rate if one is near, else as measured.

    Args:
        arrivals: (arrival, s; number of samples; their counters or None) of each batch, over some seconds.
        counter_values: the counter starts again after this number of samples.

    Raises:
        ValueError: less than a second of signal.
    """
    end, counter = 0, None
    blocks: list[_Block] = []
    for arrival_s, n, counters in arrivals:
        if counters is not None and n:
            first = int(counters[0]) - 1 if counter is None else counter
            end += int((np.diff(counters, prepend=first) % counter_values).sum())
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
    return usual_rate(rate)


def usual_rate(rate_hz: float) -> float:
    """A usual rate if one is within half a percent of a measured one, else that to 0.1 Hz."""
    nearest = min(USUAL_HZ, key=lambda usual: abs(usual / rate_hz - 1.0))
    return float(nearest) if abs(nearest / rate_hz - 1.0) <= _SNAP else round(rate_hz, 1)


def _slope(blocks: Sequence[_Block]) -> float:
    """Least-squares slope of the delays over time, s/s; delays of a stall are left out."""
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
