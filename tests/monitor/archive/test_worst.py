"""The worst strips of a record do not depend on how its samples are cut; memory does not grow with the record."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.archive.beat_table import BeatTable
from monitor.archive.tally import Tally
from monitor.archive.worst import WorstBeats
from monitor.config import AlarmsConfig
from monitor.messages import BeatMessage


def beat(r_sample: int, score: float | None, fs_hz: float, rr_s: float = 0.8) -> BeatMessage:
    return BeatMessage(
        bed="rec",
        r_sample=r_sample,
        rr_s=rr_s,
        log_prob=score,
        score=score,
        p_value=None if score is None else 0.5,
        threshold=None if score is None else 5.0,
        anomalous=score is not None and score > 5,
        quality="good" if score is not None else "muscle",
        heart_rate_bpm=75.0,
    )


@given(
    scores=st.lists(st.one_of(st.none(), st.floats(-5, 50, width=32)), min_size=1, max_size=400),
    step_s=st.floats(0.3, 4.0),
    most=st.integers(1, 4),
    cuts=st.lists(st.integers(1, 80), min_size=1, max_size=8),
)
def test_the_worst_beats_do_not_depend_on_the_cuts(
    scores: list[float | None], step_s: float, most: int, cuts: list[int]
) -> None:
    fs_hz = 100.0
    beats = [beat(round((1 + n * step_s) * fs_hz), score, fs_hz) for n, score in enumerate(scores)]
    end = beats[-1].r_sample + 200
    signal = np.arange(end) % 997.0  # below 1000 mV, which counts as invalid
    worst = WorstBeats(fs_hz, most)
    waiting, at, turn = list(beats), 0, 0
    while at < end:
        size = round(cuts[turn % len(cuts)] * fs_hz)
        turn += 1
        piece = signal[at : at + size]
        worst.history.put(at, piece, piece)
        at += piece.size
        while waiting and waiting[0].r_sample <= at - 200:  # a beat is detected up to 2 s after its R-peak
            worst.put(waiting.pop(0))
        worst.close_cells(ended=at >= end)
    cells: dict[int, BeatMessage] = {}
    for one in beats:
        best = cells.get(one.r_sample // 3000)
        if one.score is not None and (best is None or one.score > (best.score or 0.0)):
            cells[one.r_sample // 3000] = one
    expected: list[int] = []
    for one in sorted(cells.values(), key=lambda b: (-(b.score or 0.0), b.r_sample)):
        if len(expected) < most and all(abs(one.r_sample - other) >= 3000 for other in expected):
            expected.append(one.r_sample)
    found = worst.worst()
    assert [strip.beat.r_sample for strip in found] == expected
    for strip in found:
        there = np.arange(strip.first_sample, strip.first_sample + strip.samples.size)
        inside = (there >= 0) & (there < end)
        assert np.array_equal(strip.samples[inside], signal[there[inside]].astype(np.float32))  # also for a late beat
        assert np.isnan(strip.samples[~inside]).all()
        around = {b.r_sample for b in beats if strip.first_sample <= b.r_sample < there[-1]}
        assert strip.beat.r_sample in {b.r_sample for b in strip.beats} <= around | {there[-1]}


@pytest.mark.slow
def test_a_day_takes_no_more_memory_than_some_hours(tmp_path: Path) -> None:
    fs_hz, hour_beats = 250.0, 4500
    table = BeatTable(tmp_path / "beats.parquet", fs_hz, {})
    tally, worst = Tally(fs_hz, AlarmsConfig()), WorstBeats(fs_hz, 6)
    piece = np.zeros(round(60 * fs_hz))
    rng = np.random.default_rng(1)
    peaks = []
    tracemalloc.start()
    try:
        for hour in range(24):
            for n, score in enumerate(rng.exponential(2.0, hour_beats).tolist()):
                r_sample = round((hour * 3600 + n * 0.8) * fs_hz)
                if n % 75 == 0:
                    worst.history.put(worst.history.end, piece, piece)
                    worst.close_cells()
                one = beat(r_sample, score, fs_hz)
                for put in (table.put, tally.beat, worst.put):
                    put(one)
            peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
        table.close()
    assert peaks[23] - peaks[7] < 200_000  # bounded buffers fill in the first hours
    assert tally.total.beats == 24 * hour_beats
    assert [hour.beats for hour in tally.hours(86_400.0)] == [hour_beats] * 24
