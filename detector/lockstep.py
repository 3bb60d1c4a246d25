"""Many detectors in step: what several of them want computed is one call over rows, not one call each.

A second of one bed is hundreds of calls on a few hundred samples, most of them dearer by their wrapper than by their
arithmetic. So whoever works on one bed is written as a generator, a *routine*: it yields what it wants computed, an
`Ask`, and is sent the answer. `run_together` takes many routines as far as each can go, puts the asks of one kind and
one shape together, and computes them at once. A routine never sees the others: with one or with a thousand of them its
answers are the same bits, since every stage computes row by row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

__all__ = ["ROWS", "Ask", "Stage", "Steps", "run", "run_together"]

ROWS = 16  # at most in one call: by then a wrapper costs next to nothing, and what is larger leaves the fast caches

Work = TypeVar("Work")
Answer = TypeVar("Answer")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, eq=False)
class Stage(Generic[Work, Answer]):
    """One kind of computation over rows.

    Attributes:
        order: stages of a lower order are computed first, so that routines which are behind catch up with the others.
        compute: given what was asked for, of one shape, at least one; an answer to each, in order. What it raises is
            told to the routine that asked, alone: then each is computed by itself.
    """

    order: int
    compute: Callable[[list[Work]], Sequence[Answer]]

    def ask(self, shape: Hashable, work: Work) -> Steps[Answer]:
        """For a routine: `answer = yield from stage.ask(shape, work)`.

        Args:
            shape: work of equal shape can be stacked.
            work: what `compute` takes a list of.
        """
        answer: Answer = yield Ask(self, shape, work)
        return answer


class Ask(NamedTuple):
    """What a routine wants computed before it goes on."""

    stage: Stage[Any, Any]
    shape: Hashable
    work: Any


Steps = Generator[Ask, Any, Result]


def run(routine: Steps[Result]) -> Result:
    """Run one routine to its end.

    Raises:
        Exception: whatever it raises.
    """
    try:
        ask = next(routine)
        while True:
            try:
                answer = ask.stage.compute([ask.work])[0]
            except Exception as error:
                ask = routine.throw(error)
            else:
                ask = routine.send(answer)
    except StopIteration as done:
        result: Result = done.value
        return result


def run_together(routines: Iterable[Steps[Result]]) -> list[Result | Exception]:
    """Run routines to their ends, in step.

    Returns:
        Of each, in order, its result, or the exception that ended it; the others go on.
    """
    running = list(routines)
    ends: dict[int, Result | Exception] = {}
    waiting: dict[Stage[Any, Any], dict[Hashable, list[tuple[int, Any]]]] = defaultdict(lambda: defaultdict(list))

    def go_on(number: int, step: Callable[[Any], Ask], sent: Any) -> None:
        try:
            ask = step(sent)
        except StopIteration as done:
            ends[number] = done.value
        except Exception as error:
            ends[number] = error
        else:
            waiting[ask.stage][ask.shape].append((number, ask.work))

    for number, routine in enumerate(running):
        go_on(number, routine.send, None)
    while waiting:
        stage = min(waiting, key=_order)
        for asked in _rows(waiting.pop(stage).values()):
            try:
                answers = stage.compute([work for _, work in asked])
            except Exception:
                _one_by_one(stage, asked, running, go_on)
            else:
                for (number, _), answer in zip(asked, answers, strict=True):
                    go_on(number, running[number].send, answer)
    return [ends[number] for number in range(len(running))]


def _rows(groups: Iterable[list[tuple[int, Any]]]) -> Iterator[list[tuple[int, Any]]]:
    for group in groups:
        for first in range(0, len(group), ROWS):
            yield group[first : first + ROWS]


def _order(stage: Stage[Any, Any]) -> int:
    return stage.order


def _one_by_one(
    stage: Stage[Any, Any],
    asked: list[tuple[int, Any]],
    running: list[Steps[Any]],
    go_on: Callable[[int, Callable[[Any], Ask], Any], None],
) -> None:
    """Something went wrong in one of them: find out in which, and let only that one hear of it."""
    for number, work in asked:
        try:
            answer = stage.compute([work])[0]
        except Exception as error:
            go_on(number, running[number].throw, error)
        else:
            go_on(number, running[number].send, answer)
