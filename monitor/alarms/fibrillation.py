"""Ventricular rhythms by their waveform, in good signal: fibrillation, and tachycardia without a line between beats."""

from __future__ import annotations

from collections.abc import Callable

from detector import Quality, QualitySpan, RhythmSpan
from monitor.alarms.book import AlarmBook
from monitor.alarms.evidence import measured
from monitor.alarms.origin import FAST_RR_S, RecentBeats, RunCause
from monitor.messages import Evidence

__all__ = ["Fibrillation"]

_KIND = "ventricular_fibrillation"
_FLUTTER_S = 0.24  # waves that repeat faster than this (250 a minute) are flutter, and as urgent as fibrillation
_BEATS = 5  # that say whether a run is conducted
_RUN_S = 5.0  # two windows: fibrillation repeats itself by chance in one of 20


class Fibrillation:
    """Rule on the detector's windows: consecutive fibrillatory ones must cover the limit.

    Waves that repeat from beat to beat at 100 to 250 bpm are no fibrillation: they are a `ventricular_run`, unless the
    beats say that the rhythm is conducted. Windows do not count in which beats like those at rest go on.

    The alarm ends `hold_s` after the first window that is not fibrillatory: fibrillation wanes and waxes. While a
    ventricular run is up and its RR intervals are `regular`, the run is reported instead, with the same priority; after
    a run the windows must last for the limit anew.
    """

    def __init__(self, book: AlarmBook, recent: RecentBeats, run: RunCause, regular: Callable[[], bool]) -> None:
        self._book = book
        self._recent = recent
        self._run = run
        self._regular = regular
        self._window: RhythmSpan | None = None  # waits for the beats of the same second
        self._since: int | None = None  # first sample of the fibrillatory stretch
        self._run_since: int | None = None  # first sample of the stretch of waves that repeat
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
        if span.first_sample > self._until:
            self._since = self._run_since = None
        self._until = span.end_sample
        if span.fibrillatory:
            self._recent.on_fibrillatory(span.end_sample)
        fibrillatory = span.fibrillatory and span.first_sample >= self._from
        fibrillatory = fibrillatory and not self._recent.own(
            span.first_sample, span.end_sample, span.cycle_s is not None
        )
        repeats = fibrillatory and span.cycle_s is not None and _FLUTTER_S <= span.cycle_s < FAST_RR_S
        self._on_run(span, repeats)
        self._on_fibrillation(span, fibrillatory and not repeats)

    def interrupt(self, sample: int) -> None:
        """Signal is missing up to `sample`."""
        self._window = self._since = self._run_since = None
        self._from = max(self._from, sample)
        self._run.ends("waves")
        self._book.clear(_KIND)

    def _on_run(self, span: RhythmSpan, repeats: bool) -> None:
        """Waves that repeat: a run unless its beats are conducted."""
        if not repeats or span.cycle_s is None:
            self._run_since = None
            self._run.ends("waves")
            return
        if self._run_since is None:
            self._run_since = span.first_sample
        lasted_s = (span.end_sample - self._run_since) / self._book.fs_hz
        limits, rate_bpm = self._book.limits("ventricular_run"), 60.0 / span.cycle_s
        if not self._good or lasted_s < _RUN_S or rate_bpm <= limits.limit:
            return
        if self._recent.conducted(self._recent.fast(limits.limit)[-_BEATS:]):
            self._run.ends("waves")
            return
        text = f"waves that repeat at {rate_bpm:.0f} bpm for {lasted_s:.1f} s"
        self._run.holds("waves", self._run_since, text, measured(Evidence(), rate_bpm, limits.limit, "bpm"))

    def _on_fibrillation(self, span: RhythmSpan, fibrillatory: bool) -> None:
        if not fibrillatory:
            self._since = None
            self._book.condition_cleared(_KIND)
            return
        if self._since is None:
            run = self._book.up("ventricular_run") is not None
            self._since = span.end_sample if run else span.first_sample
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
