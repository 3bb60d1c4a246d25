"""Anomaly scores of a strip's beats under the ECG, on the same time axis, as SVG elements."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from monitor.reports.marked_beats import MarkedBeat
from monitor.reports.svg_text import svg_text

__all__ = ["draw_scores", "round_step"]


def draw_scores(
    beats: Sequence[MarkedBeat], x_of: Callable[[int], float], left: float, right: float, top: float, bottom: float,
    within: str = "",
) -> list[str]:  # fmt: skip
    """Draw one stem per scored beat, and the threshold as a dashed line; edges and `x_of` (a source sample) in mm.

    `within` is the beginning of its ids, as of a `StripPicture`.
    """
    out = [f'<path class="axis" d="M{left:g} {top:g}V{bottom:g}"/>']
    scored = [beat for beat in beats if beat.score is not None and math.isfinite(beat.score)]
    limits = [beat for beat in scored if beat.threshold is not None and math.isfinite(beat.threshold)]
    if not scored:
        text = svg_text((left + right) / 2, (top + bottom) / 2, 3.0, "no beat was scored", anchor="middle")
        return [*out, text]
    values = [beat.score or 0.0 for beat in scored] + [beat.threshold or 0.0 for beat in limits]
    low, high = min(0.0, *values), max(1.0, *values) * 1.08
    scale = (bottom - top) / (high - low)

    def y_of(value: float) -> float:
        return bottom - (value - low) * scale

    out.append(f'<path class="axis" d="M{left:g} {y_of(0.0):.2f}H{right:g}"/>')
    step = round_step((high - low) / 4)
    for n in range(math.ceil(low / step), math.floor(high / step) + 1):
        out.append(f'<path class="axis" d="M{left:g} {y_of(n * step):.2f}h-1.2"/>')
        out.append(svg_text(left - 2, y_of(n * step) + 0.9, 2.4, f"{n * step:g}", anchor="end"))
    if limits:
        d = f"M{left:g} {y_of(limits[0].threshold or 0.0):.3f}"
        d += "".join(f"H{x_of(b.r_sample):.3f}V{y_of(b.threshold or 0.0):.3f}" for b in limits) + f"H{right:g}"
        out.append(f'<path id="{within}threshold" class="limit" d="{d}"/>')
    last = f"; dashed: threshold for anomalous ({limits[-1].threshold:.1f})" if limits else ""
    out.append(svg_text(left, top - 1.5, 2.6, f"anomaly score of each beat{last}"))
    for beat in scored:
        x, y, odd = x_of(beat.r_sample), y_of(beat.score or 0.0), " odd" if beat.anomalous else ""
        out.append(f'<path class="stem{odd}" d="M{x:.3f} {y_of(0.0):.3f}V{y:.3f}"/>')
        out.append(f'<circle class="{"odd" if odd else "usual"}" cx="{x:.3f}" cy="{y:.3f}" r=".8"/>')
    return out


def round_step(step: float) -> float:
    """The next larger value among 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= step)
