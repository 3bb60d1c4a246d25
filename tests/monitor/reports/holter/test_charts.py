"""Lines of the full disclosure: every column from its lowest to its highest value, gaps open."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.reports.holter.charts import disclosure_line

LEFT_MM, RIGHT_MM, ZERO_MM, MM_PER_MV = 11.0, 184.0, 5.28, 3.0


def columns(svg: str) -> list[list[tuple[float, float, float]]]:
    """x, lowest and highest y of each column, mm, one list for each open line."""
    left, zero, grain = map(float, re.findall(r"translate\((\S+) (\S+)\) scale\((\S+)\)", svg)[0])
    assert (left, zero) == (LEFT_MM, ZERO_MM)
    found: list[list[tuple[float, float, float]]] = []
    x = y = 0
    (path,) = re.findall(r'class="c-trace"[^>]* d="([^"]*)"', svg)
    for command, a, b, h in re.findall(r"([Ml])(-?\d+) (-?\d+)v(-?\d+)", path):
        if command == "M":
            x = y = 0
            found.append([])
        x, y = x + int(a), y + int(b)
        found[-1].append((left + grain * x, zero + grain * y, zero + grain * (y + int(h))))
        y += int(h)
    return found


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 200), holes=st.floats(0, 1))
def test_a_line_is_its_values_to_a_fiftieth_of_a_millimetre(seed: int, n: int, holes: float) -> None:
    random = np.random.default_rng(seed)
    low = random.normal(0, 0.4, n).astype(np.float32)
    high = low + np.abs(random.normal(0, 0.4, n)).astype(np.float32)
    low[random.random(n) < holes] = np.nan
    known = np.flatnonzero(np.isfinite(low))
    lines = columns(disclosure_line(low, high, "0:00", ()))
    drawn = np.array([column for line in lines for column in line]).reshape(-1, 3)
    assert len(drawn) == known.size
    assert len(lines) == np.count_nonzero(np.diff(known, prepend=-2) > 1), "a gap is open"
    at = LEFT_MM + known * (RIGHT_MM - LEFT_MM) / n
    for ours, theirs in zip(
        drawn.T, (at, ZERO_MM - MM_PER_MV * low[known], ZERO_MM - MM_PER_MV * high[known]), strict=True
    ):
        inside = np.abs(theirs - ZERO_MM) < 5 if theirs is not at else np.ones(known.size, np.bool_)
        assert ours[inside] == pytest.approx(theirs[inside], abs=0.011)


def test_a_line_without_signal_is_empty() -> None:
    nothing = np.full(720, np.nan, np.float32)
    assert columns(disclosure_line(nothing, nothing, "0:00", ())) == []
