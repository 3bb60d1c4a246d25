"""What the alarms are worth has a floor, in small; truth is what annotations say; the page is what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from detector import Scorer
from monitor.messages import Alarm

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from alarm_study.replay import RULES, Rules, find  # noqa: E402
from alarm_study.study import Job, Study, jobs_of, measure  # noqa: E402
from alarm_study.tell import put, tables  # noqa: E402
from alarm_study.truth import Truth  # noqa: E402
from studies.kept import StudyError  # noqa: E402
from studies.play import Signal, play  # noqa: E402

from train.data.records import read_record  # noqa: E402


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer()


def truth_of(codes: str, rr_s: float, begin_s: float = 1.0) -> Truth:
    """Beats of these codes, one letter each, evenly spaced."""
    at_s = begin_s + rr_s * np.arange(len(codes))
    return Truth(at_s, list(codes), [""] * len(codes), float(at_s[-1]) + 20.0)


def test_onsets_of_fibrillation_are_told_in_time_and_nothing_before(scorer: Scorer, data_folder: Path) -> None:
    assert (data_folder / "cudb").is_dir()
    for record in ("cu01", "cu17", "cu22"):
        run = measure(Job("cudb", record), scorer)
        assert [episode["after_s"] <= 10.0 for episode in run["episodes"]] == [True]
        before = [alarm for alarm in run["alarms"] if alarm["decided_s"] < run["quiet_s"]]
        assert all(alarm["true"] for alarm in before if alarm["priority"] == "high")


def test_ventricular_runs_and_flutter_are_told_in_time_and_a_paced_heart_is_quiet(
    scorer: Scorer, data_folder: Path
) -> None:
    assert (data_folder / "mitdb").is_dir()
    for record, least in (("205", 3), ("207", 6), ("107", 0)):
        run = measure(Job("mitdb", record), scorer)
        assert len(run["episodes"]) >= least
        assert all(episode["after_s"] <= 10.0 for episode in run["episodes"])
        assert sum(alarm["priority"] == "high" and not alarm["true"] for alarm in run["alarms"]) <= 1
        assert sum(alarm["kind"] == "anomalous_beat" for alarm in run["alarms"]) <= 20
        alone = sum(run["load"]["without grouping and hysteresis"].values())
        assert alone >= sum(run["load"]["all rules"].values())


def test_noise_of_6_db_raises_no_high_alarm(scorer: Scorer, data_folder: Path) -> None:
    """Twelve of nstdb's "runs" were told as ventricular in this record, before they had to be alike."""
    assert (data_folder / "nstdb").is_dir()
    run = measure(Job("nstdb", "118e06"), scorer)
    assert [alarm for alarm in run["alarms"] if alarm["priority"] == "high"] == []


def test_the_replay_raises_what_the_bed_raises(scorer: Scorer, data_folder: Path) -> None:
    record = read_record("119e06", "nstdb")
    samples = record.samples_mv[: round(8 * 60 * record.fs_hz)]
    kept = play(Signal("119e06", record.lead, record.fs_hz, samples), scorer)
    changes: list[Alarm] = find(samples, record.fs_hz, scorer).alarms(RULES["all rules"])
    assert changes == kept.alarms
    assert len(changes) > 10


def test_rules_change_only_what_knows_the_key() -> None:
    limits = RULES["without delays"].limits
    assert limits.tachycardia.delay_s == limits.poor_signal.limit == 0
    assert limits.tachycardia.limit == Rules().limits.tachycardia.limit
    assert RULES["without grouping and hysteresis"].limits.anomalous_beat.per_hour == 0


def test_truth_of_runs_rates_and_pauses() -> None:
    run = truth_of("NNNN" + "VVVVV" + "NNNN", 0.5)
    assert [(round(e.first_s, 1), round(e.end_s, 1)) for e in run.ventricular_runs()] == [(3.0, 5.0)]
    assert run.confirms("ventricular_run", 3.0, 7.0)
    assert not run.confirms("ventricular_run", 3.0, 15.1)
    assert not truth_of("NNNN" + "VVVV" + "NNNN", 0.5).confirms("ventricular_run", 3.0, 7.0)
    assert truth_of("N" + "V" * 8, 0.7).ventricular_runs() == []
    fast, slow = truth_of("N" * 40, 0.4), truth_of("N" * 12, 1.6)
    assert len(fast.rates("extreme_tachycardia")) == len(slow.rates("extreme_bradycardia")) == 1
    assert fast.confirms("tachycardia", 5.0, 10.0)
    assert not fast.confirms("extreme_bradycardia", 5.0, 10.0)
    assert truth_of("N" * 40, 0.45).rates("extreme_tachycardia") == []
    still = truth_of("NNN", 4.5)
    assert len(still.silences("asystole", 4.2)) == 2
    assert still.confirms("asystole", 1.0, 6.0)
    assert not slow.confirms("pause", 1.0, 5.0)
    assert run.confirms("anomalous_beat", 3.05, 4.0)
    assert not run.confirms("anomalous_beat", 2.0, 3.0)


def test_truth_of_fibrillation() -> None:
    at_s = np.array([0.0, 1.0, 10.0, 20.0, 21.0, 50.0])
    truth = Truth(at_s, ["+", "N", "[", "]", "N", "["], ["(N", "", "", "", "", ""], 60.0)
    assert truth.fibrillation == [(10.0, 20.0), (50.0, 60.0)]
    assert truth.confirms("ventricular_fibrillation", 12.0, 14.0)
    assert truth.confirms("ventricular_run", 8.5, 9.0)
    assert not truth.confirms("ventricular_fibrillation", 3.0, 7.0)
    assert truth.silences("asystole", 4.0) == []  # no beat is annotated in it, which is no silence


def test_a_study_is_kept_and_told(tmp_path: Path) -> None:
    study = Study(tmp_path / "alarms.json")
    assert "Not measured yet" in tables(study)
    alarm = {"kind": "asystole", "priority": "high", "technical": False, "onset_s": 5.0, "decided_s": 9.0}
    alarm |= {"end_s": 12.0, "true": False}
    episode = {"kind": "ventricular_fibrillation", "first_s": 100.0, "end_s": 200.0, "after_s": 3.0, "by": "asystole"}
    late = episode | {"first_s": 300.0, "after_s": None, "by": ""}
    run = {"set": "cudb", "record": "cu01", "seconds": 500.0, "alarms": [alarm], "quiet_s": 90.0}
    study.keep("cudb:cu01", run | {"episodes": [episode, late]})
    told = tables(Study(tmp_path / "alarms.json"))
    assert "| onsets alarmed within 10 s | 1 of 2 (50.0 %) | - | 1 of 2 (50.0 %) | ≥ 90 % |" in told
    assert "| ... an hour | 40.00 | - | 40.00 | < 0.5 |" in told
    assert "cu01 at 300 s (never)" in told
    assert "cu01: `asystole` 9 s" in told
    assert put("a <!-- alarms -->old<!-- /alarms --> b", "new") == "a <!-- alarms -->\nnew\n<!-- /alarms --> b"
    (tmp_path / "alarms.json").write_text(json.dumps({"runs": {}}))
    with pytest.raises(StudyError, match=r"tools/alarms\.py"):
        Study(tmp_path / "alarms.json")


def test_bad_lists_are_refused(data_folder: Path) -> None:
    assert (data_folder / "cudb").is_dir()
    with pytest.raises(StudyError, match="no data set afdb"):
        jobs_of("cudb,afdb")
    with pytest.raises(StudyError, match="no record cu99"):
        jobs_of("cudb", "cu01,cu99")
    assert len(jobs_of("cudb,nstdb")) == 35 + 12


def test_the_page_is_what_was_measured() -> None:
    """Else: python tools/alarms.py --write."""
    check = [sys.executable, "tools/alarms.py", "--check"]
    done = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
