"""The examination of clinical situations: its signals are what they say, and the monitor passes what it passed."""

from __future__ import annotations

import numpy as np
import pytest
from clinical_rows.cases import Case, Draw
from clinical_rows.examine import drawn, verdict_of
from clinical_rows.heard import Heard, play
from clinical_rows.hearts import Heart, times
from clinical_rows.rows import ROWS
from clinical_rows.tapes import Tape, TapeSource
from clinical_rows.verdicts import standstill

from detector import Scorer
from monitor.sources import EndOfStream


def test_a_range_is_covered_to_its_ends() -> None:
    values = sorted(Draw("A1", number, 20, 1, real=False).spread(0, 20) for number in range(20))
    assert [int(value) for value in values] == list(range(20))


def test_a_variant_is_the_same_whenever_it_is_drawn() -> None:
    one, same, other = (drawn("B1", number, 20, 1).tape.mv for number in (3, 3, 4))
    assert np.array_equal(one, same)
    assert not np.array_equal(one[:1000], other[:1000])


def test_the_source_leaves_out_missing_samples() -> None:
    tape = Tape(250.0, 2.0)
    tape.mv[:] = np.arange(500)
    mask = np.zeros(500, bool)
    mask[[0, 1, 100, 499]] = True
    tape.lose(mask, invalid=False)
    source, got = TapeSource(tape, "test"), []
    for _ in range(9):
        chunk = source.read(60)
        got += list(zip(range(chunk.first_sample, 500), chunk.samples, strict=False))
    with pytest.raises(EndOfStream):
        source.read(60)
    assert [at for at, _ in got] == np.flatnonzero(~mask).tolist()
    assert all(at == mv for at, mv in got)


def test_a_verdict_names_what_is_missing() -> None:
    """A heart that stops: asystole is found; a tape on which it does not stop has none."""
    rng = np.random.default_rng(0)
    tape = Tape(250.0, 45.0)
    tape.rhythm(Heart(), times(0.5, 25.0, 70, rng), rng)
    tape.mv += 0.005 * rng.standard_normal(tape.mv.size)
    heard: Heard = play(Case(tape, lambda _: None, ""), Scorer())
    last_s = tape.beats_s[-1]
    assert standstill(heard, last_s) is None
    assert standstill(heard, last_s - 10.0) == f"asystole after {heard.stretches[-1].since_s - last_s + 10.0:.1f} s"
    assert not heard.missed(tape.beats_s[2:])
    assert heard.up_share(["asystole"], last_s + 10, 45.0) == 1.0


@pytest.mark.parametrize("row", ["B9"])
def test_short_variants_pass(row: str) -> None:
    assert verdict_of(row, 0, 20, 1).fault == ""


def test_every_row_can_be_drawn() -> None:
    for row in ROWS:
        case = drawn(row, 1, 20, 1)
        assert case.tape.seconds >= 30
        assert case.about
