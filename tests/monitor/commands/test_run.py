"""The ecg-monitor command in a process of its own, as a user meets it."""

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
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import wfdb
import zmq

from tests.monitor.commands.helpers import COMMAND, FREE_BUS, ecg_monitor, environment, free_endpoint
from tests.monitor.engine.helpers import breaking_record
from tests.monitor.sources.helpers import wait_for

QUIET = ("--no-dashboard", *FREE_BUS)


def onsets(output: str) -> list[str]:
    """Kinds of the alarms printed at their onset, in order."""
    return [line.split()[3] for line in output.splitlines() if len(line.split()) > 4 and line.split()[4] == "onset"]


def test_the_embedded_scenario_gives_each_of_its_alarms_once() -> None:
    done = ecg_monitor("--duration", "60", "--speed", "max", *QUIET)
    assert done.returncode == 0, done.stderr
    counts = Counter(onsets(done.stdout))
    once = ("ventricular_run", "pause", "asystole", "poor_signal", "leads_off")
    assert {kind: counts[kind] for kind in once} == dict.fromkeys(once, 1)
    assert counts["anomalous_beat"] >= 1  # premature beats, grouped
    assert 1 <= counts["anomaly_run"] <= 2  # the ventricular run, and where it is seen, atrial fibrillation
    assert set(counts) == {*once, "anomalous_beat", "anomaly_run"}, "nothing else happens to this patient"
    told = [tuple(line.split()[i] for i in (3, 6)) for line in done.stdout.splitlines() if " onset " in line]
    assert len(told) == len(set(told)), "an alarm was told twice"
    assert "60.0 s watched" in done.stdout
    assert "not a medical device" in done.stdout


def replay(folder: Path, *arguments: str) -> tuple[str, list[dict[str, object]]]:
    """beats.csv, and alarms.jsonl less what names the run or the wall clock."""
    done = ecg_monitor(*arguments, *QUIET, "--record", str(folder))
    assert done.returncode == 0, done.stderr
    alarms = [json.loads(line) for line in (folder / "p1" / "alarms.jsonl").read_text().splitlines()]
    for alarm in alarms:
        for key in ("epoch", "time", "latency_ms"):
            alarm.pop(key)
    return (folder / "p1" / "beats.csv").read_text(), alarms


@pytest.mark.parametrize("source", ["sim", "mitdb:200"])
def test_a_replay_at_any_speed_gives_the_same_files(tmp_path: Path, source: str, data_folder: Path) -> None:
    span = ("--source", source, "--duration", "75")
    fast = replay(tmp_path / "fast", *span, "--speed", "max")
    slow = replay(tmp_path / "slow", *span, "--speed", "50")
    assert fast[0] == slow[0]
    assert fast[1] == slow[1]
    assert fast[0].count("\n") > 50
    assert fast[1]


def test_record_208_is_watched_well(tmp_path: Path, data_folder: Path) -> None:
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
    ("arguments", "said"),
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
def test_bad_input_is_one_line_and_exit_code_2(arguments: tuple[str, ...], said: str, data_folder: Path) -> None:
    done = ecg_monitor("--no-dashboard", "--speed", "max", *([] if "--bus" in arguments else FREE_BUS), *arguments)
    assert done.returncode == 2, (done.stdout, done.stderr)
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert said in lines[0]
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = ecg_monitor("--no-dashboard", "--bus", f"tcp://127.0.0.1:{port}")
    assert done.returncode == 2
    assert f"127.0.0.1:{port}" in done.stderr
    assert "in use" in done.stderr


def test_flags_beat_environment_beats_file(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[source]\nbed = "from_file"\nspeed = 0\nduration_s = 5\n')
    arguments = ("--config", str(config), *QUIET)
    assert "from_file:" in ecg_monitor(*arguments).stdout
    assert "from_env:" in ecg_monitor(*arguments, ECG_MONITOR_BED="from_env").stdout
    assert "from_flag:" in ecg_monitor(*arguments, "--bed", "from_flag", ECG_MONITOR_BED="from_env").stdout


def test_help_and_version_load_neither_torch_nor_neurokit2() -> None:
    code = (
        "import sys; from monitor.__main__ import main; sys.argv = ['ecg-monitor', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'neurokit2', 'scipy', 'numpy', 'onnxruntime', 'zmq') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert done.stdout.splitlines()[-1] == "[]"
    for word in ("--source", "--record", "watch", "tail", "Exit codes", "ECG_MONITOR_SOURCE"):
        assert word in done.stdout
    assert ecg_monitor("--version").stdout.startswith("ecg-monitor ")


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    process, endpoint = started("--speed", "20", "--record", str(tmp_path))
    context = zmq.Context()
    try:
        sub = context.socket(zmq.SUB)
        sub.connect(endpoint)
        sub.subscribe(b"v1/monitor/heartbeat/")  # also from the beginning: a later wish may come after the goodbye
        sub.subscribe(b"v1/p1/beat/")
        states: list[str] = []
        told = False
        while "goodbye" not in states:
            assert sub.poll(20_000), f"no beat, or no goodbye: {states}"
            topic, body = sub.recv_multipart()
            if topic == b"v1/monitor/heartbeat/":
                states.append(json.loads(body)["state"])
            elif not told:
                process.send_signal(number)
                told = True
        assert process.wait(20) == 0
    finally:
        context.destroy(linger=0)
        process.kill()
        process.communicate()
    session = json.loads((tmp_path / "p1" / "session.json").read_text())
    assert session["state"] == "closed"
    assert session["session"]["samples_in"] > 0


def test_a_late_plain_subscriber_gets_the_active_alarms_at_once() -> None:
    process, endpoint = started("--source", "sim:sinus=15,asystole=7,sinus=600", "--speed", "30")
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if " asystole " in line and " latched " in line:
                break
        tool = Path(__file__).parents[3] / "tools" / "subscribe.py"
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


def test_it_ends_in_order_when_nobody_reads_its_lines(tmp_path: Path) -> None:
    process, _ = started("--speed", "50", "--record", str(tmp_path))
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        process.stdout.close()  # as `ecg-monitor | head` does
        assert process.wait(60) == 0
        assert process.stderr.read() == ""
    assert json.loads((tmp_path / "p1" / "session.json").read_text())["state"] == "closed"


def test_where_its_lines_cannot_be_written_it_watches_on(tmp_path: Path) -> None:
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


def test_a_port_in_use_leaves_nothing_in_the_recording_folder(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        arguments = ("--no-dashboard", "--duration", "5", "--speed", "max", "--record", str(tmp_path))
        assert ecg_monitor(*arguments, "--bus", endpoint).returncode == 2
    assert ecg_monitor(*arguments, *FREE_BUS).returncode == 0


def test_a_source_that_breaks_is_told_once_and_what_it_gave_is_kept(tmp_path: Path) -> None:
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


def test_tail_prints_json_lines_and_ends_with_its_pipe() -> None:
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
        with tail:  # its pipes are closed whatever happens
            _, errors = tail.communicate(timeout=20)
    assert "Traceback" not in errors
    assert "connected" in errors


def test_a_full_disk_stops_the_recording_and_not_the_watching(tmp_path: Path) -> None:
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


def test_kill_9_leaves_a_readable_recording(tmp_path: Path) -> None:
    process, _ = started("--speed", "20", "--record", str(tmp_path))
    beats = tmp_path / "p1" / "beats.csv"
    deadline = time.monotonic() + 60
    while beats.read_text().count("\n") < 30:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.communicate()
    record = wfdb.rdrecord(str(tmp_path / "p1" / "signal"))
    marks = wfdb.rdann(str(tmp_path / "p1" / "signal"), "ecg")
    assert record.sig_len / record.fs >= marks.sample[-1] / record.fs
    assert len(marks.sample) >= 29
    assert json.loads((tmp_path / "p1" / "session.json").read_text())["state"] == "recording"


# -- hours of signal ----------------------------------------------------------------------------------------


def resident_mb(pid: int) -> float:
    status = (Path("/proc") / str(pid) / "status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


@pytest.mark.slow
@pytest.mark.parametrize("recording", [False, True], ids=["journal in memory", "recording"])
def test_memory_does_not_grow_with_time(tmp_path: Path, recording: bool) -> None:
    """An hour and a half of the embedded patient; what is bounded has filled after the first third."""
    hours = 1.5
    arguments = ("--record", str(tmp_path)) if recording else ()
    process, endpoint = started("--speed", "max", "--duration", f"{hours * 3600:g}", *arguments)
    looks: list[tuple[float, float]] = []
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
            with contextlib.suppress(OSError, StopIteration):  # it has gone meanwhile
                looks.append((status["sample"] / status["fs_hz"] / 3600, resident_mb(process.pid)))
                torch = torch or "libtorch" in (Path("/proc") / str(process.pid) / "maps").read_text()
        reader.join(60)
        assert process.returncode == 0
    finally:
        context.destroy(linger=0)
        process.kill()
    first = [mb for hour, mb in looks if hour <= hours / 3]
    rest = [mb for hour, mb in looks if hour > hours / 3]
    assert len(first) >= 3
    assert len(rest) >= 3
    assert max(mb for _, mb in looks) < 400
    assert max(rest) - max(first) < 8, looks
    assert not torch
