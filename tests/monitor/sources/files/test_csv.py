"""CSV files: accepted layouts, bad rows, refused files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detector import Detector, Event
from monitor.errors import SourceError
from monitor.sources import Source, SourceOptions, open_source
from monitor.sources.files import csv as csv_source
from tests.detector.helpers_signals import beats_of, keys, synthetic_ecg
from tests.monitor.sources.helpers import notices_of, read_chunks, read_signal, traced


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ecg.csv"


def open_csv(file: Path, text: str | bytes, **options: object) -> Source:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_source(f"csv:{file}", SourceOptions(**options))  # type: ignore[arg-type]


def column(values: list[float]) -> str:
    return "".join(f"{value}\n" for value in values)


WAVE = [round(0.8 * math.sin(i / 9), 4) for i in range(600)]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (column(WAVE), {"fs_hz": 250}),
        (column(WAVE).replace("\n", "\r\n"), {"fs_hz": 250}),
        (column(WAVE).replace("\n", "\r"), {"fs_hz": 250}),
        (column(WAVE).rstrip("\n"), {"fs_hz": 250}),
        ("\ufeffecg\n" + column(WAVE), {"fs_hz": 250}),
        ("# made by hand\n\nMLII [mV]\n" + column(WAVE), {"fs_hz": 250}),
        ("ecg_uV\n" + column([v * 1000 for v in WAVE]), {"fs_hz": 250}),
        ("ecg_mV\n" + column([v * 1000 for v in WAVE]), {"fs_hz": 250, "unit": "uV"}),  # a wrong header
        (column([v / 1000 for v in WAVE]), {"fs_hz": 250, "unit": "V"}),
        (column([round(v * 10_000) for v in WAVE]), {"fs_hz": 250, "unit": "adc", "mv_per_unit": 1e-4}),
        ("time,ecg\n" + "".join(f"{i / 250:.3f},{v}\n" for i, v in enumerate(WAVE)), {}),
        ("time_ms;ecg\n" + "".join(f"{i * 4};{v}\n" for i, v in enumerate(WAVE)), {}),
        ("time\tecg\n" + "".join(f"{i * 4}\t{v}\n" for i, v in enumerate(WAVE)), {}),
        ("Zeit;EKG\n" + "".join(f"{i / 250:.3f};{v}\n" for i, v in enumerate(WAVE)).replace(".", ","), {}),
        ("EKG\n" + column(WAVE).replace(".", ","), {"fs_hz": 250}),
        ("'Elapsed time','MLII'\n'sec','mV'\n" + "".join(f"{i / 250:.3f},{v}\n" for i, v in enumerate(WAVE)), {}),
        ("time;ecg\n" + "".join(f"{i};{v}\n" for i, v in enumerate(WAVE)), {"fs_hz": 250}),
        ("a,b,ecg\n" + "".join(f"x,{i},{v}\n" for i, v in enumerate(WAVE)), {"fs_hz": 250, "column": "ecg"}),
        ("".join(f"{i} {v}\n" for i, v in enumerate(WAVE)), {"fs_hz": 250, "column": 1}),
        ("".join(f"{i},{v}\n" for i, v in enumerate(WAVE)), {"fs_hz": 250, "channel": 1}),
    ],
)
def test_layouts(file: Path, text: str, options: dict[str, object]) -> None:
    source = open_csv(file, text, **options)
    assert source.fs_hz == 250
    chunks = read_chunks(source, (77,))
    np.testing.assert_allclose(np.concatenate([c.samples for c in chunks]), WAVE, atol=1e-9)
    assert notices_of(chunks, "bad_input") == []


@pytest.mark.parametrize("fs_hz", [100, 125, 128, 257, 360, 500, 1000])
def test_the_rate_comes_from_rounded_times(file: Path, fs_hz: int) -> None:
    text = "time,ecg\n" + "".join(f"{i / fs_hz:.3f},0.5\n" for i in range(2000))
    source = open_csv(file, text)
    assert source.fs_hz == pytest.approx(fs_hz, rel=1e-3)
    assert read_signal(source)[1].size == 2000, "rounding is no gap"


GOOD = st.floats(-5, 5).map(lambda v: f"{v:.4f}")
BAD = st.sampled_from(
    ["", "abc", "nan", "NaN", "inf", "-inf", "1e400", "1e9", "1_0", "0x10", "--1", "1,5", "٣", " ", "\x07"]
)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.one_of(GOOD, GOOD, BAD), min_size=1, max_size=60).filter(lambda r: r[0] in r and ok(r[0])),
    sizes=st.lists(st.integers(0, 20), min_size=1, max_size=4).filter(any),
    piece=st.integers(1, 50),
)
@example(rows=["0.0000", "1e400", "1e400"], sizes=[1], piece=1)  # half of the rows, then most of them, are no value
@example(rows=["0.0000", *["1e400"] * 9], sizes=[7], piece=50)
def test_bad_rows_are_nan_and_counted(
    tmp_path_factory: pytest.TempPathFactory, rows: list[str], sizes: list[int], piece: int
) -> None:
    rows = ["0.0", *rows]
    file = tmp_path_factory.getbasetemp() / "bad.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_source, "PIECE_BYTES", piece)
        source = open_csv(file, "ecg\n" + "\n".join(rows) + "\n", fs_hz=250)
        chunks = read_chunks(source, sizes)
        source.close()
    mv = np.concatenate([chunk.samples for chunk in chunks])
    # Under a header of one column 1,5 is a decimal comma.
    expected = [float(r.replace(",", ".")) if ok(r) else math.nan for r in rows]
    np.testing.assert_array_equal(mv, expected)
    notices = notices_of(chunks, "bad_input")
    assert sum(notice.count for notice in notices) == sum(not ok(r) for r in rows)
    assert all(len(chunk.notices) <= 1 for chunk in chunks)
    if notices:
        first = next(i for i, r in enumerate(rows) if not ok(r))
        assert f"e.g. line {first + 2} '" in notices[0].text


def ok(text: str) -> bool:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return False
    return abs(value) <= 1000 and text.isascii() and "_" not in text


def test_time_jumps_are_gaps(file: Path) -> None:
    times = [*range(0, 400, 4), *range(1400, 1800, 4), *range(100_000, 100_400, 4)]
    text = "ms,ecg\n" + "".join(f"{t},{t % 7}\n" for t in times)
    for sizes in ((1000,), (1,), (7, 64)):
        chunks = read_chunks(open_csv(file, text), sizes)
        samples = {c.first_sample + i: v for c in chunks for i, v in enumerate(c.samples)}
        assert samples == {t // 4: t % 7 for t in times}


@pytest.mark.parametrize("lost", [{1000}, {1001, 1002}, {900, 905, 906, 907, 908, 1400}, set(range(1000, 1150))])
def test_garbled_rows_and_missing_rows_give_the_same_beats(file: Path, lost: set[int]) -> None:
    """Bridged, unscored or a hole: the detector sees no difference."""
    signal, _ = synthetic_ecg(250.0, 12, seed=4)
    rows = [f"{i * 4},{'?#' if i in lost else f'{mv:.4f}'}\n" for i, mv in enumerate(signal)]
    found = []
    for kept in (rows, [row for row in rows if "?" not in row]):
        detector = Detector(250.0)
        events: list[Event] = []
        for chunk in read_chunks(open_csv(file, "ms,ecg\n" + "".join(kept)), (97,)):
            events += detector.advance(chunk.samples, chunk.first_sample)
        found.append(beats_of(events + detector.flush()))
    assert keys(found[0]) == keys(found[1])
    assert len(found[0]) > 10


@pytest.mark.parametrize("broken", ["nan", "1e300", "-5", "", "x"])
def test_a_single_broken_time_is_ignored(file: Path, broken: str) -> None:
    lines = [f"{i * 4},{i % 5}" for i in range(300)]
    lines[150] = f"{broken},0"
    first, mv = read_signal(open_csv(file, "ms,ecg\n" + "\n".join(lines) + "\n"))
    assert (first, mv.size) == (0, 300)


LANGUAGES = [
    ("Zeit;Spannung (mV)", "Spannung", 1),
    ("Zeit [s];EKG [mV]", "EKG", 1),
    ("Temps (s);Tension (µV)", "Tension", 1000),
    ("Tempo (s);Tensão (mV)", "Tensão", 1),
    ("Tijd;Spanning", "Spanning", 1),
    ("Время;Напряжение", "Напряжение", 1),
    ("時間;電圧(mV)", "電圧", 1),
]


@pytest.mark.parametrize(("header", "lead", "scale"), LANGUAGES)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_headers_in_other_languages_with_decimal_commas(
    file: Path, header: str, lead: str, scale: int, encoding: str
) -> None:
    rows = "".join(f"{i / 250:.3f};{v * scale:.4f}\n" for i, v in enumerate(WAVE)).replace(".", ",")
    try:
        data = f"{header}\n{rows}".encode(encoding)
    except UnicodeEncodeError:
        data = f"{header}\n{rows}".encode()
    source = open_csv(file, data)
    assert (source.fs_hz, source.lead) == (250, lead)
    np.testing.assert_allclose(read_signal(source)[1], WAVE, atol=1e-9)
    source = open_csv(file, data, fs_hz=250)
    assert source.lead == lead, "the time column is not the ECG"
    source.close()


@pytest.mark.parametrize("piece", [40, 1500, csv_source.PIECE_BYTES])
def test_time_that_runs_back_is_reported_and_later_gaps_are_found(
    file: Path, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_source, "PIECE_BYTES", piece)
    times = [
        *(3_600_000 + 4 * i for i in range(250)),
        *(4 * i for i in range(100)),
        *(4 * i + 2000 for i in range(100)),
    ]
    text = "ms,ecg\n" + "".join(f"{t},{i / 1000}\n" for i, t in enumerate(times))
    chunks = read_chunks(open_csv(file, text), (77,))
    samples = {c.first_sample + i: v for c in chunks for i, v in enumerate(c.samples)}
    assert samples == {i + (400 if i >= 350 else 0): i / 1000 for i in range(450)}
    (notice,) = notices_of(chunks, "bad_input")
    assert notice.count == 1
    assert "ran back or jumped 1 times" in notice.text


def test_ten_megabytes_without_a_line_end_are_one_bad_row_in_bounded_memory(file: Path) -> None:
    file.write_bytes(b"0.1\n0.2\n" + b"7" * 10_000_000 + b"\n0.3\n")
    with traced() as memory:
        chunks = read_chunks(open_source(f"csv:{file}", SourceOptions(fs_hz=250)))
        assert memory()[1] < 4_000_000
    np.testing.assert_array_equal(np.concatenate([c.samples for c in chunks]), [0.1, 0.2, math.nan, 0.3])
    assert [notice.count for notice in notices_of(chunks, "bad_input")] == [1]


@pytest.mark.parametrize(("cut", "bad"), [(1, 0), (6, 1), (7, 1)])
def test_a_file_cut_off_within_a_row(file: Path, cut: int, bad: int) -> None:
    text = "ms;ecg\n" + "".join(f"{4 * i};0,123\n" for i in range(300))
    chunks = read_chunks(open_csv(file, text[:-cut]))
    mv = np.concatenate([chunk.samples for chunk in chunks])
    assert mv.size == 300
    assert np.isnan(mv).sum() == bad
    assert sum(notice.count for notice in notices_of(chunks, "bad_input") if "unreadable" in notice.text) == bad


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 900), min_size=1, max_size=5).filter(any),
    piece=st.integers(1, 5000),
    start=st.integers(0, 599),
    length=st.integers(1, 600),
)
def test_the_signal_does_not_depend_on_read_and_piece_sizes(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], piece: int, start: int, length: int
) -> None:
    file = tmp_path_factory.getbasetemp() / "cut.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_source, "PIECE_BYTES", piece)
        source = open_csv(file, column(WAVE), fs_hz=250, start_s=start / 250, duration_s=length / 250)
        first, mv = read_signal(source, sizes)
        source.close()
    assert first == start
    np.testing.assert_array_equal(mv, WAVE[start : start + length])


def test_memory_does_not_grow_with_the_file(file: Path) -> None:
    source = open_csv(file, column(WAVE * 120), fs_hz=250)
    with traced() as memory:
        assert read_signal(source, (5000,))[1].size == 600 * 120
        assert memory()[1] < 600 * 120 * 8 + 60 * csv_source.PIECE_BYTES, "the signal itself, and what one piece needs"


@pytest.mark.parametrize(
    ("text", "options", "error"),
    [
        (b"", {}, "the file is empty"),
        (b"\n\n\n", {}, "no number"),
        (b"# only words\n", {}, "no number"),
        (b"ecg\n", {"fs_hz": 250}, "no number"),
        (b"ecg\nabc\n" * 20_000, {"fs_hz": 250}, "no number"),
        (bytes(range(256)) * 40, {"fs_hz": 250}, "binary"),
        (b"0.1\n0.2\n", {}, "--fs"),
        (b"0.1\n0.2\n", {"fs_hz": 50}, "50 Hz"),
        (b"0.1\n0.2\n", {"fs_hz": math.nan}, "nan"),
        (b"0.1\n0.2\n", {"fs_hz": -250}, "-250"),
        (b"0.1\n0.2\n", {"fs_hz": 250, "column": 3}, "no channel '3'"),
        (b"a,b\n0.1,2\n", {"fs_hz": 250, "column": "c"}, "no channel 'c'; channels: 0 a (0.1), 1 b (2)"),
        (
            b"0.1,0.2,0.3\n0.1,0.2,0.3\n",
            {"fs_hz": 250},
            "choose one with --column: 0 (0.1 0.1), 1 (0.2",
        ),
        (b"0,123\n0,124\n", {"fs_hz": 250}, "decimal comma or two columns"),
        (b"0.1\n", {"fs_hz": 250, "unit": "furlong"}, "'furlong'"),
        (b"0.1\n", {"fs_hz": 250, "unit": "adc"}, "--mv-per-unit"),
        (b"time,ecg\n0,1\n1,1\n2,1\n3,1\n", {}, "in s, ms, us, ns or samples?"),
        (b"time,ecg\n5,1\n5,1\n5,1\n5,1\n", {}, "no time column"),
        (b"time,ecg\n0,1\n4,1\n9,1\n100,1\n101,1\n300,1\n", {}, "no time column"),
        (b"time,ecg\n100,1\n300,1\n500,1\n", {}, "steps by 200"),
        (b"0.1," * 40_000, {"fs_hz": 250, "column": 0}, "longer than 65536"),
    ],
)
def test_unusable_files_are_refused_in_one_line(
    file: Path, text: bytes, options: dict[str, object], error: str
) -> None:
    with pytest.raises(SourceError) as refused:
        open_csv(file, text, **options)
    assert error in str(refused.value)
    assert "\n" not in str(refused.value)


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        open_source(f"csv:{tmp_path / 'missing.csv'}")
    with pytest.raises(SourceError, match="Is a directory"):
        open_source(f"csv:{tmp_path}")
    with pytest.raises(SourceError, match="csv:PATH"):
        open_source("csv:")
