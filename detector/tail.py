"""The last seconds of one lead, raw and filtered, side by side in one buffer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["SignalTail"]

Samples = NDArray[np.float64]


class SignalTail:
    """Buffer that appends pieces and drops old samples; it moves its content only when the buffer is full.

    Args:
        keep: samples that `forget` keeps.

    Attributes:
        raw, filtered: (n,) float64, mV: the held samples. Views: valid until the next `append`.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._rows = np.empty((2, 2 * keep))
        self.clear()

    def clear(self) -> None:
        """Drop everything."""
        self._low = self._high = 0
        self._view()

    def append(self, raw: Samples) -> None:
        """Add a piece, (n,); its filtered samples are to be written into `filtered`."""
        end = self._high + raw.size
        if end > self._rows.shape[1]:
            rows, held = self._rows, self._rows[:, self._low : self._high]
            if held.shape[1] + raw.size > rows.shape[1]:
                rows = np.empty((2, 2 * (held.shape[1] + raw.size)))
            rows[:, : held.shape[1]] = held  # numpy handles the overlap
            self._rows, self._low, self._high = rows, 0, held.shape[1]
            end = self._high + raw.size
        self._rows[0, self._high : end] = raw
        self._high = end
        self._view()

    def forget(self) -> None:
        """Drop all but the newest samples."""
        self._low = max(self._low, self._high - self._keep)
        self._view()

    def _view(self) -> None:
        self.raw, self.filtered = self._rows[:, self._low : self._high]
