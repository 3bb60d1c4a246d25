"""Percentiles of the latency."""

from __future__ import annotations

import numpy as np
import pytest
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


@pytest.mark.parametrize(
    ("sample", "held", "due_s"),
    [
        (15, 0, 1.0), (249, 0, 1.0), (250, 0, 2.0), (260, 0, 2.0), (260, 10, 2.0), (500, 0, 3.0),
        (249, 5, 1.0), (250, 1, 1.06), (264, 15, 1.06), (265, 16, 2.0), (515, 20, 3.0), (510, 11, 2.06),
    ],
)  # fmt: skip
def test_a_replay_is_read_when_a_full_second_can_be_decided(sample: int, held: int, due_s: float) -> None:
    """If its end is held as a part of a pulse, again 60 ms later: else each of its alarms would come a second late."""
    pace = ReplayPace(250.0, 1.0, lambda: 100.0)
    pace.start(100.0)
    assert pace.next_due_s(sample, held) - 100.0 == pytest.approx(due_s)
