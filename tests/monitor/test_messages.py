"""Messages: their JSON, their tags, their topics."""

from __future__ import annotations

import json
import typing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UnsetType

from monitor.messages import Alarm, Evidence, Message, bed_topic, decode, encode
from tests.monitor.bus.helpers import alarm, beat

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
int64 = st.integers(-(2**63), 2**63 - 1)
real = st.floats(allow_nan=False, allow_infinity=False)


def anything(kind: object) -> st.SearchStrategy[object]:
    """Any value of a struct's or field's type."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind)
        return st.builds(kind, **{name: anything(hints[name]) for name in kind.__struct_fields__})
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return st.sampled_from(args)
    if origin is tuple:
        return st.lists(anything(args[0]), max_size=4).map(tuple)
    if origin is dict:
        return st.dictionaries(text, anything(args[1]), max_size=4)
    if args:
        return st.one_of([anything(arg) for arg in args if arg is not UnsetType])  # the monitor sends every field
    return {str: text, int: int64, float: real, bool: st.booleans(), type(None): st.none()}[kind]  # type: ignore[index]


@given(st.one_of([anything(kind) for kind in typing.get_args(Message)]))
def test_every_message_decodes_to_itself(message):
    raw = encode(message)
    assert decode(raw) == message
    assert b"\n" not in raw  # one message is one line of a file
    assert json.loads(raw)["schema"] == type(message).__struct_config__.tag


def test_unknown_fields_of_a_newer_monitor_are_ignored():
    body = json.loads(encode(beat(5))) | {"colour": "red"}
    assert decode(json.dumps(body).encode()) == beat(5)


@pytest.mark.parametrize("raw", [b"", b"null", b"{}", b'{"schema": "beat/2"}', b'{"schema": "alarm/1"}', b"\xff"])
def test_other_bytes_are_a_value_error(raw):
    with pytest.raises(ValueError, match=r"."):
        decode(raw)


def test_nan_is_sent_as_null():
    assert json.loads(encode(msgspec.structs.replace(beat(1), log_prob=float("nan"))))["log_prob"] is None


def test_empty_evidence_has_no_fields():
    bare = msgspec.structs.replace(alarm(1).alarm, evidence=Evidence())
    assert json.loads(msgspec.json.encode(bare))["evidence"] == {}
    assert msgspec.json.decode(msgspec.json.encode(bare), type=Alarm) == bare


def test_topics_end_with_a_slash():
    assert bed_topic("p1", "alarm") == "v1/p1/alarm/"
    assert not bed_topic("p10", "alarm").startswith(bed_topic("p1", "alarm"))
