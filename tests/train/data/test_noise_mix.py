"""Noise is mixed as nstdb's own records were."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.train.fit.helpers import needs_nstdb
from train.data.noise_mix import mix, noise_gain, noise_rms_mv, qrs_height_mv, read_noise
from train.data.records import Record, read_record
from train.errors import DataError
from train.evaluate.noise_protocol import minutes, record_name


def made(height_mv: float, labels: str = "N") -> Record:
    signal = np.zeros(36_000)
    at = np.arange(180, 36_000 - 180, 300)
    signal[at] = height_mv
    return Record("made", "mitdb", "MLII", 360.0, signal, at, np.full(len(at), labels))


@pytest.mark.parametrize("snr_db", [24, 0, -6])
def test_the_mix_has_the_requested_ratio(snr_db: int) -> None:
    record, noise = made(2.0), np.random.default_rng(0).normal(0, 0.3, 36_000)
    assert qrs_height_mv(record) == pytest.approx(2.0)
    mixed = mix(record, noise, snr_db, [(7200, 14_400)])
    added = mixed - record.samples_mv
    assert not added[:7200].any()
    assert not added[14_400:].any()
    power = noise_rms_mv(added[7200:14_400], 360.0) ** 2
    assert 10 * math.log10(2.0**2 / 8 / power) == pytest.approx(snr_db, abs=0.2)


def test_short_noise_is_repeated() -> None:
    record = made(1.0)
    mixed = mix(record, np.concatenate((np.ones(360), -np.ones(360))) + np.arange(720) % 2, 0, [(0, 1440)])
    added = mixed - record.samples_mv
    np.testing.assert_allclose(added[:720], added[720:1440])


def test_unmeasurable_noise_and_records_are_refused() -> None:
    with pytest.raises(DataError, match="no noise 'hiss'"):
        read_noise("hiss")
    with pytest.raises(DataError, match="less than one second"):
        noise_rms_mv(np.zeros(10), 360.0)
    empty = Record("made", "mitdb", "MLII", 360.0, np.zeros(900), np.zeros(0, np.int64), np.zeros(0, "<U1"))
    with pytest.raises(DataError, match="no annotated beat"):
        qrs_height_mv(empty)
    assert qrs_height_mv(made(1.5, "V")) == pytest.approx(1.5)


@needs_nstdb
@pytest.mark.parametrize(("name", "snr_db"), [("118", 24), ("118", 6), ("119", 0), ("119", -6)])
def test_the_gains_are_those_of_nstdb(name: str, snr_db: int) -> None:
    clean, theirs = read_record(name), read_record(record_name(name, snr_db), "nstdb")
    noise, _ = read_noise("em")
    first, end = minutes(len(clean.samples_mv), 360.0)["noisy"][0]
    added, pure = (theirs.samples_mv - clean.samples_mv)[first:end], noise[first:end]
    gain = np.polyfit(pure, added, 1)[0]
    assert noise_gain(clean, noise, snr_db) == pytest.approx(gain, rel=0.01)


@needs_nstdb
def test_halves_make_the_whole() -> None:
    whole, first, second = (read_noise("ma", half)[0] for half in ("whole", "first", "second"))
    np.testing.assert_array_equal(np.concatenate((first, second)), whole)
