"""The pipeline in this process, on real sockets and files: several beds, bad sources, requests, the end."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb
import zmq

from detector import Beat, Scorer, Scores
from monitor.alarms.kinds import TECHNICAL
from monitor.client.client import wave_samples
from monitor.config import AlarmsConfig
from monitor.errors import SourceError
from monitor.journal import Journal
from monitor.messages import Request, WaveHeader, bed_topic, decode
from monitor.sources import SourceOptions, open_source
from tests.monitor.engine.helpers import (
    FS_HZ,
    FedSource,
    Run,
    Script,
    breaking_record,
    ecg,
    kept,
    settings,
    sim,
    watched,
)

PHYSIOLOGICAL = set(AlarmsConfig.__struct_fields__) - TECHNICAL
STORY = "sinus=14,pvc=6,asystole=6,sinus=5,leadsoff=3,sinus=4"


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer()


class CountingScorer:
    """The real scorer, and how many beats it was given at once."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self.info = scorer.info
        self.calibration = scorer.calibration
        self.batches: list[int] = []

    def score_beats(self, beats: Sequence[Beat]) -> Scores:
        if beats:
            self.batches.append(len(beats))
        return self._scorer.score_beats(beats)


# -- several beds -------------------------------------------------------------------------------------------


def test_a_bed_among_others_gives_what_it_gives_alone(tmp_path: Path, scorer: Scorer) -> None:
    stories = {
        "p1": STORY,
        "p2": "sinus=30,af=8;seed=2",
        "p3": "vt=12,sinus=20;seed=3;fs=360",
        "p10": f"{STORY};seed=5",
        "icu-4": "brady=25,noise=4,sinus=5;seed=4;fs=500",
    }
    together = Run(
        {bed: open_source(f"sim:{story}", SourceOptions()) for bed, story in stories.items()},
        scorer,
        settings(record={"folder": str(tmp_path / "all")}),
    )
    together.pipeline.run()
    for bed, story in stories.items():
        folder = tmp_path / f"only-{bed}"
        alone = Run(
            {bed: open_source(f"sim:{story}", SourceOptions())}, scorer, settings(record={"folder": str(folder)})
        )
        alone.pipeline.run()
        assert kept(folder, bed) == kept(tmp_path / "all", bed)
        assert alone.status(bed).beats == together.status(bed).beats > 10
    assert kept(tmp_path / "all", "p1") != kept(tmp_path / "all", "p10")


def test_all_beds_share_one_batch(scorer: Scorer) -> None:
    one, five = CountingScorer(scorer), CountingScorer(scorer)
    alone = Run({"p0": sim(STORY)}, one)  # type: ignore[arg-type]
    alone.pipeline.run()
    together = Run({f"p{i}": sim(STORY) for i in range(5)}, five)  # type: ignore[arg-type]
    together.pipeline.run()
    scored = alone.status("p0").beats - alone.status("p0").unscored_beats
    assert sum(one.batches) == scored > 20
    assert five.batches == [5 * n for n in one.batches]


def test_each_bed_speaks_on_its_own_topics(scorer: Scorer) -> None:
    beds = {name: FedSource(name) for name in ("p1", "p10")}
    with watched(dict(beds), scorer) as w:
        w.joined()
        beds["p1"].feed(ecg(STORY))
        beds["p10"].feed(ecg("sinus=20"))
        for source in beds.values():
            source.end()
        w.finished()
        for topic, message, _ in w.got:
            bed = getattr(message, "bed", None) or getattr(getattr(message, "alarm", None), "bed", None)
            assert topic.split("/")[1] == (bed or "monitor")
        assert w.alarms("asystole", "p1")
        assert not w.alarms("asystole", "p10")
        for bed in beds:
            assert len(w.beats(bed)) == w.run.status(bed).beats
            assert [b.seq for b in w.beats(bed)] == list(range(1, len(w.beats(bed)) + 1))
        assert w.client.missed == 0


def test_the_heartbeat_tells_every_seq_and_the_last_says_goodbye(scorer: Scorer) -> None:
    source = FedSource()
    with watched({"p1": source}, scorer) as w:
        w.joined()
        source.feed(ecg(STORY))
        source.end()
        w.finished()
        last = w.heartbeats()[-1]
        assert last.state == "goodbye"
        assert [h.state for h in w.heartbeats()].count("goodbye") == 1
        counted = {topic: 0 for topic, *_ in w.got if "/wave/" not in topic}
        for topic, message, _ in w.got:
            if topic in counted:
                counted[topic] = max(counted[topic], message.seq)
        assert last.seqs == {k: v for k, v in counted.items() if "heartbeat" not in k} | {
            "v1/monitor/heartbeat/": last.seq - 1
        }
        assert w.statuses()[-1].state == "ended"


def test_a_bed_that_ends_first_leaves_the_others_running(scorer: Scorer) -> None:
    beds = {"short": FedSource("short"), "long": FedSource("long")}
    with watched(dict(beds), scorer) as w:
        w.joined()
        beds["short"].feed(ecg("sinus=6"))
        beds["short"].end()
        w.until(lambda: any(s.state == "ended" for s in w.statuses("short")), "the end of the short one")
        beds["long"].feed(ecg("sinus=12"))
        w.until(lambda: len(w.beats("long")) > 5, "beats of the other")
        beds["long"].end()
        w.finished()
        assert len(w.beats("short")) == w.run.status("short").beats >= 5
        assert not w.run.pipeline.incomplete
        assert all(source.closed for source in beds.values())


def test_a_source_that_breaks_does_not_stop_the_others(scorer: Scorer) -> None:
    beds = {"bad": FedSource("bad"), "good": FedSource("good")}
    with watched(dict(beds), scorer) as w:
        w.joined()
        beds["bad"].feed(ecg("sinus=8"))
        beds["bad"].fail("bad: the device speaks in tongues")
        w.until(lambda: w.alarms("source_lost", "bad"), "source_lost")
        assert "tongues" in w.alarms("source_lost", "bad")[0].alarm.text
        w.until(lambda: w.statuses("bad")[-1].state == "source_lost", "the state of the bad one")
        beds["good"].feed(ecg("sinus=12"))
        w.until(lambda: len(w.beats("good")) > 5, "beats of the good one")
        beds["good"].end()
        w.finished()
        assert not w.failed
        assert w.run.pipeline.incomplete == ["bad: the device speaks in tongues"]
        assert w.run.notices == ["bad: the device speaks in tongues"]
        # What came before the loss was scored, and told before it.
        assert len(w.beats("bad")) >= 7
        order = [topic for topic, *_ in w.got if topic.startswith("v1/bad/") and topic.endswith(("alarm/", "beat/"))]
        assert order[-1] == "v1/bad/alarm/"


def test_the_last_source_to_break_is_an_error(tmp_path: Path, scorer: Scorer) -> None:
    record = breaking_record(tmp_path / "source")
    source = open_source(f"wfdb:{record}", SourceOptions())
    run = Run({"p1": source}, scorer, settings(record={"folder": str(tmp_path / "out")}))
    turns = itertools.count()

    def third_turn() -> bool:
        if next(turns) == 2:
            record.with_suffix(".dat").unlink()
        return False

    with pytest.raises(SourceError, match="rec"):
        run.pipeline.run(third_turn)
    status = run.status()
    assert status.samples_in == 131_072  # all it had read
    assert json.loads((tmp_path / "out" / "p1" / "session.json").read_text())["recorded"]["samples"] == 131_072
    assert run.onsets()[-1] == "source_lost"
    assert status.beats > 150


# -- silence, gaps, bad signal ------------------------------------------------------------------------------


def test_silence_is_an_alarm_within_its_limit_and_recovers(scorer: Scorer) -> None:
    source = FedSource()
    signal = ecg("sinus=30")
    seen: dict[str, Any] = {}

    def look(name: str) -> None:
        seen[name] = (run.status().state, list(run.onsets()), run.status().scorable, run.status().heart_rate_bpm)

    acts = [
        (0.25, lambda: source.feed(signal[: round(10 * FS_HZ)])),
        (2.0, lambda: look("before")),
        (2.75, lambda: look("after")),
        (20.0, lambda: source.feed(signal[round(10 * FS_HZ) :])),
        (20.25, lambda: look("again")),
        (20.5, lambda: None),
    ]
    script = Script(acts)
    run: Run = Run({"p1": source}, scorer, clock=script.clock)
    run.pipeline.run(script)
    assert seen["before"][:2] == ("running", [])
    assert seen["after"] == ("no_data", ["no_data"], False, None)
    assert run.states("no_data") == ["onset", "cleared"]
    assert seen["again"][0] == "running"
    assert run.onsets() == ["no_data"], "silence is neither asystole nor raised twice"
    assert run.status().samples_in == signal.size


def test_a_live_source_that_never_begins_is_silent_too(scorer: Scorer) -> None:
    script = Script([(2.5, lambda: None)])
    run = Run({"p1": FedSource()}, scorer, clock=script.clock)
    run.pipeline.run(script)
    assert run.onsets() == ["no_data"]
    assert run.status().samples_in == 0


def test_a_monitor_that_falls_behind_says_so_and_when_it_has_caught_up(scorer: Scorer) -> None:
    """The loop is held up for 9 s in the middle of a live signal: as long did the oldest sample wait."""
    source, signal = FedSource(), ecg("sinus=60")
    fed_s = 0

    def feed(now_s: int) -> None:
        nonlocal fed_s
        source.feed(signal[round(fed_s * FS_HZ) : round(now_s * FS_HZ)])
        fed_s = now_s

    def hold_up() -> None:
        script.now_s = 45.0
        feed(45)  # what has come meanwhile

    moments = [*range(1, 36), *range(46, 52)]
    acts: list[tuple[float, Any]] = [(float(t), lambda t=t: feed(t)) for t in moments]
    script = Script([*acts[:35], (36.0, hold_up), *acts[35:]], step_s=0.5)
    run = Run({"p1": source}, scorer, clock=script.clock)
    run.pipeline.run(script)
    assert run.states("overload") == ["onset", "cleared"]
    onset = next(m.alarm for m in run.alarms if m.alarm.kind == "overload")
    assert (onset.category, onset.priority) == ("technical", "low")
    assert "behind its samples" in onset.text
    assert onset.evidence.value is not None
    assert 5.0 <= onset.evidence.value <= 10.0


@pytest.mark.parametrize(("speed", "expected"), [(1.0, ["onset"]), (10.0, [])])
def test_a_replay_that_falls_behind_real_time_says_so_and_a_faster_one_promises_none(
    scorer: Scorer, speed: float, expected: list[str]
) -> None:
    source = FedSource(live=False)
    source.feed(ecg("sinus=40"))
    acts: list[tuple[float, Any]] = [(48.0, lambda: source.feed(ecg("sinus=10;seed=2"))), (55.0, lambda: None)]
    script = Script(acts, step_s=1.0)
    run = Run({"p1": source}, scorer, settings(source={"speed": speed}), clock=script.clock)
    run.pipeline.run(script)
    assert [state for state in run.states("overload") if state == "onset"] == expected


def test_a_bed_has_its_own_limits(scorer: Scorer) -> None:
    story = "sinus=14,asystole=7,sinus=5"
    beds = {"p1": {"alarms": {"asystole": {"limit": 30.0}}}, "p3": {"alarms": {"asystole": {"enabled": False}}}}
    run = Run({bed: sim(story) for bed in ("p1", "p2", "p3")}, scorer, settings(beds=beds))
    run.pipeline.run()
    assert ["asystole" in run.onsets(bed) for bed in ("p1", "p2", "p3")] == [False, True, False]


def test_subscribers_hear_of_silence_at_once(scorer: Scorer) -> None:
    source = FedSource()
    config = settings(alarms={"no_data": {"limit": 0.05}})
    with watched({"p1": source}, scorer, config) as w:
        w.joined()
        w.until(lambda: w.alarms("no_data"), "no_data")
        source.feed(ecg("sinus=6"))
        w.until(lambda: [a.alarm.state for a in w.alarms("no_data")][:2] == ["onset", "cleared"], "recovery")
        w.until(lambda: {"no_data", "running"} <= {s.state for s in w.statuses()}, "both states")


def test_a_lost_port_that_is_back_but_silent_is_silent(scorer: Scorer) -> None:
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
    assert checks == [["source_lost"], ["source_lost", "no_data"]], "while it is lost, that says it all"


def test_a_gap_is_told_counted_and_keeps_the_sample_numbers(tmp_path: Path, scorer: Scorer) -> None:
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
    told = [(event["kind"], event["first_sample"], event["n_samples"]) for event in events]
    second = before.size + 2000
    assert told == [("gap", before.size, 1000), ("gap", second, 7)], "the alarm groups them, the events do not"


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_no_signal_at_all_is_leads_off_and_nothing_else(tmp_path: Path, scorer: Scorer, value: float) -> None:
    source = FedSource(live=False)
    source.feed(np.full(round(30 * FS_HZ), value))
    source.end()
    run = Run({"p1": source}, scorer, settings(record={"folder": str(tmp_path)}))
    run.pipeline.run()
    assert run.onsets() == ["leads_off"]
    assert run.alarms[0].alarm.onset_sample == 0
    assert run.status().beats == 0
    assert run.status().samples_in == round(30 * FS_HZ)
    assert not run.status().scorable


@pytest.mark.parametrize("seconds", [0.004, 0.5, 3.0])
def test_a_record_shorter_than_a_window_ends_in_order(tmp_path: Path, scorer: Scorer, seconds: float) -> None:
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


def test_an_empty_source_ends_in_order(tmp_path: Path, scorer: Scorer) -> None:
    source = FedSource(live=False)
    source.end()
    run = Run({"p1": source}, scorer, settings(record={"folder": str(tmp_path)}))
    run.pipeline.run()
    assert run.alarms == []
    assert json.loads((tmp_path / "p1" / "session.json").read_text())["state"] == "closed"


def test_garbage_on_the_line_is_told_now_and_then_with_its_count(tmp_path: Path, scorer: Scorer) -> None:
    source = FedSource()
    acts: list[tuple[float, Any]] = [(t, lambda: source.notice("bad_input", "fed: 3 bad", 3)) for t in range(1, 15)]
    script = Script([*acts, (15.0, lambda: None)])
    run: Run = Run({"p1": source}, scorer, settings(record={"folder": str(tmp_path)}), clock=script.clock)
    run.pipeline.run(script)
    told = [line for line in run.notices if "bad" in line]
    events = [json.loads(line) for line in (tmp_path / "p1" / "events.jsonl").read_text().splitlines()]
    assert [event["count"] for event in events] == [3, 30, 9], "subscribers have the same"
    assert told == ["p1: fed: 3 bad", "p1: fed: 3 bad, after 27 more", "p1: bad input: 9 more since"]


# -- pace, waves, latency -----------------------------------------------------------------------------------


@pytest.mark.parametrize("speed", [1.0, 10.0])
def test_waves_show_every_sample_many_times_a_second(scorer: Scorer, speed: float) -> None:
    signal = ecg("sinus=60")
    source = FedSource(live=False)
    source.feed(signal)
    sent: list[int] = []
    script = Script([(2.0, lambda: sent.append(run.pipeline.bus.counters["waves"])), (2.1, lambda: None)], 0.02)
    run: Run = Run({"p1": source}, scorer, settings(source={"speed": speed}), clock=script.clock)
    ends = run.pipeline.bus.endpoints
    with zmq.Context() as context, context.socket(zmq.SUB) as sub:
        sub.connect(ends.waves)
        sub.subscribe(b"")
        run.pipeline.run(script)
        headers: list[tuple[WaveHeader, bytes]] = []
        while sub.poll(200):
            _, header, raw = sub.recv_multipart()
            message = decode(header)
            assert isinstance(message, WaveHeader)
            headers.append((message, raw))
    assert 37 <= sent[0] <= 42, "20 a second"
    assert run.status().dropped_waves == 0
    for (a, _), (b, _) in pairwise(headers):
        assert b.seq == a.seq + 1
        assert b.first_sample == a.first_sample + a.n
    first, last = headers[0][0], headers[-1][0]
    assert last.first_sample + last.n == run.status().samples_in
    shown = np.concatenate([wave_samples(*item)[0] for item in headers])
    np.testing.assert_array_equal(shown, signal[first.first_sample : run.status().samples_in].astype(np.float32))
    filtered = np.concatenate([wave_samples(*item)[1] for item in headers])
    assert np.isfinite(filtered).all()
    assert np.ptp(filtered) > 0.5


def test_replay_keeps_its_pace(scorer: Scorer) -> None:
    taken: list[int] = []
    acts: list[tuple[float, Any]] = [(t, lambda: taken.append(run.status().samples_in)) for t in (1.0, 2.0, 4.0)]
    script = Script([*acts, (4.1, lambda: None)], 0.05)
    run: Run = Run({"p1": sim("sinus=600")}, scorer, settings(source={"speed": 8.0}), clock=script.clock)
    run.pipeline.run(script)
    expected = np.array([1.0, 2.0, 4.0]) * 8 * FS_HZ
    np.testing.assert_allclose(taken, expected, atol=0.15 * 8 * FS_HZ)


@pytest.mark.parametrize("speed", [5.0, 50.0])
def test_latency_is_measured_in_paced_replay(scorer: Scorer, speed: float) -> None:
    seconds = 2 * speed
    with watched({"p1": sim(f"sinus={max(seconds, 10):g}")}, scorer, settings(source={"speed": speed})) as w:
        w.finished()
        latencies = [beat.latency_ms for beat in w.beats()]
        assert len(latencies) > 5
        assert all(ms is not None and 0 <= ms < 5_000 for ms in latencies)
        assert any(ms for ms in latencies), "never exactly nothing"
        last = w.statuses()[-1]
        assert last.latency_p50_ms is not None
        assert last.latency_p99_ms is not None
        assert 0 < last.latency_p50_ms <= last.latency_p99_ms < 5_000
        assert last.speed == speed


def test_latency_is_from_the_arrival_of_the_deciding_sample(scorer: Scorer) -> None:
    """With a clock that moves only between turns, every beat that this turn decided took no time."""
    source = FedSource()
    signal = ecg("sinus=20")
    pieces = np.array_split(signal, 40)
    acts: list[tuple[float, Any]] = [(1.0 + i, lambda p=p: source.feed(p)) for i, p in enumerate(pieces)]
    script = Script([*acts, (42.0, lambda: None)])
    run = Run({"p1": source}, scorer, settings(alarms={"no_data": {"enabled": False}}), clock=script.clock)
    run.pipeline.run(script)
    status = run.status()
    assert status.latency_p50_ms == 0.0
    assert status.beats > 15


def test_latency_means_nothing_at_full_speed(scorer: Scorer) -> None:
    run = Run({"p1": sim(STORY)}, scorer)
    run.pipeline.run()
    assert run.alarms
    assert all(message.latency_ms is None for message in run.alarms)
    assert run.status().latency_p50_ms is None


# -- the control socket -------------------------------------------------------------------------------------


def test_a_person_acknowledges_pauses_and_asks_for_the_strip(tmp_path: Path, scorer: Scorer) -> None:
    source = FedSource()
    journal = tmp_path / "journal.sqlite"
    signal = ecg(STORY)
    with watched({"p1": source}, scorer, settings(journal={"path": str(journal)})) as w:
        w.joined()
        source.feed(signal)
        w.until(lambda: [a.alarm.state for a in w.alarms("asystole")][-1:] == ["latched"], "a latched asystole")
        w.until(lambda: w.run.pipeline.beds["p1"].now == signal.size, "all samples taken")
        alarm = w.alarms("asystole")[-1].alarm

        snapshot = w.client.request(Request(op="snapshot", bed="p1"))
        bodies = [json.loads(bytes(raw)) for raw in snapshot.messages]
        assert alarm.alarm_id in [body["alarm"]["alarm_id"] for body in bodies if body["schema"] == "alarm/1"]
        assert [body["bed"] for body in bodies if body["schema"] == "status/1"] == ["p1"]

        strip = w.client.request(Request(op="strip", alarm_id=alarm.alarm_id))
        assert strip.ok, strip.error
        first, n = strip.data["first_sample"], len(strip.data["raw_mv"])
        assert (first, n) == (alarm.onset_sample - 1250, 2500)
        np.testing.assert_allclose(strip.data["raw_mv"], signal[first : first + n], atol=1e-4)
        assert len(strip.data["filtered_mv"]) == n

        recent = w.client.request(Request(op="strip", bed="p1", n=100))
        assert recent.data["first_sample"] == signal.size - 100
        np.testing.assert_allclose(recent.data["raw_mv"], signal[-100:], atol=1e-4)
        off = w.client.request(Request(op="strip", bed="p1", first_sample=round(31.5 * FS_HZ), n=5))
        assert off.data["raw_mv"] == [None] * 5, "leads off is null"
        ahead = w.client.request(Request(op="strip", bed="p1", first_sample=10**15, n=10**9))
        assert ahead.ok
        assert set(ahead.data["raw_mv"]) == {None}

        paused = w.client.request(Request(op="pause_audio", bed="p1", seconds=60, who="nurse 3"))
        assert paused.data["seconds"] == 60
        w.until(lambda: w.statuses()[-1].audio_paused_s > 0, "the pause in the status")
        done = w.client.request(Request(op="acknowledge", alarm_id=alarm.alarm_id, who="nurse 3"))
        assert done.ok, done.error
        w.until(lambda: w.alarms("asystole")[-1].alarm.state == "cleared", "the acknowledgement")
        assert w.alarms("asystole")[-1].alarm.acknowledged_by == "nurse 3"
        again = w.client.request(Request(op="acknowledge", alarm_id=alarm.alarm_id, who="nurse 3"))
        assert not again.ok
        assert alarm.alarm_id in again.error
        source.end()
        w.finished()
    after = Journal(journal)
    actions = [(a.who, a.what, a.bed, a.alarm_id, a.detail) for a in after.actions()]
    assert actions == [
        ("nurse 3", "pause_audio", "p1", "", "60 s"),
        ("nurse 3", "acknowledge", "p1", alarm.alarm_id, ""),
    ]
    after.close()


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (Request(op="acknowledge", alarm_id="p7/asystole/3"), "p7"),
        (Request(op="acknowledge", bed="p1", alarm_id="p1/asystole/3"), "p1/asystole/3"),
        (Request(op="acknowledge"), "p1, p2"),
        (Request(op="pause_audio", bed="p7", seconds=3), "p1, p2"),
        (Request(op="strip", bed="p7"), "p1, p2"),
        (Request(op="strip", alarm_id="p1/asystole/77"), "p1/asystole/77"),
    ],
)
def test_what_cannot_be_done_is_said(scorer: Scorer, request_: Request, said: str) -> None:
    with watched({"p1": FedSource(), "p2": FedSource()}, scorer) as w:
        w.joined()
        reply = w.client.request(request_)
        assert not reply.ok
        assert said in reply.error
        assert w.client.request(Request(op="ping")).ok
        assert not w.failed


def test_no_request_stops_the_monitor(tmp_path: Path, scorer: Scorer) -> None:
    """Even where the journal has become unreadable under it."""
    source = FedSource()
    with watched({"p1": source}, scorer) as w:
        w.joined()
        w.run.pipeline.journal.get_strip = None  # type: ignore[method-assign, assignment]
        reply = w.client.request(Request(op="strip", alarm_id="p1/asystole/3"))
        assert not reply.ok
        assert "internal error" in reply.error
        source.feed(ecg("sinus=8"))
        w.until(lambda: len(w.beats()) > 3, "beats")
        assert w.run.pipeline.bus.counters["internal_errors"] == 1


# -- the end, and what is kept ------------------------------------------------------------------------------


def test_record_and_journal_hold_the_same(tmp_path: Path, scorer: Scorer) -> None:
    run = Run({"p1": sim(STORY)}, scorer, settings(record={"folder": str(tmp_path)}))
    run.pipeline.run()
    lines = (tmp_path / "p1" / "alarms.jsonl").read_bytes().splitlines()
    journal = Journal(tmp_path / "journal.sqlite")
    (epoch,) = journal.epochs()
    assert list(journal.since(bed_topic("p1", "alarm"), epoch, 0).bodies) == lines
    assert len(lines) == len(run.alarms) > 3
    beats = journal.since(bed_topic("p1", "beat"), epoch, 0)
    assert len(beats.bodies) == run.status().beats
    assert beats.complete
    for message in run.alarms:
        if message.alarm.state == "onset":
            strip = journal.get_strip(message.alarm.alarm_id)
            assert strip is not None
            assert strip.samples.shape == (2, 2500)
    journal.close()


def test_a_second_run_adds_to_the_journal(tmp_path: Path, scorer: Scorer) -> None:
    path = str(tmp_path / "j.sqlite")
    for _ in range(2):
        run = Run({"p1": sim("sinus=14,asystole=6,sinus=4")}, scorer, settings(journal={"path": path}))
        run.pipeline.run()
    journal = Journal(path)
    assert len(journal.epochs()) == 2
    bodies = journal.since(bed_topic("p1", "alarm"), journal.epochs()[0], 0).bodies
    assert len({json.loads(body)["epoch"] for body in bodies}) == 2
    journal.close()


def test_stop_drains(tmp_path: Path, scorer: Scorer) -> None:
    """All that was read is scored: the same as if the source had ended there."""
    stopped = Run({"p1": sim("sinus=600")}, scorer, settings(record={"folder": str(tmp_path / "stopped")}))
    turns = iter(range(100))
    stopped.pipeline.run(lambda: next(turns) == 3)
    n = stopped.status().samples_in
    assert n > 10 * FS_HZ
    source = FedSource(live=False)
    source.feed(ecg("sinus=600")[:n])
    source.end()
    ended = Run({"p1": source}, scorer, settings(record={"folder": str(tmp_path / "ended")}))
    ended.pipeline.run()
    assert kept(tmp_path / "stopped") == kept(tmp_path / "ended")
    assert wfdb.rdrecord(str(tmp_path / "stopped" / "p1" / "signal")).sig_len == n


def test_a_duration_ends_a_live_source_by_the_clock(scorer: Scorer) -> None:
    source = FedSource()
    acts: list[tuple[float, Any]] = [(t, lambda: source.feed(ecg("sinus=1"))) for t in range(1, 30)]
    script = Script(acts)
    run = Run({"p1": source}, scorer, settings(source={"duration_s": 10.0}), clock=script.clock)
    run.pipeline.run(script)
    assert 10.0 <= script.now_s <= 10.5
    assert run.status().state == "ended"
    assert source.closed


def test_sources_are_closed_where_the_monitor_cannot_begin(tmp_path: Path, scorer: Scorer) -> None:
    source = FedSource()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Exception, match="file"):
        Run({"p1": source}, scorer, settings(record={"folder": str(tmp_path / "file")}))
    assert source.closed
