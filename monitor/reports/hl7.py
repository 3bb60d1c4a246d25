"""An alarm as HL7 version 2.6 ORU^R40^ORU_R40, in the style of IHE's Report Alert (PCD-04, PCD TF-2).

One message per state of the alarm. The alert is one OBR (MDC_EVT_ALARM) with one OBX per facet; OBX-4 ends in the
number of the facet: 1 event, 2 source, 3 phase, 4 state, 5 inactivation, 6 priority, 7 type. The structure ORU_R40 is
IHE's; it is built like ORU_R01. No patient is named (PID-3 is empty, PID-5 has the type "unspecified"); the bed is in
PV1-3.
"""

from __future__ import annotations

import datetime

from monitor import VERSION
from monitor.messages import Alarm, AlarmMessage
from monitor.reports import nomenclature
from monitor.reports.nomenclature import Term

__all__ = ["alarm_message", "escape", "frame", "timestamp"]

_ESCAPES = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"}
_PROFILE = "IHE_PCD_ACM_001^IHE PCD^1.3.6.1.4.1.19376.1.6.4.4^ISO"
_ALARM_AT = "1.1.0.0"  # containment: first device, first VMD; the facet's number follows
_SENDER = "ecg-monitor"
_START, _END = b"\x0b", b"\x1c\r"


def escape(text: str) -> str:
    r"""Escape text for a field: delimiters as \F\ \S\ \T\ \R\ \E\, control characters as \Xhh\.

    >>> print(escape("rate 30|40 ^ a\\b"))
    rate 30\F\40 \S\ a\E\b
    """
    return "".join(
        _ESCAPES.get(char) or (f"\\X{ord(char):02X}\\" if char < " " or char == "\x7f" else char) for char in text
    )


def timestamp(iso: str) -> str:
    """ISO 8601 time as DTM, to the millisecond, with its offset if it has one; empty text stays empty.

    Raises:
        ValueError: not ISO 8601.

    >>> timestamp("2026-01-01T09:00:41.007+01:00")
    '20260101090041.007+0100'
    """
    if not iso:
        return ""
    moment = datetime.datetime.fromisoformat(iso)
    return f"{moment:%Y%m%d%H%M%S}.{moment.microsecond // 1000:03d}{moment:%z}"[:23]


def frame(message: str) -> bytes:
    r"""MLLP frame of a message: `<VT>` message `<FS><CR>`, UTF-8."""
    return _START + message.encode() + _END


def alarm_message(message: AlarmMessage, *, lead: str = "", audio_paused: bool = False) -> str:
    r"""One state of an alarm as ORU^R40, segments ended by `\r`.

    Args:
        message: as published, with `epoch`, `seq` and `time`.
        lead: name of the lead, e.g. `MLII`; empty = unknown.
        audio_paused: whether the audible signal of the bed was paused.

    Raises:
        ValueError: a time that is not ISO 8601.
    """
    alarm = message.alarm
    facets = nomenclature.facets(alarm, audio_paused)
    when = timestamp(message.time)
    alert = escape(f"{message.epoch}/{alarm.alarm_id}")  # the same in all states of the alarm
    this = alert if nomenclature.is_first(alarm) else f"{alert}/{message.seq}"
    segments = [
        _segment(
            "MSH", "^~\\&", _SENDER, "", "", "", when, "", "ORU^R40^ORU_R40",
            escape(f"{message.epoch}/{alarm.bed}/{message.seq}"), "P", "2.6", "", "", "AL", "NE", "",
            "UNICODE UTF-8", "", "", _PROFILE,
        ),
        _segment("PID", "", "", "", "", "^^^^^^U"),
        _segment("PV1", "", "U", f"^^{escape(alarm.bed)}"),
        _segment(
            "OBR", "1", f"{this}^{_SENDER}", f"{this}^{_SENDER}", _coded(nomenclature.ALARM), "", "", when,
            *[""] * 21, f"^{alert}&{_SENDER}",
        ),
    ]  # fmt: skip
    observations = [
        ("", nomenclature.MONITOR_MDS, "1.0.0.0", "", "", "", f"{_SENDER}^^{escape(VERSION)}"),
        ("", nomenclature.ECG_VMD, _ALARM_AT, "", "", "", ""),
        ("CWE", nomenclature.ALARM, f"{_ALARM_AT}.1", _event(alarm), "", "", ""),
        _source(alarm, lead),
        ("ST", nomenclature.EVENT_PHASE, f"{_ALARM_AT}.3", facets.phase, "", "", ""),
        ("ST", nomenclature.ALARM_STATE, f"{_ALARM_AT}.4", facets.state, "", "", ""),
        ("ST", nomenclature.INACTIVATION_STATE, f"{_ALARM_AT}.5", facets.inactivation, "", "", ""),
        ("ST", nomenclature.ALARM_PRIORITY, f"{_ALARM_AT}.6", nomenclature.PRIORITY_CODES[alarm.priority], "", "", ""),
        ("ST", nomenclature.ALERT_TYPE, f"{_ALARM_AT}.7", nomenclature.alert_type(alarm), "", "", ""),
    ]
    flags = [
        nomenclature.abnormality(alarm.kind),
        nomenclature.PRIORITY_CODES[alarm.priority],
        nomenclature.alert_type(alarm),
    ]
    for number, (kind, term, place, value, unit, limits, device) in enumerate(observations, 1):
        is_event = term is nomenclature.ALARM
        who = alarm.acknowledged_by if term is nomenclature.INACTIVATION_STATE else ""
        segments.append(
            _segment(
                "OBX", str(number), kind, _coded(term), place, value, unit, limits,
                "~".join(filter(None, flags)) if is_event else "", "", "", "F" if kind else "X", "", "",
                when if is_event else "", "", f"^{escape(who)}" if who else "", "", device,
            )
        )  # fmt: skip
    return "\r".join(segments) + "\r"


def _event(alarm: Alarm) -> str:
    """Facet 1: the alert term, our own kind, and the text."""
    return f"{_coded(nomenclature.event_term(alarm.kind))}^{escape(alarm.kind)}^^99ECGMON^^^{escape(alarm.text)}"


def _source(alarm: Alarm, lead: str) -> tuple[str, Term, str, str, str, str, str]:
    """Facet 2: rate and limit of a rate alarm; the lead of any other alarm."""
    place = f"{_ALARM_AT}.2"
    evidence = alarm.evidence
    if nomenclature.abnormality(alarm.kind) and evidence.value is not None:
        unit = f"{_coded(nomenclature.BEATS_PER_MINUTE)}^/min^/min^UCUM"
        limits = ""
        if evidence.limit is not None:
            sign = ">" if nomenclature.abnormality(alarm.kind) == "L" else "<"
            limits = f"{sign}{evidence.limit:g}"  # the reference range: above a low limit, below a high one
        return "NM", nomenclature.HEART_RATE, place, f"{evidence.value:g}", unit, limits, ""
    term = nomenclature.lead_term(lead) if alarm.category == "physiological" or lead else nomenclature.ECG_VMD
    return "CWE", nomenclature.ALERT_SOURCE, place, _coded(term), "", "", ""


def _coded(term: Term) -> str:
    return f"{term.code}^{term.name}^MDC"


def _segment(*fields: str) -> str:
    return "|".join(fields).rstrip("|")
