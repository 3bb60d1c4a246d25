"""StampClock: finds every loss and no false one, for all clocks and timings of the sender."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.sources.timing.stamp_clock import HOLD_S, LATE_S, StampClock

Floats = NDArray[np.float64]


def placed(
    fs_hz: float, sent: NDArray[np.int64], stamps: Floats, cuts: list[int]
) -> tuple[dict[int, float], StampClock]:
    """Index given to each sample; the value of a sample is its index at the sender."""
    clock = StampClock(fs_hz)
    out: dict[int, float] = {}
    runs, low, turn = [], 0, 0
    while low < sent.size:
        high = low + cuts[turn % len(cuts)]
        runs += clock.push(sent[low:high].astype(float), stamps[low:high])
        low, turn = high, turn + 1
    runs += clock.flush()
    for first, samples in runs:
        assert not out or first > max(out)
        out.update(enumerate(samples.tolist(), first))
    assert list(out.values()) == sent.tolist(), "every sample once, in order"
    return out, clock


CUTS = st.lists(st.integers(1, 700), min_size=1, max_size=5)


@settings(max_examples=20)
@given(
    seed=st.integers(0, 10_000),
    fs_hz=st.sampled_from([100.0, 250.0, 500.0]),
    drift=st.floats(-0.02, 0.02),
    jitter_s=st.floats(0, 0.04),
    losses=st.lists(st.tuples(st.floats(3, 25), st.floats(0.3, 5)), max_size=3),
    cuts=CUTS,
)
def test_each_loss_is_found_with_its_length(
    seed: int, fs_hz: float, drift: float, jitter_s: float, losses: list[tuple[float, float]], cuts: list[int]
) -> None:
    rng = np.random.default_rng(seed)
    sent = np.arange(round(30 * fs_hz))
    for at_s, lost_s in losses:
        sent = sent[(sent < at_s * fs_hz) | (sent >= (at_s + lost_s) * fs_hz)]
    stamps = 1e5 + sent / (fs_hz * (1 + drift)) + np.repeat(rng.uniform(0, jitter_s, sent.size), 1)
    out, clock = placed(fs_hz, sent, stamps, cuts)
    error = (np.array(list(out)) - np.array(list(out.values()))) / fs_hz
    assert np.ptp(error) <= 0.1 * (1 + len(losses)), "exact but for drift during a loss or while samples are held"
    gaps = int((np.diff(list(out)) > 1).sum())
    assert gaps <= len(losses)
    if losses:
        assert gaps >= 1
    assert clock.resets == 0


@pytest.mark.slow
@settings(max_examples=20)
@given(
    seed=st.integers(0, 10_000),
    stalls=st.lists(st.tuples(st.floats(2, 20), st.floats(0.2, 2), st.floats(3, 1000)), min_size=1, max_size=3),
    cuts=CUTS,
)
def test_a_late_sender_that_catches_up_loses_nothing(
    seed: int, stalls: list[tuple[float, float, float]], cuts: list[int]
) -> None:
    fs_hz = 250.0
    rng = np.random.default_rng(seed)
    sent = np.arange(round(30 * fs_hz))
    stamps = sent / fs_hz + rng.uniform(0, 0.02, sent.size)
    for at_s, late_s, speed in stalls:  # delayed samples are sent `speed` times as fast
        begin = round(at_s * fs_hz)
        burst = at_s + late_s + np.arange(sent.size - begin) / (fs_hz * speed)
        stamps[begin:] = np.maximum(stamps[begin:], burst)
    out, _ = placed(fs_hz, sent, np.maximum.accumulate(stamps), cuts)
    assert list(out) == list(range(sent.size))


@settings(max_examples=30)
@given(jumps_s=st.lists(st.floats(0.7, 86_000), min_size=1, max_size=20), cuts=CUTS)
def test_the_sum_of_all_losses_is_limited_and_no_sample_is_lost(jumps_s: list[float], cuts: list[int]) -> None:
    clock = StampClock(100.0)
    clock.longest_s = 100_000.0
    stamps = np.arange(100 * (len(jumps_s) + 1)) / 100 + np.repeat(np.cumsum([0.0, *jumps_s]), 100)
    runs = [
        run
        for at in range(0, stamps.size, cuts[0])
        for run in clock.push(stamps[at:][: cuts[0]], stamps[at:][: cuts[0]])
    ]
    runs += clock.flush()
    assert np.concatenate([samples for _, samples in runs]).tolist() == stamps.tolist()
    assert clock.next - stamps.size <= 100_000 * 100
    assert (clock.resets > 0) == (sum(jumps_s) > 100_000) or abs(sum(jumps_s) - 100_000) < 1


@given(cuts=CUTS, other=CUTS, seed=st.integers(0, 10_000))
def test_indices_do_not_depend_on_the_pieces(cuts: list[int], other: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    sent = np.arange(2500)
    sent = sent[(sent < 750) | (sent > 950)]
    stamps = sent / 250 + rng.exponential(0.05, sent.size) + 1.5 * (sent > 1500)
    stamps[rng.integers(0, sent.size, 20)] = np.nan
    assert placed(250.0, sent, stamps, cuts)[0] == placed(250.0, sent, stamps, other)[0]


def test_a_late_sample_is_held_for_hold_s() -> None:
    clock = StampClock(250.0)
    clock.push(np.zeros(250), np.arange(250) / 250)
    late = 1.0 + LATE_S + 0.01 + np.arange(1000) / 250
    waiting = 0
    while not clock.push(np.zeros(1), late[waiting : waiting + 1]):
        waiting += 1
    assert waiting == pytest.approx(HOLD_S * 250, abs=2)


@pytest.mark.parametrize("leap_s", [-5.0, -0.2, 1e6, -1e9])
def test_a_reset_of_the_stamps_loses_nothing_and_is_counted(leap_s: float) -> None:
    sent = np.arange(2000)
    stamps = sent / 250 + np.where(sent >= 1000, leap_s, 0.0)
    out, clock = placed(250.0, sent, stamps, [100])
    assert list(out) == sent.tolist()
    assert clock.resets == 1


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_invalid_stamps_are_ignored(broken: float) -> None:
    sent = np.arange(1000)
    for where in (slice(0, 10), slice(500, 600), slice(0, 1000)):
        stamps = sent / 250
        stamps[where] = broken
        assert list(placed(250.0, sent, stamps, [33])[0]) == sent.tolist()


def test_after_a_restart_stamps_may_start_anywhere() -> None:
    clock = StampClock(250.0)
    clock.push(np.zeros(100), 7 + np.arange(100) / 250)
    assert clock.push(np.zeros(10), 9 + np.arange(10) / 250) == []
    assert [(first, s.size) for first, s in clock.restart(1000)] == [(500, 10)]
    assert [(first, s.size) for first, s in clock.push(np.zeros(5), np.arange(5) / 250)] == [(1510, 5)]
