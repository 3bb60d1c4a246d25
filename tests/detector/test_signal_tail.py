"""The buffer of the last seconds: what it holds is what came last, however it came."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detector.tail import SignalTail


@given(
    keep=st.integers(1, 50),
    pieces=st.lists(st.tuples(st.integers(0, 200), st.booleans()), max_size=30),
)
def test_it_holds_what_came_last_and_counts_what_it_forgot(keep: int, pieces: list[tuple[int, bool]]) -> None:
    tail, came, first = SignalTail(keep), np.empty(0), 0
    for n, forgets in pieces:
        piece = np.arange(came.size, came.size + n, dtype=np.float64)
        came = np.concatenate((came, piece))
        tail.append(piece, -piece)
        if forgets:
            first += tail.forget()
            assert tail.raw.size == min(keep, came.size - first + tail.forget())
        np.testing.assert_array_equal(tail.raw, came[first:])
        np.testing.assert_array_equal(tail.filtered, -came[first:])
    tail.clear()
    assert tail.raw.size == tail.filtered.size == 0


def test_its_buffer_does_not_grow() -> None:
    tail = SignalTail(100)
    for _ in range(1000):
        tail.append(np.zeros(30), np.zeros(30))
        tail.forget()
    assert tail.raw.base is not None
    assert tail.raw.base.size == 2 * 200
