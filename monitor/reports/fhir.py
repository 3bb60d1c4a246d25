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
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor import VERSION
from monitor.messages import AlarmMessage
from monitor.reports import nomenclature
from monitor.reports.fhir_types import (
    LOINC,
    Resource,
    category,
    concept,
    instant,
    mdc_coding,
    quantity,
    shifted,
    stable_id,
    stable_url,
    text_string,
)
from monitor.reports.nomenclature import LOCAL_SYSTEM, Term

__all__ = ["alarm_bundle", "alarm_observation", "sampled_data", "strip_observation"]

STEP_MV = 0.001  # one count in SampledData.data: whole microvolts
_SNOMED = {"ventricular_fibrillation": ("71908006", "Ventricular fibrillation")}  # the MDC term is not public
_FINISHED = {"onset": "preliminary", "latched": "preliminary", "acknowledged": "preliminary", "cleared": "final"}


def sampled_data(
    samples: NDArray[np.float32], fs_hz: float, limits_mv: tuple[float, float] | None = None
) -> dict[str, Any]:
    """One row of signal as SampledData: whole microvolts, `E` for no valid sample.

    Args:
        samples: (n,) mV; NaN = no valid sample.
        fs_hz: sampling rate, Hz; `period` is in ms.
        limits_mv: range of the converter, mV; samples at or beyond it become `L` or `U`, and `lowerLimit`,
            `upperLimit` give the range in counts of `data`.

    Raises:
        ValueError: no samples, more than one row, or a rate that is not over 0.
    """
    if samples.ndim != 1 or not samples.size or not fs_hz > 0:
        raise ValueError(f"samples of shape {samples.shape} at {fs_hz} Hz; want (n,), not empty, at a rate over 0")
    low, high = limits_mv or (-math.inf, math.inf)
    words = [
        "E" if not math.isfinite(value) else "L" if value <= low else "U" if value >= high else f"{count:d}"
        for value, count in zip(samples.tolist(), _counts(samples), strict=True)
    ]
    data: dict[str, Any] = {
        "origin": quantity(0, "mV"),
        "period": 1000.0 / fs_hz,
        "factor": STEP_MV,
        "dimensions": 1,
        "data": " ".join(words),
    }
    if limits_mv is not None:
        data |= {"lowerLimit": round(low / STEP_MV, 3), "upperLimit": round(high / STEP_MV, 3)}
    return data


def strip_observation(
    samples: NDArray[np.float32],
    fs_hz: float,
    start: str,
    bed: str,
    *,
    lead: str = "",
    channels: Sequence[str] = ("raw", "filtered"),
    limits_mv: tuple[float, float] | None = None,
    name: str = "",
) -> Resource:
    """A stretch of signal as an Observation: LOINC 11524-6 (EKG study), one component per channel.

    Args:
        samples: (channels, n) mV; NaN = no valid sample.
        fs_hz: sampling rate, Hz.
        start: ISO 8601 time of the first sample, with its offset.
        bed: name of the bed; the subject.
        lead: name of the lead, e.g. `MLII`.
        channels: name of each row.
        limits_mv: of the raw channel, see `sampled_data`.
        name: source of the id; empty = bed and start.

    Raises:
        ValueError: rows and channels differ, no samples, or `start` is not ISO 8601.
    """
    if samples.ndim != 2 or samples.shape[0] != len(channels):
        raise ValueError(f"samples of shape {samples.shape} for the channels {', '.join(channels)}")
    began = datetime.datetime.fromisoformat(start)
    ended = began + datetime.timedelta(seconds=(samples.shape[1] - 1) / fs_hz)
    signal = mdc_coding(nomenclature.lead_term(lead))
    return {
        "resourceType": "Observation",
        "id": stable_id(f"strip/{name or f'{bed}/{start}'}"),
        "status": "final",
        "category": [category("procedure")],
        "code": concept({"system": LOINC, "code": "11524-6", "display": "EKG study"}, signal, text=f"ECG {lead}"),
        "subject": _subject(bed),
        "device": {"reference": stable_url("device")},
        "effectivePeriod": {"start": instant(began), "end": instant(ended)},
        "component": [
            {
                "code": concept(signal, text=f"{lead} {channel}".strip()),
                "valueSampledData": sampled_data(row, fs_hz, limits_mv if channel == "raw" else None),
            }
            for row, channel in zip(samples, channels, strict=True)
        ],
    }


def alarm_observation(message: AlarmMessage, *, lead: str = "", audio_paused: bool = False) -> Resource:
    """One state of an alarm as an Observation: `final` if it is cleared, else `preliminary`.

    Args:
        message: as published, with `epoch`, `seq` and `time`.
        lead: name of the lead.
        audio_paused: whether the audible signal of the bed was paused.
    """
    alarm = message.alarm
    facets = nomenclature.facets(alarm, audio_paused)
    term = nomenclature.event_term(alarm.kind)
    codings = [{"system": LOCAL_SYSTEM, "code": alarm.kind}]
    if term.code:
        codings.insert(0, mdc_coding(term))
    if alarm.kind in _SNOMED:
        code, display = _SNOMED[alarm.kind]
        codings.insert(0, {"system": "http://snomed.info/sct", "code": code, "display": display})
    components = [
        _component(nomenclature.ALERT_SOURCE, valueCodeableConcept=concept(mdc_coding(nomenclature.lead_term(lead)))),
        _component(nomenclature.EVENT_PHASE, valueString=facets.phase),
        _component(nomenclature.ALARM_STATE, valueString=facets.state),
        _component(nomenclature.INACTIVATION_STATE, valueString=facets.inactivation),
        _component(nomenclature.ALARM_PRIORITY, valueString=nomenclature.PRIORITY_CODES[alarm.priority]),
        _component(nomenclature.ALERT_TYPE, valueString=nomenclature.alert_type(alarm)),
        *_evidence(message),
    ]
    resource = {
        "resourceType": "Observation",
        "id": stable_id(f"{message.epoch}/{alarm.alarm_id}/{message.seq}"),
        "identifier": [{"value": f"{message.epoch}/{alarm.alarm_id}"}],
        "status": _FINISHED[alarm.state],
        "code": concept(mdc_coding(nomenclature.ALARM)),
        "subject": _subject(alarm.bed),
        "device": {"reference": stable_url("device")},
        "valueCodeableConcept": concept(*codings, text=alarm.text),
        "component": components,
    }
    if message.time:
        resource["effectiveInstant"] = message.time
    if text_string(alarm.acknowledged_by):
        resource["note"] = [{"authorString": text_string(alarm.acknowledged_by), "text": "acknowledged"}]
    if alarm.covered_by:
        note = {"text": text_string(f"continued as {alarm.covered_by} (same cause)")}
        resource["note"] = [*resource.get("note", []), note]
    return resource


def alarm_bundle(
    messages: Sequence[AlarmMessage],
    *,
    strip: tuple[int, float, NDArray[np.float32]] | None = None,
    lead: str = "",
    audio_paused: Sequence[bool] = (),
    limits_mv: tuple[float, float] | None = None,
) -> Resource:
    """One alarm with all its states and its strip, as a Bundle of type `collection`.

    A Bundle of type `message` would need a MessageHeader with an event that both sides agreed upon; there is none.

    Args:
        messages: the states of one alarm, oldest first, at least one.
        strip: first sample, sampling rate (Hz) and (channels, n) mV of the signal around the onset.
        lead: name of the lead.
        audio_paused: for each message, whether the audible signal was paused; empty = never.
        limits_mv: of the raw channel, see `sampled_data`.

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
        start = shifted(first.time, (first_sample - first.sample) / fs_hz)
        observation = strip_observation(
            samples, fs_hz, start, first.alarm.bed, lead=lead, channels=("raw", "filtered")[: samples.shape[0]],
            limits_mv=limits_mv, name=f"{first.epoch}/{first.alarm.alarm_id}",
        )  # fmt: skip
        for state in states:
            state["derivedFrom"] = [{"reference": f"urn:uuid:{observation['id']}"}]
        resources.append(observation)
    return {
        "resourceType": "Bundle",
        "id": stable_id(f"bundle/{first.epoch}/{first.alarm.alarm_id}"),
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
                "code": concept(loinc, mdc_coding(nomenclature.HEART_RATE)),
                "valueQuantity": quantity(evidence.heart_rate_bpm, "bpm"),
            }
        )
    if evidence.value is not None:
        component: dict[str, Any] = {
            "code": {"text": "measured value"},
            "valueQuantity": quantity(evidence.value, evidence.limit_unit),
        }
        if evidence.limit is not None:
            component["code"] = {"text": "measured value, and the limit it crossed"}
            side = "high" if evidence.value >= evidence.limit else "low"
            component["referenceRange"] = [{side: quantity(evidence.limit, evidence.limit_unit)}]
        components.append(component)
    return components


def _device(message: AlarmMessage) -> Resource:
    resource: Resource = {
        "resourceType": "Device",
        "id": stable_id("device"),
        "status": "active",
        "deviceName": [{"name": "ecg-monitor (not a medical device)", "type": "other"}],
        "type": concept(mdc_coding(nomenclature.MONITOR_MDS)),
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
        "id": stable_id(f"bed/{bed}"),
        "status": "active",
        "name": bed,
        "mode": "instance",
        "physicalType": concept({"system": system, "code": "bd", "display": "Bed"}),
    }


def _subject(bed: str) -> dict[str, Any]:
    return {"reference": stable_url(f"bed/{bed}"), "display": f"bed {bed}"}


def _component(term: Term, **value: Any) -> dict[str, Any]:
    return {"code": concept(mdc_coding(term)), **value}


def _counts(samples: NDArray[np.float32]) -> list[int]:
    known = np.nan_to_num(samples.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    return [round(value) for value in (known / STEP_MV).tolist()]
