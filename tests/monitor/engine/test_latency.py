"""Percentiles of the latency."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.engine.latency import LatencyPercentiles, ReplayPace


@given(st.lists(st.floats(0, 1e5), min_size=1, max_size=1100))
def test_percentiles_are_those_of_the_last_thousand_beats(latencies):
    percentiles = LatencyPercentiles()
    for latency in latencies:
        percentiles.put(latency)
    expected = np.quantile(np.array(latencies[-1000:], np.float32), (0.5, 0.99))
    assert percentiles.p50_p99_ms == tuple(round(float(value), 2) for value in expected)


def test_no_percentiles_before_the_first_beat():
    assert LatencyPercentiles().p50_p99_ms == (None, None)


def test_a_replay_is_read_again_when_a_full_second_can_be_decided() -> None:
    """A QRS at its end waits for 60 ms more: without them, each of its alarms would come a whole second late."""
    pace = ReplayPace(250.0, 1.0, lambda: 100.0)
    pace.start(100.0)
    assert [round(pace.next_due_s(n) - 100.0, 3) for n in (15, 249, 250, 264, 265, 500, 515)] == [
        1.06, 1.06, 1.06, 1.06, 2.06, 2.06, 3.06,
    ]  # fmt: skip
