"""The benchmarks run, at toy size, on the real program; what they measure is not judged here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


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


def measured(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    """Figures by name, as the JSON has them; the table was printed with its ratio."""
    file = tmp_path / "figures.json"
    done = bench(*arguments, "--json", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ratio: " in done.stdout
    report = json.loads(file.read_text())
    assert report["benchmark"] == arguments[0]
    assert report["machine"]["cores"] >= 1
    assert report["machine"]["cpu"]
    figures = {figure["what"].strip(): figure["value"] for figure in report["figures"]}
    assert all(value > 0 for what, value in figures.items() if what.startswith("ratio: "))
    return figures


def test_replay_runs_both_sides(tmp_path: Path, data_folder: Path) -> None:
    figures = measured(tmp_path, "replay", "--seconds", "20", "--repeats", "1")
    ours = figures["ecg-monitor, from process start to exit"]
    theirs = figures["neurokit2.ecg_process, the call alone"]
    assert figures["ratio: our process / their call"] == pytest.approx(theirs / ours)
    assert figures["files written by ecg-monitor"] > 20 * 360 * 2 / 1e6  # the signal alone


def test_start_sees_help_screen_and_beat(tmp_path: Path) -> None:
    figures = measured(tmp_path, "start", "--repeats", "1")
    assert figures["first frame of the dashboard"] <= figures["first frame that names source and rate"]
    assert figures["first scored beat received, --speed 1"] > 2.0  # of signal


def test_latency_is_measured_end_to_end(tmp_path: Path) -> None:
    figures = measured(tmp_path, "latency", "--seconds", "8")
    assert figures["beats received"] >= 4
    assert figures["deciding sample to beat received, p99"] >= figures["deciding sample to beat received, p50"]
    assert figures["R-peak to beat received, p50"] > 0.99  # the signal that a beat needs behind its R-peak


def test_memory_looks_at_the_monitor_without_torch(tmp_path: Path) -> None:
    figures = measured(tmp_path, "memory", "--hours", "0.1", "--every", "0.05")
    assert figures["looks"] >= 2
    assert figures["resident, most"] >= figures["resident, p50"] > 30  # an interpreter with numpy
    assert figures["torch loaded (1 = yes)"] == 0


def test_score_compares_with_torch(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    figures = measured(tmp_path, "score", "--beats", "64", "--repeats", "1")
    for batch in (1, 16, 64):
        assert figures[f"ours, batch {batch}"] > 0
        ratio = figures[f"eager torch, batch {batch}"] / figures[f"ours, batch {batch}"]
        assert figures[f"ratio: eager torch / ours, batch {batch}"] == pytest.approx(ratio)


def test_rpeaks_finds_the_beats_too(tmp_path: Path, data_folder: Path) -> None:
    figures = measured(tmp_path, "rpeaks", "--seconds", "60", "--repeats", "1")
    assert figures["Se, ours, as a stream"] > 95
    assert figures["+P, ours, as a stream"] > 95
    assert figures["Se, wfdb gqrs_detect"] > 80


def test_the_hub_is_measured_against_a_proxy(tmp_path: Path) -> None:
    figures = measured(tmp_path, "hub", "--messages", "1000", "--beds", "5", "--repeats", "1")
    hub = figures["hub: in order, numbered anew, journalled, sent"]
    proxy = figures["proxy: bytes passed on, XSUB to XPUB in Python"]
    assert figures["ratio: hub / proxy"] == pytest.approx(hub / proxy)


def test_beds_are_held_and_counted(tmp_path: Path, data_folder: Path) -> None:
    figures = measured(tmp_path, "beds", "--beds", "5", "--minutes", "0.2")
    assert figures["beats received"] > 5 * 3
    assert figures["beats and alarms lost"] == 0
    assert figures["samples not watched"] == 0
    assert 50 < figures["resident, one bed alone"] < 1000  # MB; of four more beds nothing can be seen
    assert 50 < figures["resident, most"] < 1000
    assert 0 <= figures["deciding sample to alarm received, p50"] <= figures["deciding sample to alarm received, p99"]


def test_the_curve_of_beds_is_drawn(tmp_path: Path) -> None:
    picture = tmp_path / "curve.png"
    figures = measured(tmp_path, "curve", "--counts", "2,1", "--seconds", "6", "--source", "sim", "--no-journal",
                       "--plot", str(picture))  # fmt: skip
    assert figures["1 beds: processor, a second of a bed"] > 0
    assert figures["2 beds: beats and alarms lost"] == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert figures["farthest from a straight line"] == pytest.approx(0, abs=1e-9)  # of two numbers of beds
    done = bench("curve", "--counts", "1,x")
    assert done.returncode == 2
    assert "1,x" in done.stderr


def test_how_far_a_curve_is_from_a_straight_line() -> None:
    sys.path.insert(0, str(ROOT / "tools"))
    from benchmarks.beds import WardRun
    from benchmarks.curve import _farthest, _line

    def runs(*costs: tuple[int, float]) -> list[WardRun]:
        return [WardRun(beds, 10.0, 10.0, 10 * cost, 0, 0, [], [], 0, 0, 0, 0, 0, 0, 0) for beds, cost in costs]

    straight = runs((1, 1.002), (10, 1.02), (1000, 3.0))
    assert _line(straight) == pytest.approx((1.0, 0.002))
    assert _farthest(straight) == pytest.approx(0, abs=1e-9)
    assert _farthest(runs((1, 1.002), (10, 1.02 * 1.3), (100, 1.2 * 0.9), (1000, 3.0))) == pytest.approx(0.3)


def test_ward_watches_many_beds_on_terminals_of_three_sizes(tmp_path: Path) -> None:
    figures = measured(tmp_path, "ward", "--beds", "50", "--seconds", "1", "--settle", "1")
    for what in ("ward, 80x24", "ward, 120x40", "ward, 200x60", "one bed opened, 120x40"):
        assert figures[what] > 0
        assert figures[f"frames, {what}"] > 0


def test_what_keeps_a_benchmark_from_running_is_one_line(tmp_path: Path) -> None:
    done = bench("rpeaks", ECG_MONITOR_DATA=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "ECG_MONITOR_DATA" in done.stderr
    done = bench("score", "--model", str(tmp_path / "absent.onnx"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "absent.onnx" in done.stderr


def test_the_parsers_of_serial_formats_stand_anything() -> None:
    """A million inputs take half a minute: python tools/fuzz_serial.py."""
    command = [sys.executable, str(ROOT / "tools" / "fuzz_serial.py"), "--inputs", "40000", "--seed", "5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 8


def summary(folder: Path, *figures: tuple[str, float], benchmark: str = "latency") -> str:
    folder.mkdir(exist_ok=True)
    machine = {"cpu": "a chip", "cores": 2, "system": "Linux", "python": "3.11", "versions": {}, "load_1_min": 0.5}
    report = {"benchmark": benchmark, "settings": {"beds": 7, "minutes": 3.0}, "machine": machine}
    report["figures"] = [{"what": what, "value": value} for what, value in figures]
    (folder / f"{benchmark}.json").write_text(json.dumps(report))
    done = bench("table", "--out", str(folder))
    return done.stdout if done.returncode == 0 else done.stderr


def test_the_table_of_all_says_what_is_met_and_what_is_missed(tmp_path: Path) -> None:
    beat = "deciding sample to beat received"
    told = summary(tmp_path, (f"{beat}, p50", 20.0), (f"{beat}, p99", 151.0))
    assert "20 ms | ≤ 50 ms, met |" in told
    assert "151 ms | ≤ 150 ms, missed |" in told
    assert "a chip, 2 cores" in told


def test_a_figure_that_was_not_measured_is_named(tmp_path: Path) -> None:
    told = summary(tmp_path, ("something else", 1.0), benchmark="beds")
    assert "has no figure 'held in real time" in told
    assert "bench.py all" in bench("table", "--out", str(tmp_path / "empty")).stderr


def test_the_tables_figures_are_those_that_the_benchmarks_give(tmp_path: Path, data_folder: Path) -> None:
    """Run at toy size, in one folder, and told as one table: no name has drifted."""
    done = bench("all", "--quick", "--only", "latency", "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout.rpartition("| figure |")[2]
    assert "one bed, deciding sample to beat received, p99" in told
    again = bench("all", "--quick", "--only", "latency", "--resume", "--out", str(tmp_path))
    assert again.stderr == ""
    assert "bench: --only nothing" in bench("all", "--only", "nothing").stderr


def test_the_readme_tells_the_figures_that_are_kept() -> None:
    done = bench("table", "--check")
    assert done.returncode == 0, done.stderr


def test_a_fleet_is_measured_from_its_hub(tmp_path: Path, data_folder: Path) -> None:
    figures = measured(tmp_path, "fleet", "--beds", "4", "--minutes", "0.25", "--shards", "2")
    assert figures["beds seen"] == 4
    assert figures["beats received"] > 4 * 5
    assert figures["beats and alarms lost"] == 0
