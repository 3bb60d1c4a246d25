"""Serial ports: choice of the port, search for a moved device, start of a Chords board."""

from __future__ import annotations

import pytest

from monitor.errors import SourceError
from monitor.sources.serial.chords_greeting import ChordsGreeting
from monitor.sources.serial.formats import BOARDS
from monitor.sources.serial.ports import PortInfo, choose_port, find_again
from tests.monitor.commands.helpers import ecg_monitor

UNO = PortInfo("/dev/ttyACM0", "Arduino Uno", "2341:0043", "75439313637351F0B1D2")
CYTON = PortInfo("/dev/ttyUSB0", "FT231X USB UART", "0403:6015", "DM00Q8QL")
BOARD = PortInfo("/dev/ttyS0")


def test_auto_takes_the_only_device() -> None:
    assert choose_port("auto", "serial", lambda: [UNO]) == UNO
    assert choose_port("auto", "serial", lambda: [BOARD, UNO]) == UNO, "the port of the mainboard has no device"
    assert choose_port("auto", "serial", lambda: [BOARD]) == BOARD
    with pytest.raises(SourceError, match=r"takes the only port; there are /dev/ttyACM0, /dev/ttyUSB0"):
        choose_port("auto", "serial", lambda: [UNO, CYTON])
    with pytest.raises(SourceError, match="there are no serial ports"):
        choose_port("auto", "serial", lambda: [])


def test_a_device_is_found_again_by_its_serial_number() -> None:
    moved = PortInfo("/dev/ttyACM3", UNO.name, UNO.vid_pid, UNO.serial_number)
    assert find_again(UNO, lambda: [CYTON, moved]) == "/dev/ttyACM3"
    assert find_again(UNO, lambda: [CYTON]) == "/dev/ttyACM0", "not there yet"
    assert find_again(BOARD, lambda: [moved]) == "/dev/ttyS0", "without a serial number by its path"
    assert choose_port("/dev/ttyUSB0", "serial", lambda: [UNO, CYTON]) == CYTON, "with its serial number"


@pytest.mark.slow
def test_the_command_lists_the_ports() -> None:
    run = ecg_monitor("ports")
    assert run.returncode == 0
    from serial.tools.list_ports import comports

    assert [line.split()[0] for line in run.stdout.splitlines()] == sorted(port.device for port in comports())
    assert bool(run.stderr) == (not run.stdout)


def test_a_board_is_asked_only_after_a_silence() -> None:
    greeting = ChordsGreeting(0.0)
    assert greeting.quiet(0.9) == b""
    assert greeting.quiet(1.0) == b"WHORU\n"
    assert greeting.quiet(1.5) == b"", "it may still boot"
    assert greeting.received(b"ECG sketch starts\r\n", 1.6) == b"", "another sketch"
    assert greeting.received(b"uno-r4\r\n", 2.0) == b"START\n"
    assert greeting.board == BOARDS["UNO-R4"]
    assert greeting.received(b"\xc7\x7c\x00" + bytes(13), 2.1) == b""
    assert greeting.quiet(4.5) == b"", "its bytes may be late, and a question would stop it"
    assert greeting.quiet(4.7) == b"WHORU\n", "it was reset"
    greeting.reopened(10.0)
    assert greeting.quiet(10.2) == b""
    assert greeting.quiet(10.4) == b"WHORU\n"
