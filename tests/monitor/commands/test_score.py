"""`ecg-monitor score`: broken records, kill -9 and resume, two runs at once, a dead worker, errors."""

from __future__ import annotations

import contextlib
import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pexpect
import pyarrow.parquet as parquet
import pytest

from monitor.archive.beat_table import COLUMNS
from monitor.archive.overview import ROW_COLUMNS
from monitor.archive.records import find_records
from monitor.archive.results import BEATS, Results
from tests import ROOT
from tests.monitor.archive.helpers import alive, children_of, summary_of, write_record
from tests.monitor.commands.conftest import Here
from tests.monitor.commands.helpers import COMMAND, ecg_monitor, environment

PATIENCE_S = 90.0
SHORT = "sinus=20,vt=4,sinus=12"
LONG = "sim:sinus=1800"  # some seconds of work: time to be killed


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for a true value and return it."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline_s, f"waited {PATIENCE_S} s for {what}"
        time.sleep(0.02)
    return found


def start(*arguments: str, **extra: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        (*COMMAND, "score", *arguments), env=environment(**extra), stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def shorts(n: int) -> list[str]:
    return [f"sim:{SHORT};seed={seed}" for seed in range(1, n + 1)]


def stamps(out: Path) -> dict[str, tuple[int, int]]:
    """Inode and modification time of each result file."""
    found = {}
    for name in Results(out).names():
        for file in (out / name).rglob("*"):
            stat = file.stat()
            found[str(file.relative_to(out))] = stat.st_ino, stat.st_mtime_ns
    return found


def assert_complete(out: Path, name: str) -> None:
    summary = summary_of(out, name)
    assert parquet.read_metadata(out / name / BEATS).num_rows == summary.beats
    assert {file.name for file in (out / name / "strips").iterdir()} == {Path(s.file).name for s in summary.strips}


def test_broken_records_do_not_stop_the_others(tmp_path: Path, here: Here) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    for name in ("a", "b", "c"):
        write_record(archive / name, SHORT)
    (archive / "b.dat").unlink()
    (archive / "d.hea").write_text("not a header\n")
    (archive / "e.edf").write_bytes(b"not EDF")
    done = here("score", str(archive), "--out", str(out), "--processes", "1", "--strips", "1")
    assert done.code == 3
    lines = done.err.splitlines()
    assert len(lines) == 6
    assert all(line.startswith("ecg-monitor: ") for line in lines)
    assert "2 scored, 0 scored before, 3 failed" in lines[-1]
    assert [sum(f"{archive}/{name}" in line for line in lines) for name in "abcde"] == [1] * 5
    assert Results(out).names() == ["a", "c"]
    for name in ("a", "c"):
        assert_complete(out, name)
        schema = parquet.read_schema(out / name / BEATS)
        columns = [(field.name, str(field.type), field.metadata[b"description"].decode()) for field in schema]
        assert columns == list(COLUMNS)
        assert name in done.out
    with (out / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    table = parquet.read_table(out / "summary.parquet")
    assert [row["name"] for row in rows] == table["name"].to_pylist() == ["a", "c"]
    assert list(rows[0]) == table.column_names == [name for name, _, _ in ROW_COLUMNS]
    assert rows[0]["abnormal"] == str(summary_of(out, "a").abnormal)
    assert summary_of(out, "a").command[1:3] == ("score", str(archive))


@pytest.mark.slow
def test_a_killed_run_leaves_only_complete_results_and_the_next_continues(tmp_path: Path) -> None:
    records = [*shorts(3), LONG]
    arguments = (*records, "--out", str(tmp_path), "--processes", "2")
    first = start(*arguments)
    long_part = tmp_path / ".score"
    until(
        lambda: len(Results(tmp_path).names()) == 3 and list(long_part.glob("sim-sinus-1800*.part")),
        "the start of the long record",
    )
    workers = children_of(first.pid)
    first.kill()
    first.communicate()
    assert len(workers) >= 2
    until(lambda: not any(map(alive, workers)), "the end of its workers")
    names = Results(tmp_path).names()
    assert len(names) == 3
    for name in names:
        assert_complete(tmp_path, name)
    before = stamps(tmp_path)

    second = start(*arguments)  # ended by Ctrl-C
    assert second.stderr is not None
    lines = [second.stderr.readline() for _ in range(3)]
    assert all("scored before" in line for line in lines)
    workers = until(lambda: children_of(second.pid), "a worker")
    second.send_signal(signal.SIGINT)
    _, err = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 3
    assert "0 scored, 3 scored before, 0 failed, 1 not started: repeat the command to continue" in err.splitlines()[-1]
    assert "Traceback" not in err
    until(lambda: not any(map(alive, workers)), "the end of its workers")
    assert stamps(tmp_path) == before

    done = ecg_monitor("score", *arguments)
    assert done.returncode == 0
    assert "1 scored, 3 scored before, 0 failed" in done.stderr.splitlines()[-1]
    assert len(Results(tmp_path).names()) == 4
    assert {file: stamp for file, stamp in stamps(tmp_path).items() if file in before} == before
    assert not list(long_part.glob("*.part"))


@pytest.mark.slow
def test_two_runs_at_once_score_each_record_once(tmp_path: Path) -> None:
    records = shorts(8)
    runs = [start(*order, "--out", str(tmp_path), "--processes", "1") for order in (records, records[::-1])]
    errors = [run.communicate(timeout=PATIENCE_S)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], errors
    scored = [
        line.split("ecg-monitor: ")[1].split(" ", 1)[1]
        for err in errors
        for line in err.splitlines()
        if " beats of " in line
    ]
    assert sorted(line.split(": ")[0] for line in scored) == sorted(records)
    assert all("0 failed" in err for err in errors)
    assert len(Results(tmp_path).names()) == 8
    for name in Results(tmp_path).names():
        assert_complete(tmp_path, name)


@pytest.mark.slow
def test_a_record_locked_by_another_run_is_tried_again(tmp_path: Path) -> None:
    taken, free = (record.name for record in find_records(shorts(2)))
    results = Results(tmp_path)
    with results.lock(taken) as ours:
        assert ours
        run = start(*shorts(2), "--out", str(tmp_path), "--processes", "1")
        until(lambda: results.names() == [free], "the free record")
    _, err = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 0, err
    assert "2 scored, 0 scored before, 0 failed" in err.splitlines()[-1]
    assert set(results.names()) == {taken, free}


def workers_with_lock(run: subprocess.Popen[str], name: str) -> list[int]:
    """Processes of a run that hold the lock of a record."""
    found = []
    for child in children_of(run.pid):
        with contextlib.suppress(OSError):  # the process or the file does not exist any more
            files = [str(file.readlink()) for file in Path(f"/proc/{child}/fd").iterdir()]
            found += [child] * any(file.endswith(f"/{name}.lock") for file in files)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("deaths", "code"), [(1, 0), (2, 3)])
def test_the_record_of_a_dead_worker_is_tried_once_more(tmp_path: Path, deaths: int, code: int) -> None:
    run = start(LONG, *shorts(2), "--out", str(tmp_path), "--processes", "1")
    (name,) = (record.name for record in find_records([LONG]))
    for _ in range(deaths):
        (worker,) = until(lambda: workers_with_lock(run, name), "the start of the long record")
        os.kill(worker, signal.SIGKILL)
        until(lambda gone=worker: gone not in workers_with_lock(run, name), "its end")
    _, err = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == code, err
    assert (f"{LONG}: the process that scored it was killed by SIGKILL" in err) == (deaths == 2)
    assert f"{4 - deaths} scored, 0 scored before, {deaths - 1} failed" in err.splitlines()[-1]


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_terminal_shows_a_progress_bar(tmp_path: Path) -> None:
    arguments = [*COMMAND[1:], "score", *shorts(2), "csv:" + str(ROOT / "README.md"), "--fs", "250", "--out"]
    run = pexpect.spawn(
        COMMAND[0], [*arguments, str(tmp_path)], env=environment(TERM="xterm"), dimensions=(24, 200), encoding="utf-8"
    )
    run.expect("0/3", timeout=PATIENCE_S)
    run.expect("README.md: the text holds no number", timeout=PATIENCE_S)
    run.expect("3/3", timeout=PATIENCE_S)
    run.expect("2 scored, 0 scored before, 1 failed", timeout=PATIENCE_S)
    run.expect(pexpect.EOF, timeout=PATIENCE_S)
    run.close()
    assert run.exitstatus == 3


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["serial"], "serial: a live source has no end"),
        (["nothing.edf"], "nothing.edf: no such file"),
        (["sim:sinus=20", "--model", "none.onnx"], "model none.onnx: No such file"),
        (["sim:sinus=20", "--mains", "40"], "--mains 40: give auto, off, 50 or 60"),
        (["sim:sinus=20", "--out", "/proc/nothing"], "--out /proc/nothing: No such file or directory"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], expected: str, tmp_path: Path, here: Here) -> None:
    done = here("score", "--out", str(tmp_path / "out"), *arguments)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert expected in done.err


@pytest.mark.parametrize(("package", "extra", "flags"), [("pyarrow", "archive", []), ("ray", "cluster", ["--ray"])])
def test_a_missing_package_is_named_with_its_extra(
    package: str, extra: str, flags: list[str], tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # `import` then raises ImportError
    done = here("score", "sim:sinus=20", "--out", str(tmp_path / "out"), *flags)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert f"pip install 'ecg-monitor[{extra}]'" in done.err


@pytest.mark.slow
def test_a_ray_cluster_scores_the_same(tmp_path: Path, here: Here) -> None:
    records = shorts(3)
    done = ecg_monitor(
        "score", *records, "--out", str(tmp_path / "ray"), "--ray", "--processes", "2", RAY_TMPDIR="/tmp"
    )
    assert done.returncode == 0, done.stderr
    assert "3 scored, 0 scored before, 0 failed" in done.stderr.splitlines()[-1]
    assert here("score", *records, "--out", str(tmp_path / "here"), "--processes", "1").code == 0
    for name in Results(tmp_path / "here").names():
        assert_complete(tmp_path / "ray", name)
        tables = [parquet.read_table(tmp_path / side / name / BEATS) for side in ("ray", "here")]
        assert tables[0].equals(tables[1])
        assert summary_of(tmp_path / "ray", name).fingerprint == summary_of(tmp_path / "here", name).fingerprint


def test_docs_describe_every_column() -> None:
    page = (ROOT / "docs" / "many-beds.md").read_text(encoding="utf-8")
    for columns in (COLUMNS, ROW_COLUMNS):
        rows = [
            f"| `{name}` | {kind.replace('<element: string>', ' of string')} | {text} |" for name, kind, text in columns
        ]
        assert "\n".join(rows) in page
