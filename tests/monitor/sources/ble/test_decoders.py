"""Decoders on any bytes: samples that are numbers and stamps that are finite, or ValueError; never anything else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.emulator.strap_models import Moment, MovesenseStrap, PolarStrap
from monitor.sources.ble import movesense, polar
from monitor.sources.ble.frame import MAX_BYTES, Frame
from monitor.sources.ble.layout import TYPES, Layout
from monitor.sources.ble.link import Lines, Message, line_of

POLAR = bytes(10) + bytes(3 * 73)
MOVESENSE = bytes((2, 99)) + bytes(4 + 64)


def garbled(packet: bytes) -> st.SearchStrategy[bytes]:
    """Any bytes, or a real packet that is cut, lengthened or changed in places."""
    changed = st.lists(st.tuples(st.integers(0, len(packet) - 1), st.integers(0, 255)), max_size=4)

    def change(edits: list[tuple[int, int]], length: int) -> bytes:
        data = bytearray(packet)
        for at, value in edits:
            data[at] = value
        return bytes((data + bytes(600))[:length])

    return st.binary(max_size=700) | st.builds(change, changed, st.integers(0, 700) | st.just(len(packet)))


def check(decode: Callable[[bytes], Frame | None], data: bytes, most: float) -> None:
    try:
        frame = decode(data)
    except ValueError:
        return
    if frame is not None:
        assert 0 < frame.values.size <= 2 * MAX_BYTES
        assert frame.values.dtype == np.float64
        assert (np.abs(frame.values) <= most).all()
        assert frame.stamp_s is None or np.isfinite(frame.stamp_s)


@given(garbled(POLAR))
def test_polar(data: bytes) -> None:
    check(polar.ecg_frame, data, 1 << 23)
    polar.control_answer(data)
    polar.contact(data)
    polar.offers_ecg(data)


@given(st.lists(garbled(MOVESENSE), min_size=1, max_size=4))
def test_movesense(messages: list[bytes]) -> None:
    parts = movesense.EcgParts()
    for data in messages:
        check(parts.frame, data, (1 << 31) * movesense.UV_PER_COUNT)
        movesense.answer(data)
        movesense.product(data)


@given(
    st.binary(max_size=700),
    st.sampled_from(TYPES[:-1]),
    st.sampled_from(["little", "big"]),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 40),
    st.booleans(),
)
def test_layout(data: bytes, kind: str, order: str, skip: int, tail: int, n: int, blocks: bool) -> None:
    stride = skip + tail + 4 if blocks else 0
    layout = Layout("", type=kind, order=order, skip=skip, tail=tail, stride=stride, n=n)  # type: ignore[arg-type]
    check(layout.frame, data, 1 << 31)


@given(st.binary(max_size=600))
def test_floats_may_be_nan_and_infinite(data: bytes) -> None:
    try:
        values = Layout("", type="float32").frame(data).values
    except ValueError:
        assert len(data) % 4 or not 0 < len(data) <= MAX_BYTES
        return
    np.testing.assert_array_equal(values, np.frombuffer(data, "<f4").astype(float))


@given(st.lists(st.integers(-(1 << 23), (1 << 23) - 1), min_size=1, max_size=73), st.integers(0, 10**9))
def test_what_the_emulated_straps_send_is_decoded_to_what_they_measured(counts: list[int], milliseconds: int) -> None:
    uv, stamp_s = np.array(counts, dtype=float), milliseconds / 1e3
    ((_, data),) = PolarStrap().packets(uv, Moment(stamp_s, 0))
    frame = polar.ecg_frame(data)
    np.testing.assert_array_equal(frame.values, uv)
    assert frame.stamp_s == pytest.approx(599_616_000.0 + stamp_s)
    messages = MovesenseStrap().packets(uv * movesense.UV_PER_COUNT, Moment(stamp_s, 0))
    if len(messages) == 1:
        second = movesense.EcgParts().frame(messages[0][1])
        assert second is not None
        np.testing.assert_allclose(second.values, uv * movesense.UV_PER_COUNT)
        assert second.stamp_s == pytest.approx(stamp_s)


MESSAGES = st.builds(
    Message,
    kind=st.sampled_from(["read", "write", "value", "done"]),
    id=st.integers(0, 1 << 31),
    uuid=st.text(max_size=9),
    value=st.binary(max_size=40),
)


@settings(max_examples=40)
@given(st.lists(MESSAGES, max_size=5), st.data())
def test_messages_of_the_link_are_read_in_any_pieces(messages: list[Message], data: st.DataObject) -> None:
    stream, lines, got = b"".join(map(line_of, messages)), Lines(), list[Message]()
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        got += lines.feed(stream[:cut])
        stream = stream[cut:]
    assert got == messages


@given(st.binary(max_size=200))
def test_a_line_that_is_no_message_is_an_error(data: bytes) -> None:
    lines = Lines()
    try:
        assert all(isinstance(message, Message) for message in lines.feed(data + b"\n"))
    except ValueError:
        return
    assert data.strip() == b"" or data.lstrip().startswith(b"{")
