"""Local maxima equal scipy's, also on plateaus, at the ends and beside NaN."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray
from scipy.signal import find_peaks

from detector.peaks import find_apart, find_prominent, maxima

Samples = NDArray[np.float64]

# Of few values, so that plateaus and equal heights abound; or of any.
few = npst.arrays(np.float64, st.integers(0, 60), elements=st.integers(0, 6).map(float))
distinct = st.integers(3, 60).flatmap(lambda n: st.permutations(range(n))).map(lambda x: np.array(x, np.float64))
signals = few | distinct | npst.arrays(np.float64, st.integers(0, 60), elements=st.floats(-10, 10, width=32))


@given(signals)
def test_the_most_prominent_maximum_is_scipys(signal: Samples) -> None:
    places, found = find_prominent(signal, prominence=(None, None))
    expected, properties = find_peaks(signal, prominence=(None, None))
    assert places.tolist() == expected.tolist()
    if places.size:
        assert np.argmax(found["prominences"]) == np.argmax(properties["prominences"])
    if places.size > 1:
        assert found["prominences"].tolist() == properties["prominences"].tolist()


def apart_in(signal: Samples, least: float, apart: int) -> list[int]:
    """Maxima of one row of two; the other must not matter."""
    places, _ = maxima(np.array([signal, signal[::-1]]))
    found: list[int] = find_apart(signal, places, least, apart).tolist()
    return found


@given(signals, st.floats(-10, 10), st.integers(1, 30))
def test_maxima_apart_are_scipys(signal: Samples, least: float, apart: int) -> None:
    expected = find_peaks(signal, height=least, distance=apart)[0]
    assert apart_in(signal, least, apart) == expected.tolist()


@given(st.integers(0, 2**32 - 1), st.integers(1, 80))
def test_maxima_apart_are_scipys_in_noise(seed: int, apart: int) -> None:
    signal = np.abs(np.random.default_rng(seed).normal(size=900))
    assert apart_in(signal, 0.2, apart) == find_peaks(signal, height=0.2, distance=apart)[0].tolist()


def test_nan_is_treated_as_by_scipy() -> None:
    signal = np.array([0.0, 1.0, np.nan, 2.0, 1.0, 3.0, 0.0])
    assert apart_in(signal, 0.0, 1) == find_peaks(signal, height=0.0, distance=1)[0].tolist()


def test_bounds_of_prominence_are_refused() -> None:
    with pytest.raises(ValueError, match="prominence"):
        find_prominent(np.zeros(5), prominence=(1.0, None))  # type: ignore[arg-type]
