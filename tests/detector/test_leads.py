"""Two leads of one heart: what is given does not depend on the cut, and the better lead is used."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detector import (
    Beat,
    Calibration,
    Detector,
    Event,
    Gap,
    LeadChange,
    LeadChoice,
    PatientReference,
    QualitySpan,
    RhythmSpan,
    Tick,
    TwoLeadReference,
)
from tests.detector.helpers_signals import keys, match, read_beats, read_lead, synthetic_ecg

FS_HZ = 250
Samples = NDArray[np.float64]


def leads(
    first: Samples,
    second: Samples,
    cuts: list[int] | None = None,
    fs_hz: float = FS_HZ,
    gaps: dict[int, int] | None = None,
) -> list[Event]:
    """All events of two leads, given in pieces; `gaps`: samples that are missing before a position."""
    detectors, choice = (Detector(fs_hz), Detector(fs_hz)), LeadChoice(fs_hz)
    events: list[Event] = []
    gaps = gaps or {}
    edges = sorted({0, first.size, *(cuts or []), *gaps})
    for low, high in pairwise(edges):
        at = low + sum(missing for where, missing in gaps.items() if where <= low)
        events += choice.put(detectors[0].advance(first[low:high], at), detectors[1].advance(second[low:high], at))
    return events + choice.flush(*(detector.flush() for detector in detectors))


def patient(seconds: float = 60.0) -> tuple[Samples, Samples, Samples]:
    """Two leads of one heart, and its R-peaks in samples; the QRS of the second lead is smaller, and 20 ms later."""
    first, r_s = synthetic_ecg(FS_HZ, seconds, seed=3)
    noise = np.random.default_rng(5).normal(0, 0.01, first.size)
    return first, 0.7 * np.roll(first, 5) + noise, r_s * FS_HZ


def r_peaks(events: list[Event]) -> list[int]:
    return [r for event in events if isinstance(event, Tick) for r in event.r_samples]


def changes(events: list[Event]) -> list[tuple[int, str]]:
    return [(event.lead, event.quality.value) for event in events if isinstance(event, LeadChange)]


def missed_and_extra(found: list[int], true: Samples, skip_s: float = 4.0) -> tuple[int, int]:
    """Annotated R-peaks without a detected one, and the other way round; the first and last seconds do not count."""
    wanted = [int(r) for r in true if skip_s * FS_HZ < r < true[-1] - 2 * FS_HZ]
    pairs = match(found, wanted, 0.15 * FS_HZ)
    inside = [r for r in found if wanted[0] - 40 < r < wanted[-1] + 40]
    return len(wanted) - len(pairs), len(inside) - len(pairs)


@given(
    cuts=st.lists(st.integers(0, 40 * FS_HZ), max_size=12).map(sorted),
    off=st.lists(st.tuples(st.sampled_from([0, 1]), st.floats(5, 30), st.floats(0.01, 8)), max_size=3),
    gaps=st.dictionaries(st.integers(5 * FS_HZ, 35 * FS_HZ), st.integers(1, 30 * FS_HZ), max_size=2),
)
@settings(max_examples=25)
def test_the_events_do_not_depend_on_the_cut(
    cuts: list[int], off: list[tuple[int, float, float]], gaps: dict[int, int]
) -> None:
    both = [signal.copy() for signal in patient(40.0)[:2]]
    for lead, start_s, length_s in off:
        both[lead][round(start_s * FS_HZ) : round((start_s + length_s) * FS_HZ)] = np.nan
    whole, pieces = leads(*both, gaps=gaps), leads(*both, cuts=cuts, gaps=gaps)
    assert keys(pieces) == keys(whole)
    for k, event in enumerate(whole):
        if isinstance(event, Gap) and event.effect == "restart":
            assert all(r < event.first_sample for r in r_peaks(whole[:k]))
    ticks = [event for event in whole if isinstance(event, Tick)]
    assert all(b.sample > a.sample and b.decided_until >= a.decided_until for a, b in pairwise(ticks))
    assert all(b > a for a, b in pairwise(r_peaks(whole)))
    assert [beat.r_sample for beat in whole if isinstance(beat, Beat)] == r_peaks(whole)


def test_of_two_good_leads_the_first_is_used_and_each_beat_is_in_both() -> None:
    first, second, true = patient()
    events = leads(first, second)
    alone = Detector(FS_HZ)
    alone_events = alone.advance(first) + alone.flush()
    assert r_peaks(events) == r_peaks(alone_events)
    assert not changes(events)
    beats = [event for event in events if isinstance(event, Beat)]
    in_both = [beat for beat in beats if beat.other is not None]
    assert len(in_both) >= 0.9 * len(beats)
    for beat in in_both:
        assert beat.other is not None
        assert (beat.lead, beat.other.lead) == (0, 1)
        assert 0 < beat.other.r_sample - beat.r_sample < 0.05 * FS_HZ
        assert np.ptp(beat.samples) > np.ptp(beat.other.samples)
    assert missed_and_extra(r_peaks(events), true) == (0, 0)


@pytest.mark.parametrize("value", [np.nan, 0.0], ids=["electrode off", "dead input"])
def test_a_first_lead_without_signal_is_left_and_taken_again(value: float) -> None:
    first, second, true = patient()
    first[20 * FS_HZ : 40 * FS_HZ] = value
    events = leads(first, second)
    assert [lead for lead, _ in changes(events)] == [1, 0]
    assert missed_and_extra(r_peaks(events), true) == (0, 0)
    beats = [event for event in events if isinstance(event, Beat) and event.r_sample > 4 * FS_HZ]
    middle = [beat for beat in beats if 22 * FS_HZ < beat.r_sample < 38 * FS_HZ]
    assert middle
    assert all(beat.scorable and beat.lead == 1 and beat.other is None for beat in middle)
    assert all(beat.rr_s is not None and beat.rr_s < 1.1 for beat in middle)
    used = [event.quality.value for event in events if isinstance(event, QualitySpan)]
    assert used.count("good") >= len(used) - 4  # the verdict on the second in which the lead was lost


def test_a_lead_in_which_the_beats_become_invisible_is_left() -> None:
    first, second, true = patient()
    rng = np.random.default_rng(1)
    first[25 * FS_HZ : 45 * FS_HZ] = rng.normal(0, 0.015, 20 * FS_HZ)  # good signal without a QRS, as in a standstill
    events = leads(first, second)
    assert changes(events)[0] == (1, "good")
    missed, extra = missed_and_extra(r_peaks(events), true)
    assert missed <= 3  # those of the two seconds until it is left
    assert extra == 0


def test_a_standstill_in_both_leads_has_no_beats() -> None:
    first, second, _ = patient()
    rng = np.random.default_rng(2)
    for lead in (first, second):
        lead[30 * FS_HZ :] = rng.normal(0, 0.015, 30 * FS_HZ)
    events = leads(first, second)
    assert not changes(events)
    assert max(r_peaks(events)) < 30 * FS_HZ
    ticks = [event for event in events if isinstance(event, Tick)]
    assert ticks[-1].decided_until > 58 * FS_HZ


def test_a_flat_lead_beside_a_noisy_one_stays_watched() -> None:
    first, second, _ = patient()
    first[20 * FS_HZ :] = 0.0
    second[20 * FS_HZ :] += np.random.default_rng(4).normal(0, 0.5, 40 * FS_HZ)
    last = [event for event in leads(first, second) if isinstance(event, QualitySpan)][-20:]
    assert {span.quality.value for span in last} == {"flat"}


def waves(seconds: float) -> Samples:
    """Fibrillating ventricles: a wave of 0.4 mV whose rate wanders about 5 Hz."""
    rng = np.random.default_rng(8)
    n = round(seconds * FS_HZ)
    rate_hz = 5 + np.convolve(rng.normal(0, 6, n), np.ones(FS_HZ) / FS_HZ, "same")
    return 0.4 * np.sin(2 * np.pi * np.cumsum(rate_hz) / FS_HZ)


def fibrillatory(events: list[Event]) -> int:
    return sum(event.fibrillatory for event in events if isinstance(event, RhythmSpan))


def test_waves_of_one_lead_are_no_fibrillation_where_a_heart_beats_in_the_other() -> None:
    first, second, _ = patient()
    first[30 * FS_HZ : 50 * FS_HZ] = waves(20)
    alone = Detector(FS_HZ)
    assert fibrillatory(alone.advance(first)) >= 10  # it is not the signal that is harmless
    assert fibrillatory(leads(first, second)) == 0


@pytest.mark.parametrize("before", ["good", "noise"])
def test_fibrillation_in_the_second_lead_is_seen_where_that_lead_was_good_before(before: str) -> None:
    """The first lead is noisy all the time. Waves that come out of noise in the second one are noise as well."""
    first, second, _ = patient()
    rng = np.random.default_rng(6)
    first[25 * FS_HZ :] += rng.normal(0, 0.5, 35 * FS_HZ)
    if before == "noise":
        second[25 * FS_HZ : 40 * FS_HZ] += rng.normal(0, 0.5, 15 * FS_HZ)
    second[40 * FS_HZ :] = waves(20)
    assert (fibrillatory(leads(first, second)) >= 8) == (before == "good")


def test_fibrillation_in_both_leads_is_found() -> None:
    first, second, _ = patient()
    first[30 * FS_HZ : 50 * FS_HZ] = waves(20)
    second[30 * FS_HZ : 50 * FS_HZ] = -0.6 * waves(20)
    assert fibrillatory(leads(first, second)) >= 10


def test_a_lead_without_any_sample_leaves_the_other_one_as_it_is() -> None:
    first, second, true = patient(30.0)
    for both, used in (((first, np.full(first.size, np.nan)), 0), ((np.full(first.size, np.nan), second), 1)):
        events = leads(*both)
        beats = [event for event in events if isinstance(event, Beat)]
        assert {beat.lead for beat in beats} == {used}
        assert missed_and_extra(r_peaks(events), true) == (0, 0)


def test_flutter_of_a_real_record_is_found_in_two_leads(data_folder: Path) -> None:
    record = [read_lead(data_folder, "207", sampto=110 * 360, lead=lead) for lead in (0, 1)]
    alone = Detector(360)
    assert fibrillatory(leads(record[0], record[1], fs_hz=360)) >= 0.9 * fibrillatory(alone.advance(record[0]))


def test_beats_that_one_lead_misses_are_found(data_folder: Path) -> None:
    """Record 116 loses its signal twice in MLII, not in V1."""
    record = [read_lead(data_folder, "116", lead=lead) for lead in (0, 1)]
    true = [int(r) for r in read_beats(data_folder, "116") if r > 10 * 360]
    alone = Detector(360)
    one = match(r_peaks(alone.advance(record[0]) + alone.flush()), true, 54)
    two = match(r_peaks(leads(record[0], record[1], fs_hz=360)), true, 54)
    assert len(true) - len(two) <= 3 < 15 <= len(true) - len(one)


# -- the score of two leads --------------------------------------------------------------------------------------

CALIBRATION = Calibration(0.0, 1.0, (-5.0, 5.0), (0.5, 2.0), (0.0, 5.0, 10.0), (1.0, 0.1, 0.001), 0.01)


@given(st.lists(st.floats(-3, 30), min_size=1, max_size=60), st.sampled_from([0, 1]), st.booleans())
def test_one_lead_is_judged_as_by_the_reference_of_a_patient(scores: list[float], lead: int, own: bool) -> None:
    one, two = PatientReference(CALIBRATION, own), TwoLeadReference(CALIBRATION, own)
    assert [two.judge(lead, score) for score in scores] == [(score, one.judge(score)) for score in scores]


@given(st.lists(st.tuples(st.floats(-3, 30), st.floats(-3, 30)), min_size=1, max_size=60), st.sampled_from([0, 1]))
def test_two_leads_are_judged_by_their_weighted_sum(scores: list[tuple[float, float]], lead: int) -> None:
    each = PatientReference(CALIBRATION), PatientReference(CALIBRATION)
    two = TwoLeadReference(CALIBRATION)
    for pair in scores:
        z = [reference.standardise(score) for reference, score in zip(each, pair, strict=True)]
        wanted = 0.6 * z[0] + 0.4 * z[1]
        for reference, score in zip(each, pair, strict=True):
            reference.judge(score)
        score, judgement = two.judge(lead, pair[lead], pair[1 - lead])
        assert judgement.p_value == pytest.approx(each[0].p_value(wanted))
        assert judgement.anomalous == (judgement.p_value < 0.01)
        assert (score > judgement.threshold) == judgement.anomalous or abs(score - judgement.threshold) < 1e-6


def test_the_first_beats_of_an_infant_are_learned_in_both_leads() -> None:
    two = TwoLeadReference(CALIBRATION, own=True)
    first = [two.judge(0, 30.0 + k % 3, 20.0 + k % 2)[1].anomalous for k in range(32)]
    assert not any(first)
    assert not two.judge(0, 31.0, 20.0)[1].anomalous
    assert two.judge(0, 60.0, 50.0)[1].anomalous


def test_noise_that_passes_for_beats_does_not_end_a_standstill() -> None:
    """Among seconds of electrode motion some pass for good; the peaks in them are no usual beats."""
    first, second, _ = patient(180.0)
    rng = np.random.default_rng(2)
    n = 150 * FS_HZ
    first[30 * FS_HZ :] = rng.normal(0, 0.015, n)
    swings = np.convolve(rng.normal(0, 1, n), np.hanning(FS_HZ // 3), "same")
    second[30 * FS_HZ :] = 0.3 * swings / swings.std() + rng.normal(0, 0.03, n)
    assert max(r_peaks(leads(first, second))) < 30 * FS_HZ
