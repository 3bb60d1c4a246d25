"""Which column of a device's lines is read, with which unit: from what people's sketches write."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from monitor.sources import SourceOptions
from monitor.sources.adc_counts import unsigned_adc
from monitor.sources.serial.format_guess import guess_format
from monitor.sources.serial.formats import make_decoder
from monitor.sources.serial.line_parser import LineParser
from tests.monitor.emulator.helpers import signal_of

ECG = signal_of(500, 250.0)  # 2 s, mV
COUNTS = unsigned_adc(12, 3.3, 1100.0).counts(ECG)
GARBLED = (b"EG:512", b"ECG:51299", b"ECG:512,5", b"ECG:5?2", b"ECG512", b"ECG:512ECG:513", b"\xff\x00")
WAVE = 0.5 + 0.2 * np.sin(np.arange(500) / 160.0)  # a breath


def stream(write: Callable[[int], str], end: str = "\r\n", before: str = "") -> bytes:
    """Two seconds of lines by the sample's index, after half a line and what the device writes at its start."""
    return ("12" + end + before + "".join(write(n) + end for n in range(500))).encode()


def mv(n: int) -> str:
    return f"{ECG[n]:.4f}"


@pytest.mark.parametrize(
    ("write", "label"),
    [
        (mv, ""),
        (lambda n: f"ECG:{mv(n)}", "ECG"),
        (lambda n: f"ECG={mv(n)}", "ECG"),
        (lambda n: f">{mv(n)};", ""),
        (lambda n: f"$ECG,{mv(n)}*5A", "ECG"),
        (lambda n: f"$ECG,{n},{mv(n)}*5A", "ECG 1"),
        (lambda n: f"{4 * n},{mv(n)}", ""),
        (lambda n: f"{n % 100},{mv(n)}", ""),
        (lambda n: f"{n * 3_906 // 1000}\t{mv(n)}\t72", ""),
        (lambda n: f"{mv(n)},0,0", ""),
        (lambda n: f"{mv(n)} {n // 50 % 2}", ""),
        (lambda n: f"resp:{WAVE[n]:.3f} ecg:{mv(n)}", "ecg"),
        (lambda n: f"t:{n},Value:{mv(n)},BPM:72", "Value"),
        (lambda n: f'{{"t":{n},"ecg":{mv(n)},"resp":{WAVE[n]:.3f}}}', "ecg"),
        (lambda n: f'{{"data":{{"lead_II":{mv(n)}}},"id":{n}}}', "data.lead_II"),
        (lambda n: f"[{4 * n},{mv(n)}]", ""),
        (lambda n: f">ecg:{1_600_000_000_000 + 4 * n}:{mv(n)}", "ecg"),
        (lambda n: f">ecg:{mv(n)}\r\n>resp:{WAVE[n]:.3f}", "ecg"),
        (lambda n: f"RESP:{WAVE[n]:.3f}\r\nECG:{mv(n)}", "ECG"),
        (lambda n: f"I ({n}) ECG: {mv(n)}", "ECG"),
        (lambda n: f"LO+:0,LO-:0,ECG:{mv(n)}", "ECG"),
        (lambda n: f"IR={1000 + n % 7} RED={900 + n % 5} ECG={mv(n)}", "ECG"),
    ],
)
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\n\r"])
def test_the_ecg_is_read(write: Callable[[int], str], label: str, end: str) -> None:
    data = stream(write, end)
    found = guess_format(data)
    assert (found.format, found.problem, found.counts) == ("lines", "", "")
    assert found.layout is not None
    assert found.layout.label == label
    decoder = make_decoder("lines", SourceOptions(), "serial", layout=found.layout)
    whole = decoder.feed(data).mv
    np.testing.assert_allclose(whole, ECG, atol=1e-4)
    single = make_decoder("lines", SourceOptions(), "serial", layout=found.layout)
    pieces = np.concatenate([single.feed(bytes([byte])).mv for byte in data])
    np.testing.assert_array_equal(pieces, whole)


def test_names_of_a_header_line_are_used() -> None:
    data = stream(lambda n: f"{WAVE[n]:.4f},{mv(n)}", before="resp,ecg\r\n")
    found = guess_format(data)
    assert found.layout is not None
    assert (found.layout.label, found.layout.position) == ("ecg", 1)


def test_an_array_holds_samples_one_after_the_other() -> None:
    data = stream(lambda n: f'{{"ecg":[{",".join(mv(i) for i in range(n, n + 5))}]}}' if n % 5 == 0 else "")
    found = guess_format(data)
    decoder = make_decoder("lines", SourceOptions(), "serial", layout=found.layout)
    np.testing.assert_allclose(decoder.feed(data).mv, ECG, atol=1e-4)


@pytest.mark.parametrize(
    ("write", "unit"),
    [
        (lambda n: f"{1000 * ECG[n]:.0f} uV", "uV"),
        (lambda n: f"ECG (µV): {1000 * ECG[n]:.1f}", "uV"),
        (lambda n: f'{{"ecg_uv":{1000 * ECG[n]:.0f}}}', "uV"),
        (lambda n: f'{{"ecg":{ECG[n] / 1000:.7f},"unit":"V"}}', "V"),
        (lambda n: f"{mv(n)}mV", "mV"),
        (lambda n: f"{4 * n},{mv(n)}mV", "mV"),
    ],
)
def test_the_unit_is_read(write: Callable[[int], str], unit: str) -> None:
    data = stream(write)
    found = guess_format(data)
    assert (found.counts, found.problem) == ("", "")
    assert found.layout is not None
    assert found.layout.unit == unit
    decoder = make_decoder("lines", SourceOptions(), "serial", layout=found.layout)
    np.testing.assert_allclose(decoder.feed(data).mv, ECG, atol=1e-3)
    assert decoder.unit == unit
    overruled = make_decoder("lines", SourceOptions(unit="mV"), "serial", layout=found.layout)
    assert np.nanmax(np.abs(overruled.feed(data).mv)) == pytest.approx(
        np.max(np.abs(ECG)) * {"uV": 1000, "V": 0.001, "mV": 1}[unit], rel=0.01
    )


@pytest.mark.parametrize(
    "write",
    [
        lambda n: f"{COUNTS[n]}",
        lambda n: f"ECG:{COUNTS[n]}",
        lambda n: f'{{"ecg":{COUNTS[n]}}}',
        lambda n: f"{4 * n},{COUNTS[n]}",
        lambda n: f"{COUNTS[n]}.00",
        lambda n: f"ECG={COUNTS[n]}adc",
        lambda n: f"{COUNTS[n]},0,0",
    ],
)
def test_counts_are_refused_with_flags_that_work(write: Callable[[int], str]) -> None:
    data = stream(write)
    found = guess_format(data)
    assert "look like ADC counts; give their scale, e.g. --adc-bits 12 --vref 3.3 --gain 1100" in found.counts
    options = SourceOptions(adc_bits=12, vref=3.3, gain=1100.0)
    decoder = make_decoder("lines", options, "serial", layout=found.layout)
    np.testing.assert_allclose(decoder.feed(data).mv, ECG, atol=1e-3)


def test_signed_counts_are_read() -> None:
    counts = np.rint(ECG / (2420.0 / (2**23 - 1) / 6)).astype(int)
    data = stream(lambda n: f"{counts[n]}")
    assert "ADC counts" in guess_format(data).counts
    decoder = make_decoder("lines", SourceOptions(adc_bits=24, vref=2.42, gain=6.0), "serial")
    got = decoder.feed(data).mv
    runs = np.convolve(counts < 0, np.ones(3), "valid") == 3
    first = int(np.flatnonzero(runs)[0]) + 2
    np.testing.assert_allclose(got[first:], ECG[first:], atol=1e-3)
    scale = SourceOptions(adc_bits=24, vref=2.42, gain=6.0)
    known = make_decoder("lines", scale, "serial", layout=guess_format(data).layout)
    np.testing.assert_allclose(known.feed(data).mv, ECG, atol=1e-3)
    assert decoder.rails_mv is not None
    assert decoder.rails_mv[0] < -400


@pytest.mark.parametrize(
    ("write", "problem"),
    [
        (lambda n: f"{mv(n)},{WAVE[n]:.3f}", "which channel is the ECG is not clear; choose one with --column: 0 ("),
        (
            lambda n: f"RESP:{WAVE[n]:.3f}",
            "no channel is an ECG by its name and unit; choose one with --column: 0 RE",
        ),
        (lambda n: f"{4 * n}", "no channel is an ECG"),
        (lambda n: f"S{500 + n % 20}", "pulse sensor"),
        (lambda n: f"BPM:{72 + n % 3},SpO2:97", "no channel is an ECG"),
    ],
)
def test_what_is_no_ecg_is_refused(write: Callable[[int], str], problem: str) -> None:
    found = guess_format(stream(write))
    assert found.format == "lines"
    assert problem in found.problem
    assert "\n" not in found.problem


def test_the_column_of_the_remedy_is_taken() -> None:
    found = guess_format(stream(lambda n: f"{mv(n)},{WAVE[n]:.3f}"), 0)
    assert found.problem == ""
    assert found.layout is not None
    assert found.layout.position == 0


@pytest.mark.parametrize("off", ["!", "! LO+", "!,!", "leads off", "LO-", '{"ecg":null}', "{'ecg': None}"])
def test_leads_off_is_nan_and_no_bad_line(off: str) -> None:
    parser = LineParser()
    got = parser.feed(f'x\n{{"ecg":0.5}}\n{off}\n{{"ecg":0.25}}\n'.encode()).mv
    np.testing.assert_array_equal(got, [0.5, np.nan, 0.25])
    assert parser.bad == 0


def test_a_device_with_electrodes_off_is_recognised() -> None:
    assert guess_format(stream(lambda _: "!")).format == "lines"
    assert guess_format(stream(lambda _: "! LO+")).problem == ""


def test_columns_without_names_are_judged_by_their_values_when_the_format_is_given() -> None:
    parser = LineParser()
    got = parser.feed(stream(lambda n: f"{4 * n},{mv(n)},0")).mv
    np.testing.assert_allclose(got, ECG, atol=1e-4)


def test_a_banner_with_a_number_does_not_fix_the_columns() -> None:
    parser = LineParser()
    got = parser.feed(stream(lambda n: f"{4 * n},{mv(n)}", before="115200\r\n")).mv
    np.testing.assert_allclose(got[-200:], ECG[-200:], atol=1e-4)


def test_garbled_lines_are_no_values() -> None:
    """A row with another number of fields, a wrong name, or a count beyond the ADC."""
    parser = make_decoder("lines", SourceOptions(adc_bits=10, vref=5.0, gain=1100.0), "serial", layout=None)
    got = parser.feed(b"x\n" + b"".join(b"ECG:512\n" + bad + b"\n" for bad in GARBLED)).mv
    assert np.isfinite(got).tolist() == [True, False] * len(GARBLED)
    assert parser.bad == len(GARBLED)


@pytest.mark.parametrize("other", ["BPM:72", ">bpm:72", "QRS detected", '{"hr":72}', ""])
def test_a_line_of_something_else_now_and_then_is_no_sample(other: str) -> None:
    data = stream(lambda n: f"ECG:{mv(n)}" + (f"\r\n{other}" if n % 200 == 77 else ""))
    found = guess_format(data)
    decoder = make_decoder("lines", SourceOptions(), "serial", layout=found.layout)
    np.testing.assert_allclose(decoder.feed(data).mv, ECG, atol=1e-4)
