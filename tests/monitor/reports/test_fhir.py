"""FHIR resources, validated with fhir.resources, whose models are generated from HL7's definitions."""

from __future__ import annotations

import datetime
import json
import math
import re
import typing
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.observation import Observation
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from pydantic import ValidationError

from monitor.messages import Alarm, AlarmMessage, AlarmState
from monitor.reports import nomenclature
from monitor.reports.fhir import alarm_bundle, alarm_observation, sampled_data, strip_observation
from monitor.reports.hl7 import alarm_message
from tests.monitor.bus.helpers import alarm
from tests.monitor.reports.test_hl7 import KINDS_AND_STATES, TEXT, WHEN, facet, message
from tests.monitor.test_messages import anything

MILLIVOLTS = st.floats(-20, 20, width=32) | st.sampled_from([math.nan, math.inf, -math.inf])
# FHIR R4, datatypes: SampledData.data
DATA = re.compile(r"((-{0,1}\d*\.{0,1}\d+)|[EUL])( ((-{0,1}\d*\.{0,1}\d+)|[EUL]))*")


NAME = st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True)  # as the configuration allows


def strip(n: int = 2500, fs_hz: float = 250.0) -> tuple[int, float, NDArray[np.float32]]:
    rng = np.random.default_rng(7)
    samples = rng.normal(0, 1, (2, n)).astype(np.float32)
    samples[:, 30:60] = np.nan
    return 8823 - n // 2, fs_hz, samples


def valid(resource: dict[str, Any], model: Any = Bundle) -> Any:
    """The resource, serialised and read by fhir.resources."""
    return model.model_validate_json(json.dumps(resource, allow_nan=False))


def samples_of(data: dict[str, Any]) -> list[float]:
    """Values that a receiver computes: origin + factor * count."""
    origin, factor = data["origin"]["value"], data["factor"]
    return [math.nan if word == "E" else origin + factor * float(word) for word in data["data"].split(" ")]


@given(arrays.arrays(np.float32, st.integers(1, 40), elements=MILLIVOLTS), st.sampled_from([100.0, 250.0, 360.0, 1e3]))
def test_sampled_data_restores_the_signal_within_half_a_microvolt(samples: NDArray[np.float32], fs_hz: float) -> None:
    data = sampled_data(samples, fs_hz)
    assert DATA.fullmatch(data["data"])
    back = samples_of(data)
    assert len(back) == samples.size
    for value, got in zip(samples.tolist(), back, strict=True):
        assert math.isnan(got) if not math.isfinite(value) else abs(got - value) <= 0.000501
    assert data["period"] * fs_hz == pytest.approx(1000)
    assert data["origin"] == {"value": 0, "unit": "mV", "system": "http://unitsofmeasure.org", "code": "mV"}


def test_a_strip_is_an_observation_with_one_component_per_channel() -> None:
    _, fs_hz, samples = strip()
    resource = strip_observation(samples, fs_hz, WHEN, "p1", lead="MLII")
    read = valid(resource, Observation)
    assert {(c.system, c.code) for c in read.code.coding} == {
        ("http://loinc.org", "11524-6"),
        ("urn:iso:std:iso:11073:10101", "131330"),
    }
    raw, _ = read.component
    assert raw.valueSampledData.period == Decimal(4)
    assert len(raw.valueSampledData.data.split(" ")) == samples.shape[1]
    assert raw.valueSampledData.data.split(" ")[30:60] == ["E"] * 30
    assert read.effectivePeriod.end - read.effectivePeriod.start == datetime.timedelta(seconds=9.996)


@pytest.mark.parametrize(("kind", "state"), KINDS_AND_STATES)
def test_bundles_conform_to_the_published_definitions(kind: str, state: AlarmState) -> None:
    bundle = valid(alarm_bundle([message(kind, state)], strip=strip(250), lead="V5"))
    kinds = [entry.resource.get_resource_type() for entry in bundle.entry]
    assert kinds == ["Device", "Location", "Observation", "Observation"]
    coded = {(c.system, c.code) for c in bundle.entry[2].resource.valueCodeableConcept.coding}
    term = nomenclature.event_term(kind)
    assert ("https://ecg-monitor.invalid/alarm-kind", kind) in coded
    assert (("urn:iso:std:iso:11073:10101", str(term.code)) in coded) == (term.code != 0)
    assert bundle.entry[2].resource.status == ("final" if state == "cleared" else "preliminary")


@pytest.mark.parametrize(
    "wrong",
    [{"status": "not a code  at all"}, {"subject": "p1"}, {"nonsense": 1}, {"effectiveInstant": "yesterday"}],
    ids=str,
)
def test_fhir_resources_detects_wrong_resources(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        valid(alarm_observation(message()) | wrong, Observation)


@given(anything(Alarm), NAME, NAME, TEXT, st.integers(0, 2**40), st.booleans())
def test_any_alarm_is_a_valid_bundle(body: Alarm, bed: str, kind: str, epoch: str, seq: int, paused: bool) -> None:
    body = msgspec.structs.replace(body, bed=bed, kind=kind)
    whole = AlarmMessage(alarm=body, model=message().model, epoch=epoch, seq=seq, time=WHEN)
    valid(alarm_bundle([whole], lead=body.bed, audio_paused=[paused]))


def states() -> list[AlarmMessage]:
    steps: list[tuple[AlarmState, str]] = [("onset", ""), ("latched", ""), ("cleared", "nurse 3")]
    return [
        msgspec.structs.replace(message(state=state, acknowledged_by=who), seq=seq)
        for seq, (state, who) in enumerate(steps, 5)
    ]


def test_every_reference_is_to_a_resource_of_the_bundle() -> None:
    bundle = alarm_bundle(states(), strip=strip(), lead="MLII")
    urls = [entry["fullUrl"] for entry in bundle["entry"]]
    assert len(set(urls)) == len(urls)
    found = re.findall(r'"reference": "([^"]+)"', json.dumps(bundle))
    assert found
    assert set(found) <= set(urls)
    assert all(entry["fullUrl"] == f"urn:uuid:{entry['resource']['id']}" for entry in bundle["entry"])


def test_a_bundle_has_all_states_of_an_alarm_and_no_patient() -> None:
    bundle = alarm_bundle(states(), strip=strip(), lead="MLII")
    observations = [entry["resource"] for entry in bundle["entry"][2:5]]
    assert [resource["status"] for resource in observations] == ["preliminary", "preliminary", "final"]
    assert len({resource["identifier"][0]["value"] for resource in observations}) == 1
    assert "note" not in observations[0]
    assert observations[2]["note"] == [{"authorString": "nurse 3", "text": "acknowledged"}]
    assert "Patient" not in json.dumps(bundle)


def test_a_covered_alarm_names_the_covering_one() -> None:
    resource = alarm_observation(message(state="cleared", covered_by="p1/ventricular_run/9", acknowledged_by="n3"))
    assert [note["text"] for note in resource["note"]] == [
        "acknowledged",
        "continued as p1/ventricular_run/9 (same cause)",
    ]
    valid(resource, Observation)


def test_the_strip_begins_at_the_time_of_its_first_sample() -> None:
    first, fs_hz, samples = strip()
    bundle = alarm_bundle([message()], strip=(first, fs_hz, samples))
    began = datetime.datetime.fromisoformat(bundle["entry"][-1]["resource"]["effectivePeriod"]["start"])
    seconds = (message().sample - first) / fs_hz
    assert (datetime.datetime.fromisoformat(WHEN) - began).total_seconds() == pytest.approx(seconds, abs=0.001)


def test_facets_equal_those_of_the_hl7_message() -> None:
    for state in states():
        components = {c["code"]["coding"][0]["code"]: c for c in alarm_observation(state)["component"][:6]}
        text = alarm_message(state)
        for number, code in ((3, "68481"), (4, "68482"), (5, "68483"), (6, "68484"), (7, "68485")):
            assert components[code]["valueString"] == str(facet(text, number)[5])


def test_numbers_have_ucum_units() -> None:
    evidence = msgspec.structs.replace(
        message().alarm.evidence, value=4.868, limit=4.0, limit_unit="s", heart_rate_bpm=41.0
    )
    rate, measured = alarm_observation(message(evidence=evidence))["component"][6:]
    assert (rate["valueQuantity"]["value"], rate["valueQuantity"]["code"]) == (41.0, "/min")
    assert (measured["valueQuantity"]["value"], measured["valueQuantity"]["code"]) == (4.868, "s")
    assert measured["referenceRange"] == [{"high": {"value": 4.0, "unit": "s", "system": "http://unitsofmeasure.org",
                                                    "code": "s"}}]  # fmt: skip


def test_invalid_input_is_refused() -> None:
    with pytest.raises(ValueError, match="want the states of one alarm"):
        alarm_bundle([])
    with pytest.raises(ValueError, match="want the states of one alarm"):
        alarm_bundle([message(), msgspec.structs.replace(message(), alarm=alarm(9).alarm)])
    with pytest.raises(ValueError, match="not empty"):
        sampled_data(np.empty(0, np.float32), 250.0)
    with pytest.raises(ValueError, match="want raw, or raw and filtered"):
        strip_observation(np.zeros(4, np.float32), 250.0, WHEN, "p1")


def test_the_same_alarm_gives_the_same_ids() -> None:
    assert alarm_bundle(states(), strip=strip()) == alarm_bundle(states(), strip=strip())
    assert typing.cast(str, alarm_bundle(states())["id"]) != alarm_bundle([message(kind="pause")])["id"]
