"""Any bytes, cut anywhere: samples or one line of refusal, the same for every cut."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.errors import SourceError
from monitor.sources import SourceOptions
from monitor.sources.tables.reader import TableReader

WORDS = "0 1 7 -0.5 1,5 .25 1e3 nan ! ? time ecg mV uV [s] fs: 250 Unit,uV 12:00:01.5 2024-02-29 # % \" ' ; , | = é µ"
BETWEEN = ["\t", " ", "\n", "\n", "\n", "\r", "\r\n", "\0", "\ufeff"]
PARTS = st.sampled_from([*WORDS.split(), *BETWEEN, "0.1\n0.2\n", "0.004,0.1\n0.008,0.2\n", "sep=;\n"])
TEXT = st.lists(PARTS, max_size=60).map("".join)
ANY = st.one_of(
    st.binary(max_size=300),
    st.tuples(TEXT, st.sampled_from(["utf-8", "utf-16", "utf-16-le", "cp1252"])).map(
        lambda made: made[0].encode(made[1], "replace")
    ),
)


def outcome(data: bytes, cuts: list[int], live: bool, fs_hz: float | None) -> tuple[str, list[float], list[int], int]:
    """The refusal, or samples with their indices and the number of unreadable rows."""
    reader = TableReader(SourceOptions(fs_hz=fs_hz), "table", live)
    samples: list[float] = []
    places: list[int] = []
    bad = 0
    left = data
    try:
        for cut in [*cuts, len(data)]:
            runs = reader.push(left[:cut])
            left = left[cut:]
            if not left:
                runs += reader.finish()
            for first, mv in runs:
                samples += mv.tolist()
                places += range(first, first + mv.size)
            bad += reader.take_bad()[0]
            if not left:
                break
    except SourceError as error:
        return str(error), [], [], 0
    return "", samples, places, bad


@settings(max_examples=300, deadline=None)
@given(ANY, st.lists(st.integers(1, 50), max_size=20), st.booleans(), st.sampled_from([None, 250.0]))
@example(b"\xff\xfe", [1], True, 250.0)
@example(b"0.1\r", [3, 1], True, 250.0)
@example(b'0.1\n"0.2\n0.3\n0.4\n0.5\n', [5], True, 250.0)
def test_any_bytes_cut_anywhere(data: bytes, cuts: list[int], live: bool, fs_hz: float | None) -> None:
    whole = outcome(data, [], live, fs_hz)
    cut = outcome(data, cuts, live, fs_hz)
    assert whole[0] == cut[0]
    assert "\n" not in whole[0]
    np.testing.assert_array_equal(whole[1], cut[1])
    assert whole[2:] == cut[2:]
    assert whole[2] == sorted(set(whole[2])), "an index twice"
