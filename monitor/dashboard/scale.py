"""Vertical scale of the waveform: standard steps, changed only when needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["VerticalScale", "axis_ticks", "fit_scale"]

# mV from the middle to an edge. At least 0.5 mV, so that noise on a flat line does not look like a rhythm.
HALF_STEPS_MV = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 50.0, 100.0, 200.0, 500.0)
MARGIN = 1.12  # room above the tallest wave
SHRINK_BELOW = 0.55  # a smaller step is taken if the whole buffer uses less than this share of the plot
OUTLIER_RATIO = 4.0  # a motion artefact beyond 4 usual amplitudes is clipped instead of flattening the beats
_BLOCKS = 12


@dataclass(frozen=True, slots=True)
class VerticalScale:
    """Range of the plot: `centre_mv` plus and minus `half_mv`, mV."""

    centre_mv: float = 0.0
    half_mv: float = 1.0

    @property
    def low_mv(self) -> float:
        """Value at the bottom, mV."""
        return self.centre_mv - self.half_mv

    @property
    def high_mv(self) -> float:
        """Value at the top, mV."""
        return self.centre_mv + self.half_mv


def fit_scale(values: NDArray[np.float32], current: VerticalScale) -> VerticalScale:
    """The scale for (n,) mV, NaN = no sample: `current`, unless the signal is clipped or uses too little of it."""
    finite = values[np.isfinite(values)]
    if len(finite) < _BLOCKS:
        return current
    middle = float(np.median(finite))
    blocks = finite[: len(finite) // _BLOCKS * _BLOCKS].reshape(_BLOCKS, -1)
    usual_up = float(np.median(blocks.max(axis=1))) - middle
    usual_down = middle - float(np.median(blocks.min(axis=1)))
    limit = OUTLIER_RATIO * max(usual_up, usual_down)
    high = middle + min(float(finite.max()) - middle, limit)
    low = middle - min(middle - float(finite.min()), limit)
    needed = (high - low) / 2
    fits = low >= current.low_mv and high <= current.high_mv
    if fits and (needed >= SHRINK_BELOW * current.half_mv or current.half_mv == HALF_STEPS_MV[0]):
        return current
    half = next((step for step in HALF_STEPS_MV if step >= needed * MARGIN), HALF_STEPS_MV[-1])
    grain = half / 10
    centre = round((high + low) / 2 / grain) * grain
    if half == current.half_mv and fits:
        return current
    return VerticalScale(centre, half)


def axis_ticks(low: float, high: float, most: int) -> list[float]:
    """Ticks from low to high, spaced 1, 2 or 5 times a power of ten, at most about `most`.

    Returns:
        Ticks in rising order; their unit is that of `low` and `high`.
    """
    span = high - low
    if not span > 0 or most < 1:
        return []
    raw = span / most
    power = 10.0 ** np.floor(np.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    first = int(np.ceil(low / step - 1e-9))
    last = int(np.floor(high / step + 1e-9))
    return [float(k * step) for k in range(first, last + 1)]
