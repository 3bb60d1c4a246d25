"""The token bucket."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.token_bucket import TokenBucket


@given(st.lists(st.tuples(st.floats(-1.0, 3.0), st.floats(0.0, 6.0)), max_size=200))
def test_never_more_than_the_rate_is_permitted(steps: list[tuple[float, float]]) -> None:
    bucket = TokenBucket(2.0, 5.0, 0.0)
    now_s = forward_s = taken = 0.0
    for passed_s, amount in steps:  # a clock that runs back permits nothing more
        now_s += passed_s
        forward_s += max(0.0, passed_s)
        taken += amount if bucket.take(now_s, amount) == 0.0 else 0.0
        assert taken <= 5.0 + 2.0 * forward_s + 1e-6


def test_after_the_time_to_wait_it_permits() -> None:
    bucket = TokenBucket(2.0, 1.0, 10.0)
    assert bucket.take(10.0) == 0.0
    assert bucket.wait_s(10.0) == bucket.take(10.0) == 0.5
    assert bucket.take(10.5) == 0.0


def test_what_is_spent_beyond_the_limit_is_made_up_for() -> None:
    bucket = TokenBucket(2.0, 4.0, 0.0)
    assert not bucket.spend(0.0, 10.0)
    assert bucket.wait_s(0.0, 0.0) == 3.0
    assert bucket.wait_s(0.0) == 3.5
    assert bucket.take(3.5) == 0.0
