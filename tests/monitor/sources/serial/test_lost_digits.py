"""Counts with a lost or an added digit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.sources.adc_counts import unsigned_adc
from monitor.sources.serial.lost_digits import LostDigits
from tests.monitor.emulator.helpers import signal_of

NAN = float("nan")


def pushed(*values: float) -> list[float]:
    digits = LostDigits()
    return [count for value in values for count in digits.push(value)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((512, 52, 514, 515), [512, NAN, 514, 515]),
        ((512, 5123, 514), [512, NAN, 514]),
        ((512, 52, NAN, 514), [512, NAN, NAN, 514]),
        ((512, 52, 51, 514), [512, 52, 51]),  # a change that lasts is none; 514 waits for the next
        ((512, 52, 51, 514, 513), [512, 52, 51, 514, 513]),
        ((512, 400, 512, 900, 512), [512, 400, 512, 900, 512]),
        ((3, 0, 12, 2, 1), [3, 0, 12, 2, 1]),
    ],
)
def test_one_count_of_another_size_is_no_value(values: tuple[float, ...], expected: list[float]) -> None:
    np.testing.assert_array_equal(pushed(*values), expected)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_an_ecg_is_left_as_it_is(bits: int) -> None:
    counts = unsigned_adc(bits, 3.3, 1100.0).counts(signal_of(5000, 250.0)).tolist()
    assert pushed(*counts) == counts


@given(st.lists(st.floats(0, 4095) | st.just(NAN), max_size=60))
def test_no_count_is_lost_or_moved(values: list[float]) -> None:
    got = pushed(*values)
    assert len(values) - 1 <= len(got) <= len(values)
    for before, after in zip(values, got, strict=False):
        assert after != after or after == before
