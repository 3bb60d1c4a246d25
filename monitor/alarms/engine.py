"""The engine of one bed: hands each event of the detector to the rules, and the changes to who asked."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from detector import Gap, Quality, QualitySpan, RhythmSpan, Tick
from monitor.alarms.anomalies import Anomalies
from monitor.alarms.audio import AudioPause
from monitor.alarms.book import AlarmBook
from monitor.alarms.evidence import ScoredBeat
from monitor.alarms.fibrillation import Fibrillation
from monitor.alarms.kinds import NO_SAMPLES
from monitor.alarms.rates import Rates
from monitor.alarms.silence import Silence
from monitor.alarms.technical import Technical
from monitor.config import AlarmsConfig
from monitor.messages import Alarm, Evidence

__all__ = ["AlarmEngine"]


class AlarmEngine:
    """Alarms of one bed.

    Args:
        bed: name of the bed, part of every alarm's id.
        fs_hz: sampling rate, Hz.
        limits: `[alarms]` of this bed.
    """

    def __init__(self, bed: str, fs_hz: float, limits: AlarmsConfig | None = None) -> None:
        self.bed = bed
        self.fs_hz = fs_hz
        self._quality = Quality.GOOD
        self._audio = AudioPause(fs_hz)
        self._book = AlarmBook(bed, fs_hz, limits or AlarmsConfig(), self._audio, self._in_context)
        self._silence = Silence(self._book)
        self._anomalies = Anomalies(self._book)
        self._rates = Rates(self._book)
        self._fibrillation = Fibrillation(self._book, self._rates.regular)
        self._technical = Technical(self._book)

    # -- what it knows ------------------------------------------------------------------------------------

    @property
    def active(self) -> tuple[Alarm, ...]:
        """Alarms that are not cleared, as they were last told, most urgent first, then newest.

        So it is what the last message of each alarm says: whoever has the messages can have this.
        """
        return self._book.active

    @property
    def heart_rate_bpm(self) -> float | None:
        """Mean rate over the last 8 RR intervals, beats a minute; None where not known, or without a QRS for long."""
        return None if self._book.holds("asystole") else self._rates.heart_rate_bpm

    def audio_paused_s(self, sample: int) -> float:
        """What is left of an audio pause at `sample`, s."""
        return self._audio.left_s(sample)

    # -- what goes in -------------------------------------------------------------------------------------

    def handle(self, event: Gap | QualitySpan | RhythmSpan | Tick | ScoredBeat) -> list[Alarm]:
        """Take the next event of the detector, in its order.

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
                self._anomalies.on_beat(event)  # before the rates: a run says more than that it is fast
                self._rates.on_beat(event)
            case Tick():
                self._book.advance(event.sample)
                self._fibrillation.on_tick()  # before the silence: what has no QRS may wave
                self._silence.on_tick(event)
                self._anomalies.on_tick(event)
                self._book.expire()
        return self._book.take_changes()

    def source_state(self, kind: str, holds: bool, sample: int, text: str) -> list[Alarm]:
        """What only source and pipeline can know begins or ends: a kind of `kinds.REPORTED`.

        Raises:
            ValueError: another kind.
        """
        if not self._technical.tells(kind, holds):
            return []
        self._book.advance(sample)
        self._technical.source_state(kind, holds, sample, text)
        if holds and kind in NO_SAMPLES:
            self._interrupt(sample)
        return self._book.take_changes()

    def behind(self, late_s: float, sample: int) -> list[Alarm]:
        """How long samples of a bed that keeps real time have waited in the monitor, s."""
        if self._technical.late(late_s):
            self._book.advance(sample)
            self._technical.behind(late_s)
        return self._book.take_changes()

    def restore(self, changes: Iterable[Alarm], sample: int) -> None:
        """Begin where an engine that is no more left off; before anything else is handled.

        Alarms are as they were, with their ids, counts and acknowledgements. What was building up, and an audio pause,
        are gone: hand in the `Gap` from there to where the signal goes on.

        Args:
            changes: what that engine returned, in order: at least the last of each alarm that is not cleared, and all
                of the last hour (so that low alarms keep to their onsets an hour).
            sample: up to where it had come.
        """
        self._book.restore(changes, sample)
        self._technical.restore(self._book.active)

    def acknowledge(self, alarm_id: str, who: str) -> list[Alarm]:
        """Somebody has seen an alarm: it is acknowledged, or cleared where its cause is gone; nothing if it was before.

        Raises:
            ValueError: no such active alarm.
        """
        self._book.acknowledge(alarm_id, who)
        return self._book.take_changes()

    def pause_audio(self, seconds: float, sample: int) -> float:
        """Pause the audible signal, at most 2 minutes; 0 ends a pause. A higher priority breaks it.

        Returns:
            Seconds granted.

        Raises:
            ValueError: negative or not a number, or no samples come that could count the pause down.
        """
        return self._audio.begin(seconds, sample, self._book.active)

    # -- inside -------------------------------------------------------------------------------------------

    def _on_gap(self, gap: Gap) -> None:
        end = gap.first_sample + gap.n_samples
        self._book.advance(end)
        if gap.effect == "hole":
            self._interrupt_heart(end)
        elif gap.effect == "restart":
            self._interrupt(end)
        self._book.expire()
        self._technical.on_gap(gap)

    def _on_quality(self, span: QualitySpan) -> None:
        self._book.advance(span.end_sample)
        self._quality = span.quality
        self._technical.on_quality(span)
        self._fibrillation.on_quality(span)
        self._silence.on_quality(span)
        if span.quality is not Quality.GOOD:
            self._anomalies.forget_awaited()

    def _interrupt(self, sample: int) -> None:
        """Signal is missing: nothing that was building up counts on."""
        self._interrupt_heart(sample)
        self._technical.interrupt()

    def _interrupt_heart(self, sample: int) -> None:
        """What the heart did while nobody looked is not known: no beat counts on from before `sample`."""
        self._fibrillation.interrupt(sample)
        self._silence.interrupt(sample)
        self._anomalies.interrupt()
        self._rates.interrupt()

    def _in_context(self, evidence: Evidence) -> Evidence:
        return msgspec.structs.replace(evidence, heart_rate_bpm=self.heart_rate_bpm, quality=self._quality.value)
