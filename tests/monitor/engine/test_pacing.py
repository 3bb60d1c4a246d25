"""Read intervals."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.engine.pacing import LOOP_S, piece_s, read_every_s, stagger_s, turn_s


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
