"""Two leads of one heart: at each second the R-peaks, rhythm and quality of the better one, and each beat in both.

Each lead has a detector of its own. What they find meets here, second by second of the grid.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from detector.beats import Beat
from detector.events import Event, LeadChange, QualitySpan, RhythmSpan, Tick
from detector.quality import Quality
from detector.rpeaks import STEP_S

__all__ = ["LeadChoice"]

_SAME_BEAT_S = 0.15  # between the R-peaks of one beat in two leads: the tolerance of EC57
_REFRACTORY_S = 0.2  # from an R-peak of one lead to the next one in the other
_LOOK_BACK = 3  # seconds whose quality counts: an R-peak is decided up to 2 s late
_RETURN = 10  # seconds in which the first lead must be as good as the second one to be used again
# A lead has lost its beats when the other one shows as many usual ones since its last R-peak. A usual beat is good, and
# within this distance of its template (`Beat.residual`): in DS1 95 % of the normal beats are, and none in noise alone,
# which passes for good signal now and then.
_UNSEEN_BEATS, _USUAL = 2, 1.5
_KEPT_S = 5.0
# Measure of `RhythmSpan` below which a heart beats in a lead. In the flutter of record 207, where one lead is
# fibrillatory, the other one measures -0.36 or more; in 45 seconds of mitdb that only one lead takes for fibrillation,
# -0.42 or less, most of them -0.6.
_BEATING = -0.45
_WAVES = 4  # seconds of a rhythm window
# Not left for noise: a flat line is time watched, since the heart may stand still; the others have alarms of their own.
_SIGNAL = frozenset((Quality.FLAT, Quality.CALIBRATION, Quality.UNIT))


@dataclass(frozen=True, slots=True)
class _Step:
    """What a lead found up to a tick of the grid, or up to the end of the signal."""

    sample: int
    events: list[Event]

    @property
    def quality(self) -> Quality:
        found = [event.quality for event in self.events if isinstance(event, QualitySpan)]
        return max(found, key=lambda quality: quality.rank, default=Quality.LEADS_OFF)

    @property
    def fibrillatory(self) -> bool:
        return any(event.fibrillatory for event in self.events if isinstance(event, RhythmSpan))

    @property
    def r_samples(self) -> list[int]:
        return [r for event in self.events if isinstance(event, Tick) for r in event.r_samples]

    @property
    def pulses(self) -> list[int]:
        return [pulse for event in self.events if isinstance(event, Tick) for pulse in event.pacer_samples]


class _Lead:
    """One lead: the steps that wait, and what it found in the last seconds."""

    def __init__(self) -> None:
        self.open: list[Event] = []  # since the last step
        self.steps: deque[_Step] = deque()
        self.tiers: deque[int] = deque([0], maxlen=_RETURN)  # of the quality of the last seconds
        self.r_samples: list[int] = []
        self.pulses: list[int] = []  # pacing pulses
        self.beats: list[Beat] = []

    def close_step(self, sample: int) -> None:
        """The events since the last step are complete."""
        self.steps.append(_Step(sample, self.open))
        self.open = []

    def take(self, step: _Step, kept: int) -> None:
        """Note what a step found; forget what was before the sample `kept`."""
        # A second of fibrillation is good, but noise may look like it: it is as good as the signal before it.
        self.tiers.append(min(self.tiers[-1], 1) if step.fibrillatory else _tier(step.quality))
        self.r_samples = [r for r in self.r_samples + step.r_samples if r >= kept]
        self.pulses = [pulse for pulse in self.pulses + step.pulses if pulse >= kept]
        self.beats = [beat for beat in self.beats if beat.r_sample >= kept]
        self.beats += [event for event in step.events if isinstance(event, Beat)]

    def worst(self, seconds: int) -> int:
        """The worst tier of the last seconds."""
        return max(list(self.tiers)[-seconds:])

    def beat_at(self, r_sample: int, within: int) -> Beat | None:
        """The complete beat whose R-peak is nearest, at most `within` samples away."""
        near = [beat for beat in self.beats if abs(beat.r_sample - r_sample) <= within]
        return min(near, key=lambda beat: abs(beat.r_sample - r_sample), default=None)

    def awaits(self, r_sample: int, within: int) -> bool:
        """Whether an R-peak near by is decided, and its beat is not complete."""
        known = {beat.r_sample for beat in self.beats}
        return any(abs(r - r_sample) <= within and r not in known for r in self.r_samples)


def _tier(quality: Quality) -> int:
    """0 good, 1 noise and other signal that says something, 2 no signal."""
    if quality is Quality.GOOD:
        return 0
    return 1 if quality in _SIGNAL or quality.rank <= Quality.MOTION.rank else 2


class LeadChoice:
    """Events of two leads in, events of one heart out.

    The first lead is used while it is as good as the second one. A lead that is worse is left at once, also one in
    which no beats are seen while the other one sees them. The first lead is used again when it has been as good for
    ten seconds. Quality, rhythm, gaps and R-peaks are those of the lead that is used; but no window is fibrillatory in
    which the other lead, if it is good, shows a beating heart.

    A beat is given when it is complete in each lead in which it was found, as it is in the lead with the better
    quality; `Beat.other` is the one of the other lead, where both can be scored. R-peak and interval are those of the
    lead that was used.

    Output does not depend on how the samples are cut, because each second is decided as a whole.

    Args:
        fs_hz: sampling rate of both leads, Hz.

    Attributes:
        used: the lead that is used, 0 or 1.
    """

    def __init__(self, fs_hz: float) -> None:
        self.used = 0
        self._step = round(STEP_S * fs_hz)
        self._same, self._refractory = round(_SAME_BEAT_S * fs_hz), round(_REFRACTORY_S * fs_hz)
        self._kept = round(_KEPT_S * fs_hz)
        self._leads = (_Lead(), _Lead())
        self._given: tuple[int, int] | None = None  # the last R-peak, and its lead
        self._waiting: deque[tuple[int, int]] = deque()  # R-peaks without their beat, and their lead
        self._pacer_given = -1  # pacing pulses up to this sample

    def put(self, first: Sequence[Event], second: Sequence[Event]) -> list[Event]:
        """Take the events of both leads for the same samples, return those that are decided.

        A lead may lag behind by the 1.5 s for which its detector holds invalid samples back; the other one waits.
        """
        for lead, events in zip(self._leads, (first, second), strict=True):
            for event in events:
                lead.open.append(event)
                if isinstance(event, Tick) and event.sample % self._step == 0:
                    lead.close_step(event.sample)
        return self._advance(at_end=False)

    def flush(self, first: Sequence[Event], second: Sequence[Event]) -> list[Event]:
        """End of the signal: take the last events of both leads, return all that remain."""
        events = self.put(first, second)
        for lead in self._leads:
            ticks = [event.sample for event in lead.open if isinstance(event, Tick)]
            if lead.open:
                lead.close_step(ticks[-1] if ticks else 0)
        return events + self._advance(at_end=True)

    def _advance(self, at_end: bool) -> list[Event]:
        """The steps that both leads have made."""
        events: list[Event] = []
        leads = self._leads
        while all(lead.steps for lead in leads) or (at_end and any(lead.steps for lead in leads)):
            tick = min(lead.steps[0].sample for lead in leads if lead.steps)
            steps = [
                lead.steps.popleft() if lead.steps and lead.steps[0].sample == tick else _Step(tick, [])
                for lead in leads
            ]
            for lead, step in zip(leads, steps, strict=True):
                lead.take(step, tick - self._kept)
            events += self._choose(tick, steps)
            last = at_end and not any(lead.steps for lead in leads)
            events += self._events_of(steps[self.used], steps[1 - self.used], last)
        return events

    def _choose(self, tick: int, steps: list[_Step]) -> list[Event]:
        """Leave a lead that is worse, or in which no beats are seen."""
        used, other = self._leads[self.used], self._leads[1 - self.used]
        now, then = used.worst(_LOOK_BACK), other.worst(_LOOK_BACK)
        leave = then < now or (then == now == 0 and self._unseen_in(used, other))
        if self.used == 1 and not leave:
            back = other.worst(_RETURN) <= used.worst(_RETURN)
            leave = back and not self._unseen_in(other, used)
        if not leave:
            return []
        self.used = 1 - self.used
        return [LeadChange(tick, self.used, steps[1 - self.used].quality)]

    def _unseen_in(self, lead: _Lead, other: _Lead) -> bool:
        """Whether usual beats that the other lead shows are missed in this one.

        Not where a pacemaker is at work: pulses without capture look like usual beats under noise.
        """
        if lead.pulses or other.pulses:
            return False
        last = max(lead.r_samples, default=-1) + self._same
        usual = [beat for beat in other.beats if beat.scorable and beat.residual is not None and beat.residual < _USUAL]
        return sum(beat.r_sample > last for beat in usual) >= _UNSEEN_BEATS

    def _events_of(self, step: _Step, other: _Step, at_end: bool) -> Iterator[Event]:
        """The events of the lead that is used, with the beats of both."""
        for event in step.events:
            if isinstance(event, Tick):
                tick = self._tick(event)
                yield from self._beats(event.sample, at_end)
                yield tick
            elif isinstance(event, RhythmSpan) and event.fibrillatory and self._beats_in(other):
                yield replace(event, fibrillatory=False, cycle_s=None)
            elif not isinstance(event, Beat):
                yield event

    def _beats_in(self, other: _Step) -> bool:
        """Whether a heart beats in the other lead: then the waves of the lead that is used are no fibrillation."""
        measures = [event.measure for event in other.events if isinstance(event, RhythmSpan)]
        return self._leads[1 - self.used].worst(_WAVES) == 0 and any(measure < _BEATING for measure in measures)

    def _tick(self, tick: Tick) -> Tick:
        """The R-peaks that no other tick has given."""
        decided_until = tick.decided_until - self._same  # the other lead may have the next R-peak earlier
        given: list[int] = []
        for r in self._leads[self.used].r_samples:
            if self._given is not None:
                last, lead = self._given
                apart = 1 if lead == self.used else self._refractory
                if r < last + apart:
                    continue
            given.append(r)
            self._given = r, self.used
            self._waiting.append(self._given)
        pulses = tuple(pulse for pulse in tick.pacer_samples if pulse > self._pacer_given)
        self._pacer_given = max(self._pacer_given, *pulses) if pulses else self._pacer_given
        return Tick(tick.sample, decided_until, tuple(given), pulses)

    def _beats(self, tick: int, at_end: bool) -> Iterator[Beat]:
        """The beats that are complete in each lead that has them."""
        while self._waiting:
            r_sample, at = self._waiting[0]
            own = self._leads[at].beat_at(r_sample, 0)
            other = self._leads[1 - at].beat_at(r_sample, self._same)
            complete = own is not None and not self._leads[1 - at].awaits(r_sample, self._same)
            if not (complete or at_end or r_sample < tick - self._kept):
                return
            self._waiting.popleft()
            if own is not None:
                yield self._beat(own, other, at, tick)

    def _beat(self, own: Beat, other: Beat | None, at: int, tick: int) -> Beat:
        """A beat as it is in the lead with the better quality."""
        own = replace(own, decided_sample=tick, lead=at)
        if other is None:
            return own
        other = replace(other, lead=1 - at)
        if other.quality.rank < own.quality.rank:
            paced = own.paced or other.paced
            return replace(other, r_sample=own.r_sample, rr_s=own.rr_s, decided_sample=tick, paced=paced)
        return replace(own, paced=own.paced or other.paced, other=other if own.scorable and other.scorable else None)
