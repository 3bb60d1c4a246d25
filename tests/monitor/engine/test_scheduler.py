"""When beds are read, and what is left out while they are late."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.engine.pacing import LOOP_S, piece_s, read_every_s, stagger_s, turn_s
from monitor.engine.scheduler import DueQueue, Thinning


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 50)), max_size=200), st.integers(1, 20))
def test_each_due_bed_is_taken_once_longest_delay_first(put: list[tuple[float, int]], most: int) -> None:
    queue = DueQueue()
    for due_s, number in put:
        queue.put(f"b{number}", due_s)
    now_s = 60.0
    expected = sorted((due_s, place, f"b{number}") for place, (due_s, number) in enumerate(put) if due_s <= now_s)
    for first in range(0, len(expected), most):
        assert queue.take(now_s, most) == [bed for *_, bed in expected[first : first + most]]
        assert queue.late_s == now_s - expected[first][0]
    assert queue.take(now_s, most) == []
    assert queue.late_s == 0.0
    rest = [due_s for due_s, _ in put if due_s > now_s]
    assert queue.wait_s(now_s) == min(LOOP_S, min(rest) - now_s if rest else LOOP_S)


def test_reads_cost_a_limited_share_of_a_core_for_any_number_of_beds() -> None:
    for live in (False, True):
        assert read_every_s(1, live=live) == LOOP_S
        every_s = [read_every_s(beds, live=live) for beds in (1, 10, 100, 1000, 10_000)]
        assert every_s == sorted(every_s)
        assert every_s[-1] == 1.0, "the detector works on full seconds"
    assert [turn_s(beds) <= 0.1 for beds in (1, 100, 10_000)] == [True] * 3
    assert piece_s(1) == 20.0
    assert piece_s(1000) == 1.0


@given(st.integers(1, 5000), st.sampled_from([0.5, 1.0, 10.0]))
def test_replays_start_evenly_spread_within_a_second_of_signal(beds: int, speed: float) -> None:
    starts = [stagger_s(number, beds, speed) for number in (0, 1, beds - 1) if number < beds]
    assert starts[0] == 0.0
    assert starts[-1] * speed < 1.0
    if beds >= 500:
        assert starts[-1] * speed > 1.0 - 2 / beds
    assert stagger_s(3, beds, 0.0) == 0.0


def test_waves_are_left_out_before_status_and_return_after_three_seconds_in_time() -> None:
    thinning = Thinning()
    changes = []
    late = [(1, 0.1), (2, 0.6), (3, 0.7), (4, 1.2), (5, 0.6), (6, 0.1), (7, 0.3), (8, 0.1), (9, 0.0), (10.5, 0.0)]
    for now_s, late_s in late:
        if thinning.update(late_s, now_s):
            changes.append((now_s, thinning.thinned))
    assert changes == [(2, ("waves",)), (4, ("waves", "status")), (10.5, ())]
