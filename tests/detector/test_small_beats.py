"""Bigeminy whose ventricular beats are small, against P waves at the same places."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from detector import Detector, Tick

FS_HZ = 250.0
Waves = list[tuple[float, float, float]]  # time from R in s, height in mV, width in s

P: Waves = [(-0.16, 0.12, 0.02)]
QRS: Waves = [
    (-0.026, -0.08, 0.0075),
    (0.0, 1.0, 0.0105),
    (0.027, -0.2, 0.0085),
    (0.24, 0.13, 0.05),
    (0.28, 0.18, 0.035),
]
SMALL: Waves = [(0.0, 0.45, 0.03), (0.052, 0.2, 0.024), (0.112, -0.05, 0.024), (0.3, -0.18, 0.06)]


def drawn(events: list[tuple[float, Waves]], seconds: float) -> NDArray[np.float64]:
    time_s = np.arange(round(seconds * FS_HZ)) / FS_HZ
    signal = 0.01 * np.random.default_rng(3).standard_normal(time_s.size)
    for at_s, waves in events:
        for centre, height, width in waves:
            signal += height * np.exp(-0.5 * ((time_s - at_s - centre) / width) ** 2)
    return signal


def r_s(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    detector = Detector(FS_HZ)
    events = [*detector.advance(signal), *detector.flush()]
    return np.array([r for event in events if isinstance(event, Tick) for r in event.r_samples]) / FS_HZ


@pytest.mark.parametrize("rate_bpm", [60, 75, 95])
@pytest.mark.parametrize("polarity", [1.0, -1.0])
def test_small_ventricular_beats_of_a_bigeminy_are_counted(rate_bpm: float, polarity: float) -> None:
    rr_s = 60 / rate_bpm
    normal = np.arange(0.5, 40, 2 * rr_s)
    beats = [*((r, P + QRS) for r in normal), *((r + 0.64 * rr_s, SMALL) for r in normal)]
    found = r_s(polarity * drawn(beats, 40))
    assert np.count_nonzero((found > 15) & (found < 38)) == pytest.approx(23 / rr_s, abs=2)


@pytest.mark.parametrize("coupling_s", [0.36, 0.40])
@pytest.mark.parametrize("polarity", [1.0, -1.0])
def test_small_ventricular_beats_close_behind_the_t_wave_are_counted(coupling_s: float, polarity: float) -> None:
    normal = np.arange(0.5, 40, 1.4)
    beats = [*((r, P + QRS) for r in normal), *((r + coupling_s, SMALL) for r in normal)]
    found = r_s(polarity * drawn(beats, 40))
    assert np.count_nonzero((found > 15) & (found < 38)) == pytest.approx(2 * 23 / 1.4, abs=2)


@pytest.mark.parametrize("rr_s", [1.6, 1.75, 1.9])
def test_t_waves_of_a_slow_escape_rhythm_are_not(rr_s: float) -> None:
    """Counted, they would hide an extreme bradycardia; what is left of a pacing pulse may follow them like a T wave."""
    wide: Waves = [(0.0, 1.0, 0.03), (0.05, 0.6, 0.03), (0.42, -0.42, 0.06), (0.75, 0.12, 0.06)]
    qrs = np.arange(0.5, 60, rr_s)
    found = r_s(drawn([(r, wide) for r in qrs], 60))
    assert np.count_nonzero((found > 15) & (found < 58)) == pytest.approx(43 / rr_s, abs=1)


@pytest.mark.parametrize("coupling_s", [0.31, 0.34, 0.5])
@pytest.mark.parametrize("share", [1.2, 1.6])
def test_wide_beats_on_the_t_wave_are_counted(coupling_s: float, share: float) -> None:
    """R on T: what follows at once is higher than every T wave, and so no T wave."""
    pvc: Waves = [(0.0, -share, 0.02), (0.05, -0.8 * share, 0.02), (0.36, 0.4 * share, 0.06)]
    normal = np.arange(0.5, 60, 0.85)
    early = [r + coupling_s for r in normal[8::9]]
    kept = [r for r in normal if not any(0 < r - at < 0.75 for at in early)]
    found = r_s(drawn([*((r, P + QRS) for r in kept), *((at, pvc) for at in early)], 60))
    missed = [at for at in early if at < 58 and np.abs(found - at).min() > 0.1]
    assert missed == []
    true = np.sort([*kept, *early])
    extra = [at for at in found if np.abs(true - at).min() > 0.1]
    assert len(extra) <= 1


@pytest.mark.parametrize("p_mv", [0.1, 0.25])
def test_p_waves_of_a_two_to_one_block_are_not(p_mv: float) -> None:
    qrs = np.arange(0.5, 40, 1.5)
    p_wave: Waves = [(-0.16, p_mv, 0.02)]
    found = r_s(drawn([*((r, p_wave + QRS) for r in qrs), *((r + 0.75, p_wave) for r in qrs)], 40))
    assert np.count_nonzero((found > 5) & (found < 38)) == 22


@pytest.mark.parametrize("rate_bpm", [65, 85])
def test_a_bigeminy_after_sinus_rhythm_is_counted_from_its_fourth_beat(rate_bpm: float) -> None:
    """The intervals of the sinus rhythm before it do not hide it: half the rate would be an alarm."""
    rr_s = 60 / rate_bpm
    sinus, normal = np.arange(0.5, 15, rr_s), np.arange(15.0, 40, 2 * rr_s)
    beats = [*((r, P + QRS) for r in (*sinus, *normal)), *((r + 0.64 * rr_s, SMALL) for r in normal)]
    found = r_s(drawn(beats, 40))
    small_s = normal[normal < 37] + 0.64 * rr_s
    missed = [nth for nth, at_s in enumerate(small_s) if np.abs(found - at_s).min() > 0.1]
    assert missed == [0, 1, 2]


@pytest.mark.parametrize("rr_s", [1.2, 1.5, 1.8])
def test_tall_t_waves_of_a_two_to_one_block_are_not(rr_s: float) -> None:
    """The blocked P wave follows the T wave like a T wave of its own."""
    tall: Waves = [*QRS[:3], (0.3, 0.5, 0.055)]
    qrs = np.arange(0.5, 40, rr_s)
    found = r_s(drawn([*((r, P + tall) for r in qrs), *((r + rr_s / 2, P) for r in qrs)], 40))
    assert np.count_nonzero((found > 5) & (found < 38)) == pytest.approx(33 / rr_s, abs=1)


def test_lone_peaks_in_a_standstill_do_not_make_its_p_waves_beats() -> None:
    """An artefact like a small QRS every ten seconds must not lower what counts as a QRS."""
    beats = [(r, P + QRS) for r in np.arange(0.5, 30, 0.8)]
    p_waves: list[tuple[float, Waves]] = [(at, [(0.0, 0.17, 0.02)]) for at in np.arange(30.2, 240, 0.7)]
    artefacts: list[tuple[float, Waves]] = [(at, [(0.0, 0.55, 0.011)]) for at in np.arange(40.0, 240, 10)]
    found = r_s(drawn([*beats, *p_waves, *artefacts], 240))
    assert np.count_nonzero(found > 31) <= len(artefacts)
