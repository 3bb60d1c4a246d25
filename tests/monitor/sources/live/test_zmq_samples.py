"""Parsing of the message `samples/1`."""

from __future__ import annotations

import contextlib
import json

import jsonschema
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.commands import schema
from monitor.sources.live.zmq_samples import SamplesHeader, decode_samples
from tests.monitor.sources.live.helpers import header, message


@given(st.lists(st.binary(max_size=80), min_size=1, max_size=3))
def test_any_bytes_are_parsed_or_refused(frames: list[bytes]) -> None:
    with contextlib.suppress(ValueError):
        _, mv, _ = decode_samples(frames)
        assert mv.dtype == np.float64


NUMBERS = st.one_of(st.none(), st.floats(-900, 900))


@given(
    samples=st.lists(NUMBERS, max_size=30), first=st.integers(0, 2**53), dtype=st.sampled_from(["float32", "float64"])
)
def test_both_forms_are_equal_and_valid(samples: list[float | None], first: int, dtype: str) -> None:
    validator = jsonschema.Draft202012Validator(json.loads((schema.FOLDER / "samples-1.json").read_text("utf-8")))
    inside = header(first, len(samples), samples=samples)
    beside = message(first, [np.nan if v is None else v for v in samples], dtype=dtype)
    for body in (inside, json.loads(beside[0])):
        validator.validate(body)
    (one, mv, bad), (other, same, bad_too) = decode_samples([json.dumps(inside).encode()]), decode_samples(beside)
    assert (bad, bad_too) == (0, 0)
    np.testing.assert_allclose(same, mv, rtol=1e-6, atol=1e-37)
    assert (one.first_sample, one.n) == (other.first_sample, other.n) == (first, len(samples))
    assert isinstance(one, SamplesHeader)
