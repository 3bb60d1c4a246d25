"""Where a fast rhythm comes from: P waves, the shape at rest, waves that repeat."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from detector import Beat, Quality, RhythmSpan
from monitor.alarms.origin import p_wave
from tests.monitor.alarms.helpers import FS_HZ, running_bed, states

AT_S = (np.arange(187) - 62) / 125.0


def wave(height: float, centre_s: float, sigma_s: float, rr_s: float) -> NDArray[np.float64]:
    """A wave of this beat, of the one before and of the one after."""
    made: NDArray[np.float64] = np.sum(
        [height * np.exp(-0.5 * ((AT_S - centre_s - k * rr_s) / sigma_s) ** 2) for k in (-1, 0, 1)], axis=0
    )
    return made


def beats(rr_s: float, *, p_mv: float, t_mv: float, qrs_s: float = 0.03, wanders: bool = False) -> list[Beat]:
    """Broad beats with a T wave and a P wave, which lies elsewhere before each if it `wanders`."""
    rng, made = np.random.default_rng(1), []
    for _ in range(8):
        samples = wave(1.2, 0.0, qrs_s, rr_s) + wave(t_mv, 0.31 * rr_s**0.5, 0.05, rr_s)
        samples += wave(p_mv, rng.uniform(-rr_s, 0) if wanders else -0.18, 0.02, rr_s)
        samples += 0.008 * rng.standard_normal(187)
        made.append(Beat(0, rr_s, samples.astype(np.float32), Quality.GOOD))
    return made


@pytest.mark.parametrize("rr_s", [0.53, 0.55, 0.6])
@pytest.mark.parametrize("t_mv", [-0.4, 0.3])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_p_waves_are_seen_before_broad_beats(rr_s: float, t_mv: float, sign: float) -> None:
    made = beats(rr_s, p_mv=0.12, t_mv=t_mv)
    assert p_wave([Beat(0, b.rr_s, np.float32(sign) * b.samples, b.quality) for b in made]) is not None


@pytest.mark.parametrize("rr_s", [0.45, 0.5, 0.55])
@pytest.mark.parametrize("t_mv", [-0.4, 0.4])
@pytest.mark.parametrize("wanders", [False, True])
def test_a_t_wave_or_a_dissociated_p_wave_is_none(rr_s: float, t_mv: float, wanders: bool) -> None:
    assert p_wave(beats(rr_s, p_mv=0.05 if wanders else 0.0, t_mv=t_mv, wanders=wanders)) is None


@pytest.mark.parametrize(("cycle_s", "expected"), [(0.4, "ventricular_run"), (0.22, "ventricular_fibrillation")])
def test_waves_that_repeat_are_a_run_and_faster_ones_are_flutter(cycle_s: float, expected: str) -> None:
    bed = running_bed()
    for _ in range(3):
        end = bed.now + round(FS_HZ)
        bed.tick()
        bed.changes += bed.engine.handle(RhythmSpan(end - 1000, end, True, 0.3, cycle_s))
    bed.tick()
    assert states(bed.changes, "ventricular_run", "ventricular_fibrillation") == [(expected, "onset")]
