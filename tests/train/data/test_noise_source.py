"""Recorded noise for training examples: its level, its share, and that it does not identify an anomaly."""

from __future__ import annotations

import numpy as np
import pytest

from tests.train.fit.helpers import needs_nstdb
from tests.train.helpers import patients
from train.data.examples import draw_examples
from train.data.noise_source import SNR_DB, NoiseSource
from train.data.records import NormalBeats


@pytest.fixture(scope="module")
def source() -> NoiseSource:
    return NoiseSource(0.5)


@needs_nstdb
def test_level_and_share_are_as_asked(source: NoiseSource) -> None:
    height = np.full(4000, 2.0, np.float32)
    noise = source.draw(height, np.random.default_rng(0))
    assert noise.shape == (4000, 187)
    silent = ~noise.any(axis=1)
    assert 0.45 < silent.mean() < 0.55
    # Over all noisy beats: mean power of a uniform ratio of 6 to 24 dB, at a signal power of 2.0^2 / 8.
    ratios = 10.0 ** (-np.linspace(*SNR_DB, 1000) / 10.0)
    expected = 0.5 * ratios.mean()
    assert np.mean(noise[~silent] ** 2) == pytest.approx(expected, rel=0.25)
    double = source.draw(2 * height, np.random.default_rng(0))
    np.testing.assert_allclose(double, 2 * noise, rtol=1e-5)


@needs_nstdb
def test_normal_beats_and_anomalies_get_the_same_noise(source: NoiseSource) -> None:
    normals = NormalBeats(patients(records=3, beats=200, abnormal=0.0))
    quiet, noisy = (draw_examples(normals, np.random.default_rng(1), noise=noise) for noise in (None, source))
    added = noisy.beats - quiet.beats
    normal = noisy.kinds == 0
    level = [float(np.sqrt(np.mean(added[part] ** 2))) for part in (normal, ~normal)]
    assert level[0] == pytest.approx(level[1], rel=0.3)
    assert level[0] > 0.02
    np.testing.assert_array_equal(quiet.templates, noisy.templates)
    plain = draw_examples(normals, np.random.default_rng(1), disturb=False, noise=source)
    np.testing.assert_array_equal(plain.beats[: len(normals)], normals.beats)
