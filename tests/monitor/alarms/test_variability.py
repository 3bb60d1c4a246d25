"""Variability of the last 5 minutes: from when on there are figures, and what takes them away."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from detector import Beat, Gap, Quality
from monitor.alarms.evidence import ScoredBeat
from monitor.messages import BeatMessage, ShortTermHrv
from tests.monitor.alarms.helpers import FS_HZ, NORMAL, SHAPE, SimulatedBed, running_bed
from tests.monitor.alarms.test_irregular import beats, fibrillation


def sinus(seconds: float, seed: int = 1) -> np.ndarray:
    return 0.8 + 0.03 * np.random.default_rng(seed).standard_normal(round(seconds / 0.8))


def test_no_figure_before_four_minutes_of_nn_intervals() -> None:
    bed = running_bed(seconds=10)
    hrv = bed.engine.hrv
    assert (hrv.sdnn_ms, hrv.rmssd_ms, hrv.pnn50) == (None, None, None)
    assert hrv.intervals == 12
    assert hrv.why == "needs 231 s more", "12 intervals of 0.8 s are 9.6 s"
    beats(bed, sinus(180))
    missing = float(bed.engine.hrv.why.split()[1])
    assert missing == np.ceil(240 - bed.engine.hrv.nn_s)
    beats(bed, sinus(60, seed=2))
    hrv = bed.engine.hrv
    assert hrv.why == ""
    assert hrv.nn_s >= 240
    assert hrv.sdnn_ms == pytest.approx(30, rel=0.1)
    assert hrv.rmssd_ms == pytest.approx(30 * np.sqrt(2), rel=0.1)


def test_figures_end_when_signal_is_missing_for_longer_than_a_fifth() -> None:
    bed = SimulatedBed()
    beats(bed, sinus(310))
    assert bed.engine.hrv.sdnn_ms is not None
    bed.ticks(50, Quality.MUSCLE)
    assert bed.engine.hrv.sdnn_ms is not None
    bed.ticks(20, Quality.MUSCLE)
    assert bed.engine.hrv.why.startswith("needs ")
    bed.ticks(300, Quality.MUSCLE)
    assert bed.engine.hrv == ShortTermHrv(why="needs 240 s more")
    gap = Gap(bed.now, 10)
    bed.engine.handle(gap)
    assert bed.engine.hrv == ShortTermHrv(why="needs 240 s more")


def test_frequent_ectopic_beats_are_the_reason() -> None:
    bed = SimulatedBed()
    beats(bed, sinus(10))
    for n in range(400):
        bed.beat((bed.last_r or 0) + 200, odd=n % 6 == 0, qrs="usual")
        if (bed.last_r or 0) >= bed.now:
            bed.tick()
    hrv = bed.engine.hrv
    assert hrv.why == "ectopic beats", "a third of the intervals are beside one"
    assert hrv.sdnn_ms is None


def test_single_ectopic_beats_leave_their_intervals_out() -> None:
    bed = SimulatedBed()
    for n in range(400):
        bed.beat((bed.last_r or 0) + (120 if n % 20 == 19 else 280 if n and n % 20 == 0 else 200), odd=n % 20 == 19)
        if (bed.last_r or 0) >= bed.now:
            bed.tick()
    hrv = bed.engine.hrv
    assert (hrv.sdnn_ms, hrv.rmssd_ms, hrv.pnn50) == (0.0, 0.0, 0.0), "the interval and the pause after it are no NN"


def test_in_atrial_fibrillation_there_is_no_figure_and_five_minutes_after_it() -> None:
    bed = SimulatedBed()
    beats(bed, sinus(300))
    assert bed.engine.hrv.sdnn_ms is not None
    beats(bed, fibrillation(80, seed=5))
    assert "irregular_rhythm" in bed.kinds()
    assert bed.engine.hrv.why == "irregular rhythm"
    beats(bed, sinus(250, seed=3))
    assert bed.engine.hrv.why == "irregular rhythm", "its intervals are still in the window"
    beats(bed, sinus(90, seed=4))
    assert bed.engine.hrv.sdnn_ms == pytest.approx(30, rel=0.1)


def test_a_paced_rhythm_has_no_figure() -> None:
    bed = SimulatedBed()
    for n in range(400):
        beat = Beat(200 * n, 0.8 if n else None, SHAPE, Quality.GOOD, decided_sample=200 * n + 250, paced=n % 2 == 0)
        bed.engine.handle(ScoredBeat(beat, -80.0, 1.2, NORMAL))
    assert (bed.engine.hrv.why, bed.engine.hrv.sdnn_ms) == ("paced rhythm", None), "every second beat is paced"
    assert bed.engine.hrv.nn_s > 290


def test_an_engine_restored_from_messages_has_the_same_figures() -> None:
    bed, now = SimulatedBed(), 0
    said: list[BeatMessage] = []
    for n, rr_s in enumerate(sinus(320).tolist()):
        before, now = now, now + round(rr_s * FS_HZ)
        odd = n % 50 == 7
        bed.beat(now, odd)
        rr = round((now - before) / FS_HZ, 4) if n else None
        said.append(BeatMessage(bed="p1", r_sample=now, rr_s=rr, log_prob=-80.0, score=1.2, p_value=0.5, threshold=4.9,
                                anomalous=odd, quality="good"))  # fmt: skip
        if now >= bed.now:
            bed.tick()
    other = SimulatedBed().engine
    other.restore(bed.changes, bed.engine._book.sample, said[-400:])
    assert bed.engine.hrv.sdnn_ms is not None
    assert other.hrv == bed.engine.hrv


def test_a_restored_irregular_rhythm_has_no_figure_however_long_ago_it_began() -> None:
    bed = SimulatedBed()
    beats(bed, fibrillation(80, seed=5))
    (onset,) = (alarm for alarm in bed.changes if alarm.kind == "irregular_rhythm")
    now, other = onset.decided_sample + 1200 * round(FS_HZ), SimulatedBed().engine
    message = BeatMessage(bed="p1", r_sample=0, rr_s=0.8, log_prob=-80.0, score=1.2, p_value=0.5, threshold=4.9,
                          anomalous=False, quality="good")  # fmt: skip
    last = [msgspec.structs.replace(message, r_sample=now - 200 * k) for k in range(370, 0, -1)]
    other.restore([onset], now, last)
    assert (other.hrv.why, other.hrv.sdnn_ms) == ("irregular rhythm", None)
    assert other.hrv.nn_s > 290
