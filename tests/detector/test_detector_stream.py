"""The detector on a stream: nothing across a gap, each peak once, each sample accounted for, bounded memory."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from detector import Detector, Event, Gap, GapEffect, Quality, QualitySpan, Tick
from detector.beats import AFTER_R_S, BEFORE_R_S
from tests.detector.helpers_signals import beats_of, keys, read_lead, run, synthetic_ecg

FS_HZ = 250.0
DURATION_S = 20
SIGNAL, _ = synthetic_ecg(FS_HZ, DURATION_S, seed=5)


def ticks_of(events: Sequence[Event]) -> list[Tick]:
    return [event for event in events if isinstance(event, Tick)]


def spans_of(events: Sequence[Event]) -> list[QualitySpan]:
    return [event for event in events if isinstance(event, QualitySpan)]


def gaps_of(events: Sequence[Event]) -> list[Gap]:
    return [event for event in events if isinstance(event, Gap)]


def effect_of(missing: int) -> GapEffect:
    """Specified effect of a gap at 250 Hz."""
    return "bridged" if missing <= 3 else "unscored" if missing <= 15 else "hole" if missing < 375 else "restart"


def with_gaps(
    signal: NDArray[np.float64], gaps: Sequence[tuple[float, int]], fs_hz: float = FS_HZ
) -> tuple[Detector, list[Event]]:
    """The signal with samples missing after given seconds."""
    detector, last, shift = Detector(fs_hz), 0, 0
    events: list[Event] = []
    for at_s, missing in gaps:
        at = round(at_s * fs_hz)
        events += detector.advance(signal[last:at], last + shift)
        last, shift = at, shift + missing
    events += detector.advance(signal[last:], last + shift)
    return detector, events + detector.flush()


missing = st.one_of(st.integers(1, 4), st.integers(1, 400), st.integers(1, 4000))
gap_lists = st.lists(
    st.tuples(st.floats(0.1, DURATION_S - 0.1), missing),
    max_size=3,
    unique_by=lambda gap: round(gap[0], 1),
).map(sorted)
invalid_runs = st.lists(st.tuples(st.floats(0, DURATION_S), st.floats(0.004, 3.0)), max_size=3)


def spoilt(runs: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    signal = SIGNAL.copy()
    for start_s, length_s in runs:
        signal[round(start_s * FS_HZ) : round((start_s + length_s) * FS_HZ)] = np.nan
    return signal


@settings(max_examples=40)
@given(gaps=gap_lists, runs=invalid_runs)
def test_invariants_of_the_event_list(gaps: list[tuple[float, int]], runs: list[tuple[float, float]]) -> None:
    detector, events = with_gaps(spoilt(runs), gaps)
    ticks, beats = ticks_of(events), beats_of(events)

    # Each R-peak is published once, and is followed by its one beat, in order of time.
    published = [r for tick in ticks for r in tick.r_samples]
    assert published == sorted(set(published))
    assert [beat.r_sample for beat in beats] == published

    assert_decided_is_decided(events)
    for tick in ticks:
        assert tick.decided_until <= tick.sample
        assert all(r < tick.sample for r in tick.r_samples)

    # Quality covers each sample once, in order; gaps that restart the signal cover the rest.
    covered = 0
    for event in events:
        if isinstance(event, QualitySpan):
            assert event.first_sample == covered
            assert event.end_sample > event.first_sample
            covered = event.end_sample
        elif isinstance(event, Gap) and event.effect == "restart":
            assert event.first_sample == covered
            covered += event.n_samples
        elif isinstance(event, Gap):
            assert covered <= event.first_sample < covered + FS_HZ
    assert covered == detector.samples_in + detector.samples_lost
    assert detector.samples_in == SIGNAL.size
    assert detector.samples_lost == sum(missing for _, missing in gaps)
    published = [gap for gap in gaps_of(events) if not gap.invalid]
    assert [gap.n_samples for gap in published] == [missing for _, missing in gaps]
    assert all(gap.effect == "hole" for gap in gaps_of(events) if gap.invalid)

    # Nothing is computed across a gap, unless it is bridged.
    for gap in gaps_of(events):
        end = gap.first_sample + gap.n_samples
        assert gap.effect == effect_of(gap.n_samples) or runs  # invalid samples beside it lengthen a gap
        if gap.effect == "bridged":
            continue
        for beat in beats:
            if gap.effect != "unscored":
                edge = 0 if gap.effect == "restart" else 0.02 * FS_HZ
                assert not gap.first_sample + edge <= beat.r_sample < end - edge
            reaches = beat.r_sample - BEFORE_R_S * FS_HZ, beat.r_sample + AFTER_R_S * FS_HZ
            if reaches[0] < gap.first_sample < reaches[1] or reaches[0] < end - 1 < reaches[1]:
                assert beat.quality is not Quality.GOOD
        after = [beat for beat in beats if beat.r_sample >= end]
        assert gap.effect == "unscored" or not after or after[0].rr_s is None

    # An interval is the distance of two successive peaks.
    for before, beat in zip([None, *beats], beats, strict=False):
        if beat.rr_s is not None:
            assert before is not None
            assert beat.rr_s == pytest.approx((beat.r_sample - before.r_sample) / FS_HZ, abs=0.05)
        assert np.isfinite(beat.samples).all()
        assert beat.decided_sample > beat.r_sample


def test_a_gap_is_published_between_the_old_and_the_new_signal() -> None:
    _, events = with_gaps(SIGNAL, [(7.55, 375)])
    at = next(i for i, event in enumerate(events) if isinstance(event, Gap))
    edge = round(7.55 * FS_HZ)
    assert events[at] == Gap(edge, 375)
    assert all(event.sample <= edge for event in events[:at] if isinstance(event, Tick))
    assert all(event.sample > edge for event in events[at:] if isinstance(event, Tick))
    assert beats_of(events[:at])[-1].quality is Quality.TRUNCATED


def test_beats_after_a_gap_equal_those_of_a_new_stream() -> None:
    """Except the patient's template and the sample numbers, which continue."""
    edge, jump = round(9 * FS_HZ), round(3 * FS_HZ)  # a whole number of grid steps
    _, events = with_gaps(SIGNAL, [(9.0, jump)])
    alone = run(Detector(FS_HZ), [SIGNAL[edge:]], edge + jump)
    behind = [beat for beat in beats_of(events) if beat.r_sample >= edge + jump]
    assert [(b.r_sample, b.rr_s, b.samples.tobytes(), b.quality) for b in behind] == [
        (b.r_sample, b.rr_s, b.samples.tobytes(), b.quality) for b in beats_of(alone)
    ]


def test_a_beat_is_published_within_2_2_s() -> None:
    detector = Detector(FS_HZ)
    for first in range(0, SIGNAL.size - 25, 25):
        for beat in detector.push(SIGNAL[first : first + 25], first):
            assert 1.0 <= (first + 25 - beat.r_sample) / FS_HZ <= 2.2
            assert beat.decided_sample <= first + 25


@pytest.mark.parametrize("fs_hz", [100.0, 128.0, 250.0, 257.0, 360.0, 500.0, 1000.0])
def test_all_synthetic_beats_are_found_at_their_place(fs_hz: float) -> None:
    """The filter's delay is subtracted at each rate: no bias beyond 2.5 ms or three quarters of a sample."""
    signal, r_s = synthetic_ecg(fs_hz, DURATION_S, seed=5)
    found = np.array([beat.r_sample for beat in beats_of(run(Detector(fs_hz), [signal]))]) / fs_hz
    wanted = r_s[(r_s > 0.3) & (r_s < DURATION_S - 0.7)]
    assert len(found) <= len(r_s)
    offset = np.array([found[np.argmin(np.abs(found - r))] - r for r in wanted])
    assert np.abs(offset).max() <= 0.004 + 1.0 / fs_hz
    assert abs(np.median(offset)) <= max(0.0025, 0.75 / fs_hz)


def assert_decided_is_decided(events: Sequence[Event]) -> int:
    """No R-peak comes before the `decided_until` of an earlier tick. Returns the number of R-peaks."""
    final, peaks = -(2**62), 0
    for tick in ticks_of(events):
        assert all(r >= final for r in tick.r_samples)
        assert tick.decided_until >= final
        final = tick.decided_until
        peaks += len(tick.r_samples)
    return peaks


@given(first_sample=st.integers(0, 999))
@settings(max_examples=60)
def test_decided_is_decided_wherever_the_beats_fall(first_sample: int) -> None:
    signal, _ = synthetic_ecg(1000.0, 12, seed=2)
    assert assert_decided_is_decided(run(Detector(1000.0), [signal], first_sample)) > 10


@pytest.mark.slow
@pytest.mark.parametrize("name", ["203", "207"])
def test_decided_is_decided_in_real_arrhythmia(data_folder: Path, name: str) -> None:
    """Here a window finds peaks that the window before it missed."""
    assert assert_decided_is_decided(run(Detector(360.0), [read_lead(data_folder, name)])) > 1500


@pytest.mark.parametrize("bad", [-1, 0, 4, 999])
def test_the_past_is_refused_and_the_detector_goes_on(bad: int) -> None:
    whole = keys(run(Detector(FS_HZ), [SIGNAL]))
    detector = Detector(FS_HZ)
    events = detector.advance(SIGNAL[:1000])
    with pytest.raises(ValueError, match=rf"first_sample={bad} .*sample 1000 comes next"):
        detector.advance(SIGNAL[:10], bad)
    events += detector.advance(SIGNAL[1000:], 1000) + detector.flush()
    assert keys(events) == whole
    assert (detector.samples_in, detector.samples_lost) == (SIGNAL.size, 0)


def test_first_sample_is_any_integer_and_nothing_else() -> None:
    detector = Detector(FS_HZ)
    events = run(detector, [SIGNAL], np.int32(2**31 - 100))  # type: ignore[arg-type]
    assert keys(events) == keys(run(Detector(FS_HZ), [SIGNAL], 2**31 - 100))
    assert {type(beat.r_sample) for beat in beats_of(events)} == {int}
    with pytest.raises(TypeError):
        detector.advance(SIGNAL, 1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [np.zeros((2, 50)), np.zeros((50, 1)), 1.0, [[0.0]], ["a"], ["1.0", "two"], [b"\xff"]])
def test_text_and_other_shapes_than_one_lead_are_refused(bad: object) -> None:
    detector = Detector(FS_HZ)
    with pytest.raises(ValueError, match=r"shape .*one lead|could not convert"):
        detector.push(bad)  # type: ignore[arg-type]
    assert detector.samples_in == 0


@pytest.mark.parametrize("kind", [list, tuple, np.float32, np.int16])
def test_lists_and_integers_are_accepted(kind: type) -> None:
    counts = np.round(SIGNAL * 200)
    numbers: ArrayLike = kind(counts) if kind in (list, tuple) else counts.astype(kind)
    detector = Detector(FS_HZ)
    assert keys(detector.advance(numbers) + detector.flush()) == keys(run(Detector(FS_HZ), [counts]))


def test_the_callers_array_is_not_changed() -> None:
    signal = SIGNAL.copy()
    signal[10] = np.inf
    before = signal.tobytes()
    run(Detector(FS_HZ), [signal])
    assert signal.tobytes() == before


def test_an_empty_signal_gives_nothing() -> None:
    detector = Detector(FS_HZ)
    assert run(detector, [np.zeros(0)] * 3) == []
    assert detector.filtered(-5, 5).size == 10
    assert np.isnan(detector.filtered(-5, 5)).all()
    assert detector.filtered(5, -5).size == 0


@pytest.mark.parametrize("n", [1, 2, 3, 10, 125, 249, 250, 251, 499, 500, 501])
def test_a_signal_shorter_than_a_window_is_truncated(n: int) -> None:
    detector = Detector(FS_HZ)
    events = run(detector, [SIGNAL[:n]])
    assert spans_of(events)[-1].end_sample == ticks_of(events)[-1].sample == n
    assert all(beat.quality is Quality.TRUNCATED for beat in beats_of(events))
    assert detector.flush() == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, -1e300, 1000.0, -1000.0])
def test_values_out_of_range_are_leads_off(value: float) -> None:
    detector = Detector(FS_HZ)
    events = run(detector, [np.full(2000, value)])
    assert {span.quality for span in spans_of(events)} == {Quality.LEADS_OFF}
    assert beats_of(events) == []
    assert detector.samples_in == 2000


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_single_bad_samples_do_not_change_later_beats(value: float) -> None:
    signal = SIGNAL.copy()
    signal[[1000, 1400]] = value
    clean = {beat.r_sample: beat for beat in beats_of(run(Detector(FS_HZ), [SIGNAL]))}
    hurt = [beat for beat in beats_of(run(Detector(FS_HZ), [signal])) if beat.r_sample > 2500]
    assert len(hurt) > 10
    for beat in hurt:
        np.testing.assert_allclose(beat.samples, clean[beat.r_sample].samples, atol=1e-3)


@pytest.mark.parametrize("offset_mv", [-300.0, 50.0])
@pytest.mark.parametrize("invalid_s", [0.004, 0.2, 0.6, 3.0])
def test_leads_put_on_late_give_no_filter_transient(offset_mv: float, invalid_s: float) -> None:
    """The filter does not respond to the electrode's offset, at the start or after a long lead-off."""
    signal = SIGNAL + offset_mv
    n = round(invalid_s * FS_HZ)
    signal[:n] = np.nan
    detector = Detector(FS_HZ)
    detector.advance(signal)
    assert np.abs(detector.last_filtered[n:]).max() < 2.0
    assert [span.quality for span in spans_of(run(Detector(FS_HZ), [signal]))][-1] is not Quality.LEADS_OFF


def test_no_interval_spans_invalid_samples() -> None:
    signal = SIGNAL.copy()
    hole = slice(round(10.02 * FS_HZ), round(10.3 * FS_HZ))
    signal[hole] = np.nan
    beats = beats_of(run(Detector(FS_HZ), [signal]))
    for before, beat in itertools.pairwise(beats):
        if before.r_sample < hole.start <= beat.r_sample:
            assert beat.rr_s is None
    assert all(
        beat.quality is not Quality.GOOD
        for beat in beats
        if beat.r_sample - BEFORE_R_S * FS_HZ < hole.stop and beat.r_sample + AFTER_R_S * FS_HZ > hole.start
    )


@given(cuts=st.lists(st.integers(0, SIGNAL.size), max_size=8).map(sorted), runs=invalid_runs)
@settings(max_examples=20)
def test_the_filtered_samples_of_all_calls_are_those_of_one(cuts: list[int], runs: list[tuple[float, float]]) -> None:
    signal = spoilt(runs)
    one = Detector(FS_HZ)
    one.advance(signal)
    detector, shown = Detector(FS_HZ), []
    for piece in np.split(signal, cuts):
        detector.advance(piece)
        shown.append(detector.last_filtered)
    assert np.concatenate(shown).tobytes() == one.last_filtered.tobytes()
    for each in (one, detector):
        each.flush()
    assert detector.last_filtered.tobytes() == one.last_filtered.tobytes()


def held_bytes(detector: Detector) -> int:
    """Memory held by a detector, with all its buffers and queues."""
    seen: set[int] = set()

    def size(thing: object) -> int:
        if id(thing) in seen or isinstance(thing, type):
            return 0
        seen.add(id(thing))
        if isinstance(thing, np.ndarray):
            return thing.nbytes + (size(thing.base) if isinstance(thing.base, np.ndarray) else 0)
        total = sys.getsizeof(thing)
        if isinstance(thing, dict):
            return total + sum(size(value) for value in thing.values())
        if hasattr(thing, "__dict__"):
            total += size(vars(thing))
        for slot in getattr(type(thing), "__slots__", ()):
            total += size(getattr(thing, slot))
        if not isinstance(thing, str | bytes) and hasattr(thing, "__iter__"):
            total += sum(size(item) for item in thing)
        return total

    return size(detector)


@pytest.mark.parametrize(
    ("dead", "minutes"), [(False, 14), (True, 14), pytest.param(False, 60, marks=pytest.mark.slow)]
)
def test_memory_does_not_grow(dead: bool, minutes: int) -> None:
    """With a heart or a dead input, in pieces of a second: constant after the first four minutes."""
    fs_hz = 100.0
    minute, _ = synthetic_ecg(fs_hz, 60, seed=1)
    if dead:
        minute = np.full_like(minute, np.nan)
    detector, sizes = Detector(fs_hz), []
    for _ in range(minutes):
        for piece in np.split(minute, 60):
            detector.advance(piece)
        detector.advance([])  # forgets the samples of the last call
        sizes.append(held_bytes(detector))
    assert max(sizes[minutes // 2 :]) <= 1.05 * max(sizes[4 : minutes // 2])
    assert max(sizes) < 300_000


def test_a_long_signal_in_one_call_is_not_held() -> None:
    minute, _ = synthetic_ecg(100.0, 60, seed=1)
    detector = Detector(100.0)
    detector.advance(np.tile(minute, 8))
    detector.advance([])  # forgets the samples of the last call
    assert held_bytes(detector) < 300_000


def test_a_beat_carries_the_template_of_the_beats_before_it() -> None:
    """Needs eight beats; then the median of the beats before, without the beat itself; renewed every fourth beat."""
    signal, _ = synthetic_ecg(FS_HZ, 60, seed=6)
    beats = beats_of(run(Detector(FS_HZ), [signal]))
    assert len(beats) > 40
    known = [beat for beat in beats if beat.scorable]
    first = next(place for place, beat in enumerate(known) if beat.template is not None)
    assert first == 8
    assert [beat.residual is None for beat in beats] == [beat.template is None for beat in beats]
    for place in (8, 9, 11, 12, 31, 35):
        made = 8 + (place - 8) // 4 * 4
        expected = np.median(np.array([beat.samples for beat in known[:made]]), axis=0)
        held = known[place].template
        assert held is not None
        np.testing.assert_array_equal(held, expected)
        assert not held.flags.writeable
    assert known[8].template is known[11].template  # shared, not copied
