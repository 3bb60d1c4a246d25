"""Units of ECG samples: one table of spellings for every source."""

from __future__ import annotations

import math
import re

from monitor.errors import SourceError

__all__ = ["ADC", "MV_BY_UNIT", "UNITS", "canonical_unit", "is_no_voltage", "mv_per", "unit_in_label", "without_unit"]

UNITS: dict[str, float] = {"mV": 1.0, "uV": 1e-3, "V": 1e3, "nV": 1e-6}  # mV in one unit
MV_BY_UNIT: dict[str, float] = {unit.lower(): factor for unit, factor in UNITS.items()}  # for units in any case
ADC = "adc"  # counts of a converter, whose scale `--mv-per-unit` gives

_PREFIXES = {
    "": "V",
    "m": "mV",
    "milli": "mV",
    "u": "uV",
    "µ": "uV",  # U+00B5 micro sign; U+03BC Greek mu is mapped to it
    "Âµ": "uV",  # UTF-8 that was read as Latin-1
    "Î¼": "uV",
    "mc": "uV",
    "mic": "uV",
    "micro": "uV",
    "æ": "uV",  # 0xE6, micro in code page 437, read as Latin-1
    "\ufffd": "uV",  # a byte that could not be decoded: of the prefixes only micro is no ASCII letter
    "?": "uV",
    "n": "nV",
    "nano": "nV",
}
_WRITTEN = {prefix.lower(): unit for prefix, unit in _PREFIXES.items()}
_VOLTS = re.compile(r"(?P<prefix>.*?)[ _-]?v(olt?|olts|oltios?)?\.?", re.IGNORECASE)
_COUNTS = re.compile(
    r"(raw )?(adc|a/d|adu|lsb|digital|nu)s?([ _]?(units?|counts?|values?|codes?))?|(raw |digital )?counts?|raw|bits?",
    re.IGNORECASE,
)
_BRACKETED = re.compile(r"[(\[{<](?P<unit>[^()\[\]{}<>]*)[)\]}>]")
_LAST_WORD = re.compile(r"(?:^|.*[\s/_,:;-])(?P<unit>[^\s/_,:;-]+)\Z", re.DOTALL)


def canonical_unit(text: str) -> str | None:
    """The unit that `text` spells: a key of UNITS, or `adc` for counts; None for no voltage and no counts.

    >>> [canonical_unit(text) for text in ("µV", "μV", "uVolt", "microV", "milli volts", "[mV]", "counts", "mmHg")]
    ['uV', 'uV', 'uV', 'uV', 'mV', 'mV', 'adc', None]
    """
    text = text.strip(" \t\0\"'()[]{}<>").replace("\u03bc", "\u00b5")
    found = _VOLTS.fullmatch(text)
    if found and (unit := _WRITTEN.get(found["prefix"].strip().lower())) is not None:
        return unit
    return ADC if text.lower() != "nu" and _COUNTS.fullmatch(text) else None


def unit_in_label(label: str) -> str | None:
    """The unit, as `canonical_unit` gives it, that a column's name ends with or has in brackets; None without one.

    A bare V is taken for volts only in brackets or after a slash: `ECG V` may be a precordial lead.

    >>> [unit_in_label(text) for text in ("ecg [uV]", "ECG_mV", "EKG (µV), filtered", "Spannung/V", "ECG V", "V")]
    ['uV', 'mV', 'uV', 'V', None, None]
    """
    for bracket in _BRACKETED.finditer(label):
        if (unit := canonical_unit(bracket["unit"])) is not None:
            return unit
    label = label.strip(" \t\"'")
    last = _LAST_WORD.match(label)
    if last is None or (len(last["unit"]) == 1 and not label.endswith("/" + last["unit"])):
        return None
    unit = canonical_unit(last["unit"])
    return None if unit == ADC else unit


def without_unit(label: str) -> str:
    """The column's name without its unit.

    >>> [without_unit(text) for text in ("ecg [uV]", "ECG_mV", "II", "mV")]
    ['ecg', 'ECG', 'II', 'mV']
    """
    label = label.strip(" \t\"'")
    for bracket in _BRACKETED.finditer(label):
        if canonical_unit(bracket["unit"]) is not None:
            return (label[: bracket.start()].rstrip() + label[bracket.end() :]).strip() or label
    last = _LAST_WORD.match(label)
    if last is None or unit_in_label(label) is None:
        return label
    return label[: last.start("unit")].strip(" \t/_,:;-") or label


def is_no_voltage(unit: str | None) -> bool:
    """Whether a stated unit is that of another quantity (mmHg, bpm, g); False where none is stated."""
    return bool(unit and unit.strip(" \0-")) and canonical_unit(unit or "") is None


def mv_per(unit: str, mv_per_unit: float | None, source: str) -> float:
    """Return the scale of a source's numbers: mV in one unit.

    Args:
        unit: in any spelling.
        mv_per_unit: mV in one count, for `adc`.
        source: name, for the error.

    Raises:
        SourceError: unknown unit, or `adc` without a usable scale.
    """
    known = canonical_unit(unit)
    if known == ADC:
        if mv_per_unit is None or not math.isfinite(mv_per_unit) or mv_per_unit == 0:
            raise SourceError(f"{source}: unit adc needs the mV of one count, e.g. --unit adc --mv-per-unit 0.005")
        return float(mv_per_unit)
    if known is None:
        raise SourceError(f"{source}: unknown unit {unit!r}; choose one of {', '.join(UNITS)}, {ADC}")
    return UNITS[known]
