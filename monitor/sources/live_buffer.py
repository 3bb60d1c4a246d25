"""Samples and notices of a live device between the thread that reads it and `Source.read`."""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.sources.base import Chunk, Notice
from monitor.sources.timing.arrival_line import COUNTER
from monitor.sources.timing.sample_clock import Run, SampleClock
from monitor.sources.timing.sample_runs import SampleRuns

__all__ = ["LiveBuffer", "LiveClock", "RateWatch"]

_MAX_NOTICES: Final = 64  # of a port that is lost and found again while the source is not read
_RIGHT_AGAIN: Final = 0.75  # hysteresis: share of the tolerance


class LiveClock(Protocol):
    """What is common to SampleClock and FrameClock."""

    fs_hz: float
    end: int

    @property
    def trusted(self) -> bool:
        """Whether the samples come at about the nominal rate."""
        ...

    @property
    def drift(self) -> float | None:
        """Measured rate / nominal rate - 1; None until known."""
        ...

    def cut(self) -> list[Run]:
        """Mark the loss of the device; return the held samples."""
        ...

    def time_s(self, sample: int) -> float | None:
        """Return the time at which `sample` was taken, monotonic, s; None before the first."""
        ...


class RateWatch:
    """Reports once when the rate is wrong, and once when it is right again.

    Args:
        tolerance: largest relative difference of measured and nominal rate.
        subject: text before every report, e.g. `the board `.
        remedy: text after the report of a wrong rate.
    """

    def __init__(self, tolerance: float, subject: str = "", remedy: str = "") -> None:
        self._tolerance = tolerance
        self._subject, self._remedy = subject, remedy
        self._wrong = False

    def check(self, clock: LiveClock) -> tuple[str, str] | None:
        """Return kind and text of a notice if the state has changed, else None."""
        limit = self._tolerance * (_RIGHT_AGAIN if self._wrong else 1.0)
        wrong = not clock.trusted or (clock.drift is not None and abs(clock.drift) > limit)
        if wrong == self._wrong:
            return None
        self._wrong = wrong
        if not wrong:
            return "sampling_rate_right", f"{self._subject}sends {clock.fs_hz:g} samples a second again"
        measured = "far more or fewer" if clock.drift is None else f"{clock.fs_hz * (1 + clock.drift):.1f}"
        text = f"{self._subject}sends {measured} samples a second, not {clock.fs_hz:g}{self._remedy}"
        return "sampling_rate", text


class LiveBuffer:
    """Places samples by a SampleClock and keeps the newest `held_s` of them.

    Older samples are dropped, counted in a Notice, and missing. Not thread-safe: the caller holds a lock.

    Args:
        name: first words of every notice.
        fs_hz: sampling rate, Hz.
        held_s: longest signal that is kept, s.
        now_s: monotonic time, s.
        duration: samples to give; None = no limit.
        counter_values: the device's counter starts again after this number of samples.
        clock: another clock, whose runs come by `add`; None = a SampleClock, for `push`.
    """

    def __init__(
        self,
        name: str,
        fs_hz: float,
        held_s: float,
        rate: RateWatch,
        now_s: float,
        duration: int | None = None,
        counter_values: int = COUNTER,
        clock: LiveClock | None = None,
    ) -> None:
        self._name, self._held_s, self._rate, self._arrival_s = name, held_s, rate, now_s
        self._samples = SampleClock(fs_hz, counter_values)
        self._clock: LiveClock = self._samples if clock is None else clock
        self._runs = SampleRuns(duration)
        self._notices: deque[tuple[int, Notice]] = deque(maxlen=_MAX_NOTICES)  # (samples before it, notice)
        self._dropped = 0

    @property
    def waiting(self) -> int:
        """Samples that were not read yet."""
        return self._runs.size

    @property
    def ended(self) -> bool:
        """Whether `duration` samples were read."""
        return self._runs.ended

    def push(self, mv: NDArray[np.float64], now_s: float, counters: NDArray[np.int64] | None = None) -> None:
        """Add the samples that arrived together, of one lead or two; none = time has passed. See SampleClock.push."""
        self.add(self._samples.push(mv, now_s, counters), now_s)

    def add(self, runs: list[Run], now_s: float) -> None:
        """Add runs that the clock has placed; `now_s`: the present time, s."""
        if runs:
            self._arrival_s = now_s
            self._put(runs)
            if (changed := self._rate.check(self._clock)) is not None:
                self.notice(*changed)

    def cut(self) -> None:
        """Mark the loss of the device; see SampleClock.cut."""
        self._put(self._clock.cut())

    def notice(self, kind: str, text: str) -> None:
        """Add a notice; `read` gives it after all samples that were added before it."""
        self._notices.append((self._clock.end, Notice(kind, f"{self._name}: {text}")))

    def read(self, max_samples: int, *more: Notice) -> Chunk | None:
        """Return the next samples, at most `max_samples`, with the notices that are due and `more`."""
        notices = []
        while self._notices and (not self._runs.size or self._notices[0][0] <= self._runs.next):
            notices.append(self._notices.popleft()[1])
        notices += more
        if self._dropped:
            text = f"{self._name}: {self._dropped} samples dropped, they were not read within {self._held_s:g} s"
            notices.append(Notice("overrun", text, self._dropped))
            self._dropped = 0
        return self._runs.chunk(max_samples, self._arrival_s, tuple(notices), self._clock.time_s)

    def _put(self, runs: list[Run]) -> None:
        for run in runs:
            self._runs.put(*run)
        self._dropped += self._runs.drop(round(self._held_s * self._clock.fs_hz))
