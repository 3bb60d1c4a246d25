"""What the lines before a table state in words: sampling rate, unit, lead, names of columns. Pure."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from monitor.sources.tables.times import TIME_UNITS, time_unit
from monitor.sources.units import UNITS, canonical_unit

__all__ = ["Stated", "is_statement", "rate_in", "read_preamble", "units_in_words"]

_NUMBER = r"(?P<n>\d+(?:[.,]\d+)?)"
_HERTZ = r"(?P<kilo>k)?(?:hz|hertz|herz|hercios?|sps|samples? ?(?:/|per) ?s(?:ec(?:ond)?)?)"
_RATE_KEY = re.compile(
    r"(?:ecg|ekg|signal|data)?[ _-]*(?:sampl\w*[ _-]*(?:rate|freq\w*)(?:[ _-]*hz)?|sampling|f[ _]?s(?:[ _-]?hz)?"
    r"|s[ _-]?rate|sfreq|frequency|freq|rate|abtast\w*|hz|taxa de amostragem|frecuencia de muestreo"
    r"|fr[eé]quence d.?[eé]chantillonnage"
    r"|sampling_?rate|samplingfrequency)[ _]*(?:[(\[].*[)\]])?",
    re.IGNORECASE,
)
_INTERVAL_KEY = re.compile(
    r"(?:sampl\w*[ _-]*)?(?:interval|period|dt|time[ _-]?step)(?:[ _]*[(\[].*[)\]])?|abtastintervall", re.IGNORECASE
)
_UNIT_KEY = re.compile(
    r"(?:ecg|ekg|signal|data|voltage|channel|amplitude)?[ _-]*(?:units?(?:[ _-]?name)?|einheit(?:en)?|unidad(?:es)?"
    r"|unit[eé]s?|unidades?)",
    re.IGNORECASE,
)
_LEAD_KEY = re.compile(
    r"(?:ecg|ekg)?[ _-]*(?:leads?|channels?(?:[ _-]?(?:name|label|title)s?)?|signal(?:[ _-]?(?:name|label))?|labels?"
    r"|ableitung|kanal|derivaci[oó]n|d[eé]rivation|columns?)",
    re.IGNORECASE,
)
_KEY_VALUE = re.compile(r"\s*[\"']?(?P<key>[^\W\d][^:=;,\t|\"']*?)[\"']?\s*(?:[:=;,\t|]+)\s*(?P<value>.*?)\s*")
_JSON = re.compile(r'\{.*"\s*:')
_JSON_PAIR = re.compile(r'"(?P<key>[^"]+)"\s*:\s*(?:"(?P<text>[^"]*)"|(?P<number>[\d.]+)|\[(?P<cells>[^\]\[{}]*)\])')
_VALUE_RATE = re.compile(rf"{_NUMBER}\s*(?:{_HERTZ})?", re.IGNORECASE)
_VALUE_INTERVAL = re.compile(rf"{_NUMBER}\s*(?P<unit>[^\W\d]+)?", re.IGNORECASE)
_RATE_TEXT = re.compile(rf"(?<![\w.,-]){_NUMBER}\s*{_HERTZ}(?![a-z])", re.IGNORECASE)
_PER_SAMPLE = re.compile(rf"{_NUMBER}\s*(?P<unit>[^\W\d]+)\s*(?:/|per)\s*sample", re.IGNORECASE)
_COUNT = r"(?:lsb|bits?|counts?|ad(?:u|c)s?|a/d|digits?|steps?)"
_COUNT_SCALES = (  # of one count
    re.compile(rf"{_NUMBER}\s*(?P<unit>[^\W\d]*v(?:olts?)?)\s*(?:/|per|an?)\s*{_COUNT}\b", re.IGNORECASE),
    re.compile(rf"\b1\s*{_COUNT}\s*[=:]\s*{_NUMBER}\s*(?P<unit>[^\W\d]*v(?:olts?)?)\b", re.IGNORECASE),
    re.compile(
        rf"\b(?:scale|resolution|lsb|step|count)\b(?:\s*(?:factor|size|value))?\s*[=:,;\t]\s*{_NUMBER}\s*"
        r"(?P<unit>[^\W\d]*v(?:olts?)?)\s*\Z",
        re.IGNORECASE,
    ),
)
_COUNTS_IN_ONE = re.compile(rf"{_NUMBER}\s*{_COUNT}\s*(?:/|per)\s*(?P<unit>[^\W\d]*v(?:olts?)?)\b", re.IGNORECASE)
_BRACKETS = frozenset("([")
_WORDS = re.compile(r"[\s,;|:=()\[\]{}\"']+")
_FILTER = re.compile(r"filt|notch|pass|cut|band|mains|line|power|hum|bereich", re.IGNORECASE)
_MICROVOLT_FILES = re.compile(r"OpenBCI", re.IGNORECASE)  # its files are in uV and do not say so


@dataclass(slots=True)
class Stated:
    """What was stated.

    Attributes:
        fs_hz: sampling rate, Hz; None = not stated.
        unit: unit of the ECG, as `canonical_unit` gives it; None = not stated.
        mv_per_count: scale of ADC counts, mV; None = not stated.
        lead: name of the ECG's column; empty = not stated.
        labels, units: of several columns, in order.
    """

    fs_hz: float | None = None
    unit: str | None = None
    mv_per_count: float | None = None
    lead: str = ""
    labels: Sequence[str] = ()
    units: Sequence[str] = ()


def read_preamble(lines: Sequence[str]) -> Stated:
    """Read the lines before the first row: comments, `key: value`, `key,value`, words.

    >>> read_preamble(["Sample Rate,512 hertz", "Lead,Lead I", "Unit,µV"])
    Stated(fs_hz=512.0, unit='uV', mv_per_count=None, lead='Lead I', labels=(), units=())
    >>> read_preamble(["# recorded at 250 Hz, notch filter 50 Hz", "fs: 1 kHz"]).fs_hz
    1000.0
    """
    stated = Stated()
    spoken: float | None = None
    for line in lines:
        text = line.strip().lstrip("#%/ \t")
        if _MICROVOLT_FILES.search(text) and stated.unit is None:
            stated.unit = "uV"
        stated.mv_per_count = stated.mv_per_count or _count_scale(text)
        if _JSON.search(text):
            _take_json(stated, text)
            continue
        found = _KEY_VALUE.fullmatch(text)
        if found is None or not _take(stated, found["key"].strip(), found["value"]):
            for part in re.split(r"[;,|]\s", text):
                spoken = spoken or rate_in(part)
    if stated.fs_hz is None:
        stated.fs_hz = spoken
    return stated


def is_statement(line: str) -> bool:
    """Whether a line states a rate, a unit or a lead as key and value, or a scale of counts; then it is no header."""
    text = line.strip().lstrip("#%/ \t")
    found = _KEY_VALUE.fullmatch(text)
    if found is not None and _take(Stated(), found["key"].strip(), found["value"]):
        return True
    return not _BRACKETS.intersection(text) and _count_scale(text) is not None  # `ecg [2.5 uV/bit]` is a header


def rate_in(text: str) -> float | None:
    """A sampling rate in words, Hz: `at 250 Hz`, `4 ms/sample`; None for none, and for that of a filter.

    >>> rate_in("ECG @ 500Hz"), rate_in("8 msec/sample"), rate_in("low pass 150 Hz")
    (500.0, 125.0, None)
    """
    if (found := _PER_SAMPLE.search(text)) and (unit := time_unit("", found["unit"])):
        return _over(_number(found["n"]) * TIME_UNITS[unit])
    found = None if _FILTER.search(text) else _RATE_TEXT.search(text)
    return None if found is None else _number(found["n"]) * (1000 if found["kilo"] else 1)


def _take(stated: Stated, key: str, value: str) -> bool:
    """Note what a key says; False where it says nothing of these."""
    values = [cell.strip() for cell in next(csv.reader([value], delimiter="\t" if "\t" in value else ","), [])]
    first = next((cell for cell in values if cell), "")
    if _RATE_KEY.fullmatch(key) and (found := _VALUE_RATE.fullmatch(value.strip("\"', ;\t"))):
        rate = _number(found["n"]) * (1000 if found["kilo"] else 1)
        stated.fs_hz = stated.fs_hz or rate or None
        return True
    if _INTERVAL_KEY.fullmatch(key) and (found := _VALUE_INTERVAL.fullmatch(value.strip("\"', ;\t"))):
        unit = (
            time_unit("", found["unit"] or "") or time_unit(key.rpartition("(")[2]) or time_unit(key.rpartition("[")[2])
        )
        if unit is None:
            return False
        stated.fs_hz = stated.fs_hz or _over(_number(found["n"]) * TIME_UNITS[unit])
        return True
    if _UNIT_KEY.fullmatch(key) and any(canonical_unit(cell) for cell in values):
        if len(values) > 1:
            stated.units = values
        stated.unit = next(unit for cell in values if (unit := canonical_unit(cell)))
        return True
    if _LEAD_KEY.fullmatch(key) and first and not first.replace(".", "").isdigit():
        if len(values) > 1:
            stated.labels = values
        else:
            stated.lead = stated.lead or first
        return True
    return False


def _take_json(stated: Stated, text: str) -> None:
    """Note what a JSON object says, e.g. the header of OpenSignals; its lists of columns are labels."""
    for pair in _JSON_PAIR.finditer(text):
        if pair["cells"] is None:
            _take(stated, pair["key"], pair["text"] or pair["number"] or "")
        elif pair["key"].lower() in ("column", "columns", "labels"):
            stated.labels = [cell.strip(' "') for cell in pair["cells"].split(",")]


def units_in_words(lines: Sequence[str]) -> set[str]:
    """Units of voltage that stand in words above a table, not after a number; as `canonical_unit` gives them.

    >>> units_in_words(["all values in uV, range +-5 mV, gain 10 mm/mV", "Time (s) ECG lead (uV)"])
    {'uV'}
    """
    found = set()
    for line in lines:
        words = [word for word in _WORDS.split(line) if word]
        for before, word in zip(["", *words], words, strict=False):
            unit = canonical_unit(word) if len(word) > 1 else None  # V alone may be a lead
            if unit in UNITS and not any(map(str.isdigit, before)):
                found.add(unit)
    return found


def _count_scale(text: str) -> float | None:
    """The scale of ADC counts that a line states, mV in one.

    >>> [_count_scale(text) for text in ("1 LSB = 2.5 uV", "2.5 uV/bit", "gain: 200 adu/mV", "scale: 0,005 mV", "5 mV")]
    [0.0025, 0.0025, 0.005, 0.005, None]
    """
    for pattern in (*_COUNT_SCALES, _COUNTS_IN_ONE):
        found = pattern.search(text)
        unit = canonical_unit(found["unit"]) if found else None
        if found and unit in UNITS and (number := _number(found["n"])):
            return round(UNITS[unit] / number if pattern is _COUNTS_IN_ONE else UNITS[unit] * number, 12)
    return None


def _over(step_s: float) -> float | None:
    return round(1 / step_s, 6) if step_s > 0 else None


def _number(text: str) -> float:
    return float(text.replace(",", "."))
