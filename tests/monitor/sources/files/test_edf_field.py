"""EDF and BDF files as programs and devices write them: departures from the standard, gaps, cut-off files."""

from __future__ import annotations

import os
from pathlib import Path

import edfio
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.errors import SourceError
from monitor.sources import EndOfStream, Source, SourceOptions, open_source
from monitor.sources.files import edf as edf_source
from monitor.sources.files.edf_times import find_gaps, record_time, tolerance
from tests.monitor.sources.files.edf_files import FS_HZ, MV, EdfFile
from tests.monitor.sources.files.opening import open_bytes
from tests.monitor.sources.helpers import notices_of, read_chunks, read_signal


def open_edf(folder: Path, data: bytes, **options: object) -> Source:
    return open_bytes(folder / "a.edf", data, **options)


UV = {"physical": (b"-5000", b"5000")}
BDF = {
    "version": b"\xffBIOSEMI",
    "width": 3,
    "unit": b"uV",
    "physical": (b"-262144", b"262143"),
    "digital": (b"-8388608", b"8388607"),
    "counts_are": 1 / 32_000,
}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"pad": b"\0"},
        {"label": b"ECG\0\x01\xfe", "unit": b"mV\0junk"},
        {"label": b"  ECG"},
        {"label": b"\0ECG"},
        {"label": b"ECG\xa0"},
        {"physical": (b"-5,0", b"5,0")},
        {"physical": (b"-5,000", b"+5.000")},
        {"physical": (b"-5e0", b"0.5E1")},
        {"physical": (b"5", b"-5"), "digital": (b"32767", b"-32768")},
        {"record_s": b"1,0"},
        {"record_s": b"1.000000"},
        {"record_s": b" 1"},
        {"version": b"0\xa0"},
        {"version": b""},
        {"version": b"1"},
        {"version": b"0.0"},
        {"version": b"EDF"},
        {"header_bytes": b"0"},
        {"header_bytes": b"256"},
        {"header_bytes": b"abc"},
        {"header_bytes": b""},
        {"header_bytes": b"99999999"},
        {"signals": b""},
        {"records": b"-1"},
        {"records": b""},
        {"records": b"30.0"},
        {"unit": b"MV "},
        {"unit": b"millivol"},
        {"unit": b"[mV]"},
        {"unit": "µV".encode(), **UV},
        {"unit": "μV".encode(), **UV},
        {"unit": "µV".encode("latin-1"), **UV},
        {"unit": b"uVolt", **UV},
        {"unit": b"microV", **UV},
        {"unit": b"microvol", **UV},
        {"unit": b"\xe6V", **UV},
        {"unit": b"", "label": b"ECG (uV)", **UV},
        {"unit": b"", "label": b"ECG [mV]"},
        {"unit": b"V", "physical": (b"-0.005", b"0.005")},
        {"unit": b"nV", "physical": (b"-5e6", b"5e6")},
        {"reserved": b"EDF+C"},
        {"reserved": b"EDF+C", "times": [b"+%d" % i for i in range(30)]},
        {"reserved": b"EDF+C", "times": [b"+%d.250" % i for i in range(30)], "ecg_first": False},
        {"times": [b""] * 30},
        {"date": b"XX.XX.XX", "recording": b"Startdate X X X X"},
        BDF,
        {**BDF, "pad": b"\0"},
        {**BDF, "reserved": b"24BIT"},
        {**BDF, "reserved": b"BDF+C", "times": [b"+%d" % i for i in range(30)], "annotations": b"BDF Annotations"},
    ],
    ids=lambda fields: ",".join(f"{key}={value!r}" for key, value in fields.items())[:60] or "standard",
)
def test_a_file_is_read_as_it_is_written(tmp_path: Path, fields: dict[str, object]) -> None:
    source = open_edf(tmp_path, EdfFile(**fields).make())  # type: ignore[arg-type]
    assert source.fs_hz == FS_HZ
    assert source.lead.startswith("ECG")
    chunks = read_chunks(source, (100, 1, 999))
    np.testing.assert_allclose(np.concatenate([chunk.samples for chunk in chunks]), MV, atol=6e-4)
    assert [chunk.first_sample for chunk in chunks] == np.cumsum([0, *(c.samples.size for c in chunks[:-1])]).tolist()


def test_an_inverted_range_inverts_the_signal(tmp_path: Path) -> None:
    source = open_edf(tmp_path, EdfFile(physical=(b"5", b"-5")).make())
    np.testing.assert_allclose(read_signal(source)[1], -MV, atol=6e-4)


def test_the_start_is_that_of_edf_plus_with_the_time_of_the_first_record(tmp_path: Path) -> None:
    file = EdfFile(reserved=b"EDF+C", times=[b"+%d.5" % i for i in range(30)])
    assert open_edf(tmp_path, file.make()).start_time == "2024-03-02T10:00:00.500000+00:00"
    assert open_edf(tmp_path, EdfFile(recording=b"", date=b"24-12-99", time=b"1:02:03").make()).start_time == (
        "1999-12-24T01:02:03+00:00"
    )
    for broken in ({"date": b"99.99.99", "recording": b""}, {"time": b"?"}, {"recording": b"Startdate X"}):
        assert open_edf(tmp_path, EdfFile(**broken).make()).start_time is None  # type: ignore[arg-type]


GAPS = [(15, 20.0), (20, 0.5), (21, 3600.0)]


def times(gaps: list[tuple[int, float]], records: int = 30, record_s: float = 1.0) -> list[bytes]:
    starts = [i * record_s + sum(s for at, s in gaps if at <= i) for i in range(records)]
    return [b"%+.1f" % start for start in starts]


@pytest.mark.parametrize("name", [b"EDF+D", b"EDF+C", b""])
@pytest.mark.parametrize("piece_bytes", [1, 3000, edf_source.PIECE_BYTES])
@pytest.mark.parametrize("ecg_first", [True, False])
def test_jumps_of_the_times_are_gaps(
    tmp_path: Path, name: bytes, piece_bytes: int, ecg_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edf_source, "PIECE_BYTES", piece_bytes)
    data = EdfFile(reserved=name, times=times(GAPS), ecg_first=ecg_first).make()
    noted: dict[str, str] = {}
    source = open_edf(tmp_path, data, note=noted.__setitem__)
    assert noted["interruptions"].startswith("3, 3620.5 s in all")
    assert source.total_samples == round((30 + 3620.5) * FS_HZ)
    index: list[int] = []
    values: list[float] = []
    for chunk in read_chunks(source, (700, 13)):
        index += range(chunk.first_sample, chunk.first_sample + chunk.samples.size)
        values += chunk.samples.tolist()
    expected = [i + round(FS_HZ * sum(s for at, s in GAPS if at * FS_HZ <= i)) for i in range(MV.size)]
    assert index == expected
    np.testing.assert_allclose(values, MV, atol=6e-4)
    for start_s in (0.0, 14.9, 20.0, 35.0, 36.2, 3650.0):
        at = next(i for i, sample in enumerate(index) if sample >= round(start_s * FS_HZ))
        piece = open_edf(tmp_path, data, start_s=start_s).read(50)
        assert piece is not None
        assert piece.first_sample == index[at]
        np.testing.assert_array_equal(piece.samples, values[at : at + piece.samples.size])
    assert read_chunks(open_edf(tmp_path, data, start_s=20.0, duration_s=5.0)) == []


def test_times_that_run_back_or_jump_by_weeks_are_reported_and_followed_by_rows(tmp_path: Path) -> None:
    for gap in (-5.0, 1e8):
        source = open_edf(tmp_path, EdfFile(reserved=b"EDF+D", times=times([(10, gap)])).make())
        chunks = read_chunks(source)
        assert (
            "1 data records whose time runs back or jumps by over a week, e.g. record 10"
            in notices_of(chunks, "bad_input")[0].text
        )
        assert sum(chunk.samples.size for chunk in chunks) == source.total_samples == MV.size


def test_an_interrupted_recording_without_times_is_reported(tmp_path: Path) -> None:
    chunks = read_chunks(open_edf(tmp_path, EdfFile(reserved=b"EDF+D").make()))
    assert "gaps are not known" in notices_of(chunks, "bad_input")[0].text


@given(st.lists(st.tuples(st.integers(1, 499), st.integers(1, 10_000)), max_size=6), st.sampled_from([1.0, 0.1, 1 / 3]))
def test_every_gap_is_found_with_few_reads(gaps: list[tuple[int, int]], record_s: float) -> None:
    expected = {at: 0.0 for at, _ in gaps}
    for at, tenths in gaps:
        expected[at] += tenths / 10
    starts = [round(i * record_s + sum(s for at, s in expected.items() if at <= i), 3) for i in range(500)]
    read: list[int] = []

    def time_of(record: int) -> float:
        read.append(record)
        return starts[record]

    found = find_gaps(time_of, 500, record_s, tolerance(record_s, 250.0, 3))
    assert [at for at, _ in found] == sorted(expected)
    np.testing.assert_allclose([s for _, s in found], [expected[at] for at in sorted(expected)], atol=2e-3)
    assert len(set(read)) <= 4 + 10 * len(expected)


def test_a_rounded_time_is_no_gap() -> None:
    for record_s, decimals in ((0.5, 0), (1 / 3, 3), (0.0625, 2)):
        starts = [round(i * record_s - 0.499 * 10.0**-decimals, decimals) for i in range(100)]
        assert find_gaps(starts.__getitem__, 100, record_s, tolerance(record_s, 256.0, decimals)) == []


def test_records_without_a_time_are_passed_over() -> None:
    starts: list[float | None] = [None, None, 2, None, 4, None, None, 17, None]
    assert find_gaps(starts.__getitem__, 9, 1.0, 0.01) == [(7, 10.0)]
    assert find_gaps([None].__getitem__, 1, 1.0, 0.01) == []
    assert record_time(b"\0\0+7,5\x14\x14\0") == (7.5, 1)
    assert record_time(b"junk") is None


@pytest.mark.parametrize("width", [2, 3])
@pytest.mark.parametrize("records", [b"30", b"3600", b"-1", b"1", b"0", b"?"])
def test_what_a_cut_off_file_holds_is_read_and_reported(tmp_path: Path, records: bytes, width: int) -> None:
    made = EdfFile(records=records) if width == 2 else EdfFile(**{**BDF, "records": records})  # type: ignore[arg-type]
    whole = made.make()
    for cut in (
        len(whole),
        len(whole) - 1,
        len(whole) - FS_HZ * width,
        len(whole) - 300,
        512 + FS_HZ * width,
        512 + 10,
    ):
        n = (cut - 512) // width
        source = open_edf(tmp_path, whole[:cut])
        chunks = read_chunks(source)
        np.testing.assert_allclose(np.concatenate([chunk.samples for chunk in chunks]), MV[:n], atol=6e-4)
        assert source.total_samples == n
        complete = records.isdigit() and int(records) * FS_HZ == n
        assert len(notices_of(chunks, "bad_input")) == (0 if complete else 1)


def test_what_lies_behind_the_stated_records_is_not_read(tmp_path: Path) -> None:
    assert open_edf(tmp_path, EdfFile().make() + b"no samples").total_samples == MV.size


def test_a_longer_header_counts_where_the_records_lie_behind_it(tmp_path: Path) -> None:
    whole = EdfFile(header_bytes=b"1024").make()
    source = open_edf(tmp_path, whole[:512] + b" " * 512 + whole[512:])
    np.testing.assert_allclose(read_signal(source)[1], MV, atol=6e-4)


def test_a_recording_written_as_one_record_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edf_source, "PIECE_BYTES", 4096)
    data = EdfFile(record_s=b"30", fs_hz=MV.size).make()
    source = open_edf(tmp_path, data)
    assert source.fs_hz == FS_HZ
    np.testing.assert_allclose(read_signal(source)[1], MV, atol=6e-4)
    np.testing.assert_allclose(read_signal(open_edf(tmp_path, data[:-1000]))[1], MV[:-500], atol=6e-4)


def test_bdf_by_edfio_is_read_back(tmp_path: Path) -> None:
    signal = edfio.BdfSignal(1000 * MV, FS_HZ, label="II", physical_dimension="uV", physical_range=(-9000, 9000))
    status = edfio.BdfSignal(np.zeros(MV.size), FS_HZ, label="Status", physical_range=(-8388608, 8388607))
    edfio.Bdf([status, signal], annotations=[edfio.EdfAnnotation(3, 1, "walking")]).write(tmp_path / "b.bdf")
    source = open_edf(tmp_path, (tmp_path / "b.bdf").read_bytes())
    assert source.lead == "II"
    np.testing.assert_allclose(read_signal(source)[1], MV, atol=1e-5)


def test_a_file_without_a_record_length_needs_the_rate(tmp_path: Path) -> None:
    data = EdfFile(record_s=b"0").make()
    with pytest.raises(SourceError, match="does not state the length of its data records; give --fs"):
        open_edf(tmp_path, data)
    source = open_edf(tmp_path, data, fs_hz=float(FS_HZ))
    assert source.fs_hz == FS_HZ
    np.testing.assert_allclose(read_signal(source)[1], MV, atol=6e-4)


@pytest.mark.parametrize(
    ("samples", "record_s", "fs_hz"),
    [
        (1, b"0.003906", 256),
        (85, b"0.332031", 256),
        (3, b"0,008333", 360),
        (2, b".0078125", 256),
        (300, b"1.000123", 300 / 1.000123),
        (100, b"0.39", 100 / 0.39),
    ],
)
def test_a_rounded_record_length_gives_the_whole_rate(
    tmp_path: Path, samples: int, record_s: bytes, fs_hz: float
) -> None:
    source = open_edf(tmp_path, EdfFile(fs_hz=samples, record_s=record_s).make())
    assert source.fs_hz == pytest.approx(fs_hz, rel=1e-6)


def test_a_slow_ecg_is_refused_by_its_rate_and_a_fast_one_decimated(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="50 Hz; between 100 and 100000 Hz is supported; a QRS complex has too few"):
        open_edf(tmp_path, EdfFile(record_s=b"5.12").make())
    source = open_edf(tmp_path, EdfFile(fs_hz=2560).make())
    assert source.fs_hz == 512
    assert source.total_samples == MV.size / 5


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"physical": (b"5", b"5")}, "no scale: its ranges are .5.0, 5.0. for .*--unit adc --mv-per-unit"),
        ({"physical": (b"", b"")}, "no scale: its ranges are not stated"),
        ({"digital": (b"7", b"7")}, "no scale"),
        ({"unit": b""}, "names no unit; give it, e.g. --unit uV"),
        ({"unit": b"-"}, "names no unit; give it, e.g. --unit uV"),
        ({"unit": b"mmHg"}, "is in mmHg, which is no voltage"),
        ({"fs_hz": 1, "signals": b"0"}, "header is broken: '0' signals"),
    ],
)
def test_a_refusal_names_a_remedy_that_works(tmp_path: Path, fields: dict[str, object], error: str) -> None:
    data = EdfFile(**fields).make()  # type: ignore[arg-type]
    with pytest.raises(SourceError, match=error) as refused:
        open_edf(tmp_path, data, channel=0)
    assert "\n" not in str(refused.value)
    if "--unit adc" in error or "no scale" in error:
        scaled = read_signal(open_edf(tmp_path, data, unit="adc", mv_per_unit=10 / 65_535))[1]
        np.testing.assert_allclose(scaled, MV, atol=6e-4)
    elif "--unit" in error or "voltage" in error:
        np.testing.assert_allclose(read_signal(open_edf(tmp_path, data, channel=0, unit="uV"))[1], MV / 1000, atol=1e-6)


def test_another_format_is_named(tmp_path: Path) -> None:
    for data, error in (
        (
            b"PAR1" + bytes(600),
            "no EDF file but a Parquet file; convert it in Python with pandas and pyarrow: pandas.read_parquet",
        ),
        (bytes(128) + b"DICM" + bytes(600), "a DICOM file"),
        (b"ISHNE1.0" + bytes(600), "ishne:PATH"),
        (b"ecg\n" + b"0.5\n" * 600, "no EDF file; WFDB records are read with wfdb:PATH, text with csv:PATH"),
    ):
        with pytest.raises(SourceError, match=error):
            open_edf(tmp_path, data)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(st.data())
def test_any_header_gives_a_signal_or_one_line(tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray(EdfFile(reserved=b"EDF+D", times=times(GAPS)).make())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.one_of(st.integers(0, 768), st.sampled_from([184, 236, 244, 252, 256 + 112, 256 + 432])))
        part = data.draw(st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from([b"-1", b"9e9", b"0", b"1e-9"])))
        whole[at : at + len(part)] = part
    cut = data.draw(st.one_of(st.just(len(whole)), st.integers(0, len(whole))))
    (tmp_path / "a.edf").write_bytes(whole[:cut])
    refused = ""
    try:
        source = open_source(f"edf:{tmp_path / 'a.edf'}", SourceOptions(channel=0))
        for _ in range(50):
            chunk = source.read(1000)
            assert chunk is not None
        source.close()
    except SourceError as error:
        refused = str(error)
    except EndOfStream:
        source.close()
    assert "\n" not in refused
    assert len(refused) - len(os.fspath(tmp_path)) < 1000
