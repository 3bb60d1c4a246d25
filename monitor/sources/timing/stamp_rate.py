"""Sampling rate of stamped samples: regular stamps, jitter, stamps of packets, pauses. Pure."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.sources.timing.arrival_line import USUAL_HZ
from monitor.sources.timing.stamp_clock import FOLLOW_S, HOLD_S, LATE_S, StampClock

__all__ = ["StampRate", "measure_stamps", "rough_rate", "snap", "thin"]

Floats = NDArray[np.float64]

_REGULAR = 0.7  # share of steps that are one period where stamps are regular but for losses
_CAUGHT_UP = 0.002  # share of steps that are too short, above which stamps are late at times
_SNAP_LATE = 0.005  # a usual rate this near is taken where stamps are late at times: clocks of hosts drift
_JITTER = 1.3  # spread of the errors, in decreases of the lateness, that jitter alone has
_SHORT_WINDOW = 16  # stamps
_WINDOWS = 20
_ROWS_MAX = 20_000
_NEXT_STAMPS = 8  # within which a late program has caught up
_RESOLUTIONS = (1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5, 1e-6)


class StampRate(NamedTuple):
    """Rate and quality of stamps.

    Attributes:
        fs_hz: sampling rate, Hz; a usual one where one is near.
        clock_hz: sampling rate by the clock of the stamps, Hz; for the StampClock.
        exact: stamps are regular but for losses; else they are late at times.
        late_s, hold_s: of the StampClock for such stamps, s.
        jitter_s: of the stamps, s.
        packets: several samples have one stamp.
    """

    fs_hz: float
    clock_hz: float
    exact: bool
    late_s: float
    hold_s: float
    jitter_s: float
    packets: bool = False


def thin(stamps: Floats, last: float | None = None) -> Floats:
    """Keep the first stamp of each run of equal ones: a packet has one stamp; the others become NaN.

    Args:
        stamps: (n,) s; NaN = none.
        last: the last finite stamp before them.
    """
    kept = stamps.copy()
    finite = np.flatnonzero(np.isfinite(stamps))
    before = np.concatenate(([math.nan if last is None else last], stamps[finite][:-1]))
    kept[finite[stamps[finite] == before]] = np.nan
    return kept


def measure_stamps(stamps: Floats, fs_hz: float | None = None) -> StampRate | None:
    """Measure the rate of samples from their stamps.

    Args:
        stamps: (n,) s, of each sample, in order; NaN = none. In runs of equal stamps the first one counts.
        fs_hz: rate that is known otherwise, Hz; taken where the stamps agree as far as they can show.

    Returns:
        None where fewer than three stamps advance.
    """
    stamps = stamps[:_ROWS_MAX]
    kept = thin(stamps)
    equal = int(np.isnan(kept).sum() - np.isnan(stamps).sum())
    packets = equal > 0
    rows = np.flatnonzero(np.isfinite(kept))
    if packets and rows.size > 3:
        rows = rows[1:]  # the table may begin within a packet
    times = kept[rows]
    rising = np.flatnonzero(np.diff(times) > 0)
    if rising.size < 2:
        return None
    resolution_s = _resolution(times)
    rate = None if equal > _CAUGHT_UP * stamps.size else _regular(times, rows, resolution_s)
    rate = rate or _late(kept, times, rows, resolution_s)
    if rate is None:
        return None
    # An error of the rate lets the clock of the samples run late or early by its share of FOLLOW_S.
    span_s = float(times[-1] - times[0]) if times[-1] > times[0] else 1.0
    error = min(0.1, rate.jitter_s / span_s * (1.0 if rate.exact else min(1.0, 4 / math.sqrt(times.size))))
    late_s = min(LATE_S, rate.late_s + 2 * FOLLOW_S * error)
    if fs_hz is not None and abs(rate.clock_hz / fs_hz - 1.0) <= max(1.5 * error, 1.5 * resolution_s / span_s, 1e-4):
        rate = rate._replace(clock_hz=fs_hz)
    return rate._replace(packets=packets, late_s=late_s)


def rough_rate(stamps: Floats) -> float:
    """Samples in one unit of the stamps, within some percent; 0 where they do not advance."""
    known = np.flatnonzero(np.isfinite(stamps[:_ROWS_MAX]))
    if known.size < 3:
        return 0.0
    apart = max(1, known.size // 10)
    spans, lengths = stamps[known[apart:]] - stamps[known[:-apart]], known[apart:] - known[:-apart]
    rates = lengths[spans > 0] / spans[spans > 0]
    return float(np.median(rates)) if rates.size else 0.0


def snap(fs_hz: float, tolerance: float) -> float:
    """A usual or whole rate where one is near, else the rate itself."""
    nearest = min((*USUAL_HZ, 130.0), key=lambda usual: abs(usual / fs_hz - 1.0))
    if abs(nearest / fs_hz - 1.0) <= tolerance:
        return float(nearest)
    whole = round(fs_hz)
    return float(whole) if whole and abs(whole / fs_hz - 1.0) <= 0.2 * tolerance else fs_hz


def _resolution(times: Floats) -> float:
    """Step of the clock that made the stamps, s."""
    since = times - times[0]
    since = since[np.abs(since) < 1e7]
    return next((step for step in _RESOLUTIONS if np.all(np.abs(since / step - np.rint(since / step)) < 1e-2)), 0.0)


def _regular(times: Floats, rows: NDArray[np.int64], resolution_s: float) -> StampRate | None:
    """Stamps of which most steps are one period and nearly none is shorter; None for others."""
    steps = np.diff(times)[np.diff(rows) == 1]
    if steps.size < 2 or (rows[-1] - rows[0]) > 1.5 * rows.size:
        return None
    middle = float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.0
    rounding_s = 1.01 * resolution_s + 0.02 * middle
    near = np.abs(steps - middle) <= rounding_s
    early = (steps < middle - rounding_s) & (steps > -LATE_S)
    if middle <= 0 or near.mean() < _REGULAR or early.mean() > _CAUGHT_UP:
        return None
    regular = steps[near]
    period_s = float(regular.mean())
    fs_hz = snap(1 / period_s, min(_SNAP_LATE, max(1e-6, 1.5 * resolution_s / (period_s * steps.size))))
    jitter_s = min(2 * resolution_s, float(np.abs(regular - 1 / fs_hz).max()))
    return StampRate(fs_hz, fs_hz, True, min(LATE_S, 0.6 / fs_hz + jitter_s), min(HOLD_S, 8 / fs_hz), jitter_s)


def _late(kept: Floats, times: Floats, rows: NDArray[np.int64], resolution_s: float) -> StampRate | None:
    """Stamps that are late at times: a line through all samples, else through the samples placed by their stamps."""
    slope, offset = np.polyfit(rows, times, 1)
    errors = times - (offset + slope * rows)
    caught_up_s = _caught_up(errors)
    if slope > 0 and _spread(errors) <= min(2 * LATE_S, _JITTER * caught_up_s):  # jitter alone, no loss
        late_s = min(LATE_S, 0.5 * float(slope) + 1.5 * caught_up_s + resolution_s)
        return StampRate(snap(1 / float(slope), _SNAP_LATE), 1 / float(slope), False, late_s, HOLD_S, late_s)
    # Losses hide in long windows, jitter in short ones: the rate that leaves the smaller errors is the right one.
    found = [
        placed
        for length in (_SHORT_WINDOW, max(2, times.size // _WINDOWS))
        if (placed := _placed(kept, times, rows, resolution_s, length)) is not None
    ]
    return min(found)[1] if found else None


def _placed(
    kept: Floats, times: Floats, rows: NDArray[np.int64], resolution_s: float, length: int
) -> tuple[float, StampRate] | None:
    """The median rate of windows of `length` stamps, refined by a line through the samples it places: error, rate."""
    edges = np.arange(0, times.size, length)
    spans, lengths = np.diff(times[edges]), np.diff(rows[edges])
    rates = lengths[spans > 0] / spans[spans > 0]
    if not rates.size:
        return None
    fs_hz, late_s = float(np.median(rates)), LATE_S
    errors = np.zeros(1)
    for _ in range(3):
        lateness = times - rows / fs_hz
        sane = np.abs(lateness - np.median(lateness)) < 1e6
        late_s = min(LATE_S, 0.5 / fs_hz + 1.5 * _caught_up(lateness[sane]) + resolution_s)
        clock = StampClock(fs_hz, late_s)
        runs = clock.push(np.arange(kept.size, dtype=np.float64), kept) + clock.flush()
        places = np.zeros(kept.size)
        for first, run in runs:
            places[run.astype(np.int64)] = np.arange(first, first + run.size)
        at = places[rows]
        if sane.sum() < 3 or np.ptp(at[sane]) == 0:
            return None
        slope, offset = np.polyfit(at[sane], times[sane], 1)
        errors = times[sane] - (offset + slope * at[sane])
        near = np.abs(errors) <= 3 * LATE_S
        if near.sum() >= 3:
            slope, offset = np.polyfit(at[sane][near], times[sane][near], 1)
        if not 0.5 < slope * fs_hz < 2.0:
            break
        fs_hz = 1 / float(slope)
    return _spread(errors), StampRate(snap(fs_hz, _SNAP_LATE), fs_hz, False, late_s, HOLD_S, late_s)


def _spread(errors: Floats) -> float:
    return float(np.quantile(errors, 0.999) - np.quantile(errors, 0.001))


def _caught_up(lateness: Floats) -> float:
    """Largest usual decrease of the lateness within some stamps, s: the jitter, without losses."""
    if lateness.size <= _NEXT_STAMPS:
        return float(np.ptp(lateness)) if lateness.size else 0.0
    after = np.lib.stride_tricks.sliding_window_view(lateness[1:], _NEXT_STAMPS).min(axis=1)
    return max(0.0, float(np.quantile(lateness[: after.size] - after, 0.999)))
