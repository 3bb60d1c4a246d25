"""Samples of a bed for the plot: the last seconds and their vertical scale.

Wave messages arrive many times a second but are drawn a few times a second. They are stored unread until they are
drawn: for a screen full of beds this costs a fraction of reading each message by itself.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from monitor.dashboard.ring import WaveRing
from monitor.dashboard.scale import VerticalScale, fit_scale
from monitor.messages import WaveHeader

__all__ = ["SCALE_EVERY_S", "Lead"]

WAVE_WINDOW_S = 12.5  # a little over the widest plot, so that its left column is complete
SCALE_EVERY_S = 0.25
PULSES_MAX = 128  # kept: two a beat at 300 a minute
UNREAD_MAX = 64  # messages stored unread
MAX_FS_HZ = 20_000.0  # a higher rate is invalid and must not allocate memory

_Message = tuple[WaveHeader, bytes]


class Lead:
    """The filtered lead; NaN where the raw one has no sample.

    Attributes:
        scale_every_s: interval between updates of the vertical scale, s of signal.
    """

    def __init__(self) -> None:
        self.scale_every_s = SCALE_EVERY_S
        self._ring: WaveRing | None = None
        self._scale = VerticalScale()
        self._unread: list[_Message] = []
        self._unread_samples = 0
        self._seq: int | None = None
        self._fitted_at: int | None = None
        self._pulses: deque[int] = deque(maxlen=PULSES_MAX)

    @property
    def wave(self) -> WaveRing | None:
        """The last seconds; None before the first message."""
        if self._unread:
            self._read()
        return self._ring

    @property
    def pulses(self) -> list[int]:
        """Pacing pulses of the last seconds, source samples."""
        if self._unread:
            self._read()
        return list(self._pulses)

    @property
    def scale(self) -> VerticalScale:
        """The plot's vertical scale."""
        if self._unread:
            self._read()
        return self._scale

    def add(self, header: WaveHeader, raw_samples: bytes) -> bool:
        """Add a message; False if header and samples do not match."""
        rows = len(header.channels)
        if not 0 < header.fs_hz <= MAX_FS_HZ or header.n < 0 or rows == 0:
            return False
        if len(raw_samples) != 4 * rows * header.n:
            return False
        self._unread.append((header, raw_samples))
        self._unread_samples += header.n
        if len(self._unread) >= UNREAD_MAX or self._unread_samples > WAVE_WINDOW_S * header.fs_hz:
            self._read()
        return True

    def _read(self) -> None:
        """Write unread messages into the ring, contiguous ones at once."""
        unread, self._unread, self._unread_samples = self._unread, [], 0
        run: list[_Message] = []
        for message in unread:
            if run and not _follows(run[-1][0], message[0]):
                self._write(run)
                run = []
            run.append(message)
        self._write(run)
        ring = self._ring
        if ring is None or ring.end is None:
            return
        if self._fitted_at is None or abs(ring.end - self._fitted_at) >= self.scale_every_s * ring.fs_hz:
            self._fitted_at = ring.end
            self._scale = fit_scale(ring.latest(WAVE_WINDOW_S), self._scale)

    def _write(self, run: list[_Message]) -> None:
        """Write contiguous messages."""
        first, names = run[0][0], list(run[0][0].channels)
        shown = _row(run, names.index("filtered") if "filtered" in names else len(names) - 1)
        if "raw" in names:  # the filter rings after leads off; only the raw row shows what was measured
            shown = np.where(np.isfinite(_row(run, names.index("raw"))), shown, np.float32(np.nan))
        if self._ring is None or self._ring.fs_hz != first.fs_hz:
            self._ring = WaveRing(first.fs_hz, WAVE_WINDOW_S)
            self._fitted_at = None
        dropped = self._seq is not None and first.seq > self._seq + 1
        self._ring.write(first.first_sample, shown, dropped=dropped)
        self._seq = run[-1][0].seq
        for header, _ in run:
            self._pulses += header.pacer_samples


def _follows(before: WaveHeader, after: WaveHeader) -> bool:
    """Whether `after` continues `before`."""
    return (after.first_sample, after.seq, after.fs_hz, after.channels) == (
        before.first_sample + before.n,
        before.seq + 1,
        before.fs_hz,
        before.channels,
    )


def _row(run: list[_Message], row: int) -> NDArray[np.float32]:
    """One row of contiguous messages, (n,) float32 mV."""
    return np.frombuffer(b"".join(raw[4 * row * h.n : 4 * (row + 1) * h.n] for h, raw in run), dtype="<f4")
