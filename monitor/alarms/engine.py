"""Alarm engine of one bed: passes detector events to the rules and returns the changes of alarms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from detector import Gap, Quality, QualitySpan, RhythmSpan, Tick
from monitor.alarms.anomalies import Anomalies
from monitor.alarms.audio import AudioPause
from monitor.alarms.book import AlarmBook
from monitor.alarms.ectopy import Ectopy
from monitor.alarms.evidence import ScoredBeat
from monitor.alarms.fibrillation import Fibrillation
from monitor.alarms.irregular import Irregular
from monitor.alarms.kinds import NO_SAMPLES
from monitor.alarms.origin import RecentBeats, RunCause
from monitor.alarms.rates import Rates
from monitor.alarms.rhythm_word import NOT_WATCHED, RhythmWord
from monitor.alarms.silence import Silence
from monitor.alarms.technical import Technical
from monitor.alarms.variability import Variability
from monitor.config import AlarmsConfig
from monitor.messages import Alarm, BeatMessage, Evidence, HourCounts, ShortTermHrv

__all__ = ["AlarmEngine"]


class AlarmEngine:
    """Alarms of one bed, whose name is part of their ids, under its `[alarms]` limits."""

    def __init__(self, bed: str, fs_hz: float, limits: AlarmsConfig | None = None) -> None:
        self._quality = Quality.GOOD
        self._audio = AudioPause(fs_hz)
        self._book = AlarmBook(bed, fs_hz, limits or AlarmsConfig(), self._audio, self._in_context)
        self._silence = Silence(self._book)
        recent, run = RecentBeats(fs_hz), RunCause(self._book)
        self._anomalies = Anomalies(self._book, recent, run)
        self._rates = Rates(self._book)
        self._fibrillation = Fibrillation(self._book, recent, run, self._rates.regular)
        self._ectopy = Ectopy(fs_hz)
        self._irregular = Irregular(self._book, self._ectopy)
        self._rhythm = RhythmWord(self._book, self._ectopy)
        self._variability = Variability(self._book)
        self._technical = Technical(self._book)

    # -- queries ------------------------------------------------------------------------------------------

    @property
    def active(self) -> tuple[Alarm, ...]:
        """Alarms that are not cleared, as last published: most urgent first, then newest."""
        return self._book.active

    @property
    def heart_rate_bpm(self) -> float | None:
        """Mean rate over the last RR intervals, beats a minute; None if unknown, and during fibrillation.

        In asystole it is that of the QRS complexes since then, if there are any.
        """
        return None if self._book.up("ventricular_fibrillation") else self._rates.heart_rate_bpm

    @property
    def not_watched(self) -> bool:
        """Whether `poor_signal` has risen above its priority, because no beat could be judged."""
        return self._technical.not_watched

    @property
    def rhythm(self) -> str:
        """The present rhythm in words, e.g. `regular`; empty while it is not known."""
        if self.not_watched or any(self._book.up(kind) is not None for kind in NO_SAMPLES):
            return NOT_WATCHED
        return self._rhythm.word(self._book.sample)

    @property
    def unwatched_s(self) -> float:
        """Time since the last second of good signal, or since the start, s."""
        return self._rhythm.unwatched_s(self._book.sample)

    @property
    def last_hour(self) -> HourCounts:
        """Ventricular beats of the last hour and their patterns."""
        return self._ectopy.last_hour(self._book.sample)

    @property
    def hrv(self) -> ShortTermHrv:
        """Heart rate variability of the last 5 minutes."""
        return self._variability.figures(self._book.sample)

    def audio_paused_s(self, sample: int) -> float:
        """Remaining audio pause at `sample`, s; 0 = not paused."""
        return self._audio.left_s(sample)

    # -- input --------------------------------------------------------------------------------------------

    def handle(self, event: Gap | QualitySpan | RhythmSpan | Tick | ScoredBeat) -> list[Alarm]:
        """Take the next event of the detector.

        Returns:
            Changed alarms, in the order in which they changed.
        """
        match event:
            case Gap():
                self._on_gap(event)
            case QualitySpan():
                self._on_quality(event)
            case RhythmSpan():
                self._book.advance(event.end_sample)
                self._fibrillation.on_rhythm(event)
            case ScoredBeat():
                self._book.advance(event.beat.decided_sample)
                self._anomalies.on_beat(event)  # before the rates: a run covers them
                self._rates.on_beat(event)
                self._ectopy.on_beat(event)
                self._irregular.on_beat(event)
                self._rhythm.on_beat(event)
                self._variability.on_beat(event)
            case Tick():
                self._book.advance(event.sample)
                self._fibrillation.on_tick()  # before the silence: fibrillation has no QRS and covers it
                self._silence.on_tick(event)
                self._rates.on_tick(event, self._silence.silent_s)
                self._technical.on_tick(event)
                self._anomalies.on_tick(event)
                self._irregular.on_tick(event.decided_until)
                self._book.expire()
        return self._book.take_changes()

    def source_state(self, kind: str, holds: bool, sample: int, text: str) -> list[Alarm]:
        """A condition that the pipeline reports (one of `kinds.REPORTED`) begins or ends; returns changed alarms.

        Raises:
            ValueError: any other kind.
        """
        if self._technical.source_state(kind, holds, sample, text) and holds and kind in NO_SAMPLES:
            self._interrupt(sample)
        return self._book.take_changes()

    def behind(self, late_s: float, sample: int) -> list[Alarm]:
        """Samples of a bed in real time have waited `late_s` seconds in the monitor."""
        self._technical.behind(late_s, sample)
        return self._book.take_changes()

    def restore(self, changes: Sequence[Alarm], sample: int, beats: Iterable[BeatMessage] = ()) -> None:
        """Continue after an earlier engine; call it before anything else.

        Alarms keep their ids, counts and acknowledgements. Conditions that were building up, and an audio pause, are
        lost: then handle a `Gap` from `sample` to the next sample.

        Args:
            changes: returned by that engine, in order: at least the last of each alarm that is not cleared, and all of
                the last hour (for the limit of onsets per hour of low alarms).
            sample: its sample clock at the end.
            beats: published in its last 5 minutes, in order, for the heart rate variability.
        """
        self._book.restore(changes, sample)
        self._variability.restore(changes, beats)
        self._technical.restore(self._book.active)

    def acknowledge(self, alarm_id: str, who: str) -> list[Alarm]:
        """Acknowledge an alarm; a latched one is cleared. Nothing changes if it was acknowledged before.

        Raises:
            ValueError: no such active alarm.
        """
        self._book.acknowledge(alarm_id, who)
        return self._book.take_changes()

    def pause_audio(self, seconds: float, sample: int) -> float:
        """Pause the audible signal, see `AudioPause.begin`; returns the granted duration, s."""
        return self._audio.begin(seconds, sample, self._book.active)

    # -- internal -----------------------------------------------------------------------------------------

    def _on_gap(self, gap: Gap) -> None:
        end = gap.first_sample + gap.n_samples
        self._book.advance(end)
        if self._silence.on_gap(gap):
            self._rates.interrupt()
        if gap.effect in ("hole", "restart"):
            self._rates.on_gap(end)
            self._interrupt_beats()
        if gap.effect == "restart":
            self._fibrillation.interrupt(end)
            self._technical.interrupt()
        self._book.expire()
        if not gap.invalid:
            self._technical.on_gap(gap)

    def _on_quality(self, span: QualitySpan) -> None:
        self._book.advance(span.end_sample)
        self._quality = span.quality
        self._technical.on_quality(span)
        self._fibrillation.on_quality(span)
        if self._silence.on_quality(span):
            self._rates.interrupt()
        self._rhythm.on_quality(span)
        if span.quality is Quality.GOOD:
            self._ectopy.on_good_signal(span.first_sample, span.end_sample)
        else:
            self._anomalies.forget_awaited()

    def _interrupt(self, sample: int) -> None:
        """No samples come: everything that was building up starts again."""
        self._silence.interrupt(sample)
        self._rates.interrupt()
        self._interrupt_beats()
        self._fibrillation.interrupt(sample)
        self._technical.interrupt()

    def _interrupt_beats(self) -> None:
        """Anomalous beats before and after a gap are not counted together; the detector judges waves across it."""
        self._anomalies.interrupt()
        self._ectopy.interrupt()
        self._irregular.interrupt()
        self._rhythm.interrupt()

    def _in_context(self, evidence: Evidence) -> Evidence:
        return msgspec.structs.replace(evidence, heart_rate_bpm=self.heart_rate_bpm, quality=self._quality.value)
