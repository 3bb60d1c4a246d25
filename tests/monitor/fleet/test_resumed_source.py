"""A source that is opened again: the sample where it continues."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.engine.resume import ResumePoint
from monitor.fleet.resumed_source import ResumedSource
from monitor.messages import StatusMessage
from monitor.sources import Chunk, EndOfStream
from tests.monitor.bus.helpers import status
from tests.monitor.engine.helpers import FS_HZ, FedSource, ecg, sim

NOW_S = 1_000_000.0
SIGNAL = ecg("sinus=60")


def state(clock: int, started_s: float = NOW_S, at_s: float = NOW_S) -> ResumePoint:
    time = datetime.datetime.fromtimestamp(at_s, datetime.UTC).isoformat()
    message = StatusMessage(**{f: getattr(status(clock), f) for f in StatusMessage.__struct_fields__} | {"time": time})
    return ResumePoint(message, clock, max(0, clock - 100), (), started_s)


def rest(source: ResumedSource, piece: int = 1000) -> list[Chunk]:
    chunks = []
    while True:
        try:
            chunk = source.read(piece)
        except EndOfStream:
            return chunks
        if chunk is not None:
            chunks.append(chunk)


@given(clock=st.integers(0, 14_000), away_s=st.floats(0, 80), speed=st.sampled_from([0.0, 0.5, 1.0, 4.0]))
def test_a_replay_continues_at_the_sample_that_is_due(clock, away_s, speed):
    began_s = NOW_S - away_s - (clock / FS_HZ / speed if speed else 0.0)
    source = ResumedSource(sim("sinus=60"), state(clock, began_s), speed, wall=lambda: NOW_S)
    chunks = rest(source)
    due = clock if speed == 0 else max(clock, round((NOW_S - began_s) * speed * FS_HZ))
    assert chunks[0].first_sample == min(due, SIGNAL.size - 1), "or the last sample"
    ends = [chunk.first_sample + chunk.samples.size for chunk in chunks]
    assert [chunk.first_sample for chunk in chunks[1:]] == ends[:-1]
    samples = np.concatenate([chunk.samples for chunk in chunks])
    np.testing.assert_array_equal(samples, SIGNAL[chunks[0].first_sample :])


@given(clock=st.integers(0, 14_000), piece=st.integers(1, 2000))
def test_a_replay_gives_no_more_than_was_asked_for(clock, piece):
    source = ResumedSource(sim("sinus=60"), state(clock), 0.0, wall=lambda: NOW_S)
    assert max(chunk.samples.size for chunk in rest(source, piece)) <= piece


def test_both_leads_of_a_replay_continue_at_the_same_sample():
    fed = FedSource(live=False)
    fed.leads = ("II", "V1")
    fed.feed(SIGNAL, second=-SIGNAL)
    fed.end()
    chunks = rest(ResumedSource(fed, state(9_001), 0.0, wall=lambda: NOW_S), 700)
    assert chunks[0].first_sample == 9_001
    np.testing.assert_array_equal(np.concatenate([chunk.samples for chunk in chunks]), SIGNAL[9_001:])
    np.testing.assert_array_equal(np.concatenate([chunk.second for chunk in chunks]), -SIGNAL[9_001:])


def test_a_replay_at_its_end_ends():
    source = ResumedSource(sim("sinus=60"), state(SIGNAL.size), 1.0, wall=lambda: NOW_S)
    with pytest.raises(EndOfStream):
        source.read(1000)


@given(clock=st.integers(0, 10**7), away_s=st.floats(0, 3600), size=st.integers(1, 500))
def test_a_live_source_continues_from_the_clock_of_the_bed(clock, away_s, size):
    fed = FedSource()
    source = ResumedSource(fed, state(clock, at_s=NOW_S - away_s), 1.0, wall=lambda: NOW_S)
    assert source.read(1000) is None
    fed.feed(np.zeros(size))
    chunk = source.read(1000)
    assert chunk is not None
    assert chunk.first_sample >= clock, "the clock never runs backwards"
    assert abs(chunk.first_sample - max(clock, clock + round(away_s * FS_HZ) - size)) <= 1
    fed.feed(np.zeros(10), lost=7)
    after = source.read(1000)
    assert after is not None
    assert after.first_sample == chunk.first_sample + size + 7


def test_the_count_of_a_sender_that_kept_counting_is_used():
    fed = FedSource()
    fed.next = 5_300
    fed.feed(np.zeros(10))
    source = ResumedSource(fed, state(5_000), 1.0, wall=lambda: NOW_S)
    chunk = source.read(1000)
    assert chunk is not None
    assert chunk.first_sample == 5_300
