"""However the samples are cut, the events are those of one call, to the last bit."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detector import Detector, Event, Gap, Tick
from tests.detector.helpers_signals import beats_of, keys, read_lead, run, synthetic_ecg

RATES_HZ = (100.0, 128.0, 250.0, 257.0, 360.0, 500.0, 1000.0)
DURATION_S = 14


@cache
def clean(fs_hz: float) -> NDArray[np.float64]:
    """A synthetic patient, shared by the examples; never written to."""
    signal, _ = synthetic_ecg(fs_hz, DURATION_S, seed=7)
    signal.flags.writeable = False
    return signal


@dataclasses.dataclass(frozen=True)
class Story:
    """A stream with invalid samples and gaps, and one way to cut it."""

    fs_hz: float
    first_sample: int
    invalid: tuple[tuple[float, float], ...]  # (start, length) of runs of NaN, s
    gaps: tuple[tuple[float, int], ...]  # (where, samples missing), s and samples
    cuts: tuple[float, ...]  # share of the signal
    crumbs: tuple[float, ...]  # where single samples and empty pieces are, share of the signal
    step_mv: float = 0.0  # of the electrode's offset after each run of NaN
    announced: bool = False  # whether an empty piece comes before what follows a gap

    def stretches(self) -> list[tuple[int, NDArray[np.float64]]]:
        """(absolute first sample, samples) between gaps."""
        signal = clean(self.fs_hz).copy()
        for start_s, length_s in self.invalid:
            at = round(start_s * self.fs_hz)
            end = at + max(1, round(length_s * self.fs_hz))
            signal[at:end] = np.nan
            signal[end:] += self.step_mv
        parts, shift, last = [], self.first_sample, 0
        for at_s, missing in self.gaps:
            at = max(last, round(at_s * self.fs_hz))
            parts.append((shift + last, signal[last:at]))
            shift, last = shift + missing, at
        parts.append((shift + last, signal[last:]))
        return parts

    def cut(self, samples: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """The pieces of one stretch, single samples and empty ones among them."""
        at = [round(share * samples.size) for share in self.cuts]
        for share in self.crumbs:
            here = round(share * samples.size)
            at += [here, here, min(here + 1, samples.size), min(here + 2, samples.size)]
        return np.split(samples, sorted(at))

    def events(self, whole: bool) -> tuple[list[Event], Detector]:
        """All events, with one call per stretch or in pieces."""
        detector = Detector(self.fs_hz)
        events: list[Event] = []
        for first, samples in self.stretches():
            if samples.size == 0:
                continue
            pieces = [samples] if whole else self.cut(samples)
            position = first
            if self.announced and not whole:  # an empty piece that announces a gap changes nothing
                events += detector.advance([], first)
            for piece in pieces:
                events += detector.advance(piece, position)
                position += piece.size
        return events + detector.flush(), detector


shares = st.floats(0, 1)
seconds = st.floats(0, DURATION_S)
stories = st.builds(
    Story,
    fs_hz=st.sampled_from(RATES_HZ),
    first_sample=st.sampled_from([0, 1, 359, 5000, -1234, 10**12 + 7]),
    invalid=st.lists(
        st.tuples(
            st.one_of(st.just(0.0), st.just(DURATION_S - 1.0), seconds),
            st.one_of(st.floats(0, 0.1), st.floats(0.3, 0.6), st.floats(1.3, 4.0)),
        ),
        max_size=4,
    ).map(tuple),
    gaps=st.lists(
        st.tuples(seconds, st.one_of(st.integers(1, 13), st.integers(1, 500), st.integers(1, 5000))), max_size=4
    ).map(lambda gaps: tuple(sorted(gaps))),
    cuts=st.lists(shares, max_size=12).map(tuple),
    crumbs=st.lists(shares, max_size=3).map(tuple),
    step_mv=st.sampled_from([0.0, 0.0, 4.0, 40.0]),
    announced=st.booleans(),
)


@settings(max_examples=30)
@given(story=stories)
def test_every_cut_gives_the_events_of_one_call(story: Story) -> None:
    assert_cut_changes_nothing(story)


@pytest.mark.slow
@settings(max_examples=150)
@given(story=stories)
def test_each_of_many_cuts_gives_the_events_of_one_call(story: Story) -> None:
    assert_cut_changes_nothing(story)


def assert_cut_changes_nothing(story: Story) -> None:
    whole, one = story.events(whole=True)
    cut, many = story.events(whole=False)
    assert keys(cut) == keys(whole)
    assert (many.samples_in, many.samples_lost) == (one.samples_in, one.samples_lost)
    end = sum(event.n_samples for event in whole if isinstance(event, Gap)) + story.first_sample + one.samples_in
    shown = [detector.filtered(end - 2000, end).tobytes() for detector in (one, many)]
    assert shown[0] == shown[1]


@pytest.mark.parametrize("fs_hz", RATES_HZ)
def test_the_generated_streams_contain_beats(fs_hz: float) -> None:
    """Equality of nothing proves nothing."""
    story = Story(fs_hz, 0, ((4.0, 0.05),), ((9.0, 100),), (), ())
    assert len(beats_of(story.events(whole=True)[0])) >= 10


@pytest.mark.parametrize("fs_hz", RATES_HZ)
def test_sample_by_sample(fs_hz: float) -> None:
    signal = clean(fs_hz)[: round(6 * fs_hz)].copy()
    signal[: round(0.1 * fs_hz)] = np.nan
    signal[round(3 * fs_hz) : round(4.7 * fs_hz)] = np.nan
    single = run(Detector(fs_hz), np.split(signal, signal.size), 77)
    assert keys(single) == keys(run(Detector(fs_hz), [signal], 77))


@pytest.mark.parametrize("name", [pytest.param("119", marks=pytest.mark.slow), "208"])
def test_a_real_minute_in_random_pieces(data_folder: Path, name: str) -> None:
    signal = read_lead(data_folder, name, sampto=60 * 360)
    whole = run(Detector(360.0), [signal])
    assert len(beats_of(whole)) > 50
    rng = np.random.default_rng(20)
    for mean in (3, 36, 500):
        sizes = rng.poisson(mean, 2 * signal.size // mean)
        cuts = np.cumsum(sizes)
        pieces = np.split(signal, cuts[cuts < signal.size])
        assert min(piece.size for piece in pieces) <= 1 or mean > 3
        assert keys(run(Detector(360.0), pieces)) == keys(whole)


@given(first_sample=st.integers(-(10**6), 10**6), at=st.integers(0, 3000))
@settings(max_examples=25)
def test_the_grid_is_absolute(first_sample: int, at: int) -> None:
    """Ticks fall on multiples of the step counted from sample 0 of the source, wherever the stream was joined."""
    detector = Detector(250.0)
    events = run(detector, np.split(clean(250.0), [at]), first_sample)
    *ticks, last = [event.sample for event in events if isinstance(event, Tick)]
    assert ticks == list(range(250 * (first_sample // 250 + 1), first_sample + clean(250.0).size, 250))[: len(ticks)]
    assert last == first_sample + clean(250.0).size
