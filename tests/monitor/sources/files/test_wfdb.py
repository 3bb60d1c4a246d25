"""Replay of WFDB records: equal to wfdb, found or downloaded, refused in one line."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import SourceError
from monitor.sources import EndOfStream, Source, SourceOptions, open_source
from monitor.sources.files.record_files import find_record, records
from monitor.sources.files.wfdb_segments import open_record
from tests.monitor.sources.helpers import read_signal

DATA = Path(os.environ.get("ECG_MONITOR_DATA", "/nowhere"))
needs_data = pytest.mark.skipif(not (DATA / "mitdb" / "208.dat").is_file(), reason="ECG_MONITOR_DATA has no mitdb")


def write_record(
    folder: Path, name: str = "rec", *, fmt: str = "16", n: int = 3001, units: str = "mV", fs: float = 250
) -> Path:
    """Write a record of three signals with invalid samples, by wfdb."""
    rng = np.random.default_rng(5)
    mv = np.cumsum(rng.normal(0, 0.02, (n, 3)), axis=0)
    mv[7:9, 1] = np.nan
    wfdb.wrsamp(
        name,
        fs=fs,
        units=[units] * 3,
        sig_name=["I", "MLII", "V1 lead"],
        p_signal=mv,
        fmt=[fmt] * 3,
        write_dir=str(folder),
        base_datetime=datetime(2024, 2, 29, 23, 59, 58, 250_000),
    )
    return folder / name


def open_at(path: Path, **options: object) -> Source:
    return open_source(f"wfdb:{path}", SourceOptions(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize("fmt", ["16", "212", "24", "80"])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_every_format_equals_wfdb(tmp_path: Path, fmt: str, channel: int) -> None:
    path = write_record(tmp_path, fmt=fmt)
    first, mv = read_signal(open_at(path, channel=channel), (1, 999, 64))
    assert first == 0
    np.testing.assert_array_equal(mv, wfdb.rdrecord(str(path)).p_signal[:, channel])
    assert np.isnan(mv).any() == (channel == 1)


@settings(max_examples=40, deadline=None)
@given(
    start=st.integers(0, 2999),
    length=st.integers(1, 3001),
    sizes=st.lists(st.integers(0, 700), min_size=1, max_size=5).filter(any),
    fmt=st.sampled_from(["16", "212"]),
    piece=st.integers(1, 1000),
)
def test_any_part_of_a_record_equals_wfdb(
    tmp_path_factory: pytest.TempPathFactory, start: int, length: int, sizes: list[int], fmt: str, piece: int
) -> None:
    path = tmp_path_factory.getbasetemp() / f"cut{fmt}"
    if not path.with_suffix(".hea").exists():
        write_record(path.parent, path.name, fmt=fmt)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("monitor.sources.files.wfdb.PIECE_SAMPLES", piece)
        first, mv = read_signal(open_at(path, start_s=start / 250, duration_s=length / 250), sizes)
    assert first == start
    np.testing.assert_array_equal(mv, wfdb.rdrecord(str(path)).p_signal[start : start + length, 1])


def test_attributes_come_from_the_header(tmp_path: Path) -> None:
    source = open_at(write_record(tmp_path))
    assert (source.lead, source.fs_hz, source.live, source.total_samples) == ("MLII", 250.0, False, 3001)
    assert source.start_time == "2024-02-29T23:59:58.250000+00:00"
    source = open_at(tmp_path / "rec.hea", channel="V1 lead", start_s=2.0)
    assert (source.lead, source.total_samples) == ("V1 lead", 2501)


def test_the_end_of_stream_repeats(tmp_path: Path) -> None:
    source = open_at(write_record(tmp_path))
    read_signal(source)
    for _ in range(2):
        with pytest.raises(EndOfStream):
            source.read(10)
    source.close()
    source.close()


@pytest.mark.parametrize(("units", "factor"), [("uV", 1e-3), ("V", 1e3), ("mV", 1.0)])
def test_all_units_are_converted_to_mv(tmp_path: Path, units: str, factor: float) -> None:
    path = write_record(tmp_path, units=units)
    np.testing.assert_array_equal(read_signal(open_at(path))[1], wfdb.rdrecord(str(path)).p_signal[:, 1] * factor)


@needs_data
@pytest.mark.parametrize("db", ["cudb", *(pytest.param(db, marks=pytest.mark.slow) for db in ("mitdb", "nstdb"))])
def test_headers_of_the_databases_equal_wfdb(db: str) -> None:
    for path in sorted((DATA / db).glob("*.hea")):
        ours = open_record(path.with_suffix(""), db)
        header = wfdb.rdheader(str(path.with_suffix("")))
        assert (ours.frame_hz, ours.open(0)) == (header.fs, header.sig_len)
        assert [s.name for s in ours.signals] == header.sig_name
        assert [s.unit for s in ours.signals] == header.units
        assert [(s.gain, s.baseline, s.bits, s.zero) for s in ours.signals] == list(
            zip(header.adc_gain, header.baseline, header.adc_res, header.adc_zero, strict=True)
        )


@needs_data
@pytest.mark.parametrize(
    "spec",
    [
        "mitdb:208",
        *(
            pytest.param(spec, marks=pytest.mark.slow)
            for spec in ("mitdb:114", "nstdb:118e06", "nstdb:119e_6", "cudb:cu01", "cudb:cu19")
        ),
    ],
)
def test_a_whole_record_equals_wfdb(spec: str) -> None:
    source = open_source(spec)
    theirs = wfdb.rdrecord(str(DATA / spec.replace(":", "/")))
    channel = theirs.sig_name.index("MLII") if "MLII" in theirs.sig_name else 0
    assert source.lead == theirs.sig_name[channel]
    np.testing.assert_array_equal(read_signal(source, (50_000,))[1], theirs.p_signal[:, channel])


@needs_data
def test_rails_come_from_the_header_if_they_are_plausible() -> None:
    assert open_source("mitdb:208").rails_mv == (-5.12, 5.115)
    assert open_source("nstdb:118e06").rails_mv is None, "its samples exceed the rails of its header"


@needs_data
def test_a_missing_record_lists_similar_names() -> None:
    with pytest.raises(SourceError, match=r"mitdb has no record '280'; nearest: .*20"):
        open_source("mitdb:280")


@pytest.mark.parametrize("spec", ["mitdb:", "mitdb:../x", "cudb:a/b"])
def test_an_invalid_record_name_is_refused(spec: str) -> None:
    with pytest.raises(SourceError, match="no record name"):
        open_source(spec)


def test_errors_are_specific(tmp_path: Path) -> None:
    path = write_record(tmp_path)
    with pytest.raises(SourceError, match=r"no channel 'V6'; channels: 0 I .*, 1 MLII .*, 2 V1 lead"):
        open_at(path, channel="V6")
    with pytest.raises(SourceError, match="no channel '3'"):
        open_at(path, channel=3)
    with pytest.raises(SourceError, match=r"nearest: rec"):
        open_at(tmp_path / "reck")
    with pytest.raises(SourceError, match=r"holds no \.hea"):
        open_at(tmp_path / "elsewhere" / "rec")
    with pytest.raises(SourceError, match=r"start 99 s is behind its end at 12\.004 s"):
        open_at(path, start_s=99.0)
    with pytest.raises(SourceError, match="duration 0 s"):
        open_at(path, duration_s=0.0)
    with pytest.raises(SourceError, match="start -1 s"):
        open_at(path, start_s=-1.0)
    with pytest.raises(SourceError, match="no channel is an ECG"):
        open_at(write_record(tmp_path, "pressure", units="mmHg"))
    with pytest.raises(SourceError, match="50 Hz; between 100 and 100000 Hz"):
        open_at(write_record(tmp_path, "slow", fs=50))


@pytest.mark.parametrize(
    "header",
    ["", "\x00\x01\x02", "rec\n", "rec 1 abc 100\n", "rec 0 250 0\n", "rec 1 250 100\nrec.dat 99 200 11 0 0 0 0 I\n"],
)
def test_a_broken_header_is_refused_in_one_line(tmp_path: Path, header: str) -> None:
    (tmp_path / "rec.hea").write_text(header)
    (tmp_path / "rec.dat").write_bytes(bytes(400))
    with pytest.raises(SourceError) as refused:
        open_at(tmp_path / "rec")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("length", ["", " 0"])
def test_an_empty_signal_file_is_refused(tmp_path: Path, length: str) -> None:
    (tmp_path / "rec.hea").write_text(f"rec 1 250{length}\nrec.dat 16 200 11 0 0 0 0 I\n")
    (tmp_path / "rec.dat").write_bytes(b"")
    with pytest.raises(SourceError, match="no sample"):
        open_at(tmp_path / "rec")


def test_a_short_or_missing_signal_file_is_an_error(tmp_path: Path) -> None:
    path = write_record(tmp_path)
    dat = path.with_suffix(".dat")
    whole, whole_mv = dat.read_bytes(), read_signal(open_at(path))[1]
    dat.write_bytes(whole[:1000])
    source = open_at(path)
    assert source.total_samples == 166
    chunk = source.read(1000)
    assert chunk is not None
    assert [notice.kind for notice in chunk.notices] == ["bad_input"]
    assert "cut off: it holds 1000 bytes, its header promises 18006; read to its end" in chunk.notices[0].text
    np.testing.assert_array_equal(chunk.samples, whole_mv[:166])
    dat.unlink()
    with pytest.raises(SourceError, match=r"rec\.dat cannot be read"):
        open_at(path)
    dat.write_bytes(whole)
    source = open_at(path)
    dat.unlink()
    with pytest.raises(SourceError, match="sample 0 cannot be read"):
        source.read(10)
    dat.write_bytes(whole[:1000])
    with pytest.raises(SourceError, match="became shorter"):
        source.read(10)


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("ECG_MONITOR_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ecg-monitor" / "mitdb"


def test_a_record_is_found_in_the_cache_and_never_downloaded(empty_cache: Path) -> None:
    remedy = r"ecg-monitor fetch mitdb:100.*set ECG_MONITOR_DATA"
    with pytest.raises(SourceError, match=remedy):
        find_record("mitdb", "100")
    with pytest.raises(SourceError, match=r"ecg-monitor fetch mitdb`.*set ECG_MONITOR_DATA"):
        records("mitdb")
    assert not empty_cache.exists()
    empty_cache.mkdir(parents=True)
    write_record(empty_cache, "100")
    assert find_record("mitdb", "100") == empty_cache / "100"
    (empty_cache / "RECORDS").write_text("100\n101\n")
    with pytest.raises(SourceError, match=r"no record '10'; nearest: 101, 100"):
        find_record("mitdb", "10")
