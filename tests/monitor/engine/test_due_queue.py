"""The queue of beds by due time."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from monitor.engine.due_queue import DueQueue
from monitor.engine.pacing import LOOP_S


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 50)), max_size=200), st.integers(1, 20))
def test_each_due_bed_is_taken_once_longest_delay_first(put: list[tuple[float, int]], most: int) -> None:
    queue = DueQueue()
    for due_s, number in put:
        queue.put(f"b{number}", due_s)
    now_s = 60.0
    turns = list(itertools.takewhile(bool, iter(lambda: queue.take(now_s, most), None)))
    taken = [bed for turn in turns for bed in turn]
    assert all(len(turn) <= most for turn in turns)
    expected = sorted((due_s, place, f"b{number}") for place, (due_s, number) in enumerate(put) if due_s <= now_s)
    assert taken == [bed for *_, bed in expected]
    rest = [due_s for due_s, _ in put if due_s > now_s]
    assert queue.wait_s(now_s) == min(LOOP_S, min(rest) - now_s if rest else LOOP_S)


def test_lateness_is_the_largest_delay_of_the_last_take() -> None:
    queue = DueQueue()
    queue.put("a", 1.0)
    queue.put("b", 3.0)
    assert queue.take(0.5) == []
    assert queue.late_s == 0.0
    assert queue.take(3.5) == ["a", "b"]
    assert queue.late_s == 2.5
