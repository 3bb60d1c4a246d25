"""WFDB sample formats: any bytes, in any pieces, equal what wfdb reads in one piece."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources import SourceOptions, open_source
from monitor.sources.files.wfdb_formats import FLAC_BITS, FORMATS
from monitor.sources.files.wfdb_segments import open_record
from tests.monitor.sources.helpers import read_signal

FRAMES = 501  # no whole number of blocks in formats 212, 310 and 311


def garbage(folder: Path, fmt: str, per_frame: tuple[int, ...] = (1,), offset: int = 0, tail: str = "") -> Path:
    """Write a record of FRAMES frames whose signal file holds random bytes: a valid signal in every plain format."""
    samples = FRAMES * sum(per_frame)
    content = np.random.default_rng(int(fmt)).integers(0, 256, offset + FORMATS[fmt].bytes_of(samples), dtype=np.uint8)
    if fmt == "311":
        content[offset + 3 :: 4] &= 0x3F  # two bits are not used; wfdb takes one of them for a part of the third sample
    (folder / "rec.dat").write_bytes(content.tobytes())
    lines = "".join(f"rec.dat {fmt}x{each}{tail}+{offset} 200(3)/mV 12 7 -5 0 0 s{each}\n" for each in per_frame)
    (folder / "rec.hea").write_text(f"rec {len(per_frame)} 250 {FRAMES}\n{lines}")
    return folder / "rec"


def by_wfdb(path: Path) -> list[NDArray[np.float64]]:
    signals: list[NDArray[np.float64]] = wfdb.rdrecord(str(path), smooth_frames=False).e_p_signal
    return signals


@pytest.mark.parametrize("offset", [0, 24])
@pytest.mark.parametrize("per_frame", [(1,), (4, 1), (2, 1, 3)])
@pytest.mark.parametrize("fmt", FORMATS)
def test_every_format_equals_wfdb_in_pieces(tmp_path: Path, fmt: str, per_frame: tuple[int, ...], offset: int) -> None:
    path = garbage(tmp_path, fmt, per_frame, offset)
    record, expected = open_record(path, "rec"), by_wfdb(path)
    for channel, each in enumerate(per_frame):
        assert record.open(channel) == FRAMES
        for size in (FRAMES * each, 97):
            pieces = [record.read(channel, at, min(at + size, FRAMES * each)) for at in range(0, FRAMES * each, size)]
            np.testing.assert_array_equal(np.concatenate(pieces), expected[channel])


@settings(max_examples=60, deadline=None)
@given(
    fmt=st.sampled_from(sorted(FORMATS)),
    ranges=st.lists(st.tuples(st.integers(0, 2 * FRAMES), st.integers(0, 2 * FRAMES)), min_size=1, max_size=5),
    block=st.integers(1, 5000),
)
def test_any_range_in_any_order_is_a_part_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, fmt: str, ranges: list[tuple[int, int]], block: int
) -> None:
    path = garbage(tmp_path_factory.mktemp("any"), fmt, (2, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("monitor.sources.files.wfdb_formats.BLOCK_BYTES", block)
        record = open_record(path, "rec")
        record.open(0)
        whole = record.read(0, 0, 2 * FRAMES)
        for start, stop in map(sorted, ranges):
            np.testing.assert_array_equal(record.read(0, start, stop), whole[start:stop])


@pytest.mark.parametrize("fmt", ["8", "16", "212", "311"])
def test_a_skewed_signal_is_shifted_and_ends_early(tmp_path: Path, fmt: str) -> None:
    straight = by_wfdb(garbage(tmp_path, fmt, (4, 1)))
    path = garbage(tmp_path, fmt, (4, 1), tail=":7")
    record = open_record(path, "rec")
    for channel, each in enumerate((4, 1)):
        record.open(channel)
        expected = np.concatenate([straight[channel][7 * each :], np.full(7 * each, np.nan)])
        pieces = [record.read(channel, at, min(at + 50, FRAMES * each)) for at in range(0, FRAMES * each, 50)]
        np.testing.assert_array_equal(np.concatenate(pieces), expected)


@pytest.mark.parametrize("fmt", list(FORMATS))
def test_without_a_length_all_whole_frames_are_read(tmp_path: Path, fmt: str) -> None:
    path = garbage(tmp_path, fmt, (2, 1))
    whole = open_record(path, "rec")
    whole.open(0)
    header = path.with_suffix(".hea")
    header.write_text(header.read_text().replace(f"250 {FRAMES}", "250"))
    record = open_record(path, "rec")
    assert record.open(0) == FRAMES
    np.testing.assert_array_equal(record.read(0, 0, 2 * FRAMES), whole.read(0, 0, 2 * FRAMES))


def test_format_8_has_no_step_where_a_piece_begins(tmp_path: Path) -> None:
    slow = np.round(400 * np.sin(np.arange(300_000) / 4000)).astype(np.int64)
    (tmp_path / "rec.dat").write_bytes(np.diff(slow, prepend=0).astype("i1").tobytes())
    (tmp_path / "rec.hea").write_text("rec 1 250 300000\nrec.dat 8 200/mV 12 0 0 0 0 II\n")
    np.testing.assert_array_equal(read_signal(open_source(f"wfdb:{tmp_path / 'rec'}"))[1], slow / 200)
    first, mv = read_signal(open_source(f"wfdb:{tmp_path / 'rec'}", SourceOptions(start_s=1000)))
    np.testing.assert_array_equal(mv, slow[first:] / 200)


@pytest.mark.parametrize("fmt", FLAC_BITS)
@pytest.mark.parametrize("per_frame", [1, 4])
def test_flac_equals_wfdb_in_pieces(tmp_path: Path, fmt: str, per_frame: int) -> None:
    bits = FLAC_BITS[fmt]
    counts = np.random.default_rng(1).integers(-(1 << bits - 1), 1 << bits - 1, (2000, 2))
    wfdb.wrsamp(
        "rec", fs=250 / per_frame, units=["mV"] * 2, sig_name=["II", "V1"], fmt=[fmt] * 2, adc_gain=[200.0] * 2,
        baseline=[3, -3], write_dir=str(tmp_path), samps_per_frame=[per_frame] * 2,
        **({"d_signal": counts} if per_frame == 1 else {"e_d_signal": list(counts.T)}),
    )  # fmt: skip
    expected = by_wfdb(tmp_path / "rec")
    for channel in (0, 1):
        source = open_source(f"wfdb:{tmp_path / 'rec'}", SourceOptions(channel=channel, held_s=0.5))
        assert source.fs_hz == 250
        np.testing.assert_array_equal(read_signal(source)[1], expected[channel])


@pytest.mark.parametrize("content", [b"", b"no FLAC", b"fLaC" + bytes(200)])
def test_a_broken_flac_file_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rec.dat").write_bytes(content)
    (tmp_path / "rec.hea").write_text("rec 1 250 100\nrec.dat 516 200/mV 12 0 0 0 0 II\n")
    with pytest.raises(SourceError, match=r"rec\.dat: no FLAC file") as refused:
        open_source(f"wfdb:{tmp_path / 'rec'}")
    assert "\n" not in str(refused.value)
