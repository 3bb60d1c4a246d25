"""WFDB records of several segments, and records of a day."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wfdb
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources import Source, SourceOptions, open_source
from tests.monitor.sources.helpers import read_a_day, read_chunks, read_signal


def segment(
    folder: Path, name: str, n: int, *, fs: float = 250, leads: tuple[str, ...] = ("II", "MLII"), unit: str = "mV",
    fmt: str = "16",
) -> NDArray[np.float64]:  # fmt: skip
    """Write a segment of wandering noise; return it as wfdb reads it, mV."""
    rng = np.random.default_rng(n)
    mv = np.cumsum(rng.normal(0, 0.02, (n, len(leads))), axis=0)
    scale = {"mV": 1, "uV": 1000}[unit]
    wfdb.wrsamp(
        name, fs=fs, units=[unit] * len(leads), sig_name=list(leads), p_signal=mv * scale, fmt=[fmt] * len(leads),
        write_dir=str(folder),
    )  # fmt: skip
    read: NDArray[np.float64] = wfdb.rdrecord(str(folder / name)).p_signal / scale
    return read


def master(folder: Path, length: int | str, *segments: str, time: str = "") -> Path:
    text = f"# made by a test\nall/{len(segments)} 2 250 {length} {time}\n" + "\n".join(segments) + "\n"
    (folder / "all.hea").write_text(text)
    return folder / "all"


def opened(path: Path, **options: object) -> Source:
    return open_source(f"wfdb:{path}", SourceOptions(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize("sizes", [(1,), (700, 64), (100_000,)])
def test_segments_are_joined_and_null_segments_are_nan(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    one, two = segment(tmp_path, "one", 600), segment(tmp_path, "two_2", 301, fmt="80")
    path = master(tmp_path, 1101, "one 600", "~ 200", "two_2 301", time="23:59:58.5 29/02/2024")
    source = opened(path)
    assert (source.lead, source.fs_hz, source.total_samples) == ("MLII", 250.0, 1101)
    assert source.start_time == "2024-02-29T23:59:58.500000+00:00"
    first, mv = read_signal(source, sizes)
    assert first == 0
    np.testing.assert_array_equal(mv, np.concatenate([one[:, 1], np.full(200, np.nan), two[:, 1]]))
    first, mv = read_signal(opened(path, channel="II", start_s=3.2, duration_s=0.4), sizes)
    assert first == 800
    np.testing.assert_array_equal(mv, two[:100, 0])


def test_a_lead_is_nan_in_segments_without_it(tmp_path: Path) -> None:
    one, two = segment(tmp_path, "one", 600), segment(tmp_path, "two", 300, leads=("MLII",), unit="uV")
    three = segment(tmp_path, "three", 100, leads=("V5",))
    (tmp_path / "layout.hea").write_text(
        "layout 3 250 0\n~ 0 200 16 0 0 0 0 II\n~ 0 200 16 0 0 0 0 MLII\n~ 0 200 16 0 0 0 0 V5\n"
    )
    path = master(tmp_path, 1000, "layout 0", "one 600", "two 300", "three 100")
    np.testing.assert_allclose(
        read_signal(opened(path))[1], [*one[:, 1], *two[:, 0], *[np.nan] * 100], rtol=0, atol=1e-12
    )
    np.testing.assert_array_equal(read_signal(opened(path, channel="V5"))[1], [*[np.nan] * 900, *three[:, 0]])
    np.testing.assert_array_equal(read_signal(opened(path, channel=0))[1], [*one[:, 0], *[np.nan] * 400])


def test_a_segment_with_another_rate_is_refused(tmp_path: Path) -> None:
    segment(tmp_path, "one", 600)
    segment(tmp_path, "two", 300, fs=360)
    path = master(tmp_path, 900, "one 600", "two 300")
    with pytest.raises(
        SourceError, match=f"two has 360 Hz, the record 250 Hz; resample it, or watch wfdb:{tmp_path}/two"
    ):
        opened(path)


@pytest.mark.parametrize(
    ("length", "segments", "error"),
    [
        (900, ("one 600", "gone 300"), r"segment gone: header .*gone\.hea cannot be read"),
        (900, ("one 600", "one 300"), "segment one holds 600 frames, the record says 300"),
        (1000, ("one 600", "~ 300"), "its segments hold 900 frames, its header promises 1000"),
        (900, ("one 600", "a/b 300"), r"segment a/b: header .*b\.hea cannot be read"),
        (900, ("one 600", "two"), "is broken"),
        (900, ("~ 900",), "holds no sample"),
        ("many", ("one 600",), "is broken"),
        (600, ("all 600",), "segment all: .* is itself a record of several segments"),
        (600, ("none 0", "one 600"), r"segment none: header .*none\.hea cannot be read"),
        (600, (), "is broken"),
    ],
)
def test_a_broken_record_is_refused_in_one_line(
    tmp_path: Path, length: int | str, segments: tuple[str, ...], error: str
) -> None:
    segment(tmp_path, "one", 600)
    with pytest.raises(SourceError, match=error) as refused:
        opened(master(tmp_path, length, *segments))
    assert "\n" not in str(refused.value)


def test_a_record_of_an_impossible_date_has_no_start_time(tmp_path: Path) -> None:
    segment(tmp_path, "one", 600)
    assert opened(master(tmp_path, 600, "one 600", time="12:00:00 31/02/2024")).start_time is None


@pytest.mark.parametrize("stated", [True, False])
def test_a_segment_that_is_cut_off_is_read_to_its_end(tmp_path: Path, stated: bool) -> None:
    one, two = segment(tmp_path, "one", 600), segment(tmp_path, "two", 300)
    (tmp_path / "one.dat").write_bytes((tmp_path / "one.dat").read_bytes()[:-1003])
    if not stated:
        header = tmp_path / "one.hea"
        header.write_text(header.read_text().replace("one 2 250 600", "one 2 250"))
    chunks = read_chunks(opened(master(tmp_path, 900, "one 600", "two 300")))
    expected = [*one[:349, 1], *[np.nan] * 251, *two[:, 1]]
    np.testing.assert_array_equal(np.concatenate([chunk.samples for chunk in chunks]), expected)
    (notice,) = chunks[0].notices
    assert notice.kind == "bad_input"
    assert "one" in notice.text
    assert notice.text.endswith("read to its end")


@pytest.mark.parametrize(
    ("fmt", "size", "there"), [("16", 399, 99), ("16", 397, 99), ("212", 299, 99), ("80", 199, 99), ("24", 599, 99)]
)
def test_a_signal_file_that_is_cut_off_is_read_to_its_end(tmp_path: Path, fmt: str, size: int, there: int) -> None:
    (tmp_path / "rec.dat").write_bytes(bytes(size))
    (tmp_path / "rec.hea").write_text("rec 2 250 100\n" + f"rec.dat {fmt} 200 12 0 0 0 0 II\n" * 2)
    (chunk,) = read_chunks(opened(tmp_path / "rec"))
    assert chunk.samples.size == there
    assert f"holds {size} bytes, its header promises" in chunk.notices[0].text


@pytest.mark.parametrize(("fmt", "size"), [("16", 399), ("212", 298)])
def test_without_a_length_in_the_header_all_whole_samples_are_read(tmp_path: Path, fmt: str, size: int) -> None:
    (tmp_path / "rec.dat").write_bytes(b"\x11" * size)
    (tmp_path / "rec.hea").write_text("rec 2 250\n" + f"rec.dat {fmt} 200 12 0 0 0 0 II\n" * 2)
    first, mv = read_signal(opened(tmp_path / "rec", channel=1))
    assert (first, mv.size) == (0, 99)
    assert np.isfinite(mv).all()


DAY = 24 * 3600 * 360


@pytest.mark.parametrize(
    "kind", ["16", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("212", "80", "segments"))]
)
def test_reading_a_day_takes_no_more_memory_than_a_minute(tmp_path: Path, kind: str) -> None:
    fmt = "16" if kind == "segments" else kind
    n = DAY // 24 if kind == "segments" else DAY
    with (tmp_path / "rec.dat").open("wb") as file:
        file.truncate(n * {"16": 4, "212": 3, "80": 2}[fmt])  # two signals; a sparse file takes no space
    lines = f"rec.dat {fmt} 200 12 0 0 0 0 II\n" * 2
    (tmp_path / "rec.hea").write_text(f"rec 2 360 {n}\n{lines}")
    if kind == "segments":
        for hour in range(24):
            (tmp_path / f"h{hour}.hea").write_text(f"h{hour} 2 360 {n}\n{lines}")
        (tmp_path / "rec.hea").write_text(f"rec/24 2 360 {DAY}\n" + "".join(f"h{hour} {n}\n" for hour in range(24)))
    samples, growth_kib = read_a_day(f"wfdb:{tmp_path / 'rec'}")
    assert samples == DAY
    assert growth_kib < 10 * 1024 < DAY * 8 / 1024
