"""The alarm engine: pure. What the detector says goes in, changes of alarms come out; time is the sample clock.

Rules (IEC 60601-1-8 in spirit): one alarm per cause, updated while it lasts; a high physiological alarm latches
until somebody acknowledges it; a technical alarm never latches; no physiological alarm out of signal that cannot
be scored; nothing is computed across a gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

import msgspec

from detector import Gap, Quality, QualitySpan, RhythmSpan, Tick
from detector.explain import pause
from monitor.config import AlarmsConfig, KindConfig
from monitor.evidence import EVIDENCE_BEATS, ScoredBeat, beat_evidence, beat_text, gap_text, rounded, run_text
from monitor.messages import AUDIO_PAUSE_MAX_S, Alarm, Category, Evidence
from monitor.words import quality_words

__all__ = ["AlarmEngine"]

_TECHNICAL = {"leads_off", "no_data", "source_lost", "sampling_rate", "poor_signal", "gap"}
_SILENT = ("no_data", "source_lost")
_PRIORITY_RANK = {"low": 0, "medium": 1, "high": 2}
_RATE_HYSTERESIS_BPM = 5.0  # a rate at its limit must not switch the alarm with every beat
_HEART_RATE_BEATS = 8
_R_SAMPLES = 32  # R-peaks run ahead of their beats by 1.4 s at most
_POOR_REST_S = 2.0  # noise that pauses for a second is one noise, and one alarm
_NO_SIGNAL = (Quality.LEADS_OFF, Quality.FLAT)
_POOR = (Quality.HUM, Quality.MUSCLE, Quality.WANDER, Quality.MOTION, Quality.CLIPPED, Quality.GAP)


class AlarmEngine:
    """Alarms of one bed.

    Args:
        bed: name of the bed, part of every alarm's id.
        fs_hz: sampling rate, Hz.
        limits: `[alarms]` of the configuration.
    """

    def __init__(self, bed: str, fs_hz: float, limits: AlarmsConfig | None = None) -> None:
        self.bed = bed
        self.fs_hz = fs_hz
        self._limits = limits or AlarmsConfig()
        self._alarms: dict[str, Alarm] = {}  # by kind: active or latched
        self._cleared: dict[str, Alarm] = {}  # by kind: the last that was cleared
        self._cause: set[str] = set()  # kinds whose cause holds now
        self._changes: list[Alarm] = []
        self._sample = 0
        self._last_qrs: int | None = None  # last QRS, or where good signal began; None before any signal
        self._recent: deque[ScoredBeat] = deque(maxlen=max(32, self._limits.extreme_tachycardia.beats + 1))
        self._run: list[ScoredBeat] = []  # consecutive anomalous beats, now
        self._grouped: list[ScoredBeat] = []  # anomalous beats of the alarm that holds now
        self._awaited: ScoredBeat | None = None  # the last anomalous beat: what follows it is not known yet
        self._r_samples: deque[int] = deque(maxlen=_R_SAMPLES)
        self._hold_until: dict[str, int] = {}
        self._bad_since: dict[str, int] = {}
        self._bad_until: dict[str, int] = {}
        self._quality = Quality.GOOD
        self._pause_until = 0
        self._pause_rank = 0

    # -- what it knows ------------------------------------------------------------------------------------

    @property
    def active(self) -> tuple[Alarm, ...]:
        """Alarms that are not cleared, most urgent first, then newest."""
        return tuple(
            sorted(self._alarms.values(), key=lambda a: (-_PRIORITY_RANK[a.priority], -a.onset_sample, a.kind))
        )

    @property
    def heart_rate_bpm(self) -> float | None:
        """Mean rate over the last 8 RR intervals, beats a minute; None where not known, or without a QRS for long."""
        if "asystole" in self._cause:
            return None
        intervals = [s.beat.rr_s for s in list(self._recent)[-_HEART_RATE_BEATS:] if s.beat.rr_s is not None]
        return round(60.0 * len(intervals) / sum(intervals), 1) if len(intervals) >= 2 else None

    def audio_paused_s(self, sample: int) -> float:
        """What is left of an audio pause at `sample`, s."""
        return max(0.0, (self._pause_until - sample) / self.fs_hz)

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
            case ScoredBeat():
                self._on_beat(event)
            case Tick():
                self._on_tick(event)
        changes, self._changes = self._changes, []
        return changes

    def source_state(self, kind: str, holds: bool, sample: int, text: str) -> list[Alarm]:
        """`no_data`, `source_lost` or `sampling_rate` begins (or ends): only source and pipeline can know.

        Raises:
            ValueError: another kind.
        """
        if kind not in (*_SILENT, "sampling_rate"):
            raise ValueError(f"kind={kind!r}: the pipeline reports no_data, source_lost or sampling_rate")
        if not holds and kind not in self._cause:
            return []
        self._sample = max(self._sample, sample)
        self._set(kind, holds, sample, text)
        if holds and kind in _SILENT:
            self._interrupt(sample)
        changes, self._changes = self._changes, []
        return changes

    def acknowledge(self, alarm_id: str, who: str) -> list[Alarm]:
        """Somebody has seen an alarm: it is acknowledged, or cleared where its cause is gone.

        Raises:
            ValueError: no such active alarm.
        """
        for kind, alarm in self._alarms.items():
            if alarm.alarm_id == alarm_id:
                state = "acknowledged" if kind in self._cause else "cleared"
                self._emit(replace_alarm(alarm, state=state, decided_sample=self._sample, acknowledged_by=who))
                changes, self._changes = self._changes, []
                return changes
        raise ValueError(f"alarm {alarm_id!r} is not active on bed {self.bed!r}")

    def pause_audio(self, seconds: float, sample: int) -> float:
        """Pause the audible signal, at most 2 minutes; 0 ends a pause. A higher priority breaks it.

        Returns:
            Seconds granted.

        Raises:
            ValueError: negative or not a number.
        """
        if not 0 <= seconds < float("inf"):
            raise ValueError(f"seconds={seconds}: give 0 to {AUDIO_PAUSE_MAX_S:g}")
        granted = min(seconds, AUDIO_PAUSE_MAX_S)
        self._pause_until = sample + round(granted * self.fs_hz)
        self._pause_rank = max((_PRIORITY_RANK[alarm.priority] for alarm in self._alarms.values()), default=-1)
        return granted

    # -- rules --------------------------------------------------------------------------------------------

    def _on_gap(self, gap: Gap) -> None:
        end = gap.first_sample + gap.n_samples
        self._sample = max(self._sample, end)
        if gap.effect == "hole":
            self._interrupt_heart(end)
        elif gap.effect == "restart":
            self._interrupt(end)
        lost_s = gap.n_samples / self.fs_hz
        self._hold("gap", gap.first_sample, gap_text(gap, self.fs_hz), lost_s, "s")

    def _on_quality(self, span: QualitySpan) -> None:
        self._sample = max(self._sample, span.end_sample)
        self._quality = span.quality
        if self._last_qrs is None:
            self._last_qrs = span.first_sample
        self._lasting(
            "leads_off", span, span.quality in _NO_SIGNAL, "no valid samples (electrode off?) or a dead-flat input"
        )
        text = f"poor signal ({quality_words(span.quality.value)}): beats are not scored"
        self._lasting("poor_signal", span, span.quality in _POOR, text)
        if span.quality is not Quality.GOOD:
            self._awaited = None
            self._last_qrs = span.end_sample  # signal counts as present from here on at the earliest
            self._end("asystole")

    def _lasting(self, kind: str, span: QualitySpan, bad: bool, text: str) -> None:
        """A technical condition that must last before it is worth a word."""
        if not bad:
            rested_s = (span.end_sample - self._bad_until.get(kind, span.first_sample)) / self.fs_hz
            if span.quality is not Quality.SETTLING and (kind != "poor_signal" or rested_s >= _POOR_REST_S):
                self._bad_since.pop(kind, None)
                self._end(kind)
            return
        self._bad_until[kind] = span.end_sample
        since = self._bad_since.setdefault(kind, span.first_sample)
        lasted_s = (span.end_sample - since) / self.fs_hz
        if lasted_s >= self._kind(kind).limit:
            self._set(kind, True, since, text, lasted_s, "s")

    def _on_tick(self, tick: Tick) -> None:
        self._sample = tick.sample
        if self._last_qrs is None:
            self._last_qrs = tick.sample
        self._r_samples.extend(tick.r_samples)
        self._follow(tick.decided_until)
        if tick.r_samples:
            self._last_qrs = max(self._last_qrs, tick.r_samples[-1])
            self._end("asystole")
        silent_s = (tick.decided_until - self._last_qrs) / self.fs_hz
        if self._quality is Quality.GOOD and silent_s >= self._limits.asystole.limit:
            self._set("asystole", True, self._last_qrs, f"no QRS for {silent_s:.1f} s", silent_s, "s")
        for kind, until in list(self._hold_until.items()):
            if tick.sample >= until:
                del self._hold_until[kind]
                self._end(kind)
                if kind == "anomalous_beat":
                    self._grouped = []

    def _on_beat(self, scored: ScoredBeat) -> None:
        self._sample = max(self._sample, scored.beat.decided_sample)
        self._follow(scored.beat.r_sample, scored.beat.r_sample)
        if scored.score is None or scored.beat.rr_s is None:
            self._recent.clear()
        self._recent.append(scored)
        self._rate("extreme_bradycardia", lambda rate, limit: rate < limit, +_RATE_HYSTERESIS_BPM)
        self._rate("extreme_tachycardia", lambda rate, limit: rate > limit, -_RATE_HYSTERESIS_BPM)
        if not scored.anomalous:
            self._run = []
            self._end("anomaly_run")
            return
        self._run = [*self._run, scored][-EVIDENCE_BEATS:]
        self._grouped = [*self._grouped, scored][-EVIDENCE_BEATS:]
        self._awaited = scored
        self._hold("anomalous_beat", scored.beat.r_sample, beat_text(scored), None, "", self._grouped)
        needed = self._limits.anomaly_run.beats
        if len(self._run) >= needed:
            self._set(
                "anomaly_run",
                True,
                self._run[0].beat.r_sample,
                run_text(self._run),
                float(len(self._run)),
                "beats",
                self._run,
            )

    def _follow(self, decided_until: int, beat_at: int | None = None) -> None:
        """Whether the last anomalous beat was followed by a pause: known at the next R-peak, or when none comes.

        Args:
            decided_until: R-peaks before this sample are known.
            beat_at: R-peak of a beat that comes now, maybe ahead of the tick that announces its R-peak.
        """
        awaited = self._awaited
        if awaited is None:
            return
        r_sample = awaited.beat.r_sample
        after = next((r for r in self._r_samples if r > r_sample), beat_at)
        until = decided_until if after is None else after
        word = pause(awaited.beat, (until - r_sample) / self.fs_hz, ended=after is not None)
        if word is None:
            self._awaited = None if after is not None else awaited
            return
        self._awaited = None
        told = replace(awaited, words=(*awaited.words, word))
        self._run = [told if scored is awaited else scored for scored in self._run]
        self._grouped = [told if scored is awaited else scored for scored in self._grouped]
        for kind, beats in (("anomalous_beat", self._grouped), ("anomaly_run", self._run)):
            if kind in self._cause and any(scored is told for scored in beats):
                self._add_words(kind, beats)

    def _add_words(self, kind: str, beats: list[ScoredBeat]) -> None:
        """Put what has become known of its beats into an alarm that lasts.

        Told at once where the alarm is about that one beat, so at most one update follows an onset; else with the
        next change: an arrhythmia that lasts must not flood the bus and crowd older alarms out of the journal.
        """
        alarm = self._alarms[kind]
        fresh = beat_evidence(beats)
        evidence = msgspec.structs.replace(alarm.evidence, r_samples=fresh.r_samples, words=fresh.words)
        if kind == "anomalous_beat" and len(beats) == 1:
            self._emit(
                replace_alarm(
                    alarm, decided_sample=self._sample, text=beat_text(beats[0]), evidence=evidence, update=True
                )
            )
        else:
            self._alarms[kind] = replace_alarm(alarm, evidence=evidence)

    def _rate(self, kind: str, beyond: Callable[[float, float], bool], relief_bpm: float) -> None:
        """A rate limit crossed over so many beats; an active alarm ends only clear of the limit."""
        limits = self._kind(kind)
        beats = list(self._recent)[-limits.beats :]
        intervals = [scored.beat.rr_s for scored in beats[1:] if scored.beat.rr_s is not None]
        if len(beats) < limits.beats or len(intervals) < limits.beats - 1:
            if not beats or beats[-1].score is None:
                self._end(kind)
            return
        limit = limits.limit + (relief_bpm if kind in self._cause else 0.0)
        crossed = [beyond(60.0 / interval, limit) for interval in intervals]
        # Every interval, so that one pause is no bradycardia; but one in sixteen may be off: a missed QRS.
        holds = crossed.count(False) <= len(intervals) // 16 and (kind in self._cause or (crossed[0] and crossed[-1]))
        rate = 60.0 * len(intervals) / sum(intervals)
        text = f"heart rate {rate:.0f} bpm over {limits.beats} beats"
        self._set(kind, holds, beats[0].beat.r_sample, text, rate, "bpm", beats)

    def _interrupt(self, sample: int) -> None:
        """Signal is missing: nothing that was building up counts on."""
        self._interrupt_heart(sample)
        self._bad_since.clear()
        for kind in ("leads_off", "poor_signal"):
            self._end(kind)

    def _interrupt_heart(self, sample: int) -> None:
        """What the heart did while nobody looked is not known: no beat counts on from before `sample`."""
        if self._last_qrs is not None:
            self._last_qrs = max(self._last_qrs, sample)
        self._recent.clear()
        self._run = []
        self._awaited = None
        for kind in ("asystole", "extreme_bradycardia", "extreme_tachycardia", "anomaly_run"):
            self._end(kind)

    # -- state of one alarm -------------------------------------------------------------------------------

    def _kind(self, kind: str) -> KindConfig:
        limits: KindConfig = getattr(self._limits, kind)
        return limits

    def _hold(
        self,
        kind: str,
        onset: int,
        text: str,
        value: float | None,
        unit: str,
        beats: list[ScoredBeat] | None = None,
    ) -> None:
        """A cause of an instant: the alarm stays for a while, so that repeats are one alarm."""
        self._hold_until[kind] = self._sample + round(self._kind(kind).hold_s * self.fs_hz)
        alarm = self._alarms.get(kind)
        if alarm is not None and kind in self._cause:
            self._alarms[kind] = replace_alarm(
                alarm, count=alarm.count + 1, evidence=self._evidence(kind, value, unit, beats)
            )
            return
        self._set(kind, True, onset, text, value, unit, beats)

    def _set(
        self,
        kind: str,
        holds: bool,
        onset: int,
        text: str,
        value: float | None = None,
        unit: str = "",
        beats: list[ScoredBeat] | None = None,
    ) -> None:
        """The cause of `kind` holds or does not; emit what that changes."""
        if not holds:
            self._end(kind)
            return
        limits = self._kind(kind)
        if not limits.enabled or kind in self._cause:
            return
        self._cause.add(kind)
        evidence = self._evidence(kind, value, unit, beats)
        alarm_id = f"{self.bed}/{kind}/{onset}"
        before = self._alarms.get(kind)
        if before is None and kind in self._cleared and self._cleared[kind].alarm_id == alarm_id:
            before = self._cleared[kind]  # a source that was lost, found, and lost before it gave one sample
        if before is not None:  # latched: the same alarm comes back, it is not raised again
            self._emit(
                replace_alarm(
                    before,
                    state="onset",
                    decided_sample=self._sample,
                    text=text,
                    evidence=evidence,
                    count=before.count + 1,
                )
            )
            return
        category: Category = "technical" if kind in _TECHNICAL else "physiological"
        self._emit(
            Alarm(
                alarm_id=alarm_id,
                bed=self.bed,
                kind=kind,
                category=category,
                priority=limits.priority,
                state="onset",
                onset_sample=onset,
                decided_sample=self._sample,
                text=text,
                evidence=evidence,
            )
        )

    def _end(self, kind: str) -> None:
        """The cause of `kind` is gone: clear it, or latch it until somebody has seen it."""
        if kind not in self._cause:
            return
        self._cause.discard(kind)
        self._hold_until.pop(kind, None)
        alarm = self._alarms[kind]
        latches = alarm.category == "physiological" and alarm.priority == "high" and alarm.state != "acknowledged"
        self._emit(replace_alarm(alarm, state="latched" if latches else "cleared", decided_sample=self._sample))

    def _emit(self, alarm: Alarm) -> None:
        if alarm.state == "cleared":
            self._alarms.pop(alarm.kind, None)
            self._cleared[alarm.kind] = alarm
        else:
            self._alarms[alarm.kind] = alarm
        if alarm.state == "onset" and not alarm.update and _PRIORITY_RANK[alarm.priority] > self._pause_rank:
            self._pause_until = min(self._pause_until, self._sample)
        self._changes.append(alarm)

    def _evidence(self, kind: str, value: float | None, unit: str, beats: list[ScoredBeat] | None) -> Evidence:
        limits = self._kind(kind)
        return msgspec.structs.replace(
            beat_evidence(beats or []),
            heart_rate_bpm=self.heart_rate_bpm,
            quality=self._quality.value,
            limit=float(limits.beats) if unit == "beats" else (limits.limit or None),
            value=rounded(value, 3),
            limit_unit=unit,
        )


def replace_alarm(alarm: Alarm, **changes: object) -> Alarm:
    """The same alarm in another state, or with more to say (`update=True`)."""
    return msgspec.structs.replace(alarm, **({"update": False} | changes))
