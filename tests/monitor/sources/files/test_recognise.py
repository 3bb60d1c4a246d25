"""A path without a kind: the right reader by the file's content."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import SourceError
from monitor.sources import SourceOptions, open_source
from monitor.sources.files.recognise import recognised
from tests.monitor.sources.files.edf_files import MV, EdfFile
from tests.monitor.sources.files.ishne_files import ishne_file
from tests.monitor.sources.helpers import read_signal

COUNTS = np.rint(200 * MV).astype(np.int16)
CSV = "time,ecg [mV]\n" + "".join(f"{i / 250:.3f},{mv:.3f}\n" for i, mv in enumerate(MV))


def test_each_kind_of_file_is_opened_by_its_reader(tmp_path: Path) -> None:
    files = {
        "night.edf": EdfFile().make(),
        "night.EDF.bak": EdfFile(version=b"0\xa0").make(),
        "night.bdf": EdfFile(
            version=b"\xffBIOSEMI", width=3, physical=(b"-8388608", b"8388607"), digital=(b"-8388608", b"8388607"),
            unit=b"uV", counts_are=1e-3,
        ).make(),
        "holter.ecg": ishne_file(COUNTS[:, None], resolution_nv=(5000,)),
        "export.csv": CSV.encode(),
        "export.txt": CSV.encode("utf-8-sig"),
        "wide.txt": CSV.encode("utf-16"),
        "data": CSV.encode(),
        "with space: and colon.csv": CSV.encode(),
    }  # fmt: skip
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        noted: dict[str, str] = {}
        source = open_source(str(tmp_path / name), SourceOptions(note=noted.__setitem__))
        assert source.name == noted["kind"]
        np.testing.assert_allclose(read_signal(source)[1], MV, atol=6e-3)


def test_a_wfdb_record_is_named_by_any_of_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "day.1.hea").write_text("day.1 1 250\nday.1.dat 16 200\n")
    (tmp_path / "day.1.dat").write_bytes(COUNTS.astype("<i2").tobytes())
    monkeypatch.chdir(tmp_path)
    for text in ("day.1", "day.1.hea", "day.1.dat", str(tmp_path / "day.1.hea")):
        source = open_source(text)
        assert source.name == f"wfdb:{text.removesuffix('.hea').removesuffix('.dat')}"
        np.testing.assert_allclose(read_signal(source)[1], MV, atol=6e-3)


def test_a_path_of_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.edf").write_bytes(EdfFile().make())
    np.testing.assert_allclose(read_signal(open_source("~/a.edf"))[1], MV, atol=6e-3)


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("a.csv.gz", gzip.compress(CSV.encode()), "is a gzip file; unpack it with gunzip"),
        ("a.xml", b"<?xml version='1.0'?><AnnotatedECG>", "an HL7 aECG file; convert it"),
        ("a.ann", b"ANN  1.0" + bytes(600), "annotations; open the .ecg file"),
        ("a.dat", bytes(range(256)) * 9, "binary file of no known format.*'a 1 250' and 'a.dat 16 200' in a.hea"),
    ],
)
def test_what_no_source_reads_is_refused_by_name(tmp_path: Path, name: str, data: bytes, error: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError, match=error) as refused:
        open_source(str(tmp_path / name))
    assert "\n" not in str(refused.value)


def test_the_remedy_for_bare_samples_works(tmp_path: Path) -> None:
    (tmp_path / "a.dat").write_bytes(COUNTS.astype("<i2").tobytes())
    with pytest.raises(SourceError, match=r"a.dat has no header a.hea; get it, or"):
        open_source(f"wfdb:{tmp_path / 'a'}")
    with pytest.raises(SourceError, match="binary file") as refused:
        open_source(str(tmp_path / "a.dat"))
    _, record, _, signal, *_ = str(refused.value).split("'")
    (tmp_path / "a.hea").write_text(f"{record}\n{signal}\n")
    np.testing.assert_allclose(read_signal(open_source(str(tmp_path / "a.dat")))[1], MV, atol=6e-3)


def test_a_part_of_a_brainvision_recording_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.vhdr").write_text("Brain Vision Data Exchange Header File Version 1.0\n")
    (tmp_path / "a.eeg").write_bytes(bytes(1000))
    for name in ("a.vhdr", "a.eeg"):
        with pytest.raises(SourceError, match=r"BrainVision.*read_raw_brainvision"):
            open_source(str(tmp_path / name))


@pytest.mark.parametrize("text", ["", "a\0b", "x" * 5000, "~nobody-here/a.csv", "simulator", "sin:pvc=3"])
def test_what_is_no_path_is_an_unknown_source(text: str) -> None:
    assert recognised(text) is None
    with pytest.raises(SourceError, match="choose one of") as refused:
        open_source(text)
    assert len(str(refused.value)) < 800


@pytest.mark.parametrize("kind", ["edf", "ishne"])
@pytest.mark.parametrize("path", ["a\0b", "x" * 5000, "~nobody-here/a"])
def test_a_path_that_cannot_be_is_one_line(kind: str, path: str) -> None:
    with pytest.raises(SourceError, match="cannot be read") as refused:
        open_source(f"{kind}:{path}")
    assert "\n" not in str(refused.value)
