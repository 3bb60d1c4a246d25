"""Two leads of a recording: both at the same times, however they are read."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources import Chunk, SourceOptions, open_source
from monitor.sources.repeated import RepeatedSource
from tests.monitor.sources.helpers import read_chunks


def record(folder: Path, fs_hz: int = 250, per_frame: tuple[int, int] = (1, 1)) -> str:
    """A record of 4 s with two leads; each sample has its number as its value, the second lead the negative one."""
    n = 4 * fs_hz
    at = np.arange(n) / 1000
    wfdb.wrsamp(
        "rec", fs=fs_hz, units=["mV", "mV"], sig_name=["II", "V1"], p_signal=np.stack((at, -at), axis=1),
        fmt=["16", "16"], adc_gain=[1000.0, 500.0], baseline=[0, 0], write_dir=str(folder),
    )  # fmt: skip
    if per_frame != (1, 1):
        header = folder / "rec.hea"
        lines = header.read_text().splitlines()
        lines = [line.replace(" 16 ", f" 16x{k} ", 1) for line, k in zip(lines[1:3], per_frame, strict=True)]
        header.write_text(f"rec 2 {fs_hz} {n // 2}\n" + "\n".join(lines) + "\n")
    return f"wfdb:{folder / 'rec'}"


def joined(chunks: list[Chunk]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    second = [chunk.second for chunk in chunks if chunk.second is not None]
    assert len(second) == len(chunks)
    return np.concatenate([chunk.samples for chunk in chunks]), np.concatenate(second)


@settings(max_examples=20)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=6))
def test_both_leads_have_the_same_times_however_they_are_read(cuts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = open_source(record(Path(folder)), SourceOptions(channel="II,V1", start_s=1.0))
        assert source.lead == "II,V1"
        chunks = read_chunks(source, tuple(cuts))
    first, second = joined(chunks)
    assert chunks[0].first_sample == 250
    np.testing.assert_allclose(first, np.arange(250, 1000) / 1000, atol=6e-4)
    np.testing.assert_allclose(second, -first, atol=2.1e-3)


def test_the_second_lead_may_be_named_first_and_by_number(tmp_path: Path) -> None:
    spec = record(tmp_path)
    by_name = joined(read_chunks(open_source(spec, SourceOptions(channel="V1, ii")), (300,)))
    by_number = joined(read_chunks(open_source(spec, SourceOptions(channel="1,0")), (300,)))
    np.testing.assert_array_equal(by_name, by_number)
    assert by_name[0][-1] < 0 < by_name[1][-1]


def test_leads_of_a_high_rate_are_both_decimated(tmp_path: Path) -> None:
    source = open_source(record(tmp_path, fs_hz=2000), SourceOptions(channel="II,V1"))
    assert source.fs_hz == 500
    first, second = joined(read_chunks(source, (333,)))
    assert first.size == second.size == 2000
    np.testing.assert_allclose(second[2:-2], -first[2:-2], atol=2.1e-3)


def test_an_unreadable_value_of_one_column_is_missing_in_that_lead(tmp_path: Path) -> None:
    rows = [f"{k / 250:.3f},{k % 7},{k % 5}" for k in range(500)]
    rows[100] = "0.400,?,3"
    rows[200] = "0.800,4,?"
    path = tmp_path / "two.csv"
    path.write_text("time,II [mV],V1 [mV]\n" + "\n".join(rows) + "\n")
    first, second = joined(read_chunks(open_source(f"csv:{path}", SourceOptions(column="II,V1")), (64,)))
    assert np.flatnonzero(np.isnan(first)).tolist() == [100]
    assert np.flatnonzero(np.isnan(second)).tolist() == [200]
    assert (first[101], second[101]) == (101 % 7, 101 % 5)


def test_a_repeated_record_keeps_both_leads(tmp_path: Path) -> None:
    options = SourceOptions(channel="II,V1", duration_s=10.0)
    chunks = read_chunks(RepeatedSource(open_source, record(tmp_path), options), (777,))
    first, second = joined(chunks)
    assert first.size == 2500
    np.testing.assert_allclose(second, -first, atol=2.1e-3)


@pytest.mark.parametrize(
    ("channel", "why"),
    [
        ("II,V9", r"no channel 'V9'; channels: 0 II .*, 1 V1"),
        ("V9,II", r"no channel 'V9'"),
        ("II,", r"'II,': give one lead, or two different ones, e\.g\. --channel MLII,V1$"),
        (",", r"give one lead, or two"),
        ("II,ii", r"two different ones"),
        ("1,01", r"two different ones"),
        ("II,0", r"II and 0 are both lead II; give two different ones, or both by number$"),
        ("II,V1,V2", r"'II,V1,V2': give one lead, or two"),
    ],
)
def test_a_wrong_pair_is_refused_in_one_line(tmp_path: Path, channel: str, why: str) -> None:
    with pytest.raises(SourceError, match=why) as refused:
        open_source(record(tmp_path), SourceOptions(channel=channel))
    assert "\n" not in str(refused.value)


def test_leads_of_different_rates_are_refused(tmp_path: Path) -> None:
    spec = record(tmp_path, per_frame=(2, 1))
    with pytest.raises(SourceError, match=r"lead II has 500 Hz and lead V1 250 Hz; two leads need the same"):
        open_source(spec, SourceOptions(channel="II,V1"))


@pytest.mark.parametrize("channel", ["A,B", "0,1"])
def test_the_simulator_has_one_lead(channel: str) -> None:
    with pytest.raises(SourceError, match=r"^sim:sinus=5: the simulator has one lead; leave out --channel$"):
        open_source("sim:sinus=5", SourceOptions(channel=channel))


def test_leads_of_one_name_are_told_apart_by_their_numbers(tmp_path: Path) -> None:
    spec = record(tmp_path)
    header = tmp_path / "rec.hea"
    header.write_text(header.read_text().replace("V1", "II"))
    first, second = joined(read_chunks(open_source(spec, SourceOptions(channel="0,1")), (300,)))
    np.testing.assert_allclose(second, -first, atol=2.1e-3)
