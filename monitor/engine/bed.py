"""One bed: its source, its detector, its patient, its alarms; what of it is published and recorded."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from typing import Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from detector import Beat, Detector, Event, Gap, PatientReference, Quality, QualitySpan, RhythmSpan, Scores, Tick
from detector.lockstep import Steps, run
from detector.rpeaks import STEP_S
from detector.scorer import Scorer
from monitor.alarms import AlarmEngine
from monitor.alarms.evidence import ScoredBeat, explained
from monitor.config import Config
from monitor.engine.latency import Arrivals, LatencyPercentiles
from monitor.engine.resume import WATCHED_AGAIN, BedState
from monitor.engine.signal_history import SignalHistory
from monitor.engine.strips import STRIP_S, StripCutter, strip_data
from monitor.errors import ConfigError
from monitor.messages import (
    Alarm,
    AlarmMessage,
    BeatMessage,
    ModelInfo,
    Reply,
    Request,
    StatusMessage,
    WaveHeader,
)
from monitor.sources import Chunk, EndOfStream, Notice, Source

__all__ = ["Bed", "Output", "State"]

State = Literal["starting", "running", "no_data", "source_lost", "ended"]

_HISTORY_S = 60.0


class Output(Protocol):
    """Where a bed's messages go: the pipeline ties bus, journal, recorder and printer together."""

    def alarm(self, bed: Bed, message: AlarmMessage) -> None:
        """A changed alarm."""

    def beat(self, bed: Bed, message: BeatMessage) -> None:
        """A beat, scored or marked unscorable."""

    def gap(self, bed: Bed, gap: Gap) -> None:
        """Samples that never came."""

    def notice(self, bed: Bed, notice: Notice) -> None:
        """Something on the way in."""

    def strip(self, bed: Bed, alarm: Alarm, first_sample: int, samples: NDArray[np.float32]) -> None:
        """The stretch of signal around an alarm's onset, (2, n) float32 mV."""


class Bed:
    """Take what the source gives, score it together with the other beds, tell what came of it.

    `take` and `settle` are two steps so that the beats of all beds can be scored in one batch in between.

    Args:
        name: of the bed.
        source: open source; closed by `close`.
        config: the whole configuration.
        scorer: shared by all beds.
        clock: monotonic, s.
        started: wall time of the start, used where the source knows no time of its own.
        paced: whether samples have an arrival time (False: replay as fast as possible).
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
        try:
            self.detector = Detector(source.fs_hz, source.rails_mv, config.signal.mains)
        except ValueError as error:
            raise ConfigError(f"bed {name}: {error}") from None
        self.limits = config.alarms_of(name)
        self.engine = AlarmEngine(name, source.fs_hz, self.limits)
        self.reference = PatientReference(scorer.calibration)
        self.model = ModelInfo(scorer.info.name, scorer.info.sha256)
        self.history = SignalHistory(round(_HISTORY_S * source.fs_hz))
        self.state: State = "starting"
        self.ended = False
        self.last_data_s = clock()
        self.began_s = clock()  # when its replay began
        self.duration_s = config.source_of(name).duration_s
        self.status_due_s = self.wave_due_s = -math.inf
        self.told: object = None  # of its condition
        self.counts = {"beats": 0, "anomalous_beats": 0, "unscored_beats": 0, "gaps": 0, "dropped_waves": 0}
        self.wave_sent = 0
        self._speed = config.source.speed
        self._step = round(STEP_S * source.fs_hz)
        self._clock = clock
        self._paced = paced
        self._started_s = clock()  # of `started`
        self._anchor: tuple[int, float] | None = None  # a sample and when it was taken, by the source's own clock
        self._start_time = (
            datetime.datetime.fromisoformat(source.start_time) if source.start_time is not None else started
        )
        self._first: int | None = None
        self._harvested = 0  # samples up to here are told of
        self._quality = Quality.GOOD
        self._events: list[Event] = []
        self._read_s = clock()
        self._oldest_s: float | None = None  # when the oldest sample of the last piece came, at the earliest
        self._arrivals = Arrivals()  # of a live source
        self._latencies = LatencyPercentiles()
        self._strips = StripCutter(self.history, source.fs_hz)
        self.resumed: BedState | None = None

    # -- after a run that is over ---------------------------------------------------------------------------

    def resume(self, state: BedState) -> None:
        """Go on where an earlier run left off; before any sample.

        Alarms, counts and sample clock are as they were; what is usual for the patient is learned anew. The source
        gives `state.clock` or a later sample first; what is missing until there is a gap.
        """
        self.resumed, last = state, state.status
        self.engine.restore(state.changes, state.clock)
        for alarm in self.engine.active:
            self._strips.has(alarm)
        self.history.end = self.wave_sent = state.clock
        self.detector.samples_in, self.detector.samples_lost = last.samples_in, last.samples_lost
        self.counts |= {key: getattr(last, key) for key in self.counts}
        if self.source.start_time is None:
            self._start_time = state.sample_0_time

    def tell_resumed(self, output: Output) -> None:
        """Tell of the alarms that this run has from the one before; their state is as it was."""
        for alarm in reversed(self.engine.active):
            self._alarm(msgspec.structs.replace(alarm, update=True), output)

    def _resume_at(self, first_sample: int, output: Output) -> None:
        """The signal goes on: what nobody watched is a gap."""
        state = self.resumed
        if state is None or first_sample <= state.watched_until:
            return
        gap = Gap(state.watched_until, first_sample - state.watched_until)
        self.detector.samples_lost += max(0, first_sample - state.clock)
        self._events.append(gap)
        lost_s, kept = gap.n_samples / self.source.fs_hz, len(self.engine.active)
        text = (
            f"{WATCHED_AGAIN}: {gap.n_samples} samples ({lost_s:.1f} s) were not looked at; {kept} alarms go on as "
            "they were; what is usual for this patient is learned anew"
        )
        output.notice(self, Notice("bed_resumed", text, gap.n_samples))

    # -- samples in ---------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """The sample clock: index of the next sample."""
        return self.history.end

    @property
    def began(self) -> bool:
        """Whether any sample has come."""
        return self._first is not None

    @property
    def condition(self) -> tuple[State, Quality, bool, float | None]:
        """What subscribers must hear of at once when it changes."""
        return self.state, self._quality, self.engine.audio_paused_s(self.now) > 0, self.detector.mains_hz

    @property
    def first_sample(self) -> int:
        """Index of the first sample ever taken."""
        return self._first or 0

    @property
    def follows_clock(self) -> bool:
        """Whether it is a replay that keeps a pace."""
        return self._paced and not self.source.live

    def due_s(self, sample: int) -> float:
        """When a replay that keeps its pace has come to a sample, by the clock, s."""
        return self.began_s + (sample - self.first_sample) / (self.source.fs_hz * self._speed)

    @property
    def tick_due_s(self) -> float:
        """When the next sample that decides anything is due: the detector works on full seconds; of such a replay."""
        return self.due_s((self.now // self._step + 1) * self._step)

    @property
    def late_s(self) -> float:
        """How long the next sample of such a replay has been due, s."""
        return self._clock() - self.due_s(self.now)

    @property
    def hangs(self) -> bool:
        """Whether a read of its source has not come back."""
        return bool(getattr(self.source, "hangs", False))

    def take(self, max_samples: int, output: Output) -> Chunk | None:
        """Read a piece and run the detector over it; its beats then wait in `unscored`."""
        return run(self.process(max_samples, output))

    def process(self, max_samples: int, output: Output) -> Steps[Chunk | None]:
        """`take` as a routine, in step with other beds."""
        chunk = self.read(max_samples, output)
        if chunk is not None and chunk.samples.size:
            self.apply(chunk, (yield from self.detector.advancing(chunk.samples, chunk.first_sample)))
        return chunk

    def read(self, max_samples: int, output: Output) -> Chunk | None:
        """Read a piece, for the detector; when that has had it, `took` follows. None where nothing came."""
        before_s, self._read_s, self._oldest_s = self._read_s, self._clock(), None
        try:
            chunk = self.source.read(max_samples)
        except EndOfStream:
            self._events += self.detector.flush()
            self.ended, self.state = True, "ended"
            return None
        if chunk is None:
            return None
        for notice in chunk.notices:
            self._notice(notice, output)
        if chunk.samples.size == 0:
            return chunk
        if self._first is None:
            self._first = self.wave_sent = chunk.first_sample
            self._resume_at(chunk.first_sample, output)
        arrival_s = self._clock() if chunk.arrival_s is None else chunk.arrival_s
        if self.source.live:
            self._arrivals.put(chunk.first_sample + chunk.samples.size, arrival_s)
        self._oldest_s = max(before_s, arrival_s - chunk.samples.size / self.source.fs_hz)
        if chunk.time_s is not None:
            self._anchor = chunk.first_sample, chunk.time_s
        for change in self.engine.source_state("no_data", False, self.now, ""):
            self._alarm(change, output)
        return chunk

    def apply(self, chunk: Chunk, events: list[Event]) -> None:
        """The detector has had a piece, and gave these events."""
        self._events += events
        self.history.put(chunk.first_sample, chunk.samples, self.detector.last_filtered)
        self.last_data_s = self._clock()
        self.state = "running"

    def end(self) -> None:
        """The monitor stops: give what the detector still holds back."""
        if not self.ended:
            self._events += self.detector.flush()
            self.ended, self.state = True, "ended"

    @property
    def unscored(self) -> list[Beat]:
        """Beats that wait for their score, in order."""
        return [event for event in self._events if isinstance(event, Beat) and event.scorable]

    # -- results out --------------------------------------------------------------------------------------

    def take_events(self) -> list[Event]:
        """What the detector gave since the last time, to be scored and settled while it goes on."""
        events, self._events = self._events, []
        self._harvested = self.now
        return events

    def settle(self, scores: Scores, output: Output, events: list[Event] | None = None) -> None:
        """Go through the events in order, with the scores of the scorable beats, and tell what came of them.

        Args:
            scores: of `unscored`, or of those in `events`.
            output: told what came of them.
            events: from `harvest`; None = harvest them now.
        """
        events = self.take_events() if events is None else events
        remaining = zip(scores.log_prob.tolist(), scores.score.tolist(), strict=True)
        for event in events:
            match event:
                case Beat():
                    scored = self._scored(event, *next(remaining)) if event.scorable else ScoredBeat(event)
                    changes = self.engine.handle(scored)
                    self._beat(scored, output)
                case QualitySpan():
                    self._quality = event.quality
                    changes = self.engine.handle(event)
                case Gap():
                    self.counts["gaps"] += 1
                    output.gap(self, event)
                    changes = self.engine.handle(event)
                case Tick() | RhythmSpan():
                    changes = self.engine.handle(event)
            for change in changes:
                self._alarm(change, output)
        for cut in self._strips.complete(ended=self.ended):
            output.strip(self, *cut)

    def silent(self, kind: Literal["no_data", "source_lost"], text: str, output: Output) -> None:
        """The source gives nothing (`no_data`) or is gone (`source_lost`)."""
        self.state = kind
        for change in self.engine.source_state(kind, True, self.now, text):
            self._alarm(change, output)

    def found(self, notice: Notice, output: Output) -> None:
        """The source that could not be opened is there; a bed with its rate takes the place of this one."""
        self._notice(notice, output)

    def behind(self, late_s: float, output: Output) -> None:
        """How long samples have waited here, s: too long is the alarm `overload`, until they do not any more."""
        for change in self.engine.behind(late_s, self._harvested):
            self._alarm(change, output)

    @property
    def waited_s(self) -> float:
        """How long the oldest sample of the last piece of a live source has waited by now, s; 0 for an empty piece."""
        return 0.0 if self._oldest_s is None else self._clock() - self._oldest_s

    def journal_failed(self, holds: bool, text: str, output: Output) -> None:
        """The journal cannot be written, or is written again."""
        for change in self.engine.source_state("journal_failed", holds, self.now, text):
            self._alarm(change, output)

    def status(self) -> StatusMessage:
        """State of the bed now."""
        p50_ms, p99_ms = self._latencies.p50_p99_ms
        return StatusMessage(
            sample=self.now,
            time=self.time_of(self.now),
            bed=self.name,
            state=self.state,
            source=self.source.name,
            lead=self.source.lead,
            fs_hz=self.source.fs_hz,
            speed=self._speed,
            quality=self._quality.value,
            scorable=self._quality is Quality.GOOD and self.state == "running",
            heart_rate_bpm=self.engine.heart_rate_bpm if self.state == "running" else None,
            samples_in=self.detector.samples_in,
            samples_lost=self.detector.samples_lost,
            latency_p50_ms=p50_ms,
            latency_p99_ms=p99_ms,
            audio_paused_s=round(self.engine.audio_paused_s(self.now), 1),
            model=self.model,
            mains_hz=self.detector.mains_hz,
            beats=self.counts["beats"],
            anomalous_beats=self.counts["anomalous_beats"],
            unscored_beats=self.counts["unscored_beats"],
            gaps=self.counts["gaps"],
            dropped_waves=self.counts["dropped_waves"],
        )

    def skip_wave(self, *, counted: bool) -> None:
        """What is not shown: nobody looks, or (`counted`) there is no time for it."""
        self.counts["dropped_waves"] += counted and self.now > self.wave_sent
        self.wave_sent = self.now

    def wave(self, most: int) -> tuple[WaveHeader, NDArray[np.float32]] | None:
        """Samples not yet shown, the newest `most` of them; None where there are none."""
        first, n = self.wave_sent, self.now - self.wave_sent
        if n <= 0:
            return None
        if n > most:
            self.counts["dropped_waves"] += 1
            first, n = self.now - most, most
        self.wave_sent = self.now
        header = WaveHeader(
            sample=first, time=self.time_of(first), bed=self.name, first_sample=first, n=n, fs_hz=self.source.fs_hz
        )
        return header, self.history.get(first, n)

    def answer(self, request: Request, output: Output) -> Reply:
        """Serve `acknowledge`, `pause_audio` or a `strip` of recent signal."""
        try:
            if request.op == "acknowledge":
                for change in self.engine.acknowledge(request.alarm_id, request.who):
                    self._alarm(change, output)
                return Reply(ok=True)
            if request.op == "pause_audio":
                return Reply(ok=True, data={"seconds": self.engine.pause_audio(request.seconds, self.now)})
        except ValueError as error:
            return Reply(ok=False, error=str(error))
        n = min(request.n or round(STRIP_S * self.source.fs_hz), self.history.capacity)
        first = self.now - n if request.first_sample is None else request.first_sample
        return Reply(ok=True, data=strip_data(first, self.source.fs_hz, self.history.get(first, n)))

    def time_of(self, sample: int) -> str:
        """ISO 8601 time of a sample on the stream's clock."""
        if self._anchor is None:
            seconds = sample / self.source.fs_hz
        else:  # a live device's samples are timed by its own drift-corrected clock
            seconds = self._anchor[1] - self._started_s + (sample - self._anchor[0]) / self.source.fs_hz
        moment = self._start_time + datetime.timedelta(seconds=seconds)
        return moment.isoformat(timespec="milliseconds")

    def close(self) -> None:
        """Let go of the source."""
        self.source.close()

    # -- inside -------------------------------------------------------------------------------------------

    def _scored(self, beat: Beat, log_prob: float, score: float) -> ScoredBeat:
        """A beat judged and explained; what is no number in either is a beat not scored, and counted so."""
        if not (math.isfinite(log_prob) and math.isfinite(score)):
            return ScoredBeat(beat)
        return explained(ScoredBeat(beat, log_prob, score, self.reference.judge(score)))

    def _beat(self, scored: ScoredBeat, output: Output) -> None:
        beat, judgement = scored.beat, scored.judgement
        self.counts["beats"] += 1
        self.counts["anomalous_beats"] += scored.anomalous
        self.counts["unscored_beats"] += judgement is None
        latency = self._latency_ms(beat.decided_sample)
        if latency is not None:
            self._latencies.put(latency)
        output.beat(
            self,
            BeatMessage(
                sample=beat.r_sample,
                time=self.time_of(beat.r_sample),
                bed=self.name,
                r_sample=beat.r_sample,
                rr_s=None if beat.rr_s is None else round(beat.rr_s, 4),
                log_prob=None if scored.log_prob is None else round(scored.log_prob, 3),
                score=None if scored.score is None else round(scored.score, 3),
                p_value=None if judgement is None else round(judgement.p_value, 6),
                threshold=None if judgement is None else round(judgement.threshold, 3),
                anomalous=scored.anomalous,
                quality=beat.quality.value,
                heart_rate_bpm=self.engine.heart_rate_bpm,
                latency_ms=latency,
                words=tuple(word.word for word in scored.words),
            ),
        )

    def _alarm(self, alarm: Alarm, output: Output) -> None:
        if (cut := self._strips.begin(alarm)) is not None:
            output.strip(self, *cut)  # before the alarm, to be committed with it
        output.alarm(
            self,
            AlarmMessage(
                sample=alarm.decided_sample,
                time=self.time_of(alarm.decided_sample),
                alarm=alarm,
                model=self.model,
                latency_ms=self._latency_ms(alarm.decided_sample),
            ),
        )

    def _latency_ms(self, decided_sample: int) -> float | None:
        """From the arrival of the deciding sample to now, ms; None in replay at full speed."""
        if not self._paced:
            return None
        now_s = self._clock()
        if not self.source.live:
            return round(max(0.0, now_s - self.due_s(decided_sample)) * 1e3, 2) if self.began else None
        arrived_s = self._arrivals.of(decided_sample)
        return 0.0 if arrived_s is None else round(max(0.0, now_s - arrived_s) * 1e3, 2)

    def _notice(self, notice: Notice, output: Output) -> None:
        output.notice(self, notice)
        if notice.kind == "source_lost":
            self.silent("source_lost", notice.text, output)
        elif notice.kind in ("sampling_rate", "sampling_rate_right"):
            for change in self.engine.source_state(
                "sampling_rate", notice.kind == "sampling_rate", self.now, notice.text
            ):
                self._alarm(change, output)
        elif notice.kind == "source_back":
            self.state, self.last_data_s = "starting", self._clock()  # silence counts anew from here
            for change in self.engine.source_state("source_lost", False, self.now, ""):
                self._alarm(change, output)
