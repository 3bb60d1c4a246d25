"""Frames with stamps of their last sample: what is lost is missing, and nothing else moves."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.sources.timing.frame_clock import HOLD_S, FrameClock
from monitor.sources.timing.sample_clock import Run

FS_HZ, SIZE = 130.0, 73
FRAME_S = SIZE / FS_HZ

fates = st.lists(st.sampled_from(["there", "there", "there", "lost", "twice", "late"]), min_size=1, max_size=40)


def placed(runs: list[Run]) -> dict[int, float]:
    samples: dict[int, float] = {}
    for run in runs:
        assert not samples or run.first_sample > max(samples), "in order, nothing twice"
        samples |= dict(enumerate(run.samples.tolist(), run.first_sample))
    return samples


def frame(i: int) -> np.ndarray:
    return np.arange(i * SIZE, (i + 1) * SIZE, dtype=np.float64)


@given(
    fates=fates,
    drift=st.sampled_from([0.0, 5e-4, -5e-4, 0.01, -0.01]),
    delays=st.lists(st.floats(0, 0.4), min_size=80, max_size=80),
    boot_s=st.sampled_from([0.0, 599_616_000.0]),
)
def test_every_sample_keeps_its_place_by_the_devices_clock(
    fates: list[str], drift: float, delays: list[float], boot_s: float
) -> None:
    order: list[int] = [0, 1]  # the first frames set the clock
    held: int | None = None
    for i, fate in enumerate(fates, 2):
        if fate == "late" and held is None:
            held = i
            continue
        order += [i] * {"lost": 0, "twice": 2}.get(fate, 1)
        if held is not None and fate != "lost":
            order.append(held)
            held = None
    clock, runs, now_s = FrameClock(FS_HZ), [], 0.0
    for i, delay_s in zip(order, delays, strict=False):
        stamp_s = (i + 1) * FRAME_S * (1 + drift)
        now_s = max(now_s, stamp_s + delay_s)
        runs += clock.push(frame(i), now_s, boot_s + stamp_s)
    runs += clock.poll(now_s + HOLD_S)
    samples = placed(runs)
    arrived = order[: len(delays)]
    assert clock.resets == 0
    assert clock.old == len(arrived) - len(samples) // SIZE
    # A loss of n frames is rounded to the samples of the nominal rate until the drift is known.
    assert all(abs(place - value) <= 1 + abs(drift) * SIZE * 40 for place, value in samples.items())
    if not drift:
        assert all(place == value for place, value in samples.items())


def test_a_frame_after_a_gap_waits_for_the_missing_one_and_no_longer() -> None:
    clock = FrameClock(FS_HZ)
    assert clock.push(frame(0), 1.0, FRAME_S)
    assert clock.push(frame(2), 2.0, 3 * FRAME_S) == []
    assert clock.poll(2.0 + 0.9 * HOLD_S) == []
    assert [run.first_sample for run in clock.poll(2.0 + HOLD_S)] == [2 * SIZE]


@given(jump_s=st.one_of(st.floats(1.7, 1e9), st.floats(-1e9, -6.0)), at=st.integers(1, 20))
def test_a_clock_that_is_set_makes_no_gap_longer_than_the_time_that_passed(jump_s: float, at: int) -> None:
    clock, runs = FrameClock(FS_HZ), []
    for i in range(40):
        stamp_s = (i + 1) * FRAME_S + (jump_s if i >= at else 0.0)
        runs += clock.push(frame(i), (i + 1) * FRAME_S, 6e8 + stamp_s)
    assert placed(runs) == {i: float(i) for i in range(40 * SIZE)}
    assert clock.resets == 1


@given(away_s=st.floats(0.0, 1e5), restarted=st.booleans())
def test_after_a_lost_connection_the_time_without_samples_is_missing(away_s: float, restarted: bool) -> None:
    clock = FrameClock(FS_HZ)
    for i in range(10):
        clock.push(frame(i), (i + 1) * FRAME_S, 6e8 + (i + 1) * FRAME_S)
    clock.cut()
    arrival_s = 11 * FRAME_S + away_s
    (run,) = clock.push(frame(0), arrival_s, 6e8 + (FRAME_S if restarted else arrival_s))
    assert abs(run.first_sample - 10 * SIZE - away_s * FS_HZ) <= 1 + SIZE * restarted
    assert run.first_sample > 10 * SIZE
