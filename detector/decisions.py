"""What is decided of one bed at each tick, with the memory of its patient: quality, rhythm, R-peaks and beats."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.signal import sosfreqz

from detector.bandpass import design_bandpass, qrs_delay_samples
from detector.beats import Beat
from detector.comparison import BeatPair
from detector.events import Event, QualitySpan, RhythmSpan, Tick
from detector.input_watch import InputWatch
from detector.mains import MAINS_HZ
from detector.motion import MotionWatch
from detector.pacer import PacerFilter
from detector.qrs_shapes import Compared, Places
from detector.quality import Measurable, Quality, judge_quality, measurable
from detector.regularity import rhythm_of
from detector.rpeaks import RPeakDetector
from detector.seconds import Block, NewBeat, NewGap, Second
from detector.template import MOTION_LIMIT, PatientTemplate
from detector.verdicts import Verdicts

__all__ = ["Decisions"]

_TAILS_MV = 0.25  # height of waves that may be what is left of the tails of pacing pulses

Window = tuple[NDArray[np.float64], float]  # (n,) band-passed, mV; sampling rate, Hz


class Decisions:
    """The decisions of one bed, and what they need to know; `detector.phases` calls the methods in their order.

    Many attributes: the memory of the patient, and the state of the present signal.

    Args:
        fs_hz: sampling rate, Hz.
        rails_mv: see `Detector`.
        pacer, samples: what is known of pacing pulses, and of the samples as they were given.
        before, after: samples of a beat before and after its R-peak.
        keep: samples for which quality is remembered.

    Attributes:
        rpeaks: the R-peak detector.
    """

    def __init__(
        self,
        fs_hz: float,
        rails_mv: tuple[float, float] | None,
        pacer: PacerFilter,
        samples: InputWatch,
        *,
        before: int,
        after: int,
        keep: int,
    ) -> None:
        self._fs_hz, self._rails_mv = fs_hz, rails_mv
        self._pacer, self._samples = pacer, samples
        self._before, self._after, self._keep = before, after, keep
        self.rpeaks = RPeakDetector(fs_hz)
        self._motion = MotionWatch(fs_hz)
        self._template = PatientTemplate()
        self._hum_passed = float(np.abs(sosfreqz(design_bandpass(fs_hz), [min(MAINS_HZ)], fs=fs_hz)[1][0]))
        self._delay = qrs_delay_samples(fs_hz)
        self._events: list[Event] = []  # found and not taken yet
        self.restart_at(0)

    def restart_at(self, sample: int) -> None:
        """A new signal begins; the patient's template stays."""
        self._motion.reset()
        self.rpeaks.reset()
        self._start = sample
        self._settled = sample  # the filter settles up to here
        self._verdicts = Verdicts(self._fs_hz)
        self._pending: deque[NewBeat] = deque()
        self._last_peak: int | None = None

    # -- before the decisions -------------------------------------------------------------------------------

    def note(self, block: Block) -> None:
        """Note the gaps of a block."""
        for new in (*(new for second in block.seconds for new in second.gaps), *block.gaps):
            self._verdicts.add(new.gap)

    def quality_work(self, second: Second) -> tuple[Hashable, Measurable] | None:
        """The samples of a second outside holes; None where they are too few, and its verdict is known."""
        came, enough = self._verdicts.came(second.first, second.end)
        if not enough:
            return None
        raw, filtered = second.raw, second.filtered
        raw, filtered = (raw, filtered) if came is None else (raw[came], filtered[came])
        found = measurable(raw, filtered, second.wander_window, self._fs_hz)
        second.measurable = Quality.LEADS_OFF if found is None else found
        return None if found is None else (found.shape, found)

    def waves_work(self, second: Second) -> tuple[Hashable, Window]:
        """The last 4 s."""
        return (second.waves_window.size, self._fs_hz), (second.waves_window, self._fs_hz)

    def steep_work(self, second: Second) -> tuple[Hashable, Window] | None:
        """The signal in which R-peaks are decided; None in the first 2 s."""
        if second.window.size < self.rpeaks.shortest:
            return None
        window = self.rpeaks.measured(second.window)
        return (window.size, self._fs_hz), (window, self._fs_hz)

    # -- quality and rhythm ---------------------------------------------------------------------------------

    def judge(self, second: Second) -> tuple[Hashable, Places] | None:
        """Quality and rhythm of a second; the candidates for R-peaks, to be compared with the known QRS complexes."""
        self._publish(second.gaps)
        self._motion.look(second.waves.sine, second.end)
        span = self._judge_quality(second)
        rhythm = self._rhythm(second)
        if rhythm.fibrillatory and span.quality.rank <= Quality.MOTION.rank:
            span = replace(span, quality=Quality.GOOD)  # it was the heart; each beat keeps its own verdict
        self._events += span, rhythm
        if second.steepness is None:
            return None
        good = self._verdicts.worst(*self.rpeaks.due(second.end)) is Quality.GOOD
        first = second.end - second.window.size
        found = self.rpeaks.look(second.window, first, second.steepness, good and not rhythm.chaotic)
        second.candidates = found
        return None if found is None else (self._fs_hz, self.rpeaks.places(found))

    def _publish(self, gaps: list[NewGap]) -> None:
        for new in gaps:
            self._settled = self._settled if new.settled is None else new.settled
            if new.published:
                self._events.append(new.gap)

    def _judge_quality(self, second: Second) -> QualitySpan:
        memory, first, end = self.rpeaks.memory, second.first, second.end
        quality = second.measurable
        if isinstance(quality, Measurable):
            quality = judge_quality(
                quality,
                second.measured,
                self._rails_mv,
                qrs_mv=self._template.amplitude_mv,
                alike_mv=memory.qrs_mv,
                recent_rr_s=memory.recent_rr_s,
                hum_mv=second.hum_mv * self._hum_passed,
            )
        if first < self._settled:
            quality = max(quality, Quality.SETTLING, key=lambda verdict: verdict.rank)
        quality = self._samples.judge(first, end, self._template.amplitude_mv > 0) or quality
        self._verdicts.add(QualitySpan(first, end, quality))
        if self._motion.moving_at(end) and quality.rank < Quality.MOTION.rank:
            quality = Quality.MOTION  # of the second; each beat has its own verdict
        return QualitySpan(first, end, quality, self._samples.scale)

    def _rhythm(self, second: Second) -> RhythmSpan:
        """Verdict on the waveform of the last 4 s: only where all of it was measured, and not cut off by the ADC."""
        low = second.end - second.waves_window.size
        fibrillatory = second.waves.fibrillatory(self._template.amplitude_mv) and not self._samples.tall
        fibrillatory = fibrillatory and self._verdicts.waves_judged(low, second.end)
        if second.waves.height_mv < _TAILS_MV and self._pacer.between(low, second.end):
            fibrillatory = False
        return rhythm_of(second.waves, second.waves_window, low, self._fs_hz, fibrillatory)

    # -- R-peaks --------------------------------------------------------------------------------------------

    def choose(self, second: Second, compared: Compared) -> None:
        """The R-peaks among the candidates; their beats wait until they are complete."""
        peaks = [] if second.candidates is None else self.rpeaks.choose(second.candidates, compared)
        second.peaks = [peak for peak in peaks if self._verdicts.measured(peak - self._delay)]
        for peak in second.peaks:
            self._pending.append(NewBeat(peak, self._rr_s(peak)))
            self._last_peak = peak

    def _rr_s(self, peak: int) -> float | None:
        """RR interval to the R-peak before, s; None where there is none, or a hole in between."""
        last = self._last_peak
        if last is None or self._verdicts.hole_between(last - self._delay, peak - self._delay):
            return None
        return (peak - last) / self._fs_hz

    # -- beats ----------------------------------------------------------------------------------------------

    def take_beats(self, tick: int, at_end: bool) -> list[NewBeat]:
        """The beats that are complete at a tick; at the end of the signal all that wait."""
        beats: list[NewBeat] = []
        while self._pending and (at_end or self._pending[0].peak + self._after < tick):
            beats.append(self._pending.popleft())
            beats[-1].tick = tick
        return beats

    def compare_work(self, beat: NewBeat) -> tuple[Hashable, BeatPair] | None:
        """The beat beside what it is compared with; None during the first beats."""
        pair = self._template.pair(beat.samples, beat.rr_s, self._motion.last_beats)
        return None if pair is None else (len(pair.last_beats), pair)

    def judge_beat(self, beat: NewBeat) -> None:
        """The verdict on a beat; then the patient's template learns it."""
        template, rr_s, samples, compared, now = self._template, beat.rr_s, beat.samples, beat.compared, beat.tick
        low, high = beat.peak - self._before, beat.peak + self._after
        cut_short = high > now or low < self._start
        quality = Quality.TRUNCATED if cut_short else self._verdicts.worst(low, high)
        good = quality is Quality.GOOD
        residual = None if compared is None else compared.residual
        context, ratios = template.context(rr_s), template.ratios(rr_s)
        restless = template.restless(compared, rr_s) > MOTION_LIMIT
        moves = self._motion.moves(beat.peak, samples, rr_s, compared, template, good and not restless, now)
        if good and not moves:
            template.learn_compared(samples, rr_s, residual)  # a restless one, too: a lasting change must become usual
        if good and (moves or restless):
            quality = Quality.MOTION
        r_sample = max(self._start, beat.peak - self._delay)
        paced = self._pacer.paces(r_sample)
        self._events.append(Beat(r_sample, rr_s, samples, quality, residual, *ratios, now, context, paced))

    # -- after the decisions --------------------------------------------------------------------------------

    def tick(self, second: Second) -> None:
        """Everything that the samples up to the tick allow is decided."""
        decided = self.rpeaks.decided_until
        decided = self._start if decided is None else max(self._start, decided - self._delay)
        r_samples = tuple(max(self._start, peak - self._delay) for peak in second.peaks)
        self._events.append(Tick(second.end, decided, r_samples, self._pacer.found(second.end)))
        self._verdicts.forget(second.end - self._keep)

    def close(self, block: Block) -> None:
        """After the last tick of a block: the gaps that begin then, and the end of the signal."""
        end = block.end
        self._publish(block.gaps)
        if end is not None and end.gap is not None:
            self._events.append(end.gap)
        if end is not None and end.restart_at is not None:
            self.restart_at(end.restart_at)

    def take_events(self) -> list[Event]:
        """The events since the last call."""
        events, self._events = self._events, []
        return events
