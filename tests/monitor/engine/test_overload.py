"""Overload: an alarm is raised, display data is thinned, no beat is lost, and the monitor recovers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import zmq

from detector import Beat, Scorer, Scores
from monitor.messages import HeartbeatMessage, Message, StatusMessage
from monitor.sources import Source
from tests.monitor.engine.helpers import FS_HZ, Run, settings, sim

BEDS = 3


class SlowScorer:
    """The real scorer; each beat moves the clock by `beat_s` while it is slow."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self.info, self.calibration = scorer.info, scorer.calibration
        self.now_s = 0.0
        self.slow_s = (34.0, 48.0)  # from, until
        self.beat_s = 0.7

    def clock(self) -> float:
        return self.now_s

    def score_beats(self, beats: Sequence[Beat]) -> Scores:
        if self.slow_s[0] <= self.now_s < self.slow_s[1]:
            self.now_s += self.beat_s * len(beats)
        return self._scorer.score_beats(beats)


def watch(scorer: SlowScorer, stories: Sequence[str]) -> tuple[Run, list[tuple[float, Message]]]:
    """Beds at speed 1 by the clock of the scorer, with a subscriber to their waves; what is published, and when."""
    sources: dict[str, Source] = {f"b{n}": sim(story) for n, story in enumerate(stories)}
    run = Run(sources, scorer, settings(source={"speed": 1.0}), clock=scorer.clock)  # type: ignore[arg-type]
    published: list[tuple[float, Message]] = []
    real, waves = run.pipeline.bus.publish, run.pipeline.bus.publish_wave

    def publish(topic: str, body: Message) -> Any:
        published.append((scorer.now_s, body))
        return real(topic, body)

    def publish_wave(header: Any, samples: Any) -> None:
        published.append((scorer.now_s, header))
        waves(header, samples)

    run.pipeline.bus.publish = publish  # type: ignore[method-assign]
    run.pipeline.bus.publish_wave = publish_wave  # type: ignore[method-assign]
    with zmq.Context() as context, context.socket(zmq.SUB) as viewer:
        viewer.subscribe(b"")
        viewer.connect(run.pipeline.bus.endpoints.waves)
        while not run.pipeline.bus.viewers:
            run.pipeline.bus.service(0.05)

        def step() -> bool:
            scorer.now_s += 0.25
            return scorer.now_s > 200  # it ends with its sources

        run.pipeline.run(step)
    return run, published


def per_second(published: list[tuple[float, Message]], schema: str, first_s: float, last_s: float) -> float:
    n = sum(first_s <= at_s < last_s and m.__struct_config__.tag == schema for at_s, m in published)
    return n / BEDS / (last_s - first_s)


@pytest.mark.slow
def test_overload_thins_display_data_and_loses_no_beat(scorer: Scorer) -> None:
    slow, quick = SlowScorer(scorer), SlowScorer(scorer)
    quick.slow_s = (0.0, 0.0)
    stories = [f"sinus=80;seed={n + 1}" for n in range(BEDS)]
    run, published = watch(slow, stories)
    usual, _ = watch(quick, stories)

    assert run.states("overload", "b0")[:1] == ["onset"]
    assert run.states("overload", "b0")[-1] == "cleared", "cleared at the end"
    text = next(m.alarm.text for m in run.alarms if m.alarm.kind == "overload")
    assert "s behind its samples" in text
    assert usual.states("overload", "b0") == []

    # Waves are left out first, then most of the status; both return at the end.
    heartbeats = [(at_s, m) for at_s, m in published if isinstance(m, HeartbeatMessage)]
    assert {m.thinned for at_s, m in heartbeats if at_s < 34} == {()}
    thinned = [m.thinned for at_s, m in heartbeats if 40 <= at_s < 48]
    assert set(thinned) == {("waves", "status")}
    assert max(m.late_s for _, m in heartbeats) > 1.0
    assert heartbeats[-1][1].thinned == ()
    assert per_second(published, "wave/1", 24, 34) > 3
    assert per_second(published, "wave/1", 40, 48) == 0
    assert per_second(published, "wave/1", 68, 78) > 3
    assert per_second(published, "status/1", 24, 34) > 0.9
    assert per_second(published, "status/1", 40, 48) < 0.5
    assert per_second(published, "status/1", 68, 78) > 0.9
    assert len([line for line in run.notices if "late" in line]) >= 1
    assert run.notices[-1].startswith("beds are read in time again")

    # Beats and patient alarms are the same.
    for bed in (f"b{n}" for n in range(BEDS)):
        assert run.status(bed).samples_in == usual.status(bed).samples_in == 80 * FS_HZ
        assert run.status(bed).beats == usual.status(bed).beats > 60
        assert run.status(bed).samples_lost == 0
        assert run.status(bed).dropped_waves > 0
        of = [[(m.alarm.alarm_id, m.alarm.state) for m in r.alarms if m.alarm.bed == bed and m.alarm.kind != "overload"]
              for r in (run, usual)]  # fmt: skip
        assert of[0] == of[1]


@pytest.mark.slow
def test_a_changed_condition_is_published_at_once_while_status_is_thinned(scorer: Scorer) -> None:
    slow = SlowScorer(scorer)
    slow.slow_s = (35.0, 200.0)
    _, published = watch(slow, ["sinus=45,leadsoff=4,sinus=11", "sinus=60"])
    changed = (m for _, m in published if isinstance(m, StatusMessage) and (m.bed, m.quality) == ("b0", "leads_off"))
    assert next(changed).sample <= 50 * FS_HZ
