"""A source that is opened again: where it goes on."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.engine.resume import BedState
from monitor.fleet.resumed_source import ResumedSource
from monitor.messages import StatusMessage
from monitor.sources import Chunk, EndOfStream
from tests.monitor.bus.helpers import status
from tests.monitor.engine.helpers import FS_HZ, FedSource, ecg, sim

NOW_S = 1_000_000.0
SIGNAL = ecg("sinus=60")


def state(clock: int, started_s: float = NOW_S, at_s: float = NOW_S) -> BedState:
    time = datetime.datetime.fromtimestamp(at_s, datetime.UTC).isoformat()
    message = StatusMessage(**{f: getattr(status(clock), f) for f in StatusMessage.__struct_fields__} | {"time": time})
    return BedState(message, clock, max(0, clock - 100), (), started_s)


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
def test_a_replay_goes_on_where_it_would_be(clock, away_s, speed):
    began_s = NOW_S - away_s - (clock / FS_HZ / speed if speed else 0.0)
    source = ResumedSource(sim("sinus=60"), state(clock, began_s), speed, wall=lambda: NOW_S)
    chunks = rest(source)
    due = clock if speed == 0 else max(clock, round((NOW_S - began_s) * speed * FS_HZ))
    assert chunks[0].first_sample == min(due, SIGNAL.size - 1), "the last sample where it has ended: the gap is told"
    ends = [chunk.first_sample + chunk.samples.size for chunk in chunks]
    assert [chunk.first_sample for chunk in chunks[1:]] == ends[:-1]
    given_out = np.concatenate([chunk.samples for chunk in chunks])
    np.testing.assert_array_equal(given_out, SIGNAL[chunks[0].first_sample :])


def test_a_replay_that_had_ended_has_ended():
    source = ResumedSource(sim("sinus=60"), state(SIGNAL.size), 1.0, wall=lambda: NOW_S)
    with pytest.raises(EndOfStream):
        source.read(1000)


@given(clock=st.integers(0, 10**7), away_s=st.floats(0, 3600), size=st.integers(1, 500))
def test_a_live_source_counts_on_from_the_bed_s_clock(clock, away_s, size):
    fed = FedSource()
    source = ResumedSource(fed, state(clock, at_s=NOW_S - away_s), 1.0, wall=lambda: NOW_S)
    assert source.read(1000) is None
    fed.feed(np.zeros(size))
    chunk = source.read(1000)
    assert chunk is not None
    assert chunk.first_sample >= clock, "time never runs backwards"
    assert abs(chunk.first_sample - max(clock, clock + round(away_s * FS_HZ) - size)) <= 1
    fed.feed(np.zeros(10), lost=7)
    after = source.read(1000)
    assert after is not None
    assert after.first_sample == chunk.first_sample + size + 7


def test_a_sender_that_counts_on_is_believed():
    fed = FedSource()
    fed.next = 5_300
    fed.feed(np.zeros(10))
    source = ResumedSource(fed, state(5_000), 1.0, wall=lambda: NOW_S)
    chunk = source.read(1000)
    assert chunk is not None
    assert chunk.first_sample == 5_300
