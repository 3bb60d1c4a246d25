"""Two leads in one array, (n, 2): clocks and queues give each column what it has alone, however it is cut."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.sources.base import Chunk
from monitor.sources.live_buffer import LiveBuffer, RateWatch
from monitor.sources.timing.sample_runs import SampleRuns
from monitor.sources.timing.stamp_clock import StampClock

FS_HZ = 100.0

Floats = NDArray[np.float64]


def two_leads(n: int, seed: int) -> Floats:
    """(n, 2), some values of either lead without a value."""
    dice = np.random.default_rng(seed)
    rows = dice.normal(size=(n, 2))
    rows[dice.random((n, 2)) < 0.1] = np.nan
    return rows


def joined(chunks: Sequence[Chunk]) -> tuple[list[int], Floats, Floats | None]:
    """Index, first lead and second lead of all samples of chunks."""
    filled = [chunk for chunk in chunks if chunk.samples.size]
    places = [chunk.first_sample + i for chunk in filled for i in range(chunk.samples.size)]
    first = np.concatenate([np.empty(0), *(chunk.samples for chunk in filled)])
    seconds = [chunk.second for chunk in filled if chunk.second is not None]
    return places, first, np.concatenate(seconds) if seconds else None


def assert_columns_are_those_of_each_alone(both: list[Chunk], alone: list[list[Chunk]]) -> None:
    places, first, second = joined(both)
    for column, chunks in zip((first, second), alone, strict=True):
        own_places, own, none = joined(chunks)
        assert none is None
        assert own_places == places
        if places:
            assert column is not None
            assert column.tobytes() == own.tobytes()
    for chunk in both:
        assert chunk.second is None or (chunk.second.shape == chunk.samples.shape and chunk.second.flags.c_contiguous)


BATCH = st.tuples(
    st.integers(0, 30),  # samples
    st.sampled_from([0.0, 0.05, 0.3, 1.5]),  # silence before them, s
    st.integers(0, 3),  # samples lost before them
    st.booleans(),  # the device is lost before them
)


@given(
    st.lists(BATCH, max_size=25), st.booleans(), st.integers(1, 50), st.sampled_from([0.2, 30.0]), st.integers(0, 99)
)
def test_a_device_of_two_leads_is_two_devices_of_one(
    batches: list[tuple[int, float, int, bool]], counted: bool, most: int, held_s: float, seed: int
) -> None:
    rows = two_leads(sum(n for n, *_ in batches), seed)

    def chunks_of(samples: Floats) -> list[Chunk]:
        buffer = LiveBuffer("test", FS_HZ, held_s, RateWatch(0.02), 0.0)
        now_s = 0.0
        at = counter = 0
        chunks: list[Chunk] = []
        for n, silence_s, lost, is_cut in batches:
            if is_cut:
                buffer.cut()
            counter += lost
            now_s += silence_s + (n + lost) / FS_HZ
            counters = np.arange(counter, counter + n) % 256 if counted else None
            buffer.push(samples[at : at + n], now_s, counters)
            at, counter = at + n, counter + n
            if (chunk := buffer.read(most)) is not None:
                chunks.append(chunk)
        buffer.push(np.empty(0), now_s + 10.0)
        while (chunk := buffer.read(most)) is not None:
            chunks.append(chunk)
        return chunks

    both, alone = chunks_of(rows), [chunks_of(rows[:, lead]) for lead in range(2)]
    assert_columns_are_those_of_each_alone(both, alone)
    for chunk, other in zip(both, alone[0], strict=True):
        assert (chunk.first_sample, chunk.notices, chunk.time_s) == (other.first_sample, other.notices, other.time_s)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3)), max_size=12), st.lists(st.integers(1, 30)))
def test_runs_of_two_leads_do_not_depend_on_how_they_are_taken(runs: list[tuple[int, int]], sizes: list[int]) -> None:
    rows = two_leads(sum(n for n, _ in runs), 1)

    def chunks_of(samples: Floats) -> list[Chunk]:
        queue = SampleRuns()
        place = at = 0
        for n, missing in runs:
            queue.put(place + missing, samples[at : at + n])
            place, at = place + missing + n, at + n
        assert queue.size == len(rows)
        chunks = [queue.chunk(size, 0.0, ()) for size in [*sizes, *[1000] * len(runs)]]
        return [chunk for chunk in chunks if chunk is not None]

    assert_columns_are_those_of_each_alone(chunks_of(rows), [chunks_of(rows[:, lead]) for lead in range(2)])


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from([0.0, 0.02, 0.4, 3.0, -9.0])), max_size=15), st.data())
def test_stamps_place_two_leads_as_they_place_one(pieces: list[tuple[int, float]], data: st.DataObject) -> None:
    stamps = np.empty(0)
    for n, late_s in pieces:
        start = late_s + (stamps[-1] + 1 / FS_HZ if stamps.size else 0.0)
        stamps = np.concatenate((stamps, start + np.arange(n) / FS_HZ))
    rows = two_leads(stamps.size, 2)
    cuts = sorted(data.draw(st.lists(st.integers(0, stamps.size), max_size=6)))
    edges = [0, *cuts, stamps.size]

    def chunks_of(samples: Floats, edges: list[int]) -> list[Chunk]:
        clock, queue = StampClock(FS_HZ), SampleRuns()
        placed = []
        for low, high in itertools.pairwise(edges):
            placed += clock.push(samples[low:high], stamps[low:high])
        for first, run in placed + clock.flush():
            queue.put(first, run)
        chunks = []
        while (chunk := queue.chunk(1000, 0.0, ())) is not None:
            chunks.append(chunk)
        return chunks

    alone = [chunks_of(rows[:, lead], [0, stamps.size]) for lead in range(2)]
    assert_columns_are_those_of_each_alone(chunks_of(rows, edges), alone)
