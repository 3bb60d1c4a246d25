"""Decimation: any cut gives the same, peaks stay in place, nothing is folded back, missing samples stay missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from detector import Detector
from monitor.sources import Chunk, EndOfStream, Notice, Source, SourceOptions, open_source
from monitor.sources.decimated import DecimatedSource, decimation
from monitor.sources.options import FS_MAX_HZ, FS_READ_MAX_HZ
from tests.monitor.sources.helpers import read_chunks, read_signal


class Pieces(Source):
    """Gives the chunks of a list."""

    def __init__(self, fs_hz: float, chunks: list[Chunk]) -> None:
        self.name, self.lead, self.live, self.rails_mv = "test", "II", False, (-5.0, 5.0)
        self.fs_hz = fs_hz
        self.total_samples = sum(chunk.samples.size for chunk in chunks)
        self.waiting = 7
        self._chunks = list(chunks)

    def read(self, max_samples: int) -> Chunk:
        if not self._chunks:
            raise EndOfStream
        chunk = self._chunks.pop(0)
        size = min(max_samples, chunk.samples.size)
        if size < chunk.samples.size:
            time_s = None if chunk.time_s is None else chunk.time_s + size / self.fs_hz
            self._chunks.insert(0, replace(chunk.part(size), arrival_s=None, notices=(), time_s=time_s))
        return chunk.part(0, size)

    def close(self) -> None:
        pass


def decimated(signal: NDArray[np.float64], fs_hz: float, size: int = 1000) -> NDArray[np.float64]:
    return read_signal(DecimatedSource(Pieces(fs_hz, [Chunk(0, signal)])), (size,))[1]


@given(st.floats(FS_MAX_HZ, FS_READ_MAX_HZ, exclude_min=True))
def test_the_rate_is_an_exact_part_of_the_input_and_near_500_hz(fs_hz: float) -> None:
    source = DecimatedSource(Pieces(fs_hz, [Chunk(0, np.zeros(10))])) if fs_hz < 5000 else None
    ratio = decimation(fs_hz)
    assert 400 < fs_hz / ratio < 650
    if source is not None:
        assert source.fs_hz == fs_hz / ratio


@given(st.data())
def test_the_output_does_not_depend_on_the_cuts(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    fs_hz = data.draw(st.sampled_from([1001.0, 1024.0, 2000.0, 5000.0]))
    runs, at = [], 0
    for _ in range(data.draw(st.integers(1, 4))):
        at += data.draw(st.integers(0, 300))
        mv = rng.normal(size=data.draw(st.integers(1, 700)))
        for _ in range(data.draw(st.integers(0, 3))):
            first = data.draw(st.integers(0, mv.size))
            mv[first : first + data.draw(st.sampled_from([1, 2, 5, 90]))] = np.nan
        runs.append((at, mv))
        at += mv.size
    whole = DecimatedSource(Pieces(fs_hz, [Chunk(first, mv) for first, mv in runs]))
    cut: list[Chunk] = []
    for first, mv in runs:
        edges = sorted(data.draw(st.lists(st.integers(0, mv.size), max_size=8)))
        cut += [Chunk(first + low, mv[low:high]) for low, high in zip([0, *edges], [*edges, mv.size], strict=True)]
    expected, got = samples(whole, (10_000,)), samples(DecimatedSource(Pieces(fs_hz, cut)), (7, 1, 64))
    assert list(expected) == list(got)
    np.testing.assert_array_equal(list(expected.values()), list(got.values()))  # to the bit


def samples(source: Source, sizes: tuple[int, ...]) -> dict[int, float]:
    return {
        chunk.first_sample + i: float(mv) for chunk in read_chunks(source, sizes) for i, mv in enumerate(chunk.samples)
    }


@pytest.mark.parametrize("fs_hz", [1001, 1024, 1200, 2000, 2048, 4096, 5000, 10_000])
def test_a_peak_stays_in_place(fs_hz: float) -> None:
    t = np.arange(int(2 * fs_hz)) / fs_hz
    for peak_s in (0.5, 0.8137, 1.203, 1.4999):
        out = decimated(np.exp(-0.5 * ((t - peak_s) / 0.012) ** 2), fs_hz)
        found_s = np.argmax(out) * decimation(fs_hz) / fs_hz
        assert abs(found_s - peak_s) <= 0.5 * decimation(fs_hz) / fs_hz + 1e-9
        assert out.max() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("fs_hz", [1024, 1200, 2000, 4096, 5000])
def test_the_band_of_an_ecg_passes_and_what_would_fold_into_it_does_not(fs_hz: float) -> None:
    t = np.arange(int(2 * fs_hz)) / fs_hz
    rate_hz = fs_hz / decimation(fs_hz)
    inner = slice(50, -50)
    for hz, share in ((0.5, 0.01), (10, 0.01), (40, 0.04)):
        out = decimated(np.sin(2 * np.pi * hz * t), fs_hz)
        expected = np.sin(2 * np.pi * hz * np.arange(out.size) / rate_hz)
        np.testing.assert_allclose(out[inner], expected[inner], atol=share)
    for hz in (rate_hz - 40, rate_hz - 10, rate_hz, rate_hz + 10, rate_hz + 40):
        if hz < fs_hz / 2:
            assert np.abs(decimated(np.sin(2 * np.pi * hz * t + 1), fs_hz)[inner]).max() < 0.016


@pytest.mark.parametrize("fs_hz", [1000, 2000, 5000])
@pytest.mark.parametrize("pulse", ["pulse=700;pulse_ms=2;overshoot=50", "pulse=5;pulse_ms=1"])
def test_pulses_of_a_standstill_are_no_beats(fs_hz: int, pulse: str) -> None:
    raw = read_signal(open_source(f"sim:paced=15,capture_lost@30=15;{pulse}", SourceOptions(fs_hz=1000)))[1]
    held = np.repeat(raw, fs_hz // 1000)
    source: Source = Pieces(fs_hz, [Chunk(0, held)])
    if fs_hz > 1000:
        source = DecimatedSource(source)
    detector = Detector(source.fs_hz)
    beats = detector.push(read_signal(source)[1]) + detector.flush()
    assert 26 <= len(beats) <= 29, "20 paced beats and 7 of the escape rhythm; pulses go on at 80 a minute"


def test_a_constant_stays_constant_at_ends_and_beside_missing_samples() -> None:
    mv = np.full(2000, 300.0)
    mv[[500, 700, 701]] = np.nan
    out = decimated(mv, 2000)
    assert np.isfinite(out).all()
    np.testing.assert_allclose(out, 300.0)
    mv[1000:1100] = np.nan
    out = decimated(mv, 2000)
    assert np.flatnonzero(np.isnan(out)).tolist() == list(range(1000 // 4, 1100 // 4))


def test_a_gap_stays_a_gap_of_the_same_length() -> None:
    mv = np.full(1000, 2.0)
    source = DecimatedSource(Pieces(2000, [Chunk(0, mv), Chunk(5000, mv)]))
    assert source.total_samples == 500
    chunks = [chunk for chunk in read_chunks(source) if chunk.samples.size]
    ends = [(chunk.first_sample, chunk.first_sample + chunk.samples.size) for chunk in chunks]
    assert ends[0][0] == 0
    assert (250, 1250) in list(zip([end for _, end in ends], [first for first, _ in ends[1:]], strict=False))
    assert ends[-1][1] == 1500
    np.testing.assert_allclose(np.concatenate([chunk.samples for chunk in chunks]), 2.0)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=8), st.integers(1, 300), st.integers(0, 9))
def test_two_leads_are_filtered_as_each_alone(cuts: list[int], size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(sum(cuts), 2))
    rows[rng.random(rows.shape) < 0.2] = np.nan
    places = np.cumsum([0, *cuts])
    gaps = 3000 * (np.arange(len(cuts)) // 3)  # before each third piece

    def read(first: int, second: int | None) -> list[Chunk]:
        chunks = [
            Chunk(
                int(place + gap),
                rows[place : place + n, first],
                time_s=(place + gap) / 2000,
                second=None if second is None else rows[place : place + n, second],
            )
            for place, n, gap in zip(places, cuts, gaps, strict=False)
        ]
        pieces = Pieces(2000, chunks)
        if second is not None:
            pieces.leads, pieces.second_rails_mv = ("II", "V5"), (-2.0, 2.0)  # type: ignore[attr-defined]
        source = DecimatedSource(pieces)
        assert second is None or source.second_rails_mv == pytest.approx((-2.0, 2.0), abs=1e-4)
        return [chunk for chunk in read_chunks(source, (size,)) if chunk.samples.size]

    both, first, second = read(0, 1), read(0, None), read(1, None)
    for chunk, own, other in zip(both, first, second, strict=True):
        assert (chunk.first_sample, chunk.time_s) == (own.first_sample, own.time_s)
        assert chunk.samples.tobytes() == own.samples.tobytes()
        assert chunk.second is not None
        assert chunk.second.tobytes() == other.samples.tobytes()


def test_notices_times_and_attributes_pass() -> None:
    notice = Notice("bad_input", "one line")
    chunks = [
        Chunk(4000, np.zeros(1000), arrival_s=12.0, notices=(notice,), time_s=10.0),
        Chunk(5000, np.zeros(0), notices=(notice,)),
    ]
    source = DecimatedSource(Pieces(2000, chunks))
    assert source.waiting == 7
    assert source.rails_mv == pytest.approx((-5.0, 5.0), abs=1e-4)
    read = read_chunks(source, (100,))
    assert [item for chunk in read for item in chunk.notices] == [notice, notice]
    for chunk in read:
        if chunk.time_s is not None and chunk.samples.size:
            assert chunk.time_s == pytest.approx(10.0 + (chunk.first_sample - 1000) / 500)
    assert read[0].arrival_s == 12.0


def test_a_clipped_line_stays_at_the_rails() -> None:
    source = DecimatedSource(Pieces(3000, [Chunk(0, np.full(3000, 5.0))]))
    rails = source.rails_mv
    assert rails is not None
    assert (read_signal(source)[1] >= rails[1]).all()


def test_any_source_is_decimated(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    wave = np.sin(np.arange(8000) / 100)
    path.write_text("".join(f"{mv:.6f}\n" for mv in wave))
    noted: list[tuple[str, str]] = []
    options = SourceOptions(fs_hz=2000, unit="mV", note=lambda name, text: noted.append((name, text)))
    source = open_source(f"csv:{path}", options)
    assert source.fs_hz == 500
    assert ("decimated", "from 2000 to 500 Hz") in noted
    np.testing.assert_allclose(read_signal(source)[1][10:-10], wave[::4][10:-10], atol=2e-3)
    first, part = read_signal(open_source(f"csv:{path}", SourceOptions(fs_hz=2000, unit="mV", start_s=1.0)))
    assert first == 500
    np.testing.assert_allclose(part[10:-10], wave[2000::4][10:-10], atol=2e-3)
