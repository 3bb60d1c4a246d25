"""Calibration pulses and test signals of a device: squares, triangles and slow sines, which no heart makes.

A square steps up and down by the same height with flat or slowly falling levels of 0.1 s and more between the steps;
the flanks of a QRS complex lie closer. A triangle has two slopes. A sine is recognised under 1.6 Hz only, where
ventricular flutter is not. All are sought in raw samples and have hardly any noise. Chosen on synthetic signals; DS1,
the odd records of cudb and the noises of nstdb have none.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["LONG_S", "SHORT_S", "is_device_signal"]

Floats = NDArray[np.float64]

LONG_S: Final = 4.0  # stretches that are tried: slow pulses need the long one, the first seconds the short one
SHORT_S: Final = 2.0
_LEAST_MV = 0.1
_STEP_S = 0.02
_RISE_S = 0.05  # longest step: rise of an input with 40 Hz, and the time over which steps are measured
_LEVEL_S = 0.075  # between the middles of two steps, shortest pulse 0.1 s; flanks of a QRS this steep lie closer
_MOST_UPS_HZ = 2.3  # flutter that clips is faster
# Steps of 85 % within 12 ms and exact periods are no flutter either, and QRS complexes are not this steep: then squares
# of up to 4 Hz, and shorter pulses.
_SHARP, _SHARP_S = 0.85, 0.012
_SHARP_LEVEL_S, _SHARP_UPS_HZ = 0.036, 4.4
_PERIOD = 0.01  # deviation of a period from the others
_EQUAL = 0.15  # deviation of a step or slope from the others
_REST = 0.2  # of a step: largest change in the same time elsewhere
_LEVEL = 0.1  # of a step: rise and fall within a level
_BLOCK_S = 0.04
_SLOPE_S = 0.08
_STRAIGHT = 0.85  # share of the time on one of the two slopes; the corners have the rest
_CORNER_S = 0.25
_REGULAR = 0.1
_SINE_HZ = (0.4, 1.6)
_SINE_S = 0.1
_SINE_ERROR = 0.03


def is_device_signal(samples: Floats, fs_hz: float) -> bool:
    """Whether a stretch of signal is a square, triangle or slow sine of a device.

    Args:
        samples: (n,) raw, finite, mV, without a gap.
        fs_hz: sampling rate, Hz.
    """
    if samples.size < math.floor(SHORT_S * fs_hz) or not float(np.ptp(samples)) >= _LEAST_MV:
        return False
    return _is_square(samples, fs_hz) or _is_triangle(samples, fs_hz) or _is_sine(samples, fs_hz)


def _is_square(samples: Floats, fs_hz: float) -> bool:
    lag = max(1, round(_STEP_S * fs_hz))
    changes = samples[lag:] - samples[:-lag]
    height = float(np.abs(changes).max())
    steep = np.flatnonzero(np.abs(changes) > 0.5 * height)
    apart = (np.diff(steep) > 1) | (np.diff(np.sign(changes[steep])) != 0)
    steps = np.split(steep, np.flatnonzero(apart) + 1)
    if len(steps) < 2 or max(step.size for step in steps) > _RISE_S * fs_hz:
        return False
    whole = [step for step in steps if step[0] >= lag and step[-1] + lag < changes.size]  # others are cut off
    middles = np.array([step.mean() for step in whole])
    heights = np.array([changes[step[np.abs(changes[step]).argmax()]] for step in whole])
    if len(whole) < 2 or (np.sign(heights[1:]) == np.sign(heights[:-1])).any():
        return False
    ups = np.diff(middles[heights > 0])
    level_s, most_hz = _LEVEL_S, _MOST_UPS_HZ
    if _are_sharp(samples, whole, heights, fs_hz) and (ups.size < 2 or np.ptp(ups) <= 2.0 + _PERIOD * ups.max()):
        level_s, most_hz = _SHARP_LEVEL_S, _SHARP_UPS_HZ
    if np.diff(middles).min() < level_s * fs_hz or (ups.size and ups.min() * most_hz < fs_hz):
        return False
    if np.ptp(np.abs(heights)) > 2 * _EQUAL * height:
        return False
    edges = [edge for step in steps for edge in (int(step[0]) - lag, int(step[-1]) + 2 * lag)]
    edges = [2 * lag, *edges, samples.size - 2 * lag]  # the begin of a step may lie at either end
    levels = [samples[max(0, low) : max(0, high)] for low, high in zip(edges[::2], edges[1::2], strict=True)]
    return all(_is_level(level, height, fs_hz) for level in levels if level.size > lag)


def _are_sharp(samples: Floats, steps: list[NDArray[np.intp]], heights: Floats, fs_hz: float) -> bool:
    """Whether nearly all of each step happens at once."""
    short, reach = max(1, math.floor(_SHARP_S * fs_hz)), round(_STEP_S * fs_hz) + 1
    for step, height in zip(steps, heights.tolist(), strict=True):
        near = samples[max(0, int(step[0]) - short) : int(step[-1]) + reach + short + 1]
        if float(np.abs(near[short:] - near[:-short]).max()) < _SHARP * abs(height):
            return False
    return True


def _is_level(level: Floats, height: float, fs_hz: float) -> bool:
    """Whether a stretch between two steps is flat, or falls or rises all the time."""
    lag = max(1, round(_STEP_S * fs_hz))
    if float(np.abs(level[lag:] - level[:-lag]).max()) > _REST * height:
        return False
    block = max(1, round(_BLOCK_S * fs_hz))
    means = level[: level.size // block * block].reshape(-1, block).mean(axis=1)
    if means.size < 2:
        return True
    rise = float((means - np.minimum.accumulate(means)).max())
    fall = float((np.maximum.accumulate(means) - means).max())
    return min(rise, fall) <= _LEVEL * height


def _is_triangle(samples: Floats, fs_hz: float) -> bool:
    lag = round(_SLOPE_S * fs_hz)
    changes = samples[lag:] - samples[:-lag]
    slope = float(np.median(np.abs(changes)))
    straight = np.abs(np.abs(changes) - slope) < _EQUAL * slope
    if not slope > 0 or np.count_nonzero(straight) < _STRAIGHT * straight.size:
        return False
    corners = np.flatnonzero(np.diff(np.sign(changes[straight]))) + 1
    sides = np.diff(np.flatnonzero(straight)[corners])
    return bool(sides.size >= 2 and sides.min() >= _CORNER_S * fs_hz and np.ptp(sides) <= _REGULAR * sides.max())


def _is_sine(samples: Floats, fs_hz: float) -> bool:
    """By the recurrence x(t + a) + x(t - a) = 2 cos(2 pi f a) x(t) of a sine of frequency f around its mean."""
    lag = round(_SINE_S * fs_hz)
    outer, inner = samples[2 * lag :] + samples[: -2 * lag], samples[lag:-lag]
    outer, inner = outer - outer.mean(), inner - inner.mean()
    power = float(inner @ inner)
    if not power > 0:  # flat but for its ends
        return False
    factor = float(outer @ inner) / power
    frequency_hz = math.acos(min(1.0, max(-1.0, factor / 2))) / (2 * math.pi * _SINE_S)
    if not _SINE_HZ[0] <= frequency_hz <= _SINE_HZ[1] or samples.size * frequency_hz < 1.9 * fs_hz:
        return False
    error = outer - factor * inner
    return float(error @ error) <= _SINE_ERROR**2 * power
