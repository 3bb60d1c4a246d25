"""What this patient's beats usually score: a score becomes a p-value against the patient's own beats.

Bounded and causal; it starts from the population of the training patients. `PatientReference` does it for one score,
`PatientJudge` decides by the likelihood and the template score together.
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
    "PatientJudge",
    "PatientReference",
    "calibrate",
]


@dataclass(frozen=True, slots=True)
class Calibration:
    """How normal beats of the training patients score; travels in the model's metadata.

    Attributes:
        centre: median over patients of the patient's centre (70 % quantile of log p), nats.
        spread: median over patients of the patient's spread (from the 50 % to the 90 % quantile), nats.
        centre_bounds: lowest and highest centre a patient's reference may adapt to, nats (10 % and 90 % of patients).
        spread_bounds: the same for the spread, nats.
        z: rising standardised scores (log p - centre) / spread of training normals under the causal rule.
        p: p-value at each of `z`: share of normals with so low a score or lower.
        alpha: p-value under which a beat is anomalous by this score: its share of the stated false-alarm rate.
        template: the same of the template score (its sign turned, so that lower = more anomalous), where the
            model was calibrated with it; None = the likelihood judges alone.

    Raises:
        ValueError: values that no scores can have led to.
    """

    centre: float
    spread: float
    centre_bounds: tuple[float, float]
    spread_bounds: tuple[float, float]
    z: tuple[float, ...]
    p: tuple[float, ...]
    alpha: float
    template: Calibration | None = None

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
        if (
            any(b < a for table in (self.z, self.p) for a, b in pairwise(table))
            or not 0 <= self.p[0] <= self.p[-1] <= 1
        ):
            raise ValueError("calibration table must rise, its p-values within 0 and 1")


@dataclass(frozen=True, slots=True)
class Judgement:
    """One beat set against the patient.

    Attributes:
        p_value: share of normal beats that score so low or lower, 0 to 1.
        threshold: log p under which this patient's beat is anomalous now, nats.
        anomalous: p_value < alpha.
        by: what made it anomalous: `likelihood`, `template`, both or none.
    """

    p_value: float
    threshold: float
    anomalous: bool
    by: tuple[str, ...] = ()


REFERENCE_BEATS = 256
PRIOR_BEATS = 32  # the population speaks as loud as so many of the patient's own beats
_LOW, _CENTRE, _HIGH = 0.5, 0.7, 0.9  # quantiles of a patient's scores that tell what is usual
_BOUNDS = (0.1, 0.9)  # quantiles over training patients that a patient's centre and spread are clamped to
DOUBT_BEATS = 128  # about two minutes, longer than most runs of an arrhythmia that ends


class PatientReference:
    """Set each log-likelihood against what this patient's beats have scored so far.

    Rule: a beat is judged first, and learnt only if it was not anomalous, so that a run of ventricular beats does
    not become usual. Where more than half of the last 128 beats were anomalous the reference is in doubt, and
    every beat is learnt until it describes the patient again. Centre and spread of the last 256 learnt scores are
    read from their upper part (70 % quantile; 50 % to 90 %), because anomalies lie at the other end: nearly half of
    the beats may be anomalous before they tell what is usual. They are blended with the population's as if that
    were 32 further beats, and clamped to the middle 80 % of training patients. The standardised score is read off
    the p-value table of training normals under this same rule.

    Chosen on training normals with synthetic anomalies mixed in (45 % of a patient's beats at template score 1.2):
    63 % of them found, against 32 % with median and lower quartile, and as many (70 %) where they are a fifth.
    """

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration
        self._z = np.array(calibration.z)
        self._p = np.array(calibration.p)
        self._z_alpha = float(np.interp(calibration.alpha, self._p, self._z))
        self._recent: deque[float] = deque(maxlen=REFERENCE_BEATS)
        self._sorted: list[float] = []
        self._verdicts: deque[bool] = deque(maxlen=DOUBT_BEATS)

    def _usual(self) -> tuple[float, float]:
        """Centre and spread now, nats."""
        n, c = len(self._sorted), self._calibration
        if n == 0:
            return c.centre, c.spread
        low, usual, high = (self._sorted[int(share * n)] for share in (_LOW, _CENTRE, _HIGH))
        weight = n / (n + PRIOR_BEATS)
        centre = weight * usual + (1 - weight) * c.centre
        spread = weight * (high - low) + (1 - weight) * c.spread
        return (
            min(max(centre, c.centre_bounds[0]), c.centre_bounds[1]),
            min(max(spread, c.spread_bounds[0]), c.spread_bounds[1]),
        )

    def standardise(self, log_prob: float) -> float:
        """(log p - centre) / spread as the patient stands now."""
        centre, spread = self._usual()
        return (log_prob - centre) / spread

    def judge(self, log_prob: float) -> Judgement:
        """Judge one beat, then learn it if it was not anomalous.

        Args:
            log_prob: log p(x), nats. What is no finite number is anomalous (p-value 0) and never learnt: a beat
                that the model cannot place is not usual.
        """
        centre, spread = self._usual()
        threshold = centre + self._z_alpha * spread
        if not math.isfinite(log_prob):
            return Judgement(0.0, threshold, True)
        p_value = float(np.interp((log_prob - centre) / spread, self._z, self._p))
        anomalous = p_value < self._calibration.alpha
        self._verdicts.append(anomalous)
        if not anomalous or sum(self._verdicts) > DOUBT_BEATS // 2:
            self.learn(log_prob)
        return Judgement(p_value, threshold, anomalous)

    def learn(self, log_prob: float) -> None:
        """Take a score into the memory; the oldest leaves.

        Raises:
            ValueError: not a finite number, which has no place in an order.
        """
        if not math.isfinite(log_prob):
            raise ValueError(f"log_prob={log_prob} is no finite number: only such can be learnt")
        if len(self._recent) == REFERENCE_BEATS:
            del self._sorted[bisect.bisect_left(self._sorted, self._recent[0])]
        self._recent.append(log_prob)
        bisect.insort(self._sorted, log_prob)


class PatientJudge:
    """Decide on each beat of one patient: by its likelihood, and by how early and how unlike the template it is.

    The likelihood knows what beats look like, the template what is usual here; each misses what the other sees. Each
    score is judged against the patient by a `PatientReference` of its own, at its own alpha; a beat is anomalous if
    either says so, and the p-value is the weighted Bonferroni one, so that the stated false-alarm rate is the sum of
    the two alphas (Genovese, Roeder and Wasserman 2006, DOI 10.1093/biomet/93.3.509, with weights fixed beforehand).

    Attributes:
        alpha: p-value under which a beat is anomalous: the stated false-alarm rate.
    """

    def __init__(self, calibration: Calibration) -> None:
        self._likelihood = PatientReference(calibration)
        self._template = None if calibration.template is None else PatientReference(calibration.template)
        self._shares = (calibration.alpha, 0.0 if calibration.template is None else calibration.template.alpha)
        self.alpha = sum(self._shares)

    def judge(self, log_prob: float, template_score: float | None) -> Judgement:
        """Judge one beat, then learn what was not anomalous of it.

        Args:
            log_prob: log p(x), nats.
            template_score: as `Beat.template_score`, higher = more anomalous; None = no template yet: then the
                likelihood judges alone, at its own alpha.
        """
        first = self._likelihood.judge(log_prob)
        p_values, by = [first.p_value / self._shares[0]], ["likelihood"] if first.anomalous else []
        if self._template is not None and template_score is not None:
            second = self._template.judge(-template_score)
            p_values.append(second.p_value / self._shares[1])
            by += ["template"] if second.anomalous else []
        p_value = min(1.0, self.alpha * min(p_values))
        return Judgement(p_value, first.threshold, bool(by), tuple(by))


def calibrate(patients: Iterable[ArrayLike], alpha: float, table: Sequence[float] | None = None) -> Calibration:
    """Calibrate on training patients: their normal beats' log p in order of time.

    Args:
        patients: one (n,) array of log p a patient, nats, n >= 32.
        alpha: wanted share of normal beats called anomalous, 0 to 1.
        table: p-values to tabulate, rising, ending in 1; default is dense in the lower tail.

    Returns:
        The Calibration; every patient weighs the same, however many beats it has.

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
        table = np.concatenate((np.geomspace(1e-4, 0.1, 61), np.linspace(0.11, 1.0, 90))).tolist()
    calibration = Calibration(
        centre=float(np.median(centres)),
        spread=float(np.median(spreads)),
        centre_bounds=_span(centres),
        spread_bounds=_span(spreads),
        z=(-1.0, 0.0),
        p=(alpha, 1.0),  # nothing is anomalous by this table: the first round learns every beat
        alpha=alpha,
    )
    for _ in range(_CALIBRATION_ROUNDS):
        calibration = _tabulated(calibration, scores, table)
    return calibration


def _span(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(values, _BOUNDS)
    return float(low), float(high)


_CALIBRATION_ROUNDS = 3  # what is learnt depends on the table, and the table on what is learnt: it settles in two


def _tabulated(calibration: Calibration, scores: list[NDArray[np.float64]], table: Sequence[float]) -> Calibration:
    """The same calibration with the p-value table that its rule gives; every patient weighs the same."""
    z: list[float] = []
    weights: list[float] = []
    for patient in scores:
        reference = PatientReference(calibration)
        for log_prob in patient.tolist():
            z.append(reference.standardise(log_prob))
            reference.judge(log_prob)
        weights += [1.0 / patient.size] * patient.size
    order = np.argsort(z)
    share = np.cumsum(np.array(weights)[order]) / np.sum(weights)
    at = np.interp(table, share, np.array(z)[order])
    rising = np.maximum.accumulate(at + 1e-6 * np.arange(at.size))  # no two p-values at one score
    return replace(calibration, z=tuple(np.round(rising, 6).tolist()), p=tuple(np.round(np.asarray(table), 8).tolist()))
