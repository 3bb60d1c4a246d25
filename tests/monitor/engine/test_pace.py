"""Speed of replays, waves and latency."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import zmq

from detector import Scorer
from monitor.client.client import wave_samples
from monitor.messages import WaveHeader, decode
from tests.monitor.engine.helpers import FS_HZ, FedSource, Run, Script, ecg, settings, sim, watched
from tests.monitor.sources.helpers import wait_for


@pytest.mark.parametrize("speed", [1.0, 10.0])
def test_waves_contain_every_sample_at_20_messages_a_second(scorer: Scorer, speed: float) -> None:
    signal = ecg("sinus=60")
    source = FedSource(live=False)
    source.feed(signal)
    sent: list[int] = []
    script = Script([(2.0, lambda: sent.append(run.pipeline.bus.counters["waves"])), (2.1, lambda: None)], 0.02)
    run: Run = Run({"p1": source}, scorer, settings(source={"speed": speed}), clock=script.clock)
    ends = run.pipeline.bus.endpoints
    with zmq.Context() as context, context.socket(zmq.SUB) as sub:
        sub.connect(ends.waves)
        sub.subscribe(b"")
        wait_for(lambda: run.pipeline.bus.service() == [] and run.pipeline.bus.viewers, "the subscription")
        run.pipeline.run(script)
        headers: list[tuple[WaveHeader, bytes]] = []
        while sub.poll(200):
            _, header, raw = sub.recv_multipart()
            message = decode(header)
            assert isinstance(message, WaveHeader)
            headers.append((message, raw))
    assert 37 <= sent[0] <= 42, "20 messages a second"
    assert run.status().dropped_waves == 0
    for (a, _), (b, _) in pairwise(headers):
        assert b.seq == a.seq + 1
        assert b.first_sample == a.first_sample + a.n
    first, last = headers[0][0], headers[-1][0]
    assert last.first_sample + last.n == run.status().samples_in
    shown, filtered = np.concatenate([wave_samples(*item) for item in headers], axis=1)
    np.testing.assert_array_equal(shown, signal[first.first_sample : run.status().samples_in].astype(np.float32))
    assert np.isfinite(filtered).all()
    assert np.ptp(filtered) > 0.5


def test_a_replay_keeps_its_speed(scorer: Scorer) -> None:
    taken: list[int] = []
    acts: list[tuple[float, Any]] = [(t, lambda: taken.append(run.status().samples_in)) for t in (1.0, 2.0, 4.0)]
    script = Script([*acts, (4.1, lambda: None)], 0.05)
    run: Run = Run({"p1": sim("sinus=600")}, scorer, settings(source={"speed": 8.0}), clock=script.clock)
    run.pipeline.run(script)
    expected = np.array([1.0, 2.0, 4.0]) * 8 * FS_HZ
    np.testing.assert_allclose(taken, expected, atol=0.15 * 8 * FS_HZ)


def test_latency_is_measured_in_a_paced_replay(scorer: Scorer) -> None:
    with watched({"p1": sim("sinus=10")}, scorer, settings(source={"speed": 5.0})) as w:
        w.finished()
        latencies = [beat.latency_ms for beat in w.beats()]
        assert len(latencies) > 5
        assert all(ms is not None and 0 <= ms < 5_000 for ms in latencies)
        assert any(ms for ms in latencies), "not all zero"
        last = w.statuses()[-1]
        assert last.latency_p50_ms is not None
        assert last.latency_p99_ms is not None
        assert 0 < last.latency_p50_ms <= last.latency_p99_ms < 5_000
        assert last.speed == 5.0
