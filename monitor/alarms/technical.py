"""Technical alarms: of the signal (leads off, poor, gaps), of the source, and of the monitor itself."""

from __future__ import annotations

from collections.abc import Iterable

from detector import Gap, Quality, QualitySpan, Tick
from monitor.alarms.book import AlarmBook
from monitor.alarms.evidence import gap_text, measured
from monitor.alarms.kinds import REPORTED
from monitor.alarms.not_watched import NotWatched
from monitor.config import KindConfig
from monitor.messages import Alarm, Evidence, Priority
from monitor.quality_labels import quality_words

__all__ = ["Technical"]

_FLAT_S = 4.0  # a shorter flat stretch is nothing; QRS complexes in another unit show within it
_POOR = (Quality.HUM, Quality.MUSCLE, Quality.WANDER, Quality.MOTION, Quality.CLIPPED, Quality.GAP)


class Technical:
    """Rules on conditions under which the heart cannot be monitored.

    `poor_signal` and `leads_off` rise to medium and to high when they last; `poor_signal` by the time for which the bed
    is not watched, noise and losses together.

    Attributes:
        not_watched: whether `poor_signal` has risen above its priority.
    """

    def __init__(self, book: AlarmBook) -> None:
        self.not_watched = False
        self._book = book
        limits = book.limits("poor_signal")
        self._time = NotWatched(book.fs_hz, max(limits.medium_s, limits.high_s))
        self._bad_since: dict[str, int] = {}
        self._bad_until: dict[str, int] = {}
        self._flat_since = 0  # end of the last second that was not flat
        self._reported: dict[str, tuple[int, str]] = {}  # conditions that the pipeline reported and that hold

    def on_quality(self, span: QualitySpan) -> None:
        """Take the quality of the next stretch of signal."""
        self._time.on_quality(span)
        if span.quality is not Quality.FLAT:
            self._flat_since = span.end_sample
        flat = span.end_sample - self._flat_since >= _FLAT_S * self._book.fs_hz
        text = "a dead-flat line: check electrodes and cable" if flat else "no valid samples: electrode off?"
        self._lasting("leads_off", span, flat or span.quality is Quality.LEADS_OFF, text)
        text = "calibration pulses or a test signal of the device: nothing is scored"
        self._lasting("calibration", span, span.quality is Quality.CALIBRATION, text)
        poor = span.quality in _POOR
        text = f"poor signal ({quality_words(span.quality.value)}): beats are not scored" if poor else ""
        if not self.not_watched:
            self._lasting("poor_signal", span, poor, text)

    def on_gap(self, gap: Gap) -> None:
        """Samples are missing: each gap is an event, gaps close to each other are one alarm."""
        lost_s = gap.n_samples / self._book.fs_hz
        text = gap_text(gap, self._book.fs_hz)
        self._book.happened("gap", gap.first_sample, text, measured(Evidence(), lost_s, None, "s"))
        self._time.on_gap(gap)
        self._judge_watch()

    def on_tick(self, tick: Tick) -> None:
        """A second is over."""
        self._time.on_tick(tick)
        self._judge_watch()

    def interrupt(self) -> None:
        """The signal starts again."""
        self._bad_since.clear()
        for kind in ("leads_off", "calibration"):
            self._book.clear(kind)
        if not self.not_watched:
            self._book.clear("poor_signal")

    def restore(self, active: Iterable[Alarm]) -> None:
        """Take over what was reported to an earlier engine; it holds until the pipeline reports its end."""
        self._reported = {alarm.kind: (alarm.onset_sample, alarm.text) for alarm in active if alarm.kind in REPORTED}

    def source_state(self, kind: str, holds: bool, sample: int, text: str) -> bool:
        """The pipeline reports that a condition begins or ends; False if it did so before.

        Raises:
            ValueError: the pipeline does not report this kind.
        """
        if kind not in REPORTED:
            raise ValueError(f"kind={kind!r}: the pipeline reports {', '.join(REPORTED)}")
        if holds == (kind in self._reported):
            return False
        self._book.advance(sample)
        if holds:
            self._reported[kind] = sample, text
        else:
            del self._reported[kind]
            self._book.clear(kind)
        for other, (since, reason) in self._reported.items():  # includes conditions that the ended one covered
            if not self._book.holds(other):
                self._book.cause(other, since, reason, Evidence(limit=self._book.limits(other).limit or None))
        return True

    def behind(self, late_s: float, sample: int) -> None:
        """Samples have waited `late_s` seconds in the monitor."""
        limits = self._book.limits("overload")
        if late_s >= limits.limit:
            self._book.advance(sample)
            text = f"the monitor is {late_s:.1f} s behind its samples"
            self._book.cause("overload", self._book.sample, text, measured(Evidence(), late_s, limits.limit, "s"))
        elif self._book.up("overload") is not None:
            self._book.advance(sample)
            if late_s < limits.limit - limits.relief:
                self._book.condition_cleared("overload")

    def _lasting(self, kind: str, span: QualitySpan, bad: bool, text: str) -> None:
        """A condition that must last for its limit to raise an alarm, and be gone for `hold_s` to end it."""
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
            evidence = measured(Evidence(), lasted_s, limits.limit, "s")
            self._book.cause(kind, since, text, evidence, None if kind == "poor_signal" else _risen(limits, lasted_s))

    def _judge_watch(self) -> None:
        """Raise `poor_signal` to its higher priorities, and end it once the bed is watched again."""
        time, limits = self._time, self._book.limits("poor_signal")
        if self.not_watched and time.time_s == 0.0:
            self.not_watched = False
            self._book.clear("poor_signal")
        priority = _risen(limits, time.time_s)
        if priority is None and not self.not_watched:
            return
        self.not_watched = True
        lasted_s = (self._book.sample - time.since) / self._book.fs_hz
        text = f"not watched for {lasted_s:.0f} s: no beat could be judged ({quality_words(time.quality.value)})"
        evidence = measured(Evidence(), lasted_s, limits.medium_s or limits.high_s, "s")
        self._book.cause("poor_signal", time.since, text, evidence, priority)


def _risen(limits: KindConfig, lasted_s: float) -> Priority | None:
    """The priority to which a condition that lasts has risen; None = not."""
    if 0 < limits.high_s <= lasted_s:
        return "high"
    return "medium" if 0 < limits.medium_s <= lasted_s else None
