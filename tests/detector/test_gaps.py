"""Lost samples: short gaps are bridged, longer ones spoil the beats they touch, long ones restart the signal."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detector import BRIDGE_S, Detector, Event, Gap, GapEffect, Quality, QualitySpan, Tick
from detector.beats import AFTER_R_S, BEFORE_R_S
from tests.detector.helpers_signals import beats_of, keys, match, read_lead, run, synthetic_ecg

FS_HZ = 250.0
DURATION_S = 16
SIGNAL, _ = synthetic_ecg(FS_HZ, DURATION_S, seed=11)


def kept_runs(n: int, holes: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """(first, end) of what is left of n samples after holes of (first, length)."""
    kept = np.ones(n, bool)
    for first, length in holes:
        kept[first : first + length] = False
    edges = np.flatnonzero(np.diff(np.concatenate(([False], kept, [False]))))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def advance(signal: NDArray[np.float64], runs: list[tuple[int, int]], detector: Detector, size: int) -> list[Event]:
    """The runs of a signal in pieces of `size`."""
    events: list[Event] = []
    for first, end in runs:
        for at in range(first, end, size):
            events += detector.advance(signal[at : min(at + size, end)], at)
    return events + detector.flush()


drops = st.lists(
    st.tuples(st.integers(1, SIGNAL.size - 2), st.one_of(st.integers(1, 3), st.integers(1, 40), st.integers(1, 200))),
    max_size=40,
)


@settings(max_examples=12)
@given(holes=drops, size=st.sampled_from([7, 100]))
def test_every_loss_is_published_however_the_rest_is_cut(holes: list[tuple[int, int]], size: int) -> None:
    assert_loss_is_published(holes, size)


@pytest.mark.slow
@settings(max_examples=60)
@given(holes=drops, size=st.sampled_from([1, 7, 100]))
def test_each_of_many_losses_is_published(holes: list[tuple[int, int]], size: int) -> None:
    assert_loss_is_published(holes, size)


def assert_loss_is_published(holes: list[tuple[int, int]], size: int) -> None:
    runs = kept_runs(SIGNAL.size, holes)
    whole, cut = Detector(FS_HZ), Detector(FS_HZ)
    events = advance(SIGNAL, runs, whole, SIGNAL.size)
    assert keys(advance(SIGNAL, runs, cut, size)) == keys(events)
    gaps = [event for event in events if isinstance(event, Gap)]
    assert [(gap.first_sample, gap.first_sample + gap.n_samples) for gap in gaps] == [
        (before[1], after[0]) for before, after in itertools.pairwise(runs)
    ]
    assert whole.samples_in == sum(end - first for first, end in runs)
    assert whole.samples_lost == sum(gap.n_samples for gap in gaps)
    at = [e.first_sample if isinstance(e, Gap) else e.sample for e in events if isinstance(e, Gap | Tick)]
    assert at == sorted(at)
    for gap in gaps:
        for beat in beats_of(events):
            low, high = beat.r_sample - BEFORE_R_S * FS_HZ, beat.r_sample + AFTER_R_S * FS_HZ
            if gap.effect != "bridged" and low < gap.first_sample + gap.n_samples and gap.first_sample < high:
                assert not beat.scorable


@pytest.mark.parametrize(("fs_hz", "most"), [(100.0, 1), (128.0, 1), (250.0, 3), (360.0, 4), (1000.0, 12)])
def test_a_bridge_is_half_a_period_of_40_hz_and_at_least_a_sample(fs_hz: float, most: int) -> None:
    assert most == max(1, int(BRIDGE_S * fs_hz))
    signal, _ = synthetic_ecg(fs_hz, 6)
    at = round(3 * fs_hz)
    short = round(0.06 * fs_hz)
    effects = ((most, "bridged"), (most + 1, "unscored"), (short, "unscored"), (short + 1, "hole"))
    for missing, effect in effects:
        detector = Detector(fs_hz)
        events = detector.advance(signal[:at]) + detector.advance(signal[at + missing :], at + missing)
        assert [event for event in events if isinstance(event, Gap)] == [Gap(at, missing, effect)]  # type: ignore[arg-type]


def test_a_hole_spoils_the_beats_it_touches_and_no_second() -> None:
    detector, at, missing = Detector(FS_HZ), round(8.3 * FS_HZ), round(0.1 * FS_HZ)
    events = detector.advance(SIGNAL[:at]) + detector.advance(SIGNAL[at + missing :], at + missing) + detector.flush()
    assert {event.quality for event in events if isinstance(event, QualitySpan)} == {Quality.GOOD}
    spoilt = [beat for beat in beats_of(events) if beat.quality is Quality.GAP]
    assert 1 <= len(spoilt) <= 3
    assert all(abs(beat.r_sample - at) < 1.2 * FS_HZ for beat in spoilt)
    across = next(beat for beat in beats_of(events) if beat.r_sample >= at + missing)
    assert across.rr_s is None
    plain = {beat.r_sample: beat for beat in beats_of(run(Detector(FS_HZ), [SIGNAL]))}
    later = [beat for beat in beats_of(events) if beat.r_sample > at + 2 * FS_HZ]
    assert len(later) > 5
    for beat in later:
        assert np.abs(beat.samples - plain[beat.r_sample].samples).max() < 0.02


def test_a_signal_of_bridged_samples_is_not_scored() -> None:
    detector = Detector(FS_HZ)
    events: list[Event] = []
    for at in range(0, SIGNAL.size, 2):  # every second sample only
        events += detector.advance(SIGNAL[at : at + 1], at)
    spans = [event for event in events if isinstance(event, QualitySpan)]
    assert {span.quality for span in spans} == {Quality.GAP}
    assert not any(beat.scorable for beat in beats_of(events))
    assert detector.samples_lost == detector.samples_in - 1


def test_a_gap_at_the_end_is_published_by_flush() -> None:
    detector = Detector(FS_HZ)
    events = detector.advance(SIGNAL[:1000])
    assert detector.advance([], 1003) == []
    assert detector.samples_lost == 0
    ended = detector.flush()
    assert [event for event in ended if isinstance(event, Gap)] == [Gap(1000, 3)]
    assert ended[-1] == Gap(1000, 3)
    assert (detector.samples_in, detector.samples_lost) == (1000, 3)
    assert events
    with pytest.raises(ValueError, match="sample 1003 comes next"):
        detector.advance(SIGNAL[:5], 1001)


@pytest.mark.parametrize(
    ("before", "missing", "after", "effect"), [(1, 1, 0, "bridged"), (1, 2, 1, "unscored"), (5, 8, 3, "hole")]
)
def test_invalid_samples_beside_a_gap_lengthen_it(before: int, missing: int, after: int, effect: GapEffect) -> None:
    signal = SIGNAL.copy()
    end = 1000 + missing
    signal[1000 - before : end + after] = np.nan
    detector = Detector(FS_HZ)
    events = detector.advance(signal[:1000]) + detector.advance(signal[end:], end)
    gaps = [event for event in events if isinstance(event, Gap)]
    assert [gap for gap in gaps if not gap.invalid] == [Gap(1000, missing, effect)]
    holes = [Gap(1000 - before, before, "hole", invalid=True), Gap(end, after, "hole", invalid=True)]
    assert [gap for gap in gaps if gap.invalid] == (holes if effect == "hole" else [])
    assert detector.samples_lost == missing


LOSSES_S = {  # (length, period), s
    "a packet of 48 ms every 3 s": (0.048, 3.0),
    "73 samples of 130 Hz every 4 s": (73 / 130, 4.0),
    "16 ms every 200 ms": (0.016, 0.2),
    "1.2 s every 5 s": (1.2, 5.0),
}


def lost_samples(n: int, fs_hz: float, loss: str, seed: int) -> NDArray[np.bool_]:
    """Samples without a value, (n,): one of `LOSSES_S`, or a share of single samples, such as `5 %`."""
    rng = np.random.default_rng(seed)
    if loss not in LOSSES_S:
        lost = rng.random(n) < float(loss.removesuffix(" %")) / 100
    else:
        length, period = (round(seconds * fs_hz) for seconds in LOSSES_S[loss])
        lost = (np.arange(n) + rng.integers(period)) % period < length
    lost[0] = lost[-1] = False
    return lost


def without(signal: NDArray[np.float64], lost: NDArray[np.bool_], fs_hz: float) -> tuple[list[Event], list[Event]]:
    """The events where samples are missing, and where the same ones are invalid, in pieces of 0.1 s."""
    edges = np.flatnonzero(np.diff(np.concatenate(([True], lost, [True])).astype(np.int8)))
    runs = [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    missing = advance(signal, runs, Detector(fs_hz), round(0.1 * fs_hz))
    invalid = advance(np.where(lost, np.nan, signal), [(0, signal.size)], Detector(fs_hz), round(0.1 * fs_hz))
    return missing, invalid


@pytest.mark.parametrize("loss", [*LOSSES_S, "1 %", "5 %"])
@pytest.mark.parametrize("fs_hz", [125.0, pytest.param(250.0, marks=pytest.mark.slow), 360.0, 1000.0])
def test_repeated_losses_hide_no_beat_and_no_standstill(fs_hz: float, loss: str) -> None:
    """Every beat whose QRS came is found, also next to a hole; a flat line stays one; missing = invalid."""
    signal, r_s = synthetic_ecg(fs_hz, 20, seed=round(fs_hz))
    flat = np.random.default_rng(1).normal(0, 0.005, round(8 * fs_hz))
    signal = np.concatenate((signal, flat))
    lost = lost_samples(signal.size, fs_hz, loss, seed=2)
    missing, invalid = without(signal, lost, fs_hz)
    assert keys(e for e in missing if not isinstance(e, Gap)) == keys(e for e in invalid if not isinstance(e, Gap))
    found = [beat.r_sample for beat in beats_of(missing)]
    half = round(0.04 * fs_hz)
    r_peaks = [round(r * fs_hz) for r in r_s if 0.4 < r < 19.5]
    seen = [r for r in r_peaks if lost[r - half : r + half + 1].mean() < 0.5]
    assert len(seen) >= 14
    assert len(match(found, seen, 0.15 * fs_hz)) == len(seen)
    assert len(match(found, [round(r * fs_hz) for r in r_s], 0.15 * fs_hz)) == len(found)
    flat_spans = [e for e in missing if isinstance(e, QualitySpan) and e.first_sample > 21 * fs_hz]
    assert {span.quality for span in flat_spans} <= {Quality.GOOD, Quality.FLAT, Quality.GAP}
    holes = any(isinstance(e, Gap) and e.effect == "hole" for e in missing)
    assert holes == (loss in ("73 samples of 130 Hz every 4 s", "1.2 s every 5 s"))
    if not holes:
        intervals = [beat.rr_s for beat in beats_of(missing)[1:]]
        assert None not in intervals


@settings(max_examples=12)
@given(
    runs=st.lists(
        st.tuples(st.integers(1, SIGNAL.size - 500), st.sampled_from([1, 2, 3, 4, 10, 15, 16, 60, 374])),
        max_size=12,
    )
)
def test_missing_and_invalid_samples_give_the_same_beats(runs: list[tuple[int, int]]) -> None:
    """For runs under 1.5 s; where the signal restarts, invalid samples are leads off, missing ones nothing."""
    lost = np.zeros(SIGNAL.size, np.bool_)
    for first, length in runs:
        around = lost[max(0, first - 376) : first + length + 376]
        if np.count_nonzero(around) + length < 375:
            lost[first : first + length] = True
    lost[0] = lost[-1] = False
    missing, invalid = without(SIGNAL, lost, FS_HZ)
    assert keys(e for e in missing if not isinstance(e, Gap)) == keys(e for e in invalid if not isinstance(e, Gap))


@pytest.mark.slow
@pytest.mark.parametrize("packet", [1, 2])
def test_one_lost_packet_in_a_thousand_costs_no_beat(data_folder: Path, packet: int) -> None:
    """Record 208, single samples or 6-ms packets lost: the R-peaks, intervals and verdicts of the whole record."""
    signal = read_lead(data_folder, "208", sampto=15 * 60 * 360)
    rng = np.random.default_rng(208)
    lost = np.flatnonzero(rng.random(signal.size // packet) < 0.001) * packet
    runs = kept_runs(signal.size, [(int(at), packet) for at in lost if at])
    events = advance(signal, runs, detector := Detector(360.0), 360)
    assert detector.samples_lost == sum(e.n_samples for e in events if isinstance(e, Gap)) > 100
    whole, found = (beats_of(of) for of in (run(Detector(360.0), [signal]), events))
    pairs = match([beat.r_sample for beat in found], [beat.r_sample for beat in whole], 1.0)
    assert len(pairs) >= len(whole) - 1
    assert len(pairs) >= len(found) - 1
    moved = [a for a, b in pairs if a != b]
    assert len(moved) <= 0.02 * len(whole)
    assert sum(beat.scorable for beat in found) >= sum(beat.scorable for beat in whole) - 2


def test_filtered_samples_are_as_many_as_the_samples_given() -> None:
    """A lost sample right before the electrode is back on, where the signal starts anew; some may wait for the next."""
    signal, _ = synthetic_ecg(FS_HZ, 20, seed=1)
    signal[1000:2000] = np.nan
    detector = Detector(FS_HZ)
    first = given = filtered = 0
    for size in (1, 499, 1, 498, 999, 2, 700):
        first += first == 1998  # sample 1998 never comes
        piece = signal[first : first + size]
        detector.advance(piece, first)
        given, filtered = given + piece.size, filtered + detector.last_filtered.size
        assert 0 <= given - filtered <= 0.25 * FS_HZ
        first += size
    detector.flush()
    assert filtered + detector.last_filtered.size == given
