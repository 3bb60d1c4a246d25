"""No QRS in good signal: a pause, and asystole when it lasts."""

from __future__ import annotations

from detector import Quality, QualitySpan, Tick
from monitor.alarms.book import AlarmBook
from monitor.alarms.evidence import measured
from monitor.messages import Evidence

__all__ = ["Silence"]

_KINDS = ("asystole", "pause")  # the higher first: it covers the lower


class Silence:
    """Rules on the time since the last QRS, or since good signal began if that is later.

    Silence is checked at each tick (once a second) and at the QRS that ends it. R-peaks are decided up to 2 s late, so
    a silence of 4 to 6 s may have ended before a tick reports it; it still raises its alarm.
    """

    def __init__(self, book: AlarmBook) -> None:
        self._book = book
        self._since = 0  # last QRS, or begin of good signal
        self._began = False
        self._good = True

    def on_quality(self, span: QualitySpan) -> None:
        """Take the quality of the next stretch of signal."""
        self._good = span.quality is Quality.GOOD
        self._begin(span.first_sample)
        if not self._good:
            self._since = span.end_sample  # good signal begins here at the earliest
            self._book.clear("asystole")
            self._book.condition_cleared("pause")

    def on_tick(self, tick: Tick) -> None:
        """Take the R-peaks of the last second, or that there are none."""
        self._begin(tick.sample)
        for r_sample in tick.r_samples:
            self._on_qrs(r_sample)
        silent_s = (tick.decided_until - self._since) / self._book.fs_hz
        if self._good:
            for kind in _KINDS:
                if silent_s >= self._book.limits(kind).limit:
                    self._report(kind, silent_s)

    def interrupt(self, sample: int) -> None:
        """Signal is missing up to `sample`."""
        self._since = max(self._since, sample)
        for kind in _KINDS:
            self._book.clear(kind)

    def _begin(self, first_sample: int) -> None:
        """The first sample of a source may have any index."""
        if not self._began:
            self._began = True
            self._since = max(self._since, first_sample)

    def _on_qrs(self, r_sample: int) -> None:
        """A QRS ends the silence."""
        if r_sample <= self._since:
            return
        silent_s = (r_sample - self._since) / self._book.fs_hz
        for kind in _KINDS:
            if self._book.holds(kind) or (self._good and silent_s >= self._book.limits(kind).limit):
                self._report(kind, silent_s)
        self._since = r_sample
        for kind in _KINDS:
            self._book.condition_cleared(kind)

    def _report(self, kind: str, silent_s: float) -> None:
        evidence = measured(Evidence(), silent_s, self._book.limits(kind).limit, "s")
        self._book.cause(kind, self._since, f"no QRS for {silent_s:.1f} s", evidence)
