"""`ecg-monitor` without a dashboard: its output, its files, its exit codes."""

from __future__ import annotations

import csv
import json
import socket
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import wfdb

from tests.monitor.commands.conftest import Here, Session
from tests.monitor.commands.helpers import FREE_BUS
from tests.monitor.engine.helpers import kept

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


def test_a_replay_at_another_speed_records_the_same(tmp_path: Path, session: Session, here: Here) -> None:
    done = here("--source", session.story, "--speed", "50", *QUIET, "--record", str(tmp_path))
    assert done.code == 0, done.err
    beats, alarms = kept(session.folder)
    assert kept(tmp_path) == (beats, alarms)
    assert beats.count("\n") > 40
    assert alarms


@pytest.mark.slow
def test_record_208_is_detected_and_recorded_well(tmp_path: Path, data_folder: Path, here: Here) -> None:
    done = here("--source", "mitdb:208", "--speed", "max", *QUIET, "--record", str(tmp_path))
    assert done.code == 0, done.err
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


def test_help_and_version(here: Here) -> None:
    shown = here("--help").out
    for word in ("--source", "--record", "watch", "tail", "Exit codes", "ECG_MONITOR_SOURCE"):
        assert word in shown
    assert here("--version").out.startswith("ecg-monitor ")
    assert "--help-sim" in here("--help").out
    listed = here("--help-sim")
    assert listed.code == 0
    assert "\n  capture_lost " in listed.out
    for words in ([], ["watch"], ["alarms", "show"]):
        assert here(*words, "-h") == here(*words, "--help")
