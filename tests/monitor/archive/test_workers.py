"""`LocalWorkers`: the end of the processes."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.archive.results import Results
from monitor.archive.workers import LocalWorkers
from tests.monitor.archive.helpers import task_of

PATIENCE_S = 90.0


@pytest.fixture
def stops_ignored() -> Iterator[None]:
    """As under a supervisor that ignores SIGTERM: processes that are started inherit it."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.slow
@pytest.mark.usefixtures("stops_ignored")
def test_a_process_that_ignores_sigterm_ends_without_a_result(tmp_path: Path) -> None:
    with LocalWorkers(1) as workers:
        workers.submit(task_of("sim:sinus=1200", tmp_path))
        (process,) = multiprocessing.active_children()
        deadline_s = time.monotonic() + PATIENCE_S
        while not list(tmp_path.glob(".score/*.part")):
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
    assert process.exitcode is not None
    assert Results(tmp_path).names() == []
