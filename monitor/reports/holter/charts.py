"""Pictures of a report as inline SVG: charts by hour, mean beats, lines of the full disclosure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.reports.holter.clusters import CUT_OFFSETS_S
from monitor.reports.holter.measures import HourFigures
from monitor.reports.score_trace import round_step
from monitor.reports.svg_text import escaped, svg_text

__all__ = ["WIDTH_MM", "beat_picture", "disclosure_line", "ectopy_chart", "rate_chart"]

WIDTH_MM: Final = 184.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 12.0, 2.0, 3.0, 6.0  # mm around a chart
_HEIGHT: Final = 42.0
_LABELS: Final = 12  # hours with a label, at most
_BEAT_MM: Final = (38.0, 26.0)
_LINE_MM: Final = 9.6
_LINE_LEFT: Final = 11.0
_LINE_MM_PER_MV: Final = 3.0
_GRAIN_MM: Final = 0.02  # of the coordinates of a line: 1,270 dots an inch


def rate_chart(hours: Sequence[HourFigures], name_of: Callable[[int], str]) -> str:
    """Bars from the lowest to the highest heart rate of each hour, with the mean."""
    known = [(n, h) for n, h in enumerate(hours) if h.mean_bpm is not None]
    top = max([100.0, *(h.max_bpm or h.mean_bpm or 0.0 for _, h in known)])
    parts = []
    step, x_of, y_of, axes = _axes(len(hours), top, name_of, [hour.hour for hour in hours])
    for n, hour in known:
        x, wide = x_of(n), min(6.0, step * 0.6)
        low, high = hour.min_bpm or hour.mean_bpm or 0.0, hour.max_bpm or hour.mean_bpm or 0.0
        parts.append(
            f'<rect class="c-range" x="{x - wide / 2:.2f}" y="{y_of(high):.2f}" width="{wide:.2f}" '
            f'height="{max(0.4, y_of(low) - y_of(high)):.2f}"/>'
        )
        mean = y_of(hour.mean_bpm or 0.0)
        parts.append(f'<path class="c-mean" d="M{x - wide / 2:.2f} {mean:.2f}h{wide:.2f}"/>')
    return _picture(WIDTH_MM, _HEIGHT, "heart rate by hour", [*axes, *parts])


def ectopy_chart(hours: Sequence[HourFigures], name_of: Callable[[int], str]) -> str:
    """Stacked bars of anomalous beats by hour: ventricular-looking, early, other."""
    top = max([10.0, *(float(h.ventricular + h.early + h.other) for h in hours)])
    step, x_of, y_of, axes = _axes(len(hours), top, name_of, [hour.hour for hour in hours])
    parts = []
    for n, hour in enumerate(hours):
        x, wide, below = x_of(n), min(6.0, step * 0.6), 0.0
        for count, style in ((hour.ventricular, "c-v"), (hour.early, "c-s"), (hour.other, "c-o")):
            if count:
                y, end = y_of(below + count), y_of(below)
                parts.append(
                    f'<rect class="{style}" x="{x - wide / 2:.2f}" y="{y:.2f}" width="{wide:.2f}" '
                    f'height="{end - y:.2f}"/>'
                )
                below += count
    return _picture(WIDTH_MM, _HEIGHT, "anomalous beats by hour", [*axes, *parts])


def beat_picture(mean_mv: NDArray[np.float64], usual_mv: NDArray[np.float64]) -> str:
    """The mean of a shape over that of the first shape, on paper of 5 mm squares, 25 mm/s; the height fits."""
    width, height = _BEAT_MM
    both = np.concatenate([mean_mv, usual_mv])
    low, high = float(both.min()), float(both.max())
    per_mv = min(10.0, (height - 4.0) / max(high - low, 0.1))
    x = 2.0 + (CUT_OFFSETS_S - CUT_OFFSETS_S[0]) * 45.0

    def path(values: NDArray[np.float64], style: str) -> str:
        y = height / 2 - (values - (low + high) / 2) * per_mv
        points = " ".join(f"{a:.2f} {b:.2f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
        return f'<polyline class="{style}" points="{points}"/>'

    mark = f'<path class="c-axis" d="M{width - 2:g} {height - 1.5:g}v{-per_mv:.2f}"/>'
    label = svg_text(width - 3, height - 2, 2.2, "1 mV", anchor="end")
    return _picture(width, height, "mean beat", [path(usual_mv, "c-usual"), path(mean_mv, "c-beat"), mark, label])


def disclosure_line(
    lowest: NDArray[np.float32], highest: NDArray[np.float32], label: str, marks: Sequence[float]
) -> str:
    """One line of the full disclosure.

    Args:
        lowest, highest: (n,) mV of each column; NaN = no valid sample.
        label: time of its start.
        marks: anomalous beats, 0 to 1 of the line.
    """
    middle = _LINE_MM * 0.55
    dots = "".join(f"M{_LINE_LEFT + at * (WIDTH_MM - _LINE_LEFT):.1f} .2v1" for at in marks)
    place = f'transform="translate({_LINE_LEFT:g} {middle:g}) scale({_GRAIN_MM:g})"'
    parts = [svg_text(0, middle + 0.8, 2.2, label), f'<path class="c-trace" {place} d="{_trace(lowest, highest)}"/>']
    if dots:
        parts.append(f'<path class="c-mark" d="{dots}"/>')
    return _picture(WIDTH_MM, _LINE_MM, "", parts)


def _trace(lowest: NDArray[np.float32], highest: NDArray[np.float32]) -> str:
    """Path of a line in whole `_GRAIN_MM` from its left end: each column from its lowest to its highest value.

    One format for all columns: a day has a million of them.
    """
    known = np.flatnonzero(np.isfinite(lowest))
    if not known.size:
        return ""
    limit = _LINE_MM / 2 / _LINE_MM_PER_MV * 1.15
    unit = _LINE_MM_PER_MV / _GRAIN_MM
    x = np.rint(known * ((WIDTH_MM - _LINE_LEFT) / lowest.size / _GRAIN_MM))
    bottom = np.rint(-unit * np.maximum(lowest[known], -limit))
    top = np.rint(-unit * np.minimum(highest[known], limit))
    opens = np.diff(known, prepend=-2) > 1  # after a gap the line stays open
    from_x = np.where(opens, 0.0, np.concatenate(([0.0], x[:-1])))
    from_y = np.where(opens, 0.0, np.concatenate(([0.0], top[:-1])))
    numbers = np.stack([x - from_x, bottom - from_y, top - bottom], axis=1).astype(np.int64)
    form = "".join(["M%d %dv%d" if first else "l%d %dv%d" for first in opens.tolist()])
    return form % tuple(numbers.ravel().tolist())


def _axes(
    n: int, top: float, name_of: Callable[[int], str], hours: Sequence[int]
) -> tuple[float, Callable[[int], float], Callable[[float], float], list[str]]:
    """Width of a bar's place, position of bar and value, and the drawing of the axes."""
    unit = round_step(top / 4)
    most = unit * np.ceil(top / unit)
    step = (WIDTH_MM - _LEFT - _RIGHT) / n
    room = _HEIGHT - _TOP - _BOTTOM

    def x_of(bar: int) -> float:
        return _LEFT + (bar + 0.5) * step

    def y_of(value: float) -> float:
        return float(_HEIGHT - _BOTTOM - room * value / most)

    parts = []
    for tick in np.arange(0.0, most + unit / 2, unit).tolist():
        parts.append(f'<path class="c-grid" d="M{_LEFT:g} {y_of(tick):.2f}H{WIDTH_MM - _RIGHT:g}"/>')
        parts.append(svg_text(_LEFT - 1.5, y_of(tick) + 0.9, 2.5, f"{tick:g}", anchor="end"))
    every = -(-n // _LABELS)
    parts += [
        svg_text(x_of(bar), _HEIGHT - 1.5, 2.5, name_of(hours[bar]), anchor="middle") for bar in range(0, n, every)
    ]
    return step, x_of, y_of, parts


def _picture(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    name = f' role="img" aria-label="{escaped(title)}"' if title else ""
    size = f'width="{width:g}mm" height="{height:g}mm" viewBox="0 0 {width:g} {height:g}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}{name}>{"".join(parts)}</svg>'
