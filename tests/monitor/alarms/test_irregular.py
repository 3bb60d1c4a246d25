"""`irregular_rhythm`: its measure, when it is raised, what must not raise it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detector import Gap, Quality
from monitor.alarms.irregular import spread_percent
from monitor.messages import Alarm
from tests.monitor.alarms.helpers import FS_HZ, SimulatedBed, run, states


def fibrillation(n: int, seed: int, mean_s: float = 0.7, spread: float = 0.22) -> NDArray[np.float64]:
    return mean_s * np.exp(spread * np.random.default_rng(seed).standard_normal(n))


def beats(bed: SimulatedBed, intervals_s: NDArray[np.float64], quality: Quality = Quality.GOOD) -> list[Alarm]:
    """Usual beats, which have no P waves, at these intervals."""
    before = len(bed.changes)
    here: list[int] = []
    for rr_s in intervals_s.tolist():
        r_sample = max(bed.last_r or 0, bed.now - round(2 * FS_HZ)) + round(rr_s * FS_HZ)
        while r_sample >= bed.now + round(FS_HZ):
            bed.tick(quality, r_samples=tuple(here))
            here = []
        bed.beat(r_sample, quality=quality, qrs="usual")
        here.append(r_sample)
    bed.tick(quality, r_samples=tuple(here))
    return bed.changes[before:]


def of_kind(changes: list[Alarm]) -> list[str]:
    return [state for _, state in states(changes, "irregular_rhythm")]


# -- the measure ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [0.1, 0.2, 0.3])
def test_the_measure_of_independent_intervals_is_that_of_theory(spread: float) -> None:
    """exp of the quadratic entropy of a normal distribution: 2 sqrt(pi) standard deviations."""
    intervals = np.random.default_rng(1).normal(0.8, 0.8 * spread, 2000)
    assert spread_percent(intervals) == pytest.approx(100 * 2 * np.sqrt(np.pi) * spread, rel=0.08)


def test_what_can_be_foretold_is_not_irregular() -> None:
    bigeminy = np.tile([0.5, 1.1], 12)
    breathing = 0.8 * (1 + 0.2 * np.sin(2 * np.pi * np.arange(24) / 5))
    trigeminy = np.tile([0.8, 0.5, 1.1], 8)
    assert max(map(spread_percent, (bigeminy, breathing, trigeminy, np.full(24, 0.8)))) < 15
    found = [spread_percent(fibrillation(24, seed)) for seed in range(200)]
    assert np.quantile(found, [0.1, 0.5]).tolist() > [33, 50]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.25, 2.5), min_size=6, max_size=24))
def test_the_measure_is_finite_and_not_negative(intervals: list[float]) -> None:
    measured = spread_percent(np.array(intervals))
    assert np.isfinite(measured)
    assert measured >= 0


# -- the rule ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mean_s", [1.0, 0.7, 0.38])
def test_fibrillation_is_told_within_a_minute_and_ends_within_a_minute(mean_s: float) -> None:
    bed = SimulatedBed()
    bed.rhythm(40, 0.8, qrs="usual")
    began = bed.now
    onset = next(a for a in beats(bed, fibrillation(round(90 / mean_s), 2, mean_s)) if a.kind == "irregular_rhythm")
    assert (onset.priority, onset.state) == ("low" if mean_s > 0.5 else "medium", "onset"), "over 120 bpm"
    assert onset.decided_sample - began < 60 * FS_HZ
    assert onset.evidence.value is not None
    assert onset.evidence.value > 33
    assert bed.engine.rhythm == "irregular"
    ended = bed.now
    (cleared,) = (a for a in bed.rhythm(75, 0.8, qrs="usual") if a.kind == "irregular_rhythm")
    assert cleared.state == "cleared"
    assert cleared.decided_sample - ended < 60 * FS_HZ
    assert bed.engine.rhythm == "regular"


def test_short_noise_and_gaps_neither_end_it_nor_make_it() -> None:
    bed = SimulatedBed()
    for k in range(12):
        beats(bed, fibrillation(12, k))
        bed.tick(Quality.MUSCLE)
        beats(bed, fibrillation(2, k), Quality.MUSCLE)
        bed.engine.handle(Gap(bed.now, 100, "hole"))
        bed.last_r = None
    assert of_kind(bed.changes) == ["onset"], "12 good beats at a time"
    quiet = SimulatedBed()
    for k in range(20):
        quiet.rhythm(6, 0.8, qrs="usual")
        beats(quiet, fibrillation(4, k), Quality.MUSCLE)
    assert of_kind(quiet.changes) == []


def test_without_signal_it_ends() -> None:
    bed = SimulatedBed()
    beats(bed, fibrillation(60, 3))
    assert of_kind(bed.ticks(100, Quality.MUSCLE)) == ["cleared"]


def test_ectopic_beats_do_not_make_a_rhythm_irregular() -> None:
    bed = SimulatedBed(knows_rr=True)
    bed.rhythm(10, 0.5, qrs="usual")
    rng = np.random.default_rng(4)
    for _ in range(40):
        coupling_s = rng.uniform(0.32, 0.45)
        bed.beat((bed.last_r or 0) + round(coupling_s * FS_HZ), odd=True, qrs="wide")
        beats(bed, np.array([1.0 - coupling_s, 0.5, 0.5]))
    assert of_kind(bed.changes) == []


def test_ventricular_tachycardia_and_fibrillation_cover_it() -> None:
    bed = SimulatedBed()
    beats(bed, fibrillation(60, 5))
    assert of_kind(run(bed, 8, 0.4)) == ["cleared"]
    bed = SimulatedBed()
    beats(bed, fibrillation(60, 5))
    assert of_kind(bed.ticks(10, fibrillatory=True)) == ["cleared"]
