"""ISHNE Holter files: leads, scale, lead faults, checksum, cut-off files, any header."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.errors import SourceError
from monitor.sources import EndOfStream, Source, SourceOptions, open_source
from monitor.sources.files import ishne
from tests.monitor.sources.files.ishne_files import ishne_file
from tests.monitor.sources.files.opening import open_bytes
from tests.monitor.sources.helpers import notices_of, read_chunks, read_signal

COUNTS = np.rint(400 * np.sin(np.arange(6000)[:, None] / np.array([9.0, 11.0, 13.0]))).astype(np.int16)
MV = COUNTS * 2.5e-3


def open_ishne(folder: Path, data: bytes, **options: object) -> Source:
    return open_bytes(folder / "a.ecg", data, **options)


THREE = {"codes": (15, 6, 17), "resolution_nv": (2500, 2500, 2500)}


@pytest.mark.parametrize("piece_bytes", [1, 600, ishne.PIECE_BYTES])
def test_each_lead_is_read_by_name_and_number(
    tmp_path: Path, piece_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ishne, "PIECE_BYTES", piece_bytes)
    data = ishne_file(COUNTS, extra=b"pacemaker: none", **THREE)  # type: ignore[arg-type]
    source = open_ishne(tmp_path, data)
    assert (source.lead, source.fs_hz, source.total_samples) == ("II", 200, 6000)
    assert source.start_time == "2026-12-24T10:30:15+00:00"
    for wanted, lead in (("V5", 0), ("II", 1), ("ES", 2), (2, 2), ("v5", 0)):
        first, mv = read_signal(open_ishne(tmp_path, data, channel=wanted), (700, 1))
        assert first == 0
        np.testing.assert_allclose(mv, MV[:, lead])
    first, mv = read_signal(open_ishne(tmp_path, data, start_s=10.005, duration_s=5))
    assert first == 2001
    np.testing.assert_allclose(mv, MV[2001:3001, 1])


@pytest.mark.parametrize(
    ("codes", "lead"),
    [((0,), "ECG 1"), ((1,), "bipolar 1"), ((0, 0, 0), "ECG 1"), ((2, 3, 4), "VX"), ((99,), "ECG 1"), ((5,), "I")],
)
def test_a_lead_of_any_code_is_watched_without_a_flag(tmp_path: Path, codes: tuple[int, ...], lead: str) -> None:
    n = len(codes)
    source = open_ishne(tmp_path, ishne_file(COUNTS[:, :n], codes=codes, resolution_nv=(2500,) * n))
    assert source.lead == lead


def test_more_than_twelve_leads_are_read(tmp_path: Path) -> None:
    counts = np.tile(COUNTS, (1, 5))
    data = ishne_file(counts, codes=tuple(range(5, 17)), resolution_nv=(2500,) * 12)
    np.testing.assert_allclose(read_signal(open_ishne(tmp_path, data, channel=14))[1], counts[:, 14] * 2.5e-3)


def test_lead_faults_are_samples_without_a_value(tmp_path: Path) -> None:
    counts = COUNTS[:, :1].copy()
    counts[100:400] = -32_768
    mv = read_signal(open_ishne(tmp_path, ishne_file(counts)))[1]
    assert np.flatnonzero(np.isnan(mv)).tolist() == list(range(100, 400))


def test_a_wrong_checksum_is_reported_and_none_is_not(tmp_path: Path) -> None:
    for checksum, reported in ((None, 0), (0, 0), (12_345, 1)):
        chunks = read_chunks(open_ishne(tmp_path, ishne_file(COUNTS[:, :1], checksum=checksum)))
        assert len(notices_of(chunks, "bad_input")) == reported
        np.testing.assert_allclose(np.concatenate([chunk.samples for chunk in chunks]), MV[:, 0])
    assert "wrong checksum" in notices_of(chunks, "bad_input")[0].text


def test_the_checksum_is_that_of_the_paper() -> None:
    # CRC-CCITT with an initial value of 0xFFFF gives this for the nine digits.
    assert ishne.binascii.crc_hqx(b"123456789", 0xFFFF) == 0x29B1


@pytest.mark.parametrize("samples", [6000, 18_000])
def test_the_stated_length_may_be_that_of_all_leads(tmp_path: Path, samples: int) -> None:
    chunks = read_chunks(open_ishne(tmp_path, ishne_file(COUNTS, samples=samples, **THREE)))  # type: ignore[arg-type]
    assert notices_of(chunks, "bad_input") == []


def test_what_a_cut_off_file_holds_is_read_and_reported(tmp_path: Path) -> None:
    whole = ishne_file(COUNTS, **THREE)  # type: ignore[arg-type]
    for cut in (1, 5, 6, 1000, 6 * 5999):
        source = open_ishne(tmp_path, whole[:-cut], channel=2)
        chunks = read_chunks(source)
        n = 6000 - -(-cut // 6)
        np.testing.assert_allclose(np.concatenate([chunk.samples for chunk in chunks]), MV[:n, 2])
        assert f"{n} samples a lead, 6000 stated" in notices_of(chunks, "bad_input")[0].text


def test_a_file_that_becomes_shorter_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ishne, "PIECE_BYTES", 600)
    source = open_ishne(tmp_path, ishne_file(COUNTS[:, :1]))
    assert source.read(100) is not None
    os.truncate(tmp_path / "a.ecg", 1500)
    with pytest.raises(SourceError, match="became shorter"):
        read_signal(source)


def test_a_wrong_place_of_the_samples_is_that_behind_the_header(tmp_path: Path) -> None:
    for data_at in (0, -1, 2**30):
        data = ishne_file(COUNTS[:, :1], extra=b"text", data_at=data_at)
        np.testing.assert_allclose(read_signal(open_ishne(tmp_path, data))[1], MV[:, 0])


def test_a_start_of_no_calendar_is_unknown(tmp_path: Path) -> None:
    assert open_ishne(tmp_path, ishne_file(COUNTS[:, :1], start=(-9, -9, -9, 0, 0, 0))).start_time is None


@pytest.mark.parametrize("nv", [0, -9])
def test_a_lead_without_a_resolution_needs_the_scale(tmp_path: Path, nv: int) -> None:
    data = ishne_file(COUNTS[:, :1], resolution_nv=(nv,))
    with pytest.raises(SourceError, match=r"no resolution; .*--unit adc --mv-per-unit 0.0025"):
        open_ishne(tmp_path, data)
    np.testing.assert_allclose(read_signal(open_ishne(tmp_path, data, unit="adc", mv_per_unit=0.0025))[1], MV[:, 0])


def test_the_unit_can_be_overruled(tmp_path: Path) -> None:
    data = ishne_file(COUNTS[:, :1], resolution_nv=(5,))  # uV in the header of a program that knew no better
    np.testing.assert_allclose(read_signal(open_ishne(tmp_path, data, unit="uV"))[1], COUNTS[:, 0] * 5e-3)


def test_a_fast_recording_is_decimated_and_a_slow_one_refused(tmp_path: Path) -> None:
    assert open_ishne(tmp_path, ishne_file(COUNTS[:, :1], fs_hz=2000)).fs_hz == 500
    for fs_hz in (64, 0, -200):
        with pytest.raises(SourceError, match=f"{fs_hz} Hz; between 100 and"):
            open_ishne(tmp_path, ishne_file(COUNTS[:, :1], fs_hz=fs_hz))


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    whole = ishne_file(COUNTS[:, :1])
    for data, error in (
        (b"", "no ISHNE file; text"),
        (b"0.1\n0.2\n", "no ISHNE file; text is read with csv:PATH"),
        (b"ANN  1.0" + bytes(600), "an ISHNE file of annotations; open the .ecg file"),
        (b"PAR1", "no ISHNE file but a Parquet file"),
        (whole[:300], "cut off after 300 of 522 bytes"),
        (whole[:522], "holds no sample"),
        (whole[:156] + b"\0\0" + whole[158:], "header is broken: 0 leads"),
    ):
        with pytest.raises(SourceError, match=error) as refused:
            open_ishne(tmp_path, data)
        assert "\n" not in str(refused.value)
    for what, error in (("", "name the file"), (str(tmp_path), "Is a directory"), ("none.ecg", "No such file")):
        with pytest.raises(SourceError, match=error):
            open_source(f"ishne:{what}")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(st.data())
def test_any_header_gives_a_signal_or_one_line(tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray(ishne_file(COUNTS, extra=b"text", **THREE))  # type: ignore[arg-type]
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.one_of(st.integers(8, 525), st.sampled_from([10, 14, 22, 156, 206, 272])))
        part = data.draw(st.binary(min_size=1, max_size=4))
        whole[at : at + len(part)] = part
    (tmp_path / "a.ecg").write_bytes(whole[: data.draw(st.one_of(st.just(len(whole)), st.integers(0, len(whole))))])
    refused = ""
    try:
        source = open_source(f"ishne:{tmp_path / 'a.ecg'}", SourceOptions(channel=0))
        for _ in range(50):
            source.read(1000)
        source.close()
    except SourceError as error:
        refused = str(error)
    except EndOfStream:
        source.close()
    assert "\n" not in refused
