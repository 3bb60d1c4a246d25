"""Wall time of samples: when each sample of a stream was taken."""

from __future__ import annotations

import datetime

__all__ = ["StreamTime"]


class StreamTime:
    """Converts sample indices to wall time.

    Args:
        fs_hz: sampling rate, Hz.
        sample_0: wall time of sample 0.
        started_s: monotonic time of `sample_0`, s; used with `set_anchor`.
    """

    def __init__(self, fs_hz: float, sample_0: datetime.datetime, started_s: float) -> None:
        self._fs_hz = fs_hz
        self._sample_0 = sample_0
        self._started_s = started_s
        self._anchor: tuple[int, float] | None = None

    def set_sample_0(self, sample_0: datetime.datetime) -> None:
        """Set the wall time of sample 0."""
        self._sample_0 = sample_0

    def set_anchor(self, sample: int, time_s: float) -> None:
        """From now on count from this sample, which a live device took at `time_s` of its drift-corrected clock."""
        self._anchor = sample, time_s

    def of(self, sample: int) -> str:
        """Wall time of a sample, ISO 8601 with milliseconds."""
        if self._anchor is None:
            seconds = sample / self._fs_hz
        else:
            seconds = self._anchor[1] - self._started_s + (sample - self._anchor[0]) / self._fs_hz
        return (self._sample_0 + datetime.timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
