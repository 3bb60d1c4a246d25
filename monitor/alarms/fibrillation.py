"""Ventricular fibrillation: seconds of waveform that the detector calls fibrillatory, in good signal."""

from __future__ import annotations

from detector import Quality, QualitySpan, RhythmSpan
from monitor.alarms.book import AlarmBook
from monitor.evidence import measured
from monitor.messages import Evidence

__all__ = ["Fibrillation"]

_KIND = "ventricular_fibrillation"


class Fibrillation:
    """Rule on the detector's windows: consecutive fibrillatory ones must cover the limit; then one usual ends it.

    It ends `hold_s` after the first window that is not fibrillatory: fibrillation wanes and waxes.
    """

    def __init__(self, book: AlarmBook) -> None:
        self._book = book
        self._since: int | None = None  # where the fibrillatory stretch began
        self._until = 0
        self._from: int | None = None  # where signal was last missing
        self._good = True

    def on_quality(self, span: QualitySpan) -> None:
        """A verdict on the next stretch of signal."""
        self._good = span.quality is Quality.GOOD

    def on_rhythm(self, span: RhythmSpan) -> None:
        """A verdict on the next window."""
        if self._since is not None and span.first_sample > self._until:
            self._since = None
        self._until = span.end_sample
        if not span.fibrillatory or (self._from is not None and span.first_sample < self._from):
            self._since = None
            self._book.rest(_KIND)
            return
        if self._since is None:
            self._since = span.first_sample
        lasted_s = (span.end_sample - self._since) / self._book.fs_hz
        limit = self._book.limits(_KIND).limit
        if self._good and lasted_s >= limit:
            text = f"fibrillatory waveform for {lasted_s:.1f} s"
            self._book.cause(_KIND, self._since, text, measured(Evidence(), lasted_s, limit, "s"))
        elif not self._good:
            self._book.rest(_KIND)

    def interrupt(self, sample: int) -> None:
        """Signal is missing up to `sample`."""
        self._since = None
        self._from = sample if self._from is None else max(self._from, sample)
        self._book.end(_KIND)
