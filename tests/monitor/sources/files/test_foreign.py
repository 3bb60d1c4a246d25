"""File formats recognised by their first bytes."""

from __future__ import annotations

import gzip
import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.sources.files.foreign import HEAD_BYTES, is_edf, named_format


def zipped(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, "1\n2\n")
    return file.getvalue()


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def edf_head(version: bytes = b"0", length: bytes = b"512", signals: bytes = b"1", pad: bytes = b" ") -> bytes:
    date = b"24.12.2610.00.00"
    head = version.ljust(8, pad) + b"X".ljust(160, pad) + date + length.ljust(8, pad)
    return (head.ljust(252, pad) + signals.ljust(4, pad)).ljust(512, pad)


XML = '<?xml version="1.0" encoding="{0}"?>\n<!-- export -->\n'


@pytest.mark.parametrize(
    ("head", "name", "remedy"),
    [
        (bytes(16) + b"SCPECG" + bytes(50), "SCP-ECG", "save2gdf -f=EDF"),
        ((XML.format("UTF-8") + '<AnnotatedECG xmlns="urn:hl7-org:v3">').encode(), "HL7 aECG", "save2gdf"),
        ((XML.format("utf-8") + "<hl7:AnnotatedECG>").encode("utf-8-sig"), "HL7 aECG", "save2gdf"),
        ((XML.format("ISO-8859-1") + '<!DOCTYPE RestingECG SYSTEM "restecg.dtd">').encode(), "GE MUSE", "muse2csv"),
        ((XML.format("UTF-16") + "<restingecgdata>").encode("utf-16"), "Philips", "sierraecg"),
        ((XML.format("UTF-8") + "<examdescript>").encode(), "an XML file", "export"),
        (bytes(128) + b"DICM" + bytes(20), "DICOM", "pydicom"),
        (b"Brain Vision Data Exchange Header File Version 1.0\r\n", "BrainVision", "read_raw_brainvision"),
        (b"\xef\xbb\xbfBrainVision Data Exchange Header File", "BrainVision", "read_raw_brainvision"),
        (b"\x89HDF\r\n\x1a\n", "HDF5", "h5py"),
        (bytes(512) + b"\x89HDF\r\n\x1a\n", "HDF5", "h5py"),
        (b"MATLAB 7.3 MAT-file, Platform: GLNXA64", "MATLAB 7.3", "h5py"),
        (b"MATLAB 5.0 MAT-file, Platform: PCWIN64", "MATLAB", "loadmat"),
        (b"PAR1\x15\x04", "Parquet", "read_parquet"),
        (b"ARROW1\0\0", "Arrow", "read_feather"),
        (saved(np.zeros(3)), "NumPy", "savetxt"),
        (gzip.compress(b"1\n2\n", mtime=0), "gzip", "gunzip"),
        (zipped("ecg.csv"), "ZIP", "unzip"),
        (zipped("xl/workbook.xml"), "Excel", "read_excel"),
        (zipped("ecg.npy"), "NumPy archive", "numpy.load"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Excel", "CSV"),
        (b'{"samples": [1, 2]}', "JSON", "CSV"),
        (b"<!DOCTYPE html><html>", "web page", "download"),
        (b"GDF 2.51", "GDF", "save2gdf"),
        (b"CFWB\1\0\0\0", "LabChart", "save2gdf"),
        (b"XDF:\x0d", "XDF", "pyxdf"),
        (b"%PDF-1.7", "PDF", "ask for"),
        (b"ISHNE1.0", "ISHNE", "ishne:PATH"),
        (b"\xffBIOSEMI", "BDF", "edf:PATH"),
        (edf_head(), "an EDF file", "edf:PATH"),
        (edf_head(version=b"0\xa0"), "an EDF file", "edf:PATH"),
        (edf_head(pad=b"\0"), "an EDF file", "edf:PATH"),
        (edf_head(length=b"0"), "an EDF file", "edf:PATH"),
    ],
)
def test_a_format_is_named_with_a_remedy(head: bytes, name: str, remedy: str) -> None:
    named = named_format(head[:HEAD_BYTES])
    assert named is not None
    assert name in named[0]
    assert remedy in named[1]
    assert "\n" not in "".join(named)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"0.1\n0.2\n",
        b"time,ecg\n0,0.1\n",
        "Spannung (µV)\n1\n".encode("utf-16"),
        b"[1]\n[2]\n",
        b"# JSON follows\n1\n",
        b"100 2 360 650000\n100.dat 212 200 11 1024 995 -22131 0 MLII\n",
        b"0       " + b"1       " * 200,
        bytes(4096),
        b"Version 3.1 of the export\n1\n",
    ],
)
def test_text_and_unknown_bytes_have_no_name(head: bytes) -> None:
    assert named_format(head) is None


@given(st.binary(max_size=600))
def test_any_bytes_are_accepted(head: bytes) -> None:
    named_format(head)
    is_edf(head)
