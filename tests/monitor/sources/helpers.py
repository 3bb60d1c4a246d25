"""Helpers of the tests of sources: read a source, wait for a condition, measure memory."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from monitor.sources import Chunk, EndOfStream, Notice, Source

PATIENCE_S = 120.0  # long enough for a busy machine


class Clock:
    """A clock that the test moves."""

    def __init__(self, now_s: float = 100.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def read_chunks(source: Source, sizes: Iterable[int] = (1000,)) -> list[Chunk]:
    """Read all chunks of a finite source, with the `sizes` in turn; close it."""
    chunks: list[Chunk] = []
    for size in itertools.cycle(sizes):
        try:
            chunk = source.read(size)
        except EndOfStream:
            source.close()
            return chunks
        assert chunk is not None
        assert chunk.samples.size <= size
        chunks.append(chunk)
    raise AssertionError("no sizes")


def read_signal(source: Source, sizes: Iterable[int] = (1000,)) -> tuple[int, NDArray[np.float64]]:
    """Read the whole signal of a finite source without gaps: first sample, samples."""
    chunks = [chunk for chunk in read_chunks(source, sizes) if chunk.samples.size]
    for before, after in itertools.pairwise(chunks):
        assert after.first_sample == before.first_sample + before.samples.size
    return chunks[0].first_sample, np.concatenate([chunk.samples for chunk in chunks])


def gather(
    source: Source, enough: Callable[[dict[int, float], list[Notice]], bool], max_samples: int = 1000
) -> tuple[dict[int, float], list[Notice]]:
    """Read a live source to its end or until `enough`; return the samples by index, and the notices."""
    samples: dict[int, float] = {}
    notices: list[Notice] = []

    def there() -> bool:
        try:
            chunk = source.read(max_samples)
        except EndOfStream:
            return True
        if chunk is not None:
            assert chunk.samples.size <= max_samples
            assert not samples or not chunk.samples.size or chunk.first_sample > max(samples)
            samples.update(enumerate(chunk.samples.tolist(), chunk.first_sample))
            notices.extend(chunk.notices)
        return enough(samples, notices)

    wait_for(there, "samples")
    return samples, notices


def gather_leads(source: Source, n: int) -> tuple[dict[int, tuple[float, float]], list[Notice]]:
    """Read `n` samples of a live source of two leads; return both values by index, and the notices."""
    rows: dict[int, tuple[float, float]] = {}
    notices: list[Notice] = []

    def there() -> bool:
        if (chunk := source.read(100)) is not None:
            notices.extend(chunk.notices)
            if chunk.samples.size:
                assert chunk.second is not None
                assert not rows or chunk.first_sample > max(rows)
                both = zip(chunk.samples.tolist(), chunk.second.tolist(), strict=True)
                rows.update(enumerate(both, chunk.first_sample))
        return len(rows) >= n

    wait_for(there, "samples of two leads")
    return rows, notices


def notices_of(chunks: list[Chunk], kind: str) -> list[Notice]:
    return [notice for chunk in chunks for notice in chunk.notices if notice.kind == kind]


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Wait until `condition` holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {what}"
        time.sleep(0.002)


@contextmanager
def traced() -> Iterator[Callable[[], tuple[int, int]]]:
    """Trace the memory of Python's objects; the result gives present and largest size, bytes."""
    tracemalloc.start()
    try:
        yield tracemalloc.get_traced_memory
    finally:
        tracemalloc.stop()


READ_ALL = """
import resource, sys
from monitor.sources import EndOfStream, SourceOptions, open_source
open_source(sys.argv[1], SourceOptions(start_s=23.9 * 3600)).read(10)  # without reading what is before
source = open_source(sys.argv[1])
n = source.read(60 * 360).samples.size
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
while True:
    try:
        n += source.read(7200).samples.size
    except EndOfStream:
        break
print(n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def read_a_day(spec: str) -> tuple[int, int]:
    """Read a source of 24 h in a process of its own: number of samples, growth of the memory after a minute in KiB."""
    done = subprocess.run([sys.executable, "-c", READ_ALL, spec], capture_output=True, text=True, check=True)
    samples, growth_kib = map(int, done.stdout.split())
    return samples, growth_kib
