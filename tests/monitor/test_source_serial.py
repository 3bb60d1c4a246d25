"""The serial source on real pseudo-terminals: counted, cut, lost and found again."""

from __future__ import annotations

import os
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers_sources import wait_for
from hypothesis import given
from hypothesis import strategies as st

from monitor.sources import Chunk, EndOfStream, Notice, SourceError, SourceOptions, open_source, serial_source
from monitor.sources.line_parser import MAX_LINE, LineParser
from monitor.sources.serial_decoded import Decoded
from monitor.sources.serial_source import BUFFER_S, STALL_S, SerialSource

FS_HZ = 100.0


class Device:
    """The far end of a cable whose near end lies at `path`; can be pulled out and put back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fds: tuple[int, ...] = ()
        self.plug_in()

    def plug_in(self) -> None:
        far, near = os.openpty()
        tty.setraw(near)
        self._fds = (far, near)
        self.path.symlink_to(os.ttyname(near))

    def write(self, text: str | bytes) -> None:
        data = text.encode() if isinstance(text, str) else text
        while data:  # the source's thread empties the 4-KiB buffer meanwhile
            data = data[os.write(self._fds[0], data) :]

    def pull_out(self) -> None:
        self.path.unlink(missing_ok=True)
        for fd in self._fds:
            os.close(fd)
        self._fds = ()


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Reader:
    """Collects what a source gives."""

    def __init__(self, source: SerialSource, max_samples: int = 1000) -> None:
        self.source = source
        self.max_samples = max_samples
        self.chunks: list[Chunk] = []

    def poll(self) -> None:
        while (chunk := self.source.read(self.max_samples)) is not None:
            assert chunk.samples.size <= self.max_samples
            self.chunks.append(chunk)

    def until(self, n: int) -> np.ndarray:
        """Samples as they came, once there are `n`."""

        def enough() -> bool:
            self.poll()
            return self.samples().size >= n

        wait_for(enough, f"{n} samples")
        return self.samples()

    def samples(self) -> np.ndarray:
        return np.concatenate([np.empty(0), *(chunk.samples for chunk in self.chunks)])

    def places(self) -> list[int]:
        return [chunk.first_sample + i for chunk in self.chunks for i in range(chunk.samples.size)]

    def notices(self, kind: str) -> list[Notice]:
        return [notice for chunk in self.chunks for notice in chunk.notices if notice.kind == kind]

    def until_notice(self, kind: str) -> Notice:
        def told() -> bool:
            self.poll()
            return bool(self.notices(kind))

        wait_for(told, kind)
        return self.notices(kind)[-1]


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    device = Device(tmp_path / "ttyECG")
    yield device
    device.pull_out()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reader(device: Device, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    monkeypatch.setattr(serial_source, "_BACKOFF_S", (0.01, 0.05))
    source = open_source("serial", SourceOptions(port=str(device.path), fs_hz=FS_HZ, clock=clock))
    assert isinstance(source, SerialSource)
    device.write("cut\n")  # the first line may be cut and is dropped
    yield Reader(source)
    source.close()


def test_numbers_leads_off_and_garbage(device: Device, reader: Reader, clock: Clock) -> None:
    clock.now_s += 0.5
    device.write("0.1\r\n-0.25\n!\n 1e-1 \nabc\nx1\n\n1e999\n5000\nnan\n\xff\xfe\n0.5\n")
    mv = reader.until(11)
    np.testing.assert_array_equal(mv[:4], [0.1, -0.25, np.nan, 0.1])
    assert np.isnan(mv[4:10]).all()
    assert mv[10] == 0.5
    assert reader.places() == list(range(11))
    assert sum(notice.count for notice in reader.notices("bad_input")) == 7, "leads off is no bad input"
    assert r"e.g. '\xc3\xbf\xc3\xbe'" in reader.notices("bad_input")[-1].text
    assert {chunk.arrival_s for chunk in reader.chunks} == {1000.5}


def test_nothing_new_is_none_and_the_cut_is_kept(device: Device, reader: Reader) -> None:
    assert reader.source.read(10) is None
    device.write("0.12")
    device.write("5\n")
    np.testing.assert_array_equal(reader.until(1), [0.125])
    assert reader.source.read(10) is None
    device.write("".join(f"{i / 1000}\n" for i in range(100)))
    reader.max_samples = 7
    np.testing.assert_array_equal(reader.until(101)[1:], np.arange(100) / 1000)
    assert reader.places() == list(range(101))


def test_adc_counts_are_scaled(device: Device) -> None:
    source = open_source("serial", SourceOptions(port=str(device.path), fs_hz=FS_HZ, unit="adc", mv_per_unit=0.005))
    assert isinstance(source, SerialSource)
    device.write("9\n100\n-200\n")
    np.testing.assert_array_equal(Reader(source).until(2), [0.5, -1.0])
    source.close()


def test_a_lost_port_comes_back_after_the_right_number_of_samples(device: Device, reader: Reader, clock: Clock) -> None:
    device.write("0.1\n0.2\n0.3")
    reader.until(2)
    for outage in range(1, 3):
        device.pull_out()
        assert str(device.path) in reader.until_notice("source_lost").text
        reader.chunks = [chunk for chunk in reader.chunks if not chunk.notices]
        clock.now_s += 30.0
        device.plug_in()
        reader.until_notice("source_back")
        reader.chunks = [chunk for chunk in reader.chunks if not chunk.notices]
        device.write("3\n0.4\n0.5\n")
        mv = reader.until(2 + 2 * outage)
        np.testing.assert_array_equal(mv[-2:], [0.4, 0.5])
        last, first = reader.places()[-3], reader.places()[-2]
        assert first - last - 1 == pytest.approx(30 * FS_HZ, abs=3)


def test_a_short_loss_is_a_gap_too(device: Device, reader: Reader) -> None:
    device.write("0.1\n")
    reader.until(1)
    device.pull_out()
    reader.until_notice("source_lost")
    device.plug_in()
    reader.until_notice("source_back")
    device.write("3\n0.4\n")
    reader.until(2)
    assert reader.places()[1] > 1


def test_a_silent_line_is_a_gap(device: Device, reader: Reader, clock: Clock) -> None:
    device.write("0.1\n0.2\n")
    reader.until(2)
    clock.now_s += STALL_S * 0.9
    device.write("0.3\n")
    reader.until(3)
    clock.now_s += 12.0
    device.write("0.4\n")
    reader.until(4)
    assert reader.places() == [0, 1, 2, 3 + 12 * FS_HZ - 1]


def test_what_is_not_read_is_dropped_counted_and_missing(device: Device, reader: Reader) -> None:
    kept = round(BUFFER_S * FS_HZ)
    device.write("".join(f"{i % 900}\n" for i in range(3 * kept)))
    source = reader.source
    wait_for(lambda: source._next == 3 * kept, "everything to arrive")
    mv = reader.until(kept)
    np.testing.assert_array_equal(mv, np.arange(2 * kept, 3 * kept) % 900)
    assert reader.places() == list(range(2 * kept, 3 * kept))
    assert [notice.count for notice in reader.notices("overrun")] == [2 * kept]


def test_the_duration_ends_it(device: Device, clock: Clock) -> None:
    source = open_source("serial", SourceOptions(port=str(device.path), fs_hz=FS_HZ, clock=clock, duration_s=5.0))
    clock.now_s += 4.9
    assert source.read(1) is None
    clock.now_s += 0.2
    with pytest.raises(EndOfStream):
        source.read(1)
    source.close()


def test_an_error_in_the_thread_reaches_the_reader(
    device: Device, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: LineParser, data: bytes) -> Decoded:
        raise KeyError("no such thing")

    monkeypatch.setattr(LineParser, "feed", broken)
    device.write("0.1\n")

    def failed() -> bool:
        try:
            reader.poll()
        except SourceError as error:
            return "KeyError" in str(error) and "\n" not in str(error)
        return False

    wait_for(failed, "the error")


def test_close_ends_the_thread_even_while_the_port_is_lost(device: Device, reader: Reader) -> None:
    device.pull_out()
    reader.until_notice("source_lost")
    reader.source.close()
    reader.source.close()
    assert not [thread for thread in threading.enumerate() if str(device.path) in thread.name]
    with pytest.raises(SourceError, match="closed"):
        reader.source.read(1)


def test_the_port_is_ours_alone(device: Device, reader: Reader) -> None:
    with pytest.raises(SourceError, match="in use by another program"):
        open_source("serial", SourceOptions(port=str(device.path), fs_hz=FS_HZ))


def test_what_cannot_be_opened_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = str(tmp_path / "ttyUSB9")
    with pytest.raises(SourceError, match=f"no port {port}; there are"):
        open_source("serial", SourceOptions(port=port, fs_hz=250))
    with pytest.raises(SourceError, match="--port; there are"):
        open_source("serial", SourceOptions(fs_hz=250))
    with pytest.raises(SourceError, match="--fs 250"):
        open_source("serial", SourceOptions(port=port))
    with pytest.raises(SourceError, match="--start"):
        open_source("serial", SourceOptions(port=port, fs_hz=250, start_s=5.0))
    with pytest.raises(SourceError, match="9999 Hz"):
        open_source("serial", SourceOptions(port=port, fs_hz=9999))
    plain = tmp_path / "file"
    plain.write_text("")
    with pytest.raises(SourceError, match="cannot be opened") as refused:
        open_source("serial", SourceOptions(port=str(plain), fs_hz=250))
    assert "\n" not in str(refused.value)


LINE = st.sampled_from([b"0.5", b"-3", b"!", b"", b"x", b"1e5", b" 0.25\r", b"9" * (3 * MAX_LINE), b"\xff"])


@given(st.lists(LINE, max_size=12), st.data())
def test_the_parser_does_not_care_how_the_bytes_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"half" + b"".join(b"\n" + line for line in lines) + b"\n0."
    whole, cut = LineParser(), LineParser()
    expected = whole.feed(stream).mv
    got: list[float] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        got += cut.feed(stream[:size]).mv.tolist()
        assert len(cut._rest) <= MAX_LINE + 1
        stream = stream[size:]
    np.testing.assert_array_equal(got, expected)
    assert len(got) == len(lines), "a line is a sample, whatever it says"
    assert cut.bad == whole.bad == sum(line in (b"", b"x", b"1e5", b"9" * (3 * MAX_LINE), b"\xff") for line in lines)
