"""Contexts as arrays: equal to the detector's, and from earlier beats only."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.train.helpers import detected_beats
from train.data.contexts import Contexts, join_contexts, record_contexts, stack_contexts

ARRAYS = ("templates", "values", "previous")


def same(a: Contexts, b: Contexts) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def record(n: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    rr_s = np.where(rng.random(n) < 0.1, np.nan, rng.uniform(0.4, 1.2, n))
    return rng.normal(0, 0.3, (n, 187)).astype(np.float32), rr_s


def test_contexts_of_a_record_equal_the_detectors() -> None:
    beats = detected_beats()
    first = next(k for k, beat in enumerate(beats) if beat.scorable)
    last = max(k for k, beat in enumerate(beats) if beat.scorable)
    good = beats[first : last + 1]
    assert len(good) > 70
    assert all(beat.scorable for beat in good)  # each is learnt
    samples = np.array([beat.samples for beat in good])
    rr_s = np.array([np.nan if beat.rr_s is None else beat.rr_s for beat in good])
    by_detector = stack_contexts([beat.context for beat in good], samples, rr_s)
    same(record_contexts(samples, rr_s), by_detector)
    assert np.isfinite(by_detector.templates[8:]).all()
    assert np.isnan(by_detector.templates[:8]).all()


def test_the_beat_before_is_known_where_the_interval_is() -> None:
    beats, rr_s = record(60, 1)
    rr_s[0] = 0.8  # of a beat that is not among these
    contexts = record_contexts(beats, rr_s)
    for k in range(60):
        if k == 0 or np.isnan(rr_s[k]):
            assert np.isnan(contexts.previous[k]).all()
        else:
            np.testing.assert_array_equal(contexts.previous[k], beats[k - 1])
    np.testing.assert_array_equal(contexts.values[:, 0], rr_s.astype(np.float32))


@given(seed=st.integers(0, 100))
def test_rows_and_join_keep_the_arrays_aligned(seed: int) -> None:
    parts = [record_contexts(*record(n, seed + n)) for n in (12, 20)]
    joined = join_contexts(parts)
    assert len(joined) == 32
    same(joined.rows(np.arange(12)), parts[0])
    same(joined.rows(np.arange(32) >= 12), parts[1])
    order = np.random.default_rng(seed).permutation(32)
    same(joined.rows(order).rows(np.argsort(order)), joined)
