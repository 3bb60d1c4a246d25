"""Percentiles of the latency."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.engine.latency import LatencyPercentiles


@given(st.lists(st.floats(0, 1e5), min_size=1, max_size=1100))
def test_percentiles_are_those_of_the_last_thousand_beats(latencies):
    percentiles = LatencyPercentiles()
    for latency in latencies:
        percentiles.put(latency)
    expected = np.quantile(np.array(latencies[-1000:], np.float32), (0.5, 0.99))
    assert percentiles.p50_p99_ms == tuple(round(float(value), 2) for value in expected)


def test_no_percentiles_before_the_first_beat():
    assert LatencyPercentiles().p50_p99_ms == (None, None)
