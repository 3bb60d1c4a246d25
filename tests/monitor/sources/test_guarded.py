"""Reads in threads: a read that hangs, errors, the end."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from monitor.errors import SourceError
from monitor.sources import Chunk, EndOfStream
from monitor.sources.guarded import GuardedSource, Readers
from tests.monitor.engine.helpers import FedSource

PATIENCE_S = 60.0


def test_the_result_of_a_late_read_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    back = threading.Event()
    source = FedSource()
    source.feed(np.arange(5.0))
    real = source.read

    def slow(max_samples: int) -> Chunk | None:
        assert back.wait(PATIENCE_S)
        return real(max_samples)

    source.read = slow  # type: ignore[method-assign]
    readers = Readers()
    guarded, other = GuardedSource(source, readers), GuardedSource(FedSource(), readers)
    assert guarded.read(10) is None
    assert guarded.hangs
    monkeypatch.setattr("monitor.sources.guarded.PATIENCE_S", PATIENCE_S)
    assert other.read(10) is None
    assert not other.hangs, "another thread reads this source"
    back.set()
    tries = iter(range(100_000))
    while (chunk := guarded.read(10)) is None and next(tries) < 99_999:
        back.wait(0.001)
    assert chunk is not None
    assert chunk.samples.tolist() == [0, 1, 2, 3, 4]
    assert not guarded.hangs
    readers.close()


def test_a_guarded_source_passes_on_errors_and_the_end() -> None:
    readers = Readers()
    source = FedSource()
    guarded = GuardedSource(source, readers)
    assert not hasattr(guarded, "waiting"), "the source does not count waiting samples"
    source.fail("gone")
    with pytest.raises(SourceError, match="gone"):
        guarded.read(1)
    ended = FedSource()
    ended.end()
    with pytest.raises(EndOfStream):
        GuardedSource(ended, readers).read(1)
    guarded.close()
    assert source.closed
    readers.close()
