"""Text and evidence of alarms, and later findings about their beats."""

from __future__ import annotations

import pytest

from detector import Beat, Gap, Quality, QualitySpan, Tick
from monitor.alarms import AlarmEngine
from monitor.alarms.evidence import ScoredBeat, beat_text, explained, run_text
from monitor.messages import Alarm
from tests.monitor.alarms.helpers import FS_HZ, NORMAL, ODD, SHAPE


def odd(r_sample: int, rr_ratio: float = 0.6, decided: int | None = None) -> ScoredBeat:
    """An early anomalous beat of a patient whose usual RR is 0.8 s."""
    decided = r_sample + round(FS_HZ) if decided is None else decided
    beat = Beat(r_sample, 0.8 * rr_ratio, SHAPE, Quality.GOOD, 1.2, rr_ratio, rr_ratio, decided_sample=decided)
    return explained(ScoredBeat(beat, -150.0, 7.3, ODD))


def tick_at(engine: AlarmEngine, second: int, *r_samples: int) -> list[Alarm]:
    now = round(second * FS_HZ)
    changes = engine.handle(QualitySpan(now - round(FS_HZ), now, Quality.GOOD))
    return changes + engine.handle(Tick(now, now - round(0.6 * FS_HZ), r_samples))


def with_odd_beat() -> AlarmEngine:
    """An engine after an early beat at 4 s."""
    engine = AlarmEngine("p1", FS_HZ)
    tick_at(engine, 5, 1000)
    assert not any(alarm.update for alarm in engine.handle(odd(1000)))
    return engine


def test_without_a_prominent_finding_the_text_gives_the_score() -> None:
    usual = Beat(1000, 0.8, SHAPE, Quality.GOOD, 1.2, 1.0, 1.0, decided_sample=1250)
    assert beat_text(explained(ScoredBeat(usual, -150.0, 7.3, ODD))) == "unlikely shape (score 7.3, limit 4.9)"
    assert explained(ScoredBeat(usual, -80.0, 1.2, NORMAL)).words == ()  # a usual beat has no reasons


def test_a_pause_after_a_beat_is_published_once_the_silence_is_long_enough() -> None:
    engine = AlarmEngine("p1", FS_HZ)
    tick_at(engine, 5, 1000)
    (onset,) = engine.handle(odd(1000, decided=1500))
    assert onset.text == "early (RR 60 % of usual)"
    assert (onset.evidence.words, onset.evidence.rr_ratio, onset.evidence.residual) == ((("early",),), (0.6,), (1.2,))
    assert len(onset.evidence.qrs_ms) == len(onset.evidence.usual_qrs_ms) == 1
    (update,) = tick_at(engine, 6)  # decided until 5.4 s: 1.4 s after the beat at 4 s
    assert update.update
    assert (update.alarm_id, update.state, update.count) == (onset.alarm_id, "onset", 1)
    assert update.text == "early (RR 60 % of usual), then a pause (over 1.4 s, usual RR 0.8)"
    assert update.evidence.words == (("early", "then a pause"),)
    assert update.evidence.log_prob == onset.evidence.log_prob
    assert tick_at(engine, 7, 1400) == []  # published once
    cleared = next(alarm for alarm in tick_at(engine, 30) if alarm.kind == "anomalous_beat")
    assert (cleared.state, cleared.update, cleared.text) == ("cleared", False, update.text)


def test_a_pause_after_a_beat_is_published_only_if_the_next_beat_is_late() -> None:
    for after_s, paused in ((1.0, False), (1.2, True)):
        engine = with_odd_beat()
        changes = tick_at(engine, 6, 1000 + round(after_s * FS_HZ))
        assert [change.update for change in changes] == [True] * paused, after_s
        assert all("then a pause (1.2 s" in change.text for change in changes)


def test_a_pause_is_published_when_the_next_beat_precedes_its_tick() -> None:
    engine = with_odd_beat()
    update, *_ = engine.handle(odd(1300, rr_ratio=1.5, decided=1550))
    assert (update.update, update.evidence.words) == (True, (("early", "then a pause"),))


@pytest.mark.parametrize("event", [Gap(1300, 100), QualitySpan(1250, 1500, Quality.LEADS_OFF)])
def test_missing_signal_gives_no_pause(event: Gap | QualitySpan) -> None:
    engine = with_odd_beat()
    engine.handle(event)
    assert not [alarm for second in (7, 8, 9) for alarm in tick_at(engine, second) if alarm.update]


def test_bigeminy_gives_few_messages() -> None:
    """Every second beat is anomalous and followed by a pause: one onset, one update, then a burden."""
    engine = AlarmEngine("p1", FS_HZ)
    changes: list[Alarm] = []
    for k in range(30):
        early, late = 1000 + 400 * k, 1000 + 400 * k + 280
        changes += engine.handle(odd(early, decided=early + 260))
        usual = Beat(late, 1.12, SHAPE, Quality.GOOD, 0.1, 1.4, 1.0, decided_sample=late + 260)
        changes += engine.handle(ScoredBeat(usual, -80.0, 1.2, NORMAL))
        changes += engine.handle(Tick(early + 350, early + 300, (early, late)))
    assert [(alarm.kind, alarm.state, alarm.update) for alarm in changes] == [
        ("anomalous_beat", "onset", False),
        ("anomalous_beat", "onset", True),
        ("anomaly_burden", "onset", False),
        ("anomalous_beat", "cleared", False),
    ]
    single, burden = changes[-1], changes[-2]
    assert (single.count, single.covered_by) == (11, burden.alarm_id)
    assert single.evidence.words[:10] == (("early", "then a pause"),) * 10
    assert (burden.priority, burden.evidence.value, burden.evidence.limit) == ("medium", 11.0, 10.0)
    assert burden.text == "11 anomalous beats in a minute: early, then a pause"
    later = [alarm for second in range(50, 140) for alarm in tick_at(engine, second)]
    update, *_ = (alarm for alarm in later if alarm.update and alarm.kind == "anomaly_burden")
    assert update.evidence.value == 30.0, "published again a minute later"
    assert update.evidence.words == (("early", "then a pause"),) * 20


def test_the_text_of_a_run_gives_the_words_that_its_beats_share() -> None:
    engine = AlarmEngine("p1", FS_HZ)
    engine.handle(ScoredBeat(odd(880, 1.0).beat, -80.0, 1.2, NORMAL))
    changes = [alarm for k in range(3) for alarm in engine.handle(odd(1000 + 120 * k))]
    run = next(alarm for alarm in changes if alarm.kind == "anomaly_run")
    assert run.text == "3 anomalous beats in a row: early"
    assert run_text([odd(1000, 1.0), odd(1120), odd(1240)], "3 beats") == "3 beats: early", "half of them or more"
    assert run_text([odd(1000, 1.0), odd(1120, 1.0), odd(1240)], "3 beats") == "3 beats: unlikely shape"
