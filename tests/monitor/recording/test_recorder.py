"""The recording: readable by wfdb at any moment, identical for identical input, one error line for a full disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import RecorderError
from monitor.messages import ModelInfo
from monitor.recording.recorder import BEATS_HEADER, PACER_HEADER, Recorder
from monitor.recording.share import DiskShare
from monitor.recording.wfdb_writer import INVALID, AnnotationFile, SignalFile
from tests.monitor.recording.helpers import beat

MODEL = ModelInfo("flow", "ab" * 32)


def record(folder: Path, bed: str = "p1", **options: object) -> Recorder:
    settings = {"start_time": None, "config": {"alarms": {"alpha": 0.01}}} | options
    return Recorder(folder, bed, 250.0, ("MLII",), model=MODEL, **settings)  # type: ignore[arg-type]


def test_everything_is_read_back(tmp_path: Path) -> None:
    recorder = record(tmp_path, start_time="2024-02-03T10:00:00+00:00")
    mv = np.round(np.sin(np.arange(5000) / 30), 3)
    mv[100:120] = np.nan
    for first in range(0, 5000, 333):
        recorder.signal(first, mv[first : first + 333])
    recorder.beat(beat(250))
    recorder.beat(beat(2500, -99.125, 7.25, anomalous=True, paced=True))
    recorder.beat(beat(2600, None, None, rr_s=None, p_value=None, quality="noisy"))
    recorder.beat(beat(2800, paced=True))
    recorder.pacer((2480, 2780))
    recorder.pacer((3000,))
    recorder.alarm(b'{"schema":"alarm/1"}')
    recorder.event(b'{"schema":"event/1"}')
    recorder.close({"latency_p99_ms": 12.5})

    folder = tmp_path / "p1"
    read = wfdb.rdrecord(str(folder / "signal"))
    np.testing.assert_allclose(read.p_signal[:, 0], mv, atol=1e-9)
    assert (read.fs, read.sig_name, read.units, read.sig_len) == (250, ["MLII"], ["mV"], 5000)
    assert read.base_datetime.isoformat() == "2024-02-03T10:00:00"
    digital = wfdb.rdrecord(str(folder / "signal"), physical=False).d_signal
    assert (read.checksum[0] - int(digital.sum())) % 0x10000 == 0
    assert read.init_value == [int(digital[0, 0])]
    notes = wfdb.rdann(str(folder / "signal"), "ecg")
    assert list(notes.sample) == [250, 2500, 2600, 2800]
    assert notes.symbol == ["N", "Q", "?", "/"]
    assert notes.aux_note == ["-12.5000", "-99.1250", "", "-12.5000"]
    assert notes.fs == 250
    assert (folder / "beats.csv").read_text() == (
        f"{BEATS_HEADER}\n250,1.000000,0.800000,-12.5000,1.5000,0.250000,0,good,0\n"
        "2500,10.000000,0.800000,-99.1250,7.2500,0.250000,1,good,1\n2600,10.400000,,,,,0,noisy,0\n"
        "2800,11.200000,0.800000,-12.5000,1.5000,0.250000,0,good,1\n"
    )
    assert (folder / "pacer.csv").read_text() == f"{PACER_HEADER}\n2480,9.920000\n2780,11.120000\n3000,12.000000\n"
    assert (folder / "alarms.jsonl").read_bytes() == b'{"schema":"alarm/1"}\n'
    assert (folder / "events.jsonl").read_bytes() == b'{"schema":"event/1"}\n'
    session = json.loads((folder / "session.json").read_text())
    assert (session["state"], session["latency_p99_ms"]) == ("closed", 12.5)
    assert session["model"] == {"name": "flow", "sha256": "ab" * 32}
    assert session["config"] == {"alarms": {"alpha": 0.01}}
    assert session["recorded"] == {
        "samples": 5000, "invalid_samples": 20, "clipped_samples": 0,
        "beats": 4, "pacer_pulses": 3, "alarms": 1, "events": 1, "gaps": 0, "lost_samples": 0, "refused": 0,
    }  # fmt: skip


def test_sample_numbers_hold_across_gaps_and_a_late_start(tmp_path: Path) -> None:
    recorder = record(tmp_path, start_time="2024-12-31T23:59:50+00:00")
    recorder.signal(5000, np.full(100, 0.5))
    recorder.gap(5100, 200_000)
    recorder.signal(205_100, np.full(50, -0.5))
    recorder.signal(205_160, np.full(40, 0.25))  # a jump without a gap event is filled as well
    recorder.beat(beat(205_110))
    recorder.close()
    mv = wfdb.rdrecord(str(tmp_path / "p1" / "signal")).p_signal[:, 0]
    pieces = [(0.5, 100), (np.nan, 200_000), (-0.5, 50), (np.nan, 10), (0.25, 40)]
    np.testing.assert_array_equal(mv, np.concatenate([np.full(n, value) for value, n in pieces]))
    assert list(wfdb.rdann(str(tmp_path / "p1" / "signal"), "ecg").sample) == [200_110]
    assert (tmp_path / "p1" / "beats.csv").read_text().splitlines()[1].startswith("205110,820.440000,")
    session = json.loads((tmp_path / "p1" / "session.json").read_text())
    assert session["first_sample"] == 5000
    assert (session["recorded"]["gaps"], session["recorded"]["lost_samples"]) == (1, 200_000)
    header = wfdb.rdheader(str(tmp_path / "p1" / "signal"))
    assert header.base_datetime.isoformat() == "2025-01-01T00:00:10", "sample 5000 at 250 Hz"


def test_the_cut_of_the_signal_changes_no_byte(tmp_path: Path) -> None:
    mv = np.random.default_rng(1).normal(0, 1, 2000)
    for bed, size in (("a", 2000), ("b", 1), ("c", 77)):
        recorder = record(tmp_path, bed)
        for first in range(0, 2000, size):
            recorder.signal(first, mv[first : first + size])
            recorder.signal(min(2000, first + size), np.empty(0))
        recorder.beat(beat(1000))
        recorder.close()
    for name in ("signal.dat", "signal.hea", "signal.ecg", "beats.csv"):
        assert len({(tmp_path / bed / name).read_bytes() for bed in "abc"}) == 1


@pytest.mark.parametrize("offset_mv", [0.0, -5.86, 300.0, -290.0])
@pytest.mark.parametrize("rails_mv", [None, (-400.0, 400.0)])
def test_an_electrode_offset_neither_clips_nor_blurs(
    tmp_path: Path, offset_mv: float, rails_mv: tuple[float, float] | None
) -> None:
    recorder = record(tmp_path, rails_mv=(rails_mv,))
    mv = offset_mv + 3 * np.sin(np.arange(1000) / 30)
    recorder.signal(0, np.concatenate([np.full(10, np.nan), mv]))
    recorder.close()
    read = wfdb.rdrecord(str(tmp_path / "p1" / "signal"))
    np.testing.assert_allclose(read.p_signal[10:, 0], mv, atol=0.5 / read.adc_gain[0] + 1e-9)
    assert np.isnan(read.p_signal[:10]).all()
    assert read.adc_gain[0] == (1000 if rails_mv is None else 75)


def test_samples_outside_the_range_are_clipped_and_counted(tmp_path: Path) -> None:
    recorder = record(tmp_path)
    recorder.signal(0, np.array([0.0, 40.0, -40.0, np.inf, 1.0]))
    recorder.close()
    mv = wfdb.rdrecord(str(tmp_path / "p1" / "signal")).p_signal[:, 0]
    np.testing.assert_allclose(mv, [0, 32.767, -32.767, np.nan, 1], atol=1e-9)
    assert json.loads((tmp_path / "p1" / "session.json").read_text())["recorded"]["clipped_samples"] == 2


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.integers(0, 1030), st.integers(0, 200_000), st.just(70_000_000)),
            st.sampled_from("NQ?"),
            st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=9),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_annotations_are_complete_after_each(
    tmp_path_factory: pytest.TempPathFactory, notes: list[tuple[int, str, str]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "note.ecg"
    path.unlink(missing_ok=True)
    file = AnnotationFile(path)
    sample, expected = 0, []
    for interval, symbol, text in notes:
        sample += interval
        file.add(sample, symbol, text)
        expected.append((sample, symbol, text))
        if len(expected) in (1, len(notes) // 2, len(notes)):
            read = wfdb.rdann(str(path.with_suffix("")), "ecg")
            assert list(zip(read.sample.tolist(), read.symbol, read.aux_note, strict=True)) == expected
    file.close()


def test_annotations_are_byte_for_byte_those_of_wfdb(tmp_path: Path) -> None:
    samples, symbols = np.array([10, 300, 5000, 900_000]), ["N", "Q", "?", "N"]
    texts = ["-1.5", "-22.125", "", "-3.0"]
    wfdb.wrann("theirs", "ecg", samples, symbols, aux_note=texts, write_dir=str(tmp_path))
    file = AnnotationFile(tmp_path / "ours.ecg")
    for sample, symbol, text in zip(samples.tolist(), symbols, texts, strict=True):
        file.add(sample, symbol, text)
    file.close()
    assert (tmp_path / "ours.ecg").read_bytes() == (tmp_path / "theirs.ecg").read_bytes()


def test_misuse_is_a_value_error(tmp_path: Path) -> None:
    recorder = record(tmp_path)
    with pytest.raises(ValueError, match="before any signal"):
        recorder.beat(beat(5))
    recorder.signal(0, np.zeros(100))
    with pytest.raises(ValueError, match="50 samples from there on are written"):
        recorder.signal(50, np.zeros(10))
    recorder.beat(beat(50))
    with pytest.raises(ValueError, match="before the last one"):
        recorder.beat(beat(40))
    recorder.close()
    for bed in ("", "..", "a/b"):
        with pytest.raises(ValueError, match="no folder name"):
            record(tmp_path, bed)
    file = AnnotationFile(tmp_path / "x.ecg")
    with pytest.raises(ValueError, match="symbol 'X'"):
        file.add(1, "X")
    with pytest.raises(ValueError, match="256 characters"):
        file.add(1, "N", "x" * 256)
    file.close()


def test_a_folder_in_use_or_that_cannot_be_created_is_refused(tmp_path: Path) -> None:
    record(tmp_path).close()
    before = {file.name: file.read_bytes() for file in (tmp_path / "p1").iterdir()}
    with pytest.raises(RecorderError, match=r"p1: the folder is not empty; name another one or move it away"):
        record(tmp_path)
    assert {file.name: file.read_bytes() for file in (tmp_path / "p1").iterdir()} == before
    (tmp_path / "file").write_text("")
    with pytest.raises(RecorderError, match=f"recording to {tmp_path / 'file' / 'p1'}: Not a directory"):
        record(tmp_path / "file")


KILLED = """
import sys, numpy as np
from pathlib import Path
from monitor.messages import ModelInfo
from monitor.recording.recorder import Recorder
from tests.monitor.recording.helpers import beat
recorder = Recorder(Path(sys.argv[1]), "p1", 250.0, ("II",), "2024-01-01T00:00:00+00:00", {}, ModelInfo("m", "0"))
for i in range(10_000_000):
    recorder.signal(250 * i, np.full(250, (i % 1000) / 1000))
    recorder.beat(beat(250 * i + 100, -float(i), anomalous=i % 2 == 1))
    recorder.alarm(b'{"second":%d}' % i)
    if i % 50 == 0:
        print(i, flush=True)
"""


@pytest.mark.posix
@pytest.mark.parametrize("seconds", [50, pytest.param(300, marks=pytest.mark.slow)])
def test_all_rows_survive_kill_9(tmp_path: Path, seconds: int) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= seconds:
                break
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    folder = tmp_path / "p1"
    mv = wfdb.rdrecord(str(folder / "signal")).p_signal[:, 0]
    notes = wfdb.rdann(str(folder / "signal"), "ecg")
    rows = (folder / "beats.csv").read_bytes().splitlines(keepends=True)[1:]
    alarms = (folder / "alarms.jsonl").read_bytes().splitlines(keepends=True)
    n = len(alarms)
    assert n >= seconds
    # A kill between two writes: files written earlier may be one row ahead, and no row is cut.
    assert n <= len(rows) <= len(notes.sample) <= mv.size // 250 <= n + 1
    # A kill within a write may cut it at a page of the disk: then the last second is partly there.
    np.testing.assert_array_equal(mv, np.repeat(np.arange(mv.size // 250 + 1) % 1000 / 1000, 250)[: mv.size])
    assert list(notes.sample) == [250 * i + 100 for i in range(len(notes.sample))]
    assert notes.aux_note[-1] == f"-{len(notes.sample) - 1}.0000"
    assert all(line.endswith(b"\n") for line in rows + alarms)
    assert json.loads((folder / "session.json").read_text())["state"] == "recording"


FULL = """
import resource, sys, numpy as np
from pathlib import Path
from monitor.messages import ModelInfo
from monitor.recording.recorder import Recorder, RecorderError
from tests.monitor.recording.helpers import beat
recorder = Recorder(Path(sys.argv[1]), "p1", 250.0, ("II",), None, {}, ModelInfo("m", "0"))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_001, 100_001))
try:
    for i in range(1000):
        recorder.signal(250 * i, np.full(250, 0.5))
        recorder.beat(beat(250 * i + 100))
except RecorderError as error:
    print(i, error)
try:
    recorder.alarm(b"{}")
except RecorderError as error:
    print(error)
recorder.close()
"""


def test_a_full_disk_is_one_line_and_leaves_whole_files(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    seconds, message = first.split(" ", 1)
    assert message.startswith(f"recording to {tmp_path / 'p1'}: File too large; free space")
    assert "stopped" in second
    mv = wfdb.rdrecord(str(tmp_path / "p1" / "signal")).p_signal[:, 0]
    assert mv.size == 250 * int(seconds) == 50_000, "the piece that did not fit is removed"
    assert len(wfdb.rdann(str(tmp_path / "p1" / "signal"), "ecg").sample) == int(seconds)


@pytest.mark.posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_full_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_open = os.open

    def open_full(path: str | Path, flags: int, *mode: int) -> int:
        if Path(path).name == "alarms.jsonl":
            return real_open("/dev/full", os.O_WRONLY)
        return real_open(path, flags, *mode)

    monkeypatch.setattr(os, "open", open_full)
    recorder = record(tmp_path)
    with pytest.raises(RecorderError, match="No space left on device"):
        recorder.alarm(b"{}")
    recorder.close()


FULL_OF_NOTES = """
import resource, sys
from pathlib import Path
from monitor.recording.wfdb_writer import AnnotationFile
file = AnnotationFile(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    for i in range(1000):
        file.add(1000 * i, "N", "-1.25")
except OSError:
    print(i)
"""


@pytest.mark.parametrize("limit", [203, *(pytest.param(n, marks=pytest.mark.slow) for n in (200, 201, 205, 206))])
def test_annotations_stay_complete_on_a_full_disk(tmp_path: Path, limit: int) -> None:
    path = tmp_path / "note.ecg"
    done = subprocess.run(
        [sys.executable, "-c", FULL_OF_NOTES, str(path), str(limit)], capture_output=True, text=True, check=True
    )
    read = wfdb.rdann(str(path.with_suffix("")), "ecg")
    assert len(read.sample) == int(done.stdout) > 10
    assert set(read.aux_note) == {"-1.25"}


def test_an_empty_recording_closes_in_order(tmp_path: Path) -> None:
    recorder = record(tmp_path)
    recorder.close()
    recorder.close({"late": True})
    session = json.loads((tmp_path / "p1" / "session.json").read_text())
    assert session["first_sample"] is None
    assert "late" not in session
    assert wfdb.rdheader(str(tmp_path / "p1" / "signal")).fs == 250


def test_all_invalid_is_no_signal_and_no_crash(tmp_path: Path) -> None:
    file = SignalFile(tmp_path, fs_hz=360, leads=(" V1\n lead ",))
    file.append([np.full(500, np.nan)])
    file.write_header(final=True)
    file.close()
    read = wfdb.rdrecord(str(tmp_path / "signal"), physical=False)
    assert (read.d_signal == INVALID).all()
    assert read.sig_name == ["V1 lead"]


def test_a_long_gap_costs_no_disk_and_begins_a_record(tmp_path: Path) -> None:
    """Each record is whole, with its own first sample, time and annotations; beats from before the gap stay there."""
    recorder = record(tmp_path, start_time="2024-02-03T10:00:00+00:00")
    day = 86_400 * 250
    mv = np.round(np.sin(np.arange(1000) / 30), 3)
    for number in range(3):
        first = number * day
        recorder.signal(first, mv)
        if number:
            recorder.beat(beat((number - 1) * day + 900))
        recorder.beat(beat(first + 250))
    recorder.signal(2 * day + 1500, mv)  # a short gap is filled
    recorder.close()
    folder = tmp_path / "p1"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 50_000
    session = json.loads((folder / "session.json").read_text())
    records = [(part["record"], part["first_sample"]) for part in session["segments"]]
    assert records == [("signal", 0), ("signal_2", day), ("signal_3", 2 * day)]
    assert session["recorded"]["samples"] == 4500
    assert session["recorded"]["invalid_samples"] == 500
    for number, (name, _) in enumerate(records):
        read = wfdb.rdrecord(str(folder / name))
        np.testing.assert_allclose(read.p_signal[:1000, 0], mv, atol=1e-9)
        assert read.base_datetime.isoformat() == f"2024-02-0{3 + number}T10:00:00"
        annotated = wfdb.rdann(str(folder / name), "ecg")
        assert annotated.sample.tolist() == ([250, 900] if number < 2 else [250])


def test_a_source_that_jumps_at_each_message_ends_its_recording(tmp_path: Path) -> None:
    recorder = record(tmp_path)
    day = 86_400 * 250
    for number in range(1000):
        recorder.signal(number * day, np.zeros(10))
    with pytest.raises(RecorderError, match="more than 1000 long gaps"):
        recorder.signal(1000 * day, np.zeros(10))
    recorder.close()
    assert sum(path.stat().st_size for path in (tmp_path / "p1").iterdir()) < 1_000_000
    assert wfdb.rdrecord(str(tmp_path / "p1" / "signal_1000")).sig_len == 10


@pytest.mark.posix
@pytest.mark.parametrize("how", ["moved", "deleted", "replaced"])
def test_a_folder_that_vanishes_is_noticed(tmp_path: Path, how: str) -> None:
    recorder = record(tmp_path / "session")
    recorder.check()
    if how == "deleted":
        shutil.rmtree(tmp_path / "session")
    else:
        (tmp_path / "session").rename(tmp_path / "elsewhere")
    if how == "replaced":
        shutil.copytree(tmp_path / "elsewhere", tmp_path / "session")
    with pytest.raises(RecorderError, match="was moved or deleted"):
        recorder.check()
    recorder.close()


def test_a_bed_writes_no_more_than_its_share(tmp_path: Path) -> None:
    """What goes beyond is counted; within the share again, sample numbers hold, and all files can be read."""
    now = [0.0]
    share = DiskShare(250.0, lambda: now[0])
    recorder = record(tmp_path, share=share)
    flood = np.zeros(1_000_000)
    for number in range(100):
        recorder.signal(number * flood.size, flood)
        recorder.alarm(b"x" * 100_000)
        recorder.beat(beat(number * flood.size + 10))
        recorder.pacer((number * flood.size,))
    folder = tmp_path / "p1"
    assert share.refused > 100
    assert sum(path.stat().st_size for path in folder.iterdir()) < 68_000_000
    now[0] = 600.0
    recorder.signal(100 * flood.size, np.full(100, 0.5))
    assert not share.refused
    recorder.beat(beat(100 * flood.size + 10))
    recorder.close()
    session = json.loads((folder / "session.json").read_text())
    last = session["segments"][-1]
    read = wfdb.rdrecord(str(folder / last["record"]), sampfrom=100 * flood.size - last["first_sample"])
    np.testing.assert_allclose(read.p_signal[:, 0], 0.5)
    assert session["recorded"]["refused"] > 200


def test_a_bed_in_a_bad_hour_stays_within_its_share() -> None:
    now = [0.0]
    share = DiskShare(250.0, lambda: now[0])
    for second in range(100 * 3600):
        now[0] = float(second)
        assert share.take(500 + 5 * 100 + 5 * 1300), "signal, 5 beats and 5 messages each second"
