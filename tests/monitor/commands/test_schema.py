"""The files of monitor/schema: equal to the structs, and valid for every message."""

from __future__ import annotations

import json
import typing

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.commands import schema
from monitor.messages import Message, Reply, Request, encode
from tests.monitor.bus.helpers import alarm, beat, status
from tests.monitor.test_messages import anything


def validator(name: str) -> jsonschema.Draft202012Validator:
    document = json.loads((schema.FOLDER / name).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


VALIDATORS = {name: validator(name) for name in schema.KINDS}


def test_the_files_equal_the_structs():
    files = {path.name: path.read_text(encoding="utf-8") for path in schema.FOLDER.glob("*.json")}
    assert files == schema.schemas(), "run: python -m monitor.commands.schema"


@settings(max_examples=100)
@given(st.one_of([anything(kind) for kind in (*typing.get_args(Message), Request)]))
def test_any_message_is_valid(message):
    name = next(name for name, kind in schema.KINDS.items() if kind is type(message))
    VALIDATORS[name].validate(json.loads(encode(message)))


@pytest.mark.parametrize(
    ("name", "body", "wrong"),
    [
        ("beat-1.json", beat(1), {"schema": "beat/2"}),
        ("beat-1.json", beat(1), {"seq": "one"}),
        ("alarm-1.json", alarm(1), {"alarm": {}}),
        ("status-1.json", status(1), {"state": "asleep"}),
        ("request-1.json", Request(op="ping"), {"colour": "red"}),
        ("reply-1.json", Reply(ok=True, messages=(msgspec.Raw(encode(beat(1))),)), {"ok": "yes"}),
    ],
)
def test_a_wrong_value_is_not_valid(name, body, wrong):
    good = json.loads(encode(body))
    VALIDATORS[name].validate(good)
    with pytest.raises(jsonschema.ValidationError):
        VALIDATORS[name].validate(good | wrong)


def test_every_field_of_a_body_is_required():
    body = json.loads(encode(beat(1)))
    for field in body:
        with pytest.raises(jsonschema.ValidationError):
            VALIDATORS["beat-1.json"].validate({name: value for name, value in body.items() if name != field})
