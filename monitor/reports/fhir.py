"""An alarm and its strip as FHIR R4: a strip is an Observation with SampledData, an alarm a Bundle of Observations.

R4 has no resource for an alarm of a device; DeviceAlert comes with R6 and is a draft. Observation takes a device as its
source, a place as its subject, and coded components. Flag and DetectedIssue need a patient or an action,
Communication needs a recipient. So each state of an alarm is an Observation of MDC_EVT_ALARM; its components are the
facets of IHE's PCD-04, as in the HL7 message.

No patient is named: the subject is the bed, a Location of the bundle. Resources are plain dicts, ready for
`json.dumps`.
"""

from __future__ import annotations

import datetime
import math
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor import VERSION
from monitor.messages import AlarmMessage
from monitor.reports import nomenclature
from monitor.reports.nomenclature import LOCAL_SYSTEM, MDC_SYSTEM, Term

__all__ = ["alarm_bundle", "alarm_observation", "sampled_data", "strip_observation"]

Resource = dict[str, Any]
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
_NAMES = uuid.UUID("8f1c9a52-3b0e-5d4c-9f57-2f6f0f0f6b11")  # namespace of our ids: the same alarm gets the same ids
_UNITS = {"s": "s", "ms": "ms", "bpm": "/min", "%": "%", "Hz": "Hz", "mV": "mV", "beats": "{beats}"}
STEP_MV = 0.001  # one count in SampledData.data: whole microvolts
_SNOMED = {"ventricular_fibrillation": ("71908006", "Ventricular fibrillation")}  # the MDC term is not public
_FINISHED = {"onset": "preliminary", "latched": "preliminary", "acknowledged": "preliminary", "cleared": "final"}


def sampled_data(samples: NDArray[np.float32], fs_hz: float) -> dict[str, Any]:
    """One row of signal, (n,) mV, as SampledData: whole microvolts, `E` for no valid sample; `period` is in ms.

    Raises:
        ValueError: no samples, more than one row, or a rate that is not over 0.
    """
    if samples.ndim != 1 or not samples.size or not fs_hz > 0:
        raise ValueError(f"samples of shape {samples.shape} at {fs_hz} Hz; want (n,), not empty, at a rate over 0")
    counts = (samples.astype(np.float64) / STEP_MV).tolist()
    return {
        "origin": _quantity(0, "mV"),
        "period": 1000.0 / fs_hz,
        "factor": STEP_MV,
        "dimensions": 1,
        "data": " ".join(str(round(count)) if math.isfinite(count) else "E" for count in counts),
    }


def strip_observation(
    samples: NDArray[np.float32], fs_hz: float, start: str, bed: str, *, lead: str = "", name: str = ""
) -> Resource:
    """A stretch of signal as an Observation: LOINC 11524-6 (EKG study), one component per channel.

    Args:
        samples: (1, n) raw or (2, n) raw and filtered, mV; NaN = no valid sample.
        fs_hz: sampling rate, Hz.
        start: ISO 8601 time of the first sample, with its offset.
        bed: name of the bed; the subject.
        lead: name of the lead, e.g. `MLII`.
        name: source of the id; empty = bed and start.

    Raises:
        ValueError: other channels, no samples, or `start` is not ISO 8601.
    """
    if samples.ndim != 2 or samples.shape[0] not in (1, 2):
        raise ValueError(f"samples of shape {samples.shape}; want raw, or raw and filtered")
    began = datetime.datetime.fromisoformat(start)
    ended = began + datetime.timedelta(seconds=(samples.shape[1] - 1) / fs_hz)
    signal = _mdc_coding(nomenclature.lead_term(lead))
    return {
        "resourceType": "Observation",
        "id": _stable_id(f"strip/{name or f'{bed}/{start}'}"),
        "status": "final",
        "category": [
            _concept({"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "procedure"})
        ],
        "code": _concept({"system": LOINC, "code": "11524-6", "display": "EKG study"}, signal, text=f"ECG {lead}"),
        "subject": _subject(bed),
        "device": {"reference": _stable_url("device")},
        "effectivePeriod": {"start": _instant(began), "end": _instant(ended)},
        "component": [
            {"code": _concept(signal, text=f"{lead} {channel}".strip()), "valueSampledData": sampled_data(row, fs_hz)}
            for row, channel in zip(samples, ("raw", "filtered"), strict=False)
        ],
    }


def alarm_observation(message: AlarmMessage, *, lead: str = "", audio_paused: bool = False) -> Resource:
    """One state of an alarm as an Observation: `final` if it is cleared, else `preliminary`.

    The message needs `epoch`, `seq` and `time`; `audio_paused`: whether the bed's audible signal was paused.
    """
    alarm = message.alarm
    facets = nomenclature.facets(alarm, audio_paused)
    term = nomenclature.event_term(alarm.kind)
    codings = [{"system": LOCAL_SYSTEM, "code": alarm.kind}]
    if term.code:
        codings.insert(0, _mdc_coding(term))
    if alarm.kind in _SNOMED:
        code, display = _SNOMED[alarm.kind]
        codings.insert(0, {"system": "http://snomed.info/sct", "code": code, "display": display})
    components = [
        _component(nomenclature.ALERT_SOURCE, valueCodeableConcept=_concept(_mdc_coding(nomenclature.lead_term(lead)))),
        _component(nomenclature.EVENT_PHASE, valueString=facets.phase),
        _component(nomenclature.ALARM_STATE, valueString=facets.state),
        _component(nomenclature.INACTIVATION_STATE, valueString=facets.inactivation),
        _component(nomenclature.ALARM_PRIORITY, valueString=nomenclature.PRIORITY_CODES[alarm.priority]),
        _component(nomenclature.ALERT_TYPE, valueString=nomenclature.alert_type(alarm)),
        *_evidence(message),
    ]
    resource = {
        "resourceType": "Observation",
        "id": _stable_id(f"{message.epoch}/{alarm.alarm_id}/{message.seq}"),
        "identifier": [{"value": f"{message.epoch}/{alarm.alarm_id}"}],
        "status": _FINISHED[alarm.state],
        "code": _concept(_mdc_coding(nomenclature.ALARM)),
        "subject": _subject(alarm.bed),
        "device": {"reference": _stable_url("device")},
        "valueCodeableConcept": _concept(*codings, text=alarm.text),
        "component": components,
    }
    if message.time:
        resource["effectiveInstant"] = message.time
    if _text_string(alarm.acknowledged_by):
        resource["note"] = [{"authorString": _text_string(alarm.acknowledged_by), "text": "acknowledged"}]
    if alarm.covered_by:
        note = {"text": _text_string(f"continued as {alarm.covered_by} (same cause)")}
        resource["note"] = [*resource.get("note", []), note]
    return resource


def alarm_bundle(
    messages: Sequence[AlarmMessage],
    *,
    strip: tuple[int, float, NDArray[np.float32]] | None = None,
    lead: str = "",
    audio_paused: Sequence[bool] = (),
) -> Resource:
    """One alarm with all its states and its strip, as a Bundle of type `collection`.

    A Bundle of type `message` would need a MessageHeader with an event that both sides agreed upon; there is none.

    Args:
        messages: the states of one alarm, oldest first, at least one.
        strip: first sample, sampling rate (Hz) and (channels, n) mV of the signal around the onset.
        lead: name of the lead.
        audio_paused: for each message, whether the audible signal was paused; empty = never.

    Raises:
        ValueError: no message, or messages of more than one alarm.
    """
    if len({(message.epoch, message.alarm.alarm_id) for message in messages}) != 1:
        raise ValueError(f"{len(messages)} messages; want the states of one alarm")
    first = messages[0]
    paused = audio_paused or [False] * len(messages)
    states = [
        alarm_observation(message, lead=lead, audio_paused=was) for message, was in zip(messages, paused, strict=True)
    ]
    resources = [_device(first), _location(first.alarm.bed), *states]
    if strip is not None and first.time:
        first_sample, fs_hz, samples = strip
        began = datetime.datetime.fromisoformat(first.time)
        start = _instant(began + datetime.timedelta(seconds=(first_sample - first.sample) / fs_hz))
        name = f"{first.epoch}/{first.alarm.alarm_id}"
        observation = strip_observation(samples, fs_hz, start, first.alarm.bed, lead=lead, name=name)
        for state in states:
            state["derivedFrom"] = [{"reference": f"urn:uuid:{observation['id']}"}]
        resources.append(observation)
    return {
        "resourceType": "Bundle",
        "id": _stable_id(f"bundle/{first.epoch}/{first.alarm.alarm_id}"),
        "type": "collection",
        "entry": [{"fullUrl": f"urn:uuid:{resource['id']}", "resource": resource} for resource in resources],
    }


def _evidence(message: AlarmMessage) -> list[dict[str, Any]]:
    """Components for the numbers of the evidence: heart rate, measured value and its limit."""
    evidence = message.alarm.evidence
    components = []
    if evidence.heart_rate_bpm is not None:
        loinc = {"system": LOINC, "code": "8867-4", "display": "Heart rate"}
        components.append(
            {
                "code": _concept(loinc, _mdc_coding(nomenclature.HEART_RATE)),
                "valueQuantity": _quantity(evidence.heart_rate_bpm, "bpm"),
            }
        )
    if evidence.value is not None:
        component: dict[str, Any] = {
            "code": {"text": "measured value"},
            "valueQuantity": _quantity(evidence.value, evidence.limit_unit),
        }
        if evidence.limit is not None:
            component["code"] = {"text": "measured value, and the limit it crossed"}
            side = "high" if evidence.value >= evidence.limit else "low"
            component["referenceRange"] = [{side: _quantity(evidence.limit, evidence.limit_unit)}]
        components.append(component)
    return components


def _device(message: AlarmMessage) -> Resource:
    resource: Resource = {
        "resourceType": "Device",
        "id": _stable_id("device"),
        "status": "active",
        "deviceName": [{"name": "ecg-monitor (not a medical device)", "type": "other"}],
        "type": _concept(_mdc_coding(nomenclature.MONITOR_MDS)),
        "version": [{"type": {"text": "software"}, "value": VERSION}],
    }
    if message.model.sha256:
        model = f"{message.model.name} {message.model.sha256}"
        resource["version"].append({"type": {"text": "model, SHA-256"}, "value": model})
    return resource


def _location(bed: str) -> Resource:
    system = "http://terminology.hl7.org/CodeSystem/location-physical-type"
    return {
        "resourceType": "Location",
        "id": _stable_id(f"bed/{bed}"),
        "status": "active",
        "name": bed,
        "mode": "instance",
        "physicalType": _concept({"system": system, "code": "bd", "display": "Bed"}),
    }


def _subject(bed: str) -> dict[str, Any]:
    return {"reference": _stable_url(f"bed/{bed}"), "display": f"bed {bed}"}


def _component(term: Term, **value: Any) -> dict[str, Any]:
    return {"code": _concept(_mdc_coding(term)), **value}


def _mdc_coding(term: Term) -> dict[str, str]:
    """An MDC term as Coding."""
    return {"system": MDC_SYSTEM, "code": str(term.code), "display": term.name}


def _concept(*codings: dict[str, str], text: str = "") -> dict[str, Any]:
    """CodeableConcept; without `text` if the text is empty."""
    return {"coding": list(codings)} | ({"text": _text_string(text)} if _text_string(text) else {})


def _text_string(text: str) -> str:
    """Text as FHIR `string`: control characters and unusual white space become blanks."""
    return "".join(c if c in " \t\r\n" or not (c.isspace() or c < " " or c == "\x7f") else " " for c in text).strip()


def _quantity(value: float, unit: str) -> dict[str, Any]:
    """A number with its unit, as UCUM code if the unit has one."""
    code, unit = _UNITS.get(unit), _text_string(unit)
    return {"value": value} | ({"unit": unit, "system": UCUM, "code": code} if code else {"unit": unit} if unit else {})


def _instant(moment: datetime.datetime) -> str:
    """A time as `instant` or `dateTime`, to the millisecond."""
    return moment.isoformat(timespec="milliseconds")


def _stable_id(name: str) -> str:
    """UUID version 5 of a name: the same name gives the same id."""
    return str(uuid.uuid5(_NAMES, name))


def _stable_url(name: str) -> str:
    """The stable id as a reference within a Bundle."""
    return f"urn:uuid:{_stable_id(name)}"
