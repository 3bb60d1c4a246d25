"""FHIR R4 data types as plain dicts: Coding, CodeableConcept, Quantity, string, instant; stable ids."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

from monitor.reports.nomenclature import MDC_SYSTEM, Term

__all__ = [
    "LOINC",
    "Resource",
    "category",
    "concept",
    "instant",
    "mdc_coding",
    "quantity",
    "shifted",
    "stable_id",
    "stable_url",
    "text_string",
]

Resource = dict[str, Any]
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
_NAMES = uuid.UUID("8f1c9a52-3b0e-5d4c-9f57-2f6f0f0f6b11")  # namespace of our ids: the same alarm gets the same ids
_UNITS = {"s": "s", "ms": "ms", "bpm": "/min", "%": "%", "Hz": "Hz", "mV": "mV", "beats": "{beats}"}


def category(code: str) -> dict[str, Any]:
    """A category of HL7's value set observation-category."""
    return concept({"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": code})


def mdc_coding(term: Term) -> dict[str, str]:
    """An MDC term as Coding."""
    return {"system": MDC_SYSTEM, "code": str(term.code), "display": term.name}


def concept(*codings: dict[str, str], text: str = "") -> dict[str, Any]:
    """CodeableConcept; without `text` if the text is empty."""
    return {"coding": list(codings)} | ({"text": text_string(text)} if text_string(text) else {})


def text_string(text: str) -> str:
    """Text as FHIR `string`: control characters and unusual white space become blanks."""
    return "".join(c if c in " \t\r\n" or not (c.isspace() or c < " " or c == "\x7f") else " " for c in text).strip()


def quantity(value: float, unit: str) -> dict[str, Any]:
    """A number with its unit, as UCUM code if the unit has one."""
    code, unit = _UNITS.get(unit), text_string(unit)
    return {"value": value} | ({"unit": unit, "system": UCUM, "code": code} if code else {"unit": unit} if unit else {})


def shifted(iso: str, seconds: float) -> str:
    """An ISO 8601 time plus some seconds."""
    return instant(datetime.datetime.fromisoformat(iso) + datetime.timedelta(seconds=seconds))


def instant(moment: datetime.datetime) -> str:
    """A time as `instant` or `dateTime`, to the millisecond."""
    return moment.isoformat(timespec="milliseconds")


def stable_id(name: str) -> str:
    """UUID version 5 of a name: the same name gives the same id."""
    return str(uuid.uuid5(_NAMES, name))


def stable_url(name: str) -> str:
    """The stable id as a reference within a Bundle."""
    return f"urn:uuid:{stable_id(name)}"
