"""Packet parsers: independent of the pieces, garbage is counted, nothing raises."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.sources.serial.cyton import Cyton, CytonDaisy, is_interleaved
from monitor.sources.serial.format_guess import guess_format
from monitor.sources.serial.openview import HEALTHYPI4, HEALTHYPI5, HEALTHYPI5_BATCH, MAX30003, OpenView
from monitor.sources.serial.packets import Chords, Olimex, PacketParser, Parsed, Raw16

MAKERS = {
    "openview": OpenView,
    "openview max30003": lambda: OpenView(MAX30003),
    "openview healthypi4": lambda: OpenView(HEALTHYPI4),
    "openview healthypi5": lambda: OpenView(HEALTHYPI5),
    "olimex": Olimex,
    "chords": Chords,
    "chords 1 channel": lambda: Chords(1),
    "cyton": Cyton,
    "raw16": lambda: Raw16(2),
}
LIMITS = {"chords": (0, 65_535), "olimex": (0, 65_535), "cyton": (-(2**23), 2**23 - 1)}
framed = pytest.mark.parametrize("name", [name for name in MAKERS if name != "raw16"])
every = pytest.mark.parametrize("name", list(MAKERS))
HEADS = b"\xa0\x0a\xc7\xa5"  # garbage without these bytes begins no packet


def draw_samples(name: str, n: int, seed: int) -> NDArray[np.int64]:
    low, high = LIMITS.get(name.split()[0], (-32_768, 32_767))
    return np.random.default_rng(seed).integers(low, high + 1, size=(n, MAKERS[name]().channels))


def feed_all(parser: PacketParser, pieces: list[bytes]) -> Parsed:
    parts = [parser.feed(piece) for piece in pieces]
    counters = [part.counters for part in parts if part.counters is not None]
    return Parsed(
        np.concatenate([part.samples for part in parts]),
        np.concatenate(counters) if counters else None,
        sum(part.skipped for part in parts),
    )


def packets_of(parser: PacketParser, samples: NDArray[np.int64], counter: int = 0) -> list[bytes]:
    return [parser.encode(row[None], (counter + i) % 256) for i, row in enumerate(samples)]


@pytest.mark.parametrize(
    "name", [name if name in ("cyton", "openview") else pytest.param(name, marks=pytest.mark.slow) for name in MAKERS]
)
@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_the_result_does_not_depend_on_the_pieces(name: str, data: st.DataObject) -> None:
    samples = draw_samples(name, data.draw(st.integers(0, 8)), data.draw(st.integers(0, 99)))
    maker = MAKERS[name]
    noise = st.lists(st.sampled_from([*range(256), *HEADS * 20, 0x7C, 0xFA, 0xC0, 1, 2]), max_size=40).map(bytes)
    stream = b"".join(data.draw(noise) + packet for packet in packets_of(maker(), samples)) + data.draw(noise)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    for bounds in (cuts, list(range(len(stream)))):
        edges = [0, *bounds, len(stream)]
        one, other = maker(), maker()
        whole = feed_all(one, [stream])
        cut = feed_all(other, [stream[a:b] for a, b in itertools.pairwise(edges)])
        np.testing.assert_array_equal(cut.samples, whole.samples)
        assert (cut.counters is None) == (whole.counters is None)
        if cut.counters is not None:
            np.testing.assert_array_equal(cut.counters, whole.counters)
        assert (cut.skipped, other.pending) == (whole.skipped, one.pending)


@every
@given(n=st.integers(2, 300), counter=st.integers(0, 255), seed=st.integers(0, 999))
@settings(deadline=None, max_examples=30)
def test_round_trip(name: str, n: int, counter: int, seed: int) -> None:
    parser, samples = MAKERS[name](), draw_samples(name, n, seed)
    parsed = parser.feed(parser.encode(samples, counter))
    np.testing.assert_array_equal(parsed.samples, samples)
    assert (parsed.skipped, parser.pending) == (0, 0)
    if parsed.counters is not None:
        np.testing.assert_array_equal(parsed.counters, (counter + np.arange(n)) % 256)


@framed
@given(garbage=st.lists(st.binary(max_size=90).map(lambda b: b.translate(None, HEADS)), min_size=4, max_size=4))
@settings(deadline=None, max_examples=40)
def test_garbage_between_packets_is_skipped_and_counted(name: str, garbage: list[bytes]) -> None:
    parser, samples = MAKERS[name](), draw_samples(name, 8, 1)
    packets = packets_of(parser, samples)
    stream = b"".join(junk + b"".join(packets[2 * i : 2 * i + 2]) for i, junk in enumerate(garbage))
    parsed = parser.feed(stream)
    np.testing.assert_array_equal(parsed.samples, samples)
    assert parsed.skipped == sum(map(len, garbage))


@framed
@given(garbage=st.binary(max_size=200), torn=st.integers(0, 40), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_a_parser_resynchronises_within_two_packets(name: str, garbage: bytes, torn: int, seed: int) -> None:
    parser, samples = MAKERS[name](), draw_samples(name, 12, seed)
    packets = packets_of(parser, samples)
    parsed = parser.feed(b"".join(packets[:4]) + packets[4][:torn] + garbage + b"".join(packets[5:]))
    np.testing.assert_array_equal(parsed.samples[-5:], samples[-5:])


@every
@given(pieces=st.lists(st.binary(max_size=300), max_size=10))
@settings(deadline=None, max_examples=80)
def test_all_bytes_are_counted(name: str, pieces: list[bytes]) -> None:
    parser = MAKERS[name]()
    size = len(parser.encode(np.zeros((1, parser.channels), dtype=np.int64)))
    taken = 0
    for i, piece in enumerate(pieces):
        parsed = parser.feed(piece)
        taken += parsed.skipped + size * len(parsed.samples)
        assert parser.pending < 2 * size
        assert taken + parser.pending == sum(map(len, pieces[: i + 1]))


@framed
@pytest.mark.parametrize("byte", HEADS)
def test_a_flood_of_heads_leaves_a_small_buffer(name: str, byte: int) -> None:
    parser = MAKERS[name]()
    parsed = parser.feed(bytes([byte]) * 200_000)
    assert len(parsed.samples) == 0
    assert parsed.skipped + parser.pending == 200_000
    assert parser.pending < 70


def test_cyton_does_not_stay_out_of_step_on_constant_samples() -> None:
    """Constant samples may contain A0, and Cx one packet later, without being a packet."""
    parser = Cyton()
    row = np.array([[0xC0A0C0] * 8], dtype=np.int64) - (1 << 24)
    stream = parser.encode(np.repeat(row, 20, axis=0))
    parsed = parser.feed(stream[1:])  # starts within a packet
    assert (parsed.samples == row).all()
    assert (len(parsed.samples), parsed.skipped) == (19, 32)


@pytest.mark.parametrize(
    ("parser", "packet", "sample"),
    [
        (OpenView(), "0afa0900020180feff0000000000000b", None),
        (Chords(2), "c77c2a01020fff01", [258, 4095]),
        (Raw16(), "feff", [-2]),
    ],
)
def test_layouts(parser: PacketParser, packet: str, sample: list[int] | None) -> None:
    data = bytes.fromhex(packet)
    if sample is None:
        data, sample = data[:9] + bytes(5) + b"\x00\x0b", [-32_767, -2]
    assert parser.feed(data).samples.tolist() == [sample]


def test_cyton_layout() -> None:
    packet = "a0{}ffffff0000017fffff800000" + "000000" * 4 + "010203040506c{}"
    parsed = Cyton().feed(bytes.fromhex(packet.format("07", "0") + packet.format("08", "f")))
    assert parsed.samples[1].tolist() == [-1, 1, 8_388_607, -8_388_608, 0, 0, 0, 0]
    assert parsed.counters is not None
    assert parsed.counters.tolist() == [7, 8]


def test_restart_drops_the_kept_bytes() -> None:
    parser, samples = Chords(1), draw_samples("chords 1 channel", 2, 4)
    parser.feed(parser.encode(samples) + b"\xc7\x7c\x02")
    assert parser.restart() == 3
    assert parser.feed(parser.encode(samples, 100)).skipped == 0


@every
def test_encode_refuses_samples_out_of_range(name: str) -> None:
    parser = MAKERS[name]()
    with pytest.raises(ValueError, match="40000000000"):
        parser.encode(np.full((1, parser.channels), 40_000_000_000))
    with pytest.raises(ValueError, match="shape"):
        parser.encode(np.zeros(3, dtype=np.int64))


# -- boards with several packets or signals ------------------------------------------------------------------


def test_layout_of_healthypi4() -> None:
    """ECG and respiration int16, infrared and red int32, temperature, rates, status."""
    packet = bytes.fromhex("0afa140002fdff070001000000ffffffff420e0f61484e7800000b")
    assert OpenView(HEALTHYPI4).feed(packet).samples.tolist() == [[-3, 7, 1, -1]]


def batch(first: int) -> bytes:
    ecg = b"".join(value.to_bytes(4, "little", signed=True) for value in range(first, first + 8))
    return b"\x0a\xfa\x32\x00\x03" + ecg + bytes(16) + bytes([72, 15]) + b"\x00\x0b"


PPG = b"\x0a\xfa\x13\x00\x04" + bytes(range(19)) + b"\x00\x0b"


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_healthypi5_sends_one_sample_or_eight_in_a_packet_and_ppg_between(size: int) -> None:
    parser = OpenView(HEALTHYPI5)
    single = parser.encode(np.array([[-5], [-4]]))
    assert len(single) == 2 * 29
    stream = b"garbage" + single + b"".join(batch(8 * n) + PPG for n in range(20))
    parsed = feed_all(parser, [stream[at : at + size] for at in range(0, len(stream), size)])
    assert parsed.samples[:, 0].tolist() == [-5, -4, *range(160)]
    assert parsed.skipped == len(b"garbage"), "PPG is another signal, no bad input"
    assert guess_format(stream[65:]).format == "healthypi5"


def test_encode_of_a_batch_takes_whole_packets() -> None:
    parser = OpenView(HEALTHYPI5_BATCH)
    rows = np.arange(16)[:, None]
    assert parser.feed(parser.encode(rows)).samples.tolist() == rows.tolist()
    with pytest.raises(ValueError, match="a packet holds 8"):
        parser.encode(rows[:3])


def test_layout_of_olimex() -> None:
    packet = bytes.fromhex("a55a022a020103ff000000000000000701")
    parsed = Olimex().feed(packet)
    assert parsed.samples.tolist() == [[513, 1023, 0, 0, 0, 7]]
    assert parsed.counters is not None
    assert parsed.counters.tolist() == [42]


def two_boards(n: int, start: int = 0) -> tuple[NDArray[np.int64], bytes]:
    """Samples of 16 channels with the offsets of electrodes, and their packets."""
    dice = np.random.default_rng(2)
    offsets = dice.integers(-200_000, 200_000, 16)
    samples = np.cumsum(dice.integers(-50, 51, (n, 16)), axis=0) + offsets
    return samples, CytonDaisy().encode(samples, start)


@pytest.mark.parametrize("channel", [0, 7, 8, 15])
@pytest.mark.parametrize("size", [1, 40, 100_000])
def test_a_daisy_is_taken_apart(channel: int, size: int) -> None:
    samples, stream = two_boards(600)
    parser = CytonDaisy()
    parser.select(channel)
    stream = b"\xa0\x01 garbage" + stream
    parsed = feed_all(parser, [stream[at : at + size] for at in range(0, len(stream), size)])
    np.testing.assert_array_equal(parsed.samples[:, channel], samples[:, channel])
    assert parsed.counters is not None
    np.testing.assert_array_equal(parsed.counters, np.arange(600) % parser.counter_values)


def test_a_lost_packet_of_one_board_is_a_lost_sample_of_that_board_only() -> None:
    samples, stream = two_boards(100)
    cut = stream[: 33 * 50] + stream[33 * 51 :]  # an even packet, of the Daisy
    for channel, missing in ((0, []), (8, [25])):
        parser = CytonDaisy()
        parser.select(channel)
        parsed = parser.feed(cut)
        kept = np.delete(samples[:, channel], missing)
        np.testing.assert_array_equal(parsed.samples[:, channel], kept)
        assert parsed.counters is not None
        assert parsed.counters.size == 100 - len(missing)


def test_a_daisy_is_recognised_and_a_cyton_alone_is_not() -> None:
    _, stream = two_boards(250)
    assert guess_format(stream[17:]).format == "cyton-daisy"
    dice = np.random.default_rng(3)
    t = np.arange(500)
    mains = (5000 * np.sin(2 * np.pi * 50 * t / 250))[:, None]
    for rows in (
        np.cumsum(dice.integers(-50, 51, (500, 8)), axis=0) + 90_000,
        dice.integers(-900, 901, (500, 8)),
        np.rint(mains + dice.normal(0, 20, (500, 8))).astype(np.int64),
        np.zeros((500, 8), dtype=np.int64),
    ):
        assert not is_interleaved(rows, t % 256)
        assert guess_format(Cyton().encode(rows)).format == "cyton"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\xaa\xaa\x04\x80\x02\x00\x2a\x53" * 60, "NeuroSky ThinkGear"),
        (b"\x80\x0f\x04\x05\x00\x12\x00\x01" * 60, "Ganglion"),
        (b"\xe0\x10\x03" * 90, "Firmata"),
        (b"\x0a\xfa\x0a\x00\x02" + bytes(10) + b"\x00\x0b", "no known format"),
        ((b"\x0a\xfa\x0a\x00\x02" + bytes(10) + b"\x00\x0b") * 30, "ProtoCentral packets of type 2 with 10 bytes"),
    ],
)
def test_known_devices_that_are_not_read_are_named(data: bytes, problem: str) -> None:
    found = guess_format(data)
    assert found.format == ""
    assert problem in found.problem
