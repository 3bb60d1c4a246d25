"""Beats as sums of Gaussian waves, and the times at which hearts beat.

An examiner's own signal: shapes and rhythms are drawn independently of those of `monitor.sources.simulated`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from clinical_rows.cases import Draw

Floats = NDArray[np.float64]
Waves = tuple[tuple[float, float, float], ...]
"""Height in mV, time from the R-peak in s, standard deviation in s, of each wave."""

_QRS_MS: Final = 90.0  # duration of the narrow QRS below, to 5 % of its outer waves
_WIDE_MS: Final = 155.0  # of the wide one


@dataclass(frozen=True)
class Heart:
    """Shape of a patient's usual beat.

    Attributes:
        mv: QRS complex, peak to peak, mV.
        p, t: heights of P and T wave, in R heights; t under 0 is inverted.
        q, s: depths of Q and S wave, in R heights.
        qrs_ms: QRS duration, ms.
        pr_s: from the P wave's middle to the R-peak, s.
        wide: of two humps, as in a bundle branch block.
        notch: from 0, the two are nearly one, to 1, there is a notch between them.
        t_sigma_s: standard deviation of the T wave at 60 bpm, s.
        t_s: from the R-peak to the T wave at 60 bpm, s.
        polarity: 1 or -1.
    """

    mv: float = 1.2
    p: float = 0.12
    t: float = 0.25
    q: float = 0.08
    s: float = 0.2
    qrs_ms: float = _QRS_MS
    pr_s: float = 0.16
    wide: bool = False
    notch: float = 1.0
    t_sigma_s: float = 0.045
    t_s: float = 0.28
    polarity: int = 1

    @property
    def r_mv(self) -> float:
        """Height of the R wave, mV."""
        return self.mv / (1.0 if self.wide else 1.0 + max(self.q, self.s))

    def qrs(self) -> Waves:
        """QRS complex."""
        r = self.r_mv * self.polarity
        if self.wide:
            k = self.qrs_ms / _WIDE_MS
            near, broad = 1 - 0.6 * (1 - self.notch), 0.008 * (1 - self.notch)
            both = ((-0.024 * near * k, (0.019 + broad) * k), (0.034 * near * k, (0.021 + broad) * k))
            grid = np.linspace(-0.1, 0.1, 201)
            top = float(np.sum([np.exp(-0.5 * ((grid - at) / sigma) ** 2) for at, sigma in both], axis=0).max())
            return tuple((r / top, at, sigma) for at, sigma in both)
        k = self.qrs_ms / _QRS_MS
        return (
            (-self.q * r, -0.026 * k, 0.0075 * k),
            (r, 0.0, 0.0105 * k),
            (-self.s * r, 0.027 * k, 0.0085 * k),
        )

    def t_wave(self, rr_s: float) -> Waves:
        """T wave at this RR interval; QT follows Bazett."""
        k, late_s = np.sqrt(min(rr_s, 1.3)), max(0.0, (self.qrs_ms - _QRS_MS) / 2000)
        return ((self.t * self.r_mv * self.polarity, self.t_s * k + late_s, self.t_sigma_s * k),)

    def p_wave(self) -> Waves:
        """P wave, as if its QRS complex came `pr_s` later."""
        height = self.p * self.r_mv * self.polarity
        return ((0.6 * height, -self.pr_s - 0.014, 0.017), (0.6 * height, -self.pr_s + 0.014, 0.017))

    def beat(self, rr_s: float = 0.8) -> Waves:
        """A whole beat; above 170 bpm without a P wave, which lies in the T wave."""
        p = self.p_wave() if rr_s > 60 / 170 else ()
        return (*p, *self.qrs(), *self.t_wave(rr_s))

    def ventricular(self, mv: float, qrs_ms: float = 150.0, t: float = -0.35) -> Heart:
        """A ventricular beat of this patient: no P wave, wide, discordant T wave."""
        return replace(
            self, mv=mv, p=0.0, t=t, qrs_ms=qrs_ms, wide=True, t_s=0.32, t_sigma_s=0.06, polarity=-self.polarity
        )


def drawn_heart(draw: Draw, *, mv: tuple[float, float] = (0.6, 2.5), qrs_ms: tuple[float, float] = (75, 105)) -> Heart:
    """A normal patient."""
    return Heart(
        mv=draw.spread(*mv, log=True),
        p=draw.spread(0.06, 0.16),
        t=draw.spread(0.12, 0.38),
        q=draw.spread(0.03, 0.15),
        s=draw.spread(0.08, 0.55),
        qrs_ms=draw.spread(*qrs_ms),
        pr_s=draw.spread(0.14, 0.18),
        polarity=draw.pick((1, -1)),
        notch=draw.spread(0.2, 1.0),
    )


def times(
    since_s: float, until_s: float, bpm: float, rng: np.random.Generator, *, breath: float = 0.02, jitter: float = 0.006
) -> list[float]:
    """Beats from `since_s` on, before `until_s`: a regular rhythm with respiratory arrhythmia of this share of RR."""
    at, found, phase = since_s, [], rng.uniform(0, 2 * np.pi)
    while at < until_s:
        found.append(at)
        swing = breath * np.sin(2 * np.pi * 0.23 * at + phase) + jitter * rng.standard_normal()
        at += 60 / bpm * (1 + swing)
    return found


def irregular_times(
    since_s: float, until_s: float, bpm: float, rng: np.random.Generator, *, spread: float = 0.22
) -> list[float]:
    """Beats of atrial fibrillation: independent log-normal RR intervals, 0.26 to 2.2 s."""
    at, found = since_s, []
    while at < until_s:
        found.append(at)
        at += float(np.clip(60 / bpm * np.exp(spread * rng.standard_normal() - spread**2 / 2), 0.26, 2.2))
    return found
