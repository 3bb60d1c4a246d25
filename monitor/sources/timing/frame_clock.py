"""Sample indices from frames that carry the device's time stamp: a lost frame is a gap. Pure.

The device stamps the last sample of a frame by its own clock, so two frames in a row show by themselves how many
samples are missing between them, and drift against the host's clock does not matter. A stamp is checked against the
arrival: a device that restarts, or whose clock is set, must not make a gap that is longer than the time that passed.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.sources.timing.arrival_line import WRONG, ArrivalLine
from monitor.sources.timing.sample_clock import Run

__all__ = ["HOLD_S", "FrameClock"]

Floats = NDArray[np.float64]

HOLD_S: Final = 0.25  # a frame after a gap waits for the missing one until the next frame, and at most this long
_SILENT_S: Final = 1.0  # a longer silence before a frame of a clock that was set is a loss
_AHEAD_S: Final = 1.0  # a frame that arrives so much earlier than it was taken shows a clock that was set forward
_SAME_S: Final = 2.0  # after a loss of the connection: largest difference of stamps and arrivals on one clock,
_DRIFT: Final = 1e-4  # and its growth with the time without connection
_OLD_S: Final = 5.0  # a stamp before the last one by more shows a clock that was set back
_OLD_FRAMES: Final = 3  # and so does a longer row of them
_DELAYS: Final = 64  # frames of the least delay: 36 s of the H10; drift is then far below _AHEAD_S
_RATES: Final = 16  # frames of the measured rate
_RATES_MIN: Final = 8


class _Frame(NamedTuple):
    stamp_s: float
    samples: Floats
    arrival_s: float


class FrameClock:
    """Gives the samples of frames their index.

    Many attributes: the clocks of device and host need the state of the last frame of each.

    Args:
        fs_hz: nominal sampling rate, Hz.

    Attributes:
        end: index after the last sample placed.
        old: frames dropped because they came twice, or after a later frame had been placed.
        resets: number of times that the device's clock was set or started again.

    >>> clock = FrameClock(100.0)
    >>> [clock.push(np.zeros(50), arrival_s=at, stamp_s=at)[0].first_sample for at in (0.5, 1.0, 1.5)]
    [0, 50, 100]
    """

    def __init__(self, fs_hz: float) -> None:
        self.fs_hz = fs_hz
        self.end = 0
        self.old = self.resets = 0
        self._line = ArrivalLine(fs_hz)
        self._last: _Frame | None = None  # placed
        self._waiting: list[_Frame] = []  # by stamp; the first is after a gap
        self._was_cut = False
        self._old_row = 0
        self._delays: deque[float] = deque(maxlen=_DELAYS)  # arrival - stamp
        self._rates: deque[float] = deque(maxlen=_RATES)

    def push(self, samples: Floats, arrival_s: float, stamp_s: float) -> list[Run]:
        """Add a frame.

        Args:
            samples: (n,) float64, n > 0.
            arrival_s: monotonic, s.
            stamp_s: time of its last sample on the device's clock, s.

        Returns:
            The samples whose index is decided now, in order.
        """
        frame = _Frame(stamp_s, samples, arrival_s)
        last = self._last
        if last is None:
            return [self._place(frame, 0)]
        if self._was_set(frame, last):
            runs = self._release()
            self.resets += 1
            self._delays.clear()
            self._rates.clear()
            silent = round((arrival_s - last.arrival_s) * self.fs_hz) - samples.size
            if self._was_cut:
                return [*runs, self._place(frame, max(silent, 1))]
            return [*runs, self._place(frame, silent if silent > _SILENT_S * self.fs_hz else 0)]
        if stamp_s <= last.stamp_s or any(held.stamp_s == stamp_s for held in self._waiting):
            self.old += 1
            self._old_row += 1
            return []
        insort(self._waiting, frame, key=lambda held: held.stamp_s)
        runs = []
        while self._waiting and (self._was_cut or len(self._waiting) > 1 or not self._missing(self._waiting[0])):
            runs.append(self._next())
        return runs

    def poll(self, now_s: float) -> list[Run]:
        """Return the frame that has waited for HOLD_S; call it several times a second."""
        return self._release() if self._waiting and now_s - self._waiting[-1].arrival_s >= HOLD_S else []

    def cut(self) -> list[Run]:
        """Mark the loss of the connection: a gap precedes the next sample.

        Returns:
            The held samples.
        """
        runs = self._release()
        self._was_cut = True
        return runs

    @property
    def drift(self) -> float | None:
        """Rate by the device's stamps / nominal rate - 1; None until known. The median: lost frames do not count."""
        return float(np.median(self._rates)) / self.fs_hz - 1.0 if len(self._rates) >= _RATES_MIN else None

    @property
    def trusted(self) -> bool:
        """Whether the device samples at about the nominal rate; otherwise samples are placed as NaN."""
        return self.drift is None or abs(self.drift) <= WRONG

    def time_s(self, sample: int) -> float | None:
        """Return the time at which `sample` was taken, monotonic, s, by ArrivalLine; None before the first."""
        return self._line.time_s(sample)

    def _was_set(self, frame: _Frame, last: _Frame) -> bool:
        """Whether the device's clock was set, or began again, since the last frame."""
        delay_s = frame.arrival_s - frame.stamp_s
        least_s = min(self._delays)
        if self._was_cut:
            allowed_s = _SAME_S + _DRIFT * (frame.arrival_s - last.arrival_s)
            return frame.stamp_s <= last.stamp_s or abs(delay_s - least_s) > allowed_s
        if frame.stamp_s <= last.stamp_s:
            return last.stamp_s - frame.stamp_s > _OLD_S or self._old_row >= _OLD_FRAMES
        return delay_s < least_s - _AHEAD_S

    def _missing(self, frame: _Frame) -> int:
        """Samples missing before `frame`; less than half a frame is no loss."""
        if self._last is None:
            return 0
        rate_hz = self.fs_hz * (1.0 + (self.drift or 0.0))
        lost = round((frame.stamp_s - self._last.stamp_s) * rate_hz) - frame.samples.size
        return lost if lost > frame.samples.size / 2 else 0

    def _release(self) -> list[Run]:
        runs = []
        while self._waiting:
            runs.append(self._next())
        return runs

    def _next(self) -> Run:
        frame = self._waiting.pop(0)
        if self._last is not None:
            self._rates.append(frame.samples.size / (frame.stamp_s - self._last.stamp_s))
        return self._place(frame, max(self._missing(frame), int(self._was_cut)))

    def _place(self, frame: _Frame, missing: int) -> Run:
        run = Run(self.end + missing, frame.samples if self.trusted else np.full(frame.samples.size, np.nan))
        self.end = run.first_sample + frame.samples.size
        self._line.learn(frame.arrival_s, self.end)
        self._delays.append(frame.arrival_s - frame.stamp_s)
        self._last, self._was_cut, self._old_row = frame, False, 0
        return run
