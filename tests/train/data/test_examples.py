"""Examples of an epoch: normals and synthetic anomalies, disturbed alike, seeded, no abnormal beat."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector import CONTEXT_FIELDS
from tests.train.helpers import patients, public_beats
from train.data.examples import DROPPED, Examples, draw_examples, plain_examples
from train.data.perturb import FAMILIES
from train.data.records import LabelledBeats, NormalBeats

ARRAYS = ("beats", "templates", "values", "kinds")


@cache
def normals() -> NormalBeats:
    return NormalBeats(patients(records=3, beats=60))


def drawn(seed: int = 0, disturb: bool = True) -> Examples:
    return draw_examples(normals(), np.random.default_rng(seed), disturb=disturb)


@given(seed=st.integers(0, 100), disturb=st.booleans())
def test_first_the_normals_then_an_anomaly_of_each(seed: int, disturb: bool) -> None:
    examples, n = drawn(seed, disturb), len(normals())
    assert examples.beats.shape == (2 * n, 187)
    assert examples.templates.shape == (2 * n, 2, 187)
    assert examples.values.shape == (2 * n, len(CONTEXT_FIELDS))
    assert not examples.kinds[:n].any()
    assert set(examples.kinds[n:].tolist()) <= set(range(1, len(FAMILIES) + 1))
    assert (examples.kinds[n:] > 0).all()
    assert np.isfinite(examples.beats).all()
    assert {getattr(examples, name).dtype for name in ARRAYS[:3]} == {np.dtype(np.float32)}


@given(seed=st.integers(0, 100))
def test_undisturbed_normals_are_unchanged(seed: int) -> None:
    examples, contexts, n = drawn(seed, disturb=False), normals().contexts, len(normals())
    assert contexts is not None
    np.testing.assert_array_equal(examples.beats[:n], normals().beats)
    np.testing.assert_array_equal(examples.templates[:n], contexts.templates)
    np.testing.assert_array_equal(examples.values[:n], contexts.values)
    # And the anomalies meet the same patient: only the interval may differ.
    np.testing.assert_array_equal(examples.templates[n:], contexts.templates)
    np.testing.assert_array_equal(examples.values[n:, 1:], contexts.values[:, 1:])
    sooner = examples.values[n:, 0] / contexts.values[:, 0]
    assert np.nanmin(sooner) < 0.6
    assert (np.abs(examples.beats[n:] - normals().beats).max(axis=1) > 0.01).mean() > 0.97


@given(seed=st.integers(0, 100))
def test_without_context_only_the_interval_is_known(seed: int) -> None:
    examples = drawn(seed)
    forgotten = np.isnan(examples.templates).any(axis=(1, 2))
    assert np.isnan(examples.templates[forgotten]).all()
    assert np.isnan(examples.values[forgotten, 1:]).all()
    unknown = 3 * 2 / len(examples.beats)  # the first beat of each record has no interval
    assert np.isnan(examples.values[forgotten, 0]).mean() < 5 * unknown
    assert np.isfinite(examples.values[~forgotten, 6]).all()
    assert np.isfinite(examples.templates[~forgotten]).all()


def test_a_fifth_of_the_contexts_is_dropped() -> None:
    contexts, n = normals().contexts, len(normals())
    assert contexts is not None
    known = np.isfinite(contexts.templates[:, 0, 0])
    shares = []
    for seed in range(20):
        forgotten = np.isnan(drawn(seed).templates[:, 0, 0])
        assert forgotten[:n][~known].all()
        assert forgotten[n:][~known].all()
        shares.append((forgotten[:n][known].mean(), forgotten[n:][known].mean()))
    np.testing.assert_allclose(np.mean(shares, axis=0), DROPPED, atol=0.03)  # no clue to what is an anomaly


@pytest.mark.slow
@given(seed=st.integers(0, 100))
def test_a_seed_gives_the_same_arrays_and_the_normals_are_unchanged(seed: int) -> None:
    contexts = normals().contexts
    assert contexts is not None
    held = normals().beats.copy(), contexts.templates.copy(), contexts.values.copy()
    first, again, other = drawn(seed), drawn(seed), drawn(seed + 1)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert not np.array_equal(getattr(first, name), getattr(other, name))
    for now, then in zip((normals().beats, contexts.templates, contexts.values), held, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_disturbed_normal_still_resembles_its_template() -> None:
    """Mixing and inversion change beat and templates together."""
    apart = {}
    for name, disturb in (("drawn", True), ("plain", False)):
        ratios = []
        for seed in range(5):
            examples = drawn(seed, disturb)
            part = slice(0, len(normals()))
            distance = np.linalg.norm(examples.beats[part, 45:106] - examples.templates[part, 0, 45:106], axis=1)
            ratios.append(distance / examples.values[part, 6])
        apart[name] = np.nanmedian(ratios)
    assert apart["plain"] < apart["drawn"] < 8 * apart["plain"]
    strange = drawn(0)
    rows = slice(len(normals()), None)
    distance = np.linalg.norm(strange.beats[rows, 45:106] - strange.templates[rows, 0, 45:106], axis=1)
    assert np.nanmedian(distance / strange.values[rows, 6]) > 2 * apart["drawn"]


def test_abnormal_beats_cannot_enter() -> None:
    source = patients(records=3, beats=60)
    marked = source.beats.copy()
    marked[source.labels != "N"] = 1e6
    beats = NormalBeats(LabelledBeats(marked, source.labels, source.records, source.contexts))
    examples = draw_examples(beats, np.random.default_rng(0))
    assert np.abs(examples.beats).max() < 100
    np.testing.assert_array_equal(examples.beats, drawn(0).beats)  # not one bit depends on them
    np.testing.assert_array_equal(examples.templates, drawn(0).templates)


def test_plain_examples_are_the_normals_with_or_without_their_patient() -> None:
    contexts = normals().contexts
    assert contexts is not None
    known, unknown = plain_examples(normals()), plain_examples(normals(), known=False)
    np.testing.assert_array_equal(known.templates, contexts.templates)
    np.testing.assert_array_equal(known.values, contexts.values)
    assert np.isnan(unknown.templates).all()
    assert np.isnan(unknown.values[:, 1:]).all()
    np.testing.assert_array_equal(unknown.values[:, 0], contexts.values[:, 0])
    for examples in (known, unknown):
        np.testing.assert_array_equal(examples.beats, normals().beats)
        assert not examples.kinds.any()


def test_beats_without_contexts_are_refused() -> None:
    with pytest.raises(ValueError, match="no context"):
        plain_examples(NormalBeats(public_beats(20)))
