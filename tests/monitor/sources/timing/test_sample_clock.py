"""The clock of a live device: whatever happens to the bytes, samples get the places at which they were taken."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.sources.timing.arrival_line import measure_rate
from monitor.sources.timing.sample_clock import SETTLE_S, Run, SampleClock

FS_HZ = 250.0
Counts = NDArray[np.int64]


class Wire:
    """A device that takes `n` samples at `rate_hz`; each value is the sample's true place.

    Args:
        lost: true places that never arrive.
        late: (from s, to s): what is sent in between arrives at its end,
        drain: or from then on at so many times the rate.
        counted: whether there is an 8-bit counter.
        resets: true places at which the counter begins anew.
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
        for arrival_s, samples, counters in self.batches:
            # As a reading thread does: it asks every 50 ms.
            last_s = clock._last_s or arrival_s
            for tick_s in np.arange(last_s, arrival_s, 0.05).tolist():
                runs += clock.poll(tick_s)
            runs += clock.push(samples, arrival_s, counters)
        return runs + clock.poll(1e9)


def errors(runs: list[Run]) -> NDArray[np.float64]:
    """Place given minus true place, of every sample."""
    return np.concatenate([run.first_sample + np.arange(run.samples.size) - run.samples for run in runs])


def gaps(runs: list[Run]) -> int:
    ends = [0, *(run.first_sample + run.samples.size for run in runs)]
    return sum(run.first_sample - end for run, end in zip(runs, ends, strict=False))


@given(seed=st.integers(0, 1000), counted=st.booleans())
def test_a_steady_device_is_counted(seed: int, counted: bool) -> None:
    clock = SampleClock(FS_HZ)
    runs = Wire(2500, seed=seed, counted=counted).run(clock)
    assert not errors(runs).any()
    assert sum(run.samples.size for run in runs) == 2500
    assert (clock.lost, clock.end, clock.trusted) == (0, 2500, True)


@given(st.sets(st.integers(1, 1998), max_size=60), st.integers(0, 1000))
def test_single_losses_show_in_the_counter(lost: set[int], seed: int) -> None:
    clock = SampleClock(FS_HZ)
    runs = Wire(2000, lost=lost, seed=seed).run(clock)
    assert not errors(runs).any()
    assert clock.lost == len(lost) == gaps(runs)


@pytest.mark.parametrize("length", [3, 60, 128, 200, 255, 256, 257, 511, 512, 700, 1024, 5000])
def test_a_silence_costs_what_counter_and_time_say_together(length: int) -> None:
    clock = SampleClock(FS_HZ)
    runs = Wire(12_000, lost=range(3000, 3000 + length)).run(clock)
    assert not errors(runs).any(), "multiples of 256 are told by time"
    assert clock.lost == length


@settings(max_examples=20)
@given(st.floats(0.3, 20.0), st.integers(0, 100), st.booleans(), st.sampled_from([3.0, 8.0, 1e6]))
def test_what_was_only_late_is_no_loss(length_s: float, seed: int, counted: bool, drain: float) -> None:
    length_s = min(length_s, 4.0 * (drain - 1))  # it takes as long until what waited has come
    clock = SampleClock(FS_HZ)
    runs = Wire(6500, late=((5.0, 5.0 + length_s),), drain=drain, seed=seed, counted=counted).run(clock)
    assert not errors(runs).any()
    assert clock.lost == 0
    assert clock.trusted


@given(st.floats(0.4, 60.0), st.integers(0, 100))
def test_without_a_counter_time_tells_to_within_some_samples(length_s: float, seed: int) -> None:
    n = round(length_s * FS_HZ)
    clock = SampleClock(FS_HZ)
    runs = Wire(4000 + n, lost=range(2000, 2000 + n), seed=seed, counted=False).run(clock)
    assert np.abs(errors(runs)).max() <= 4
    assert clock.lost == pytest.approx(n, abs=4)


@given(st.integers(300, 3000), st.integers(0, 100))
def test_a_counter_that_begins_anew_after_a_silence_does_not_mislead(length: int, seed: int) -> None:
    clock = SampleClock(FS_HZ)
    end = 2000 + length
    runs = Wire(end + 2000, lost=range(2000, end), resets=(end,), seed=seed).run(clock)
    assert np.abs(errors(runs)).max() <= max(2, 0.1 * FS_HZ), "by chance a new counter may look like the old one"
    assert gaps(runs) == clock.lost


@given(st.lists(st.integers(5, 1990), min_size=1, max_size=10, unique=True), st.integers(0, 255), st.integers(0, 50))
def test_a_garbled_counter_moves_nothing(places: list[int], value: int, seed: int) -> None:
    wire = Wire(2000, seed=seed)
    for _, samples, counters in wire.batches:
        assert counters is not None
        for i, place in enumerate(samples.tolist()):
            if place in places and place - 1 not in places and place + 1 not in places:
                counters[i] = value
    clock = SampleClock(FS_HZ)
    runs = wire.run(clock)
    assert not errors(runs).any()
    assert clock.lost == 0


@given(st.integers(5, 1990), st.integers(1, 2), st.integers(0, 255), st.integers(0, 50))
def test_a_garbled_packet_that_swallows_the_next_moves_nothing(
    place: int, swallowed: int, value: int, seed: int
) -> None:
    wire = Wire(2000, lost=set(range(place + 1, place + 1 + swallowed)), seed=seed)
    for _, samples, counters in wire.batches:
        assert counters is not None
        counters[samples == place] = value
    clock = SampleClock(FS_HZ)
    runs = wire.run(clock)
    assert np.count_nonzero(errors(runs)) <= 1, "but for the garbled one itself"
    assert clock.lost == swallowed


@given(st.data())
def test_places_do_not_depend_on_how_the_samples_are_handed_over(data: st.DataObject) -> None:
    lost = data.draw(st.sets(st.integers(1, 998), max_size=30))
    wire = Wire(1000, lost=lost)
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


@pytest.mark.parametrize("share", [-0.05, -0.025, -0.005, 0.0, 0.0002, 0.01, 0.03, 0.08])
def test_the_true_rate_is_measured_and_drift_told(share: float) -> None:
    clock = SampleClock(FS_HZ)
    Wire(15_000, FS_HZ * (1 + share)).run(clock)
    assert clock.drift == pytest.approx(share, abs=3e-4)
    assert clock.rate_hz == pytest.approx(FS_HZ * (1 + share), rel=3e-4)
    assert clock.trusted


def test_a_silence_is_measured_with_the_true_rate() -> None:
    clock = SampleClock(FS_HZ)
    runs = Wire(30_000, 1.01 * FS_HZ, lost=range(10_000, 25_000), counted=False).run(clock)
    assert np.abs(errors(runs)).max() <= 12, "the nominal rate would be 150 samples off"


@pytest.mark.parametrize("factor", [10.0, 2.0, 0.5])
@pytest.mark.parametrize("counted", [True, False])
def test_a_rate_that_is_far_off_makes_no_ecg(factor: float, counted: bool) -> None:
    clock = SampleClock(FS_HZ)
    runs = Wire(15_000, factor * FS_HZ, counted=counted).run(clock)
    good = sum(int(np.isfinite(run.samples).sum()) for run in runs)
    assert not clock.trusted
    assert good <= 4 * FS_HZ, "seen before four seconds without a QRS could be asystole"
    assert clock.end == 15_000


@pytest.mark.parametrize("counted", [True, False])
def test_what_comes_long_after_it_was_given_up_is_no_faster_device(counted: bool) -> None:
    clock = SampleClock(FS_HZ)
    runs = Wire(20_000, late=((5.0, 25.0),), drain=4.0, counted=counted).run(clock)
    assert clock.trusted
    assert sum(run.samples.size for run in runs) == 20_000
    spoilt = sum(int(np.isnan(run.samples).sum()) for run in runs)
    assert spoilt <= 10 * FS_HZ, "while they came four times too fast, they were no ECG"


def test_trust_comes_back_with_the_rate() -> None:
    clock = SampleClock(FS_HZ)
    Wire(5000, 10 * FS_HZ).run(clock)
    assert not clock.trusted
    later = Wire(5000)
    for arrival_s, samples, counters in later.batches:
        clock.push(samples, arrival_s + 100, counters)
    assert clock.trusted


def test_the_time_of_a_sample_is_the_soonest_arrivals() -> None:
    clock = SampleClock(FS_HZ)
    assert clock.time_s(0) is None
    Wire(10_000, 1.004 * FS_HZ, late=((20.0, 22.0),)).run(clock)
    for sample in (8000, 9000, 9900):
        assert clock.time_s(sample) == pytest.approx(1000 + sample / (1.004 * FS_HZ), abs=0.05)


def test_memory_is_bounded() -> None:
    clock = SampleClock(FS_HZ)
    Wire(200_000, counted=True).run(clock)
    assert len(clock._line._blocks) <= 480
    assert not clock._held
    clock.cut()
    clock.push(np.zeros(1), 1e6, np.zeros(1, dtype=np.int64))
    for i in range(1000):  # what comes while a silence settles is held, and no longer
        clock.push(np.zeros(10), 1e6 + i * SETTLE_S / 100, np.arange(10) + 1 + 10 * i)
        assert sum(samples.size for samples, _ in clock._held) <= 20_000


@pytest.mark.parametrize("rate_hz", [100.0, 125.0, 250.0, 360.0, 333.3, 1000.0])
@pytest.mark.parametrize("counted", [True, False])
def test_a_rate_is_measured_in_ten_seconds(rate_hz: float, counted: bool) -> None:
    wire = Wire(round(10 * rate_hz), 1.001 * rate_hz, counted=counted, late=((4.0, 4.2),))
    measured = measure_rate([(arrival_s, samples.size, counters) for arrival_s, samples, counters in wire.batches])
    assert measured == pytest.approx(rate_hz, rel=0.002)
    if rate_hz != 333.3:
        assert measured == rate_hz, "near a usual rate it is that rate"


def test_too_little_to_measure() -> None:
    with pytest.raises(ValueError, match="too few"):
        measure_rate([(0.0, 10, None), (0.5, 100, None)])
    with pytest.raises(ValueError, match="too few"):
        measure_rate([])
    with pytest.raises(ValueError, match="no samples"):
        measure_rate([(0.0, 10, None), (2.0, 0, None)])
