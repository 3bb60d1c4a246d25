"""Counts of an ADC among numbers without a unit: recognition, scale, remedy."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources import SourceOptions, open_source
from monitor.sources.adc_counts import given_adc, looks_like_counts, signed_adc, unfit, unsigned_adc


def ecg(seconds: int = 3) -> NDArray[np.float64]:
    source = open_source("sim:sinus=60", SourceOptions(fs_hz=250.0))
    chunk = source.read(250 * seconds)
    source.close()
    assert chunk is not None
    return chunk.samples


@pytest.mark.parametrize(
    ("bits", "vref", "gain"), [(10, 5.0, 1100.0), (12, 3.3, 1100.0), (14, 5.0, 1100.0), (16, 3.3, 1100.0)]
)
def test_counts_are_recognised_and_the_proposed_scale_is_right(bits: int, vref: float, gain: float) -> None:
    counts = unsigned_adc(bits, vref, gain).counts(ecg())
    text = looks_like_counts(counts)
    assert text is not None
    assert f"--adc-bits {bits} --vref {vref:g} --gain {gain:g}" in text
    assert "\n" not in text


def test_signed_counts_of_24_bits_are_recognised() -> None:
    text = looks_like_counts(signed_adc(24, 2.42, 6.0).counts(ecg() - 100.0))  # an electrode offset
    assert text is not None
    assert "--adc-bits 24 --vref 2.42 --gain 6" in text


@pytest.mark.parametrize("factor", [1.0, 1e-3])
def test_mv_and_v_are_no_counts(factor: float) -> None:
    assert looks_like_counts(ecg() * factor) is None


@pytest.mark.parametrize(
    "numbers", [[], [float("nan")] * 9, [0, 1, 0, 1] * 50, [512] * 50, [1, 2, 3, 4, 5] * 9, [1, 2, 3, 1e99]]
)
def test_a_flag_a_flat_line_and_nothing_are_no_counts(numbers: list[float]) -> None:
    assert looks_like_counts(numbers) is None


def test_garbled_numbers_do_not_hide_counts() -> None:
    counts = unsigned_adc(12, 3.3, 1100.0).counts(ecg()).astype(float)
    counts[::50] = 0.5
    counts[1::100] = 1e7
    text = looks_like_counts(counts)
    assert text is not None
    assert "--adc-bits 12" in text


def test_numbers_that_do_not_fit_the_given_bits_name_enough() -> None:
    counts = unsigned_adc(12, 3.3, 1100.0).counts(ecg())
    text = unfit(unsigned_adc(10, 5.0, 1100.0), counts, 10)
    assert text is not None
    assert re.search(r"e\.g\. \d+, do not fit --adc-bits 10; give --adc-bits 12$", text)
    assert unfit(unsigned_adc(12, 3.3, 1100.0), counts, 12) is None


def test_the_given_adc() -> None:
    assert given_adc(SourceOptions(), "csv:x") is None
    adc = given_adc(SourceOptions(adc_bits=10, vref=5.0, gain=1100.0), "csv:x")
    assert adc == unsigned_adc(10, 5.0, 1100.0)
    with pytest.raises(SourceError, match="csv:x: the ADC's scale needs --gain too"):
        given_adc(SourceOptions(adc_bits=10, vref=5.0), "csv:x")
    with pytest.raises(SourceError, match="99 bits"):
        given_adc(SourceOptions(adc_bits=99, vref=5.0, gain=1.0), "csv:x")
