"""Faults of an emulated device: their grammar, and the fate of each sample."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.emulator.faults import BOOT_S, GRAMMAR, LASTING, Fault, Faults, Rate, parse_faults
from monitor.emulator.plan import Fate, Plan
from monitor.errors import ConfigError


def test_all_kinds_are_parsed() -> None:
    read = parse_faults(
        "drop=0.1%, garble=2%,drift=-1.5%,rate@2m=10,rate=0.5,unplug@60s for 5s,leadsoff@90s for 10s,"
        "stall@110 for 500ms,hiccup@2m for 1.5s,banner@2.5min,noise@1h for 2 s"
    )
    assert read == Faults(
        drop=0.001,
        garble=0.02,
        drift=-0.015,
        rates=(Rate(0.0, 0.5), Rate(120.0, 10.0)),
        lasting=(
            Fault("unplug", 60.0, 5.0),
            Fault("leadsoff", 90.0, 10.0),
            Fault("stall", 110.0, 0.5),
            Fault("hiccup", 120.0, 1.5),
            Fault("banner", 150.0, BOOT_S),
            Fault("noise", 3600.0, 2.0),
        ),
    )
    assert parse_faults("") == parse_faults("  ") == Faults()


@given(
    st.lists(st.tuples(st.sampled_from([*LASTING, "banner"]), st.integers(0, 100), st.integers(1, 60)), max_size=6),
    st.randoms(use_true_random=False),
)
def test_faults_in_any_order_are_sorted_by_time(kinds: list[tuple[str, int, int]], dice: object) -> None:
    at_s, faults = 0.0, []
    for kind, before_s, lasts_s in kinds:
        fault = Fault(kind, at_s + before_s, BOOT_S if kind == "banner" else float(lasts_s))
        faults.append(fault)
        at_s = fault.end_s
    written = [str(fault) for fault in faults]
    dice.shuffle(written)  # type: ignore[attr-defined]
    assert parse_faults(",".join(written)) == Faults(lasting=tuple(faults))


INVALID = (
    "foo",
    "drop",
    "drop=0.1",
    "drop=101%",
    "drop=nan%",
    "drop@5s=1%",
    "drift=80%",
    "rate=0",
    "rate@x=2",
    "banner",
)
NO_SPAN = ("unplug", "unplug@60s", "unplug@60s for", "unplug@60s for 0s", "unplug@-1s for 5s", "unplug=5%", "banner")


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        *((text, text) for text in (*INVALID, *NO_SPAN)),
        ("hiccup@1s for 5m", "hiccup@1s for 5m"),
        ("unplug@60x for 5s", "60x"),
        ("drop=1%,drop=2%", "drop=2%"),
        ("rate=2,rate@0s=3", "two rates"),
        ("stall@61s for 1s,unplug@60s for 5s", "stall@61s for 1s"),
        ("banner@60s,stall@61s for 1s", "stall@61s for 1s"),
        ("drop=1%,,stall@61s for 1s", "empty"),
    ],
)
def test_an_invalid_fault_is_refused_with_the_grammar(text: str, piece: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_faults(text)
    assert piece in str(refused.value)
    assert GRAMMAR in str(refused.value)
    assert "\n" not in str(refused.value)


PIECES = st.sampled_from(["drop", "unplug", "rate", "banner", "@", "=", " for ", "5", "s", "%", ",", "1e9", "٣", "\n"])


@given(st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=30))
def test_any_text_is_parsed_or_refused_in_one_line(text: str) -> None:
    refusal = None
    try:
        faults = parse_faults(text)
    except ConfigError as error:
        refusal, faults = str(error), Faults()
    assert refusal is None or len(refusal.splitlines()) == 1
    assert 0 <= faults.drop <= 1
    assert all(fault.duration_s > 0 for fault in faults.lasting)


PLAN_FAULTS = parse_faults("drop=5%,garble=5%,rate@3s=4,drift=2%,rate@5s=0.5,unplug@2s for 0.5s,noise@4s for 100ms")


@given(st.lists(st.integers(0, 12_000), min_size=2, max_size=6).map(sorted), st.integers(0, 3))
def test_fates_do_not_depend_on_the_pieces(cuts: list[int], seed: int) -> None:
    whole = Plan(PLAN_FAULTS, 250.0, seed).fates(cuts[0], cuts[-1])
    plan = Plan(PLAN_FAULTS, 250.0, seed)
    pieces = [plan.fates(first, end) for first, end in itertools.pairwise(cuts)]
    assert np.array_equal(np.concatenate(pieces), whole)
    assert whole.size == cuts[-1] - cuts[0]


def test_random_fates_have_their_probability_and_depend_on_the_seed() -> None:
    faults = parse_faults("drop=1%,garble=3%")
    fates = Plan(faults, 250.0, 1).fates(0, 200_000)
    assert (fates == Fate.DROPPED).mean() == pytest.approx(0.01, abs=0.001)
    assert (fates == Fate.GARBLED).mean() == pytest.approx(0.03 * 0.99, abs=0.002)
    assert not np.array_equal(fates, Plan(faults, 250.0, 2).fates(0, 200_000))


@given(st.floats(0, 20), st.floats(0, 20))
def test_due_and_time_s_are_inverse(one: float, other: float) -> None:
    plan = Plan(PLAN_FAULTS, 360.0)
    early, late = sorted((one, other))
    assert plan.due(early) <= plan.due(late)
    sample = plan.due(late)
    assert plan.time_s(sample) >= late - 1e-6  # not due before
    assert sample == 0 or plan.time_s(sample - 1) < late + 1e-6


def test_rate_and_drift_change_what_is_due() -> None:
    assert Plan(parse_faults(""), 360.0).due(60.0) == 21_600
    assert Plan(parse_faults("drift=-1%"), 250.0).due(100.0) == 24_750
    assert Plan(parse_faults("rate=10"), 250.0).due(10.0) == 25_000
    assert Plan(parse_faults("rate@10s=10"), 250.0).due(20.0) == 2_500 + 25_000
    assert Plan(parse_faults("rate@10s=10,rate@20s=1"), 250.0).due(30.0) == 2_500 + 25_000 + 2_500
