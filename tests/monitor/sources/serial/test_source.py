"""The serial source on real pseudo-terminals: samples, losses, errors."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import SourceError
from monitor.sources import EndOfStream, SourceOptions, open_source
from monitor.sources.serial import link as serial_link
from monitor.sources.serial.decoded import Decoded
from monitor.sources.serial.line_parser import LineParser
from monitor.sources.serial.source import BUFFER_S, SerialSource
from tests.monitor.sources.helpers import Clock, wait_for
from tests.monitor.sources.serial.helpers import FS_HZ, Device, Reader, open_device


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def device(tmp_path: Path, clock: Clock) -> Iterator[Device]:
    device = Device(tmp_path / "ttyECG", clock)
    yield device
    device.pull_out()


def opened(device: Device, **options: object) -> SerialSource:
    source = open_device(device, **options)
    device.send(source, "cut")  # the source drops the first line
    return source


@pytest.fixture
def reader(device: Device, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    monkeypatch.setattr(serial_link, "BACKOFF_S", (0.01, 0.05))
    source = opened(device)
    yield Reader(source)
    source.close()


def test_numbers_leads_off_and_bad_lines(device: Device, reader: Reader) -> None:
    lines = "0.1\r,-0.25,!, 1e-1 ,abc,x1,,0.2,1e999,5e8,0.2,nan,ÿþ,ECG:0.75,ECG: -1"
    device.send(reader.source, *lines.split(","))
    mv = reader.until(13)
    bad = np.nan
    np.testing.assert_array_equal(mv, [0.1, -0.25, bad, 0.1, bad, 0.2, bad, bad, 0.2, bad, bad, 0.75, -1.0])
    assert reader.places.tolist() == list(range(13)), "abc is a banner, and an empty line is nothing"
    assert sum(notice.count for notice in reader.notices("bad_input")) == 6, "leads off is no bad input"
    assert r"e.g. '\xc3\xbf\xc3\xbe'" in reader.notices("bad_input")[-1].text


def test_read_returns_none_without_a_new_line(device: Device, reader: Reader) -> None:
    reader.poll()
    assert reader.source.read(10) is None
    device.write("0.12")
    device.send(reader.source, "5")
    np.testing.assert_array_equal(reader.until(1), [0.125])
    assert reader.source.read(10) is None
    device.send(reader.source, *(f"{i / 1000}" for i in range(100)))
    reader.max_samples = 7
    np.testing.assert_array_equal(reader.until(101)[1:], np.arange(100) / 1000)
    assert reader.places.tolist() == list(range(101))


def test_an_adc_with_an_amplifier_is_scaled(device: Device) -> None:
    source = opened(device, adc_bits=10, vref=5.0, gain=1100.0)
    device.send(source, "512", "0", "1023")
    np.testing.assert_allclose(Reader(source).until(3), [0.0, -5000 / 2200, 511 * 5000 / 1024 / 1100])
    assert source.rails_mv == pytest.approx((-5000 / 2200, 511 * 5000 / 1024 / 1100))
    source.close()


@pytest.mark.parametrize(("column", "expected"), [(1, 2.0), ("ECG", 1.0), ("1", 2.0)])
def test_one_of_several_columns(device: Device, column: int | str, expected: float) -> None:
    source = opened(device, column=column)
    device.send(source, "ECG:1.0,RESP:2.0")
    np.testing.assert_array_equal(Reader(source).until(1), [expected])
    source.close()


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["1.0,2.0"] * 120, r"not clear; choose one with --column: 0 \(1 1 1\), 1 \(2 2 2\)"),
        (["S512", "S513", "B72", "Q820", "S514"], r"pulse sensor.*no QRS"),
    ],
)
def test_a_device_that_is_no_ecg_is_refused(device: Device, lines: list[str], problem: str) -> None:
    source = opened(device)
    device.send(source, *lines)
    with pytest.raises(SourceError, match=problem) as refused:
        source.read(10)
    assert "\n" not in str(refused.value)
    source.close()


def test_a_lost_port_is_a_gap_of_the_right_length(device: Device, reader: Reader) -> None:
    device.send(reader.source, *["0.1"] * 200)
    device.write("0.3")
    reader.until(200)
    wait_for(lambda: reader.source.bytes_in >= device.sent, "half a line to be read")
    for losses in range(1, 3):
        device.pull_out()
        assert str(device.path) in reader.until_notices("source_lost", losses).text
        device.rest(30.0)
        device.plug_in()
        reader.until_notices("source_back", losses)
        device.send(reader.source, "3", *["0.4"] * 50)  # the first line is incomplete
        device.rest(0.4)
        mv = reader.until(200 + 50 * losses)
        np.testing.assert_array_equal(mv[-50:], 0.4)
        last, first = reader.places[-51], reader.places[-50]
        silent_s = 30.0 + 0.4 * (losses - 1)  # also while the samples after the first loss settled
        assert first - last - 1 == pytest.approx(silent_s * FS_HZ, abs=3)


def test_a_short_loss_is_a_gap(device: Device, reader: Reader) -> None:
    device.send(reader.source, "0.1")
    reader.until(1)
    device.pull_out()
    reader.until_notices("source_lost")
    device.plug_in()
    reader.until_notices("source_back")
    device.send(reader.source, "3", "0.4")
    device.rest(0.4)
    reader.until(2)
    assert reader.places[1] == 2


def test_unread_samples_are_dropped_and_counted(device: Device, reader: Reader) -> None:
    kept = round(BUFFER_S * FS_HZ)
    device.send(reader.source, *(f"{i % 900}" for i in range(kept + 500)))
    mv = reader.until(kept)
    np.testing.assert_array_equal(mv, np.arange(500, kept + 500) % 900)
    assert reader.places.tolist() == list(range(500, kept + 500))
    assert [notice.count for notice in reader.notices("overrun")] == [500]


def test_ten_times_the_rate_is_reported_and_nan(device: Device, reader: Reader) -> None:
    device.send(reader.source, *["0.1"] * 300)
    for _ in range(100):
        device.write("0.1\n" * 10)
        wait_for(lambda: reader.source.bytes_in >= device.sent, "the bytes to be read")
        device.rest(0.01)
        reader.poll()
    assert "correct --fs" in reader.notices("sampling_rate")[0].text
    samples = reader.samples
    assert samples.size == 1300
    assert np.isfinite(samples[300:]).sum() < 4 * FS_HZ
    device.send(reader.source, *["0.1"] * 1000)
    assert reader.until_notices("sampling_rate_right")


def test_the_duration_ends_the_source(device: Device, clock: Clock) -> None:
    source = opened(device, duration_s=5.0)
    Reader(source).poll()
    clock.now_s += 4.9
    assert source.read(1) is None
    clock.now_s += 0.2
    with pytest.raises(EndOfStream):
        source.read(1)
    source.close()


def test_an_error_in_the_thread_is_raised_by_read(
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


def test_close_ends_the_thread_while_the_port_is_lost(device: Device, reader: Reader) -> None:
    device.pull_out()
    reader.until_notices("source_lost")
    reader.source.close()
    reader.source.close()
    assert not [thread for thread in threading.enumerate() if str(device.path) in thread.name]
    with pytest.raises(SourceError, match="closed"):
        reader.source.read(1)


def test_a_port_in_use_is_refused_with_its_holder(device: Device, reader: Reader) -> None:
    with pytest.raises(SourceError, match="in use by another program"):
        opened(device)
    reader.source.close()
    hold = f"import serial; p = serial.Serial({str(device.path)!r}, exclusive=True); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(SourceError, match=rf"in use by python.* \(process {holder.pid}\)"):
            opened(device)
        holder.communicate("\n")


def test_no_permission_names_the_group(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated: root may open every port."""
    import grp

    import serial

    def refused(*_: object, **__: object) -> object:
        raise serial.SerialException(13, "could not open port: [Errno 13] Permission denied")

    monkeypatch.setattr(serial, "Serial", refused)
    group = grp.getgrgid(device.path.stat().st_gid).gr_name.replace("root", "dialout")
    with pytest.raises(SourceError, match=f"no permission for .*usermod -aG {group} "):
        opened(device)


def test_the_remedy_never_names_the_group_root(tmp_path: Path) -> None:
    """Its members may do far more than open a port."""
    from monitor.sources.serial import ports

    device = tmp_path / "ttyS0"
    device.touch()
    os.chown(device, -1, 0)
    remedy = ports.permission_remedy(str(device))
    assert f"chgrp dialout {device} && sudo chmod g+rw {device}" in remedy
    assert "usermod -aG dialout $USER" in remedy


def test_unusable_options_are_refused_in_one_line(tmp_path: Path) -> None:
    port = str(tmp_path / "ttyUSB9")

    def refused(match: str, **options: object) -> None:
        with pytest.raises(SourceError, match=match) as error:
            open_source("serial", SourceOptions(**options))  # type: ignore[arg-type]
        assert "\n" not in str(error.value)

    refused(f"no port {port}; there are", port=port, fs_hz=250)
    refused("--port; there are", fs_hz=250)
    refused("--start", port=port, fs_hz=250, start_s=5.0)
    refused("999999 Hz", port=port, fs_hz=999_999)
    refused("unknown format 'morse'; choose one of auto, lines", port=port, format="morse")
    refused("chords packets hold ADC counts|no port", port=port, format="chords", fs_hz=250)
    refused("raw16 packets hold ADC counts; give the scale", port=port, format="raw16", fs_hz=250)
    refused("needs --gain too", port=port, format="lines", adc_bits=10, vref=5.0)
    refused("not both", port=port, format="lines", unit="adc", mv_per_unit=0.1, gain=3.0)
    refused("no channel 8; cyton has 0 to 7", port=port, format="cyton", column=8)
    refused("99 bits", port=port, format="raw16", adc_bits=99, vref=5.0, gain=1.0)
    plain = tmp_path / "file"
    plain.write_text("")
    refused("cannot be opened", port=str(plain), fs_hz=250)
