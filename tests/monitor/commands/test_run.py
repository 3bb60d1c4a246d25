"""`ecg-monitor` without a dashboard: its output, its files, its exit codes."""

from __future__ import annotations

import contextlib
import csv
import json
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import wfdb
import zmq

from tests import ROOT
from tests.monitor.commands.conftest import Here, Session
from tests.monitor.commands.helpers import COMMAND, FREE_BUS, ecg_monitor, environment, free_endpoint
from tests.monitor.engine.helpers import breaking_record
from tests.monitor.sources.helpers import wait_for

QUIET = ("--no-dashboard", *FREE_BUS)


def onsets(output: str) -> list[str]:
    """Kinds of the alarms printed at their onset, in order."""
    return [line.split()[3] for line in output.splitlines() if len(line.split()) > 4 and line.split()[4] == "onset"]


def session_json(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / "p1" / "session.json").read_text()))


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


def started(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    """A running monitor and its alarm endpoint."""
    process = subprocess.Popen(
        [*COMMAND, *QUIET, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("alarms on "):
            return process, line.split()[2]
    raise AssertionError(process.communicate()[1])


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_the_run_in_order(tmp_path: Path, number: signal.Signals) -> None:
    process, endpoint = started("--speed", "20", "--record", str(tmp_path))
    context = zmq.Context()
    try:
        sub = context.socket(zmq.SUB)
        sub.connect(endpoint)
        sub.subscribe(b"v1/monitor/heartbeat/")  # from the start: a later subscription may arrive after the goodbye
        sub.subscribe(b"v1/p1/beat/")
        states: list[str] = []
        sent = False
        while "goodbye" not in states:
            assert sub.poll(20_000), f"no beat, or no goodbye: {states}"
            topic, body = sub.recv_multipart()
            if topic == b"v1/monitor/heartbeat/":
                states.append(json.loads(body)["state"])
            elif not sent:
                process.send_signal(number)
                sent = True
        assert process.wait(20) == 0
    finally:
        context.destroy(linger=0)
        process.kill()
        process.communicate()
    session = json.loads((tmp_path / "p1" / "session.json").read_text())
    assert session["state"] == "closed"
    assert session["session"]["samples_in"] > 0


@pytest.mark.slow
def test_a_late_plain_subscriber_receives_the_active_alarms_at_once() -> None:
    process, endpoint = started("--source", "sim:sinus=15,asystole=7,sinus=600", "--speed", "30")
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if " asystole " in line and " latched " in line:
                break
        tool = ROOT / "tools" / "examples" / "subscribe.py"
        subscriber = subprocess.Popen(
            [sys.executable, str(tool), endpoint], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert subscriber.stdout is not None
        try:
            assert "asystole" in subscriber.stdout.readline()
        finally:
            subscriber.kill()
            subscriber.communicate()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_a_closed_pipe_ends_the_run_in_order(tmp_path: Path) -> None:
    process, _ = started("--speed", "50", "--record", str(tmp_path))
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        process.stdout.close()  # as `ecg-monitor | head` does
        assert process.wait(60) == 0
        assert process.stderr.read() == ""
    assert session_json(tmp_path)["state"] == "closed"


@pytest.mark.slow
def test_a_full_disk_on_standard_output_does_not_end_the_run(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        arguments = ("--duration", "30", "--speed", "max", "--record", str(tmp_path))
        done = subprocess.run(
            [*COMMAND, *QUIET, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, env=environment()
        )
    assert done.returncode == 3
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "standard output" in done.stderr
    session = json.loads((tmp_path / "p1" / "session.json").read_text())
    assert session["session"]["samples_in"] == 30 * session["fs_hz"]


@pytest.mark.slow
def test_a_source_that_breaks_is_one_line_and_its_samples_are_kept(tmp_path: Path) -> None:
    record = breaking_record(tmp_path / "source")
    process, _ = started("--source", f"wfdb:{record}", "--speed", "20", "--record", str(tmp_path / "out"))
    with process:
        wait_for(lambda: (tmp_path / "out" / "p1" / "beats.csv").read_text().count("\n") > 3, "beats")
        record.with_suffix(".dat").unlink()
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 3
    assert errors.count("rec") >= 1
    assert len(errors.strip().splitlines()) == 1, errors
    assert "source_lost" in output
    session = json.loads((tmp_path / "out" / "p1" / "session.json").read_text())
    assert session["state"] == "closed"
    assert session["session"]["state"] == "source_lost"
    assert session["session"]["samples_in"] == session["recorded"]["samples"] > 0


@pytest.mark.slow
def test_tail_prints_json_lines_until_ctrl_c() -> None:
    endpoint = free_endpoint()
    process, _ = started("--source", "sim:sinus=15,asystole=7,sinus=600", "--speed", "30", "--bus", endpoint)
    tail = subprocess.Popen(
        [*COMMAND, "tail", "--connect", endpoint], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment(),
    )  # fmt: skip
    assert tail.stdout is not None
    try:
        kinds = [json.loads(tail.stdout.readline())["alarm"]["kind"]]
        while "asystole" not in kinds:
            kinds.append(json.loads(tail.stdout.readline())["alarm"]["kind"])
    finally:
        process.kill()
        process.communicate()
        tail.send_signal(signal.SIGINT)
        with tail:  # closes its pipes
            _, errors = tail.communicate(timeout=20)
    assert "Traceback" not in errors
    assert "connected" in errors


@pytest.mark.slow
def test_a_full_disk_ends_the_recording_but_not_the_run(tmp_path: Path) -> None:
    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = subprocess.run(
        [*COMMAND, *QUIET, "--duration", "120", "--speed", "max", "--record", str(tmp_path), "--journal", ":memory:"],
        capture_output=True, text=True, env=environment(), preexec_fn=small_files, timeout=120,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "120.0 s watched" in done.stdout
    assert str(tmp_path) in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_killed_run_leaves_a_readable_recording(tmp_path: Path) -> None:
    process, _ = started("--speed", "20", "--record", str(tmp_path))
    beats = tmp_path / "p1" / "beats.csv"
    wait_for(lambda: beats.read_text().count("\n") >= 30, "30 beats")
    process.kill()
    process.communicate()
    record = wfdb.rdrecord(str(tmp_path / "p1" / "signal"))
    marks = wfdb.rdann(str(tmp_path / "p1" / "signal"), "ecg")
    assert record.sig_len >= marks.sample[-1]
    assert len(marks.sample) >= 29
    assert session_json(tmp_path)["state"] == "recording"


# -- hours of signal ----------------------------------------------------------------------------------------


def resident_mb(pid: int) -> float:
    status = (Path("/proc") / str(pid) / "status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


@pytest.mark.slow
@pytest.mark.parametrize("recording", [False, True], ids=["journal in memory", "recording"])
def test_memory_does_not_grow_with_time(tmp_path: Path, recording: bool) -> None:
    """An hour and a half of the synthetic patient; bounded buffers are full after the first third."""
    hours = 1.5
    arguments = ("--record", str(tmp_path)) if recording else ()
    process, endpoint = started("--speed", "max", "--duration", f"{hours * 3600:g}", *arguments)
    sizes: list[tuple[float, float]] = []  # (signal, h; resident memory, MB)
    context = zmq.Context()
    try:
        sub = context.socket(zmq.SUB)
        sub.connect(endpoint)
        sub.subscribe(b"v1/p1/status/")
        reader = threading.Thread(target=process.communicate)  # the lines of the alarms
        reader.start()
        torch = False
        while sub.poll(60_000):
            status = json.loads(sub.recv_multipart()[1])
            if status["state"] == "ended":
                break
            with contextlib.suppress(OSError, StopIteration):  # the process has ended
                sizes.append((status["sample"] / status["fs_hz"] / 3600, resident_mb(process.pid)))
                torch = torch or "libtorch" in (Path("/proc") / str(process.pid) / "maps").read_text()
        reader.join(60)
        assert process.returncode == 0
    finally:
        context.destroy(linger=0)
        process.kill()
    first = [mb for hour, mb in sizes if hour <= hours / 3]
    rest = [mb for hour, mb in sizes if hour > hours / 3]
    assert len(first) >= 3
    assert len(rest) >= 3
    assert max(mb for _, mb in sizes) < 400
    assert max(rest) - max(first) < 8, sizes
    assert not torch
