"""Synthetic anomalies: each family makes its change only, and all draws come from the generator."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.train.helpers import normal_source, public_beats, waves
from train.data.perturb import FAMILIES, Family, Source, family_names, perturb
from train.data.perturb_kaggle import KAGGLE_FAMILIES, kaggle_family_names, perturb_kaggle
from train.data.records import NormalBeats

SOURCE = normal_source()
R = 62
BY_NAME = {family.__name__: family for family, _ in FAMILIES}
every_family = pytest.mark.parametrize("family", [family for family, _ in FAMILIES], ids=family_names())

# Lowest and highest factor of the RR interval, and the least share of beats that come early.
EARLY = {
    "ventricular": (0.45, 1.15, 0.7),
    "widened": (0.45, 1.15, 0.6),
    "premature": (0.45, 0.90, 1.0),
    "junctional": (0.50, 0.92, 1.0),
    "fusion": (0.75, 1.05, 0.5),
    "amplified": (0.45, 1.15, 0.4),
}


def made(family: Family, source: Source = SOURCE, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return family(source, np.random.default_rng(seed))


def at_ms(low: float, high: float) -> slice:
    """Samples between two instants relative to the R-peak."""
    return slice(R + round(low / 8), R + round(high / 8))


def scaled(source: Source, gain: float) -> Source:
    return replace(
        source,
        **{name: gain * getattr(source, name) for name in ("beats", "previous", "other", "amplitude_mv")},
    )


@every_family
def test_every_family_changes_every_beat_finitely(family: Family) -> None:
    beats, factors = made(family)
    assert beats.shape == SOURCE.beats.shape
    assert factors.shape == SOURCE.rr_s.shape
    assert np.isfinite(beats).all()
    changed = np.abs(beats - SOURCE.beats).max(axis=1) / SOURCE.amplitude_mv
    # A premature beat of a patient whose P wave is small differs in little but its time.
    assert (changed > (0.02 if family.__name__ in ("premature", "junctional") else 0.05)).mean() > 0.95
    assert np.abs(beats).max() < 10 * SOURCE.amplitude_mv.max()


@every_family
def test_only_early_families_shorten_the_interval(family: Family) -> None:
    _, factors = made(family)
    if family.__name__ not in EARLY:
        assert (factors == 1).all()
        return
    low, high, share = EARLY[family.__name__]
    assert low <= factors.min() < factors.max() <= high
    assert (factors < 1).mean() >= share


@every_family
@given(gain=st.floats(0.1, 20), seed=st.integers(0, 50))
def test_an_anomaly_scales_with_the_beat(family: Family, gain: float, seed: int) -> None:
    source = normal_source(16)
    quiet, factors = made(family, source, seed)
    loud, again = made(family, scaled(source, gain), seed)
    np.testing.assert_allclose(loud, gain * quiet, rtol=1e-9, atol=1e-9 * gain)
    np.testing.assert_array_equal(again, factors)


def test_a_premature_beat_keeps_its_qrs_on_the_tail_of_the_beat_before() -> None:
    beats, factors = made(BY_NAME["premature"])
    changed = np.abs(beats - SOURCE.beats) / SOURCE.amplitude_mv[:, None]
    kept = changed[:, at_ms(0, 350)].max(axis=1) < 0.05
    assert 0.65 < kept.mean() < 0.85  # one in four is aberrant
    assert changed[:, at_ms(150, 990)].max() < 0.02

    early = slice(0, R - round(0.32 * 125))  # before the earliest P wave: only the remainder of the beat before
    for row in range(0, len(beats), 7):
        shift = factors[row] * SOURCE.rr_s[row] * 125.0
        expected = np.interp(np.arange(187) + shift, np.arange(187), SOURCE.previous[row])
        np.testing.assert_allclose(beats[row, early], expected[early], atol=0.01 * SOURCE.amplitude_mv[row])
    assert changed[:, early].max() > 0.1  # which may be its T wave


def test_a_junctional_beat_keeps_its_qrs_and_has_no_p_wave() -> None:
    source = normal_source()
    source = replace(source, previous=np.zeros_like(source.previous))  # no remainder of the beat before
    beats, _ = made(BY_NAME["junctional"], source)
    p_wave = at_ms(-200, -150)
    assert np.abs(source.beats[:, p_wave] / source.amplitude_mv[:, None]).max(axis=1).min() > 0.08
    assert np.abs(beats[:, p_wave] / source.amplitude_mv[:, None]).max() < 0.02
    changed = np.abs(beats - source.beats) / source.amplitude_mv[:, None]
    assert changed[:, at_ms(0, 16)].max() < 0.15


def test_a_widened_beat_is_wide_and_a_ventricular_one_wider_than_the_patients() -> None:
    def width(beats: NDArray[np.float64]) -> NDArray[np.float64]:
        """Samples over half of the highest deflection, from -100 to +150 ms."""
        qrs = np.abs(beats[:, at_ms(-100, 150)])
        return np.asarray((qrs > 0.5 * qrs.max(axis=1, keepdims=True)).sum(axis=1), dtype=np.float64)

    own = np.median(width(SOURCE.beats))
    assert np.median(width(made(BY_NAME["widened"])[0])) >= 1.4 * own
    assert np.median(width(made(BY_NAME["ventricular"])[0])) >= 2 * own


def test_changes_after_the_qrs_leave_the_samples_before_it() -> None:
    for name in ("flattened", "foreign_tail"):
        beats, _ = made(BY_NAME[name])
        changed = np.abs(beats - SOURCE.beats) / SOURCE.amplitude_mv[:, None]
        assert changed[:, at_ms(-400, -30)].max() < 0.03, name
        assert np.median(changed[:, at_ms(150, 350)].max(axis=1)) > 0.05, name


def test_an_amplified_beat_differs_in_its_qrs_only() -> None:
    beats, _ = made(BY_NAME["amplified"])
    changed = np.abs(beats - SOURCE.beats) / SOURCE.amplitude_mv[:, None]
    assert changed[:, at_ms(-20, 20)].max(axis=1).min() > 0.3
    assert changed[:, at_ms(150, 990)].max() < 0.02


def test_all_families_are_drawn_as_often_as_they_say() -> None:
    source = normal_source(6000)
    _, _, kinds = perturb(source, np.random.default_rng(0))
    counts = np.bincount(kinds, minlength=len(FAMILIES))
    for count, (family, weight) in zip(counts.tolist(), FAMILIES, strict=True):
        assert abs(count - 6000 * weight) < 4 * np.sqrt(6000 * weight), family.__name__
    assert len(set(family_names())) == len(FAMILIES)


@given(seed=st.integers(0, 1000))
def test_a_seed_gives_the_same_anomalies_and_the_source_is_unchanged(seed: int) -> None:
    source = normal_source(40)
    copy = {field.name: getattr(source, field.name).copy() for field in fields(Source)}
    first, again = (perturb(source, np.random.default_rng(seed)) for _ in range(2))
    other = perturb(source, np.random.default_rng(seed + 1))
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)
    for name, values in copy.items():
        np.testing.assert_array_equal(getattr(source, name), values)
    assert first[0].dtype == np.float32


def test_an_unknown_interval_counts_as_0_8_s() -> None:
    unknown, usual = (replace(SOURCE, rr_s=np.full(len(SOURCE.rr_s), value)) for value in (np.nan, 0.8))
    for a, b in zip(*(perturb(source, np.random.default_rng(0)) for source in (unknown, usual)), strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.isfinite(a).all()


@given(n=st.integers(0, 3), height=st.sampled_from([0.0, 1e-6, 50.0]))
def test_few_flat_or_huge_beats_give_finite_anomalies(n: int, height: float) -> None:
    beats = waves(2.5, np.full(n, height))
    beats_, factors, kinds = perturb(
        Source(beats, beats, beats, np.full(n, max(height, 0.05)), np.full(n, 0.3)), np.random.default_rng(0)
    )
    assert np.isfinite(beats_).all()
    assert beats_.shape == (n, 187)
    assert factors.shape == kinds.shape == (n,)


# The public set: 0..1, from the R-peak on, padded with zeros


def lengths(beats: NDArray[np.float32]) -> NDArray[np.int64]:
    """Samples before the padding."""
    return np.array([np.flatnonzero(beat)[-1] + 1 for beat in beats])


def test_public_anomalies_are_scaled_and_padded_as_the_public_beats_are() -> None:
    normals = NormalBeats(public_beats(2000)).beats
    copy = normals.copy()
    beats, kinds = perturb_kaggle(normals, np.random.default_rng(0))
    np.testing.assert_array_equal(normals, copy)
    assert beats.dtype == np.float32
    assert (beats.min(axis=1) == 0).all()
    assert (beats.max(axis=1) == 1).all()
    foreign_tail = kinds == kaggle_family_names().index("foreign_tail")
    for made_, own in zip(beats[~foreign_tail], lengths(normals)[~foreign_tail].tolist(), strict=True):
        assert not made_[own:].any()
    ends = set(lengths(normals).tolist())
    assert set(lengths(beats[foreign_tail]).tolist()) <= ends | {end - 1 for end in ends}
    counts = np.bincount(kinds, minlength=len(KAGGLE_FAMILIES))
    assert counts.min() > 0.7 * len(normals) / len(KAGGLE_FAMILIES)
    for kind, name in enumerate(kaggle_family_names()):
        changed = np.abs(beats - normals)[kinds == kind].max(axis=1)
        assert (changed > 0.03).mean() > 0.9, name


@given(seed=st.integers(0, 1000))
def test_a_seed_gives_the_same_public_anomalies(seed: int) -> None:
    normals = NormalBeats(public_beats(60)).beats
    first, again, other = (perturb_kaggle(normals, np.random.default_rng(s)) for s in (seed, seed, seed + 1))
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)


@given(seed=st.integers(0, 200), length=st.integers(1, 187))
def test_public_beats_of_any_length_give_valid_public_beats(seed: int, length: int) -> None:
    rng = np.random.default_rng(seed)
    normals = rng.random((22, 187)).astype(np.float32)
    normals[:, length:] = 0
    beats, _ = perturb_kaggle(normals, rng)
    assert np.isfinite(beats).all()
    assert beats.min() >= 0
    assert beats.max() <= 1
    assert not beats[:, max(length, 30) :].any()
