"""Ventricular fibrillation: a waveform that the detector calls fibrillatory for some seconds, in good signal."""

from __future__ import annotations

from collections.abc import Callable

from detector import Quality, QualitySpan, RhythmSpan
from monitor.alarms.book import AlarmBook
from monitor.alarms.evidence import measured
from monitor.messages import Evidence

__all__ = ["Fibrillation"]

_KIND = "ventricular_fibrillation"


class Fibrillation:
    """Rule on the detector's windows: consecutive fibrillatory ones must cover the limit.

    The alarm ends `hold_s` after the first window that is not fibrillatory: fibrillation wanes and waxes. A fast
    ventricular tachycardia without an isoelectric line between its beats has a similar waveform: while a ventricular
    run is up and its RR intervals are `regular`, the run is reported instead, with the same priority.
    """

    def __init__(self, book: AlarmBook, regular: Callable[[], bool]) -> None:
        self._book = book
        self._regular = regular
        self._window: RhythmSpan | None = None  # waits for the beats of the same second
        self._since: int | None = None  # first sample of the fibrillatory stretch
        self._until = 0
        self._from = 0  # windows before this sample do not count: signal was missing, or a run covered them
        self._good = True

    def on_quality(self, span: QualitySpan) -> None:
        """Take the quality of the next stretch of signal."""
        self._good = span.quality is Quality.GOOD

    def on_rhythm(self, span: RhythmSpan) -> None:
        """Take the detector's verdict on the next window; it counts at the tick that follows."""
        self._window = span

    def on_tick(self) -> None:
        """All beats of this second are known: judge the window."""
        span, self._window = self._window, None
        if span is None:
            return
        if self._since is not None and span.first_sample > self._until:
            self._since = None
        self._until = span.end_sample
        if not span.fibrillatory or span.first_sample < self._from:
            self._since = None
            self._book.condition_cleared(_KIND)
            return
        if self._since is None:
            self._since = span.first_sample
        lasted_s = (span.end_sample - self._since) / self._book.fs_hz
        limit = self._book.limits(_KIND).limit
        if not self._good:
            self._book.condition_cleared(_KIND)
        elif self._book.holds("ventricular_run") and self._regular():
            self._since, self._from = None, span.end_sample  # the run covers these windows
            self._book.condition_cleared(_KIND)
        elif lasted_s >= limit:
            text = f"fibrillatory waveform for {lasted_s:.1f} s"
            self._book.cause(_KIND, self._since, text, measured(Evidence(), lasted_s, limit, "s"))

    def interrupt(self, sample: int) -> None:
        """Signal is missing up to `sample`."""
        self._window = self._since = None
        self._from = max(self._from, sample)
        self._book.clear(_KIND)
