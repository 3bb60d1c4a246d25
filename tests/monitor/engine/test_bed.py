"""One bed without sockets: reading, results, counts and requests."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detector import Beat, Gap, Scorer, Scores
from monitor.engine.bed import Bed
from monitor.errors import ConfigError
from monitor.messages import Alarm, AlarmMessage, BeatMessage, Request, WaveHeader
from monitor.reports.holter.beats import HolterBeats
from monitor.reports.holter.hrv import heart_rate_variability
from monitor.sources import Notice
from tests.detector.helpers_pacing import Pulse, paced_ecg
from tests.monitor.engine.helpers import FS_HZ, FedSource, ecg, settings

STARTED = datetime.datetime(2024, 2, 29, 23, 59, 59, tzinfo=datetime.UTC)


class Ward:
    """A bed, and all messages it gives."""

    def __init__(self, scorer: Scorer, source: FedSource | None = None, **sections: dict[str, Any]) -> None:
        self.source = source or FedSource(live=False)
        self.now_s = 0.0
        self.scorer = scorer
        self.bed = Bed(
            "p1", self.source, settings(**sections), scorer, lambda: self.now_s, STARTED, paced=self.source.live
        )
        self.alarms: list[AlarmMessage] = []
        self.beats: list[BeatMessage] = []
        self.gaps: list[Gap] = []
        self.notices: list[Notice] = []
        self.pacer_samples: tuple[int, ...] = ()
        self.strips: dict[str, tuple[int, NDArray[np.float32]]] = {}

    def alarm(self, bed: Bed, message: AlarmMessage) -> None:
        self.alarms.append(message)

    def beat(self, bed: Bed, message: BeatMessage) -> None:
        self.beats.append(message)

    def gap(self, bed: Bed, gap: Gap) -> None:
        self.gaps.append(gap)

    def notice(self, bed: Bed, notice: Notice) -> None:
        self.notices.append(notice)

    def pacer(self, bed: Bed, samples: tuple[int, ...]) -> None:
        self.pacer_samples += samples

    def strip(self, bed: Bed, alarm: Alarm, first_sample: int, samples: NDArray[np.float32]) -> None:
        self.strips[alarm.alarm_id] = (first_sample, samples)

    def take(self, most: int = 10**6) -> None:
        self.bed.process(most, self)
        self.settle()

    def settle(self) -> None:
        self.bed.settle(self.scorer.score_beats(self.bed.input.unscored), self)

    def finish(self) -> None:
        self.bed.input.end()
        self.settle()


def test_variability_is_that_of_the_report(scorer: Scorer) -> None:
    signal = ecg("rsa=200,pvc=10,rsa=110")
    ward = Ward(scorer)
    ward.source.feed(signal)
    while ward.bed.now < signal.size:
        ward.take(4321)
    now = ward.bed.now
    hrv = ward.bed.status().hrv
    first = next(n for n, beat in enumerate(ward.beats) if beat.r_sample > now - 300 * FS_HZ)
    own = ward.beats[first - 1 :]  # with the beat at which the first interval begins
    assert any(beat.anomalous for beat in own)
    report = heart_rate_variability(
        HolterBeats(
            FS_HZ,
            np.array([beat.r_sample for beat in own]),
            np.array([np.nan if beat.rr_s is None else beat.rr_s for beat in own]),
            np.array([np.nan if beat.score is None else beat.score for beat in own]),
            np.array([beat.anomalous for beat in own]),
            tuple(beat.quality for beat in own),
        )
    )
    assert hrv.intervals == report.intervals
    assert (hrv.sdnn_ms, hrv.rmssd_ms) == pytest.approx((report.sdnn_ms, report.rmssd_ms), abs=0.051)  # 0.1 ms sent
    assert hrv.pnn50 == pytest.approx(report.pnn50, abs=1e-4)
    assert hrv.sdnn_ms is not None
    assert hrv.sdnn_ms > 20


@hypothesis_settings(max_examples=8)
@given(cuts=st.lists(st.integers(1, 3000), min_size=1, max_size=12))
def test_results_do_not_depend_on_the_size_of_pieces(scorer: Scorer, cuts: list[int]) -> None:
    signal = ecg("sinus=12,pvc=4,asystole=6,leadsoff=2,sinus=3")
    whole, cut = Ward(scorer), Ward(scorer)
    for ward in (whole, cut):
        ward.source.feed(signal[:3000])
        ward.source.feed(signal[3000:], lost=77)
    whole.take()
    whole.take()
    turn = 0
    while cut.bed.now < signal.size + 77:
        cut.take(cuts[turn % len(cuts)])
        turn += 1
    whole.finish()
    cut.finish()
    assert cut.beats == whole.beats
    assert cut.alarms == whole.alarms
    assert cut.gaps == whole.gaps
    assert len(whole.beats) > 10
    assert cut.bed.status() == whole.bed.status()
    for alarm_id, (first, samples) in whole.strips.items():
        assert cut.strips[alarm_id][0] == first
        raw = np.concatenate((signal[:3000], np.full(77, np.nan), signal[3000:]))
        low, high = max(first, 0), min(first + samples.shape[1], raw.size)
        np.testing.assert_array_equal(samples[0, low - first : high - first], raw[low:high].astype(np.float32))


def test_times_are_on_the_stream_clock(scorer: Scorer) -> None:
    ward = Ward(scorer)
    assert ward.bed.input.time_of(0) == "2024-02-29T23:59:59.000+00:00"
    assert ward.bed.input.time_of(round(2 * FS_HZ)) == "2024-03-01T00:00:01.000+00:00"
    source = FedSource()
    source.start_time = "1975-01-01T12:00:00+00:00"
    assert Ward(scorer, source).bed.input.time_of(250) == "1975-01-01T12:00:01.000+00:00"


def test_a_source_may_start_at_any_sample(scorer: Scorer) -> None:
    ward = Ward(scorer)
    signal = ecg("sinus=15")
    ward.source.feed(signal, lost=10**9)
    ward.take()
    ward.finish()
    assert ward.alarms == []
    assert ward.bed.status().gaps == 0
    assert ward.bed.input.first_sample == 10**9
    assert min(beat.r_sample for beat in ward.beats) >= 10**9
    header, samples = ward.bed.view.wave() or pytest.fail("no wave")
    assert (header.first_sample, header.n) == (10**9, signal.size)
    np.testing.assert_array_equal(samples[0], signal.astype(np.float32))
    assert ward.bed.view.wave() is None


def test_a_long_wave_is_cut_and_counted(scorer: Scorer) -> None:
    ward = Ward(scorer)
    ward.source.feed(ecg("sinus=64"))
    ward.take()
    header, samples = ward.bed.view.wave() or pytest.fail("no wave")
    assert (header.first_sample, header.n, samples.shape) == (4 * FS_HZ, 60 * FS_HZ, (2, 60 * FS_HZ))
    assert ward.bed.status().dropped_waves == 1


def test_the_counts_of_the_status_match_the_messages(scorer: Scorer) -> None:
    ward = Ward(scorer)
    ward.source.feed(ecg("sinus=14,vt=8,noise=5,sinus=5"))
    ward.take()
    ward.finish()
    status = ward.bed.status()
    assert status.beats == len(ward.beats)
    assert status.anomalous_beats == sum(beat.anomalous for beat in ward.beats) > 5
    assert status.unscored_beats == sum(beat.log_prob is None for beat in ward.beats) > 0
    assert all((beat.log_prob is None) == (beat.score is None) == (beat.p_value is None) for beat in ward.beats)
    assert all(beat.quality == "good" for beat in ward.beats if beat.log_prob is not None)
    assert [b.r_sample for b in ward.beats] == sorted(b.r_sample for b in ward.beats)


class FixedScorer:
    """A scorer with the same result for every beat."""

    def __init__(self, scorer: Scorer, log_prob: float, score: float) -> None:
        self.info, self.calibration = scorer.info, scorer.calibration
        self._numbers = log_prob, score

    def score_beats(self, beats: Sequence[Beat]) -> Scores:
        log_prob, score = (np.full(len(beats), number, np.float32) for number in self._numbers)
        return Scores(log_prob, score)


def test_pacing_pulses_are_counted_marked_and_told_with_the_waves(scorer: Scorer) -> None:
    signal, _, firsts, _ = paced_ecg(250.0, 30.0, Pulse(20.0, overshoot=0.1))
    ward = Ward(scorer)
    ward.source.feed(signal)
    headers: list[WaveHeader] = []
    for _ in range(60):
        ward.take(125)
        if (wave := ward.bed.view.wave()) is not None:
            headers.append(wave[0])
    ward.finish()
    assert ward.pacer_samples == tuple(firsts)
    assert ward.bed.status().pacer_pulses == len(firsts)
    assert [sample for header in headers for sample in header.pacer_samples] == firsts
    assert len(ward.beats) >= len(firsts) - 2
    assert all(beat.paced for beat in ward.beats)
    strip = ward.bed.answer(Request("strip", first_sample=2500, n=2500), ward)
    assert strip.data["pacer_samples"] == [sample for sample in firsts if 2500 <= sample < 5000]
    assert np.nanmax(strip.data["raw_mv"]) > 15
    assert np.abs(strip.data["filtered_mv"]).max() < 3


def paced_ward(scorer: Scorer, *signals: NDArray[np.float64]) -> Ward:
    ward = Ward(scorer)
    ward.source.feed(np.concatenate(signals))
    ward.take()
    ward.finish()
    return ward


def test_fast_ventricular_pacing_is_no_ventricular_run(scorer: Scorer) -> None:
    ward = paced_ward(scorer, paced_ecg(250.0, 40.0, Pulse(-30.0), bpm=112.0)[0])
    assert len(ward.beats) > 60
    assert not [message for message in ward.alarms if message.alarm.priority == "high"]


@pytest.mark.parametrize("pulse", [Pulse(5.0), Pulse(-700.0, 2, overshoot=0.25, tau_s=0.1)])
def test_a_loss_of_capture_is_an_asystole_within_ten_seconds(scorer: Scorer, pulse: Pulse) -> None:
    """Pulses go on at 80 a minute; none of them is a beat."""
    captured, lost = paced_ecg(250.0, 30.0, pulse)[0], paced_ecg(250.0, 30.0, pulse, to_r_s=None)[0]
    ward = paced_ward(scorer, captured, lost)
    (onset, *_) = [message.alarm for message in ward.alarms if message.alarm.kind == "asystole"]
    assert onset.decided_sample < 40 * 250
    assert max(beat.r_sample for beat in ward.beats) < 30.5 * 250
    assert not [m for m in ward.alarms if m.alarm.kind == "asystole" and m.alarm.state in ("latched", "cleared")]
    assert ward.pacer_samples[-1] > 59 * 250


def test_the_score_decides_not_the_log_probability(scorer: Scorer) -> None:
    calibration = scorer.calibration
    far = calibration.score_max  # higher scores are published as this one
    for log_prob in (-1e6, 0.0, 1e6):
        for score, anomalous in ((calibration.centre, False), (far, True)):
            ward = Ward(FixedScorer(scorer, log_prob, score))  # type: ignore[arg-type]
            ward.source.feed(ecg("sinus=20"))
            ward.take()
            ward.finish()
            scored = [beat for beat in ward.beats if beat.score is not None]
            assert len(scored) > 10
            assert {beat.log_prob for beat in scored} == {log_prob}
            assert {beat.anomalous for beat in scored} == {anomalous}
            assert all(((beat.score or 0.0) > (beat.threshold or 0.0)) == anomalous for beat in scored)
            assert {alarm.alarm.kind for alarm in ward.alarms} == (
                {"anomalous_beat", "anomaly_burden"} if anomalous else set()
            )
            for message in ward.alarms:
                evidence = message.alarm.evidence
                assert len(evidence.score) == len(evidence.log_prob) == len(evidence.r_samples) > 0
                assert set(evidence.log_prob) == {log_prob}
                assert all(value == pytest.approx(score, abs=6e-4) for value in evidence.score)


@pytest.mark.parametrize("numbers", [(math.nan, math.nan), (-5.0, math.nan), (-math.inf, 5.0), (-5.0, math.inf)])
def test_a_beat_with_a_non_finite_score_counts_as_unscored(scorer: Scorer, numbers: tuple[float, float]) -> None:
    ward = Ward(FixedScorer(scorer, *numbers))  # type: ignore[arg-type]
    ward.source.feed(ecg("sinus=20"))
    ward.take()
    ward.finish()
    assert ward.bed.status().unscored_beats == ward.bed.status().beats > 15
    assert ward.alarms == []


def test_a_strip_comes_with_its_alarm_and_is_completed_later(scorer: Scorer) -> None:
    ward = Ward(scorer)
    signal, cut = ecg("sinus=14,asystole=6,sinus=10"), round(18 * FS_HZ)
    ward.source.feed(signal[:cut])
    ward.take()
    (alarm,) = [message.alarm for message in ward.alarms if message.alarm.kind == "pause"]
    first, samples = ward.strips[alarm.alarm_id]
    assert (first, samples.shape) == (alarm.onset_sample - 5 * FS_HZ, (2, 10 * FS_HZ))
    assert np.isfinite(samples[:, : cut - first]).all()
    assert np.isnan(samples[:, cut - first :]).all(), "missing samples are NaN"
    ward.source.feed(signal[cut:])
    ward.take()
    first, samples = ward.strips[alarm.alarm_id]
    np.testing.assert_array_equal(samples[0], signal[first : first + samples.shape[1]].astype(np.float32))


@pytest.mark.parametrize("piece_s", [1, 20])
def test_the_strip_of_an_alarm_with_an_old_onset_shows_its_decision(scorer: Scorer, piece_s: int) -> None:
    ward = Ward(scorer)
    signal = ecg("sinus=15" + 20 * ",pvc=4,sinus=1")
    ward.source.feed(signal)
    while ward.bed.now < signal.size:
        ward.take(round(piece_s * FS_HZ))
    alarm = next(message.alarm for message in ward.alarms if message.alarm.kind == "anomaly_burden")
    assert alarm.decided_sample - alarm.onset_sample > 30 * FS_HZ
    first, samples = ward.strips[alarm.alarm_id]
    assert first == alarm.decided_sample - 5 * FS_HZ
    np.testing.assert_array_equal(samples[0], signal[first : first + samples.shape[1]].astype(np.float32))


def test_an_audio_pause_counts_down_in_samples(scorer: Scorer) -> None:
    ward = Ward(scorer)
    signal = ecg("sinus=30")
    ward.source.feed(signal[:2500])
    ward.take()
    assert ward.bed.answer(Request(op="pause_audio", seconds=15, who="x"), ward).data == {"seconds": 15}
    assert ward.bed.status().audio_paused_s == 15.0
    ward.source.feed(signal[2500:5000])
    ward.take()
    assert ward.bed.status().audio_paused_s == 5.0
    ward.source.feed(signal[5000:])
    ward.take()
    assert ward.bed.status().audio_paused_s == 0.0


def test_the_status_has_the_limits_of_the_rate_and_the_time_without_good_signal(scorer: Scorer) -> None:
    off = {"tachycardia": {"priority": "medium", "limit": 120.0, "beats": 16, "enabled": False}}
    assert Ward(scorer, alarms=off).bed.status().rate_high_bpm is None
    ward = Ward(scorer, alarms={"bradycardia": {"priority": "medium", "limit": 51.0, "beats": 8}})
    limits = ward.bed.status().rate_low_bpm, ward.bed.status().rate_high_bpm
    assert limits == (51.0, ward.bed.limits.tachycardia.limit)
    ward.source.feed(ecg("sinus=20"))
    ward.take()
    assert ward.bed.status().unwatched_s < 2.0
    ward.source.feed(np.full(2500, np.nan))
    ward.take()
    assert ward.bed.status().unwatched_s == pytest.approx(10.0, abs=1.0)
    assert ward.bed.status().rhythm == "not watched"


def test_latency_starts_at_the_piece_with_the_deciding_sample(scorer: Scorer) -> None:
    ward = Ward(scorer, FedSource())
    signal = ecg("sinus=12")
    ward.source.feed(signal[:2500])
    ward.source.feed(signal[2500:2750])
    ward.bed.process(10**6, ward)  # arrives at 0 s and decides beats
    ward.now_s = 0.4
    ward.bed.process(10**6, ward)
    ward.now_s = 0.5
    ward.settle()
    by_arrival = {beat.latency_ms for beat in ward.beats}
    assert by_arrival == {500.0, 100.0}
    assert ward.beats[0].latency_ms == 500.0
    assert ward.beats[-1].latency_ms == 100.0


def test_a_premature_beat_is_explained_and_its_pause_follows_in_an_update(scorer: Scorer) -> None:
    ward = Ward(scorer)
    ward.source.feed(ecg("sinus=30,pvc=30,sinus=20"))
    ward.take()
    ward.finish()
    odd = [beat for beat in ward.beats if beat.anomalous]
    assert odd
    assert all(beat.words for beat in odd)
    assert not any(beat.words for beat in ward.beats if not beat.anomalous)
    assert {"wide", "early"} <= {word for beat in odd for word in beat.words}
    alarms = [message.alarm for message in ward.alarms if message.alarm.kind == "anomalous_beat"]
    onsets = [alarm for alarm in alarms if alarm.state == "onset" and not alarm.update]
    updates = [alarm for alarm in alarms if alarm.update]
    assert onsets
    assert updates
    assert all("then a pause" in alarm.text and "then a pause" in alarm.evidence.words[0] for alarm in updates)
    assert {alarm.alarm_id for alarm in updates} <= {alarm.alarm_id for alarm in onsets}
    assert len(updates) <= len(onsets)
    assert len(ward.strips) == len({message.alarm.alarm_id for message in ward.alarms})
    for alarm in alarms:
        assert len(alarm.evidence.words) == len(alarm.evidence.qrs_ms) == len(alarm.evidence.r_samples)


def test_the_status_has_the_notch_and_a_notch_above_nyquist_is_refused(scorer: Scorer) -> None:
    ward = Ward(scorer, signal={"mains": "60"})
    assert ward.bed.status().mains_hz == 60.0
    assert Ward(scorer).bed.status().mains_hz is None
    slow = FedSource(live=False)
    slow.fs_hz = 100.0
    with pytest.raises(ConfigError, match="bed p1: a notch at 50 Hz needs a sampling rate over 104 Hz"):
        Ward(scorer, slow, signal={"mains": "50"})
