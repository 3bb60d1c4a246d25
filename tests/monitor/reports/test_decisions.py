"""Decisions with undo and redo, against a model; conflicts of two pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.reports.decisions import Change, ConflictError, Decision, Decisions, Mark

MARKS = [Mark(100), Mark(200), Mark(300), Mark(100, "asystole")]
steps = st.lists(
    st.one_of(
        st.sampled_from(["undo", "redo"]),
        st.tuples(
            st.lists(st.sampled_from(MARKS), min_size=1, unique=True),
            st.one_of(st.none(), st.builds(Decision, st.sampled_from("NSVFQ|"), st.just("anna"), st.just("t"))),
        ),
    ),
    max_size=30,
)


def commit(decisions: Decisions, change: Change | None) -> None:
    if change is not None:
        decisions.commit(change)


@given(steps)
def test_undo_and_redo_are_those_of_a_stack_of_states(wanted: list[object]) -> None:
    first = {MARKS[0]: Decision("V", "ben", "before")}
    decisions = Decisions(first)
    states, at = [first], 0
    for step in wanted:
        if step == "undo":
            commit(decisions, decisions.propose_undo(decisions.number))
            at = max(0, at - 1)
        elif step == "redo":
            commit(decisions, decisions.propose_redo(decisions.number))
            at = min(len(states) - 1, at + 1)
        else:
            marks, decision = step  # type: ignore[misc]
            commit(decisions, decisions.propose(marks, decision, decisions.number))
            after = {mark: each for mark, each in states[at].items() if mark not in marks}
            states[at + 1 :] = [after | (dict.fromkeys(marks, decision) if decision else {})]
            at += 1
        assert decisions.known == states[at]
        assert (decisions.last is None, decisions.undone is None) == (at == 0, at == len(states) - 1)


@given(steps, st.integers(0, 30))
def test_a_page_that_follows_the_changes_has_all_decisions(wanted: list[object], late: int) -> None:
    decisions, page, seen = Decisions({}), dict[Mark, Decision](), 0
    for number, step in enumerate(wanted):
        if step == "undo":
            commit(decisions, decisions.propose_undo(decisions.number))
        elif step == "redo":
            commit(decisions, decisions.propose_redo(decisions.number))
        else:
            marks, decision = step  # type: ignore[misc]
            commit(decisions, decisions.propose(marks, decision, decisions.number))
        if number % (late + 1) == 0:
            for mark, known in decisions.since(seen).items():
                if known is None:
                    page.pop(mark, None)
                else:
                    page[mark] = known
            seen = decisions.number
            assert page == decisions.known


def test_what_is_proposed_does_not_count_before_it_is_saved() -> None:
    decisions = Decisions({})
    change = decisions.propose([MARKS[0]], Decision("V", "anna", "t"), 0)
    assert (decisions.known, decisions.number) == ({}, 0)
    assert decisions.with_change(change) == {MARKS[0]: Decision("V", "anna", "t")}


def test_two_pages_do_not_overwrite_each_other() -> None:
    decisions = Decisions({})
    mine, theirs = Decision("V", "anna", "t"), Decision("N", "ben", "t")
    decisions.commit(decisions.propose([MARKS[0]], mine, 0))
    with pytest.raises(ConflictError):
        decisions.propose([MARKS[0], MARKS[1]], theirs, 0)
    decisions.commit(decisions.propose([MARKS[1]], theirs, 0))  # of another beat: no conflict
    assert decisions.known == {MARKS[0]: mine, MARKS[1]: theirs}
    with pytest.raises(ConflictError):
        decisions.propose_undo(1)  # it would take back what this page has not seen
    decisions.commit(decisions.propose([MARKS[0]], theirs, 2))
    assert decisions.known[MARKS[0]] == theirs
