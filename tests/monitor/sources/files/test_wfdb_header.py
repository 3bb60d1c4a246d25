"""Headers of WFDB records as they exist: rate, length, gain, unit, name and files; and any text at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.errors import SourceError
from monitor.sources import EndOfStream, Source, SourceOptions, open_source
from monitor.sources.files.wfdb_header import parse_header
from tests.monitor.sources.helpers import read_signal


def record(folder: Path, header: str | bytes, samples: int = 1000, file: str = "rec.dat") -> str:
    """Write a record of int16 samples 0, 1, 2, ...; return its specification."""
    (folder / "rec.hea").write_bytes(header if isinstance(header, bytes) else header.encode())
    (folder / file).write_bytes(np.arange(samples, dtype="<i2").tobytes())
    return f"wfdb:{folder / 'rec'}"


def opened(folder: Path, header: str | bytes, **options: Any) -> Source:
    return open_source(record(folder, header), SourceOptions(**options))


@pytest.mark.parametrize(
    ("header", "fs_hz", "lead", "samples", "second_mv"),
    [
        ("rec 1 250 1000\nrec.dat 16 100(0)/mV 12 0 0 0 0 II\n", 250, "II", 1000, 0.01),
        ("rec 1 250 1000\nrec.dat 16\n", 250, "signal 0", 1000, 0.005),
        ("rec 1\nrec.dat 16\n", 250, "signal 0", 1000, 0.005),
        ("rec 1 360\nrec.dat 16 0 12 0 0 0 0 MLII", 360, "MLII", 1000, 0.005),
        ("rec 1 250 0\nrec.dat 16 100 12 1 0 0 0 II", 250, "II", 1000, 0.0),  # baseline = ADC zero
        ("rec 1 250\nrec.dat 16 100(1) 12 0 0 0 0 II", 250, "II", 1000, 0.0),
        ("rec 1 250\nrec.dat 16 1e2(-1)/mV 12 0 0 0 0 II", 250, "II", 1000, 0.02),
        ("rec 1 250\nrec.dat 16 -100/mV 12 0 0 0 0 II", 250, "II", 1000, -0.01),
        ("rec 1 250\nrec.dat 16 /uV\n", 250, "signal 0", 1000, 0.000005),
        ("rec 1 250 1000\nrec.dat 16 0.1/µV 12 0 0 0 0 II\n", 250, "II", 1000, 0.01),
        ("rec 1 250 1000\nrec.dat 16 0.1/µV 12 0 0 0 0 Ableitung für II\n".encode("latin-1"), 250, None, 1000, 0.01),
        ("rec 1 250 1000\nrec.dat 16 100/mV 12 0 0 0 0 II\n".encode("utf-16"), 250, "II", 1000, 0.01),
        ("\ufeffrec 1 250 1000\nrec.dat 16 100/mV 12 0 0 0 0 II\n", 250, "II", 1000, 0.01),
        ("# c\r\n\r\nrec 1 250 1000\r\n#c\r\nrec.dat 16 100/mV 12 0 0 0 0 II\r\n# <age>: 5\r\n", 250, "II", 1000, 0.01),
        ("rec 1 250 1000\rrec.dat 16 100/mV 12 0 0 0 0 II\r", 250, "II", 1000, 0.01),
        ("rec\t1\t250/250(0)\t1000\t12:00\t1/2/20\nrec.dat\t16\t100/mV\t9\t0\t0\t0\t0\tII \n", 250, None, 1000, 0.01),
        ("records100/00001 1 250 1000\nrec.dat 16 100/mV 12 0 0 0 0 II\n", 250, "II", 1000, 0.01),
        ("a/b/c 1 250 1000\nrec.dat 16 100/mV 12 0 0 0 0 II\n", 250, "II", 1000, 0.01),
        ("rec/1 1 250 1000\nrec.dat 16\n", 250, "signal 0", 1000, 0.005),
        ("my rec 1 250 1000\nrec.dat 16 100/mV 12 0 0 0 0 II\n", 250, "II", 1000, 0.01),
        ("rec 1 250 1000\nsub/rec.dat 16 100/mV 12 0 0 0 0 II\n", 250, "II", 1000, 0.01),
        ("rec 1 250 1000\nC:\\data\\REC.DAT 16 100/mV 12 0 0 0 0 II\n", 250, "II", 1000, 0.01),
        ("rec 1 62.5/1000 250\nrec.dat 16x4 100/mV 12 0 0 0 0 II\n", 250, "II", 1000, 0.01),
        ("rec 1 1 4\nrec.dat 16x250 100/mV 12 0 0 0 0 II\n", 250, "II", 1000, 0.01),
        ("rec 2 50 100\nrec.dat 16x9 100/mV 12 0 0 0 0 II\nrec.dat 16 1/mmHg 12 0 0 0 0 ABP\n", 450, "II", 900, 0.01),
        ("rec 2 250\nrec.dat 16 1/mV 12 0 0 0 0 RESP\nrec.dat 16 100/mV 12 0 0 0 0 ECG\n", 250, "ECG", 500, 0.03),
        ("rec 2 250\nrec.dat 16\nrec.dat 16\n", 250, "signal 0", 500, 0.01),
        ("rec 1 250 1000\nrec.dat 16 100/mV ECG lead II\n", 250, "ECG lead II", 1000, 0.01),
        ("rec 1 250 997\nrec.dat 16+6 100/mV 12 0 0 0 0 II\n", 250, "II", 997, 0.04),
        ("rec 1 250 1000 00:00:00 00/00/0000\nrec.dat 16 100/mV 12 0 0 0 0 II\n", 250, "II", 1000, 0.01),
        ("rec 1 250 1000\nrec.dat 16 100/mV 12 0 0 0 0 II\nsome text without a mark\n", 250, "II", 1000, 0.01),
        ("rec 2 250\nrec.dat 16 100/mV 12 0 0 0 0 II\n~ 0 200/mV 12 0 0 0 0 MLII\n", 250, "II", 1000, 0.01),
        ("rec 2 250\nrec.dat 16 100/mV 12 0 0 0 0 II\ngone.dat 16 1/mmHg 12 0 0 0 0 ABP\n", 250, "II", 1000, 0.01),
    ],
)  # fmt: skip
def test_a_header_as_it_exists_is_read(
    tmp_path: Path, header: str | bytes, fs_hz: float, lead: str | None, samples: int, second_mv: float
) -> None:
    source = opened(tmp_path, header)
    first, mv = read_signal(source)
    assert (source.fs_hz, first, mv.size) == (fs_hz, 0, samples)
    assert source.lead == (lead or source.lead)
    assert mv[1] == pytest.approx(second_mv)


def test_a_rate_that_the_header_lacks_is_given_or_the_default(tmp_path: Path) -> None:
    notes: dict[str, str] = {}
    header = "rec 1\nrec.dat 16 200/mV 12 0 0 0 0 II\n"
    assert opened(tmp_path, header, note=notes.__setitem__).fs_hz == 250
    assert notes["rate"] == "250 Hz, not in the header: the default of WFDB"
    assert opened(tmp_path, header, fs_hz=500).fs_hz == 500
    assert opened(tmp_path, header.replace("rec 1", "rec 1 360"), fs_hz=500).fs_hz == 360


@pytest.mark.parametrize(
    ("header", "error"),
    [
        ("", "holds no record line"),
        ("# only a comment\n", "holds no record line"),
        ("<!DOCTYPE html><html></html>", "'<!DOCTYPE html><html></html>' is no record line"),
        ("rec\n", "'rec' is no record line"),
        ("rec 1 250Hz 100\nrec.dat 16\n", "'rec 1 250Hz 100' is no record line"),
        ("rec 1 0 100\nrec.dat 16\n", "is not above 0 Hz"),
        ("rec 1 1e999 100\nrec.dat 16\n", "is not above 0 Hz"),
        ("rec 0 250 100\n", "holds no signal"),
        ("rec 2 250 100\nrec.dat 16\n", "promises 2 signals and describes 1"),
        ("rec 1 250 100\nrec.dat\n", "'rec.dat' is no signal line"),
        ("rec 1 250 100\nrec.dat 16 1e-300/mV\n", "gain .* out of range"),
        ("rec 1 250 100\nrec.dat 99 200/mV\n", "format 99 of rec.dat is none of WFDB: 8, 16, "),
        ("rec 2 250 100\nrec.dat 16\nrec.dat 212\n", "gives rec.dat two formats"),
        ("rec 1 250 100\ngone.dat 16\n", "gone.dat .*; rec.dat is there: .* write its name into rec.hea"),
        ("rec 1 250 100\npacked.dat 16\n", "packed.dat.gz is there: decompress it with gunzip"),
        ("rec 1 250 100\n- 16\n", "- cannot be read"),
        ("rec 1 250\nrec.dat 16+2000\n", "holds no sample"),
        ("rec 1 250\n~ 0 200/mV 12 0 0 0 0 II\n", "II has no samples, only a name"),
        ("rec 1 250\nrec.dat 16 1/NU 12 0 0 0 0 II\n", "--channel: 0 II .*; II is in NU, no voltage: give --unit too"),
        ("rec/2 1 250 100\nrec 50\n", "promises 2 segments and names 1"),
        ("rec 1 250\n" + "x" * 3000, "line of more than 2000 characters"),
    ],
)  # fmt: skip
def test_a_header_that_cannot_be_read_is_refused_in_one_line(tmp_path: Path, header: str, error: str) -> None:
    (tmp_path / "packed.dat.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(SourceError, match=error) as refused:
        opened(tmp_path, header)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("options", [{"unit": "mV"}, {"unit": "mV", "channel": "II"}])
def test_the_remedy_of_a_unit_that_is_no_voltage_works(tmp_path: Path, options: dict[str, str]) -> None:
    header = "rec 1 250\nrec.dat 16 100/NU 12 0 0 0 0 II\n"
    assert read_signal(opened(tmp_path, header, **options))[1][1] == 0.01
    with pytest.raises(SourceError, match="II is in NU, which is no voltage; give --unit"):
        opened(tmp_path, header, channel="II")


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("", "name the record"),
        (".", "name the record"),
        ("/", "name the record"),
        ("~nobody_of_this_name/rec", "cannot be read"),
        ("{folder}", r"no record .*; .*packed"),
        ("{folder}/packed", r"packed\.hea\.gz is compressed; .* gunzip"),
        ("{folder}/sleep.edf", r"is a ZIP archive; unpack it"),
        ("{folder}/" + "x" * 300, "no record"),
    ],
)
def test_a_path_that_is_no_record_is_refused_in_one_line(tmp_path: Path, what: str, error: str) -> None:
    (tmp_path / "packed.hea.gz").write_bytes(b"\x1f\x8b")
    (tmp_path / "packed_2.hea").write_bytes(b"")
    (tmp_path / "sleep.edf").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(SourceError, match=error) as refused:
        open_source("wfdb:" + what.format(folder=tmp_path))
    assert "\n" not in str(refused.value)


words = st.sampled_from(
    [
        *"""rec rec/1 rec/2 a/b rec.dat ~ - 0 1 2 8 16 16x4 16:3 212+7 310 516 16x0 250 62.5/1000 1e9 1e-9 -200(5)/mV
    200(/mV /uV 0/NU 999999999999999 -7 12:00:00 99/99/9999 II ECG RESP µV #""".split(),  # noqa: SIM905
        "\0",
        "\x85",
        "\u2028",
    ]
)
lines = st.lists(words, max_size=9).map(" ".join)


@settings(max_examples=400, deadline=None)
@given(
    head=lines | st.just("rec 1 250") | st.just("rec 2 62.5/1000 100") | st.just("rec/2 1 250 1000"),
    rest=st.lists(lines | st.text(max_size=40), max_size=4),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
)
@example(head="rec 1 250", rest=["rec.dat 16x99999 1e12/mV 32 0 0 0 0 II"], end="\n")
def test_any_header_gives_a_source_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, head: str, rest: list[str], end: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "any_header"
    folder.mkdir(exist_ok=True)
    refusal = ""
    try:
        source = opened(folder, end.join([head, *rest]))
        for _ in range(3):
            source.read(500)
    except EndOfStream:
        pass
    except SourceError as error:
        refusal = str(error)
    assert "\n" not in refusal


@given(text=st.text(max_size=300))
def test_any_text_is_a_header_or_a_value_error(text: str) -> None:
    try:
        header = parse_header(text)
    except ValueError:
        return
    assert header.signals or header.segments
