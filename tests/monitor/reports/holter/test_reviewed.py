"""Beats and episodes with the labels of a reviewer: what counts, and which RR intervals are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.reports.decisions import Decision, Mark
from monitor.reports.holter.clusters import Shape
from monitor.reports.holter.measures import Episode, kinds_of
from monitor.reports.holter.reviewed import aligned, reviewed_beats, reviewed_episodes, summary_of
from tests.monitor.reports.holter.helpers import FS_HZ, beats_of_rr

T1, T2 = "2026-11-30T06:00:00Z", "2026-11-30T07:10:00Z"


def label(verdict: str, who: str = "anna", time: str = T1) -> Decision:
    return Decision(verdict, who, time)


def test_labels_replace_the_verdicts() -> None:
    beats = beats_of_rr([0.8] * 9, odd={2, 3, 4, 5}, unscored={7})
    r = beats.r_sample.tolist()
    wanted = {r[2]: "N", r[3]: "V", r[4]: "S", r[6]: "F", r[7]: "Q", r[8]: "V"}
    found = reviewed_beats(beats, {Mark(at): label(verdict) for at, verdict in wanted.items()})
    assert np.flatnonzero(found.anomalous).tolist() == [3, 4, 5, 6, 7, 8]
    assert found.scored.all()  # a person has judged the beat that was not scored
    kinds = kinds_of(found, [Shape(np.arange(10), np.zeros(96), 1.0)])
    assert np.flatnonzero(kinds.ventricular).tolist() == [3, 6, 8]
    assert np.flatnonzero(kinds.early).tolist() == [4]
    assert np.flatnonzero(kinds.other).tolist() == [5, 7]  # 5 has no label: neither of another shape nor early
    assert found.rr_s[1:] == pytest.approx(beats.rr_s[1:])


def test_the_interval_spans_a_beat_that_is_none() -> None:
    beats = beats_of_rr([0.8, 0.3, 0.5, 0.8, np.nan, 0.7])
    r = beats.r_sample.tolist()
    found = reviewed_beats(beats, {Mark(r[2]): label("|")})
    assert found.r_sample.tolist() == [*r[:2], *r[3:]]
    assert found.rr_s == pytest.approx([np.nan, 0.8, 0.8, 0.8, np.nan, 0.7], nan_ok=True)
    found = reviewed_beats(beats, {Mark(r[5]): label("|")})  # the gap before it stays a gap
    assert found.rr_s == pytest.approx([np.nan, 0.8, 0.3, 0.5, 0.8, np.nan], nan_ok=True)
    found = reviewed_beats(beats, {Mark(r[0]): label("|"), Mark(r[1]): label("|")})
    assert found.rr_s == pytest.approx([np.nan, 0.5, 0.8, np.nan, 0.7], nan_ok=True)


def test_an_added_beat_divides_a_known_interval() -> None:
    beats = beats_of_rr([0.8, 1.6, np.nan, 0.8])
    r = beats.r_sample.tolist()
    found = reviewed_beats(beats, {Mark(r[1] + 150): label("V")})
    assert found.rr_s == pytest.approx([np.nan, 0.8, 0.6, 1.0, np.nan, 0.8], nan_ok=True)
    assert found.anomalous.tolist() == [False, False, True, False, False, False]
    assert found.labels[2] == "V"
    found = reviewed_beats(beats, {Mark(r[2] + 200): label("N")})  # within the gap: neither part is known
    assert found.rr_s == pytest.approx([np.nan, 0.8, 1.6, np.nan, np.nan, 0.8], nan_ok=True)
    found = reviewed_beats(beats, {Mark(r[-1] + 200): label("N")})
    assert np.isnan(found.rr_s[-1])
    found = reviewed_beats(beats, {Mark(r[2]): label("|"), Mark(r[2] - 60): label("V")})  # moved by hand
    assert found.rr_s == pytest.approx([np.nan, 0.8, 1.36, np.nan, 0.8], nan_ok=True)


gaps = st.lists(st.one_of(st.floats(0.3, 2.0), st.just(float("nan"))), min_size=1, max_size=12)


@given(gaps, st.data())
def test_intervals_are_between_neighbours_and_never_over_a_gap(rr_s: list[float], data: st.DataObject) -> None:
    beats = beats_of_rr(rr_s)
    r = beats.r_sample.tolist()
    removed = data.draw(st.sets(st.sampled_from(r)))
    added = data.draw(st.sets(st.integers(0, r[-1] + 500).filter(lambda at: at not in r), max_size=4))
    labels = {Mark(at): label("|") for at in removed} | {Mark(at): label("N") for at in added}
    found = reviewed_beats(beats, labels)
    assert found.r_sample.tolist() == sorted((set(r) - removed) | added)
    broken = [(r[n], r[n + 1]) for n, value in enumerate(rr_s) if np.isnan(value)]
    for n in range(1, found.r_sample.size):
        first, last = int(found.r_sample[n - 1]), int(found.r_sample[n])
        known = r[0] <= first and last <= r[-1] and not any(a < last and first < b for a, b in broken)
        assert found.rr_s[n] == pytest.approx((last - first) / FS_HZ if known else np.nan, abs=0.005, nan_ok=True)


def test_without_decisions_nothing_changes() -> None:
    beats = beats_of_rr([0.8, 0.7, np.nan, 0.9], odd={1}, unscored={2})
    found = reviewed_beats(beats, {})
    for name in ("r_sample", "rr_s", "score", "anomalous"):
        np.testing.assert_array_equal(getattr(found, name), getattr(beats, name))
    assert found.quality == beats.quality
    assert summary_of({}, beats, ()) is None


def test_labels_follow_their_beat_when_it_is_found_elsewhere() -> None:
    beats = beats_of_rr([0.8] * 4)
    r = beats.r_sample.tolist()
    rest = {Mark(r[2] + 100): label("N"), Mark(7, "asystole"): label("true")}
    found = aligned({Mark(r[1] + 5): label("V"), **rest}, beats)
    assert found == {Mark(r[1]): label("V"), **rest}


def test_false_alarms_leave_and_the_summary_counts() -> None:
    beats = beats_of_rr([0.8] * 4)
    r = beats.r_sample.tolist()
    episodes = (Episode("asystole", 100, 900, ""), Episode("irregular_rhythm", 100, 5000, ""))
    decisions = {
        Mark(r[1]): label("V"), Mark(r[2]): label("|", "ben", T2), Mark(r[2] + 100): label("N"),
        Mark(100, "asystole"): label("false"), Mark(100, "irregular_rhythm"): label("true"),
        Mark(5, "gone"): label("true"),
    }  # fmt: skip
    assert reviewed_episodes(episodes, decisions) == episodes[1:]
    summary = summary_of(decisions, beats, episodes)
    assert summary is not None
    assert summary.text == (
        "2 beats (1 of them not a beat), 1 added, 2 alarms (1 false); 1 decision about alarms that this scoring does "
        "not have; by anna, ben, 2026-11-30 06:00 to 2026-11-30 07:10 UTC"
    )
