"""The streaming detector: pieces of raw ECG in, beats and other events out."""

from __future__ import annotations

import math
import operator
from collections import deque
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import sosfreqz

from detector.bandpass import Bandpass, design_bandpass, qrs_delay_samples
from detector.beats import AFTER_R_S, BEFORE_R_S, Beat, cutting
from detector.events import Event, Gap, GapEffect, QualitySpan, RhythmSpan, Tick
from detector.fibrillation import WINDOW_S as WAVES_S
from detector.fibrillation import Waves, measuring_waves
from detector.input_watch import InputWatch
from detector.lockstep import Steps, run
from detector.mains import MAINS_HZ, Mains, MainsFilter
from detector.motion import MotionWatch
from detector.pacer import PacerFilter
from detector.quality import BASELINE_S, Quality, assessing
from detector.regularity import rhythm_of
from detector.rpeaks import WINDOW_S, RPeakDetector
from detector.sample_hold import BRIDGE_S, SampleHold, Stretch
from detector.tail import SignalTail
from detector.template import MOTION_LIMIT, PatientTemplate
from detector.verdicts import Verdicts

__all__ = ["BRIDGE_S", "Detector"]

_STEP_MV = 2.5  # between the sides of a hole; from here on the filter's answer is as large as a QRS
_SETTLING_S = 1.0  # three time constants of the 0.5 Hz edge


class Detector:
    """Find the beats of one lead as its samples arrive.

    >>> import numpy as np
    >>> fs_hz = 250
    >>> one_beat = np.exp(-0.5 * ((np.arange(fs_hz) - 100) / 4.0) ** 2)  # a 1-mV bump 40 ms wide, 60 a minute
    >>> noise = np.random.default_rng(0).normal(0, 0.01, 20 * fs_hz)
    >>> detector = Detector(fs_hz=fs_hz)
    >>> beats = [beat for piece in np.split(np.tile(one_beat, 20) + noise, 100) for beat in detector.push(piece)]
    >>> len(beats), beats[3].samples.shape, round(beats[3].rr_s, 2)
    (19, (187,), 1.0)

    Output does not depend on how samples are cut: filter and windows use the absolute grid. Memory is bounded.

    Every gap is published and counted. Missing and invalid samples (NaN) are treated alike, by the length of their run.
    From 1.5 s on the signal restarts. Over less the filter continues on a straight line to the next valid sample, for
    which invalid ones wait. Up to 12.5 ms (at least one sample) that line counts as signal: the filtered signal has
    nothing above 40 Hz and cannot turn within half a period of it. Up to 60 ms it hides no QRS: R-peaks and RR
    intervals continue, but no beat that it touches is scored. A longer hole has no R-peak, and no RR interval over it.

    Many attributes: the parts of the chain, their lengths in samples, and the state of the current stretch of signal.

    Args:
        fs_hz: sampling rate, Hz, 100 to 1000.
        rails_mv: lowest and highest value the ADC can give, mV, where known: then clipping is seen for certain.
        mains: notch against mains hum: `off`, `50`, `60` Hz, or `auto`, which finds hum that disturbs.

    Attributes:
        samples_in, samples_lost: samples taken, and samples missing in gaps, so far.
        pacer: the pacing pulses of the last 60 s.
        last_filtered: (n,) float64, mV, band-passed, for display; NaN for invalid ones. The samples of the last call,
            but one waits while it may be part of a pacing pulse (`detector.pacer`), at most 0.25 s.

    Raises:
        ValueError: sampling rate out of range, or too low for the notch asked for.
    """

    def __init__(self, fs_hz: float, rails_mv: tuple[float, float] | None = None, mains: Mains = "auto") -> None:
        self.fs_hz = float(fs_hz)
        self.rails_mv = rails_mv
        self.samples_in = self.samples_lost = 0
        self.last_filtered: NDArray[np.float64] = np.empty(0)
        self._bandpass = Bandpass(self.fs_hz)
        self.pacer = PacerFilter(self.fs_hz)
        self._mains = MainsFilter(self.fs_hz, mains)
        self._motion = MotionWatch(self.fs_hz)
        self._input = InputWatch(self.fs_hz, self.pacer)
        self._rpeaks = RPeakDetector(self.fs_hz)
        self._template = PatientTemplate()
        self._hum_passed = float(np.abs(sosfreqz(design_bandpass(self.fs_hz), [min(MAINS_HZ)], fs=self.fs_hz)[1][0]))
        self._delay = qrs_delay_samples(self.fs_hz)
        self._before = math.ceil(BEFORE_R_S * self.fs_hz) + 2
        self._after = math.ceil(AFTER_R_S * self.fs_hz) + 2  # two further samples for the cubic interpolation
        self._keep = round(WINDOW_S * self.fs_hz) + self._before + self._after
        self._waves = round(WAVES_S * self.fs_hz)
        self._hold = SampleHold(self.fs_hz)
        self._tail = SignalTail(self._keep)
        self._shown: list[NDArray[np.float64]] = []  # filtered valid samples of this call
        self._began = False
        self._coming = 0  # absolute index of the next sample; ahead of `_now` if an empty piece announced a gap
        self._restart_at(0)

    def push(self, samples: ArrayLike, first_sample: int | None = None) -> list[Beat]:
        """Take the next samples, return the beats that became complete.

        Args:
            samples: (n,) mV, NaN = no valid sample (leads off); n may be 0.
            first_sample: absolute index of samples[0]; None = follows on. A jump forward is a gap.

        Returns:
            Beats in order of time. A beat comes at the first full second 1 to 2 s after its R-peak.

        Raises:
            ValueError: not one-dimensional, or `first_sample` lies in the past.
        """
        return [event for event in self.advance(samples, first_sample) if isinstance(event, Beat)]

    def advance(self, samples: ArrayLike, first_sample: int | None = None) -> list[Event]:
        """As `push`, but return all events: gaps, quality, beats and ticks, in order."""
        return run(self.advancing(samples, first_sample))

    def advancing(self, samples: ArrayLike, first_sample: int | None = None) -> Steps[list[Event]]:
        """`advance` as a routine, for `run_together` with the detectors of other beds."""
        raw = np.array(samples, dtype=np.float64)
        self.last_filtered = np.empty(0)
        if raw.ndim != 1:
            raise ValueError(f"samples has shape {raw.shape}: give one lead, shape (n,)")
        # operator.index: numpy's integers would overflow, and end up in messages
        first_sample = self._coming if first_sample is None else operator.index(first_sample)
        if self._began and first_sample < self._coming:
            raise ValueError(f"first_sample={first_sample} lies in the past: sample {self._coming} comes next")
        self._coming = first_sample
        events: list[Event] = []
        if raw.size == 0:
            return events
        raw = self._input.put(first_sample, raw)
        if not self._began:
            self._began = True
            self._restart_at(first_sample)
            self.pacer.reset(first_sample)
        elif (missing := first_sample - self._now - self._hold.waiting - self.pacer.waiting) > 0:
            events += yield from self._enter(self.pacer.flush())
            events += yield from self._skip(missing)
            self.pacer.skip(first_sample)
        self.samples_in += raw.size
        self._coming = first_sample + raw.size
        events += yield from self._enter(self.pacer.push(raw))
        return events

    def _enter(self, samples: NDArray[np.float64]) -> Steps[list[Event]]:
        """Process samples without pacing pulses."""
        events = (yield from self._take(self._hold.push(samples))) if samples.size else []
        shown, self._shown = self._shown, []
        filtered = shown[0] if len(shown) == 1 else np.concatenate([*shown, np.empty(0)])
        if filtered.size < samples.size:  # some are invalid
            valid, filtered = filtered, np.full(samples.size, np.nan)
            filtered[np.isfinite(samples)] = valid
        self.last_filtered = np.append(self.last_filtered, filtered) if self.last_filtered.size else filtered
        return events

    def flush(self) -> list[Event]:
        """End of the signal: return the remaining events."""
        self.last_filtered = np.empty(0)
        events = run(self._enter(self.pacer.flush())) + run(self._take(self._hold.release())) + run(self._finish())
        if self._coming > self._now:  # an announced gap without samples after it
            events.append(self._lose(self._coming - self._now, "restart"))
            self._restart_at(self._coming)
        return events

    @property
    def mains_hz(self) -> float | None:
        """Frequency of the active mains notch, Hz; None = off."""
        return self._mains.hz

    def filtered(self, first_sample: int, end_sample: int) -> NDArray[np.float64]:
        """Filtered signal of a recent stretch for display, mV; NaN where it is not (or no longer) held."""
        out = np.full(max(0, end_sample - first_sample), np.nan)
        low, high = max(first_sample, self._first), min(end_sample, self._now)
        if low < high:
            out[low - first_sample : high - first_sample] = self._tail.filtered[low - self._first : high - self._first]
        return out

    def _restart_at(self, sample: int) -> None:
        """Reset all parts with a memory of the signal; the patient's template stays."""
        self._bandpass.reset()
        self._mains.reset()
        self._motion.reset()
        self._rpeaks.reset()
        self._tail.clear()
        self._now = sample  # absolute index after the last sample filtered
        self._first = sample  # absolute index of the first sample held
        self._start = sample  # where this stretch of signal began
        self._judged = sample  # quality has been given up to here
        self._settled = sample
        self._verdicts = Verdicts(self.fs_hz)
        self._pending: deque[tuple[int, float | None]] = deque()  # R-peak (filtered samples), RR interval
        self._last_peak: int | None = None

    def _lose(self, n: int, effect: GapEffect) -> Gap:
        """Count the next `n` samples as lost."""
        self.samples_lost += n
        return Gap(self._now, n, effect)

    def _skip(self, n: int) -> Steps[list[Event]]:
        """Process `n` missing samples."""
        if n < self._hold.restart:
            return (yield from self._take(self._hold.skip(n)))
        events = yield from self._take(self._hold.release())
        events += yield from self._finish()
        events.append(self._lose(n, "restart"))
        self._hold.reset()
        self._restart_at(self._now + n)
        return events

    def _take(self, stretches: list[Stretch]) -> Steps[list[Event]]:
        """Filter stretches of samples and run every tick of the grid within them."""
        events: list[Event] = []
        for stretch in stretches:
            if stretch.anew:
                events += yield from self._finish()
                self._restart_at(self._now)
            events += self._gap(stretch)
            events += yield from self._filter(stretch)
        return events

    def _gap(self, stretch: Stretch) -> list[Event]:
        """The gap that a stretch is, if it is one to publish."""
        n, effect = stretch.raw.size, stretch.effect
        if effect is None:
            return []
        gap = self._lose(n, effect) if stretch.missing else Gap(self._now, n, effect, invalid=True)
        self._verdicts.add(gap)
        if effect == "hole" and abs(stretch.filled[-1] - stretch.filled[0]) > _STEP_MV:
            self._settled = self._now + n + round(_SETTLING_S * self.fs_hz)
        return [gap] if stretch.missing or effect == "hole" else []

    def _filter(self, stretch: Stretch) -> Steps[list[Event]]:
        """Filter a stretch tick by tick."""
        events: list[Event] = []
        raw, filled, step, end = stretch.raw, stretch.filled, self._rpeaks.step, self._now + stretch.raw.size
        while self._now < end:
            tick = (self._now // step + 1) * step
            upto = min(tick, end)
            n = upto - self._now
            filtered = yield from self._bandpass.pushing(self._mains.push(filled[:n]))
            if stretch.effect is None:
                self._shown.append(filtered)
            self._tail.append(raw[:n], filtered)
            raw, filled = raw[n:], filled[n:]
            self._now = upto
            if upto == tick:
                yield from self._mains.looking(self._tail.raw[-self._mains.watched :])
                events += yield from self._tick()
                self._first += self._tail.forget()
                self._verdicts.forget(self._first)
        return events

    def _tick(self) -> Steps[list[Event]]:
        """Decide everything that the samples up to now allow."""
        seen = yield from measuring_waves(self._tail.filtered[-self._waves :], self.fs_hz)
        self._motion.look(seen.sine, self._now)
        span = yield from self._judge()
        rhythm = self._rhythm(seen)
        if rhythm.fibrillatory and span.quality.rank <= Quality.MOTION.rank:
            span = replace(span, quality=Quality.GOOD)  # it was the heart; each beat keeps its own verdict
        events: list[Event] = [span, rhythm]
        low = max(self._first, self._now - self._rpeaks.window)
        window = self._tail.filtered[low - self._first :]
        good = self._verdicts.worst(*self._rpeaks.due(self._now)) is Quality.GOOD
        decided_peaks = yield from self._rpeaks.deciding(window, low, good and not rhythm.chaotic)
        peaks = [peak for peak in decided_peaks if self._verdicts.measured(peak - self._delay)]
        for peak in peaks:
            self._pending.append((peak, self._rr_s(peak)))
            self._last_peak = peak
        while self._pending and self._pending[0][0] + self._after < self._now:
            events.append((yield from self._beat(*self._pending.popleft())))
        decided = self._rpeaks.decided_until
        decided = self._start if decided is None else max(self._start, decided - self._delay)
        r_samples = tuple(max(self._start, peak - self._delay) for peak in peaks)
        events.append(Tick(self._now, decided, r_samples, self.pacer.found(self._now)))
        return events

    def _judge(self) -> Steps[QualitySpan]:
        """Verdict on the samples since the last one."""
        memory = self._rpeaks.memory
        here = slice(self._judged - self._first, self._now - self._first)
        raw, filtered = self._tail.raw[here], self._tail.filtered[here]
        came, enough = self._verdicts.came(self._judged, self._now)
        quality = Quality.GAP
        if enough:
            quality = yield from assessing(
                raw if came is None else raw[came],
                filtered if came is None else filtered[came],
                self.fs_hz,
                self.rails_mv,
                recent=self._tail.raw[-round(BASELINE_S * self.fs_hz) :],
                qrs_mv=self._template.amplitude_mv,
                alike_mv=memory.qrs_mv,
                usual_rr_s=memory.usual_rr_s,
                hum_mv=0.0 if self._mains.hz is not None else self._mains.hum_mv * self._hum_passed,
            )
        if self._judged < self._settled:
            quality = max(quality, Quality.SETTLING, key=lambda verdict: verdict.rank)
        quality = self._input.judge(self._judged, self._now, self._template.amplitude_mv > 0) or quality
        self._verdicts.add(QualitySpan(self._judged, self._now, quality))
        if self._motion.moving_at(self._now) and quality.rank < Quality.MOTION.rank:
            quality = Quality.MOTION  # of the second; each beat has its own verdict
        first, self._judged = self._judged, self._now
        return QualitySpan(first, self._now, quality, self._input.scale)

    def _rhythm(self, seen: Waves) -> RhythmSpan:
        """Verdict on the waveform of the last 4 s: only where all of it was measured, and not cut off by the ADC."""
        low = max(self._start, self._now - self._waves)
        fibrillatory = seen.fibrillatory(self._template.amplitude_mv) and not self._input.tall
        fibrillatory = fibrillatory and self._verdicts.waves_judged(low, self._now)
        return rhythm_of(seen, self._tail.filtered[low - self._first :], low, self.fs_hz, fibrillatory)

    def _rr_s(self, peak: int) -> float | None:
        """RR interval to the R-peak before, s; None where there is none, or a hole in between."""
        last = self._last_peak
        if last is None or self._verdicts.hole_between(last - self._delay, peak - self._delay):
            return None
        return (peak - last) / self.fs_hz

    def _beat(self, peak: int, rr_s: float | None) -> Steps[Beat]:
        """Cut, judge and compare one beat; then the patient's template learns it."""
        template = self._template
        samples = yield from cutting(self._tail.filtered, peak - self._first, self.fs_hz)
        low, high = peak - self._before, peak + self._after
        cut_short = high > self._now or low < self._start
        quality = Quality.TRUNCATED if cut_short else self._verdicts.worst(low, high)
        good = quality is Quality.GOOD
        compared = yield from template.comparing(samples, rr_s, self._motion.last_beats)
        residual = None if compared is None else compared.residual
        context, ratios = template.context(rr_s), template.ratios(rr_s)
        restless = template.restless(compared, rr_s) > MOTION_LIMIT
        moves = self._motion.moves(peak, samples, rr_s, compared, template, good and not restless, self._now)
        if good and not moves:
            template.learn_compared(samples, rr_s, residual)  # a restless one, too: a lasting change must become usual
        if good and (moves or restless):
            quality = Quality.MOTION
        r_sample = max(self._start, peak - self._delay)
        paced = self.pacer.paces(r_sample)
        return Beat(r_sample, rr_s, samples, quality, residual, *ratios, self._now, context, paced)

    def _finish(self) -> Steps[list[Event]]:
        """End of a stretch of signal: the samples since the last tick, and incomplete beats."""
        events: list[Event] = []
        if self._judged < self._now:
            events += yield from self._tick()
        while self._pending:
            events.append((yield from self._beat(*self._pending.popleft())))
        return events
