"""Patient reference: turns a score into a p-value against the patient's own beats.

Bounded and causal. It starts from the training patients and adapts at most half-way to the patient, unless the patient
is unlike them.
"""

from __future__ import annotations

import bisect
import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Calibration",
    "Judgement",
    "PatientReference",
    "calibrate",
]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Scores of the training patients' normal beats; part of the model's metadata.

    Attributes:
        centre: median over patients of the patient's centre (30 % quantile of the score).
        spread: median over patients of the patient's spread (from the 10 % to the 50 % quantile).
        centre_bounds: lowest and highest centre a patient's reference may adapt to (10 % and 90 % of patients).
        spread_bounds: the same for the spread.
        z: rising standardised scores (score - centre) / spread of training normals under the causal rule.
        p: falling, p-value at each of `z`: share of normals with this score or a higher one.
        alpha: p-value under which a beat is anomalous: the stated false-alarm rate.

    Raises:
        ValueError: values that cannot result from scores.
    """

    centre: float
    spread: float
    centre_bounds: tuple[float, float]
    spread_bounds: tuple[float, float]
    z: tuple[float, ...]
    p: tuple[float, ...]
    alpha: float

    def __post_init__(self) -> None:
        numbers = (self.centre, self.spread, *self.centre_bounds, *self.spread_bounds, *self.z, *self.p)
        if not all(map(math.isfinite, numbers)):
            raise ValueError("calibration holds a number that is not finite")
        if not 0 < self.alpha < 1:
            raise ValueError(f"calibration alpha={self.alpha} is a share: more than 0 and less than 1")
        if not (self.spread > 0 and 0 < self.spread_bounds[0] <= self.spread_bounds[1]):
            raise ValueError(f"calibration spread={self.spread} in {self.spread_bounds} must be more than 0 and rise")
        if self.centre_bounds[0] > self.centre_bounds[1]:
            raise ValueError(f"calibration centre_bounds={self.centre_bounds} must rise")
        if len(self.z) != len(self.p) or len(self.z) < 2:
            raise ValueError(f"calibration table has {len(self.z)} scores and {len(self.p)} p-values")
        if any(b < a for a, b in pairwise(self.z)) or any(b > a for a, b in pairwise(self.p)):
            raise ValueError("calibration table must rise in its scores and fall in its p-values")
        if not 0 <= self.p[-1] <= self.p[0] <= 1:
            raise ValueError("calibration table must have p-values within 0 and 1")

    @property
    def score_max(self) -> float:
        """Highest score worth telling apart: 100 spreads above the centre; beyond it an artefact hides the patient."""
        return self.centre + _SPREADS_MAX * self.spread


@dataclass(frozen=True, slots=True)
class Judgement:
    """One beat judged against the patient.

    Attributes:
        p_value: share of normal beats with this score or a higher one, 0 to 1.
        threshold: score above which a beat of this patient is anomalous now.
        anomalous: p_value < alpha.
    """

    p_value: float
    threshold: float
    anomalous: bool


REFERENCE_BEATS = 256
_SPREADS_MAX = 100.0  # the worst of 50,889 beats of DS1 lies 45 spreads above the centre
PRIOR_BEATS = 32  # weight of the population, in beats of the patient
_HALF_WAY = 0.5  # largest weight of the patient: frequent anomalies must not become usual
_LOW, _CENTRE, _HIGH = 0.1, 0.3, 0.5  # quantiles of a patient's scores that define centre and spread
_BOUNDS = (0.1, 0.9)  # quantiles over training patients that a patient's centre and spread are clamped to
_OWN_SPREAD = 0.2  # weight of the patient's spread where the centre is the patient's own, see PatientReference
DOUBT_BEATS = 128  # about two minutes, longer than most runs of an arrhythmia that ends


class PatientReference:
    """Judge each score against the scores of this patient's earlier beats.

    A beat is judged first, and learned only if it was not anomalous, so that a run of ventricular beats does not
    become usual. When more than half of the last 128 beats were anomalous, the reference is in doubt, and every beat
    is learned until the reference fits the patient again. Centre and spread of the last 256 learned scores come from
    their lower part (30 % quantile; 10 % to 50 %): anomalies lie at the upper end, so up to half of the beats may be
    anomalous without effect. They are blended with the population's values, which weigh 32 beats and at least half,
    and clamped to the middle 80 % of training patients. The standardised score is looked up in the p-value table of
    training normals, made by the same rule.

    Infants and children are no such patients: at 200 beats a minute each beat's samples hold parts of three beats, and
    their normal beats score 4 to 10 where an adult's score -1 to 2. With `own` the centre is the patient's own, without
    bounds, the spread four fifths the population's, and the first 32 beats are learned and not judged: what is unusual
    from the first second on becomes usual. The weight was chosen on synthetic infants (150 to 230 a minute, QRS 40 to
    60 ms): from 0.15 to 0.5 none of their normal beats is anomalous, and from 0.25 on premature wide beats are missed.

    Args:
        calibration: of the model.
        own: the patient is unlike those that the model was trained on.
    """

    def __init__(self, calibration: Calibration, own: bool = False) -> None:
        self._calibration = calibration
        self._own = own
        self._z = np.array(calibration.z)
        self._p = np.array(calibration.p)
        self._z_alpha = float(np.interp(calibration.alpha, self._p[::-1], self._z[::-1]))
        self._recent: deque[float] = deque(maxlen=REFERENCE_BEATS)
        self._sorted: list[float] = []
        self._verdicts: deque[bool] = deque(maxlen=DOUBT_BEATS)

    def _usual(self) -> tuple[float, float]:
        """Current centre and spread."""
        n, c = len(self._sorted), self._calibration
        if n == 0:
            return c.centre, c.spread
        low, usual, high = (self._sorted[int(share * n)] for share in (_LOW, _CENTRE, _HIGH))
        if self._own:
            return usual, _OWN_SPREAD * (high - low) + (1 - _OWN_SPREAD) * c.spread
        weight = min(n / (n + PRIOR_BEATS), _HALF_WAY)
        centre = weight * usual + (1 - weight) * c.centre
        spread = weight * (high - low) + (1 - weight) * c.spread
        return (
            min(max(centre, c.centre_bounds[0]), c.centre_bounds[1]),
            min(max(spread, c.spread_bounds[0]), c.spread_bounds[1]),
        )

    @property
    def learning(self) -> bool:
        """Whether the next beat is learned and not judged."""
        return self._own and len(self._recent) < PRIOR_BEATS

    def standardise(self, score: float) -> float:
        """(score - centre) / spread with the current centre and spread."""
        centre, spread = self._usual()
        return (score - centre) / spread

    def score_of(self, z: float) -> float:
        """The score that is `z` now when standardised."""
        centre, spread = self._usual()
        return centre + z * spread

    def p_value(self, z: float) -> float:
        """Share of normal beats with this standardised score or a higher one."""
        return float(np.interp(z, self._z, self._p))

    def judge(self, score: float) -> Judgement:
        """Judge one beat, then learn it if it was not anomalous.

        Args:
            score: higher = more anomalous. A score that is not finite is anomalous (p-value 0) and never learned.
        """
        centre, spread = self._usual()
        threshold = centre + self._z_alpha * spread
        if not math.isfinite(score):
            return Judgement(0.0, threshold, True)
        if self.learning:
            self.learn(score)
            return Judgement(1.0, max(threshold, score), False)
        p_value = self.p_value((score - centre) / spread)
        anomalous = p_value < self._calibration.alpha
        self._verdicts.append(anomalous)
        if not anomalous or sum(self._verdicts) > DOUBT_BEATS // 2:
            self.learn(score)
        return Judgement(p_value, threshold, anomalous)

    def learn(self, score: float) -> None:
        """Add a score to the memory; it replaces the oldest.

        Raises:
            ValueError: the score is not finite.
        """
        if not math.isfinite(score):
            raise ValueError(f"score={score} is no finite number: only such can be learnt")
        if len(self._recent) == REFERENCE_BEATS:
            del self._sorted[bisect.bisect_left(self._sorted, self._recent[0])]
        self._recent.append(score)
        bisect.insort(self._sorted, score)


def calibrate(patients: Iterable[ArrayLike], alpha: float, table: Sequence[float] | None = None) -> Calibration:
    """Calibrate on the scores of training patients' normal beats.

    Args:
        patients: one (n,) array per patient, scores in order of time, higher = more anomalous, n >= 32.
        alpha: intended share of normal beats called anomalous, 0 to 1.
        table: p-values to tabulate, falling from 1; the default is dense at small values.

    Returns:
        The Calibration; every patient has the same weight.

    Raises:
        ValueError: no patient with enough beats, a score that is not finite, or alpha out of range.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha={alpha} is a share of beats: give more than 0 and less than 1")
    scores = [np.asarray(patient, np.float64) for patient in patients]
    scores = [patient for patient in scores if patient.size >= PRIOR_BEATS]
    if not all(np.isfinite(patient).all() for patient in scores):
        raise ValueError("a score is no finite number: leave such beats out, and find out why")
    if not scores:
        raise ValueError(f"no patient with at least {PRIOR_BEATS} scored beats to calibrate on")
    low, centres, high = np.array([np.quantile(patient, (_LOW, _CENTRE, _HIGH)) for patient in scores]).T
    spreads = np.maximum(high - low, 1e-3)
    if table is None:
        table = np.concatenate((np.linspace(1.0, 0.11, 90), np.geomspace(0.1, 1e-4, 61))).tolist()
    calibration = Calibration(
        centre=float(np.median(centres)),
        spread=float(np.median(spreads)),
        centre_bounds=_span(centres),
        spread_bounds=_span(spreads),
        z=(0.0, 1.0),
        p=(1.0, alpha),  # by this table no beat is anomalous: the first round learns every beat
        alpha=alpha,
    )
    for _ in range(_CALIBRATION_ROUNDS):
        calibration = _tabulated(calibration, scores, table)
    return calibration


def _span(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(values, _BOUNDS)
    return float(low), float(high)


_CALIBRATION_ROUNDS = 3  # learned beats and table depend on each other; two rounds converge


def _tabulated(calibration: Calibration, scores: list[NDArray[np.float64]], table: Sequence[float]) -> Calibration:
    """The calibration with the p-value table that results from its own rule; patients have equal weight."""
    z: list[float] = []
    weights: list[float] = []
    for patient in scores:
        reference = PatientReference(calibration)
        for score in patient.tolist():
            z.append(reference.standardise(score))
            reference.judge(score)
        weights += [1.0 / patient.size] * patient.size
    order = np.argsort(z)[::-1]  # from the highest score down: cumulative share
    share = np.cumsum(np.array(weights)[order]) / np.sum(weights)
    at = np.interp(table, share, np.array(z)[order])
    rising = np.maximum.accumulate(at + 1e-6 * np.arange(at.size))  # no two p-values at one score
    return replace(calibration, z=tuple(np.round(rising, 6).tolist()), p=tuple(np.round(np.asarray(table), 8).tolist()))
