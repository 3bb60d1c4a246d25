"""The alarm engine: each rule on its own, and all of them against whatever may happen."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from detector import Beat, Gap, Judgement, Quality, QualitySpan, Tick
from monitor.alarms import AlarmEngine
from monitor.config import AlarmsConfig, KindConfig
from monitor.evidence import ScoredBeat, beat_text, explained
from monitor.messages import Alarm

FS_HZ = 250.0
SHAPE = np.zeros(187, np.float32)
NORMAL = Judgement(p_value=0.6, threshold=4.9, anomalous=False)
ODD = Judgement(p_value=0.0005, threshold=4.9, anomalous=True)


@dataclass
class Ward:
    """Drives an engine second by second, as the detector would."""

    limits: AlarmsConfig | None = None
    knows_rr: bool = False
    second: int = 0
    changes: list[Alarm] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engine = AlarmEngine("p1", FS_HZ, self.limits)
        self.last_r: int | None = None

    @property
    def now(self) -> int:
        return round(self.second * FS_HZ)

    def tick(self, quality: Quality = Quality.GOOD, r_samples: tuple[int, ...] = ()) -> list[Alarm]:
        first = self.now
        self.second += 1
        changes = self.engine.handle(QualitySpan(first, self.now, quality))
        changes += self.engine.handle(Tick(self.now, max(0, self.now - round(0.6 * FS_HZ)), r_samples))
        self.changes += changes
        return changes

    def beat(self, r_sample: int, odd: bool = False, quality: Quality = Quality.GOOD) -> list[Alarm]:
        rr_s = None if self.last_r is None else (r_sample - self.last_r) / FS_HZ
        self.last_r = r_sample
        ratio = rr_s / 0.5 if self.knows_rr and rr_s is not None else None
        beat = Beat(r_sample, rr_s, SHAPE, quality, rr_ratio=ratio, decided_sample=self.now + round(FS_HZ))
        good = quality is Quality.GOOD
        scored = ScoredBeat(beat)
        if good:
            scored = ScoredBeat(beat, -150.0, 7.3, ODD) if odd else ScoredBeat(beat, -80.0, 1.2, NORMAL)
        changes = self.engine.handle(explained(scored))
        self.changes += changes
        return changes

    def rhythm(self, seconds: int, rr_s: float, odd: bool = False) -> None:
        """Beats at a fixed RR for a while."""
        end = self.now + round(seconds * FS_HZ)
        next_r = self.now if self.last_r is None else self.last_r + round(rr_s * FS_HZ)
        while self.now < end:
            upto = self.now + round(FS_HZ)
            here = []
            while next_r < upto:
                here.append(next_r)
                next_r += round(rr_s * FS_HZ)
            for r_sample in here:
                self.beat(r_sample, odd)
            self.tick(r_samples=tuple(here))

    def kinds(self, state: str = "onset") -> list[str]:
        return [alarm.kind for alarm in self.changes if alarm.state == state]


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
    (onset,) = ward.changes
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
    [(1.6, "extreme_bradycardia"), (0.4, "extreme_tachycardia"), (1.4, None), (0.45, None)],
)
def test_extreme_rates(rr_s: float, expected: str | None) -> None:
    ward = Ward()
    ward.rhythm(40, rr_s)
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
    assert ward.kinds("cleared") == ["anomaly_run"]


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
    """Bigeminy: every second beat anomalous, each with its pause: one onset, one update, all of it at the end."""
    engine = AlarmEngine("p1", FS_HZ)
    changes: list[Alarm] = []
    for k in range(30):
        early, late = 1000 + 400 * k, 1000 + 400 * k + 280
        changes += engine.handle(odd(early, decided=early + 260))
        usual = Beat(late, 1.12, SHAPE, Quality.GOOD, 0.1, 1.4, 1.0, decided_sample=late + 260)
        changes += engine.handle(ScoredBeat(usual, -80.0, 1.2, NORMAL))
        changes += engine.handle(Tick(early + 350, early + 300, (early, late)))
    assert [(alarm.state, alarm.update) for alarm in changes] == [("onset", False), ("onset", True)]
    changes = engine.handle(Tick(40_000, 39_900, ()))
    (cleared,) = (alarm for alarm in changes if alarm.kind == "anomalous_beat")
    assert (cleared.state, cleared.update, cleared.count) == ("cleared", False, 30)
    assert cleared.evidence.words == (("early", "then a pause"),) * 20


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
    assert ward.kinds() == ["gap", "asystole"]
    assert ward.engine.active[-1].count == 6


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
    assert [(a.kind, a.priority) for a in ward.changes] == [("extreme_bradycardia", "low")]


def test_acknowledging_what_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="p1/asystole/5"):
        AlarmEngine("p1", FS_HZ).acknowledge("p1/asystole/5", "me")


class AnythingHappens(RuleBasedStateMachine):
    """Arbitrary beats, gaps, quality, acknowledgements: the rules hold in every state."""

    def __init__(self) -> None:
        super().__init__()
        self.ward = Ward(knows_rr=True)
        self.state: dict[str, Alarm] = {}  # alarm_id -> last change
        self.seen = 0

    def absorb(self, changes: list[Alarm], *, scorable: bool) -> None:
        for alarm in changes:
            before = self.state.get(alarm.alarm_id)
            if before is None:
                assert not alarm.update, "an update of nothing"
                assert alarm.state == "onset"
                assert scorable or alarm.category == "technical", "physiological alarm out of unscorable signal"
            else:
                assert before.state != "cleared" or alarm.count > before.count, "cleared, then raised as if new"
                if alarm.update:
                    assert alarm.state == before.state, "an update is no new state"
                    assert alarm.text.startswith(before.text)
                    assert len(alarm.text) > len(before.text)
                assert (alarm.onset_sample, alarm.kind) == (before.onset_sample, before.kind)
                if alarm.state == "cleared" and alarm.category == "physiological" and alarm.priority == "high":
                    assert alarm.acknowledged_by, "a high physiological alarm cleared unseen"
            assert not (alarm.state == "latched" and alarm.category == "technical")
            assert alarm.decided_sample >= alarm.onset_sample
            self.state[alarm.alarm_id] = alarm

    @rule(
        quality=st.sampled_from(list(Quality)),
        seconds=st.integers(1, 8),
        beats=st.lists(st.tuples(st.integers(0, 249), st.booleans()), max_size=4),
    )
    def time_passes(self, quality: Quality, seconds: int, beats: list[tuple[int, bool]]) -> None:
        for _ in range(seconds):
            here = sorted({self.ward.now + offset for offset, _ in beats})
            here = [r for r in here if self.ward.last_r is None or r > self.ward.last_r]
            odd = dict(beats)
            if quality not in (Quality.LEADS_OFF, Quality.FLAT):
                for r in here:
                    changes = self.ward.beat(r, odd.get(r - self.ward.now, False), quality)
                    self.absorb(changes, scorable=quality is Quality.GOOD)
            changes = self.ward.tick(quality, tuple(here) if quality is Quality.GOOD else ())
            self.absorb(changes, scorable=quality is Quality.GOOD)

    @rule(coupling=st.integers(40, 200), silent_s=st.integers(0, 6))
    def premature(self, coupling: int, silent_s: int) -> None:
        """A usual beat, an odd one soon after, and maybe a pause."""
        r_samples = tuple(r for r in (self.ward.now, self.ward.now + coupling) if r > (self.ward.last_r or -1))
        for r in r_samples:
            self.absorb(self.ward.beat(r, r > self.ward.now), scorable=True)
        for second in range(1 + silent_s):
            self.absorb(self.ward.tick(r_samples=r_samples if second == 0 else ()), scorable=True)

    @rule(lost=st.integers(1, 20_000))
    def gap(self, lost: int) -> None:
        seconds = lost // 250 + 1
        self.absorb(self.ward.engine.handle(Gap(self.ward.now, round(seconds * FS_HZ))), scorable=False)
        self.ward.second += seconds
        self.ward.last_r = None

    @rule(kind=st.sampled_from(["no_data", "source_lost"]), holds=st.booleans())
    def source(self, kind: str, holds: bool) -> None:
        self.absorb(self.ward.engine.source_state(kind, holds, self.ward.now, "x"), scorable=False)

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        active = self.ward.engine.active
        if active:
            alarm = data.draw(st.sampled_from(active))
            self.absorb(self.ward.engine.acknowledge(alarm.alarm_id, "somebody"), scorable=True)

    @rule(seconds=st.floats(0, 1000))
    def pause(self, seconds: float) -> None:
        assert self.ward.engine.pause_audio(seconds, self.ward.now) <= 120.0

    @invariant()
    def one_alarm_a_cause(self) -> None:
        active = self.ward.engine.active
        kinds = [alarm.kind for alarm in active]
        assert len(kinds) == len(set(kinds))
        open_ids = {alarm_id for alarm_id, alarm in self.state.items() if alarm.state != "cleared"}
        assert {alarm.alarm_id for alarm in active} == open_ids, "what is active is what was told and not cleared"
        ranks = [{"high": 0, "medium": 1, "low": 2}[alarm.priority] for alarm in active]
        assert ranks == sorted(ranks)
        assert all(len(alarm.evidence.r_samples) <= 20 for alarm in active)


TestAnythingHappens = AnythingHappens.TestCase
TestAnythingHappens.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_noise_that_pauses_for_a_second_is_one_poor_signal() -> None:
    ward = Ward()
    ward.rhythm(10, 0.8)
    for quality in (Quality.MOTION, Quality.GOOD, Quality.MOTION, Quality.GOOD, Quality.WANDER, Quality.GOOD):
        ward.tick(quality)
    assert ward.kinds() == ["poor_signal"]
    assert ward.changes[-1].text == "poor signal (electrode moves): beats are not scored"
    ward.tick()
    assert ward.kinds("cleared") == ["poor_signal"]
