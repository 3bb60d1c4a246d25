"""Patterns of ventricular beats, hours, and shapes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.reports.holter.clusters import CUT_OFFSETS_S, ShapeClusters
from monitor.reports.holter.measures import Kinds, by_hour, patterns_of
from tests.monitor.reports.holter.helpers import beats_of_rr


def patterns(letters: str) -> tuple[int, list[tuple[int, int]], list[tuple[int, int]], list[tuple[int, int]]]:
    """V ventricular, N usual, x not scored, _ usual after a gap."""
    rr_s = [float("nan") if letter == "_" else 0.8 for letter in letters[1:]]
    odd = {at for at, letter in enumerate(letters) if letter == "V"}
    beats = beats_of_rr(rr_s, odd=odd, unscored={at for at, letter in enumerate(letters) if letter == "x"})
    found = patterns_of(beats, beats.anomalous)
    lists = [[(p.first, p.last) for p in some] for some in (found.couplets, found.runs, found.bigeminy)]
    return found.single, lists[0], lists[1], lists[2]


def test_patterns() -> None:
    assert patterns("NNVNNVVNNVVVVN") == (1, [(5, 6)], [(9, 12)], [])
    assert patterns("NVNVNVNN") == (3, [], [], [(0, 5)])
    assert patterns("NVVxVVN") == (0, [(1, 2), (4, 5)], [], [])
    assert patterns("VVV") == (0, [], [(0, 2)], [])
    assert patterns("NVNV_VNV") == (4, [], [], [])


@given(st.text("NVx_", min_size=1, max_size=60))
def test_every_ventricular_beat_is_single_in_a_couplet_or_in_a_run(letters: str) -> None:
    single, couplets, runs, _ = patterns(letters)
    in_runs = sum(last - first + 1 for first, last in runs)
    assert single + 2 * len(couplets) + in_runs == letters.count("V")


def test_hours_add_up_and_empty_hours_are_there() -> None:
    beats = beats_of_rr([0.75] * 6000 + [float("nan")], odd={10, 20})  # 1.25 h
    none = np.zeros(beats.r_sample.size, np.bool_)
    kinds = Kinds(beats.anomalous, none, none)
    parts = by_hour(beats, kinds, 3 * 3600.0 - 1, 300.0)
    hours = by_hour(beats, kinds, 3 * 3600.0 - 1)
    assert [sum(part.beats for part in parts[n : n + 12]) for n in (0, 12, 24)] == [hour.beats for hour in hours]
    assert [hour.hour for hour in hours] == [0, 1, 2]
    assert sum(hour.beats for hour in hours) == beats.r_sample.size
    assert [hour.ventricular for hour in hours] == [2, 0, 0]
    assert sum(hour.analysed_s for hour in hours) == pytest.approx(4500.0, rel=0.01)
    for hour in hours[:2]:
        assert hour.mean_bpm == pytest.approx(80, abs=0.5)
    assert (hours[2].beats, hours[2].mean_bpm, hours[2].min_bpm) == (0, None, None)


def bump(width_s: float, height: float = 1.0, at_s: float = 0.0) -> np.ndarray:
    return height * np.exp(-0.5 * ((CUT_OFFSETS_S - at_s) / width_s) ** 2)


def test_shapes_are_found_again_with_noise_and_jitter() -> None:
    random = np.random.default_rng(3)
    narrow, wide = bump(0.012) - 0.3 * bump(0.02, at_s=0.04), -bump(0.04) + 0.8 * bump(0.05, at_s=0.12)
    kinds = random.random(400) < 0.2
    cuts = np.array([np.roll(wide if odd else narrow, random.integers(-1, 2)) for odd in kinds])
    clusters = ShapeClusters(400)
    for rows in np.array_split(np.arange(400), 13):  # in pieces
        clusters.put(rows, cuts[rows] + random.normal(0, 0.02, (rows.size, CUT_OFFSETS_S.size)))
    shapes = clusters.shapes(~kinds)
    assert len(shapes) == 2
    assert shapes[0].rows.tolist() == np.flatnonzero(~kinds).tolist()
    assert shapes[1].rows.tolist() == np.flatnonzero(kinds).tolist()
    assert shapes[0].likeness > 0.999
    assert shapes[1].likeness < 0.8


def test_flat_beats_and_no_beats() -> None:
    clusters = ShapeClusters(3)
    assert clusters.shapes(np.ones(3, np.bool_)) == []
    clusters.put(np.arange(3), np.zeros((3, CUT_OFFSETS_S.size)))
    assert sum(shape.rows.size for shape in clusters.shapes(np.ones(3, np.bool_))) == 3
