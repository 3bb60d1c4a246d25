"""The signal of a recorded bed with its annotations: one WFDB record, and one more after each long gap.

Missing samples are written as invalid samples, so that sample numbers hold. A gap that would cost more of the disk than
it is worth begins a new record instead: `signal`, `signal_2`, `signal_3`, each with its own first sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.errors import RecorderError
from monitor.recording.wfdb_writer import AnnotationFile, SignalFile

__all__ = ["Segments"]

Start = tuple[str, str] | None

_FILL_S: Final = 3600.0  # invalid samples are written for gaps of this length in all,
_FILL_SHARE: Final = 10  # and for this many times the samples that came
_MOST: Final = 1000  # records; a source that jumps at each message must not fill the disk with files


class _Segment:
    """One record, from `first_sample` on."""

    def __init__(self, folder: Path, name: str, first_sample: int, **format_of: Any) -> None:
        self.name = name
        self.first_sample = first_sample
        self.annotations = AnnotationFile(folder / f"{name}.ecg")
        self.signal = SignalFile(folder, name=name, **format_of)


class Segments:
    """Appends samples and annotations.

    Args:
        folder: of the bed.
        fs_hz: sampling rate, Hz.
        leads: names of the leads.
        rails_mv: range of each lead, (low, high) mV; None if unknown.
        start_of: time and date of a sample, as in a WFDB header; None if unknown.

    Attributes:
        first_sample: index of the first sample; None before it.

    Raises:
        OSError: from the system (from every method too).
    """

    def __init__(
        self,
        folder: Path,
        *,
        fs_hz: float,
        leads: Sequence[str],
        rails_mv: Sequence[tuple[float, float] | None] | None,
        start_of: Callable[[int], Start],
    ) -> None:
        self.first_sample: int | None = None
        self._folder = folder
        self._format: dict[str, Any] = {"fs_hz": fs_hz, "leads": leads, "rails_mv": rails_mv}
        self._start_of = start_of
        self._fs_hz = fs_hz
        self._filled = self._written = 0  # samples of all records
        self._done: list[_Segment] = []
        self._now = _Segment(folder, "signal", 0, **self._format)

    @property
    def counts(self) -> dict[str, int]:
        """Samples written, invalid samples and clipped samples, of all records."""
        signals = [segment.signal for segment in (*self._done, self._now)]
        return {
            "samples": sum(signal.samples for signal in signals),
            "invalid_samples": sum(signal.invalid for signal in signals),
            "clipped_samples": sum(signal.clipped for signal in signals),
        }

    @property
    def names(self) -> list[dict[str, Any]]:
        """Name and first sample of each record."""
        every = [*self._done, self._now] if self.first_sample is not None else []
        return [{"record": segment.name, "first_sample": segment.first_sample} for segment in every]

    def go_to(self, sample: int) -> bool:
        """Continue at `sample`: fill what is missing before it, or begin a new record; whether a record began.

        Raises:
            RecorderError: too many records.
            ValueError: the sample is written already.
        """
        if self.first_sample is None:
            self.first_sample = self._now.first_sample = sample
            return True
        missing = sample - self._now.first_sample - self._now.signal.samples
        if missing < 0:
            raise ValueError(f"signal from sample {sample}, but {-missing} samples from there on are written")
        if self._filled + missing <= _FILL_S * self._fs_hz + _FILL_SHARE * self._written:
            self._filled += missing
            self._now.signal.fill(missing)
            return False
        number = len(self._done) + 2
        if number > _MOST:
            raise RecorderError(
                f"recording to {self._folder}: the signal has more than {_MOST} long gaps; it is kept up to here"
            )
        self._finish(self._now)
        for before in self._done[-1:]:
            before.annotations.close()
        self._done.append(self._now)
        self._now = _Segment(self._folder, f"signal_{number}", sample, **self._format)
        return True

    def append(self, leads: Sequence[NDArray[np.float64]]) -> None:
        """Append samples, mV, (n,) of each lead; NaN = no valid sample."""
        self._written += leads[0].size
        self._now.signal.append(leads)

    def annotate(self, sample: int, symbol: str, note: str) -> None:
        """Annotate a sample: of the present record or, for a beat from before a gap, of the one before."""
        segment = self._now
        if sample < segment.first_sample and self._done:
            segment = self._done[-1]
        segment.annotations.add(max(0, sample - segment.first_sample), symbol, note)

    def finish(self) -> None:
        """Write the header of the last record, with its length and time."""
        self._finish(self._now)

    def close(self) -> None:
        """Close all files; may be called twice."""
        for segment in (*self._done[-1:], self._now):
            segment.annotations.close()
            segment.signal.close()

    def _finish(self, segment: _Segment) -> None:
        start = None if self.first_sample is None else self._start_of(segment.first_sample)
        segment.signal.write_header(start, final=True)
        segment.signal.close()
