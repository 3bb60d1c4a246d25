"""The soak, three minutes long, and its ledger: finds missing, changed, doubled and misplaced samples."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from stress.ledger import Ledger

from monitor.emulator.encoder import make_encoder
from monitor.emulator.plan import Fate
from tests.monitor.commands.helpers import environment

TOOLS = Path(__file__).parents[3] / "tools"


@pytest.mark.slow
def test_three_minutes_of_faults_are_accounted_for(tmp_path: Path) -> None:
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


N = 3_000
MV = np.round(np.random.default_rng(0).normal(0, 0.5, N), 5)
ENCODER = make_encoder("lines")
READ = ENCODER.readable(MV)


def judged(fates: NDArray[np.uint8], at: NDArray[np.int64], values: NDArray[np.float64]) -> Ledger:
    """Ledger after a monitor read `values` at indices `at`, in runs without a gap."""
    book = Ledger(ENCODER, 250.0, np.nan)
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


@pytest.mark.slow
@given(st.lists(st.integers(10, N - 10), max_size=8, unique=True))
def test_reported_losses_are_no_error(lost: list[int]) -> None:
    kept = np.delete(np.arange(N), lost)
    book = judged(fates_of(dropped=lost), kept, READ[kept])
    assert (book.intact, book.missed, book.excused, book.wrong, book.twice) == (kept.size, 0, 0, 0, 0)
    assert book.shifts == []


@pytest.mark.slow
@given(st.lists(st.integers(10, N - 10), min_size=1, max_size=8, unique=True))
def test_a_missing_sample_is_found(lost: list[int]) -> None:
    kept = np.delete(np.arange(N), lost)
    assert judged(fates_of(), kept, READ[kept]).missed == len(lost)


def test_a_changed_sample_is_found() -> None:
    values = READ.copy()
    values[[500, 700]] += 0.1
    book = judged(fates_of(garbled=[500]), np.arange(N), values)
    assert (book.wrong, book.missed, book.shifts) == (2, 1, [])


def test_a_loss_right_after_garbage_is_excused() -> None:
    kept = np.delete(np.arange(N), [500, 501])
    book = judged(fates_of(garbled=[500]), kept, READ[kept])
    assert (book.missed, book.excused) == (0, 1)


def test_doubled_samples_are_found() -> None:
    at = np.concatenate([np.arange(1000), np.arange(950, N)])
    assert judged(fates_of(), at, READ[at]).twice == 50


@pytest.mark.parametrize("shift", [-300, -1, 1, 2, 77])
def test_a_wrong_length_of_a_gap_is_found(shift: int) -> None:
    away = list(range(1000, 1500))
    kept = np.delete(np.arange(N), away)
    at = np.where(kept < 1000, kept, kept + shift)
    book = judged(fates_of(unplugged=away), at, READ[kept])
    assert (book.missed, book.wrong, book.twice) == (0, 0, 0)
    assert book.shifts == [(1500, shift)]
