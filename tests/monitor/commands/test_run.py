"""`ecg-monitor` without a dashboard: its output, its files, its exit codes."""

from __future__ import annotations

import csv
import json
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import wfdb

from tests.monitor.commands.conftest import Here, Session
from tests.monitor.commands.helpers import FREE_BUS, ecg_monitor, environment

QUIET = ("--no-dashboard", *FREE_BUS)


def onsets(output: str) -> list[str]:
    """Kinds of the alarms printed at their onset, in order."""
    return [line.split()[3] for line in output.splitlines() if len(line.split()) > 4 and line.split()[4] == "onset"]


def test_the_default_scenario_raises_each_of_its_alarms_once(here: Here) -> None:
    done = here("--duration", "60", "--speed", "max", *QUIET)
    assert done.code == 0, done.err
    counts = Counter(onsets(done.out))
    once = ("ventricular_run", "pause", "asystole", "poor_signal", "leads_off")
    assert {kind: counts[kind] for kind in once} == dict.fromkeys(once, 1)
    assert counts["anomalous_beat"] >= 1  # premature beats, grouped
    assert 1 <= counts["anomaly_run"] <= 2  # the ventricular run, and where detected, atrial fibrillation
    assert set(counts) == {*once, "anomalous_beat", "anomaly_run"}, "the scenario contains nothing else"
    printed = [tuple(line.split()[i] for i in (3, 6)) for line in done.out.splitlines() if " onset " in line]
    assert len(printed) == len(set(printed)), "an alarm was printed twice"
    assert "60.0 s watched" in done.out
    assert "not a medical device" in done.out


def beats_and_alarms(folder: Path) -> tuple[str, list[dict[str, object]]]:
    """beats.csv, and alarms.jsonl without the fields of the run and of the wall clock."""
    alarms = [json.loads(line) for line in (folder / "p1" / "alarms.jsonl").read_text().splitlines()]
    for alarm in alarms:
        for key in ("epoch", "time", "latency_ms"):
            alarm.pop(key)
    return (folder / "p1" / "beats.csv").read_text(), alarms


def test_a_replay_at_another_speed_records_the_same(tmp_path: Path, session: Session, here: Here) -> None:
    done = here("--source", session.story, "--speed", "50", *QUIET, "--record", str(tmp_path))
    assert done.code == 0, done.err
    beats, alarms = beats_and_alarms(session.folder)
    assert beats_and_alarms(tmp_path) == (beats, alarms)
    assert beats.count("\n") > 40
    assert alarms


@pytest.mark.slow
def test_a_real_record_at_another_speed_records_the_same(tmp_path: Path, data_folder: Path) -> None:
    found = []
    for speed in ("max", "50"):
        folder = tmp_path / speed
        done = ecg_monitor(
            "--source", "mitdb:200", "--duration", "75", "--speed", speed, *QUIET, "--record", str(folder)
        )
        assert done.returncode == 0, done.stderr
        found.append(beats_and_alarms(folder))
    assert found[0] == found[1]
    assert found[0][0].count("\n") > 50
    assert found[0][1]


@pytest.mark.slow
def test_record_208_is_detected_and_recorded_well(tmp_path: Path, data_folder: Path) -> None:
    done = ecg_monitor("--source", "mitdb:208", "--speed", "max", *QUIET, "--record", str(tmp_path))
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "p1"
    with (folder / "beats.csv").open() as file:
        rows = list(csv.DictReader(file))
    truth = wfdb.rdann(str(data_folder / "mitdb" / "208"), "atr")
    beats = [s for s, symbol in zip(truth.sample, truth.symbol, strict=True) if symbol in "NLRBAaJSVrFejnE/fQ?"]
    found = np.array([int(row["r_sample"]) for row in rows])
    hits = sum(np.abs(found - beat).min() <= 54 for beat in beats)
    true = sum(np.abs(np.array(beats) - r).min() <= 54 for r in found)
    assert hits / len(beats) > 0.99
    assert true / len(found) > 0.99

    record = wfdb.rdrecord(str(folder / "signal"))
    original = wfdb.rdrecord(str(data_folder / "mitdb" / "208"))
    assert record.sig_len == original.sig_len
    np.testing.assert_allclose(record.p_signal[:, 0], original.p_signal[:, 0], atol=2e-3)
    marks = wfdb.rdann(str(folder / "signal"), "ecg")
    assert list(marks.sample) == found.tolist()
    assert set(marks.symbol) <= {"N", "Q", "?"}
    session = json.loads((folder / "session.json").read_text())
    assert session["state"] == "closed"
    assert session["session"]["samples_in"] == original.sig_len
    assert len(session["model"]["sha256"]) == 64


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--source", "mitdb:999"), "999"),
        (("--source", "nonsense"), "nonsense"),
        (("--source", "sim:vtt=3"), "vtt"),
        (("--source", "csv:/nowhere.csv"), "/nowhere.csv"),
        (("--source", "serial", "--port", "/dev/nowhere", "--fs", "250"), "/dev/nowhere"),
        (("--source", "wfdb:/nowhere/rec"), "/nowhere/rec"),
        (("--fs", "20"), "20"),
        (("--speed", "fast"), "fast"),
        (("--speed", "-3"), "-3"),
        (("--bed", "a/b"), "bed"),
        (("--model", "/nowhere.onnx"), "/nowhere.onnx"),
        (("--model", __file__), "ONNX"),
        (("--config", "/nowhere.toml"), "/nowhere.toml"),
        (("--bus", "udp://x"), "udp://x"),
        (("--bus", "tcp://0.0.0.0:7000"), "loopback"),
        (("--record", "/proc/nowhere"), "/proc/nowhere"),
        (("--duration", "-5"), "duration"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], expected: str, data_folder: Path, here: Here
) -> None:
    done = here("--no-dashboard", "--speed", "max", *([] if "--bus" in arguments else FREE_BUS), *arguments)
    assert (done.code, done.err.count("\n")) == (2, 1), done
    assert expected in done.err


def test_a_port_in_use_is_named_and_leaves_the_recording_folder_empty(tmp_path: Path, here: Here) -> None:
    arguments = ("--no-dashboard", "--duration", "5", "--speed", "max", "--record", str(tmp_path))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = f"127.0.0.1:{taken.getsockname()[1]}"
        done = here(*arguments, "--bus", f"tcp://{endpoint}")
    assert done.code == 2
    assert endpoint in done.err
    assert "in use" in done.err
    assert here(*arguments, *FREE_BUS).code == 0


def test_help_and_version_load_no_heavy_package() -> None:
    code = (
        "import sys; from monitor.__main__ import main; sys.argv = ['ecg-monitor', '-h']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'neurokit2', 'scipy', 'numpy', 'onnxruntime', 'zmq') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert done.stdout.splitlines()[-1] == "[]"
    for word in ("--source", "--record", "watch", "tail", "Exit codes", "ECG_MONITOR_SOURCE"):
        assert word in done.stdout


def test_h_is_help_also_in_commands(here: Here) -> None:
    assert here("--version").out.startswith("ecg-monitor ")
    for words in ([], ["watch"], ["alarms", "show"]):
        assert here(*words, "-h") == here(*words, "--help")
