"""Vertical scale of the waveform: standard steps, changed only when needed."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["VerticalScale", "even_axis", "fit_scale", "tick_label"]

# mV from the middle to an edge. At least 0.5 mV, so that noise on a flat line does not look like a rhythm.
HALF_STEPS_MV = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 50.0, 100.0, 200.0, 500.0)
MARGIN = 1.12  # room above the tallest wave
SHRINK_BELOW = 0.55  # a smaller step is taken if the whole buffer uses less than this share of the plot
OUTLIER_RATIO = 4.0  # a motion artefact beyond 4 usual amplitudes is clipped instead of flattening the beats
MIN_TICK_ROWS = 9  # a lower plot may have a tick in every row
USUAL_TICK_ROWS = 3
ROW_COST = 0.04  # growth of the range that one row nearer to the usual distance of ticks is worth
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


def even_axis(scale: VerticalScale, rows: int) -> tuple[VerticalScale, dict[int, float]]:
    """A scale that holds `scale` and whose ticks are the same whole number of rows apart.

    Ticks are multiples of 1, 2, 2.5 or 5 times a power of ten. From 6 rows on the range grows by half at most.

    Args:
        scale: the range to show.
        rows: height of the plot, at least 1; each row has four levels, see `braille.quantise`.

    Returns:
        The scale, and row (0 = top) -> value of its tick, mV.
    """
    levels = 4 * rows
    least = 2 * scale.half_mv / (levels - 1)  # mV from level to level
    choices = []
    for apart in range(1 if rows < MIN_TICK_ROWS else 2, max(2, rows // 2) + 1):  # rows from tick to tick
        step = _round_up(4 * apart * least)
        growth = step / (4 * apart * least)
        choices.append((growth + ROW_COST * abs(apart - USUAL_TICK_ROWS), apart, step))
    _, apart, step = min(choices)
    level_mv = step / (4 * apart)
    zero = round((levels - 1) / 2 - scale.centre_mv / level_mv)  # level of 0 mV; may be outside the plot
    low, high = -zero * level_mv, (levels - 1 - zero) * level_mv
    numbers = range(-(zero // (4 * apart)), (levels - 1 - zero) // (4 * apart) + 1)
    ticks = {rows - 1 - (zero + 4 * apart * number) // 4: number * step for number in numbers}
    return VerticalScale((low + high) / 2, (high - low) / 2), ticks


def tick_label(value: float, ticks: Collection[float]) -> str:
    """A tick with its sign and the decimals that its neighbours need, at most 5 characters up to 999 mV.

    >>> tick_label(0.5, [0.0, 0.5]), tick_label(0.0, [0.0, 0.25]), tick_label(-200.0, [-200.0, 0.0])
    ('+0.5', '0.00', '-200')
    """
    decimals = next(digits for digits in range(4) if digits == 3 or all(_is_whole(t * 10**digits) for t in ticks))
    if max(map(abs, ticks), default=0.0) < 10:
        decimals = max(1, decimals)
    text = f"{value:+.{decimals}f}"
    return text[1:] if float(text) == 0 else text


def _is_whole(value: float) -> bool:
    return abs(value - round(value)) < 1e-6


def _round_up(value: float) -> float:
    """The next 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= value * (1 - 1e-9))
