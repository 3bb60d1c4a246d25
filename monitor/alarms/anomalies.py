"""Alarms of anomalous beats: single ones, runs of them, and how many a minute."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from detector import Tick
from detector.explain import pause
from monitor.alarms.book import AlarmBook
from monitor.alarms.evidence import EVIDENCE_BEATS, ScoredBeat, beat_evidence, beat_text, measured, run_text
from monitor.alarms.ventricular import VentricularRun

__all__ = ["Anomalies"]

_R_SAMPLES = 32  # R-peaks run ahead of their beats by 1.4 s at most
_MINUTE_S = 60.0
_MINUTE_BEATS = 512  # more than any heart gives
_RUNS = ("ventricular_run", "anomaly_run")
_KINDS = (*_RUNS, "anomaly_burden", "anomalous_beat")


class Anomalies:
    """Rules on beats that are too unusual for this patient.

    A beat is told once: as a single one, or in a run, or (of a run that is wide and fast) in a ventricular run. What
    a run has told counts towards no burden.
    """

    def __init__(self, book: AlarmBook) -> None:
        self._book = book
        self._ventricular = VentricularRun(book)
        self._odd: deque[ScoredBeat] = deque(maxlen=EVIDENCE_BEATS)  # the newest anomalous beats
        self._run_start: int | None = None  # R-peak of the first of consecutive anomalous beats, now
        self._run_length = 0
        self._minute: deque[int] = deque(maxlen=_MINUTE_BEATS)  # R-peaks of anomalous beats in no run, last minute
        self._awaited: ScoredBeat | None = None  # the last anomalous beat: what follows it is not known yet
        self._r_samples: deque[int] = deque(maxlen=_R_SAMPLES)

    # -- what goes in -------------------------------------------------------------------------------------

    def on_beat(self, scored: ScoredBeat) -> None:
        """The next beat, scored or not."""
        self._follow(scored.beat.r_sample, scored.beat.r_sample)
        if scored.anomalous:
            self._odd.append(scored)
            self._awaited = scored
            self._run_length += 1
            if self._run_start is None:
                self._run_start = scored.beat.r_sample
        else:
            self._break()
        if self._ventricular.on_beat(scored):
            self._tell_ventricular()
        if scored.anomalous:
            self._tell_run()
            self._tell_single(scored)
        self._count(scored)

    def on_tick(self, tick: Tick) -> None:
        """R-peaks, or none, up to here."""
        self._r_samples.extend(tick.r_samples)
        self._follow(tick.decided_until)

    def forget_awaited(self) -> None:
        """The signal is not good: what follows the last beat cannot be known."""
        self._awaited = None

    def interrupt(self) -> None:
        """What the heart did while nobody looked is not known; single beats of before are still what they were."""
        self._awaited = None
        self._break()
        self._ventricular.interrupt()
        self._minute.clear()
        for kind in _RUNS:
            self._book.clear(kind)
        self._book.condition_cleared("anomaly_burden")

    # -- rules --------------------------------------------------------------------------------------------

    def _break(self) -> None:
        self._run_start, self._run_length = None, 0
        self._book.condition_cleared("anomaly_run")

    def _tell_ventricular(self) -> None:
        run, limit = self._ventricular, self._book.limits("ventricular_run").limit
        beats = self._beats_of("ventricular_run", run.start)
        text = run_text(beats, f"{run.length} wide or different beats in a row at {run.rate_bpm:.0f} bpm")
        self._book.cause("ventricular_run", run.start, text, measured(beat_evidence(beats), run.rate_bpm, limit, "bpm"))

    def _tell_run(self) -> None:
        needed, start = self._book.limits("anomaly_run").beats, self._run_start
        if start is None or self._run_length < needed:
            return
        beats = [odd for odd in self._odd if odd.beat.r_sample >= start]
        text = run_text(beats, f"{self._run_length} anomalous beats in a row")
        evidence = beat_evidence(self._beats_of("anomaly_run", start))
        evidence = measured(evidence, float(self._run_length), float(needed), "beats")
        self._book.cause("anomaly_run", start, text, evidence)

    def _tell_single(self, scored: ScoredBeat) -> None:
        onset = scored.beat.r_sample
        evidence = measured(beat_evidence(self._beats_of("anomalous_beat", onset)), None, None, "")
        if not self._book.happened("anomalous_beat", onset, beat_text(scored), evidence) and self._book.up(
            "anomaly_run"
        ):
            self._learn("anomaly_run")  # it came so soon after a run that it belongs to it

    def _count(self, scored: ScoredBeat) -> None:
        """Anomalous beats in the last minute, without those that a run has told."""
        book, limits, now = self._book, self._book.limits("anomaly_burden"), scored.beat.r_sample
        runs = [alarm for kind in (*_RUNS, "ventricular_fibrillation") if (alarm := book.up(kind)) is not None]
        if runs:
            told = min(alarm.onset_sample for alarm in runs)
            self._minute = deque((r for r in self._minute if r < told), _MINUTE_BEATS)
        elif scored.anomalous:
            self._minute.append(now)
        while self._minute and self._minute[0] <= now - _MINUTE_S * book.fs_hz:
            self._minute.popleft()
        n, up = len(self._minute), book.up("anomaly_burden") is not None
        if n <= limits.limit - limits.relief * up:
            book.condition_cleared("anomaly_burden")
        elif up or scored.anomalous:  # it is raised by the beat that is one too many
            beats = [odd for odd in self._odd if odd.beat.r_sample >= self._minute[0]]
            evidence = measured(beat_evidence(beats), float(n), limits.limit, "beats a minute")
            text = run_text(beats, f"{n} anomalous beats in a minute")
            book.cause("anomaly_burden", self._minute[0], text, evidence)

    # -- what becomes known later -------------------------------------------------------------------------

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
        word = pause(awaited.beat, (until - r_sample) / self._book.fs_hz, ended=after is not None)
        if word is None:
            self._awaited = None if after is not None else awaited
            return
        self._awaited = None
        told = replace(awaited, words=(*awaited.words, word))
        self._odd = deque((told if odd is awaited else odd for odd in self._odd), EVIDENCE_BEATS)
        for kind in _KINDS:
            self._learn(kind)

    def _learn(self, kind: str) -> None:
        """Put what has become known of its beats into an alarm that is up.

        Told at once where the alarm is about that one beat, so at most one update follows an onset; else with the
        next change: an arrhythmia that lasts must not flood the bus and crowd older alarms out of the journal.
        """
        alarm = self._book.up(kind)
        if alarm is None:
            return
        beats = self._beats_of(kind, alarm.onset_sample)
        fresh = beat_evidence(beats)
        kept = alarm.evidence
        evidence = measured(fresh, kept.value, kept.limit, kept.limit_unit)
        alone = kind == "anomalous_beat" and len(beats) == 1 and alarm.count == 1
        self._book.learn(kind, evidence, beat_text(beats[0]) if alone else None)

    def _beats_of(self, kind: str, onset: int) -> list[ScoredBeat]:
        """The newest beats that an alarm is about: of one that is up, all since its onset."""
        alarm = self._book.up(kind)
        first = onset if alarm is None else alarm.onset_sample
        return [odd for odd in self._odd if odd.beat.r_sample >= first]
