"""`ecg-monitor score`, the real command: resumed after kill -9, shared by two runs, broken records, a dead worker."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pexpect
import pyarrow.parquet as parquet
import pytest

from monitor.archive.beat_table import COLUMNS
from monitor.archive.overview import ROW_COLUMNS
from monitor.archive.records import find_records
from monitor.archive.results import BEATS, Results
from tests.monitor.archive.helpers import alive, children_of, summary_of, write_record
from tests.monitor.commands.helpers import COMMAND, ecg_monitor, environment

PATIENCE_S = 90.0
ROOT = Path(__file__).parents[3]
SHORT = "sinus=20,vt=4,sinus=12"
LONG = "sim:sinus=3600"  # some seconds of work: time enough to be killed in


def until(condition: Callable[[], object], what: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {PATIENCE_S} s for {what}"
        time.sleep(0.02)


def begun(*arguments: str, **extra: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        (*COMMAND, "score", *arguments), env=environment(**extra), stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def shorts(n: int) -> list[str]:
    return [f"sim:{SHORT};seed={seed}" for seed in range(1, n + 1)]


def stamps(out: Path) -> dict[str, tuple[int, int]]:
    """Which files are there, and whether they are still the same ones."""
    found = {}
    for name in Results(out).names():
        for file in (out / name).rglob("*"):
            stat = file.stat()
            found[str(file.relative_to(out))] = stat.st_ino, stat.st_mtime_ns
    return found


def assert_whole(out: Path, name: str) -> None:
    summary = summary_of(out, name)
    assert parquet.read_metadata(out / name / BEATS).num_rows == summary.beats
    assert {file.name for file in (out / name / "strips").iterdir()} == {Path(s.file).name for s in summary.strips}


def test_good_records_are_scored_though_others_are_broken(tmp_path: Path) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    for name in ("a", "b", "c"):
        write_record(archive / name, SHORT)
    (archive / "b.dat").write_bytes(b"\0" * 64)
    (archive / "d.hea").write_text("no header at all\n")
    (archive / "e.edf").write_bytes(b"no EDF")
    done = ecg_monitor("score", str(archive), "--out", str(out), "--processes", "2", "--strips", "1")
    assert done.returncode == 3
    lines = done.stderr.splitlines()
    assert len(lines) == 6
    assert all(line.startswith("ecg-monitor: ") for line in lines)
    assert "2 scored, 0 scored before, 3 failed" in lines[-1]
    assert [sum(f"{archive}/{name}" in line for line in lines) for name in "abcde"] == [1] * 5
    assert Results(out).names() == ["a", "c"]
    for name in ("a", "c"):
        assert_whole(out, name)
        assert name in done.stdout
    with (out / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    table = parquet.read_table(out / "summary.parquet")
    assert [row["name"] for row in rows] == table["name"].to_pylist() == ["a", "c"]
    assert list(rows[0]) == table.column_names == [name for name, _, _ in ROW_COLUMNS]
    assert rows[0]["abnormal"] == str(summary_of(out, "a").abnormal)
    assert summary_of(out, "a").command[1:3] == ("score", str(archive))


def test_a_killed_run_leaves_nothing_half_and_the_next_goes_on(tmp_path: Path) -> None:
    records = [*shorts(3), LONG]
    arguments = (*records, "--out", str(tmp_path), "--processes", "2")
    first = begun(*arguments)
    long_part = tmp_path / ".score"
    until(lambda: len(Results(tmp_path).names()) == 3 and list(long_part.glob("sim-sinus-3600*.part")), "the long one")
    workers = children_of(first.pid)
    first.kill()
    first.communicate()
    assert len(workers) >= 2
    until(lambda: not any(map(alive, workers)), "the workers to die with it")
    names = Results(tmp_path).names()
    assert len(names) == 3
    for name in names:
        assert_whole(tmp_path, name)
    before = stamps(tmp_path)

    second = begun(*arguments)  # ended in order this time, by Ctrl-C
    assert second.stderr is not None
    told = [second.stderr.readline() for _ in range(3)]
    assert all("scored before" in line for line in told)
    until(lambda: children_of(second.pid), "a worker")
    workers = children_of(second.pid)
    second.send_signal(signal.SIGINT)
    _, err = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 3
    assert "0 scored, 3 scored before, 0 failed, 1 not come to: the same command goes on" in err.splitlines()[-1]
    assert "Traceback" not in err
    until(lambda: not any(map(alive, workers)), "every process to be gone")
    assert stamps(tmp_path) == before

    done = ecg_monitor("score", *arguments)
    assert done.returncode == 0
    assert "1 scored, 3 scored before, 0 failed" in done.stderr.splitlines()[-1]
    assert len(Results(tmp_path).names()) == 4
    assert {file: stamp for file, stamp in stamps(tmp_path).items() if file in before} == before
    assert not list(long_part.glob("*.part"))


def test_two_runs_at_once_score_each_record_once(tmp_path: Path) -> None:
    records = shorts(8)
    runs = [begun(*order, "--out", str(tmp_path), "--processes", "1") for order in (records, records[::-1])]
    told = [run.communicate(timeout=PATIENCE_S)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], told
    scored = [
        line.split("ecg-monitor: ")[1].split(" ", 1)[1]
        for err in told
        for line in err.splitlines()
        if " beats of " in line
    ]
    assert sorted(line.split(": ")[0] for line in scored) == sorted(records)
    assert all("0 failed" in err for err in told)
    assert len(Results(tmp_path).names()) == 8
    for name in Results(tmp_path).names():
        assert_whole(tmp_path, name)


def test_a_record_that_another_run_is_at_is_come_back_to(tmp_path: Path) -> None:
    taken, free = (record.name for record in find_records(shorts(2)))
    results = Results(tmp_path)
    with results.lock(taken) as ours:
        assert ours
        run = begun(*shorts(2), "--out", str(tmp_path), "--processes", "1")
        until(lambda: results.names() == [free], "the record that nobody is at")
    _, err = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 0, err
    assert "2 scored, 0 scored before, 0 failed" in err.splitlines()[-1]
    assert set(results.names()) == {taken, free}


def workers_at(run: subprocess.Popen[str], name: str) -> list[int]:
    """Processes of a run that hold the lock of a record now."""
    found = []
    for child in children_of(run.pid):
        with contextlib.suppress(OSError):  # it, or the file, is gone
            files = [str(file.readlink()) for file in Path(f"/proc/{child}/fd").iterdir()]
            found += [child] * any(file.endswith(f"/{name}.lock") for file in files)
    return found


@pytest.mark.parametrize(("deaths", "code"), [(1, 0), (2, 3)])
def test_what_a_dead_worker_had_in_hand_is_tried_alone_and_only_what_kills_again_fails(
    tmp_path: Path, deaths: int, code: int
) -> None:
    run = begun(LONG, *shorts(2), "--out", str(tmp_path), "--processes", "1")
    (name,) = (record.name for record in find_records([LONG]))
    for _ in range(deaths):
        until(lambda: bool(workers_at(run, name)), "the long one to be begun")
        (worker,) = workers_at(run, name)
        os.kill(worker, signal.SIGKILL)
        until(lambda gone=worker: gone not in workers_at(run, name), "its end")
    _, err = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == code, err
    assert (f"{LONG}: the process that scored it was killed by SIGKILL" in err) == (deaths == 2)
    assert f"{4 - deaths} scored, 0 scored before, {deaths - 1} failed" in err.splitlines()[-1]


def test_a_full_disk_is_one_line_and_no_result(tmp_path: Path) -> None:
    command = 'ulimit -f 4; exec "$@"'  # 4 KiB a file
    done = subprocess.run(
        ("bash", "-c", command, "bash", *COMMAND, "score", "sim:sinus=300", "--out", str(tmp_path), "--processes", "1"),
        env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 3
    assert "sim:sinus=300: cannot be written (File too large)" in done.stderr
    assert "Traceback" not in done.stderr
    assert Results(tmp_path).names() == []


def test_on_a_terminal_a_bar_tells_how_far_it_is(tmp_path: Path) -> None:
    arguments = [*COMMAND[1:], "score", *shorts(2), "csv:" + str(ROOT / "README.md"), "--fs", "250", "--out"]
    run = pexpect.spawn(
        COMMAND[0], [*arguments, str(tmp_path)], env=environment(TERM="xterm"), dimensions=(24, 200), encoding="utf-8"
    )
    run.expect("0/3", timeout=PATIENCE_S)
    run.expect("README.md: column .* holds no number", timeout=PATIENCE_S)
    run.expect("3/3", timeout=PATIENCE_S)
    run.expect("2 scored, 0 scored before, 1 failed", timeout=PATIENCE_S)
    run.expect(pexpect.EOF, timeout=PATIENCE_S)
    run.close()
    assert run.exitstatus == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serial"], "score serial: a live source has no end"),
        (["nothing.edf"], "score nothing.edf: no such file"),
        (["sim:sinus=20", "--model", "none.onnx"], "model none.onnx: No such file"),
        (["sim:sinus=20", "--mains", "40"], "--mains: key signal.mains"),
        (["sim:sinus=20", "--out", "/proc/nothing"], "--out /proc/nothing: No such file or directory"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = ecg_monitor("score", "--out", str(tmp_path / "out"), *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr


@pytest.mark.parametrize(("package", "extra", "flags"), [("pyarrow", "archive", []), ("ray", "cluster", ["--ray"])])
def test_a_missing_package_is_named_with_its_extra(package: str, extra: str, flags: list[str], tmp_path: Path) -> None:
    (tmp_path / f"{package}.py").write_text("raise ImportError('not installed here')")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = ecg_monitor("score", "sim:sinus=20", "--out", str(tmp_path / "out"), *flags, PYTHONPATH=path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert f"pip install 'ecg-monitor[{extra}]'" in done.stderr


@pytest.mark.slow
def test_a_ray_cluster_scores_the_same(tmp_path: Path) -> None:
    records = shorts(3)
    done = ecg_monitor(
        "score", *records, "--out", str(tmp_path / "ray"), "--ray", "--processes", "2", RAY_TMPDIR="/tmp"
    )
    assert done.returncode == 0, done.stderr
    assert "3 scored, 0 scored before, 0 failed" in done.stderr.splitlines()[-1]
    assert ecg_monitor("score", *records, "--out", str(tmp_path / "here"), "--processes", "1").returncode == 0
    for name in Results(tmp_path / "here").names():
        assert_whole(tmp_path / "ray", name)
        tables = [parquet.read_table(tmp_path / side / name / BEATS) for side in ("ray", "here")]
        assert tables[0].equals(tables[1])
        assert summary_of(tmp_path / "ray", name).fingerprint == summary_of(tmp_path / "here", name).fingerprint


def test_the_page_describes_every_column() -> None:
    page = (ROOT / "docs" / "archives.md").read_text(encoding="utf-8")
    for columns in (COLUMNS, ROW_COLUMNS):
        rows = [
            f"| `{name}` | {kind.replace('<element: string>', ' of string')} | {told} |" for name, kind, told in columns
        ]
        assert "\n".join(rows) in page


def test_the_schema_of_a_table_tells_its_columns(tmp_path: Path) -> None:
    assert ecg_monitor("score", "sim:sinus=20", "--out", str(tmp_path)).returncode == 0
    (name,) = Results(tmp_path).names()
    schema = parquet.read_schema(tmp_path / name / BEATS)
    told = [(field.name, str(field.type), field.metadata[b"description"].decode()) for field in schema]
    assert told == list(COLUMNS)
    assert json.loads((tmp_path / name / "summary.json").read_text())["source"] == "sim:sinus=20"
