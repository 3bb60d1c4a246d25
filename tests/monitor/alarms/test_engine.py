"""The alarm engine: each rule on its own; test_alarm_rules.py holds all of them against whatever may happen."""

from __future__ import annotations

import pytest

from detector import Beat, Gap, Quality, QualitySpan, Tick
from monitor.alarms import AlarmEngine
from monitor.alarms.evidence import ScoredBeat, beat_text, explained
from monitor.config import AlarmsConfig, KindConfig
from monitor.messages import Alarm
from tests.monitor.alarms.helpers import FS_HZ, NORMAL, ODD, SHAPE, Ward


def test_sinus_rhythm_raises_nothing() -> None:
    ward = Ward()
    ward.rhythm(120, 0.85)
    assert ward.changes == []
    assert ward.engine.heart_rate_bpm == pytest.approx(60 / 0.848, abs=0.2)


def test_a_replay_that_begins_in_the_middle_is_no_asystole() -> None:
    ward = Ward(second=600)
    ward.rhythm(20, 0.8)
    assert ward.changes == []


def test_asystole_is_raised_once_after_four_seconds_of_good_signal_and_latches() -> None:
    ward = Ward()
    ward.rhythm(20, 0.8)
    last_r = ward.last_r
    for _ in range(10):
        ward.tick()
    pause, onset, covered = ward.changes
    assert (pause.kind, pause.state, pause.priority) == ("pause", "onset", "medium")
    assert (covered.alarm_id, covered.state, covered.covered_by) == (pause.alarm_id, "cleared", onset.alarm_id)
    assert (onset.kind, onset.priority, onset.state, onset.onset_sample) == ("asystole", "high", "onset", last_r)
    assert onset.alarm_id == f"p1/asystole/{last_r}"
    decided_s = (onset.decided_sample - last_r) / FS_HZ
    assert 4.6 <= decided_s <= 5.6  # 4 s, the 0.6 s that R-peaks stay undecided, and at most a grid step
    assert ward.engine.heart_rate_bpm is None
    ward.rhythm(5, 0.8)
    assert [alarm.state for alarm in ward.changes if alarm.kind == "asystole"] == ["onset", "latched"]
    (cleared,) = ward.engine.acknowledge(onset.alarm_id, "nurse 3")
    assert (cleared.state, cleared.acknowledged_by) == ("cleared", "nurse 3")
    assert ward.engine.active == ()


def test_asystole_acknowledged_while_it_lasts_clears_by_itself() -> None:
    ward = Ward()
    ward.rhythm(10, 0.8)
    for _ in range(8):
        ward.tick()
    (acknowledged,) = ward.engine.acknowledge(ward.engine.active[0].alarm_id, "me")
    assert acknowledged.state == "acknowledged"
    ward.rhythm(3, 0.8)
    assert [alarm.state for alarm in ward.changes if alarm.kind == "asystole"] == ["onset", "cleared"]


def test_a_latched_alarm_that_comes_back_is_the_same_alarm() -> None:
    ward = Ward()
    for _ in range(2):
        ward.rhythm(10, 0.8)
        for _ in range(7):
            ward.tick()
    asystoles = [alarm for alarm in ward.changes if alarm.kind == "asystole"]
    assert [alarm.state for alarm in asystoles] == ["onset", "latched", "onset"]
    assert len({alarm.alarm_id for alarm in asystoles}) == 1
    assert asystoles[-1].count == 2


@pytest.mark.parametrize("quality", [Quality.LEADS_OFF, Quality.FLAT])
def test_no_signal_is_leads_off_and_never_asystole(quality: Quality) -> None:
    ward = Ward()
    ward.rhythm(10, 0.8)
    for _ in range(30):
        ward.tick(quality)
    ward.tick(Quality.SETTLING)
    assert [(a.kind, a.state) for a in ward.changes] == [("leads_off", "onset")]
    ward.rhythm(10, 0.8)
    assert [(a.kind, a.state) for a in ward.changes] == [("leads_off", "onset"), ("leads_off", "cleared")]
    assert ward.changes[0].category == "technical"


def test_noise_is_poor_signal_after_its_delay_and_never_asystole() -> None:
    ward = Ward()
    ward.rhythm(10, 0.8)
    ward.tick(Quality.MUSCLE)
    assert ward.changes == []
    for _ in range(20):
        ward.tick(Quality.MUSCLE)
    (onset,) = ward.changes
    assert (onset.kind, onset.priority, onset.onset_sample) == ("poor_signal", "low", round(10 * FS_HZ))


def test_signal_that_comes_back_gets_four_seconds_before_asystole() -> None:
    ward = Ward()
    for _ in range(10):
        ward.tick(Quality.LEADS_OFF)
    for _ in range(4):
        assert "asystole" not in [a.kind for a in ward.tick()]
    assert "asystole" in [a.kind for _ in range(2) for a in ward.tick()]


@pytest.mark.parametrize(
    ("rr_s", "expected"),
    [
        (1.6, "extreme_bradycardia"),
        (1.4, "bradycardia"),
        (1.2, None),
        (0.52, None),
        (0.45, "tachycardia"),
        (0.4, "extreme_tachycardia"),
    ],
)
def test_rates_give_one_alarm_the_highest(rr_s: float, expected: str | None) -> None:
    ward = Ward()
    ward.rhythm(60, rr_s)
    assert ward.kinds() == ([expected] if expected else [])


def test_extreme_tachycardia_needs_seventeen_beats() -> None:
    ward = Ward()
    ward.rhythm(20, 0.8)
    start = ward.last_r or 0
    for k in range(1, 16):
        assert ward.beat(start + round(0.3 * k * FS_HZ)) == []
    ward.beat(start + round(0.3 * 16 * FS_HZ))
    ward.beat(start + round(0.3 * 17 * FS_HZ))
    assert ward.kinds() == ["extreme_tachycardia"]


def test_one_missed_qrs_ends_no_tachycardia() -> None:
    ward = Ward()
    ward.rhythm(10, 0.3)
    ward.last_r = (ward.last_r or 0) + round(0.3 * FS_HZ)
    ward.rhythm(10, 0.3)
    assert [(a.kind, a.state) for a in ward.changes] == [("extreme_tachycardia", "onset")]


def test_one_pause_is_no_bradycardia() -> None:
    ward = Ward()
    ward.rhythm(10, 0.8)
    ward.last_r = (ward.last_r or 0) + round(3.5 * FS_HZ)
    ward.second += 3
    ward.rhythm(10, 0.8)
    assert "extreme_bradycardia" not in ward.kinds()


def test_single_anomalous_beats_are_grouped() -> None:
    ward = Ward()
    ward.rhythm(10, 0.8)
    for k in range(5):
        ward.beat((ward.last_r or 0) + 100, odd=True)
        ward.rhythm(3, 0.8)
        assert ward.kinds() == ["anomalous_beat"], k
    ward.rhythm(12, 0.8)
    onset, cleared = (alarm for alarm in ward.changes if alarm.kind == "anomalous_beat")
    assert (onset.priority, cleared.state, cleared.count) == ("low", "cleared", 5)
    assert len(cleared.evidence.r_samples) == 5
    assert (cleared.evidence.log_prob, cleared.evidence.score) == ((-150.0,) * 5, (7.3,) * 5)
    assert cleared.evidence.threshold == 4.9


def test_three_anomalous_beats_in_a_row_are_a_run_and_an_unscorable_beat_breaks_it() -> None:
    ward = Ward()
    ward.rhythm(10, 0.8)
    first = ward.now
    ward.beat(first + 10, odd=True)
    ward.beat(first + 110, odd=True)
    ward.beat(first + 210, quality=Quality.MUSCLE)
    ward.beat(first + 310, odd=True)
    assert ward.kinds() == ["anomalous_beat"]
    ward.beat(first + 410, odd=True)
    ward.beat(first + 510, odd=True)
    run = next(alarm for alarm in ward.changes if alarm.kind == "anomaly_run")
    assert (run.priority, run.onset_sample, run.evidence.value) == ("medium", first + 310, 3.0)
    ward.beat(first + 700)
    assert ward.engine.active == (run,), "it has taken the place of the single beat"
    ward.rhythm(12, 0.8)
    assert ward.kinds("cleared") == ["anomalous_beat", "anomaly_run"]


# -- why ----------------------------------------------------------------------------------------------------------


def odd(r_sample: int, rr_ratio: float = 0.6, decided: int | None = None) -> ScoredBeat:
    """An early anomalous beat of a patient whose usual RR is 0.8 s."""
    beat = Beat(
        r_sample,
        0.8 * rr_ratio,
        SHAPE,
        Quality.GOOD,
        1.2,
        rr_ratio,
        rr_ratio,
        decided_sample=r_sample + round(FS_HZ) if decided is None else decided,
    )
    return explained(ScoredBeat(beat, -150.0, 7.3, ODD))


def test_an_alarm_says_why_in_words_and_numbers() -> None:
    (onset,) = AlarmEngine("p1", FS_HZ).handle(odd(1000))
    assert onset.text == "early (RR 60 % of usual)"
    evidence = onset.evidence
    assert evidence.words == (("early",),)
    assert (evidence.rr_ratio, evidence.residual) == ((0.6,), (1.2,))
    assert len(evidence.qrs_ms) == len(evidence.usual_qrs_ms) == 1


def test_where_nothing_stands_out_the_score_is_the_number() -> None:
    usual = Beat(1000, 0.8, SHAPE, Quality.GOOD, 1.2, 1.0, 1.0, decided_sample=1250)
    assert beat_text(explained(ScoredBeat(usual, -150.0, 7.3, ODD))) == "unlikely shape (score 7.3, limit 4.9)"
    assert explained(ScoredBeat(usual, -80.0, 1.2, NORMAL)).words == ()  # a usual beat needs no reason


def tick_at(engine: AlarmEngine, second: int, *r_samples: int) -> list[Alarm]:
    now = round(second * FS_HZ)
    changes = engine.handle(QualitySpan(now - round(FS_HZ), now, Quality.GOOD))
    return changes + engine.handle(Tick(now, now - round(0.6 * FS_HZ), r_samples))


def test_a_pause_is_told_when_no_beat_has_come_for_so_long() -> None:
    engine = AlarmEngine("p1", FS_HZ)
    tick_at(engine, 5, 1000)
    (onset,) = engine.handle(odd(1000, decided=1500))
    assert onset.text == "early (RR 60 % of usual)"
    (update,) = tick_at(engine, 6)  # silent up to 5.4 s: 1.4 s after the beat at 4 s
    assert update.update
    assert (update.alarm_id, update.state, update.count) == (onset.alarm_id, "onset", 1)
    assert update.text == "early (RR 60 % of usual), then a pause (over 1.4 s, usual RR 0.8)"
    assert update.evidence.words == (("early", "then a pause"),)
    assert update.evidence.log_prob == onset.evidence.log_prob
    assert tick_at(engine, 7, 1400) == []  # told once
    cleared = next(alarm for alarm in tick_at(engine, 30) if alarm.kind == "anomalous_beat")
    assert (cleared.state, cleared.update, cleared.text) == ("cleared", False, update.text)


def test_a_pause_is_told_when_the_next_beat_came_late_and_not_when_it_came_in_time() -> None:
    for after_s, told in ((1.0, False), (1.2, True)):
        engine = AlarmEngine("p1", FS_HZ)
        tick_at(engine, 5, 1000)
        (onset,) = engine.handle(odd(1000, decided=1250))
        changes = tick_at(engine, 6, 1000 + round(after_s * FS_HZ))
        assert [change.update for change in changes] == [True] * told, after_s
        assert not onset.update
        assert all("then a pause (1.2 s" in change.text for change in changes)


def test_a_pause_before_the_next_anomalous_beat_is_told_though_its_beat_comes_before_the_tick() -> None:
    engine = AlarmEngine("p1", FS_HZ)
    tick_at(engine, 5, 1000)
    engine.handle(odd(1000, decided=1250))
    update, *_ = engine.handle(odd(1300, rr_ratio=1.5, decided=1550))
    assert (update.update, update.evidence.words) == (True, (("early", "then a pause"),))


@pytest.mark.parametrize("event", [Gap(1300, 100), QualitySpan(1250, 1500, Quality.LEADS_OFF)])
def test_no_pause_is_told_out_of_signal_that_is_not_there(event: Gap | QualitySpan) -> None:
    engine = AlarmEngine("p1", FS_HZ)
    tick_at(engine, 5, 1000)
    engine.handle(odd(1000, decided=1250))
    engine.handle(event)
    assert not [alarm for second in (7, 8, 9) for alarm in tick_at(engine, second) if alarm.update]


def test_pauses_of_an_arrhythmia_that_lasts_do_not_flood_the_bus() -> None:
    """Bigeminy: every second beat anomalous, each with its pause: one onset, one update, and that there are many."""
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
    assert update.evidence.value == 30.0, "a minute after it was told, what it has grown to"
    assert update.evidence.words == (("early", "then a pause"),) * 20


def test_a_run_says_what_its_beats_have_in_common() -> None:
    engine = AlarmEngine("p1", FS_HZ)
    changes = [alarm for k in range(3) for alarm in engine.handle(odd(1000 + 120 * k, 0.6 if k else 1.0))]
    run = next(alarm for alarm in changes if alarm.kind == "anomaly_run")
    assert run.text == "3 anomalous beats in a row: early"
    assert [words[0] for words in run.evidence.words] == ["unlikely shape", "early", "early"]


def test_an_update_breaks_no_audio_pause() -> None:
    engine = AlarmEngine("p1", FS_HZ)
    tick_at(engine, 5, 1000)
    engine.pause_audio(60.0, 1250)
    engine.handle(odd(1000, decided=1250))
    engine.pause_audio(60.0, 1250)
    (update,) = tick_at(engine, 6)
    assert update.update
    assert engine.audio_paused_s(1500) > 50


def test_nothing_builds_up_across_a_gap() -> None:
    ward = Ward()
    ward.rhythm(10, 0.8)
    ward.beat(ward.now + 10, odd=True)
    ward.beat(ward.now + 110, odd=True)
    ward.changes += ward.engine.handle(Gap(ward.now, round(20 * FS_HZ)))
    ward.second += 20
    ward.last_r = None
    ward.beat(ward.now + 10, odd=True)
    ward.tick(r_samples=(ward.now + 10,))
    assert "anomaly_run" not in ward.kinds()
    assert "asystole" not in ward.kinds()
    gap = next(alarm for alarm in ward.changes if alarm.kind == "gap")
    assert (gap.category, gap.priority, gap.evidence.value) == ("technical", "low", 20.0)
    ward.rhythm(12, 0.8)
    assert "gap" in ward.kinds("cleared")


def test_bridged_samples_are_told_and_hold_no_alarm_up() -> None:
    ward = Ward()
    ward.rhythm(10, 0.8)
    for _ in range(6):  # asystole, with a lost packet every second
        ward.changes += ward.engine.handle(Gap(ward.now + 20, 1, "bridged"))
        ward.tick()
    assert ward.kinds() == ["gap", "pause", "asystole"]
    for _ in range(12):
        ward.tick()
    assert ward.changes[-1].kind == "gap"
    assert (ward.changes[-1].state, ward.changes[-1].count) == ("cleared", 6)


def test_a_hole_ends_what_the_heart_did_and_not_what_is_said_of_the_signal() -> None:
    ward = Ward()
    ward.rhythm(10, 0.8)
    for _ in range(3):
        ward.tick(Quality.MUSCLE)
        ward.changes += ward.engine.handle(Gap(ward.now + 20, 10, "hole"))
    assert ward.kinds() == ["gap", "poor_signal"]
    assert ward.kinds("cleared") == []
    for _ in range(6):
        ward.changes += ward.engine.handle(Gap(ward.now + 20, 10, "hole"))
        ward.tick()
    assert "asystole" not in ward.kinds()


def test_no_data_and_source_lost_come_and_go() -> None:
    ward = Ward()
    ward.rhythm(5, 0.8)
    for kind in ("no_data", "source_lost"):
        (onset,) = ward.engine.source_state(kind, True, ward.now, "unplugged")
        assert (onset.kind, onset.category, onset.state, onset.text) == (kind, "technical", "onset", "unplugged")
        assert ward.engine.source_state(kind, True, ward.now, "unplugged") == []
        (cleared,) = ward.engine.source_state(kind, False, ward.now, "")
        assert cleared.state == "cleared"
    with pytest.raises(ValueError, match="asystole"):
        ward.engine.source_state("asystole", True, 0, "")


def test_audio_pause_is_bounded_counts_down_and_a_higher_priority_breaks_it() -> None:
    ward = Ward()
    ward.rhythm(10, 0.8)
    ward.beat(ward.now + 10, odd=True)
    assert ward.engine.pause_audio(600, ward.now) == 120.0
    assert ward.engine.audio_paused_s(ward.now) == 120.0
    ward.last_r = None
    ward.rhythm(2, 0.8)
    assert ward.engine.audio_paused_s(ward.now) == pytest.approx(118.0)
    for _ in range(8):
        ward.tick()
    assert ward.engine.audio_paused_s(ward.now) == 0.0
    with pytest.raises(ValueError, match="seconds=-1"):
        ward.engine.pause_audio(-1, ward.now)


def test_a_disabled_kind_stays_quiet_and_a_limit_is_the_configured_one() -> None:
    limits = AlarmsConfig(
        asystole=KindConfig(enabled=False, priority="high", limit=4.0),
        extreme_bradycardia=KindConfig(priority="low", limit=80.0, beats=5),
    )
    ward = Ward(limits)
    ward.rhythm(10, 0.8)
    for _ in range(10):
        ward.tick()
    assert [(a.kind, a.priority) for a in ward.changes if a.state == "onset"] == [
        ("extreme_bradycardia", "low"),
        ("pause", "medium"),
    ]


def test_acknowledging_what_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="p1/asystole/5"):
        AlarmEngine("p1", FS_HZ).acknowledge("p1/asystole/5", "me")


def test_noise_that_pauses_for_a_second_is_one_poor_signal() -> None:
    ward = Ward()
    ward.rhythm(10, 0.8)
    for quality in (Quality.MOTION, Quality.GOOD, Quality.MOTION, Quality.GOOD, Quality.WANDER, Quality.GOOD):
        ward.tick(quality)
    assert ward.kinds() == ["poor_signal"]
    assert ward.changes[-1].text == "poor signal (electrode moves): beats are not scored"
    ward.tick()
    assert ward.kinds("cleared") == ["poor_signal"]
