"""Heart rate variability: neurokit2 as the reference, and the definitions of 1996 at their edges."""

from __future__ import annotations

import warnings

import neurokit2 as nk
import numpy as np
import pytest

from monitor.reports.holter.hrv import SEGMENT_S, band_powers_ms2, heart_rate_variability
from tests.monitor.reports.holter.helpers import FS_HZ, beats_of_rr


def intervals(seconds: float, seed: int = 1) -> list[float]:
    """RR intervals with LF and HF oscillations and noise, s."""
    random, now, found = np.random.default_rng(seed), 0.0, []
    while now < seconds:
        waves = 0.04 * np.sin(2 * np.pi * 0.1 * now) + 0.03 * np.sin(2 * np.pi * 0.25 * now)
        found.append(float(0.8 + waves + random.normal(0, 0.005)))
        now += found[-1]
    return found


def test_time_domain_is_that_of_neurokit2() -> None:
    beats = beats_of_rr(intervals(3600))
    ours = heart_rate_variability(beats)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = nk.hrv_time(beats.r_sample, sampling_rate=FS_HZ).iloc[0]
    assert ours.mean_nn_ms == pytest.approx(theirs["HRV_MeanNN"])
    assert ours.sdnn_ms == pytest.approx(theirs["HRV_SDNN"])
    assert ours.rmssd_ms == pytest.approx(theirs["HRV_RMSSD"])
    assert ours.sdann_ms == pytest.approx(theirs["HRV_SDANN5"], rel=0.1)  # its segments begin with the first beat
    assert ours.pnn50 is not None
    assert 100 * ours.pnn50 == pytest.approx(theirs["HRV_pNN50"], rel=0.01)  # it divides by n, not by n - 1


def test_power_is_that_of_neurokit2_and_of_the_oscillations() -> None:
    beats = beats_of_rr(intervals(SEGMENT_S))
    lf, hf = band_powers_ms2(beats.time_s[1:], 1000 * beats.rr_s[1:])
    assert lf == pytest.approx(40.0**2 / 2, rel=0.15)  # the power of a sine of 40 ms
    assert hf == pytest.approx(30.0**2 / 2, rel=0.15)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = nk.hrv_frequency(beats.r_sample, sampling_rate=FS_HZ, normalize=False, psd_method="welch").iloc[0]
    assert lf / hf == pytest.approx(theirs["HRV_LFHF"], rel=0.15)


def test_ectopic_beats_and_gaps_take_their_intervals_out() -> None:
    plain = intervals(1200)
    odd = set(range(50, len(plain), 40))
    rr_s = [0.3 if at + 1 in odd else rr for at, rr in enumerate(plain)]
    rr_s[30] = float("nan")
    beats = beats_of_rr(rr_s, odd=odd, unscored={20})
    ours = heart_rate_variability(beats)
    assert ours.intervals == len(rr_s) - 2 * len(odd) - 2 - 1
    kept = beats.rr_s[beats.nn]
    assert kept.min() > 0.6
    assert ours.sdnn_ms == pytest.approx(1000 * kept.std(ddof=1))


@pytest.mark.parametrize("n", [0, 1, 2])
def test_a_few_beats_give_no_figure(n: int) -> None:
    ours = heart_rate_variability(beats_of_rr([0.8] * n, unscored=set(range(n + 1))))
    assert (ours.intervals, ours.sdnn_ms, ours.sdann_ms, ours.lf_hf) == (0, None, None, None)
