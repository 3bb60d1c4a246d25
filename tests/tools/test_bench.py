"""The benchmarks run, at small size, on the real program; the tests do not judge the measured speed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT


def bench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "tools/bench.py", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    )


def measured(tmp_path: Path, *arguments: str) -> dict[str, float]:
    """Figures by name, from the JSON file; the table was printed with its ratio."""
    file = tmp_path / "figures.json"
    done = bench(*arguments, "--json", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| ratio: " in done.stdout
    report = json.loads(file.read_text())
    assert report["benchmark"] == arguments[0]
    assert report["machine"]["cores"] >= 1
    assert report["machine"]["cpu"]
    figures = {figure["what"].strip(): figure["value"] for figure in report["figures"]}
    assert all(value > 0 for what, value in figures.items() if what.startswith("ratio: "))
    return figures


@pytest.mark.slow
def test_replay_measures_both_programs(tmp_path: Path, data_folder: Path) -> None:
    figures = measured(tmp_path, "replay", "--seconds", "20", "--repeats", "1")
    ours = figures["ecg-monitor, from process start to exit"]
    theirs = figures["neurokit2.ecg_process, the call alone"]
    assert figures["ratio: our process / their call"] == pytest.approx(theirs / ours)
    assert figures["files written by ecg-monitor"] > 20 * 360 * 2 / 1e6  # the signal alone


@pytest.mark.slow
def test_score_compares_with_torch(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    figures = measured(tmp_path, "score", "--beats", "64", "--repeats", "1")
    for batch in (1, 16, 64):
        assert figures[f"ours, batch {batch}"] > 0
        ratio = figures[f"eager torch, batch {batch}"] / figures[f"ours, batch {batch}"]
        assert figures[f"ratio: eager torch / ours, batch {batch}"] == pytest.approx(ratio)


@pytest.mark.slow
def test_rpeaks_reports_detection_quality(tmp_path: Path, data_folder: Path) -> None:
    figures = measured(tmp_path, "rpeaks", "--seconds", "60", "--repeats", "1")
    assert figures["Se, ours, as a stream"] > 95
    assert figures["+P, ours, as a stream"] > 95
    assert figures["Se, wfdb gqrs_detect"] > 80


@pytest.mark.slow
def test_beds_counts_losses_memory_and_latency(tmp_path: Path, data_folder: Path) -> None:
    figures = measured(tmp_path, "beds", "--beds", "5", "--minutes", "0.2")
    assert figures["beats received"] > 5 * 3
    assert figures["beats and alarms lost"] == 0
    assert figures["samples not watched"] == 0
    assert 50 < figures["resident, one bed alone"] < 1000  # MB; four more beds are too few to be seen
    assert 50 < figures["resident, most"] < 1000
    assert 0 <= figures["deciding sample to alarm received, p50"] <= figures["deciding sample to alarm received, p99"]


@pytest.mark.slow
def test_fleet_is_measured_at_its_hub(tmp_path: Path, data_folder: Path) -> None:
    figures = measured(tmp_path, "fleet", "--beds", "4", "--minutes", "0.25", "--shards", "2")
    assert figures["beds seen"] == 4
    assert figures["beats received"] > 4 * 5
    assert figures["beats and alarms lost"] == 0
    assert figures["processor, a second of a bed, all processes"] > 1.0
    assert figures["resident, all processes (shared pages once), most"] > 200


@pytest.mark.slow
def test_all_runs_the_latency_benchmark_and_resumes(tmp_path: Path) -> None:
    done = bench("all", "--quick", "--only", "latency", "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "deciding sample to beat received, p99" in done.stdout.rpartition("| **`latency`**")[2]
    report = json.loads((tmp_path / "latency.json").read_text())
    figures = {figure["what"].strip(): figure["value"] for figure in report["figures"]}
    assert figures["beats received"] >= 4
    assert figures["deciding sample to beat received, p99"] >= figures["deciding sample to beat received, p50"]
    assert figures["R-peak to beat received, p50"] > 0.99  # a beat needs 0.99 s of signal after its R-peak
    again = bench("all", "--quick", "--only", "latency", "--resume", "--out", str(tmp_path))
    assert again.stderr == ""
    assert "bench: --only nothing" in bench("all", "--only", "nothing").stderr


def test_an_error_is_one_line(tmp_path: Path) -> None:
    done = bench("rpeaks", ECG_MONITOR_DATA=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "ECG_MONITOR_DATA" in done.stderr


@pytest.mark.slow
def test_a_model_that_is_missing_is_one_line(tmp_path: Path) -> None:
    done = bench("score", "--model", str(tmp_path / "absent.onnx"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "absent.onnx" in done.stderr


@pytest.mark.slow
def test_web_draws_every_bed(tmp_path: Path) -> None:
    figures = measured(tmp_path, "web", "--beds", "3", "--seconds", "8")
    assert figures["frames a second"] > 0
    assert figures["bytes a second, a bed"] > 1_000  # waves, not only words
    assert figures["50 clients: disconnected"] == 0
