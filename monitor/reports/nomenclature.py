"""Alarm kinds, leads and states in the codes of ISO/IEEE 11073-10101 (MDC).

A context-free MDC code is partition * 65536 + term. Alert terms are in partition 3. Their numbers come from Philips'
"IntelliVue Patient Monitor: Data Export Interface Programming Guide" (nomenclature, `NOM_EVT_...`), as open-source
readers of that interface list them. The guide uses the standard's terms and numbers its own from 61440 on; some terms
are also in DICOM PS3.16, CID 3038. They were not compared with the standard itself, which is not public. A kind for
which no public source gives a standard term gets code 0 and a name with the prefix `MDCX_`, IHE's mark for a term
outside the nomenclature.
"""

from __future__ import annotations

from typing import NamedTuple

from monitor.messages import Alarm, Priority

__all__ = [
    "ALERT_KINDS",
    "LOCAL_SYSTEM",
    "MDC_SYSTEM",
    "PRIORITY_CODES",
    "Facets",
    "Term",
    "alert_type",
    "event_term",
    "facets",
    "lead_term",
]

MDC_SYSTEM = "urn:iso:std:iso:11073:10101"
LOCAL_SYSTEM = "https://ecg-monitor.invalid/alarm-kind"  # our own; RFC 2606 reserves `.invalid`, so it never resolves
_SCADA, _EVENT = 2 << 16, 3 << 16


class Term(NamedTuple):
    """A term of the MDC nomenclature: context-free code and reference id; code 0 and `MDCX_...` if there is none."""

    code: int
    name: str


# kind -> alert term. Rate alarms are IHE's "high" and "low" of a source; the source is the heart rate.
ALERT_KINDS: dict[str, Term] = {
    "asystole": Term(_EVENT + 3076, "MDC_EVT_ECG_ASYSTOLE"),
    "ventricular_run": Term(_EVENT + 3224, "MDC_EVT_ECG_V_TACHY"),
    "extreme_bradycardia": Term(_EVENT + 3086, "MDC_EVT_ECG_BRADY_EXTREME"),
    "extreme_tachycardia": Term(_EVENT + 3122, "MDC_EVT_ECG_TACHY_EXTREME"),
    "bradycardia": Term(_EVENT + 62, "MDC_EVT_LO"),
    "tachycardia": Term(_EVENT + 40, "MDC_EVT_HI"),
    "pause": Term(_EVENT + 3108, "MDC_EVT_ECG_PAUSE"),
    "irregular_rhythm": Term(_EVENT + 3118, "MDC_EVT_ECG_RR_IRREG"),
    "leads_off": Term(_EVENT + 274, "MDC_EVT_LEADS_OFF"),
    "no_data": Term(_EVENT + 362, "MDC_EVT_MSMT_INTERRUP"),
    "gap": Term(_EVENT + 362, "MDC_EVT_MSMT_INTERRUP"),
    "source_lost": Term(_EVENT + 352, "MDC_EVT_MSMT_DISCONN"),
    "poor_signal": Term(_EVENT + 384, "MDC_EVT_SIG_UNANALYZEABLE"),
    # Philips' V_FIB_TACHY is 61444, a private code; no public source gives the standard's.
    "ventricular_fibrillation": Term(0, "MDCX_EVT_ECG_V_FIB"),
    # No nomenclature has "improbable for this patient"; the nearest, MDC_EVT_ECG_ARRHY, claims more than we know.
    "anomaly_run": Term(0, "MDCX_EVT_ECG_ANOMALY_RUN"),
    "anomaly_burden": Term(0, "MDCX_EVT_ECG_ANOMALY_BURDEN"),
    "anomalous_beat": Term(0, "MDCX_EVT_ECG_ANOMALOUS_BEAT"),
    "sampling_rate": Term(0, "MDCX_EVT_SAMPLING_RATE"),
    "wrong_unit": Term(0, "MDCX_EVT_WRONG_UNIT"),
    "calibration": Term(0, "MDCX_EVT_CALIBRATION"),
    "overload": Term(0, "MDCX_EVT_OVERLOAD"),
    "journal_failed": Term(0, "MDCX_EVT_JOURNAL_FAILED"),
}
_RATE_SIGN = {"extreme_bradycardia": "L", "bradycardia": "L", "extreme_tachycardia": "H", "tachycardia": "H"}

ALARM = Term(_EVENT + 8, "MDC_EVT_ALARM")
MONITOR_MDS = Term(69965, "MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS")
ECG_VMD = Term(69798, "MDC_DEV_ECG_VMD")
HEART_RATE = Term(147842, "MDC_ECG_HEART_RATE")
BEATS_PER_MINUTE = Term(264864, "MDC_DIM_BEAT_PER_MIN")
ALERT_SOURCE = Term(68480, "MDC_ATTR_ALERT_SOURCE")
EVENT_PHASE = Term(68481, "MDC_ATTR_EVENT_PHASE")
ALARM_STATE = Term(68482, "MDC_ATTR_ALARM_STATE")
INACTIVATION_STATE = Term(68483, "MDC_ATTR_ALARM_INACTIVATION_STATE")
ALARM_PRIORITY = Term(68484, "MDC_ATTR_ALARM_PRIORITY")
ALERT_TYPE = Term(68485, "MDC_ATTR_ALERT_TYPE")

PRIORITY_CODES: dict[Priority, str] = {"high": "PH", "medium": "PM", "low": "PL"}

_LEADS = {
    "I": 257, "II": 258, "III": 317, "AVR": 318, "AVL": 319, "AVF": 320, "V": 323, "MCL": 331, "MCL1": 332,
    "V1": 259, "V2": 260, "V3": 261, "V4": 262, "V5": 263, "V6": 264,
}  # fmt: skip


class Facets(NamedTuple):
    """State of an alarm in the terms of IHE (PCD TF-2, PCD-04).

    Attributes:
        phase: `start`, `update`, `continue` or `end`.
        state: `active`, `latched` or `inactive`.
        inactivation: `enabled`, `audio-paused` or `alert-acknowledged`.
    """

    phase: str
    state: str
    inactivation: str


def event_term(kind: str) -> Term:
    """Alert term of a kind; a kind outside the table gets code 0 and its own name.

    >>> event_term("asystole").code
    199684
    >>> event_term("my_own-kind").name
    'MDCX_EVT_MY_OWN_KIND'
    """
    known = ALERT_KINDS.get(kind)
    if known is not None:
        return known
    return Term(0, "MDCX_EVT_" + "".join(c if c.isascii() and c.isalnum() else "_" for c in kind).upper())


def abnormality(kind: str) -> str:
    """`L` or `H` for a rate below or above its limit, empty for other kinds (HL7 table 0078)."""
    return _RATE_SIGN.get(kind, "")


def lead_term(lead: str) -> Term:
    """MDC term of a lead's signal; a lead outside the table is the unspecific ECG.

    `MLII` of the MIT-BIH records is a modified lead II; MDC has no term for it, so it is given as II.

    >>> lead_term("V5").code, lead_term("MLII").name, lead_term("ECG1").code
    (131335, 'MDC_ECG_ELEC_POTL_II', 131328)
    """
    name = lead.strip().upper()
    name = {"MLI": "I", "MLII": "II", "MLIII": "III"}.get(name, name)
    if name not in _LEADS:
        return Term(_SCADA + 256, "MDC_ECG_ELEC_POTL")
    return Term(_SCADA + _LEADS[name], f"MDC_ECG_ELEC_POTL_{name}")


def alert_type(alarm: Alarm) -> str:
    """`SP` (physiological) or `ST` (technical)."""
    return "SP" if alarm.category == "physiological" else "ST"


def is_first(alarm: Alarm) -> bool:
    """Whether this message raises the alarm for the first time."""
    return alarm.state == "onset" and alarm.count == 1 and not alarm.update


def facets(alarm: Alarm, audio_paused: bool = False) -> Facets:
    """IHE's terms for a state of an alarm.

    A latched alarm is `continue` although its cause is gone: with `end`, a receiver would drop an alarm that is not
    acknowledged.
    """
    paused = "audio-paused" if audio_paused else "enabled"
    match alarm.state:
        case "onset":
            return Facets("start" if is_first(alarm) else "update", "active", paused)
        case "latched":
            return Facets("update" if alarm.update else "continue", "latched", paused)
        case "acknowledged":
            return Facets("update" if alarm.update else "continue", "active", "alert-acknowledged")
        case "cleared":
            return Facets("end", "inactive", "alert-acknowledged" if alarm.acknowledged_by else "enabled")
