"""Header of an EDF, EDF+, BDF or BDF+ file, also of one that departs from the standard.

Format: Kemp et al. 1992, doi:10.1016/0013-4694(92)90009-7; EDF+: Kemp and Olivan 2003,
doi:10.1016/S1388-2457(03)00123-8; BDF: 24 bits a sample and version `\\xffBIOSEMI`.
edfio and pyedflib refuse the departures that other readers take, so the fields are read here: padding by NUL or with
rests behind it, decimal commas, another version, a wrong header length or number of data records, units in UTF-8.
"""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass

from monitor.errors import SourceError

__all__ = ["FIXED_BYTES", "EdfHeader", "EdfSignal", "read_header", "signal_bytes"]

FIXED_BYTES = 256  # of the fixed header, and of the header of each signal
_MOST_SIGNALS = 9999  # the field has four digits
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_FULL = 7  # characters of a field of 8 that is rounded to its length
_DATE_OR_TIME = re.compile(r"(\d{1,2})\D(\d{1,2})\D(\d{1,2})")
_START = re.compile(r"Startdate (\d{1,2})-([A-Z]{3})-(\d{4})", re.IGNORECASE)
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_ANNOTATIONS = re.compile(r"(edf|bdf)[ _]annotations?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EdfSignal:
    """One signal.

    Attributes:
        physical, digital: value at the lower and at the upper end; None where the fields hold no number.
        samples: in one data record.
        offset: of its first sample in a data record, bytes.
    """

    label: str
    unit: str
    physical: tuple[float, float] | None
    digital: tuple[float, float] | None
    samples: int
    offset: int

    @property
    def is_annotations(self) -> bool:
        """Whether it holds annotations and no samples."""
        return _ANNOTATIONS.fullmatch(self.label) is not None

    @property
    def gain(self) -> float | None:
        """Physical units in one digital count; None where the ranges give no scale."""
        if self.physical is None or self.digital is None:
            return None
        physical, digital = self.physical[1] - self.physical[0], self.digital[1] - self.digital[0]
        return physical / digital if physical and digital else None


@dataclass(frozen=True, slots=True)
class EdfHeader:
    """The header.

    Attributes:
        format: `EDF`, `EDF+C`, `EDF+D`, `BDF`, `BDF+C` or `BDF+D`.
        width: bytes of one sample.
        signals: all, also those of annotations.
        record_s: length of a data record, s; 0 where it is not stated.
        named_records: number of data records that is stated; None = none, as while recording.
        named_bytes: length of the header that is stated; 0 = none.
        start: date and time of the first data record; None where anonymous or invalid.
    """

    format: str
    width: int
    signals: tuple[EdfSignal, ...]
    record_s: float
    named_records: int | None
    named_bytes: int
    start: datetime.datetime | None

    @property
    def record_bytes(self) -> int:
        """Length of a data record, bytes."""
        return self.width * sum(signal.samples for signal in self.signals)

    def data_at(self, size: int) -> int:
        """Where the data records begin in a file of `size` bytes.

        The stated length of the header counts only where exactly the stated records lie behind it.
        """
        standard = FIXED_BYTES * (len(self.signals) + 1)
        named = self.named_bytes
        data_bytes = (self.named_records or 0) * self.record_bytes
        return named if named > standard and 0 < data_bytes == size - named else standard


def read_header(head: bytes, rest: bytes, name: str) -> EdfHeader:
    """Parse the header.

    Args:
        head: the first 256 bytes of the file.
        rest: those behind, as many as there are, at least all of the signals' headers (`signal_bytes`).
        name: of the source, for the error.

    Raises:
        SourceError: broken or cut off.
    """
    n = signal_bytes(head, name) // FIXED_BYTES
    if len(rest) < FIXED_BYTES * n:
        raise SourceError(f"{name}: its EDF header of {n} signals is cut off; get the file again")
    is_bdf = head[:1] == b"\xff" or _text(head[192:236]).startswith("BDF+")
    width = 3 if is_bdf else 2
    columns: list[list[bytes]] = []
    at = 0
    for size in (16, 80, 8, 8, 8, 8, 8, 80, 8):
        columns.append([rest[i : i + size] for i in range(at, at + size * n, size)])
        at += size * n
    signals: list[EdfSignal] = []
    offset = 0
    for label, _, unit, *ranges, _, count in zip(*columns, strict=True):
        samples = _integer(count)
        if samples is None or samples < 0:
            raise _broken(name, f"signal {_text(label)!r} has {_text(count)!r} samples in a data record")
        low, high, digital_low, digital_high = (_number(field) for field in ranges)
        signals.append(
            EdfSignal(
                _text(label),
                _text(unit),
                None if low is None or high is None else (low, high),
                None if digital_low is None or digital_high is None else (digital_low, digital_high),
                samples,
                offset,
            )
        )
        offset += width * samples
    if offset == 0:
        raise _broken(name, "no signal has a sample")
    plus = re.match(r"[EB]DF\+([CD])", _text(head[192:236]))
    records = _integer(head[236:244])
    return EdfHeader(
        format=("BDF" if is_bdf else "EDF") + (f"+{plus[1]}" if plus else ""),
        width=width,
        signals=tuple(signals),
        record_s=_record_s(_text(head[244:252]), max(signal.samples for signal in signals)),
        named_records=records if records is not None and records >= 0 else None,
        named_bytes=_integer(head[184:192]) or 0,
        start=_start(_text(head[88:168]), _text(head[168:176]), _text(head[176:184])),
    )


def signal_bytes(head: bytes, name: str) -> int:
    """Length of the signals' headers, bytes.

    Raises:
        SourceError: neither the number of signals nor the length of the header is a number.
    """
    n = _integer(head[252:256])
    if n is None:
        named = _integer(head[184:192])
        n = None if named is None or named % FIXED_BYTES else named // FIXED_BYTES - 1
    if n is None or not 1 <= n <= _MOST_SIGNALS:
        raise _broken(name, f"{_text(head[252:256])!r} signals")
    return FIXED_BYTES * n


def _broken(name: str, why: str) -> SourceError:
    return SourceError(f"{name}: its EDF header is broken: {why}; get the file again")


def _text(field: bytes) -> str:
    """Text before the padding: blanks or NUL, and what may lie behind a NUL."""
    field = field.strip(b" \0\t\r\n").partition(b"\0")[0]
    try:
        text = field.decode("utf-8")
    except UnicodeDecodeError:
        text = field.decode("latin-1")
    return "".join(character if character.isprintable() else " " for character in text).strip()


def _number(field: bytes) -> float | None:
    text = _text(field).replace(",", ".")
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def _integer(field: bytes) -> int | None:
    value = _number(field)
    return int(value) if value is not None and value.is_integer() else None


def _record_s(text: str, samples: int) -> float:
    """Length of a data record, s; 0 = none.

    A field that is full of digits is rounded: 0.003906 for 1/256 s. Then the length is that of a whole rate, if one
    rounds to the field.

    >>> _record_s("0.003906", 1) == 1 / 256, _record_s("1.000123", 256), _record_s("1", 256)
    (True, 1.000123, 1.0)
    """
    seconds = max(0.0, _number(text.encode()) or 0.0)
    decimals = len(text.replace(",", ".").partition(".")[2])
    if len(text) < _FULL or not decimals or not seconds:
        return seconds
    whole = max(1, round(samples / seconds))
    return samples / whole if abs(samples / whole - seconds) <= 0.5 * 10.0**-decimals else seconds


def _start(recording: str, date: str, time: str) -> datetime.datetime | None:
    """Date of EDF+ (four digits of the year) if there is one, else that of EDF; anonymous where EDF+ says so."""
    day = _DATE_OR_TIME.fullmatch(date)
    clock = _DATE_OR_TIME.fullmatch(time)
    plus = _START.match(recording)
    if clock is None or recording.upper().startswith("STARTDATE X"):
        return None
    try:
        if plus and plus[2].upper() in _MONTHS:
            when = datetime.date(int(plus[3]), _MONTHS.index(plus[2].upper()) + 1, int(plus[1]))
        elif day:
            year = int(day[3])
            when = datetime.date(year + (1900 if year >= 85 else 2000), int(day[2]), int(day[1]))
        else:
            return None
        return datetime.datetime.combine(
            when, datetime.time(int(clock[1]), int(clock[2]), int(clock[3])), tzinfo=datetime.UTC
        )
    except ValueError:
        return None
