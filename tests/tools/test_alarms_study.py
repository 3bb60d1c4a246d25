"""The alarm study: floors on some records, truth from annotations, the table, and the page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from common.pages import page_with
from common.programs import ToolError
from studies.alarms import jobs, measure
from studies.alarms_table import alarms_table
from studies.runs import Runs, chosen
from studies.truth import Truth

from detector import Scorer
from tests import ROOT

TOOL = "tools/study.py alarms"


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer()


def truth_of(codes: str, rr_s: float, begin_s: float = 1.0) -> Truth:
    """Beats of these codes, one letter each, evenly spaced."""
    at_s = begin_s + rr_s * np.arange(len(codes))
    return Truth(at_s, list(codes), [""] * len(codes), float(at_s[-1]) + 20.0)


@pytest.mark.slow
def test_onsets_of_fibrillation_alarm_in_time_and_nothing_before(scorer: Scorer, data_folder: Path) -> None:
    assert (data_folder / "cudb").is_dir()
    for record in ("cu01", "cu17", "cu22"):
        run = measure("cudb", record, scorer)
        assert [episode["after_s"] <= 10.0 for episode in run["episodes"]] == [True]
        before = [alarm for alarm in run["alarms"] if alarm["decided_s"] < run["quiet_s"]]
        assert all(alarm["true"] for alarm in before if alarm["priority"] == "high")


@pytest.mark.slow
def test_ventricular_runs_and_flutter_alarm_in_time_and_a_paced_heart_does_not(
    scorer: Scorer, data_folder: Path
) -> None:
    assert (data_folder / "mitdb").is_dir()
    for record, least in (("205", 3), ("207", 6), ("107", 0)):
        run = measure("mitdb", record, scorer)
        assert len(run["episodes"]) >= least
        assert all(episode["after_s"] <= 10.0 for episode in run["episodes"])
        assert sum(alarm["priority"] == "high" and not alarm["true"] for alarm in run["alarms"]) <= 1
        assert sum(alarm["kind"] == "anomalous_beat" for alarm in run["alarms"]) <= 20


@pytest.mark.slow
def test_noise_of_6_db_raises_no_high_alarm_of_the_heart(scorer: Scorer, data_folder: Path) -> None:
    """Twelve runs of this record raised `ventricular_run` before the beats of a run had to be alike.

    `poor_signal` is high there once the bed was not watched for a minute.
    """
    assert (data_folder / "nstdb").is_dir()
    run = measure("nstdb", "118e06", scorer)
    assert {alarm["kind"] for alarm in run["alarms"] if alarm["priority"] == "high"} <= {"poor_signal"}


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
    assert truth.silences("asystole", 4.0) == []  # no beats are annotated in it, which is no silence


def test_a_study_is_kept_and_its_table_has_the_counts(tmp_path: Path) -> None:
    study = Runs(tmp_path / "alarms.json", TOOL)
    assert "Not measured yet" in alarms_table(study)
    alarm = {"kind": "asystole", "priority": "high", "technical": False, "onset_s": 5.0, "decided_s": 9.0}
    alarm |= {"end_s": 12.0, "true": False}
    episode = {"kind": "ventricular_fibrillation", "first_s": 100.0, "end_s": 200.0, "after_s": 3.0, "by": "asystole"}
    late = episode | {"first_s": 300.0, "after_s": None, "by": ""}
    run = {"set": "cudb", "record": "cu01", "seconds": 500.0, "alarms": [alarm], "quiet_s": 90.0}
    study.keep("cudb:cu01", run | {"episodes": [episode, late]})
    table = alarms_table(Runs(tmp_path / "alarms.json", TOOL))
    assert "| onsets alarmed within 10 s | 1 of 2 (50.0 %) | - | 1 of 2 (50.0 %) | ≥ 90 % |" in table
    assert "| ... an hour | 40.00 | - | 40.00 | < 0.5 |" in table
    assert "cu01 at 300 s (never)" in table
    assert "cu01: `asystole` 9 s" in table
    (tmp_path / "alarms.json").write_text(json.dumps({"runs": {}}))
    with pytest.raises(ToolError, match=r"tools/study\.py alarms"):
        Runs(tmp_path / "alarms.json", TOOL)


def test_runs_are_chosen_by_their_name(data_folder: Path) -> None:
    assert (data_folder / "cudb").is_dir()
    assert len(chosen(jobs(), "cudb,nstdb")) == 35 + 12
    assert chosen(jobs(), "") == jobs()
    with pytest.raises(ToolError, match="no run afdb: there are cudb:cu01"):
        chosen(jobs(), "cu01,afdb")


def test_the_page_has_the_measured_figures() -> None:
    """Else: python tools/study.py alarms --write."""
    page = ROOT / "docs" / "alarms.md"
    table = alarms_table(Runs(ROOT / "train" / "results" / "alarms.json", TOOL))
    assert page.read_text("utf-8") == page_with(page, "alarms", table)
