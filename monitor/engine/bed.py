"""One bed: its input, its patient, its alarms, and the messages about them."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from detector import Beat, Event, Gap, LeadChange, Quality, QualitySpan, RhythmSpan, Scores, Tick, advance_together
from detector.scorer import Scorer
from monitor.alarms import AlarmEngine
from monitor.alarms.rhythm_word import NOT_WATCHED
from monitor.config import Config
from monitor.engine.beat_results import BeatResults
from monitor.engine.bed_input import BedInput, State
from monitor.engine.bed_view import BedView
from monitor.engine.output import Output
from monitor.engine.pacing import WARM_UP_S
from monitor.engine.resume import WATCHED_AGAIN, ResumePoint
from monitor.engine.scale_report import ScaleReport
from monitor.engine.strips import STRIP_S, StripCutter, strip_data
from monitor.messages import Alarm, AlarmMessage, ModelInfo, Reply, Request, ShortTermHrv, StatusMessage
from monitor.sources import Chunk, Notice, Source

__all__ = ["Bed"]


class Bed:
    """Reads a source, judges its scored beats, and publishes beats and alarms.

    Many attributes: its parts, and what the status needs.
    `read` and `settle` are two steps so that the beats of all beds can be scored in one batch in between.

    Args:
        name: name of the bed.
        source: open source; the caller closes it.
        config: the whole configuration.
        scorer: shared by all beds.
        clock: monotonic, s.
        started: wall time of the start, used where the source has no start time.
        paced: whether samples have an arrival time (False: replay as fast as possible).

    Attributes:
        source: its source.
        input: source, detector, recent signal, state.
        view: waves and status that displays have received.
        engine: its alarms.
        limits: its alarm limits.
        model: name and checksum of the model.
        counts: beats, anomalous and unscored beats, gaps, dropped waves, pacing pulses.
        resumed: where an earlier run left the bed; None for a new one.
        hrv: heart rate variability in the last status.
        fault: the first error inside `guard`; the pipeline ends the bed.

    Raises:
        ConfigError: the notch filter needs a higher sampling rate.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        config: Config,
        scorer: Scorer,
        clock: Callable[[], float],
        started: datetime.datetime,
        paced: bool,
    ) -> None:
        self.name = name
        self.source = source
        self.input = BedInput(name, source, config, clock, started, paced)
        self.counts = {"beats": 0, "anomalous_beats": 0, "unscored_beats": 0, "gaps": 0, "dropped_waves": 0}
        self.counts["pacer_pulses"] = 0
        self.view = BedView(name, self.input, self.counts)
        self.limits = config.alarms_of(name)
        self.engine = AlarmEngine(name, source.fs_hz, self.limits)
        self.model = ModelInfo(scorer.info.name, scorer.info.sha256)
        self.resumed: ResumePoint | None = None
        self.hrv = ShortTermHrv()
        self.fault: Exception | None = None
        self._speed = config.source.speed
        self._quality = Quality.GOOD
        self._lead = 0
        self._beats = BeatResults(
            name, self.input, self.counts, scorer.calibration, own=config.source_of(name).patient != "adult"
        )
        self._scale = ScaleReport(source)
        self._strips = StripCutter(self.input, source.fs_hz)

    @property
    def now(self) -> int:
        """The sample clock: index of the next sample."""
        return self.input.now

    @property
    def ended(self) -> bool:
        """No more samples are read."""
        return self.input.ended

    @property
    def condition(self) -> tuple[State, Quality, bool, float | None, str, str]:
        """The parts of the status that are published at once when they change."""
        paused = self.engine.audio_paused_s(self.now) > 0
        return self.input.state, self._quality, paused, self.input.detector.mains_hz, self.rhythm, self.lead

    @property
    def lead(self) -> str:
        """Name of the lead that is used."""
        return self.input.leads[self._lead]

    @property
    def rhythm(self) -> str:
        """The present rhythm in words; `not watched` where no signal comes, empty at the start and after the end."""
        if self.input.state == "running":
            return self.engine.rhythm
        return NOT_WATCHED if self.input.state in ("no_data", "source_lost") else ""

    @property
    def scorable(self) -> bool:
        """Whether beats are scored now."""
        return self._quality is Quality.GOOD and self.input.state == "running"

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Everything that others do with this bed is done inside: an error ends this bed only, see `fault`."""
        try:
            yield
        except Exception as error:
            self.fault = self.fault or error

    # -- after an earlier run -------------------------------------------------------------------------------

    def resume(self, point: ResumePoint) -> None:
        """Continue where an earlier run stopped; call before any sample is read.

        Alarms, counts, heart rate variability and sample clock continue; the reference of the patient is learned anew.
        The source gives `point.clock` or a later sample first; the samples in between are a gap.
        """
        self.resumed, last = point, point.status
        self.engine.restore(point.changes, point.clock, point.beats)
        for alarm in self.engine.active:
            self._strips.has(alarm)
        self.input.begin_at(point.clock)
        self.view.shown = point.clock
        for detector in self.input.detectors:
            detector.samples_in, detector.samples_lost = last.samples_in, last.samples_lost
        self.counts |= {key: getattr(last, key) for key in self.counts}
        if self.source.start_time is None:
            self.input.sample_0 = point.clock_time - datetime.timedelta(seconds=point.clock / last.fs_hz)

    def publish_resumed(self, output: Output) -> None:
        """Publish the alarms taken over from the earlier run, as updates."""
        for alarm in reversed(self.engine.active):
            self._publish_alarms([msgspec.structs.replace(alarm, update=True)], output)

    def _add_resume_gap(self, first_sample: int, output: Output) -> None:
        """The first sample after a restart: the samples between the two runs are a gap."""
        if self.resumed is None or (n := first_sample - self.resumed.watched_until) <= 0:
            return
        for detector in self.input.detectors:
            detector.samples_lost += max(0, first_sample - self.resumed.clock)
        self.input.events.append(Gap(self.resumed.watched_until, n))
        text = (
            f"{WATCHED_AGAIN}: {n} samples ({n / self.source.fs_hz:.1f} s) were not analysed; "
            f"{len(self.engine.active)} alarms continue unchanged; the patient's reference is learned anew"
        )
        output.notice(self, Notice("bed_resumed", text, n))

    # -- samples in -----------------------------------------------------------------------------------------

    def process(self, max_samples: int, output: Output) -> Chunk | None:
        """Read a piece and run the detector over it; its beats then wait in `input.unscored`."""
        chunk = self.read(max_samples, output)
        if chunk is not None and chunk.samples.size:
            self.input.apply(chunk, advance_together(self.input.pieces(chunk)))
        return chunk

    def read(self, max_samples: int, output: Output) -> Chunk | None:
        """Read a piece for the detector; `input.apply` takes its events. None when nothing came."""
        chunk = self.input.read(max_samples)
        if chunk is None:
            return None
        for notice in chunk.notices:
            self.handle_notice(notice, output)
        self._scale.count(chunk.first_sample, chunk.samples)
        if chunk.samples.size == 0:
            return chunk
        if not self.input.began:
            self.input.began, self.input.first_sample = True, chunk.first_sample
            self.view.shown = chunk.first_sample
            self._add_resume_gap(chunk.first_sample, output)
        self.set_technical_alarm("no_data", False, "", output)
        return chunk

    # -- results out ----------------------------------------------------------------------------------------

    def settle(self, scores: Scores, output: Output, events: list[Event] | None = None) -> None:
        """Process the events in order, with the scores of the scorable beats, and publish the results.

        Args:
            scores: of `input.unscored`, or of the beats in `events`.
            output: receives the messages.
            events: from `input.take_events`; None = take them now.
        """
        events = self.input.take_events() if events is None else events
        remaining = zip(scores.log_prob.tolist(), scores.score.tolist(), strict=True)
        changes: list[Alarm] = []
        for event in events:
            match event:
                case Beat():
                    given = [next(remaining) for beat in (event, event.other) if beat is not None and beat.scorable]
                    scored = self._beats.judge(event, given)
                    if event.scorable and scored.score is None:
                        output.notice(self, Notice("not_scored", "the model gave no finite number for a beat"))
                    changes = self.engine.handle(scored)
                    output.beat(self, self._beats.message(scored, self.engine.heart_rate_bpm))
                case QualitySpan():
                    self._quality = event.quality
                    self._watch_scale(event, output)
                    changes = self.engine.handle(event)
                case Gap():
                    if not event.invalid:  # invalid samples are reported by quality
                        self.counts["gaps"] += 1
                        output.gap(self, event)
                    changes = self.engine.handle(event)
                case LeadChange():
                    self._lead = event.lead
                    output.notice(self, Notice("lead", self.input.change_text(event)))
                case Tick() | RhythmSpan():
                    if isinstance(event, Tick) and event.pacer_samples:
                        self.counts["pacer_pulses"] += len(event.pacer_samples)
                        output.pacer(self, event.pacer_samples)
                    changes = self.engine.handle(event)
            self._publish_alarms(changes, output)
        for cut in self._strips.complete(ended=self.input.ended):
            output.strip(self, *cut)

    def set_silent(self, kind: Literal["no_data", "source_lost"], text: str, output: Output) -> None:
        """The source gives no samples: set the state and raise the alarm."""
        self.input.state = kind
        self.set_technical_alarm(kind, True, text, output)

    def set_technical_alarm(self, kind: str, holds: bool, text: str, output: Output) -> None:
        """Raise or clear an alarm of the source or the journal."""
        self._publish_alarms(self.engine.source_state(kind, holds, self.now, text), output)

    def watch_silence(self, output: Output) -> None:
        """Raise `no_data` when a live source gave no samples for longer than its limit."""
        silent_s = self.input.silent_s
        if self.input.state in ("starting", "running") and silent_s >= self.limits.no_data.limit:
            hangs = ", whose read does not come back" if getattr(self.source, "hangs", False) else ""
            self.set_silent("no_data", f"no samples for {silent_s:.1f} s from {self.source.name}{hangs}", output)

    def watch_lateness(self, output: Output) -> None:
        """Raise or clear `overload`: samples wait too long before they are analysed. Not in the first `WARM_UP_S`."""
        bed_input = self.input
        if bed_input.ended or (bed_input.now - bed_input.first_sample) / bed_input.source.fs_hz < WARM_UP_S:
            return
        behind_s = bed_input.arrivals.behind_s(bed_input.now)
        if behind_s is not None:
            self._publish_alarms(self.engine.behind(behind_s, bed_input.taken), output)

    def handle_notice(self, notice: Notice, output: Output) -> None:
        """Publish an event of the source, and raise or clear the alarms that follow from it."""
        output.notice(self, notice)
        if notice.kind == "source_lost":
            self.set_silent("source_lost", notice.text, output)
        elif notice.kind in ("sampling_rate", "sampling_rate_right"):
            self.set_technical_alarm("sampling_rate", notice.kind == "sampling_rate", notice.text, output)
        elif notice.kind == "source_back":
            self.input.restart()
            self.set_technical_alarm("source_lost", False, "", output)

    def status(self) -> StatusMessage:
        """State of the bed now."""
        p50_ms, p99_ms = self._beats.latencies.p50_p99_ms
        source, detector = self.source, self.input.detectors[0]
        self.hrv = self.engine.hrv if self.input.state == "running" else ShortTermHrv()
        return StatusMessage(
            sample=self.now,
            time=self.input.time_of(self.now),
            bed=self.name,
            state=self.input.state,
            source=source.name,
            lead=self.lead,
            fs_hz=source.fs_hz,
            speed=self._speed,
            quality=self._quality.value,
            scorable=self.scorable,
            heart_rate_bpm=self.engine.heart_rate_bpm if self.input.state == "running" else None,
            samples_in=detector.samples_in,
            samples_lost=detector.samples_lost,
            latency_p50_ms=p50_ms,
            latency_p99_ms=p99_ms,
            audio_paused_s=round(self.engine.audio_paused_s(self.now), 1),
            model=self.model,
            mains_hz=self.input.detector.mains_hz,
            rhythm=self.rhythm,
            last_hour=self.engine.last_hour,
            unwatched_s=round(self.engine.unwatched_s, 1),
            rate_low_bpm=self.limits.bradycardia.limit if self.limits.bradycardia.enabled else None,
            rate_high_bpm=self.limits.tachycardia.limit if self.limits.tachycardia.enabled else None,
            beats=self.counts["beats"],
            anomalous_beats=self.counts["anomalous_beats"],
            unscored_beats=self.counts["unscored_beats"],
            gaps=self.counts["gaps"],
            dropped_waves=self.counts["dropped_waves"],
            pacer_pulses=self.counts["pacer_pulses"],
            hrv=self.hrv,
        )

    def answer(self, request: Request, output: Output) -> Reply:
        """Serve `acknowledge`, `pause_audio` or a `strip` of recent signal."""
        try:
            if request.op == "acknowledge":
                self._publish_alarms(self.engine.acknowledge(request.alarm_id, request.who), output)
                return Reply(ok=True)
            if request.op == "pause_audio":
                return Reply(ok=True, data={"seconds": self.engine.pause_audio(request.seconds, self.now)})
        except ValueError as error:
            return Reply(ok=False, error=str(error))
        fs_hz, history = self.source.fs_hz, self.input.history
        n = min(request.n or round(STRIP_S * fs_hz), history.capacity)
        first = self.now - n if request.first_sample is None else request.first_sample
        return Reply(ok=True, data=strip_data(first, fs_hz, history.get(first, n)))

    # -- inside ---------------------------------------------------------------------------------------------

    def _watch_scale(self, span: QualitySpan, output: Output) -> None:
        """Raise or clear `wrong_unit`; report impossible values."""
        text = "" if span.scale is None else self._scale.text(span.scale)
        changes = self.engine.source_state("wrong_unit", span.scale is not None, span.end_sample, text)
        self._publish_alarms(changes, output)
        if (notice := self._scale.on_quality(span)) is not None:
            output.notice(self, notice)

    def _publish_alarms(self, changes: list[Alarm], output: Output) -> None:
        for alarm in changes:
            if (cut := self._strips.begin(alarm)) is not None:
                output.strip(self, *cut)  # before the alarm, so that both are committed together
            sample = alarm.decided_sample
            latency_ms = self.input.arrivals.latency_ms(sample)
            message = AlarmMessage(
                sample=sample, time=self.input.time_of(sample), alarm=alarm, model=self.model, latency_ms=latency_ms
            )
            output.alarm(self, message)
