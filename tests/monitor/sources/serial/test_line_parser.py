"""The parser of devices that write lines: samples, bad lines, independence of the pieces."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.sources.serial.line_parser import MAX_LINE, LineParser


def test_a_garbled_line_is_a_nan_sample_and_noise_is_no_sample() -> None:
    parser = LineParser()
    mv = parser.feed(b"\n0.1\n0.x\n0.2\n" + b"\x00\xff\n" * 50 + b"0.3\n").mv
    np.testing.assert_array_equal(mv, [0.1, np.nan, 0.2, np.nan, np.nan, 0.3])
    assert parser.bad == 51


LINE = st.sampled_from([b"0.5", b"-3", b"!", b"", b"x", b"1e5", b" 0.25\r", b"9" * (3 * MAX_LINE), b"\xff"])


@given(st.lists(LINE, max_size=12), st.data())
def test_the_parser_does_not_depend_on_the_pieces(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"half" + b"".join(b"\n" + line for line in lines) + b"\n0."
    whole, cut = LineParser(), LineParser()
    expected = whole.feed(stream).mv
    got: list[float] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        got += cut.feed(stream[:size]).mv.tolist()
        stream = stream[size:]
    np.testing.assert_array_equal(got, expected)
    assert cut.bad == whole.bad == sum(line in (b"", b"x", b"1e5", b"9" * (3 * MAX_LINE), b"\xff") for line in lines)
