"""Decoders of all serial formats: leads off, bad lines, floods, random bytes."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.sources import SourceOptions
from monitor.sources.serial.formats import FORMATS, Decoder, make_decoder
from monitor.sources.serial.line_parser import MAX_LINE, LineParser
from tests.monitor.sources.helpers import traced

CHORDS = {"adc_bits": 14, "vref": 5.0, "gain": 500.0}


def fed_in_pieces(decoder: Decoder, stream: bytes, data: st.DataObject) -> list[float]:
    mv: list[float] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        mv += decoder.feed(stream[:size]).mv.tolist()
        stream = stream[size:]
    return mv


@given(st.data())
def test_leads_off_does_not_depend_on_the_pieces(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(["cyton", "openview", "raw16", "chords"]))
    options = SourceOptions(**(CHORDS if form in ("raw16", "chords") else {}))  # type: ignore[arg-type]
    whole, cut = (make_decoder(form, options, "serial") for _ in range(2))
    off = whole._adc.off[0]  # type: ignore[attr-defined]
    stretches = data.draw(st.lists(st.tuples(st.booleans(), st.integers(1, 20)), min_size=1, max_size=8))
    ecg = 100 + whole._adc.zero  # type: ignore[attr-defined]
    counts = [value for is_off, n in stretches for value in [off if is_off else ecg] * n] + [ecg] * 2
    parser = whole.parser  # type: ignore[attr-defined]
    rows = np.full((len(counts), parser.channels), ecg)
    rows[:, 0] = counts
    stream = parser.encode(rows)
    expected = whole.feed(stream).mv
    np.testing.assert_array_equal(fed_in_pieces(cut, stream, data), expected)
    runs = [(value, len(list(run))) for value, run in itertools.groupby(counts)]
    lengths = np.repeat([n for _, n in runs], [n for _, n in runs])
    np.testing.assert_array_equal(np.isnan(expected), (np.array(counts) == off) & (lengths >= 8))


def test_ten_megabytes_without_a_line_end_are_not_kept() -> None:
    decoder = make_decoder("lines", SourceOptions(), "serial")
    decoder.feed(b"sync\n0.1\n")
    with traced() as memory:
        for _ in range(160):
            assert decoder.feed(b"7" * 65_536).mv.size == 0
        assert memory()[0] < 20_000
    mv = decoder.feed(b"\n0.25\n").mv
    assert np.isnan(mv[0])
    assert mv[1] == 0.25


def test_every_format_accepts_megabytes_of_random_bytes() -> None:
    dice = np.random.default_rng(3)
    for name in FORMATS:
        scale = CHORDS if name in ("chords", "raw16", "olimex") else {}
        decoder = make_decoder(name, SourceOptions(**scale), "serial")  # type: ignore[arg-type]
        for _ in range(20):
            decoded = decoder.feed(dice.bytes(50_000))
            finite = decoded.mv[np.isfinite(decoded.mv)]
            assert (np.abs(finite) <= 1000).all()


def test_a_garbled_line_is_a_nan_sample_and_noise_is_no_sample() -> None:
    parser = LineParser()
    mv = parser.feed(b"\n0.1\n0.x\n0.2\n" + b"\x00\xff\n" * 50 + b"0.3\n").mv
    np.testing.assert_array_equal(mv, [0.1, np.nan, 0.2, np.nan, np.nan, 0.3])
    assert parser.bad == 51


LINE = st.sampled_from([b"0.5", b"-3", b"!", b"", b"x", b"1e9", b" 0.25\r", b"9" * (3 * MAX_LINE), b"\xff"])


@given(st.lists(LINE, max_size=12), st.data())
def test_lines_do_not_depend_on_the_pieces(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"half" + b"".join(b"\n" + line for line in lines) + b"\n0."
    whole, cut = LineParser(), LineParser()
    expected = whole.feed(stream).mv
    np.testing.assert_array_equal(fed_in_pieces(cut, stream, data), expected)
    assert cut.bad == whole.bad == sum(line in (b"x", b"1e9", b"9" * (3 * MAX_LINE), b"\xff") for line in lines)
