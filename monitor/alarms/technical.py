"""Technical alarms: of the signal (leads off, poor, gaps), of the source, and of the monitor itself."""

from __future__ import annotations

from collections.abc import Iterable

from detector import Gap, Quality, QualitySpan
from monitor.alarms.book import AlarmBook
from monitor.alarms.evidence import gap_text, measured
from monitor.alarms.kinds import REPORTED
from monitor.messages import Alarm, Evidence
from monitor.quality_labels import quality_words

__all__ = ["Technical"]

_NO_SIGNAL = (Quality.LEADS_OFF, Quality.FLAT)
_POOR = (Quality.HUM, Quality.MUSCLE, Quality.WANDER, Quality.MOTION, Quality.CLIPPED, Quality.GAP)


class Technical:
    """Rules on what keeps the heart from being seen."""

    def __init__(self, book: AlarmBook) -> None:
        self._book = book
        self._bad_since: dict[str, int] = {}
        self._bad_until: dict[str, int] = {}
        self._told: dict[str, tuple[int, str]] = {}  # what the pipeline says that holds

    def on_quality(self, span: QualitySpan) -> None:
        """A verdict on the next stretch of signal."""
        no_signal = "no valid samples (electrode off?) or a dead-flat input"
        self._lasting("leads_off", span, span.quality in _NO_SIGNAL, no_signal)
        poor = span.quality in _POOR
        text = f"poor signal ({quality_words(span.quality.value)}): beats are not scored" if poor else ""
        self._lasting("poor_signal", span, poor, text)

    def on_gap(self, gap: Gap) -> None:
        """Samples that never came: each is an event, many near each other are one alarm."""
        lost_s = gap.n_samples / self._book.fs_hz
        text = gap_text(gap, self._book.fs_hz)
        self._book.happened("gap", gap.first_sample, text, measured(Evidence(), lost_s, None, "s"))

    def interrupt(self) -> None:
        """The signal starts anew."""
        self._bad_since.clear()
        for kind in ("leads_off", "poor_signal"):
            self._book.clear(kind)

    def restore(self, active: Iterable[Alarm]) -> None:
        """What an engine that is no more had been told still holds, until the pipeline says that it does not."""
        self._told = {alarm.kind: (alarm.onset_sample, alarm.text) for alarm in active if alarm.kind in REPORTED}

    def tells(self, kind: str, holds: bool) -> bool:
        """Whether `source_state` would change anything.

        Raises:
            ValueError: a kind that is not the pipeline's to tell.
        """
        if kind not in REPORTED:
            raise ValueError(f"kind={kind!r}: the pipeline reports {', '.join(REPORTED)}")
        return holds != (kind in self._told)

    def source_state(self, kind: str, holds: bool, sample: int, text: str) -> None:
        """The pipeline says that `kind` begins or ends."""
        if holds:
            self._told[kind] = sample, text
        else:
            self._told.pop(kind, None)
            self._book.clear(kind)
        for other, (since, said) in self._told.items():  # also what was covered by the one that is gone
            if not self._book.holds(other):
                self._book.cause(other, since, said, Evidence(limit=self._book.limits(other).limit or None))

    def late(self, late_s: float) -> bool:
        """Whether `behind` could change anything."""
        return late_s >= self._book.limits("overload").limit or self._book.up("overload") is not None

    def behind(self, late_s: float) -> None:
        """Samples have waited for so long in the monitor, s."""
        limits = self._book.limits("overload")
        if late_s >= limits.limit:
            text = f"the monitor is {late_s:.1f} s behind its samples"
            self._book.cause("overload", self._book.sample, text, measured(Evidence(), late_s, limits.limit, "s"))
        elif late_s < limits.limit - limits.relief:
            self._book.condition_cleared("overload")

    def _lasting(self, kind: str, span: QualitySpan, bad: bool, text: str) -> None:
        """A condition that must last before it is worth a word, and rest before it is over."""
        limits, fs_hz = self._book.limits(kind), self._book.fs_hz
        if not bad:
            if span.quality is not Quality.SETTLING:
                until = self._bad_until.get(kind, span.first_sample)
                self._book.condition_cleared(kind, until)
                if (span.end_sample - until) / fs_hz >= limits.hold_s:
                    self._bad_since.pop(kind, None)
            return
        self._bad_until[kind] = span.end_sample
        since = self._bad_since.setdefault(kind, span.first_sample)
        lasted_s = (span.end_sample - since) / fs_hz
        if lasted_s >= limits.limit:
            self._book.cause(kind, since, text, measured(Evidence(), lasted_s, limits.limit, "s"))
