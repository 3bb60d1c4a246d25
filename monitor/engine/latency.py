"""Latency: the time from the arrival of a sample to the publication of the result that it decided."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import numpy as np

from detector.pacer import LOOK_AHEAD_S
from detector.rpeaks import STEP_S
from monitor.sources import Chunk

__all__ = ["LatencyPercentiles", "LiveArrivals", "ReplayPace"]

_PIECES = 512  # about 10 s: one of the last pieces decides a beat
_BEATS = 1000  # window of the percentiles
_REFRESH_BEATS = 10  # beats between two computations of the percentiles: one costs more than a beat


class LiveArrivals:
    """Arrival times of the samples of a live source.

    Args:
        fs_hz: sampling rate, Hz.
        clock: monotonic, s.
    """

    def __init__(self, fs_hz: float, clock: Callable[[], float]) -> None:
        self._fs_hz = fs_hz
        self._clock = clock
        self._pieces: deque[tuple[int, float]] = deque(maxlen=_PIECES)  # (end sample, arrival)
        self._before_s = self._read_s = clock()
        self._oldest_s: float | None = None  # earliest possible arrival of the oldest sample of the last piece

    def start(self, began_s: float) -> None:
        """A live source starts by itself."""

    def begin_read(self) -> None:
        """Note the time of a read."""
        self._before_s, self._read_s, self._oldest_s = self._read_s, self._clock(), None

    def put(self, chunk: Chunk) -> None:
        """Note the arrival of a piece with samples."""
        arrival_s = self._clock() if chunk.arrival_s is None else chunk.arrival_s
        self._pieces.append((chunk.first_sample + chunk.samples.size, arrival_s))
        self._oldest_s = max(self._before_s, arrival_s - chunk.samples.size / self._fs_hz)

    def latency_ms(self, sample: int) -> float | None:
        """Time since the arrival of the piece that completed the samples before `sample`, ms; 0 if it is missing."""
        arrived_s = None
        for end, arrival_s in reversed(self._pieces):  # newest first: few steps
            if end < sample:
                break
            arrived_s = arrival_s
        return 0.0 if arrived_s is None else round(max(0.0, self._clock() - arrived_s) * 1e3, 2)

    def behind_s(self, sample: int) -> float | None:  # noqa: ARG002 - as ReplayPace.behind_s
        """Waiting time of the oldest sample of the last piece, s; 0 for an empty piece."""
        return 0.0 if self._oldest_s is None else self._clock() - self._oldest_s

    def allowed(self, sample: int) -> float:  # noqa: ARG002 - as ReplayPace.allowed
        """Samples that may be read now: all."""
        return math.inf

    def next_due_s(self, sample: int, held: int) -> float:  # noqa: ARG002 - as ReplayPace.next_due_s
        """When the next samples are due: unknown."""
        return math.inf


class ReplayPace:
    """Due times of the samples of a replay.

    Args:
        fs_hz: sampling rate, Hz.
        speed: times real time; 0 = as fast as possible, and no sample has a due time.
        clock: monotonic, s.

    Attributes:
        first_sample: index of the first sample.
    """

    def __init__(self, fs_hz: float, speed: float, clock: Callable[[], float]) -> None:
        self.first_sample = 0
        self._speed = speed
        self._rate_hz = fs_hz * speed  # samples per second of the clock
        self._step = round(STEP_S * fs_hz)
        self._ahead = math.ceil(LOOK_AHEAD_S * fs_hz)
        self._clock = clock
        self._began_s = clock()
        self._started = False

    def start(self, began_s: float) -> None:
        """Set the due time of the first sample."""
        self._began_s = began_s

    def begin_read(self) -> None:
        """Due times do not depend on reads."""

    def put(self, chunk: Chunk) -> None:
        """The first piece sets the index of the first sample."""
        if not self._started:
            self._started, self.first_sample = True, chunk.first_sample

    def due_s(self, sample: int) -> float:
        """Due time of a sample, s."""
        return self._began_s + (sample - self.first_sample) / self._rate_hz

    def latency_ms(self, sample: int) -> float | None:
        """Time since a sample was due, ms; None at full speed and before the first sample."""
        if not self._rate_hz or not self._started:
            return None
        return round(max(0.0, self._clock() - self.due_s(sample)) * 1e3, 2)

    def behind_s(self, sample: int) -> float | None:
        """Time since `sample` was due, s; None for a replay faster than real time, which promises no time."""
        return self._clock() - self.due_s(sample) if 0 < self._speed <= 1 else None

    def allowed(self, sample: int) -> float:
        """Samples from `sample` on that are due now."""
        if not self._rate_hz:
            return math.inf
        read = sample - self.first_sample if self._started else 0
        due = (self._clock() - self._began_s) * self._rate_hz
        return math.floor(due + 1e-6) - read  # 1e-6: the last sample of a second is due at its end

    def next_due_s(self, sample: int, held: int) -> float:
        """When the next sample that can decide anything is due.

        The detector works on full seconds. A QRS at the end of one waits for the samples that tell it from a pacing
        pulse.

        Args:
            sample: the next sample to read.
            held: number of samples before it that wait (`detector.pacer`).
        """
        if not self._rate_hz:
            return -math.inf
        second = sample // self._step * self._step
        decided = second + self._ahead if sample - held < second else second
        return self.due_s(decided if sample < decided else second + self._step)


class LatencyPercentiles:
    """p50 and p99 of the latency over the last 1000 beats, ms."""

    def __init__(self) -> None:
        self._ring = np.empty(_BEATS, np.float32)  # ms
        self._count = 0
        self._computed = 0  # `_count` at the last computation
        self._percentiles: tuple[float | None, float | None] = (None, None)

    def put(self, latency_ms: float) -> None:
        """Add the latency of a beat."""
        self._ring[self._count % _BEATS] = latency_ms
        self._count += 1

    @property
    def p50_p99_ms(self) -> tuple[float | None, float | None]:
        """Both percentiles, at most ten beats old; None before the first beat."""
        if self._count - self._computed >= (_REFRESH_BEATS if self._computed else 1):
            p50, p99 = np.quantile(self._ring[: self._count], (0.5, 0.99))
            self._computed, self._percentiles = self._count, (round(float(p50), 2), round(float(p99), 2))
        return self._percentiles
