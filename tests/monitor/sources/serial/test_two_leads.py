"""Two leads of a serial device: columns of lines, channels of packets, on real pseudo-terminals."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources import SourceOptions
from monitor.sources.serial import link as serial_link
from monitor.sources.serial.cyton import Cyton
from monitor.sources.serial.format_guess import guess_format
from monitor.sources.serial.formats import Decoder, make_decoder
from monitor.sources.serial.line_parser import LineParser
from tests.monitor.commands.helpers import ecg_monitor
from tests.monitor.sources.helpers import Clock, wait_for
from tests.monitor.sources.serial.helpers import FS_HZ, Device, Reader, open_device

UNO = {"adc_bits": 10, "vref": 5.0, "gain": 1100.0}
RAIL = 2**23 - 1  # of a Cyton: leads off

Floats = NDArray[np.float64]


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def device(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    monkeypatch.setattr(serial_link, "BACKOFF_S", (0.01, 0.05))
    device = Device(tmp_path / "ttyECG", clock)
    yield device
    device.pull_out()


def test_two_columns_of_lines(device: Device) -> None:
    source = open_device(device, column="0,2")
    reader = Reader(source)
    device.send(source, "cut", "0.1,9,1", "0.2,9,x", "!", "0.4,9", "garbled", "0.x,9,5", "0.6,9,5e8", "0.7,9,7")
    reader.until(7)
    none = np.nan
    expected = [[0.1, 1], [0.2, none], [none, none], [none, none], [none, 5], [0.6, none], [0.7, 7]]
    np.testing.assert_array_equal(reader.rows, expected)
    assert sum(notice.count for notice in reader.notices("bad_input")) == 5, "! is leads off"
    assert reader.places.tolist() == list(range(len(reader.rows)))
    assert (source.leads, source.lead) == (("ECG 0", "ECG 2"), "ECG 0,ECG 2")
    assert (source.rails_mv, source.second_rails_mv) == (None, None)
    source.close()


def test_an_unreadable_value_of_a_named_column_blanks_its_lead_only(device: Device) -> None:
    source = open_device(device, channel="II,V1", **UNO)
    assert source.leads == ("II", "V1")
    assert source.rails_mv == source.second_rails_mv == pytest.approx((-5000 / 2200, 511 * 5000 / 1024 / 1100))
    reader = Reader(source)
    lines = ["II:512,V1:513", "II:512,V1:9999", "V1:514,II:512", "II:!,V1:512", "V1:512", "HR:60", "II:5x3,V1:511"]
    device.send(source, "cut", *lines, "II:-7,V1:2000", "II:513,V1:512")
    reader.until(8)
    counts = np.rint(reader.rows * 1100 * 1024 / 5000) + 512
    none = np.nan
    np.testing.assert_array_equal(
        counts, [[512, 513], [512, none], [512, 514], [none, 512], [none, 512], [none, 511], [none, none], [513, 512]]
    )
    bad = reader.notices("bad_input")
    assert sum(notice.count for notice in bad) == 3
    assert "'II:-7,V1:2000'" in bad[-1].text
    source.close()


def test_a_lost_port_is_a_gap_in_both_leads(device: Device) -> None:
    source = open_device(device, column="0,1")
    reader = Reader(source)
    device.send(source, "cut", *["0.1,1.5"] * 200)
    device.write("0.3,")
    reader.until(200)
    wait_for(lambda: source.bytes_in >= device.sent, "half a line to be read")
    device.pull_out()
    assert str(device.path) in reader.until_notices("source_lost").text
    device.rest(30.0)
    device.plug_in()
    reader.until_notices("source_back")
    device.send(source, "1.7", *["0.4,1.6"] * 50)  # the first line is incomplete
    device.rest(0.4)
    reader.until(250)
    np.testing.assert_array_equal(reader.rows[:200], [[0.1, 1.5]] * 200)
    np.testing.assert_array_equal(reader.rows[200:], [[0.4, 1.6]] * 50)
    last, first = reader.places[199:201]
    assert first - last - 1 == pytest.approx(30.0 * FS_HZ, abs=3)
    source.close()


def test_a_cyton_gives_two_channels(device: Device, clock: Clock) -> None:
    source = open_device(device, format="cyton", channel="1,6")
    assert source.leads == ("ECG 1", "ECG 6")
    assert source.rails_mv == source.second_rails_mv == pytest.approx((-187.5, 187.5), rel=1e-6)
    rows = np.arange(8) * 100_000 + np.arange(300)[:, None]
    rows[100:120, 6] = RAIL  # an electrode is off
    rows[150:153, 1] = RAIL  # a clipped wave
    reader = Reader(source)

    def send(rows: NDArray[np.int64], counter: int) -> None:
        for first in range(0, len(rows), 10):
            clock.now_s += 10 / FS_HZ
            device.write(Cyton().encode(rows[first : first + 10], counter + first))
            wait_for(lambda: source.bytes_in >= device.sent, "the bytes to be read")

    send(rows[:200], 0)
    clock.now_s += 7 / FS_HZ
    send(rows[207:], 207)  # 7 packets are lost
    reader.until(292)
    mv = rows[:, [1, 6]] * source.mv_per_unit
    mv[100:120, 1] = np.nan
    places = [*range(200), *range(207, 300)]
    assert reader.places.tolist() == places[: len(reader.places)]
    np.testing.assert_allclose(reader.rows, mv[reader.places], rtol=1e-12)
    device.pull_out()
    reader.until_notices("source_lost")
    clock.now_s += 5.0
    device.plug_in()
    reader.until_notices("source_back")
    n = len(reader.rows)
    send(rows[:60], 17)
    clock.now_s += 0.4
    reader.until(n + 55)
    np.testing.assert_allclose(reader.rows[n : n + 55], mv[:55], rtol=1e-12)
    assert reader.places[n] - reader.places[n - 1] == pytest.approx(5.0 * FS_HZ, abs=15)
    source.close()


def test_a_format_with_two_columns_is_recognised(device: Device, clock: Clock) -> None:
    wave = np.sin(np.arange(600) / 9).round(3)
    lines = [f"{n},{mv:.3f},{-2 * mv:.3f}\n" for n, mv in enumerate(wave)]
    done = threading.Event()

    def feed() -> None:
        for first in range(0, len(lines), 5):
            clock.now_s += 5 / FS_HZ
            device.write("".join(lines[first : first + 5]))
            if done.wait(0.01):
                return

    feeder = threading.Thread(target=feed)
    feeder.start()
    noted: dict[str, str] = {}
    try:
        source = open_device(device, format="auto", column="1,2", note=noted.__setitem__)
    finally:
        done.set()
        feeder.join()
    assert source.leads == ("ECG 1", "ECG 2")
    assert noted["format"].startswith("lines, ")
    assert noted["lead"] == "ECG 1 and ECG 2"
    reader = Reader(source)
    reader.until(100)
    first, second = reader.rows.T
    at = int(np.flatnonzero(np.isclose(wave, first[0]))[0])
    np.testing.assert_allclose(first[:100], wave[at : at + 100])
    np.testing.assert_allclose(second[:100], -2 * wave[at : at + 100])
    source.close()


def decoded(decoder: Decoder, stream: bytes, data: st.DataObject | None = None) -> Floats:
    """The samples of a stream, whole or in pieces that Hypothesis draws."""
    if data is None:
        return decoder.feed(stream).mv
    parts: list[Floats] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        parts.append(decoder.feed(stream[:size]).mv)
        stream = stream[size:]
    return np.concatenate(parts)


def assert_is_each_alone(both: Floats, *alone: Floats) -> None:
    n = min(len(lead) for lead in alone)  # one lead may wait for the next samples
    assert both.shape == (n, 2)
    for column, lead in zip(both.T, alone, strict=True):
        np.testing.assert_array_equal(column, lead[:n])


@given(st.data())
def test_two_channels_of_packets_are_those_of_each_alone(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(["cyton", "openview", "chords"]))
    scale = {"adc_bits": 14, "vref": 5.0, "gain": 500.0} if form == "chords" else {}
    alone = [make_decoder(form, SourceOptions(channel=lead, **scale), "serial") for lead in (0, 1)]  # type: ignore[arg-type]
    two = make_decoder(form, SourceOptions(channel=0, second=1, **scale), "serial")  # type: ignore[arg-type]
    off = two._adc.off[0]  # type: ignore[union-attr]
    parser = two.parser  # type: ignore[union-attr]
    columns = []
    for _ in range(2):
        stretches = data.draw(st.lists(st.tuples(st.booleans(), st.integers(1, 20)), min_size=1, max_size=6))
        columns.append([value for is_off, n in stretches for value in [off if is_off else 9000] * n])
    n = min(map(len, columns))
    rows = np.full((n, parser.channels), 9000)
    rows[:, 0], rows[:, 1] = columns[0][:n], columns[1][:n]
    stream = parser.encode(rows)
    assert_is_each_alone(decoded(two, stream, data), *(decoded(decoder, stream) for decoder in alone))


VALUE = st.sampled_from([505, 512, 519, 51, 5, 5120, 0, 1023, 1024, -3])


@given(st.lists(st.tuples(VALUE, VALUE), max_size=30), st.booleans(), st.data())
def test_two_columns_of_lines_are_those_of_each_alone(
    rows: list[tuple[int, int]], noisy: bool, data: st.DataObject
) -> None:
    """Counts with lost digits or beyond the range, where a line before them is garbled and where none is."""
    first = b"garbled \xff\n" if noisy else b""
    # Only lines of which one value at least is readable: of others the third in a row is no sample.
    rows = [(a, b) for a, b in rows if 0 <= a < 1024 and 0 <= b < 1024]
    stream = b"cut\n" + first + b"".join(f"{a},{b}\n".encode() for a, b in rows)
    options = [SourceOptions(column=column, **UNO) for column in (0, 1)]  # type: ignore[arg-type]
    alone = [make_decoder("lines", each, "serial") for each in options]
    two = make_decoder("lines", SourceOptions(column=0, second=1, **UNO), "serial")  # type: ignore[arg-type]
    both = decoded(two, stream, data)
    if noisy:  # what one lead shows garbled makes the other one doubt too
        assert_is_each_alone(both, *(decoded(decoder, stream) for decoder in alone))
    else:
        assert len(both) == len(rows)


LINE = st.one_of(
    st.tuples(VALUE, VALUE).map(lambda row: f"{row[0]},{row[1]}".encode()),
    st.sampled_from([b"!", b"512", b"", b"\xff\xfe", b"512,x", b"512,!", b"LO+", b"hello world", b"1e99,512"]),
)


@given(st.lists(LINE, max_size=30), st.sampled_from([{}, UNO]), st.data())
def test_two_columns_of_any_lines_do_not_depend_on_the_pieces(
    lines: list[bytes], scale: dict[str, float], data: st.DataObject
) -> None:
    stream = b"cut\n512,512\n" + b"".join(line + b"\n" for line in lines) + b"512,512\n" * 3
    whole, cut = (
        make_decoder("lines", SourceOptions(column=0, second=1, **scale), "serial")  # type: ignore[arg-type]
        for _ in range(2)
    )
    expected = decoded(whole, stream)
    np.testing.assert_array_equal(decoded(cut, stream, data), expected)
    assert expected.ndim == 2
    assert cut.bad == whole.bad
    assert np.isfinite(expected[-2]).all(), "the leads stay together"


def test_signed_counts_of_either_lead_set_the_scale_of_both() -> None:
    parser = make_decoder("lines", SourceOptions(column=0, second=1, **UNO), "serial")  # type: ignore[arg-type]
    assert isinstance(parser, LineParser)
    parser.feed(b"cut\n\xff\n500,500\n5,500\n" + b"500,-3\n" * 5)
    mv = parser.feed(b"0,0\n100,-100\n").mv
    np.testing.assert_allclose(mv[-2:], np.array([[0, 0], [100, -100]]) * 5000 / 511 / 1100)


@pytest.mark.parametrize(
    ("options", "stream", "problem"),
    [
        (("0", "1"), b"0.125\n" * 60, "no channel '1'; channels: 0 (0.125 0.125 0.125)"),
        (("ECG", "V9"), b"ECG:0.1,V1:0.25\n" * 60, "no channel 'V9'; channels: 0 ECG (0.1 0.1 0.1), 1 V1 "),
        (("V1", "1"), b"ECG:0.1,V1:0.25\n" * 60, "'V1' and '1' are one channel; give two different ones: 0 ECG "),
        (("ECG", "V1"), b"ECG:0.1\nV1:0.25\n" * 60, "ECG and V1 come in separate lines; write both in one line, or"),
    ],
)
def test_two_columns_that_lines_do_not_have(options: tuple[str, str], stream: bytes, problem: str) -> None:
    found = guess_format(b"x\n" + stream, *options)
    assert found.format == "lines"
    assert problem in found.problem


def test_two_leads_in_different_units_are_refused(device: Device) -> None:
    source = open_device(device, column="ECG,V1")
    device.send(source, "cut", *["ECG:0.1 mV, V1:125 uV"] * 5)
    with pytest.raises(SourceError, match="it gives ECG in mV and V1 in uV; two leads need one unit") as refused:
        wait_for(lambda: source.read(100) is not None, "the error")
    assert "\n" not in str(refused.value)
    source.close()


@pytest.mark.parametrize(
    ("form", "channels", "error"),
    [
        ("cyton", "0,8", "serial: no channel 8; cyton has 0 to 7"),
        ("cyton", "ECG,1", "serial: no channel 'ECG'; cyton has 0 to 7"),
        ("openview-max30003", "0,1", "serial: no channel 1; openview-max30003 has 0 to 0"),
        (
            "cyton-daisy",
            "7,8",
            "serial: channels 0 to 7 and 8 to 15 are of two boards, which send in turn; give two of one board",
        ),
        ("cyton", "1,1", "serial: channel '1,1': give one lead, or two different ones, e.g. --channel MLII,V1"),
    ],
)
def test_two_channels_that_packets_do_not_have(device: Device, form: str, channels: str, error: str) -> None:
    with pytest.raises(SourceError) as refused:
        open_device(device, format=form, channel=channels)
    assert str(refused.value) == error


@pytest.mark.slow
def test_the_command_refuses_two_leads_that_a_device_does_not_have(device: Device) -> None:
    done = ecg_monitor("--source", "serial", "--port", str(device.path), "--format", "cyton", "--channel", "0,8")
    assert (done.returncode, done.stderr) == (2, "ecg-monitor: serial: no channel 8; cyton has 0 to 7\n")
