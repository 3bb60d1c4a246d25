"""Where a fast rhythm comes from: P waves, the shape at rest, waves that repeat."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from detector import Beat, BeatContext, Quality, RhythmSpan
from monitor.alarms.evidence import ScoredBeat
from monitor.alarms.origin import RecentBeats, p_wave
from tests.monitor.alarms.helpers import FS_HZ, NORMAL, SHAPES, running_bed, states

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


def usual_beats(recent: RecentBeats, first_s: float, shape: str) -> None:
    """Ten usual beats at 75 bpm, of a patient whose template has the same shape."""
    samples = SHAPES[shape]
    context = BeatContext(samples, samples, np.full(8, np.nan, np.float32))
    for k in range(10):
        beat = Beat(round((first_s + 0.8 * k) * FS_HZ), 0.8, samples, Quality.GOOD, context=context)
        recent.on_beat(ScoredBeat(beat, -80.0, 1.2, NORMAL))


def test_the_beat_at_rest_is_not_learnt_while_the_waveform_looks_like_fibrillation() -> None:
    recent = RecentBeats(FS_HZ)
    usual_beats(recent, 0.0, "usual")
    recent.on_fibrillatory(round(12 * FS_HZ))
    usual_beats(recent, 10.0, "wide")
    assert recent.resting is not None
    assert np.array_equal(recent.resting.template, SHAPES["usual"])
    assert not recent.own(round(10 * FS_HZ), round(18 * FS_HZ), repeats=False)
    usual_beats(recent, 23.0, "wide")
    assert np.array_equal(recent.resting.template, SHAPES["wide"])
    assert recent.own(round(23 * FS_HZ), round(31 * FS_HZ), repeats=False)


def test_waves_that_are_only_near_the_broad_beat_at_rest_are_none_of_it() -> None:
    """Likeness 0.88 says that a fast rhythm is conducted, where the T wave lies on the end of a broad QRS."""
    recent = RecentBeats(FS_HZ)
    usual_beats(recent, 0.0, "wide")
    near = (SHAPES["wide"] + 0.3 * np.sin(2 * np.pi * AT_S / 0.12)).astype(np.float32)
    for k in range(5):
        recent.on_beat(ScoredBeat(Beat(round((8 + 0.55 * k) * FS_HZ), 0.55, near, Quality.GOOD), -80.0, 1.2, NORMAL))
    assert not recent.own(round(8 * FS_HZ), round(11 * FS_HZ), repeats=True)


@pytest.mark.parametrize(
    ("rr_s", "heights", "steady"),
    [
        ((0.8, 0.8, 0.8, 0.8), (1.0, 1.0, 1.0, 1.0), True),
        ((0.8, 0.5, 0.8, 0.4), (1.0, 1.0, 1.0, 1.0), False),
        ((0.8, 0.8, 0.8, 0.8), (0.7, 1.0, 1.5, 0.8), False),
    ],
)
def test_waves_of_fibrillation_like_a_broad_beat_are_no_beats_of_the_patient(
    rr_s: tuple[float, ...], heights: tuple[float, ...], steady: bool
) -> None:
    """A single wave of fibrillation may be like a broad QRS; beats of the patient come steadily, too."""
    recent = RecentBeats(FS_HZ)
    usual_beats(recent, 0.0, "wide")
    at_s = 8.0
    for rr, height in zip(rr_s, heights, strict=True):
        at_s += rr
        samples = (height * SHAPES["wide"]).astype(np.float32)
        recent.on_beat(ScoredBeat(Beat(round(at_s * FS_HZ), rr, samples, Quality.GOOD), -80.0, 1.2, NORMAL))
    window = round(8.1 * FS_HZ), round((at_s + 0.5) * FS_HZ)
    assert recent.own(*window, repeats=False) is steady
    assert recent.own(*window, repeats=True)
