"""When beds are looked at, and what is left out when there is no time."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from monitor.engine.schedule import LOOP_S, Schedule, Thinning, look_every_s, piece_s, stagger_s, turn_s


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 50)), max_size=200), st.integers(1, 20))
def test_every_bed_that_is_due_is_taken_once_and_the_longest_waiting_first(
    put: list[tuple[float, int]], most: int
) -> None:
    schedule = Schedule()
    for due_s, number in put:
        schedule.put(f"b{number}", due_s)
    now_s = 60.0
    turns = list(itertools.takewhile(bool, iter(lambda: schedule.take(now_s, most), None)))
    taken = [bed for turn in turns for bed in turn]
    assert all(len(turn) <= most for turn in turns)
    expected = sorted((due_s, place, f"b{number}") for place, (due_s, number) in enumerate(put) if due_s <= now_s)
    assert taken == [bed for *_, bed in expected]
    rest = [due_s for due_s, _ in put if due_s > now_s]
    assert schedule.wait_s(now_s) == min(LOOP_S, min(rest) - now_s if rest else LOOP_S)


def test_it_tells_how_late_it_is() -> None:
    schedule = Schedule()
    schedule.put("a", 1.0)
    schedule.put("b", 3.0)
    assert schedule.take(0.5) == []
    assert schedule.late_s == 0.0
    assert schedule.take(3.5) == ["a", "b"]
    assert schedule.late_s == 2.5, "of the one that waited longest"


def test_looks_cost_no_more_than_a_share_of_a_core_however_many_beds() -> None:
    for live in (False, True):
        assert look_every_s(1, live=live) == LOOP_S
        every_s = [look_every_s(beds, live=live) for beds in (1, 10, 100, 1000, 10_000)]
        assert every_s == sorted(every_s)
        assert every_s[-1] == 1.0, "a second decides"
    assert [turn_s(beds) <= 0.1 for beds in (1, 100, 10_000)] == [True] * 3
    assert piece_s(1) == 20.0
    assert piece_s(1000) == 1.0


@given(st.integers(1, 5000), st.sampled_from([0.5, 1.0, 10.0]))
def test_replays_begin_within_a_second_of_signal_spread_evenly(beds: int, speed: float) -> None:
    starts = [stagger_s(number, beds, speed) for number in (0, 1, beds - 1) if number < beds]
    assert starts[0] == 0.0
    assert starts[-1] * speed < 1.0
    if beds >= 500:
        assert starts[-1] * speed > 1.0 - 2 / beds
    assert stagger_s(3, beds, 0.0) == 0.0


def test_waves_go_before_status_and_come_back_when_all_has_been_in_time_for_a_while() -> None:
    thinning = Thinning()
    told = []
    late = [(1, 0.1), (2, 0.6), (3, 0.7), (4, 1.2), (5, 0.6), (6, 0.1), (7, 0.3), (8, 0.1), (9, 0.0), (10.5, 0.0)]
    for now_s, late_s in late:
        if thinning.look(late_s, now_s):
            told.append((now_s, thinning.thinned))
    assert told == [(2, ("waves",)), (4, ("waves", "status")), (10.5, ())]
