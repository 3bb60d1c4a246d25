"""Alarms of anomalous beats: single ones, runs, and their number per minute."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from detector import Tick
from detector.explain import pause
from monitor.alarms.anomaly_run import AnomalyRun
from monitor.alarms.book import AlarmBook
from monitor.alarms.evidence import EVIDENCE_BEATS, ScoredBeat, beat_evidence, beat_text, measured, run_text
from monitor.alarms.origin import RecentBeats, RunCause
from monitor.alarms.recent_noise import RecentNoise
from monitor.alarms.ventricular import VentricularRun

__all__ = ["Anomalies"]

_R_SAMPLES = 32  # R-peaks are decided up to 1.4 s before their beats
_MINUTE_S = 60.0
_MINUTE_BEATS = 512  # more than any heart rate gives
_RUNS = ("ventricular_run", "anomaly_run")
_KINDS = (*_RUNS, "anomaly_burden", "anomalous_beat")


class Anomalies:
    """Rules on beats that are too unusual for this patient.

    Each beat belongs to one alarm: a single beat, a run, or (if the run is wide and fast) a ventricular run. Beats of
    a run do not count towards the burden.
    """

    def __init__(self, book: AlarmBook, recent: RecentBeats, run: RunCause) -> None:
        self._book = book
        self._recent = recent
        self._run = run
        self._noise = RecentNoise(book.fs_hz)
        self._ventricular = VentricularRun(book, recent, self._noise)
        self._odd: deque[ScoredBeat] = deque(maxlen=EVIDENCE_BEATS)  # the newest anomalous beats
        self._in_a_row = AnomalyRun(book.limits("anomaly_run").beats)
        self._minute: deque[int] = deque(maxlen=_MINUTE_BEATS)  # R-peaks of anomalous beats of the last minute, no runs
        self._awaited: ScoredBeat | None = None  # the last anomalous beat, until the interval after it is known
        self._r_samples: deque[int] = deque(maxlen=_R_SAMPLES)

    # -- input --------------------------------------------------------------------------------------------

    def on_beat(self, scored: ScoredBeat) -> None:
        """Take the next beat, scored or not."""
        self._look_for_pause(scored.beat.r_sample, scored.beat.r_sample)
        self._recent.on_beat(scored)
        if not self._ventricular.moves_alike(scored):
            self._noise.on_beat(scored)
        if self._in_a_row.on_beat(scored):
            self._odd.append(scored)
            self._awaited = scored
        else:
            self._book.condition_cleared("anomaly_run")
        if self._ventricular.on_beat(scored):
            self._report_ventricular()
        else:
            self._run.ends("beats")
        if scored.anomalous:
            self._report_run()
            self._report_single(scored)
        self._count(scored)

    def on_tick(self, tick: Tick) -> None:
        """Take the R-peaks of the last second, or that there are none."""
        self._r_samples.extend(tick.r_samples)
        self._look_for_pause(tick.decided_until)

    def forget_awaited(self) -> None:
        """The signal is not good: the interval after the last beat cannot be known."""
        self._awaited = None

    def interrupt(self) -> None:
        """Signal is missing: runs and counts end; single beats before the gap remain as they are."""
        self._awaited = None
        self._in_a_row.interrupt()
        self._ventricular.interrupt()
        self._run.ends("beats")
        self._recent.interrupt()
        self._minute.clear()
        for kind in _RUNS:
            self._book.clear(kind)
        self._book.condition_cleared("anomaly_burden")

    # -- rules --------------------------------------------------------------------------------------------

    def _report_ventricular(self) -> None:
        run, limit = self._ventricular, self._book.limits("ventricular_run").limit
        beats = self._beats_of("ventricular_run", run.start)
        text = run_text(beats, f"{run.length} wide or different beats in a row at {run.rate_bpm:.0f} bpm")
        evidence = measured(beat_evidence(beats), run.rate_bpm, limit, "bpm")
        self._run.holds("beats", run.start, text, evidence)

    def _report_run(self) -> None:
        needed, start, length = self._book.limits("anomaly_run").beats, self._in_a_row.start, self._in_a_row.length
        if start is None:
            return
        doubtful = self._noise.doubtful(self._odd[-1].beat.r_sample)
        if not self._in_a_row.is_arrhythmia(self._book.up("irregular_rhythm") is not None, doubtful):
            return
        beats = [odd for odd in self._odd if odd.beat.r_sample >= start]
        text = run_text(beats, f"{length} anomalous beats in a row")
        evidence = beat_evidence(self._beats_of("anomaly_run", start))
        evidence = measured(evidence, float(length), float(needed), "beats")
        self._book.cause("anomaly_run", start, text, evidence)

    def _report_single(self, scored: ScoredBeat) -> None:
        onset = scored.beat.r_sample
        evidence = beat_evidence(self._beats_of("anomalous_beat", onset))
        raised = self._book.happened("anomalous_beat", onset, beat_text(scored), evidence)
        if not raised and self._book.up("anomaly_run"):
            self._refine("anomaly_run")  # within the hold time of a run the beat belongs to it

    def _count(self, scored: ScoredBeat) -> None:
        """Count anomalous beats of the last minute, without those of runs."""
        book, limits, now = self._book, self._book.limits("anomaly_burden"), scored.beat.r_sample
        runs = [alarm for kind in (*_RUNS, "ventricular_fibrillation") if (alarm := book.up(kind)) is not None]
        if runs:
            first = min(alarm.onset_sample for alarm in runs)
            self._minute = deque((r for r in self._minute if r < first), _MINUTE_BEATS)
        elif scored.anomalous and not self._in_a_row.gradual and not self._noise.doubtful(now):
            self._minute.append(now)
        while self._minute and self._minute[0] <= now - _MINUTE_S * book.fs_hz:
            self._minute.popleft()
        n, up = len(self._minute), book.up("anomaly_burden") is not None
        if n <= limits.limit - limits.relief * up:
            book.condition_cleared("anomaly_burden")
        elif up or scored.anomalous:  # only an anomalous beat raises it
            beats = [odd for odd in self._odd if odd.beat.r_sample >= self._minute[0]]
            evidence = measured(beat_evidence(beats), float(n), limits.limit, "beats a minute")
            text = run_text(beats, f"{n} anomalous beats in a minute")
            book.cause("anomaly_burden", self._minute[0], text, evidence)

    # -- later findings -----------------------------------------------------------------------------------

    def _look_for_pause(self, decided_until: int, beat_at: int | None = None) -> None:
        """Add `then a pause` to the last anomalous beat: known at the next R-peak, or once none came for long enough.

        Args:
            decided_until: all R-peaks before this sample are known.
            beat_at: R-peak of a beat that arrives now; it may precede the tick with its R-peak.
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
        paused = replace(awaited, words=(*awaited.words, word))
        self._odd = deque((paused if odd is awaited else odd for odd in self._odd), EVIDENCE_BEATS)
        for kind in _KINDS:
            self._refine(kind)

    def _refine(self, kind: str) -> None:
        """Put later findings about its beats into an alarm that is up.

        Published at once only if the alarm is about that one beat, so at most one update follows an onset; otherwise
        with the next change: a lasting arrhythmia must not flood the bus or push older alarms out of the journal.
        """
        alarm = self._book.up(kind)
        if alarm is None:
            return
        beats = self._beats_of(kind, alarm.onset_sample)
        kept = alarm.evidence
        evidence = measured(beat_evidence(beats), kept.value, kept.limit, kept.limit_unit)
        alone = kind == "anomalous_beat" and len(beats) == 1 and alarm.count == 1
        self._book.refine(kind, evidence, beat_text(beats[0]) if alone else None)

    def _beats_of(self, kind: str, onset: int) -> list[ScoredBeat]:
        """The newest beats of an alarm: all since its onset if it is up, else since `onset`."""
        alarm = self._book.up(kind)
        first = onset if alarm is None else alarm.onset_sample
        return [odd for odd in self._odd if odd.beat.r_sample >= first]
