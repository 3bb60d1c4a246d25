"""SampleClock: samples get their true index despite losses, delays and garbled counters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.sources.timing.arrival_line import measure_rate
from monitor.sources.timing.sample_clock import SETTLE_MOST_S, SETTLE_S, Run, SampleClock
from tests.monitor.sources.helpers import traced

FS_HZ = 250.0
Counts = NDArray[np.int64]


class Wire:
    """The arrivals of a device that takes `n` samples at `rate_hz`; each value is the sample's true index.

    Args:
        n: number of samples.
        rate_hz: true rate, Hz.
        lost: indices of samples that never arrive.
        late: (begin, end) s of each delay; bytes of that time arrive from its end on.
        drain: rate / `rate_hz` at which delayed bytes arrive.
        counted: whether there is an 8-bit counter.
        resets: indices at which the counter starts again.
        seed: seed of batch sizes and jitter.
    """

    def __init__(
        self,
        n: int,
        rate_hz: float = FS_HZ,
        *,
        lost: range | set[int] | frozenset[int] = frozenset(),
        late: tuple[tuple[float, float], ...] = (),
        drain: float = 1e6,
        counted: bool = True,
        resets: tuple[int, ...] = (),
        seed: int = 0,
    ) -> None:
        dice = np.random.default_rng(seed)
        self.batches: list[tuple[float, NDArray[np.float64], Counts | None]] = []
        place = 0
        sent_s = 0.0
        while place < n:
            size = int(dice.integers(1, 12))
            places = [i for i in range(place, min(n, place + size)) if i not in lost]
            place += size
            sent_s = max(sent_s + size / (rate_hz * drain), place / rate_hz + abs(float(dice.normal(0, 0.002))))
            for begin, end in late:
                if begin <= sent_s < end:
                    sent_s = end
            if places:
                at = np.array(places)
                since = np.array([max([0, *(r for r in resets if r <= i)]) for i in places])
                counters = (at - since) % 256 if counted else None
                self.batches.append((1000.0 + sent_s, at.astype(np.float64), counters))

    def run(self, clock: SampleClock) -> list[Run]:
        runs: list[Run] = []
        tick_s = self.batches[0][0]
        for arrival_s, samples, counters in self.batches:
            while tick_s < arrival_s:  # a reading thread polls every 50 ms
                runs += clock.poll(tick_s)
                tick_s += 0.05
            runs += clock.push(samples, arrival_s, counters)
            tick_s = arrival_s
        return runs + clock.poll(1e9)


def errors(runs: list[Run]) -> NDArray[np.float64]:
    """Index given minus true index, of every sample."""
    return np.concatenate([run.first_sample + np.arange(run.samples.size) - run.samples for run in runs])


def gaps(runs: list[Run]) -> int:
    ends = [0, *(run.first_sample + run.samples.size for run in runs)]
    return sum(run.first_sample - end for run, end in zip(runs, ends, strict=False))


@given(seed=st.integers(0, 1000), counted=st.booleans())
def test_a_steady_device_is_counted_without_error(seed: int, counted: bool) -> None:
    clock = SampleClock(FS_HZ)
    runs = Wire(1200, seed=seed, counted=counted).run(clock)
    assert not errors(runs).any()
    assert sum(run.samples.size for run in runs) == 1200
    assert (clock.lost, clock.end, clock.trusted) == (0, 1200, True)


@given(st.sets(st.integers(1, 798), max_size=30), st.integers(0, 1000))
def test_the_counter_shows_single_losses(lost: set[int], seed: int) -> None:
    clock = SampleClock(FS_HZ)
    runs = Wire(800, lost=lost, seed=seed).run(clock)
    assert not errors(runs).any()
    assert clock.lost == len(lost) == gaps(runs)


@pytest.mark.parametrize(
    "length",
    [3, 257, *(pytest.param(n, marks=pytest.mark.slow) for n in (60, 128, 200, 255, 256, 511, 512, 700, 1024, 5000))],
)
def test_counter_and_time_give_the_length_of_a_loss(length: int) -> None:
    clock = SampleClock(FS_HZ)
    runs = Wire(12_000, lost=range(3000, 3000 + length)).run(clock)
    assert not errors(runs).any(), "time gives the multiple of 256"
    assert clock.lost == length


@pytest.mark.slow
@settings(max_examples=20)
@given(st.floats(0.3, 20.0), st.integers(0, 100), st.booleans(), st.sampled_from([3.0, 8.0, 1e6]))
def test_late_samples_are_no_loss(length_s: float, seed: int, counted: bool, drain: float) -> None:
    length_s = min(length_s, 4.0 * (drain - 1))  # the delayed bytes take as long to arrive
    clock = SampleClock(FS_HZ)
    runs = Wire(6500, late=((5.0, 5.0 + length_s),), drain=drain, seed=seed, counted=counted).run(clock)
    assert not errors(runs).any()
    assert clock.lost == 0
    assert clock.trusted


@pytest.mark.slow
@given(st.floats(0.4, 60.0), st.integers(0, 100))
def test_without_a_counter_time_gives_the_length_of_a_loss(length_s: float, seed: int) -> None:
    n = round(length_s * FS_HZ)
    clock = SampleClock(FS_HZ)
    runs = Wire(4000 + n, lost=range(2000, 2000 + n), seed=seed, counted=False).run(clock)
    assert np.abs(errors(runs)).max() <= 4
    assert clock.lost == pytest.approx(n, abs=4)


@pytest.mark.slow
@given(st.integers(300, 3000), st.integers(0, 100))
def test_a_counter_that_starts_again_after_a_silence_is_recognised(length: int, seed: int) -> None:
    clock = SampleClock(FS_HZ)
    end = 2000 + length
    runs = Wire(end + 2000, lost=range(2000, end), resets=(end,), seed=seed).run(clock)
    assert np.abs(errors(runs)).max() <= max(2, 0.1 * FS_HZ), "a new counter may continue the old one by chance"
    assert gaps(runs) == clock.lost


@given(st.lists(st.integers(5, 590), min_size=1, max_size=6, unique=True), st.integers(0, 255), st.integers(0, 50))
def test_a_garbled_counter_is_ignored(places: list[int], value: int, seed: int) -> None:
    wire = Wire(600, seed=seed)
    for _, samples, counters in wire.batches:
        assert counters is not None
        for i, place in enumerate(samples.tolist()):
            if place in places and place - 1 not in places and place + 1 not in places:
                counters[i] = value
    clock = SampleClock(FS_HZ)
    runs = wire.run(clock)
    assert not errors(runs).any()
    assert clock.lost == 0


@given(st.integers(5, 590), st.integers(1, 2), st.integers(0, 255), st.integers(0, 50))
@example(5, 1, 7, 0)  # the counter of the packet after the swallowed one
def test_a_garbled_packet_that_swallows_the_next_is_ignored(place: int, swallowed: int, value: int, seed: int) -> None:
    wire = Wire(600, lost=set(range(place + 1, place + 1 + swallowed)), seed=seed)
    for _, samples, counters in wire.batches:
        assert counters is not None
        counters[samples == place] = value
    clock = SampleClock(FS_HZ)
    runs = wire.run(clock)
    assert np.count_nonzero(errors(runs)) <= 1, "at most the garbled sample itself"
    assert clock.lost == swallowed


@given(st.data())
def test_indices_do_not_depend_on_the_pieces(data: st.DataObject) -> None:
    lost = data.draw(st.sets(st.integers(1, 298), max_size=20))
    wire = Wire(300, lost=lost)
    whole, cut = SampleClock(FS_HZ), SampleClock(FS_HZ)
    expected = wire.run(whole)
    got: list[Run] = []
    for arrival_s, samples, counters in wire.batches:
        assert counters is not None
        at = data.draw(st.integers(0, samples.size))
        got += cut.push(samples[:at], arrival_s, counters[:at])
        got += cut.push(samples[at:], arrival_s, counters[at:])
    got += cut.poll(1e9)
    np.testing.assert_array_equal(errors(got), errors(expected))
    assert (cut.end, cut.lost) == (whole.end, whole.lost)


@pytest.mark.parametrize(
    "share",
    [0.01, *(pytest.param(s, marks=pytest.mark.slow) for s in (-0.05, -0.025, -0.005, 0.0, 0.0002, 0.03, 0.08))],
)
def test_the_true_rate_and_drift_are_measured(share: float) -> None:
    clock = SampleClock(FS_HZ)
    Wire(15_000, FS_HZ * (1 + share)).run(clock)
    assert clock.drift == pytest.approx(share, abs=3e-4)
    assert clock.trusted


@pytest.mark.slow
def test_the_length_of_a_silence_uses_the_true_rate() -> None:
    clock = SampleClock(FS_HZ)
    runs = Wire(30_000, 1.01 * FS_HZ, lost=range(10_000, 25_000), counted=False).run(clock)
    assert np.abs(errors(runs)).max() <= 12, "the nominal rate would give an error of 150 samples"


@pytest.mark.parametrize("factor", [10.0, *(pytest.param(f, marks=pytest.mark.slow) for f in (2.0, 0.5))])
@pytest.mark.parametrize("counted", [True, False])
def test_samples_at_a_wrong_rate_are_nan(factor: float, counted: bool) -> None:
    clock = SampleClock(FS_HZ)
    runs = Wire(15_000, factor * FS_HZ, counted=counted).run(clock)
    good = sum(int(np.isfinite(run.samples).sum()) for run in runs)
    assert not clock.trusted
    assert good <= 4 * FS_HZ, "recognised within the 4 s that an asystole needs"
    assert clock.end == 15_000


@pytest.mark.parametrize("counted", [True, False])
def test_first_samples_that_arrive_late_are_no_wrong_rate(counted: bool) -> None:
    clock = SampleClock(FS_HZ)
    runs = Wire(2_500, late=((0.0, 0.6),), counted=counted).run(clock)
    assert sum(int(np.isfinite(run.samples).sum()) for run in runs) == 2_500
    assert clock.trusted
    assert clock.lost == 0


@pytest.mark.slow
@pytest.mark.parametrize("counted", [True, False])
def test_samples_that_arrive_after_they_were_taken_as_lost_are_no_wrong_rate(counted: bool) -> None:
    clock = SampleClock(FS_HZ)
    runs = Wire(20_000, late=((5.0, 25.0),), drain=4.0, counted=counted).run(clock)
    assert clock.trusted
    assert sum(run.samples.size for run in runs) == 20_000
    spoilt = sum(int(np.isnan(run.samples).sum()) for run in runs)
    assert spoilt <= 10 * FS_HZ, "NaN while they arrived four times too fast"


def test_samples_are_trusted_again_at_the_right_rate() -> None:
    clock = SampleClock(FS_HZ)
    Wire(5000, 10 * FS_HZ).run(clock)
    assert not clock.trusted
    later = Wire(5000)
    for arrival_s, samples, counters in later.batches:
        clock.push(samples, arrival_s + 100, counters)
    assert clock.trusted


def test_the_time_of_a_sample_follows_the_earliest_arrivals() -> None:
    clock = SampleClock(FS_HZ)
    assert clock.time_s(0) is None
    Wire(10_000, 1.004 * FS_HZ, late=((20.0, 22.0),)).run(clock)
    for sample in (8000, 9000, 9900):
        assert clock.time_s(sample) == pytest.approx(1000 + sample / (1.004 * FS_HZ), abs=0.05)


@pytest.mark.slow
def test_memory_is_bounded() -> None:
    clock = SampleClock(FS_HZ)
    short, long = Wire(40_000), Wire(200_000)
    with traced() as memory:
        short.run(clock)
        before = memory()[0]
        long.run(clock)
        assert memory()[0] < before + 100_000


def test_samples_are_held_only_while_a_silence_settles() -> None:
    clock = SampleClock(FS_HZ)
    clock.push(np.zeros(1), 0.0)
    given = 0
    for i in range(3000):
        given += sum(run.samples.size for run in clock.push(np.zeros(10), 1e3 + i * SETTLE_S / 100))
        assert 10 * (i + 1) - given <= (SETTLE_MOST_S + SETTLE_S) / (SETTLE_S / 100) * 10
    assert given > 25_000


@pytest.mark.parametrize("rate_hz", [100.0, 125.0, 250.0, 360.0, 333.3, 1000.0])
@pytest.mark.parametrize("counted", [True, False])
def test_measure_rate_needs_ten_seconds(rate_hz: float, counted: bool) -> None:
    wire = Wire(round(10 * rate_hz), 1.001 * rate_hz, counted=counted, late=((4.0, 4.2),))
    measured = measure_rate([(arrival_s, samples.size, counters) for arrival_s, samples, counters in wire.batches])
    assert measured == pytest.approx(rate_hz, rel=0.002)
    if rate_hz != 333.3:
        assert measured == rate_hz, "a usual rate nearby is taken"


def test_measure_rate_refuses_too_little_signal() -> None:
    with pytest.raises(ValueError, match="too few"):
        measure_rate([(0.0, 10, None), (0.5, 100, None)])
    with pytest.raises(ValueError, match="too few"):
        measure_rate([])
    with pytest.raises(ValueError, match="no samples"):
        measure_rate([(0.0, 10, None), (2.0, 0, None)])
