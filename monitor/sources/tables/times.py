"""Times in a table: clocks, dates, dates with clocks, and the unit of plain numbers. Pure."""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Sequence

__all__ = ["TIME_UNITS", "day_is_first", "is_time_name", "parse_stamp", "time_unit"]

DAY_S = 86_400.0
TIME_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "min": 60.0, "d": DAY_S}  # s in one unit
_NAMES = {
    "s": "s sec secs second seconds sek sekunde sekunden segundo segundos secondes",
    "ms": "ms msec msecs milli millis millisec millisecs millisecond milliseconds millisekunden milisegundos",
    "us": "us \u00b5s usec usecs micro micros microsec microsecond microseconds mikrosekunden",
    "ns": "ns nsec nsecs nano nanos nanosec nanosecond nanoseconds nanosekunden",
    "min": "min mins minute minutes minuten",
    "d": "days tage",
}
_UNIT = {name: unit for unit, names in _NAMES.items() for name in names.split()}
_WORD = re.compile(r"[^\W\d_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_TIME_WORD_LIST = """
    time times timestamp timestamps stamp datetime date clock zeit zeitstempel datum uhrzeit temps heure tiempo hora
    fecha tempo tijd tid czas elapsed epoch unix utc t seconds second secs sec s millis milliseconds msec ms micros
    microseconds usec us nanoseconds nanos ns min minutes rtc systime
"""
_TIME_WORDS = frozenset(_TIME_WORD_LIST.split())
# Words of numbers that a time word stands beside: a heart rate over time is no time.
_NO_TIME = frozenset(["rate", "interval", "rr", "ibi", "hr", "ecg", "ekg", "voltage", "value", "amplitude"])
_DATE = (
    r"(?:(?P<y{n}>\d{{4}})[-/.](?P<mo{n}>\d{{1,2}})[-/.](?P<da{n}>\d{{1,2}})"
    r"|(?P<a{n}>\d{{1,2}})(?P<by{n}>[-/. ])(?P<b{n}>\d{{1,2}}|[A-Za-z]{{3}})[-/. ](?P<c{n}>\d{{4}}|\d{{2}}))"
)
_CLOCK = (
    r"(?:(?P<h>\d{1,4}):)?(?P<m>\d{1,2}):(?P<s>\d{1,2})(?:[.,:](?P<f>\d{1,12}))?"
    r"(?:\s*(?P<half>[ap])\.?m\.?)?\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?"
)
_DATE_CLOCK = re.compile(rf"{_DATE.format(n=1)}(?:T|[\s,;_]+){_CLOCK}", re.IGNORECASE)
_CLOCK_DATE = re.compile(rf"{_CLOCK}(?:[\s,]+{_DATE.format(n=1)})?", re.IGNORECASE)
_DATE_ONLY = re.compile(_DATE.format(n=1))
_BASIC_ISO = re.compile(r"\d{8}[T ]\d{6}(?:[.,]\d+)?\S*")
_MONTH_LIST = "jan feb mar apr may jun jul aug sep oct nov dec"
_MONTHS = {name: i for i, name in enumerate(_MONTH_LIST.split(), 1)}
_AROUND = " \t\r\n\"'[]()"


def parse_stamp(text: str, day_first: bool = True) -> tuple[float, str]:
    """Parse a clock, a date, or both.

    Args:
        text: ISO 8601 (with or without a zone), `hh:mm:ss.mmm`, `m:ss.mmm`, a date with or without a clock.
        day_first: 1/2/2026 is the first of February.

    Returns:
        Time in s (since 1970 where there is a date, UTC where there is a zone) and what was found: `clock`, `date` or
        `date and clock`.

    Raises:
        ValueError: none of them.

    >>> parse_stamp("0:00.003"), parse_stamp("1970-01-02T00:00:00.5+00:00"), parse_stamp("[00:00:01 03/01/1970]")
    ((0.003, 'clock'), (86400.5, 'date and clock'), (172801.0, 'date and clock'))
    """
    text = text.strip(_AROUND)
    if (found := _DATE_CLOCK.fullmatch(text)) or (found := _CLOCK_DATE.fullmatch(text)):
        clock_s = _clock_s(found)
        if found["y1"] is None and found["a1"] is None:
            return clock_s, "clock"
        return _day(*_date_parts(found), day_first) * DAY_S + clock_s, "date and clock"
    if found := _DATE_ONLY.fullmatch(text):
        return _day(*_date_parts(found), day_first) * DAY_S, "date"
    if _BASIC_ISO.fullmatch(text):
        stamp = datetime.datetime.fromisoformat(text.replace(",", "."))
        zoned = stamp if stamp.tzinfo else stamp.replace(tzinfo=datetime.UTC)
        return zoned.timestamp(), "date and clock"
    raise ValueError(text)


def day_is_first(cells: Sequence[str]) -> bool:
    """Whether dates such as 1/2/2026 name the day first.

    As a number over 12 shows it; else by the usual signs of US dates, / and AM or PM.
    """
    for cell in cells:
        text = cell.strip(_AROUND)
        found = _DATE_CLOCK.fullmatch(text) or _CLOCK_DATE.fullmatch(text) or _DATE_ONLY.fullmatch(text)
        if found is None or found["a1"] is None or not found["b1"].isdecimal():
            continue
        if int(found["a1"]) > 12:
            return True
        if int(found["b1"]) > 12:
            return False
        if found["by1"] == "/" and "m" in text.lower():
            return False
    return True


def is_time_name(label: str) -> bool:
    """Whether a column's name says that it is a time.

    >>> [is_time_name(text) for text in ("sensor timestamp [ns]", "Zeit/ms", "S_Timestamp_Unix_CAL", "ECG", "RR time")]
    [True, True, True, False, False]
    """
    words = set(_words(label))
    if label.strip().lower() == "x":  # beside y
        return True
    return bool(words & _TIME_WORDS) and not words & _NO_TIME


def time_unit(label: str, unit: str = "") -> str | None:
    """The unit of a time column, a key of TIME_UNITS, as its unit cell or its name says; None where neither does.

    >>> time_unit("sensor timestamp [ns]"), time_unit("S_Timestamp", "ms"), time_unit("millis"), time_unit("time")
    ('ns', 'ms', 'ms', None)
    """
    own = _words(unit)
    if len(own) == 1 and own[0] in _UNIT:
        return _UNIT[own[0]]
    for word in reversed(_words(label)):
        if word in _UNIT:
            return _UNIT[word]
    return None


def _words(label: str) -> list[str]:
    return [word.lower().replace("\u03bc", "\u00b5") for word in _WORD.findall(_CAMEL.sub(" ", label))]


def _clock_s(found: re.Match[str]) -> float:
    hours, minutes, seconds = int(found["h"] or 0), int(found["m"]), int(found["s"])
    if found["half"]:
        hours = hours % 12 + (12 if found["half"].lower() == "p" else 0)
    clock_s = hours * 3600 + minutes * 60 + seconds + (float("0." + found["f"]) if found["f"] else 0.0)
    zone = found["zone"]
    if zone is not None and zone[0] in "+-":
        digits = zone[1:].replace(":", "").ljust(4, "0")
        offset_s = int(digits[:2]) * 3600 + int(digits[2:]) * 60
        clock_s -= offset_s if zone[0] == "+" else -offset_s
    return clock_s


def _date_parts(found: re.Match[str]) -> tuple[str, str, str, bool]:
    """Three parts of a date, and whether the year comes first."""
    if found["y1"] is not None:
        return found["y1"], found["mo1"], found["da1"], True
    return found["a1"], found["b1"], found["c1"], False


@functools.lru_cache(maxsize=64)
def _day(first: str, second: str, third: str, iso: bool, day_first: bool) -> int:
    """Days since 1970; ValueError for an impossible date."""
    if iso:
        date = datetime.date(int(first), int(second), int(third))
    else:
        year = int(third) + (2000 if len(third) == 2 else 0)
        named = _MONTHS.get(second.lower())
        if not second.isdecimal() and named is None:
            raise ValueError(second)
        month = named or int(second)
        day = int(first)
        if named is None and ((not day_first and month <= 12) or (month > 12 and day <= 12)):
            day, month = month, day
        date = datetime.date(year, month, day)
    return date.toordinal() - datetime.date(1970, 1, 1).toordinal()
