"""No samples, gaps, lateness and bad signal: the resulting alarms and events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb

from detector import Scorer
from tests.monitor.engine.helpers import FS_HZ, FedSource, Run, Script, ecg, settings, sim


def test_no_data_is_raised_at_its_limit_and_clears(scorer: Scorer) -> None:
    source = FedSource()
    signal = ecg("sinus=30")
    seen: dict[str, Any] = {}

    def note(name: str) -> None:
        seen[name] = (run.status().state, list(run.onsets()), run.status().scorable, run.status().heart_rate_bpm)

    acts = [
        (0.25, lambda: source.feed(signal[: round(10 * FS_HZ)])),
        (2.0, lambda: note("before")),
        (2.75, lambda: note("after")),
        (20.0, lambda: source.feed(signal[round(10 * FS_HZ) :])),
        (20.25, lambda: note("again")),
        (20.5, lambda: None),
    ]
    script = Script(acts)
    run: Run = Run({"p1": source}, scorer, clock=script.clock)
    run.pipeline.run(script)
    assert seen["before"][:2] == ("running", [])
    assert seen["after"] == ("no_data", ["no_data"], False, None)
    assert run.states("no_data") == ["onset", "cleared"]
    assert seen["again"][0] == "running"
    assert run.onsets() == ["no_data"], "no samples is no asystole, and one alarm"
    assert run.status().samples_in == signal.size


def test_no_data_is_raised_for_a_source_without_any_sample(scorer: Scorer) -> None:
    script = Script([(2.5, lambda: None)])
    run = Run({"p1": FedSource()}, scorer, clock=script.clock)
    run.pipeline.run(script)
    assert run.onsets() == ["no_data"]
    assert run.status().samples_in == 0


def test_overload_is_raised_while_live_samples_wait(scorer: Scorer) -> None:
    """The loop stops for 9 s in the middle of a live signal: the oldest sample waits that long."""
    source, signal = FedSource(), ecg("sinus=60")
    fed_s = 0

    def feed(now_s: int) -> None:
        nonlocal fed_s
        source.feed(signal[round(fed_s * FS_HZ) : round(now_s * FS_HZ)])
        fed_s = now_s

    def stall() -> None:
        script.now_s = 45.0
        feed(45)  # samples that arrived meanwhile

    moments = [*range(1, 36), *range(46, 52)]
    acts: list[tuple[float, Any]] = [(float(t), lambda t=t: feed(t)) for t in moments]
    script = Script([*acts[:35], (36.0, stall), *acts[35:]], step_s=0.5)
    run = Run({"p1": source}, scorer, clock=script.clock)
    run.pipeline.run(script)
    assert run.states("overload") == ["onset", "cleared"]
    onset = next(m.alarm for m in run.alarms if m.alarm.kind == "overload")
    assert (onset.category, onset.priority) == ("technical", "low")
    assert "behind its samples" in onset.text
    assert onset.evidence.value is not None
    assert 5.0 <= onset.evidence.value <= 10.0


@pytest.mark.parametrize(("speed", "expected"), [(1.0, ["onset"]), (10.0, [])])
def test_overload_is_raised_for_a_late_replay_at_real_time_only(
    scorer: Scorer, speed: float, expected: list[str]
) -> None:
    source = FedSource(live=False)
    source.feed(ecg("sinus=40"))
    acts: list[tuple[float, Any]] = [(48.0, lambda: source.feed(ecg("sinus=10;seed=2"))), (55.0, lambda: None)]
    script = Script(acts, step_s=1.0)
    run = Run({"p1": source}, scorer, settings(source={"speed": speed}), clock=script.clock)
    run.pipeline.run(script)
    assert [state for state in run.states("overload") if state == "onset"] == expected


def test_a_bed_has_its_own_alarm_limits(scorer: Scorer) -> None:
    story = "sinus=14,asystole=7,sinus=5"
    beds = {"p1": {"alarms": {"asystole": {"limit": 30.0}}}, "p3": {"alarms": {"asystole": {"enabled": False}}}}
    run = Run({bed: sim(story) for bed in ("p1", "p2", "p3")}, scorer, settings(beds=beds))
    run.pipeline.run()
    assert ["asystole" in run.onsets(bed) for bed in ("p1", "p2", "p3")] == [False, True, False]


def test_no_data_is_raised_when_a_port_is_back_without_samples(scorer: Scorer) -> None:
    source = FedSource()
    acts = [
        (0.25, lambda: source.feed(ecg("sinus=10"))),
        (1.0, lambda: source.notice("source_lost", "fed: lost /dev/x")),
        (9.0, lambda: source.notice("source_back", "fed: /dev/x is back")),
        (10.0, lambda: checks.append(run.onsets().copy())),
        (12.0, lambda: checks.append(run.onsets().copy())),
        (12.5, lambda: None),
    ]
    checks: list[list[str]] = []
    script = Script(acts)
    run: Run = Run({"p1": source}, scorer, clock=script.clock)
    run.pipeline.run(script)
    assert run.states("source_lost") == ["onset", "cleared"]
    assert run.alarms[0].alarm.text == "fed: lost /dev/x"
    assert checks == [["source_lost"], ["source_lost", "no_data"]], "no `no_data` while the source is lost"


def test_a_gap_is_published_counted_and_keeps_sample_numbers(tmp_path: Path, scorer: Scorer) -> None:
    source = FedSource()
    before, after = ecg("sinus=15"), ecg("sinus=15;seed=2")
    source.feed(before)
    source.feed(after[:1000], lost=1000)
    source.feed(after[1000:], lost=7)
    source.end()
    run = Run({"p1": source}, scorer, settings(record={"folder": str(tmp_path)}))
    run.pipeline.run()
    status = run.status()
    assert (status.gaps, status.samples_lost, status.samples_in) == (2, 1007, before.size + after.size)
    assert run.onsets() == ["gap"]
    gap = run.alarms[0].alarm
    assert (gap.onset_sample, gap.evidence.value) == (before.size, 4.0)
    recorded = wfdb.rdrecord(str(tmp_path / "p1" / "signal")).p_signal[:, 0]
    assert recorded.size == before.size + 1007 + after.size
    assert np.isnan(recorded[before.size : before.size + 1000]).all()
    np.testing.assert_allclose(recorded[: before.size], before, atol=2e-3)
    np.testing.assert_allclose(recorded[before.size + 1000 :][:1000], after[:1000], atol=2e-3)
    np.testing.assert_allclose(recorded[before.size + 2007 :], after[1000:], atol=2e-3)
    rows = [line.split(",") for line in (tmp_path / "p1" / "beats.csv").read_text().splitlines()[1:]]
    r_samples = [int(row[0]) for row in rows]
    assert not [r for r in r_samples if before.size <= r < before.size + 1000]
    first_after = next(i for i, r in enumerate(r_samples) if r >= before.size)
    assert rows[first_after][2] == "", "no RR interval across the gap"
    session = json.loads((tmp_path / "p1" / "session.json").read_text())
    assert (session["recorded"]["gaps"], session["recorded"]["lost_samples"]) == (2, 1007)
    events = [json.loads(line) for line in (tmp_path / "p1" / "events.jsonl").read_text().splitlines()]
    published = [(event["kind"], event["first_sample"], event["n_samples"]) for event in events]
    second = before.size + 2000
    assert published == [("gap", before.size, 1000), ("gap", second, 7)], "one event for each gap, one alarm for both"


def test_a_missing_signal_raises_leads_off_only(tmp_path: Path, scorer: Scorer) -> None:
    source = FedSource(live=False)
    source.feed(np.full(round(30 * FS_HZ), np.nan))
    source.end()
    run = Run({"p1": source}, scorer, settings(record={"folder": str(tmp_path)}))
    run.pipeline.run()
    assert run.onsets() == ["leads_off"]
    assert run.alarms[0].alarm.onset_sample == 0
    assert run.status().beats == 0
    assert run.status().samples_in == round(30 * FS_HZ)
    assert not run.status().scorable


@pytest.mark.parametrize("seconds", [0.004, 0.5, 3.0])
def test_a_record_shorter_than_a_window_ends_normally(tmp_path: Path, scorer: Scorer, seconds: float) -> None:
    signal = ecg("sinus=4")[: round(seconds * FS_HZ)]
    source = FedSource(live=False)
    source.feed(signal)
    source.end()
    run = Run({"p1": source}, scorer, settings(record={"folder": str(tmp_path)}))
    run.pipeline.run()
    assert run.onsets() == []
    assert run.status().samples_in == signal.size
    assert wfdb.rdrecord(str(tmp_path / "p1" / "signal")).sig_len == signal.size
    assert run.status().state == "ended"


def test_an_empty_source_ends_normally(tmp_path: Path, scorer: Scorer) -> None:
    source = FedSource(live=False)
    source.end()
    run = Run({"p1": source}, scorer, settings(record={"folder": str(tmp_path)}))
    run.pipeline.run()
    assert run.alarms == []
    assert json.loads((tmp_path / "p1" / "session.json").read_text())["state"] == "closed"


def test_bad_input_is_published_every_10_s_with_its_count(tmp_path: Path, scorer: Scorer) -> None:
    source = FedSource()
    acts: list[tuple[float, Any]] = [(t, lambda: source.notice("bad_input", "fed: 3 bad", 3)) for t in range(1, 15)]
    script = Script([*acts, (15.0, lambda: None)])
    run: Run = Run({"p1": source}, scorer, settings(record={"folder": str(tmp_path)}), clock=script.clock)
    run.pipeline.run(script)
    printed = [line for line in run.notices if "bad" in line]
    events = [json.loads(line) for line in (tmp_path / "p1" / "events.jsonl").read_text().splitlines()]
    assert [event["count"] for event in events] == [3, 30, 9], "subscribers receive the same counts"
    assert printed == ["p1: fed: 3 bad", "p1: fed: 3 bad, after 27 more", "p1: bad input: 9 more since"]


@pytest.mark.parametrize("noise_mv", [0.0, 0.002])
@pytest.mark.parametrize("lead_s", [0.0, 12.0])
def test_a_flat_line_is_asystole(tmp_path: Path, scorer: Scorer, noise_mv: float, lead_s: float) -> None:
    flat = np.clip(np.random.default_rng(1).normal(0, noise_mv, round(12 * FS_HZ)), -0.0045, 0.0045)
    source = FedSource(live=False)
    source.feed(np.concatenate((ecg(f"sinus={lead_s:g}") if lead_s else np.empty(0), flat)))
    source.end()
    run = Run({"p1": source}, scorer, settings(record={"folder": str(tmp_path)}))
    run.pipeline.run()
    onset = next(m.alarm for m in run.alarms if m.alarm.kind == "asystole")
    assert lead_s * FS_HZ < onset.decided_sample <= (lead_s + 10) * FS_HZ
    assert "flat line" in onset.text
    assert set(run.onsets()) == {"asystole", "pause", "leads_off"}


UNITS = {"uV": 1e-3, "V": 1e3, "adc": 0.005}  # mV in one


@pytest.mark.parametrize(
    ("unit", "remedy"), [("uV", "--unit uV"), ("V", "--unit V"), ("adc", "--unit adc --mv-per-unit")]
)
def test_a_wrong_unit_is_one_alarm_that_names_the_flag(tmp_path: Path, scorer: Scorer, unit: str, remedy: str) -> None:
    source = FedSource(live=False)
    signal = ecg("sinus=25") / UNITS[unit]
    source.feed(np.rint(2048 + signal) if unit == "adc" else signal)
    source.end()
    run = Run({"p1": source}, scorer, settings(record={"folder": str(tmp_path)}))
    run.pipeline.run()
    assert run.onsets() == ["wrong_unit"]
    alarm = run.alarms[0].alarm
    assert alarm.decided_sample <= 10 * FS_HZ
    assert remedy in alarm.text
    status = run.status()
    assert status.beats == status.unscored_beats
    assert (status.quality, status.heart_rate_bpm) == ("unit", None)


def test_calibration_pulses_are_one_alarm_and_no_beat_is_scored(tmp_path: Path, scorer: Scorer) -> None:
    t = np.arange(round(25 * FS_HZ)) / FS_HZ
    source = FedSource(live=False)
    source.feed((t % 1.0 < 0.5) + np.random.default_rng(1).normal(0, 0.004, t.size))
    source.end()
    run = Run({"p1": source}, scorer, settings(record={"folder": str(tmp_path)}))
    run.pipeline.run()
    assert run.onsets() == ["calibration"]
    assert run.status().beats == run.status().unscored_beats
    assert run.status().heart_rate_bpm is None


def test_a_flood_of_gaps_and_notices_is_published_once_a_second(tmp_path: Path, scorer: Scorer) -> None:
    source = FedSource()
    signal = ecg("sinus=70")

    def feed() -> None:
        for n in range(6):
            first = (source.next // 60) % (signal.size - 50)
            source.feed(signal[first : first + 50], lost=10)
            source.notice("format", f"notice {n}")

    acts = [(0.25 * n, feed) for n in range(1, 81)]
    script = Script([*acts, (20.1, source.end), (60.0, int)], step_s=0.02)  # a turn reads one piece at most
    config = settings(source={"speed": 1.0}, record={"folder": str(tmp_path)})
    run = Run({"p1": source}, scorer, config, clock=script.clock)
    run.pipeline.run(script)
    rows = [json.loads(line) for line in (tmp_path / "p1" / "events.jsonl").read_text().splitlines()]
    for kind, total in (("format", 480), ("gap", 0)):
        of_kind = [row for row in rows if row["kind"] == kind]
        assert 60 < len(of_kind) < 90, kind
        if total:
            assert sum(row["count"] for row in of_kind) == total, "all are counted"
    left_out = rows[-1]
    assert left_out["text"] == f"fed: gap: {left_out['count']} more samples since"
    assert run.status().gaps >= 478
