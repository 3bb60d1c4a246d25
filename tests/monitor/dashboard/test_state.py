"""Folding bus messages into the state: bounded size, order, conditions."""

import pickle

import msgspec
import numpy as np
import pytest

from monitor.client.liveness import LOST_AFTER_S, STALE_AFTER_S
from monitor.dashboard.bed import BEATS
from monitor.dashboard.bed_alarms import MAX_ACTIVE
from monitor.dashboard.ring import SampleKind
from monitor.dashboard.state import MAX_BEDS, DashboardState
from tests.monitor.dashboard.helpers import FS_HZ, alarm, beat, ecg, heartbeat, running_state, status, wave


def test_the_state_stays_bounded_over_a_hundred_thousand_messages():
    state = DashboardState()
    state.apply(alarm("asystole", "high", onset=1), now_s=0.0)
    samples = ecg(0, 25)
    sizes = []
    for number in range(25_000):
        sample, now_s = number * 25, number / 10
        state.apply(*wave(sample, samples, seq=number + 1), now_s=now_s)
        state.apply(beat(sample, seq=number + 1), now_s=now_s)
        state.apply(alarm("anomalous_beat", "low", onset=sample, sample=sample), now_s=now_s)  # never cleared
        state.apply(status(sample, seq=number + 1), now_s=now_s)
        if number in (2_000, 24_999):
            assert state.beds["p1"].lead.wave.end == sample + 25  # read the unread messages
            sizes.append(len(pickle.dumps(state)))
    bed = state.beds["p1"]
    assert (len(bed.beats), len(bed.alarms.active)) == (BEATS, MAX_ACTIVE)
    assert bed.alarms.raised["low"] == 25_000
    assert bed.alarms.by_priority()[0].kind == "asystole", "the least urgent alarms are dropped"
    assert sizes[1] <= sizes[0] * 1.05


def test_beds_are_bounded_and_messages_of_others_are_counted():
    state = DashboardState()
    for number in range(MAX_BEDS + 5):
        state.apply(status(0, bed=f"b{number}"), now_s=0.0)
    assert len(state.beds) == MAX_BEDS
    assert state.malformed == 5


def test_wave_samples_have_absolute_indices_and_gaps_have_kinds():
    state = DashboardState()
    for first, seq, values in (
        (1000, 1, ecg(1000, 250)),
        (1250, 2, np.full(100, np.nan, np.float32)),  # leads off
        (1450, 3, ecg(1450, 50)),  # 100 samples lost at the source
        (1600, 6, ecg(1600, 50)),  # messages 4 and 5 left out for displays
    ):
        state.apply(*wave(first, values, seq=seq), now_s=1.0)
    ring = state.beds["p1"].lead.wave
    values, kinds = ring.read(1000, 650)
    expected = [SampleKind.VALID] * 250 + [SampleKind.LEADS_OFF] * 100 + [SampleKind.LOST] * 100
    expected += [SampleKind.VALID] * 50 + [SampleKind.DROPPED] * 100 + [SampleKind.VALID] * 50
    assert kinds.tolist() == expected
    assert (np.isfinite(values) == (kinds == SampleKind.VALID)).all()
    assert values[:250].tolist() == ecg(1000, 250).tolist()


def test_filtered_samples_without_a_raw_sample_are_invalid():
    state = DashboardState()
    header, _ = wave(0, ecg(0, 100))
    rows = np.stack([np.r_[ecg(0, 60), np.full(40, np.nan)], ecg(0, 100)]).astype("<f4")
    state.apply(header, rows.tobytes(), now_s=0.0)
    values, _ = state.beds["p1"].lead.wave.read(0, 100)
    assert np.isfinite(values).tolist() == [True] * 60 + [False] * 40


@pytest.mark.parametrize(
    ("change", "raw"),
    [
        ({}, b"\0" * 7), ({}, b""), ({"n": -1}, None), ({"channels": ()}, None),
        ({"fs_hz": 0.0}, None), ({"fs_hz": float("nan")}, None), ({"fs_hz": 1e12}, None),
    ],
)  # fmt: skip
def test_an_invalid_wave_message_is_counted_and_ignored(change, raw):
    state = running_state(3)
    end = state.beds["p1"].lead.wave.end
    header, good = wave(750, ecg(750, 10), seq=4)
    state.apply(msgspec.structs.replace(header, **change), good if raw is None else raw, now_s=4.0)
    assert state.malformed == 1
    assert state.beds["p1"].lead.wave.end == end


def test_a_repeated_beat_counts_once():
    state = DashboardState()
    for r_sample in (100, 300, 300, 100, 500):
        state.apply(beat(r_sample), now_s=0.0)
    assert [known.r_sample for known in state.beds["p1"].beats] == [100, 300, 500]


def test_an_alarm_is_active_until_cleared_and_counted_once():
    state = DashboardState()
    for name in ("onset", "latched", "acknowledged"):
        state.apply(alarm("asystole", "high", name, onset=100), now_s=0.0)
        assert [a.state for a in state.beds["p1"].alarms.by_priority()] == [name]
    state.apply(alarm("asystole", "high", "cleared", onset=100), now_s=0.0)
    state.apply(alarm("asystole", "high", "cleared", onset=100), now_s=0.0)
    bed = state.beds["p1"]
    assert bed.alarms.by_priority() == []
    assert [a.kind for a in bed.alarms.cleared] == ["asystole"]
    assert bed.alarms.raised == {"high": 1, "medium": 0, "low": 0}


def test_alarms_are_sorted_by_priority_then_newest():
    state = DashboardState()
    for onset, kind, priority in ((1, "a", "low"), (2, "b", "high"), (3, "c", "medium"), (4, "d", "high")):
        state.apply(alarm(kind, priority, onset=onset), now_s=0.0)
    bed = state.beds["p1"]
    assert [a.kind for a in bed.alarms.by_priority()] == ["d", "b", "c", "a"]
    state.apply(alarm("d", "high", "acknowledged", onset=4), now_s=0.0)
    assert bed.alarms.top_unacknowledged().kind == "b"


def test_an_alarm_ages_by_the_sample_clock_or_by_ours_while_that_stands_still():
    state = running_state(20)
    bed = state.beds["p1"]
    state.apply(alarm("tachycardia", "medium", onset=round(10 * FS_HZ), sample=round(20 * FS_HZ)), now_s=20.0)
    (active,) = bed.alarms.by_priority()
    assert bed.age_s(active, 20.0) == pytest.approx(10.0)
    assert bed.age_s(active, 50.0) == pytest.approx(40.0)  # the stream stopped


def test_a_new_epoch_resets_the_state_and_old_messages_are_ignored():
    state = running_state(5)
    state.apply(alarm("asystole", "high"), now_s=5.0)
    state.apply(heartbeat(1, epoch="e2"), now_s=6.0)
    assert state.beds["p1"].alarms.by_priority() == []
    state.apply(*wave(0, ecg(0, 100), epoch="e2"), now_s=6.0)
    late, raw = wave(1250, ecg(1250, 100), epoch="e1")
    state.apply(late, raw, now_s=6.0)
    assert state.beds["p1"].lead.wave.end == 100


def test_a_silent_stream_is_no_data_within_two_seconds_despite_its_status():
    state = running_state(5)
    bed = state.beds["p1"]
    assert state.condition(bed, 5.0) == "live"
    state.apply(status(1250), now_s=7.05)
    state.apply(heartbeat(6), now_s=7.05)
    assert state.condition(bed, 7.05) == "no_data"
    assert bed.shown_rate_bpm(7.05) is None


def test_the_connection_is_the_worse_of_client_state_and_heartbeat_age():
    state = running_state(5)
    assert state.connection_now(5.5) == "connected"
    assert state.connection_now(5.0 + STALE_AFTER_S) == "stale"
    assert state.connection_now(5.0 + LOST_AFTER_S) == "lost"
    state.set_connection("lost", 5.5)
    assert state.connection_now(5.5) == "lost"
    state.set_connection("connected", 5.5)
    state.apply(heartbeat(6, state="goodbye"), now_s=5.6)
    assert state.connection_now(5.6) == "ended"
    assert state.condition(state.beds["p1"], 5.6) == "ended"


def test_an_old_heart_rate_is_not_shown():
    state = running_state(10)
    bed = state.beds["p1"]
    assert bed.shown_rate_bpm(10.0) == 60.0
    for second in range(10, 16):
        state.apply(*wave(second * 250, np.zeros(250, np.float32), seq=second + 1), now_s=second + 1.0)
    assert bed.shown_rate_bpm(16.0) is None


def test_an_audio_pause_counts_down_between_two_status_messages():
    state = running_state(3)
    state.apply(status(750, audio_paused_s=90.0), now_s=3.0)
    bed = state.beds["p1"]
    assert bed.audio_paused_s(3.5) == pytest.approx(89.5)
    assert bed.audio_paused_s(200.0) == 0.0
