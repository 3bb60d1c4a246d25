"""HL7 messages, checked with two independent libraries: python-hl7 and hl7apy."""

from __future__ import annotations

import contextlib
import datetime
import doctest
import typing
from pathlib import Path
from types import ModuleType

import hl7
import msgspec
import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.exceptions import ValidationError
from hl7apy.parser import parse_message
from hl7apy.validation import Validator
from hypothesis import given
from hypothesis import strategies as st

from monitor.config import AlarmsConfig
from monitor.engine import counters
from monitor.messages import Alarm, AlarmMessage, AlarmState
from monitor.reports import hl7 as hl7_report
from monitor.reports import nomenclature
from monitor.reports.hl7 import alarm_message, escape, frame, timestamp
from tests.monitor.bus.helpers import alarm
from tests.monitor.test_messages import anything

KINDS = sorted({*nomenclature.ALERT_KINDS, *AlarmsConfig.__struct_fields__})
STATES = typing.get_args(AlarmState)
# Each kind once and each state once are quick; the other combinations are slow.
KINDS_AND_STATES = [
    pytest.param(kind, state, marks=() if kind == "asystole" or state == "onset" else pytest.mark.slow)
    for kind in KINDS
    for state in STATES
]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
NASTY = st.text(st.sampled_from("|^~\\&\r\n\x0b\x1c\x7fEFSTRX0Dé\u2028\x85 "), max_size=30)
WHEN = "2026-01-01T09:00:41.007+01:00"


def message(kind: str = "asystole", state: AlarmState = "onset", **changes: object) -> AlarmMessage:
    body = alarm(8823, state, kind=kind)
    return msgspec.structs.replace(
        body, epoch="20260101T080000-1f2e3d4c", seq=7, time=WHEN, alarm=msgspec.structs.replace(body.alarm, **changes)
    )


def complaints(text: str, folder: Path) -> list[str]:
    """Errors that hl7apy finds in structure and data types of HL7 v2.6.

    hl7apy has no ORU_R40; IHE builds it like ORU_R01, so the message is checked as ORU_R01. Warnings are left out: they
    concern tables that IHE extends (0078: PH, SP) or that hl7apy has in an older version (0125: CWE).
    """
    parsed = parse_message(text.replace("ORU^R40^ORU_R40", "ORU^R01^ORU_R01"), validation_level=VALIDATION_LEVEL.STRICT)
    report = folder / "report"
    with contextlib.suppress(ValidationError):  # raised for the first error
        Validator.validate(parsed, report_file=str(report))
    return [line for line in report.read_text().splitlines() if line.startswith("Error")]


def unescape(text: str) -> str:
    """The inverse of `escape`, by python-hl7."""
    return str(hl7.parse("MSH|^~\\&|").unescape(text))


def facet(text: str, number: int) -> hl7.Segment:
    """The OBX of a facet."""
    (found,) = [s for s in hl7.parse(text).segments("OBX") if str(s[4]) == f"1.1.0.0.{number}"]
    return found


@pytest.mark.parametrize("module", [hl7_report, nomenclature, counters], ids=lambda m: m.__name__)
def test_docstring_examples(module: ModuleType) -> None:
    done = doctest.testmod(module)
    assert done.attempted > 0
    assert done.failed == 0


@given(st.one_of(TEXT, NASTY))
def test_escaped_text_has_no_delimiter_and_unescapes_to_itself(text: str) -> None:
    escaped = escape(text)
    assert not set(escaped) & set("|^~&\r\n\x0b\x1c")
    assert unescape(escaped) == text


@given(st.one_of(TEXT, NASTY), st.one_of(TEXT, NASTY))
def test_python_hl7_reads_text_and_name_unchanged(text: str, who: str) -> None:
    written = alarm_message(message(state="acknowledged", text=text, acknowledged_by=who))
    parsed = hl7.parse(written)
    event = facet(written, 1)[5][0]
    assert len(parsed.segments("OBX")) == 9
    assert unescape(str(event[8][0])) == text
    if who:
        assert unescape(str(facet(written, 5)[16][0][1][0])) == who


@pytest.mark.parametrize(("kind", "state"), KINDS_AND_STATES)
def test_messages_conform_to_hl7_version_2_6(kind: str, state: AlarmState, tmp_path: Path) -> None:
    text = alarm_message(message(kind, state), lead="V5")
    # IHE allows an empty PID-3 for an unknown patient; HL7 requires it.
    assert complaints(text, tmp_path) == ["Error: Missing required child PID.PID_3"]


def test_hl7apy_detects_wrong_messages(tmp_path: Path) -> None:
    text = alarm_message(message())
    assert complaints(text.replace("PV1||U|", "PV1|||"), tmp_path) != complaints(text, tmp_path)
    assert complaints(text.replace("|68482^MDC_ATTR_ALARM_STATE^MDC|", "||"), tmp_path) != complaints(text, tmp_path)
    with pytest.raises(ValueError, match="yesterday"):  # wrong data type
        complaints(text.replace("|20260101090041.007+0100|", "|yesterday|"), tmp_path)


@given(anything(Alarm), TEXT, st.integers(0, 2**40), st.booleans())
def test_any_alarm_is_a_message_of_nine_observations(body: Alarm, epoch: str, seq: int, paused: bool) -> None:
    whole = AlarmMessage(alarm=body, model=message().model, epoch=epoch, seq=seq, time=WHEN)
    written = alarm_message(whole, lead=body.bed, audio_paused=paused)
    parsed = hl7.parse(written)
    assert [str(s[0]) for s in parsed] == ["MSH", "PID", "PV1", "OBR", *["OBX"] * 9]
    assert [str(s[1]) for s in parsed.segments("OBX")] == [str(n) for n in range(1, 10)]
    assert unescape(str(parsed.segment("PV1")[3][0][2])) == body.bed
    assert str(facet(written, 6)[5]) == {"high": "PH", "medium": "PM", "low": "PL"}[body.priority]


@pytest.mark.parametrize(
    ("state", "changes", "facets"),
    [
        ("onset", {}, ("start", "active", "enabled")),
        ("onset", {"count": 2}, ("update", "active", "enabled")),
        ("onset", {"update": True}, ("update", "active", "enabled")),
        ("latched", {}, ("continue", "latched", "enabled")),
        ("acknowledged", {"acknowledged_by": "n3"}, ("continue", "active", "alert-acknowledged")),
        ("cleared", {"acknowledged_by": "n3"}, ("end", "inactive", "alert-acknowledged")),
        ("cleared", {}, ("end", "inactive", "enabled")),
    ],
)
def test_states_of_an_alarm_in_ihe_terms(
    state: AlarmState, changes: dict[str, object], facets: tuple[str, str, str]
) -> None:
    text = alarm_message(message(state=state, **changes))
    assert tuple(str(facet(text, number)[5]) for number in (3, 4, 5)) == facets


def test_an_audio_pause_is_in_the_message() -> None:
    assert str(facet(alarm_message(message(), audio_paused=True), 5)[5]) == "audio-paused"


def test_states_of_one_alarm_share_its_id_and_have_their_own() -> None:
    first, later = (hl7.parse(alarm_message(msgspec.structs.replace(message(state=s), seq=n))).segment("OBR")
                    for s, n in (("onset", 7), ("cleared", 9)))  # fmt: skip
    assert str(first[29]) == str(later[29]) == "^20260101T080000-1f2e3d4c/p1/asystole/8823&ecg-monitor"
    assert str(first[3]) == "20260101T080000-1f2e3d4c/p1/asystole/8823^ecg-monitor"
    assert str(later[3]) == "20260101T080000-1f2e3d4c/p1/asystole/8823/9^ecg-monitor"


@pytest.mark.parametrize(
    ("kind", "value", "limit", "flags", "range_"),
    [("extreme_bradycardia", 31.5, 40.0, "L~PH~SP", ">40"), ("extreme_tachycardia", 171.0, 140.0, "H~PH~SP", "<140")],
)
def test_a_rate_alarm_gives_the_rate_its_unit_and_its_limit(
    kind: str, value: float, limit: float, flags: str, range_: str
) -> None:
    evidence = msgspec.structs.replace(message().alarm.evidence, value=value, limit=limit, limit_unit="bpm")
    text = alarm_message(message(kind, evidence=evidence))
    source = facet(text, 2)
    assert str(source[2]) == "NM"
    assert str(source[3]) == "147842^MDC_ECG_HEART_RATE^MDC"
    assert float(str(source[5])) == value
    assert str(source[6]) == "264864^MDC_DIM_BEAT_PER_MIN^MDC^/min^/min^UCUM"
    assert str(source[7]) == range_
    assert str(facet(text, 1)[8]) == flags


def test_an_alarm_that_is_no_rate_names_its_lead() -> None:
    assert str(facet(alarm_message(message(), lead="V5"), 2)[5]) == "131335^MDC_ECG_ELEC_POTL_V5^MDC"
    technical = message("source_lost", category="technical", priority="medium")
    assert str(facet(alarm_message(technical), 2)[5]) == "69798^MDC_DEV_ECG_VMD^MDC"
    assert str(facet(alarm_message(technical), 1)[8]) == "PM~ST"


def test_codes_are_in_the_event_partition_and_not_vendor_specific() -> None:
    for term in nomenclature.ALERT_KINDS.values():
        assert (term.code == 0) == term.name.startswith("MDCX_")
        if term.code:
            assert term.code >> 16 == 3
            assert term.code & 0xFFFF < 0xF000


@given(st.datetimes(datetime.datetime(1900, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_a_timestamp_keeps_time_and_offset(moment: datetime.datetime, offset_min: int) -> None:
    zone = datetime.timezone(datetime.timedelta(minutes=offset_min))
    whole = moment.replace(tzinfo=zone)
    written = timestamp(whole.isoformat())
    read = datetime.datetime.strptime(written, "%Y%m%d%H%M%S.%f%z")
    assert datetime.timedelta(0) <= whole - read < datetime.timedelta(milliseconds=1)
    assert read.utcoffset() == whole.utcoffset()
    assert timestamp(moment.isoformat()) == written[:18]  # no offset stays no offset
    assert timestamp("") == ""


@given(st.lists(st.one_of(TEXT, NASTY), min_size=1, max_size=4))
def test_frames_can_be_separated(texts: list[str]) -> None:
    messages = [alarm_message(message(text=text)) for text in texts]
    stream = b"".join(map(frame, messages))
    parts = [part.removeprefix(b"\x0b") for part in stream.split(b"\x1c\r")[:-1]]
    assert [part.decode() for part in parts] == messages
