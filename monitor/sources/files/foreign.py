"""File formats recognised by their first bytes: those that another kind of source reads, and those that none reads.

A file that is opened as the wrong kind is refused with its format and one way to read or convert it. Every reader of
files uses this table.
"""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["BRAINVISION", "HEAD_BYTES", "bare_samples", "is_edf", "is_text", "named_format"]

HEAD_BYTES = 4096  # enough for every format below

# biosig-tools is a package of Debian and Ubuntu; the others are Python packages.
_BIOSIG = "convert it with biosig-tools: save2gdf -f=EDF FILE out.edf, then open edf:out.edf"
_MNE = (
    "convert it with the Python packages mne and edfio: mne.export.export_raw('out.edf', mne.io.{}('FILE')), then open "
    "edf:out.edf"
)
BRAINVISION = ("a BrainVision header", _MNE.format("read_raw_brainvision"))  # name and remedy
_SAVE = "convert it in Python: numpy.savetxt('out.csv', {}), then open csv:out.csv with --fs and --unit"
_HDF5 = _SAVE.format("h5py.File('FILE')['NAME']")
_XDF = _SAVE.format("pyxdf.load_xdf('FILE')[0][0]['time_series'][:, 0]")
_SIERRA = (
    "convert it in Python: numpy.savetxt('out.csv', sierraecg.read_file('FILE').leads[1].samples), then open "
    "csv:out.csv with --fs 500 --unit adc --mv-per-unit 0.005"
)
_MUSE = "convert it with the Python package muse2csv (Python 3.12): muse_to_csv('FILE', 'out'), then open csv:out.csv"
_PANDAS = (
    "convert it in Python with pandas and {}: pandas.{}('FILE').to_csv('out.csv', index=False), then open csv:out.csv"
)
_UNPACK = "unpack it with {}, then open the file in it"
_NUMPY = _SAVE.format("numpy.load('FILE')")

_EDF_HEADER = re.compile(rb"[0-9 \0]{8}", re.DOTALL)  # length of the header, at 184

# First bytes -> format, remedy. Longer ones before those they begin with.
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"\xffBIOSEMI", "a BDF file", "open it with edf:PATH"),
    (b"ISHNE1.0", "an ISHNE Holter file", "open it with ishne:PATH"),
    (b"ANN  1.0", "an ISHNE file of annotations", "open the .ecg file of the same recording with ishne:PATH"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", _HDF5),
    (b"MATLAB 7.3 MAT-file", "a MATLAB 7.3 file (HDF5)", _HDF5),
    (b"MATLAB 5.0 MAT-file", "a MATLAB file", _SAVE.format("scipy.io.loadmat('FILE')['NAME'].ravel()")),
    (b"PAR1", "a Parquet file", _PANDAS.format("pyarrow", "read_parquet")),
    (b"ARROW1", "a Feather (Arrow) file", _PANDAS.format("pyarrow", "read_feather")),
    (b"\x93NUMPY", "a NumPy array", _NUMPY),
    (b"\x1f\x8b", "a gzip file", _UNPACK.format("gunzip")),
    (b"BZh", "a bzip2 file", _UNPACK.format("bunzip2")),
    (b"\xfd7zXZ\0", "an xz file", _UNPACK.format("unxz")),
    (b"\x28\xb5\x2f\xfd", "a zstd file", _UNPACK.format("unzstd")),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK.format("7z x")),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK.format("unrar x")),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Office file", "save it as CSV in Excel or LibreOffice"),
    (b"SQLite format 3\0", "an SQLite database", "write the samples as CSV: sqlite3 -csv FILE 'SELECT ...' > out.csv"),
    (b"%PDF", "a PDF document, which holds a picture of the ECG", "ask for the recording as EDF, WFDB, SCP or CSV"),
    (b"\x89PNG", "a picture", "ask for the recording as EDF, WFDB, SCP or CSV"),
    (b"\xff\xd8\xff", "a picture", "ask for the recording as EDF, WFDB, SCP or CSV"),
    (b"II*\0", "a picture", "ask for the recording as EDF, WFDB, SCP or CSV"),
    (b"GDF ", "a GDF file", _BIOSIG),
    (b"CFWB", "a LabChart binary file (CFWB)", _BIOSIG),
    (
        b"XDF:",
        "an XDF file of the lab streaming layer",
        _XDF,
    ),
    (b"Brain Vision Data Exchange", *BRAINVISION),
    (b"BrainVision Data Exchange", *BRAINVISION),
    (b"Version 3.0\0", "a Neuroscan CNT file", _MNE.format("read_raw_cnt")),
    (b"EEG-1100", "a Nihon Kohden file", _MNE.format("read_raw_nihon")),
    (b"POLY SAMPLE FILE", "a TMSi Poly5 file", _BIOSIG),
    (b"* MICROMED", "a Micromed file", _BIOSIG),
    (b"@  MFER ", "an MFER file", _BIOSIG),
    (b"@ MFR ", "an MFER file", _BIOSIG),
)
_AT: tuple[tuple[int, bytes, str, str], ...] = (  # the same further on
    (16, b"SCPECG", "an SCP-ECG file", _BIOSIG),
    (128, b"DICM", "a DICOM file", _SAVE.format("pydicom.dcmread('FILE').waveform_array(0)[:, 1]")),
    (8, b"WAVE", "a WAVE audio file", _SAVE.format("scipy.io.wavfile.read('FILE')[1]")),
    (8, b".FIT", "a FIT file of a sports watch, which holds heart rates and no ECG", "export the ECG as CSV"),
    (512, b"\x89HDF\r\n\x1a\n", "an HDF5 file", _HDF5),
)
_XML: tuple[tuple[bytes, str, str], ...] = (  # element or name space near the beginning -> format, remedy
    (b"annotatedecg", "an HL7 aECG file", _BIOSIG),
    (b"restingecgdata", "a Philips Sierra ECG file", _SIERRA),
    (b"medical.philips.com", "a Philips ECG file", _SIERRA),
    (b"restingecg", "a GE MUSE file", _MUSE),
    (b"sapphire", "a GE MUSE (Sapphire) file", "export it from MUSE as DICOM or HL7 aECG, or as CSV"),
    (b"<html", "a web page", "download the file itself"),
    (b"<!doctype html", "a web page", "download the file itself"),
)
_ZIP: tuple[tuple[bytes, str, str], ...] = (  # name of a part -> format, remedy
    (b"xl/", "an Excel file", _PANDAS.format("openpyxl", "read_excel")),
    (b"opendocument.spreadsheet", "a LibreOffice table", "save it as CSV in LibreOffice"),
    (b".npy", "a NumPy archive", _NUMPY.replace("('FILE')", "('FILE')['NAME']")),
)


def named_format(head: bytes) -> tuple[str, str] | None:
    """The format that a file's first bytes show, if it has a name: (format, remedy); None for text and all others.

    The remedy names a source of this package where one reads the format.

    Args:
        head: the first HEAD_BYTES of the file, or all of it.

    >>> named_format(b"CFWB")[0], named_format(b"PK\\3\\4" + bytes(26) + b"xl/workbook.xml")[0]
    ('a LabChart binary file (CFWB)', 'an Excel file')
    >>> named_format(b"0.1,0.2")
    """
    for magic, name, remedy in _MAGIC:
        if head.startswith(magic):
            return name, remedy
    for at, magic, name, remedy in _AT:
        if head[at : at + len(magic)] == magic:
            return name, remedy
    if is_edf(head):
        return "an EDF file", "open it with edf:PATH"
    if head.startswith(b"PK\x03\x04"):
        for part, name, remedy in _ZIP:
            if part in head:
                return name, remedy
        return "a ZIP archive", _UNPACK.format("unzip")
    return _named_text(head)


def bare_samples(path: Path) -> str:
    """Remedy for a file of bare numbers, such as a .dat without its header: the header to write."""
    return (
        f"if its samples are 16-bit numbers, describe them in a WFDB header, e.g. for one signal of 250 Hz and 200 "
        f"counts a mV the two lines '{path.stem} 1 250' and '{path.name} 16 200' in {path.stem}.hea beside it, then "
        f"open wfdb:{path.with_suffix('')}"
    )


def is_edf(head: bytes) -> bool:
    """Whether a file is EDF by the fields of its header: signals, and the length of the header that follows from them.

    The version field is not asked: some programs write something else than 0.
    """
    if len(head) < 256 or not _EDF_HEADER.fullmatch(head[184:192]):
        return False
    try:
        signals = int(head[252:256].strip(b" \0"))
        length = int(head[184:192].strip(b" \0") or b"0")
    except ValueError:
        return False
    dated = re.fullmatch(rb"[ 0-9]{2}[^0-9][ 0-9]{2}[^0-9][ 0-9]{2}", head[168:176]) is not None
    return 0 < signals < 10_000 and (length == 256 * (signals + 1) or (dated and head[:1] == b"0"))


def is_text(head: bytes) -> bool:
    """Whether a file may be text: without NUL, or UTF-16 with or without its mark."""
    if b"\0" not in head or head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return True
    head = head[: len(head) // 2 * 2]
    zeros = head[::2].count(0), head[1::2].count(0)
    return min(zeros) == 0 and max(zeros) > 0.9 * len(head) / 2  # ASCII in UTF-16: every second byte


def _named_text(head: bytes) -> tuple[str, str] | None:
    """XML of ECG devices, JSON and web pages, in UTF-8 or UTF-16."""
    if not is_text(head):
        return None
    text = head.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").lower()
    if text.startswith((b"brain vision data exchange", b"brainvision data exchange")):
        return BRAINVISION
    if re.match(rb"<[?!a-z]", text):
        for word, name, remedy in _XML:
            if word in text:
                return name, remedy
        return "an XML file", "export the recording as EDF, WFDB or CSV"
    if re.match(rb'[\[{]\s*["\[{]', text):
        return "a JSON file", "write the samples as CSV, one row a sample, then open csv:out.csv"
    return None
