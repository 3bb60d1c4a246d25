"""The examination of clinical situations: its signals are what they say, and the monitor passes what it passed."""

from __future__ import annotations

from pathlib import Path

import clinical
import numpy as np
import pytest
from clinical_rows.cases import Case, Draw
from clinical_rows.examine import Verdict, drawn, examine, verdict_of
from clinical_rows.hearts import Heart, times
from clinical_rows.received import Received, play
from clinical_rows.rows import ROWS
from clinical_rows.second_leads import SECOND_LEADS
from clinical_rows.tables import below_goal, detail, page_table, text_table
from clinical_rows.tapes import Tape, TapeSource, simulated
from clinical_rows.verdicts import quiet, raised, rate_right, standstill
from common.programs import ToolError

from detector import Scorer
from monitor.sources import EndOfStream

FLOORS: dict[str, int] = {
    "A1": 19, "A2": 19, "A3": 19, "A4": 19, "A5": 19, "A6": 19, "A7": 19,
    "B1": 19, "B2": 17, "B3": 19, "B4": 19, "B5": 19, "B6": 19, "B7": 19, "B8": 17, "B9": 19,
    "C1": 17, "C2": 19, "C3": 19,
    "D1": 19, "D2": 18, "D3": 19, "D4": 19, "D5": 19, "D6": 19, "D7": 17,
    "E1": 18, "E2": 19, "E3": 17, "E4": 19,
}  # fmt: skip
"""Variants of 20, seed 1, that must pass: one fewer than passed when this was written."""

MENDED = (
    *("C2/15/7", "C2/30/7", "C2/65/7", "C2/97/7", "C2/94/8", "C2/26/9"),
    *("C3/0/7", "C3/5/7", "C3/26/7", "C3/50/7", "C3/60/7", "C3/12/8", "C3/71/8"),
    *("B3/40/8", "B3/80/9"),
    *("A1/39/7", "A1/68/7", "A2/86/7", "A2/97/7", "A2/4/8", "A3/40/8"),
    *("B2/89/7", "B8/3/7", "B8/21/7", "B8/54/7", "D7/6/7", "D7/33/7", "D7/50/7", "D7/16/8"),
)
"""Variants of 100 that showed a fault of the monitor: row, number, seed."""


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
        assert chunk is not None
        got += list(zip(range(chunk.first_sample, 500), chunk.samples, strict=False))
    with pytest.raises(EndOfStream):
        source.read(60)
    assert [at for at, _ in got] == np.flatnonzero(~mask).tolist()
    assert all(at == mv for at, mv in got)


def test_a_pulse_has_its_height_and_length_at_any_sampling_rate() -> None:
    for fs_hz in (125.0, 250.0, 1000.0):
        tape = Tape(fs_hz, 1.0)
        tape.pulse(0.5013, 20.0, 8.0)
        assert tape.mv.sum() / fs_hz == pytest.approx(0.160)
        assert tape.mv.max() <= 20.0
        assert np.flatnonzero(tape.mv).min() / fs_hz == pytest.approx(0.5013, abs=1 / fs_hz)


def test_the_simulator_gives_a_tape_with_its_beats() -> None:
    tape = simulated("sinus=12", 250.0, 3)
    assert tape.seconds == 12.0
    assert all(tape.mv[tape.part(at_s - 0.02, at_s + 0.02)].max() > 0.6 for at_s in tape.beats_s)


@pytest.fixture(scope="module")
def stopped() -> Received:
    """A heart that beats for 25 s and stops; its alarms are acknowledged at once."""
    rng = np.random.default_rng(0)
    tape = Tape(250.0, 45.0)
    tape.rhythm(Heart(), times(0.5, 25.0, 70, rng), rng)
    tape.mv += 0.005 * rng.standard_normal(tape.mv.size)
    return play(Case(tape, lambda _: None, "a heart that stops", acknowledge=True), Scorer())


def test_verdicts_name_what_is_missing(stopped: Received) -> None:
    last_s = stopped.tape.beats_s[-1]
    after_s = stopped.of(["asystole"])[0].since_s - last_s
    assert standstill(stopped, last_s) is None
    assert standstill(stopped, last_s - 10.0) == f"asystole after {after_s + 10.0:.1f} s"
    assert standstill(stopped, last_s, until_s=46.0) == f"asystole over after {45 - last_s - after_s:.0f} s of " + (
        f"{46 - last_s - after_s:.0f}"
    )
    assert raised(stopped, ["ventricular_run"], 0) == "no ventricular_run"
    assert quiet(stopped, 0, 20.0) is None
    assert quiet(stopped) == f"false asystole at {last_s + after_s:.0f} s"
    assert rate_right(stopped, 70, 5, 24) is None
    assert rate_right(stopped, 100, 5, 24) == "rate 70, true 100"
    assert rate_right(stopped, 70, 30, 45) == "rate shown in 0 of 30 half seconds (true 70)"
    assert not stopped.missed(stopped.tape.beats_s[2:])
    assert stopped.up_share(["asystole"], last_s + 10, 45.0) == 1.0
    assert any(alarm.state == "acknowledged" for alarm in stopped.alarms)
    assert "acknowledged" in detail(Case(stopped.tape, lambda _: None, "a heart that stops"), stopped, "why")


def test_tables_count_the_variants_that_pass() -> None:
    verdicts = [Verdict("A3", n, 250.0, "constant", "no asystole" if n == 3 else "", 60.0, 0.1) for n in range(10)]
    assert below_goal(verdicts) == ["A3"]
    assert "  9 of 10   90.0 %" in text_table(verdicts)
    assert "A3/3   no asystole   [250 Hz; constant]" in text_table(verdicts)
    page = page_table(verdicts, "the command")
    assert "9 of 10 (90 %; goal 95 %)" in page
    assert "- A3: no asystole (3)." in page
    assert "Every variant passes" in page_table(verdicts[:3], "the command")


def test_an_unknown_second_lead_is_refused() -> None:
    with pytest.raises(ToolError, match="--second bad: give one of good, noisy, off, alone"):
        clinical.main(second="bad")


def test_rows_are_chosen_by_name_or_letter() -> None:
    assert clinical._chosen("a3, C") == ["A3", "C1", "C2", "C3"]
    assert clinical._chosen("") == list(ROWS)
    with pytest.raises(ToolError, match="no row X1"):
        clinical._chosen("A3,X1")


@pytest.mark.parametrize("variant", ["A4/1", "A6/0", "B4/0", "B5/1", "B6/1", "B9/0", "D1/1", "D3/1"])
def test_short_variants_pass(variant: str) -> None:
    row, number = variant.split("/")
    assert verdict_of(row, int(number), 20, 1).fault == ""


@pytest.mark.slow
@pytest.mark.parametrize("second", SECOND_LEADS)
def test_a_second_lead_hides_no_dying_heart(second: str, data_folder: Path) -> None:
    """Standstill in noise, lost capture, fibrillation: beside a lead that is good, noisy or off."""
    assert data_folder
    verdicts = list(examine(["A2", "C2", "D1"], 20, 1, jobs=1, numbers=range(0, 20, 4), second=second))
    assert not [verdict.fault for verdict in verdicts if verdict.fault], text_table(verdicts)


@pytest.mark.slow
@pytest.mark.parametrize("variant", MENDED)
def test_mended_variants_stay_so(variant: str, data_folder: Path) -> None:
    assert data_folder
    row, number, seed = variant.split("/")
    assert verdict_of(row, int(number), 100, int(seed)).fault == ""


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_as_many_variants_pass_as_before(row: str, data_folder: Path) -> None:
    assert data_folder
    verdicts = list(examine([row], 20, 1, jobs=1))
    assert sum(not verdict.fault for verdict in verdicts) >= FLOORS[row], text_table(verdicts)
