"""The soak at toy length, and its ledger: every sample that is missing, changed, doubled or out of place is seen."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.emulator.encoder import make_encoder
from monitor.emulator.plan import Fate
from tests.monitor.commands.helpers import environment

TOOLS = Path(__file__).parents[3] / "tools"


def test_three_minutes_of_faults_leave_nothing_unaccounted_for(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    arguments = ("--hours", "0.05", "--every", "18", "--seed", "1", "--json", str(file))
    done = subprocess.run(
        [sys.executable, str(TOOLS / "soak.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=200,
        env=environment(),
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(file.read_text())
    assert all(check["good"] for check in report["checks"])
    assert len(report["checks"]) >= 12
    assert len(report["faults"]) >= 3
    assert report["device"]["unplugged"] > 0
    assert report["device"]["intact"] > 30_000
    assert report["incomplete"] == []


@pytest.fixture(scope="module")
def ledger() -> ModuleType:
    sys.path.insert(0, str(TOOLS))
    try:
        return importlib.import_module("stress.ledger")
    finally:
        sys.path.remove(str(TOOLS))


N = 3_000
MV = np.round(np.random.default_rng(0).normal(0, 0.5, N), 5)
ENCODER = make_encoder("lines")
READ = ENCODER.readable(MV)


def judged(ledger: ModuleType, fates: NDArray[np.uint8], at: NDArray[np.int64], values: NDArray[np.float64]) -> Any:
    """Ledger after a monitor took `values` at places `at`, in runs without a gap."""
    book = ledger.Ledger(ENCODER, 250.0, np.nan)
    book.sent(0, MV, fates)
    for run in np.split(np.arange(at.size), np.flatnonzero(np.diff(at) != 1) + 1):
        for piece in np.array_split(run, max(1, run.size // 25)):
            book.taken(int(at[piece[0]]), values[piece])
    book.finish()
    return book


def fates_of(**samples: list[int]) -> NDArray[np.uint8]:
    fates = np.full(N, Fate.INTACT, dtype=np.uint8)
    for name, which in samples.items():
        fates[which] = Fate[name.upper()]
    return fates


@given(st.lists(st.integers(10, N - 10), max_size=8, unique=True))
def test_what_was_lost_and_known_as_lost_is_in_order(ledger: ModuleType, lost: list[int]) -> None:
    kept = np.delete(np.arange(N), lost)
    book = judged(ledger, fates_of(dropped=lost), kept, READ[kept])
    assert (book.intact, book.missed, book.excused, book.wrong, book.twice) == (kept.size, 0, 0, 0, 0)
    assert book.shifts == []


@given(st.lists(st.integers(10, N - 10), min_size=1, max_size=8, unique=True))
def test_a_sample_that_never_came_is_seen(ledger: ModuleType, lost: list[int]) -> None:
    kept = np.delete(np.arange(N), lost)
    assert judged(ledger, fates_of(), kept, READ[kept]).missed == len(lost)


def test_a_changed_sample_is_seen(ledger: ModuleType) -> None:
    values = READ.copy()
    values[[500, 700]] += 0.1
    book = judged(ledger, fates_of(garbled=[500]), np.arange(N), values)
    assert (book.wrong, book.missed, book.shifts) == (2, 1, [])


def test_what_comes_right_after_garbage_may_be_lost_and_is_told_apart(ledger: ModuleType) -> None:
    kept = np.delete(np.arange(N), [500, 501])
    book = judged(ledger, fates_of(garbled=[500]), kept, READ[kept])
    assert (book.missed, book.excused) == (0, 1)


def test_samples_that_come_twice_are_seen(ledger: ModuleType) -> None:
    at = np.concatenate([np.arange(1000), np.arange(950, N)])
    assert judged(ledger, fates_of(), at, READ[at]).twice == 50


@pytest.mark.parametrize("shift", [-300, -1, 1, 2, 77])
def test_a_wrong_length_of_a_gap_is_seen(ledger: ModuleType, shift: int) -> None:
    away = list(range(1000, 1500))
    kept = np.delete(np.arange(N), away)
    at = np.where(kept < 1000, kept, kept + shift)
    book = judged(ledger, fates_of(unplugged=away), at, READ[kept])
    assert (book.missed, book.wrong, book.twice) == (0, 0, 0)
    assert book.shifts == [(1500, shift)]
