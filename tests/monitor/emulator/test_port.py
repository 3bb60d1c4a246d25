"""The emulated device on real pseudo-terminals, read by pyserial: faults, no reader, a slow reader."""

from __future__ import annotations

import os
import select
import tty
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import serial

from monitor.emulator.device import Device, FaultReport
from monitor.emulator.encoder import make_encoder
from monitor.emulator.faults import parse_faults
from monitor.emulator.player import BOOT_PAUSE_S, LINGER_S, Player
from monitor.emulator.port import DevicePort, RealPort
from monitor.emulator.pty_port import PtyPort
from monitor.emulator.samples import Samples
from monitor.errors import SourceError
from monitor.sources import SourceOptions, open_source
from monitor.sources.serial.formats import FORMATS, make_decoder
from tests.monitor.sources.helpers import wait_for

PATIENT = "sim:sinus=20"


class Stage:
    """A player on a port, with a clock that the test moves."""

    def __init__(
        self,
        port: DevicePort,
        form: str,
        faults: str = "",
        line_bytes: int = 100_000,
        source: str = PATIENT,
        speed: float = 1.0,
    ) -> None:
        self.port, self.now_s = port, 100.0
        self.reports: list[FaultReport] = []
        self.device = Device(open_source(source), form, parse_faults(faults))
        self.player = Player(
            self.device, port, line_bytes=line_bytes, clock=lambda: self.now_s, speed=speed, report=self.reports.append
        )

    def go(self, seconds: float) -> None:
        """Advance the clock in steps of 50 ms."""
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self.now_s = min(until_s, self.now_s + 0.05)
            self.player.step()

    def begin(self) -> None:
        """Pass the boot pause after the port was opened: the next step is sample 0."""
        self.player.step()
        self.now_s += BOOT_PAUSE_S
        self.player.step()


@pytest.fixture
def port(tmp_path: Path) -> Iterator[PtyPort]:
    port = PtyPort(tmp_path / "port")
    yield port
    port.close()


def opened(port: PtyPort) -> serial.Serial:
    reader = serial.Serial(port.path, 115_200, timeout=0, exclusive=True)
    assert port.has_reader
    return reader


def fetch(reader: serial.Serial, n: int, stage: Stage | None = None) -> bytes:
    """Read `n` bytes; a pseudo-terminal delivers them with a short delay, and takes what `stage` sends in parts."""
    data = bytearray()

    def enough() -> bool:
        if stage is not None:
            stage.player.step()  # at the same time of the device: sends what the terminal did not take yet
        data.extend(reader.read(65_536))
        return len(data) >= n

    wait_for(enough, f"{n} bytes")
    return bytes(data)


@pytest.mark.parametrize("form", FORMATS)
def test_a_reader_gets_all_samples(port: PtyPort, form: str) -> None:
    stage = Stage(port, form)
    stage.go(5.0)
    assert stage.device.sample == 0, "the port is not open"
    with opened(port) as reader:
        stage.begin()
        if form == "chords":
            stage.go(3.0)
            assert stage.device.sample == 0, "no START yet"
            reader.write(b"WHORU\nSTART\n")
            port.wait(5.0)
            stage.player.step()
            assert fetch(reader, 8) == b"UNO-R4\r\n"
        got = b"\n" if form == "lines" else b""
        while not stage.player.ended:
            sent = stage.device.bytes_out
            stage.go(0.1)
            got += fetch(reader, stage.device.bytes_out - sent)
    scale = {"chords": (14, 5.0, 500.0), "raw16": (16, 3.2767, 100.0), "olimex": (10, 5.0, 1424.0)}.get(
        form, (None, None, None)
    )
    options = SourceOptions(adc_bits=scale[0], vref=scale[1], gain=scale[2])
    signal = Samples(open_source(PATIENT)).take(10**6)
    assert np.array_equal(make_decoder(form, options, "serial").feed(got).mv, make_encoder(form).readable(signal))
    assert signal.size == 5_000
    assert stage.player.unread == stage.player.overrun == 0


def test_an_unplugged_port_vanishes_and_returns_under_its_name(port: PtyPort) -> None:
    stage = Stage(port, "cyton", "unplug@2s for 3s")
    reader = opened(port)
    stage.begin()
    stage.go(1.9)
    fetch(reader, stage.device.bytes_out, stage)
    stage.go(0.2)
    with pytest.raises(serial.SerialException):
        wait_for(lambda: reader.read(1) is None, "the port to vanish")
    assert not Path(port.path).is_symlink()
    with pytest.raises(serial.SerialException):
        serial.Serial(port.path)
    reader.close()
    stage.go(3.0)
    assert [report.at_s for report in stage.reports] == [2.0, 5.0]
    with opened(port) as reader:
        before = stage.device.bytes_out
        stage.go(0.5)
        assert stage.device.sample in range(1400, 1402), "the device continued"
        data = fetch(reader, stage.device.bytes_out - before, stage)
        assert data[0] == 0xA0
    assert stage.device.plan.spans[0].end_sample == 1250


def test_the_device_continues_without_a_reader(port: PtyPort) -> None:
    stage = Stage(port, "cyton")
    with opened(port) as reader:
        stage.begin()
        stage.go(1.0)
        fetch(reader, stage.device.bytes_out)
    wait_for(lambda: not port.has_reader, "the port to be closed")
    sent = stage.device.bytes_out
    stage.go(10.0)
    assert stage.device.sample in range(2750, 2752)
    assert stage.player.unread == stage.device.bytes_out - sent
    with opened(port) as reader:
        stage.go(0.1)
        assert fetch(reader, 33 * 25)[:2] == bytes([0xA0, 2750 % 256]), "no old bytes"


def test_a_reader_that_does_not_read_does_not_block_the_device(port: PtyPort) -> None:
    stage = Stage(port, "cyton", line_bytes=5_000)
    with opened(port) as reader:
        stage.begin()
        stage.go(22.0)
        assert stage.player.ended
        assert stage.device.bytes_out == 5_000 * 33
        kernel = 5_000 * 33 - stage.player.overrun
        assert 0 < kernel < 70_000, "more than a pseudo-terminal holds was kept"
        assert fetch(reader, kernel)[:2] == b"\xa0\x00"


def test_the_player_waits_for_the_last_bytes_to_be_read(port: PtyPort) -> None:
    stage = Stage(port, "lines")
    with opened(port) as reader:
        stage.begin()
        while stage.device.sample < 4_900:
            sent = stage.device.bytes_out
            stage.go(0.1)
            fetch(reader, stage.device.bytes_out - sent)
        stage.go(0.5)
        assert stage.device.ended
        assert not stage.player.ended
        stage.go(LINGER_S)
        assert stage.player.ended


def test_a_long_pause_is_made_up_in_bounded_steps(port: PtyPort) -> None:
    stage = Stage(port, "cyton", line_bytes=5_000)
    with opened(port):
        stage.begin()
        stage.now_s += 15.0
        stage.player.step()
        assert stage.device.sample == 3_750
        assert stage.player.overrun > 0


def test_a_step_is_bounded_at_an_extreme_speed(port: PtyPort) -> None:
    stage = Stage(port, "cyton", source="sim:sinus=1000;repeat=yes", speed=1e9)
    with opened(port):
        stage.begin()
        stage.now_s += 1.0
        stage.player.step()
        assert stage.device.sample == 60 * 250


def test_only_the_link_of_a_killed_emulator_is_replaced(tmp_path: Path) -> None:
    link = tmp_path / "port"
    link.symlink_to("/dev/pts/99999")
    port = PtyPort(link)
    assert os.ttyname(opened(port).fd) == str(link.readlink())
    port.close()
    port.close()
    assert not link.is_symlink()
    link.write_text("precious")
    with pytest.raises(SourceError, match="--link"):
        PtyPort(link)
    assert link.read_text() == "precious"
    with pytest.raises(SourceError, match="No such file"):
        PtyPort(tmp_path / "absent" / "port")


def test_the_default_link_is_in_a_temporary_folder() -> None:
    port = PtyPort()
    folder = Path(port.path).parent
    assert Path(port.path).is_symlink()
    port.close()
    assert not folder.exists()


def test_a_real_port_neither_sends_nor_receives_while_unplugged() -> None:
    far, near = os.openpty()
    try:
        tty.setraw(near)
        port = RealPort(os.ttyname(near), 115_200)
        stage = Stage(port, "cyton", "unplug@2s for 3s")
        stage.begin()
        stage.go(0.1)
        assert os.read(far, 65_536)[:2] == b"\xa0\x00"
        stage.go(2.0)
        sent = stage.device.bytes_out
        stage.go(2.8)
        assert stage.device.bytes_out == sent
        os.write(far, b"x")
        select.select([near], [], [], 5.0)
        assert port.read() == b""
        stage.go(0.3)
        assert stage.device.bytes_out > sent
        port.close()
        with pytest.raises(SourceError, match=r"--port /dev/nowhere: .*No such file"):
            RealPort("/dev/nowhere", 115_200)
    finally:
        os.close(near)
        os.close(far)


def test_a_lost_real_port_is_one_line() -> None:
    far, near = os.openpty()
    port = RealPort(os.ttyname(near), 115_200)
    os.close(near)
    os.close(far)
    with pytest.raises(SourceError, match="is its cable in"):
        port.write(b"x")
    port.close()
