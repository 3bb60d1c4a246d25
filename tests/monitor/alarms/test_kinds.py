"""Kinds with one cause: runs, burden, rates, pauses, fibrillation; what covers what, and how often it is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from detector import Gap, Quality
from monitor.config import AlarmsConfig, KindConfig
from monitor.messages import Alarm
from tests.monitor.alarms.helpers import FS_HZ, Look, Ward


def told(changes: list[Alarm], *kinds: str) -> list[tuple[str, str]]:
    return [(a.kind, a.state) for a in changes if not a.update and (not kinds or a.kind in kinds)]


def run(ward: Ward, beats: int, rr_s: float, look: Look = "wide") -> list[Alarm]:
    """Anomalous beats in a row, after which the usual rhythm goes on."""
    before = len(ward.changes)
    end = (ward.last_r or 0) + round(beats * rr_s * FS_HZ)
    while (ward.last_r or 0) < end:
        here = []
        while (r := (ward.last_r or 0) + round(rr_s * FS_HZ)) < ward.now + round(FS_HZ) and r <= end:
            ward.beat(r, odd=True, look=look)
            here.append(r)
        ward.tick(r_samples=tuple(here))
    return ward.changes[before:]


# -- runs -----------------------------------------------------------------------------------------------------


def test_a_run_of_wide_beats_ends_as_one_alarm_and_latches() -> None:
    ward = Ward()
    ward.rhythm(10, 0.8, look="usual")
    first = (ward.last_r or 0) + round(0.4 * FS_HZ)
    changes = run(ward, 24, 0.4)
    assert told(changes) == [
        ("anomalous_beat", "onset"),
        ("anomaly_run", "onset"),
        ("anomalous_beat", "cleared"),
        ("ventricular_run", "onset"),
        ("anomaly_run", "cleared"),
    ], "no extreme tachycardia beside it, though it is one"
    single, _, single_over, ventricular, run_over = (a for a in changes if not a.update)
    assert (ventricular.priority, ventricular.onset_sample) == ("high", first)
    assert ventricular.text == "5 wide or different beats in a row at 150 bpm: wide"
    assert (ventricular.evidence.value, ventricular.evidence.limit, ventricular.evidence.limit_unit) == (
        150,
        100,
        "bpm",
    )
    assert len(ventricular.evidence.r_samples) == len(ventricular.evidence.words) == 5
    assert single_over.covered_by == f"p1/anomaly_run/{first}"
    assert run_over.covered_by == ventricular.alarm_id
    assert single_over.alarm_id == single.alarm_id
    assert set(run_over.evidence.r_samples) <= set(ventricular.evidence.r_samples), "no evidence is lost"
    after = ward.rhythm(30, 0.8, look="usual")
    (latched,) = (a for a in after if a.kind == "ventricular_run")
    assert (latched.state, latched.text) == ("latched", "24 wide or different beats in a row at 150 bpm: wide")
    assert [a for a in told(after) if a[1] == "onset"] == []


@pytest.mark.parametrize(
    ("beats", "rr_s", "look", "expected"),
    [
        (4, 0.4, "wide", "anomaly_run"),
        (5, 0.4, "wide", "ventricular_run"),
        (12, 0.62, "wide", "anomaly_run"),  # 97 bpm: an accelerated rhythm
        (12, 0.4, "usual", "anomaly_run"),  # narrow and premature: supraventricular
        (2, 0.4, "wide", "anomalous_beat"),
    ],
)
def test_only_five_wide_and_fast_beats_are_a_ventricular_run(
    beats: int, rr_s: float, look: Look, expected: str
) -> None:
    ward = Ward(knows_rr=True)
    ward.rhythm(10, 0.8, look="usual")
    run(ward, beats, rr_s, look)
    (alarm,) = ward.engine.active
    assert alarm.kind == expected


def test_a_run_that_the_template_has_got_used_to_goes_on() -> None:
    """Within a minute a tachycardia is usual for the template, and no beat of it anomalous any more."""
    ward = Ward()
    ward.rhythm(10, 0.8, look="usual")
    run(ward, 8, 0.4)
    ward.rhythm(40, 0.4, odd=False, look="wide")
    assert told(ward.changes, "ventricular_run") == [("ventricular_run", "onset")]
    ward.rhythm(8, 0.4, odd=False, look="usual")
    assert told(ward.changes, "ventricular_run")[-1] == ("ventricular_run", "latched")


def test_a_run_ends_where_a_beat_cannot_be_scored_or_signal_is_missing() -> None:
    for disturb in (
        lambda ward: ward.beat(ward.last_r + 100, quality=Quality.MUSCLE),
        lambda ward: ward.engine.handle(Gap(ward.now, 200, "hole")),
    ):
        ward = Ward()
        ward.rhythm(10, 0.8, look="usual")
        run(ward, 4, 0.4)
        disturb(ward)
        run(ward, 4, 0.4)
        assert "ventricular_run" not in ward.kinds()


def test_runs_near_each_other_are_one_alarm() -> None:
    ward = Ward()
    ward.rhythm(10, 0.8, look="usual")
    for _ in range(5):
        run(ward, 3, 0.5)
        ward.rhythm(7, 0.8, look="usual")
    assert told(ward.changes, "anomaly_run") == [("anomaly_run", "onset")]
    ward.rhythm(8, 0.8, look="usual")
    cleared = ward.changes[-1]
    assert (cleared.kind, cleared.state, cleared.count) == ("anomaly_run", "cleared", 5)
    assert len(cleared.evidence.r_samples) == 15


# -- burden ---------------------------------------------------------------------------------------------------


def single_beats(ward: Ward, n: int, every_s: int) -> list[Alarm]:
    before = len(ward.changes)
    for _ in range(n):
        ward.beat((ward.last_r or 0) + 130, odd=True, look="usual")
        ward.rhythm(every_s, 0.8, look="usual")
    return ward.changes[before:]


def test_many_single_beats_a_minute_are_a_burden_until_they_are_clearly_fewer() -> None:
    ward = Ward()
    ward.rhythm(10, 0.8, look="usual")
    single_beats(ward, 10, 5)
    assert ward.kinds() == ["anomalous_beat"]
    single_beats(ward, 2, 5)
    assert ward.kinds() == ["anomalous_beat", "anomaly_burden"]
    (burden,) = ward.engine.active
    assert (burden.priority, burden.evidence.value, burden.evidence.limit) == ("medium", 11.0, 10.0)
    single_beats(ward, 10, 7)  # eight or nine a minute: neither over the limit nor clear of it
    assert [a.kind for a in ward.engine.active] == ["anomaly_burden"]
    ward.rhythm(125, 0.8, look="usual")
    assert ward.engine.active == ()


def test_beats_of_a_run_are_no_burden_as_well() -> None:
    ward = Ward()
    ward.rhythm(10, 0.8, look="usual")
    run(ward, 16, 0.4, "usual")
    ward.rhythm(60, 0.8, look="usual")
    assert "anomaly_burden" not in ward.kinds()


# -- how often a person is told --------------------------------------------------------------------------------


@pytest.mark.parametrize(("odd", "every_s"), [(1, 12), (3, 15), (1, 40), (2, 90), (1, 185)])
def test_no_patient_gives_more_than_twenty_low_notifications_an_hour(odd: int, every_s: int) -> None:
    """Single beats or runs, often or now and then: in three hours, in any hour of them; and none is lost."""
    quiet = KindConfig("medium", limit=1000.0)
    ward = Ward(AlarmsConfig(anomaly_burden=quiet))
    beats = 0
    for _ in range(3 * 3600 // every_s):
        run(ward, odd, 0.5, "usual")
        beats += odd
        ward.rhythm(every_s, 0.8, look="usual")
    singles = [a for a in ward.changes if a.kind == "anomalous_beat"]
    onsets = [a.decided_sample for a in singles if a.state == "onset" and not a.update]
    assert onsets
    for first in onsets:
        assert sum(first <= sample < first + 3600 * FS_HZ for sample in onsets) <= 20
    if odd < 3:  # each was counted, in the alarm that is up or in one that is over
        last = {a.alarm_id: a for a in ward.changes if a.kind == "anomalous_beat"}
        ward.rhythm(3600, 0.8, look="usual")
        last |= {a.alarm_id: a for a in ward.changes if a.kind == "anomalous_beat"}
        assert sum(a.count for a in last.values()) == beats


def test_what_a_low_alarm_has_counted_is_told_each_minute() -> None:
    ward = Ward(AlarmsConfig(anomaly_burden=KindConfig("medium", limit=1000.0)))
    ward.rhythm(10, 0.8, look="usual")
    changes = single_beats(ward, 40, 5)
    updates = [a for a in changes if a.update]
    assert [a.count for a in updates] == sorted(a.count for a in updates)
    assert len(updates) == 3
    assert ward.kinds() == ["anomalous_beat"]


@hypothesis_settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 60)), min_size=60, max_size=90))
def test_noise_that_comes_and_goes_is_told_at_most_twenty_times_an_hour(spells: list[tuple[int, int]]) -> None:
    ward = Ward(AlarmsConfig(asystole=KindConfig("high", enabled=False), pause=KindConfig("medium", enabled=False)))
    for bad_s, good_s in spells:
        for second in range(bad_s + good_s):
            ward.tick(Quality.MUSCLE if second < bad_s else Quality.GOOD)
    onsets = [a.decided_sample for a in ward.changes if a.state == "onset" and not a.update]
    assert all(sum(first <= s < first + 3600 * FS_HZ for s in onsets) <= 20 for first in onsets)


# -- rates and pauses -----------------------------------------------------------------------------------------


def test_a_rate_at_its_limit_does_not_chatter() -> None:
    ward = Ward()
    for _ in range(30):
        ward.rhythm(9, 0.47)  # 128 bpm
        ward.rhythm(9, 0.51)  # 118
    assert told(ward.changes) == [("tachycardia", "onset")]
    ward.rhythm(30, 0.8)
    assert ward.engine.active == ()


def test_a_rate_must_last_before_it_is_told() -> None:
    ward = Ward()
    ward.rhythm(20, 0.8)
    ward.rhythm(14, 0.46)  # 130 bpm: over the limit on the mean for some seconds
    ward.rhythm(30, 0.8)
    assert ward.changes == []


def test_an_extreme_rate_takes_the_place_of_the_lesser_and_gives_it_back() -> None:
    ward = Ward()
    ward.rhythm(60, 0.47)  # 128 bpm
    ward.rhythm(30, 0.36)  # 167
    ward.rhythm(40, 0.47)
    assert told(ward.changes) == [
        ("tachycardia", "onset"),
        ("extreme_tachycardia", "onset"),
        ("tachycardia", "cleared"),
        ("extreme_tachycardia", "latched"),
        ("tachycardia", "onset"),
    ]
    assert ward.changes[2].covered_by == ward.changes[1].alarm_id
    assert ward.changes[4].alarm_id != ward.changes[0].alarm_id


def test_a_pause_that_was_over_before_the_grid_saw_it_is_told_and_one_across_noise_is_not() -> None:
    ward = Ward()
    ward.rhythm(10, 0.8)
    last = ward.last_r or 0
    for _ in range(3):
        ward.tick()
    ward.tick(r_samples=(last + round(3.2 * FS_HZ),))
    pause = next(a for a in ward.changes if a.kind == "pause")
    assert (pause.priority, pause.onset_sample, pause.text) == ("medium", last, "no QRS for 3.2 s")
    assert pause.evidence.value == pytest.approx(3.2)
    ward.last_r = last + round(3.2 * FS_HZ)
    ward.rhythm(12, 0.8)
    assert told(ward.changes) == [("pause", "onset"), ("pause", "cleared")]
    noisy = Ward()
    noisy.rhythm(10, 0.8)
    last = noisy.last_r or 0
    noisy.tick()
    noisy.tick(Quality.MOTION)
    noisy.tick()
    noisy.tick(r_samples=(last + round(3.2 * FS_HZ),))
    assert noisy.changes == []


@pytest.mark.parametrize(("enabled", "kinds"), [(True, ["asystole"]), (False, ["pause"])])
def test_an_asystole_that_was_over_before_the_grid_saw_it_is_told_and_latches(enabled: bool, kinds: list[str]) -> None:
    ward = Ward(AlarmsConfig(asystole=KindConfig("high", enabled=enabled, limit=4.0)))
    ward.rhythm(10, 0.8)
    last = ward.last_r or 0
    ward.tick()
    ward.tick(r_samples=(last + round(4.4 * FS_HZ),))
    assert [alarm.kind for alarm in ward.engine.active] == kinds
    (alarm,) = ward.engine.active
    assert (alarm.onset_sample, alarm.text) == (last, "no QRS for 4.4 s")
    if enabled:
        assert told(ward.changes) == [("asystole", "onset"), ("asystole", "latched")]


# -- fibrillation ---------------------------------------------------------------------------------------------


def test_fibrillation_is_told_once_whatever_else_it_looks_like() -> None:
    ward = Ward()
    ward.rhythm(10, 0.8, look="usual")
    for _ in range(6):
        ward.tick(fibrillatory=False)
    for _ in range(20):  # no R-peak in it: an asystole, were it not for the waveform
        ward.tick(fibrillatory=True)
    assert told(ward.changes, "ventricular_fibrillation") == [("ventricular_fibrillation", "onset")]
    assert "asystole" in ward.kinds(), "before the waveform was seen"
    onset = next(a for a in ward.changes if a.kind == "ventricular_fibrillation")
    asystole = next(a for a in ward.changes if a.kind == "asystole" and a.state == "latched")
    assert asystole.covered_by == onset.alarm_id
    assert (onset.priority, onset.evidence.limit, onset.evidence.limit_unit) == ("high", 4.0, "s")
    ward.tick(fibrillatory=False)
    ward.tick(fibrillatory=True)
    assert told(ward.changes, "ventricular_fibrillation") == [("ventricular_fibrillation", "onset")], "it waned"
    ward.last_r = None
    ward.rhythm(2, 0.8)
    for _ in range(4):
        ward.tick(fibrillatory=False)
    assert told(ward.changes, "ventricular_fibrillation")[-1] == ("ventricular_fibrillation", "latched")


def test_a_fast_regular_run_that_waves_is_told_as_the_run_and_fibrillation_once_it_is_irregular() -> None:
    ward = Ward()
    ward.rhythm(10, 0.8, look="usual")
    last = ward.last_r or 0
    waving = [last + 100 + 80 * k for k in range(30)]  # 188 bpm, each second one of the detector's fibrillatory windows
    irregular = [waving[-1] + 190 * k + extra for k in range(15) for extra in (50, 190)]
    for second in range(24):
        upto = ward.now + round(FS_HZ)
        here = tuple(r for r in [*waving, *irregular] if ward.now <= r < upto)
        for r in here:
            ward.beat(r, odd=True, look="wide")
        ward.tick(r_samples=here, fibrillatory=second >= 4)
        if upto <= waving[-1] + 3 * FS_HZ:  # windows of 4 s, of which the run has told the first
            assert "ventricular_fibrillation" not in ward.kinds()
    high = [alarm for alarm in told(ward.changes) if alarm[0].startswith("ventricular")]
    assert high[:3] == [
        ("ventricular_run", "onset"),
        ("ventricular_fibrillation", "onset"),
        ("ventricular_run", "latched"),
    ]


@pytest.mark.parametrize("quality", [Quality.MOTION, Quality.LEADS_OFF, Quality.SETTLING])
def test_no_fibrillation_out_of_signal_that_is_not_good(quality: Quality) -> None:
    ward = Ward()
    for _ in range(10):
        ward.tick(quality, fibrillatory=True)
    assert "ventricular_fibrillation" not in ward.kinds()


def test_a_longer_limit_needs_windows_that_follow_each_other() -> None:
    ward = Ward(AlarmsConfig(ventricular_fibrillation=KindConfig("high", limit=6.0)))
    for fibrillatory in (True, True, False, True, True):
        ward.tick(fibrillatory=fibrillatory)
    assert "ventricular_fibrillation" not in ward.kinds()
    ward.tick(fibrillatory=True)
    assert "ventricular_fibrillation" in ward.kinds()
    onset = next(a for a in ward.changes if a.kind == "ventricular_fibrillation")
    assert onset.onset_sample == 0


# -- latching, covering by configuration, overload -------------------------------------------------------------


def test_latching_is_configured_and_a_technical_alarm_never_latches() -> None:
    limits = AlarmsConfig(
        asystole=KindConfig("high", limit=4.0, latch="never"),
        pause=KindConfig("medium", limit=2.0, latch="always"),
        leads_off=KindConfig("high", limit=1.0),
    )
    ward = Ward(limits)
    ward.rhythm(10, 0.8)
    for _ in range(7):
        ward.tick()
    ward.rhythm(5, 0.8)
    for _ in range(3):
        ward.tick(Quality.LEADS_OFF)
    ward.rhythm(5, 0.8)
    assert {a.kind: a.state for a in ward.changes} == {
        "asystole": "cleared",
        "pause": "latched",
        "leads_off": "cleared",
    }


def test_a_cover_never_hides_what_is_configured_to_be_more_urgent() -> None:
    limits = AlarmsConfig(ventricular_run=KindConfig("low", limit=100.0, beats=5))
    ward = Ward(limits)
    ward.rhythm(10, 0.8, look="usual")
    run(ward, 24, 0.4)
    assert {"ventricular_run", "anomaly_run", "extreme_tachycardia"} <= {a.kind for a in ward.engine.active}


def test_a_kind_that_is_switched_off_covers_nothing() -> None:
    ward = Ward(AlarmsConfig(ventricular_run=KindConfig("high", enabled=False, beats=5)))
    ward.rhythm(10, 0.8, look="usual")
    run(ward, 24, 0.4)
    assert [a.kind for a in ward.engine.active] == ["extreme_tachycardia", "anomaly_run"]


def test_overload_begins_over_its_limit_and_ends_clear_of_it() -> None:
    ward = Ward()
    ward.rhythm(5, 0.8)
    assert ward.engine.behind(4.9, ward.now) == []
    (onset,) = ward.engine.behind(6.2, ward.now)
    assert (onset.kind, onset.category, onset.priority) == ("overload", "technical", "low")
    assert onset.text == "the monitor is 6.2 s behind its samples"
    assert ward.engine.behind(3.0, ward.now) == []
    (cleared,) = ward.engine.behind(0.1, ward.now)
    assert cleared.state == "cleared"


def test_a_second_acknowledgement_changes_nothing() -> None:
    ward = Ward()
    ward.rhythm(10, 0.8)
    for _ in range(8):
        ward.tick()
    alarm = ward.engine.active[0]
    (first,) = ward.engine.acknowledge(alarm.alarm_id, "nurse 3")
    assert ward.engine.acknowledge(alarm.alarm_id, "nurse 4") == []
    assert ward.engine.active[0] == first
    assert first.acknowledged_by == "nurse 3"


def test_an_audio_pause_does_not_outlive_the_samples_that_count_it_down() -> None:
    ward = Ward()
    ward.rhythm(10, 0.8)
    for _ in range(8):
        ward.tick()
    ward.engine.pause_audio(100, ward.now)
    ward.engine.source_state("source_lost", True, ward.now, "unplugged")
    assert ward.engine.audio_paused_s(ward.now) == 0
    with pytest.raises(ValueError, match="no samples"):
        ward.engine.pause_audio(100, ward.now)
    assert ward.engine.pause_audio(0, ward.now) == 0


def test_an_acknowledged_alarm_gives_a_pause_no_rank() -> None:
    ward = Ward()
    ward.rhythm(10, 0.8)
    for _ in range(8):
        ward.tick()
    ward.engine.acknowledge(ward.engine.active[0].alarm_id, "nurse 3")
    ward.engine.pause_audio(100, ward.now)
    for _ in range(2):
        ward.tick(fibrillatory=True)
    assert ward.engine.audio_paused_s(ward.now) == 0, "another high alarm is heard"


def test_silence_that_outlasts_the_loss_of_its_source_is_told_again() -> None:
    """A port that is lost says all; when it is back and still silent, that is the same silence."""
    ward = Ward()
    ward.rhythm(5, 0.8)
    changes = [
        change
        for kind, holds in (("no_data", True), ("source_lost", True), ("source_lost", False), ("no_data", False))
        for change in ward.engine.source_state(kind, holds, ward.now, "unplugged")
    ]
    assert told(changes) == [
        ("no_data", "onset"),
        ("source_lost", "onset"),
        ("no_data", "cleared"),
        ("source_lost", "cleared"),
        ("no_data", "onset"),
        ("no_data", "cleared"),
    ]
    assert {a.alarm_id for a in changes if a.kind == "no_data"} == {f"p1/no_data/{ward.now}"}
    assert [a.count for a in changes if a.kind == "no_data"] == [1, 1, 2, 2]


def test_one_missed_qrs_does_not_change_the_rate_that_an_extreme_alarm_tells() -> None:
    ward = Ward()
    ward.rhythm(10, 0.8)
    ward.rhythm(3, 0.4)
    ward.last_r = (ward.last_r or 0) + round(0.4 * FS_HZ)
    ward.rhythm(12, 0.4)
    onset = next(a for a in ward.changes if a.kind == "extreme_tachycardia")
    assert onset.text == "heart rate 150 bpm over 17 beats"
