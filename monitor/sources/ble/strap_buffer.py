"""Samples and notices of a strap between the thread that receives them and `Source.read`."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from monitor.sources.base import Chunk, Notice
from monitor.sources.ble.frame import Frame
from monitor.sources.live_buffer import LiveBuffer, RateWatch
from monitor.sources.options import MAX_MV, blank_beyond
from monitor.sources.timing.arrival_line import COUNTER
from monitor.sources.timing.frame_clock import FrameClock

__all__ = ["BUFFER_S", "StrapBuffer"]

BUFFER_S: Final = 30.0  # unread samples that are kept; older ones are dropped, and missing
_BEHIND: Final = 2  # a counter that is behind the last one by at most this many came twice or too late


class StrapBuffer:
    """Gives the samples of frames their index: by time stamp, by counter, or by time; keeps the newest BUFFER_S.

    Not thread-safe: the caller holds a lock.

    Args:
        name: first words of every notice.
        fs_hz: sampling rate, Hz.
        stamped: the frames have time stamps.
        counter_values: the counter starts again after this number; 0 = no counter.
        counter_step: samples for which it counts one: 1, or those of a notification.
        mv_per_unit: mV in one unit of the values.
        duration: samples to give; None = no limit.
        now_s: monotonic time, s.
    """

    def __init__(
        self,
        name: str,
        fs_hz: float,
        *,
        stamped: bool,
        counter_values: int,
        counter_step: int,
        mv_per_unit: float,
        rate_tolerance: float,
        duration: int | None,
        now_s: float,
    ) -> None:
        self._name, self._mv_per_unit = name, mv_per_unit
        self._counter_values, self._step = counter_values, counter_step
        self._counter: int | None = None  # of the last notification
        self._unknown = self._old = self._beyond = 0  # notifications not understood, and too late; samples
        self._why = ""  # what was wrong with the last one that was not understood
        self._frames = FrameClock(fs_hz) if stamped else None
        rate = RateWatch(rate_tolerance, subject="the strap ")
        self._buffer = LiveBuffer(
            name, fs_hz, BUFFER_S, rate, now_s, duration, counter_values * counter_step or COUNTER, clock=self._frames
        )

    @property
    def waiting(self) -> int:
        """Samples received and not read yet."""
        return self._buffer.waiting

    @property
    def ended(self) -> bool:
        """Whether `duration` samples were read."""
        return self._buffer.ended

    def add(self, frame: Frame, now_s: float, off: bool) -> None:
        """Add a frame; `off`: no contact with the skin, so its samples have no value."""
        mv = np.full(frame.values.size, np.nan) if off else frame.values * self._mv_per_unit
        self._beyond += blank_beyond(mv)
        if self._frames is not None and frame.stamp_s is not None:
            self._buffer.add(self._frames.push(mv, now_s, frame.stamp_s), now_s)
        elif frame.counter is None:
            self._buffer.push(mv, now_s)
        elif self._behind(frame.counter, mv.size) <= _BEHIND:
            self._old += 1
        else:
            self._counter = frame.counter
            self._buffer.push(mv, now_s, np.arange(mv.size, dtype=np.int64) + frame.counter * self._step)

    def _behind(self, counter: int, n: int) -> float:
        """Notifications of `n` samples by which a counter is behind the last one; infinite for the first."""
        if self._counter is None:
            return math.inf
        return (self._counter - counter) % self._counter_values * self._step / n

    def add_unknown(self, why: str) -> None:
        """Count a notification that was not understood."""
        self._unknown += 1
        self._why = why

    def poll(self, now_s: float) -> None:
        """Place the frames that waited long enough for another one; call it about every 50 ms."""
        if self._frames is None:
            self._buffer.push(np.empty(0), now_s)
        else:
            self._buffer.add(self._frames.poll(now_s), now_s)

    def cut(self, now_s: float) -> None:
        """Mark the loss of the connection: a gap precedes the next sample, and a counter starts again."""
        self._counter = None
        if self._frames is None:
            self._buffer.cut()
        else:
            self._buffer.add(self._frames.cut(), now_s)

    def notice(self, kind: str, text: str) -> None:
        """Add a notice; `read` gives it after all samples that were added before it."""
        self._buffer.notice(kind, text)

    def read(self, max_samples: int) -> Chunk | None:
        """Return the next samples, at most `max_samples`, with the notices that are due; see Source."""
        return self._buffer.read(max_samples, *self._counted())

    def _counted(self) -> list[Notice]:
        """Notices of what was counted since the last call."""
        resets = 0
        if self._frames is not None:
            self._old, self._frames.old = self._old + self._frames.old, 0
            resets, self._frames.resets = self._frames.resets, 0
        counts = (
            (self._unknown, f"notifications are no known ECG frame ({self._why})"),
            (self._old, "notifications came twice or too late, and were dropped"),
            (self._beyond, f"samples were infinite or beyond {MAX_MV:g} mV"),
            (resets, "times the strap's clock was set or began again; the time of arrival counts"),
        )
        self._unknown = self._old = self._beyond = 0
        return [Notice("bad_input", f"{self._name}: {n} {what}", n) for n, what in counts if n]
