"""Time-domain variability: neurokit2 and a plain sum over the window as references."""

from __future__ import annotations

import warnings

import neurokit2 as nk
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from detector.variability import WINDOW_S, ShortTermWindow, TimeDomain, sums_of

FS_HZ = 250.0
# (samples to the beat before, known, scored, anomalous); long ones empty the window within a few beats
BEATS = st.lists(
    st.tuples(
        st.integers(50, 500) | st.sampled_from([200, 212, 213, 20_000, 70_000]), st.booleans(), st.booleans(),
        st.booleans(),
    ),
    max_size=60,
)  # fmt: skip


def in_window(r_sample: list[int], rr_s: list[float], nn: list[bool], now: int) -> TimeDomain:
    """The figures of the window, summed anew."""
    own = np.array(r_sample, np.int64) > now - WINDOW_S * FS_HZ
    return sums_of(np.array(rr_s)[own], np.array(nn, np.bool_)[own]).time_domain(1000.0)


@examples(max_examples=150, deadline=None)
@given(beats=BEATS, later=st.integers(0, 80_000))
def test_running_sums_are_those_of_the_window(beats: list[tuple[int, bool, bool, bool]], later: int) -> None:
    window, now, before = ShortTermWindow(FS_HZ), 0, False
    r_sample: list[int] = []
    rr_s: list[float] = []
    nn: list[bool] = []
    for n, (step, known, scored, odd) in enumerate([*beats, *beats]):  # twice, so that early beats leave the window
        now += step
        rr = step / FS_HZ if known and n else None
        window.push(now, rr, scored=scored, anomalous=odd)
        usual = scored and not odd
        r_sample.append(now)
        rr_s.append(np.nan if rr is None else rr)
        nn.append(rr is not None and usual and before)
        before = usual
        for sample in (now, now + later) if n == 2 * len(beats) - 1 else (now,):
            window.forget(sample)
            ours, theirs = window.time_domain(), in_window(r_sample, rr_s, nn, sample)
            assert ours.intervals == theirs.intervals
            assert (ours.sdnn_ms is None) == (theirs.sdnn_ms is None)
            if theirs.sdnn_ms is not None:
                assert ours.mean_nn_ms == pytest.approx(theirs.mean_nn_ms)
                assert ours.sdnn_ms == pytest.approx(theirs.sdnn_ms, abs=1e-3)
            assert ours.rmssd_ms == pytest.approx(theirs.rmssd_ms, abs=1e-6)
            assert ours.pnn50 == pytest.approx(theirs.pnn50)
    window.forget(now + round(WINDOW_S * FS_HZ))
    assert (window.sums.intervals, window.sums.total, window.sums.squares, window.sums.steps) == (0, 0, 0, 0)
    assert (window.nn_s, window.ectopic_s, window.paced_s) == (0, 0, 0)


def test_five_minutes_are_those_of_neurokit2() -> None:
    """To 1e-9 of SDNN and RMSSD; pNN50 to 1 %, because it divides by another number of intervals."""
    random = np.random.default_rng(3)
    at = np.arange(900)
    rr = 200 + 10 * np.sin(at / 4) + 6 * np.sin(at / 1.3) + random.normal(0, 6, at.size)
    peaks = np.cumsum(np.round(rr)).astype(np.int64)
    window = ShortTermWindow(FS_HZ)
    for before, r_sample in zip([None, *peaks[:-1].tolist()], peaks.tolist(), strict=True):
        window.push(r_sample, None if before is None else (r_sample - before) / FS_HZ, scored=True, anomalous=False)
    ours = window.time_domain()
    first = np.flatnonzero(peaks > peaks[-1] - WINDOW_S * FS_HZ)[0] - 1  # the beat at which the first interval begins
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = nk.hrv_time(peaks[first:] - peaks[first], sampling_rate=FS_HZ).iloc[0]
    assert ours.intervals == peaks.size - first - 1
    assert ours.mean_nn_ms == pytest.approx(theirs["HRV_MeanNN"], rel=1e-9)
    assert ours.sdnn_ms == pytest.approx(theirs["HRV_SDNN"], rel=1e-9)
    assert ours.rmssd_ms == pytest.approx(theirs["HRV_RMSSD"], rel=1e-9)
    assert ours.pnn50 is not None
    assert 0.05 < ours.pnn50 < 0.6
    assert 100 * ours.pnn50 == pytest.approx(theirs["HRV_pNN50"], rel=0.01)


@pytest.mark.parametrize(("step", "share"), [(12, 0.0), (13, 1.0)])
def test_only_differences_above_50_ms_count(step: int, share: float) -> None:
    """12 samples are 48 ms, 13 are 52 ms."""
    window, now = ShortTermWindow(FS_HZ), 0
    for n in range(40):
        rr = 200 + step * (n % 2)
        now += rr
        window.push(now, rr / FS_HZ, scored=True, anomalous=False)
    assert window.time_domain().pnn50 == share
    exact = sums_of(np.array([0.8, 0.85, 0.8]), np.ones(3, np.bool_))
    assert exact.steps_above == 0, "a difference of 50 ms is not above 50 ms"


def test_a_window_of_the_fastest_heart_is_bounded() -> None:
    window = ShortTermWindow(FS_HZ)
    for n in range(1, 5000):
        window.push(50 * n, 0.2, scored=True, anomalous=False)
    assert window.sums.intervals == WINDOW_S / 0.2
