"""EDF files written by edfio: read back equal, or refused in one line."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from edfio import Edf, EdfAnnotation, EdfSignal, Recording
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources import EndOfStream, Source, SourceOptions, open_source
from monitor.sources.files import edf as edf_source
from tests.monitor.sources.helpers import read_a_day, read_signal

STEP_MV = 20 / 65_535  # 16 bits over RANGE
RANGE = (-10.0, 10.0)


def write(
    path: Path,
    *signals: tuple[str, str, NDArray[np.float64]],
    fs_hz: float = 360,
    notes: list[EdfAnnotation] | None = None,
) -> Path:
    made = [
        EdfSignal(mv, fs_hz, label=label, physical_dimension=unit, physical_range=(mv.min() - 1, mv.max() + 1))
        for label, unit, mv in signals
    ]
    recording = Recording(startdate=datetime.date(2024, 2, 29))
    Edf(made, recording=recording, starttime=datetime.time(23, 59, 58), annotations=notes).write(path)
    return path


OPENED: list[Source] = []


def open_edf(path: Path, **options: object) -> Source:
    OPENED.append(open_source(f"edf:{path}", SourceOptions(**options)))  # type: ignore[arg-type]
    return OPENED[-1]


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


WAVE = np.sin(np.arange(3600) / 20)


@pytest.mark.parametrize("notes", [None, [EdfAnnotation(3, 1, "walking")]], ids=["EDF", "EDF+"])
@pytest.mark.parametrize("piece_bytes", [1, 1500, edf_source.PIECE_BYTES])
def test_a_written_signal_is_read_back(
    tmp_path: Path, notes: list[EdfAnnotation] | None, piece_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edf_source, "PIECE_BYTES", piece_bytes)
    fs_hz = 360
    mv = read_signal(open_source("sim:sinus=60", SourceOptions(fs_hz=fs_hz)))[1]
    path = tmp_path / "a.edf"
    made = EdfSignal(mv * 1000, fs_hz, label="MLII", physical_dimension="uV", physical_range=(-10_000, 10_000))
    recording = Recording(startdate=datetime.date(2024, 2, 29))
    Edf([made], recording=recording, starttime=datetime.time(23, 59, 58), annotations=notes).write(path)
    source = open_edf(path)
    assert (source.lead, source.fs_hz, source.live, source.total_samples) == ("MLII", fs_hz, False, mv.size)
    assert source.start_time == "2024-02-29T23:59:58+00:00"
    first, back = read_signal(source, (1, 999, 64))
    assert first == 0
    np.testing.assert_allclose(back, mv, atol=STEP_MV)
    first, part = read_signal(open_edf(path, start_s=20.5, duration_s=7.25))
    assert first == round(20.5 * fs_hz)
    np.testing.assert_array_equal(part, back[first : first + round(7.25 * fs_hz)])


def test_the_default_lead_is_the_first_with_the_label_of_an_ecg(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.edf",
        ("EEG Fpz", "uV", WAVE),
        ("ECG rate", "bpm", WAVE),
        ("EKG", "mV", 2 * WAVE),
        ("V1", "V", WAVE),
    )
    assert open_edf(path).lead == "EKG"
    for options in ({"channel": "V1"}, {"channel": 3}, {"column": 3}):
        source = open_edf(path, **options)
        assert source.lead == "V1"
        np.testing.assert_allclose(read_signal(source)[1], WAVE * 1000, atol=0.1)
    for options, error in (
        ({"channel": "V9"}, "no channel 'V9'; channels: 0 EEG Fpz .*, 1 ECG rate .*, 2 EKG .*, 3 V1"),
        ({"channel": 1}, "is in bpm, which is no voltage"),
    ):
        with pytest.raises(SourceError, match=error):
            open_edf(path, **options)
    np.testing.assert_allclose(read_signal(open_edf(path, unit="uV"))[1], 2e-3 * WAVE, atol=1e-6)  # a wrong header
    with pytest.raises(SourceError, match=r"choose one with --channel: 0 A \[mV\] .*, 1 B"):
        open_edf(write(tmp_path / "b.edf", ("A", "mV", WAVE), ("B", "mV", WAVE)))
    assert open_edf(write(tmp_path / "c.edf", ("Channel 1", "mV", WAVE))).lead == "Channel 1"


@pytest.mark.parametrize("label", ["II", "MLII", "Lead V5", "aVR", "MCL1", "ECG-LA-RA", "ekg"])
def test_labels_of_leads_are_recognised(tmp_path: Path, label: str) -> None:
    assert open_edf(write(tmp_path / "a.edf", ("Pleth", "mV", WAVE), (label, "mV", WAVE))).lead == label


def test_a_signal_without_a_unit_needs_the_option(tmp_path: Path) -> None:
    path = write(tmp_path / "a.edf", ("ECG", "", 500 * WAVE))
    with pytest.raises(SourceError, match="names no unit; give it"):
        open_edf(path)
    np.testing.assert_allclose(read_signal(open_edf(path, unit="uV"))[1], WAVE / 2, atol=1e-4)
    counts = read_signal(open_edf(path, unit="adc", mv_per_unit=1e-5))[1]
    gain = 1002 / 65_535
    np.testing.assert_allclose((counts / 1e-5 + 0.5) * gain, 500 * WAVE, atol=2 * gain)


def test_a_file_of_annotations_only_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.edf"
    Edf([], annotations=[EdfAnnotation(0, None, "asleep"), EdfAnnotation(9, 2, "awake")]).write(path)
    with pytest.raises(SourceError, match="annotations only, no signal"):
        open_edf(path)


def test_missing_and_other_files_are_refused(tmp_path: Path) -> None:
    for what, error in (("", "name the file"), ("nothing.edf", "No such file"), (".", "Is a directory")):
        with pytest.raises(SourceError, match=error):
            open_source(f"edf:{tmp_path / what if what else ''}")
    path = tmp_path / "a.edf"
    for data, error in (
        (b"", "no EDF file"),
        (b"1\n2\n3\n", "no EDF file"),
        (b"\xffBIOSEMI" + b" " * 600, "header is broken"),
        (b"0".ljust(256), "header is broken"),
    ):
        path.write_bytes(data)
        with pytest.raises(SourceError, match=error):
            open_edf(path)


def test_files_cut_off_before_the_first_sample_are_refused_in_one_line(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.edf", ("ECG", "mV", WAVE)).read_bytes()
    cut = tmp_path / "cut.edf"
    for size in [0, 7, 200, 256, 300, 511, 512, 513]:
        cut.write_bytes(whole[:size])
        with pytest.raises(SourceError, match=r"no EDF file|cut off|broken|no sample") as refused:
            open_edf(cut)
        assert "\n" not in str(refused.value)


def test_a_file_that_becomes_shorter_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edf_source, "PIECE_BYTES", 720)
    path = write(tmp_path / "a.edf", ("ECG", "mV", np.tile(WAVE, 10)))
    source = open_edf(path)
    assert source.read(360) is not None
    os.truncate(path, 512 + 800)
    with pytest.raises(SourceError, match="became shorter"):
        read_signal(source)  # beyond the piece in memory
    source.close()
    source.close()
    with pytest.raises((SourceError, EndOfStream)):
        source.read(360)


@pytest.mark.parametrize(
    ("at", "field", "error"),
    [
        (244, b"0       ", "give --fs"),
        (244, b"100     ", "between 100 and 100000 Hz"),
        (252, b"0   ", "header is broken"),
        (252, b"-1  ", "header is broken"),
        (256 + 216, b"0       ", "header is broken"),
        (256 + 104, b"x       ", "no scale"),
        (256 + 120, b"32767   ", "no scale"),
    ],
)
def test_broken_headers_are_refused(tmp_path: Path, at: int, field: bytes, error: str) -> None:
    path = write(tmp_path / "a.edf", ("ECG", "mV", WAVE))
    data = bytearray(path.read_bytes())
    data[at : at + len(field)] = field
    path.write_bytes(data)
    with pytest.raises(SourceError, match=error) as refused:
        open_edf(path)
    assert "\n" not in str(refused.value)


def test_an_anonymous_date_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.edf"
    Edf([EdfSignal(WAVE, 360, label="ECG", physical_dimension="mV")]).write(path)
    assert open_edf(path).start_time is None


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.edf", ("ECG", "mV", WAVE))
    data = path.read_bytes()
    hours = 24
    records = hours * 3600
    with path.open("wb") as file:
        file.write(data[:236] + b"%-8d" % records + data[244:512])
        for _ in range(records // 10):
            file.write(data[512:])
    n, growth_kib = read_a_day(f"edf:{path}")
    assert n == records * 360
    assert growth_kib < 20 * 1024 < path.stat().st_size / 1024
