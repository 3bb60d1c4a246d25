"""The ring of recent signal against a plain array of all samples."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.engine.signal_history import SignalHistory

pieces = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 40)), max_size=25)  # (samples missing before, samples)


@given(capacity=st.integers(1, 50), start=st.sampled_from((0, 7, 10**12)), pieces=pieces, data=st.data())
def test_the_ring_holds_exactly_the_newest_samples(
    capacity: int, start: int, pieces: list[tuple[int, int]], data: st.DataObject
) -> None:
    history = SignalHistory(capacity)
    everything = np.full((2, sum(map(sum, pieces))), np.nan, np.float32)  # from `start` on
    at = 0
    for lost, n in pieces:
        if n == 0:
            history.put(start + at, np.empty(0), np.empty(0)) if at else None
            continue
        at += lost
        raw = np.arange(at, at + n, dtype=np.float64) + 1
        history.put(start + at, raw, -raw)
        everything[:, at : at + n] = (raw, -raw)
        at += n
    assert history.end == (start + at if at else 0)
    first = data.draw(st.integers(start - 60, start + at + 60))
    n = data.draw(st.integers(0, 120))
    got = history.get(first, n)
    assert got.shape == (2, n)
    assert got.dtype == np.float32
    for column in range(n):
        index = first + column - start
        if max(0, at - capacity) <= index < at:
            np.testing.assert_array_equal(got[:, column], everything[:, index])
        else:
            assert np.isnan(got[:, column]).all()


def test_a_gap_of_years_is_handled_at_once() -> None:
    history = SignalHistory(4)
    history.put(0, np.ones(4), np.ones(4))
    history.put(10**15, np.ones(1), np.ones(1))
    np.testing.assert_array_equal(history.get(10**15 - 3, 5)[0], [np.nan, np.nan, np.nan, 1, np.nan])
    for outside in (-(10**18), 10**18):
        assert np.isnan(history.get(outside, 3)).all()
