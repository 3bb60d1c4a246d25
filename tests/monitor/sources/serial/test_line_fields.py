"""Fields of lines: names, numbers, units, leads off; anything else is refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.sources.serial.line_fields import is_leads_off, parse_rows, words_of

NAN = math.nan


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("512", [("", 512)]),
        ("-.5", [("", -0.5)]),
        ("0.12;0.34", [("", 0.12), ("", 0.34)]),
        ("12345,512", [("", 12345), ("", 512)]),
        ("512 300\t7", [("", 512), ("", 300), ("", 7)]),
        ("ecg:0.1 resp:2", [("ecg", 0.1), ("resp", 2)]),
        ("ECG: 512", [("ECG", 512)]),
        ("ECG=512", [("ECG", 512)]),
        ("ecg = 0.1, resp = 2", [("ecg", 0.1), ("resp", 2)]),
        ("A0: 512", [("A0", 512)]),
        ("ECG (mV): 0.12", [("ECG (mV)", 0.12)]),
        ("ECG,512", [("ECG", 512)]),
        (">512", [("", 512)]),
        ("512;", [("", 512)]),
        ("<512>", [("", 512)]),
        ("(12345, 512)", [("", 12345), ("", 512)]),
        ('"512"', [("", 512)]),
        ("$ECG,512*5A", [("ECG", 512)]),
        ("$ECG,12345,512*5A", [("ECG 0", 12345), ("ECG 1", 512)]),
        (">ecg:1627551892437:512", [("ecg", 512)]),
        ("I (1234) ECG: 512", [("ECG", 512)]),
        ("\x1b[0;32mI (1234) ECG: 512\x1b[0m", [("ECG", 512)]),
        ("0:00:12.345 512 300", [("", 512), ("", 300)]),
        ("12:00:01.123 -> 512", [("", 512)]),
        ('{"ecg": 512}', [("ecg", 512)]),
        ("{'ecg': 512, 'lo': None}", [("ecg", 512), ("lo", NAN)]),
        ('{"data":{"ecg":0.5,"t":5}}', [("data.ecg", 0.5), ("data.t", 5)]),
        ('DATA: {"ecg":"0.5 mV"}', [("ecg", 0.5)]),
        ("[12345, 512]", [("", 12345), ("", 512)]),
        ('{"channels":[1,2]}', [("channels 0", 1), ("channels 1", 2)]),
        ('{"ecg":null}', [("ecg", NAN)]),
        ("!,12", [("", NAN), ("", 12)]),
        ("LO+:0,LO-:0,ECG:512", [("LO+", 0), ("LO-", 0), ("ECG", 512)]),
        ("LO+:1,LO-:0,ECG:512", [("LO+", NAN), ("LO-", NAN), ("ECG", NAN)]),
        ('{"ecg":0.1,"leads_off":true}', [("ecg", NAN), ("leads_off", NAN)]),
    ],
)
def test_rows(line: str, fields: list[tuple[str, float]]) -> None:
    (row,) = parse_rows(line)
    assert [(field.name, pytest.approx(field.values[0], nan_ok=True)) for field in row] == fields


@pytest.mark.parametrize(
    ("line", "unit"),
    [
        ("0.12 mV", "mV"),
        ("0.12mV", "mV"),
        ("ECG: 120 µV", "µV"),
        ("1.65V", "V"),
        ("ECG=512adc", "adc"),
        ('{"ecg":0.5,"unit":"mV"}', "mV"),
        ("HR=72bpm", "bpm"),
        ("0.12", None),
    ],
)
def test_units(line: str, unit: str | None) -> None:
    assert parse_rows(line)[0][0].unit == unit


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ('{"ecg":[1,2,3],"t":5}', [[1, 2, 3]]),
        ('{"t":5,"samples":[1,null]}', [[5]]),
        ('[{"ecg":2},{"ecg":3}]', [[2], [3]]),
        ('{"rows":[{"ecg":2,"t":1},{"ecg":3,"t":2}]}', [[2], [3]]),
        ("[[1,2],[3,4]]", [[1], [3]]),
    ],
)
def test_several_samples_in_a_line(line: str, values: list[list[float]]) -> None:
    assert [list(row[0].values) for row in parse_rows(line)] == values


@pytest.mark.parametrize(
    "line",
    [
        *("", "abc", "x1", "0.1x", "5.1.2", "0.1 0.x", "ECG starts, 115200 baud", "1e999", "nan", "{", '{"ecg":'),
        *("S512", "12..5", "--3", "{}", "[]", '{"ecg":{}}', "1_000", "١٢", '{"ecg":1e999}', "[" * 3000 + "]" * 3000),
    ],
)
def test_other_lines_are_refused(line: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text is the line
        parse_rows(line)


@given(st.text(max_size=60) | st.text(alphabet="0123456789.,:;={}[]\"' eECG!", max_size=60))
def test_any_text_is_rows_or_a_value_error(line: str) -> None:
    try:
        rows = parse_rows(line)
    except ValueError:
        return
    assert all(row and all(field.values is not None for field in row) for row in rows)


@pytest.mark.parametrize(
    ("line", "off"),
    [
        ("!", True),
        ("! LO+ and LO-", True),
        ("!,!", True),
        ("leads off", True),
        ("Leads-Off", True),
        ("LEADS OFF!", True),
        ("Lead off detected", True),
        ("Electrode disconnected", True),
        ("electrodes not connected", True),
        ("check electrodes", True),
        ("No contact", True),
        ("LO+", True),
        ("Elektrode ab", True),
        ("ECG sketch starts, 115200 baud", False),
        ("abc", False),
        ("turned off", False),
    ],
)
def test_words_for_leads_off(line: str, off: bool) -> None:
    assert is_leads_off(line) == off


def test_a_header_line() -> None:
    assert words_of("time,ECG,RESP") == ["time", "ECG", "RESP"]
    assert words_of("# t;ecg (mV)") == ["t", "ecg (mV)"]
    assert words_of("Setting up, 250 Hz") == []
    assert words_of("hello") == []
