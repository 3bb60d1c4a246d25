"""Helpers of the tests of sources: read a source, wait for a condition."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from monitor.sources import Chunk, EndOfStream, Notice, Source

PATIENCE_S = 20.0


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


def notices_of(chunks: list[Chunk], kind: str) -> list[Notice]:
    return [notice for chunk in chunks for notice in chunk.notices if notice.kind == kind]


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Wait until `condition` holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {what}"
        time.sleep(0.002)
