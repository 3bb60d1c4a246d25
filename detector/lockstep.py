"""Lockstep: the computations of many detectors are batched into one call over rows.

One second of one bed needs hundreds of numpy calls on a few hundred samples; their overhead costs more than their
arithmetic. So the work on one bed is a generator, a *routine*: it yields a request for a computation (`Ask`) and
receives the answer. `run_together` advances many routines, groups requests of the same stage and shape, and computes
each group in one call. Each stage computes row by row, so a routine gets the same bits alone or among a thousand.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

__all__ = ["ROWS", "Ask", "Lockstep", "Stage", "Steps", "run", "run_together"]

ROWS = 16  # largest batch: the call overhead is then negligible, and larger arrays leave the fast caches

Work = TypeVar("Work")
Answer = TypeVar("Answer")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, eq=False)
class Stage(Generic[Work, Answer]):
    """One kind of computation over rows.

    Attributes:
        order: stages of lower order are computed first, so that routines that are behind catch up.
        compute: takes a list of at least one piece of work, all of one shape; returns one answer each, in order. If it
            raises, each piece is computed alone, so that only the routine with the failing piece gets the error.
    """

    order: int
    compute: Callable[[list[Work]], Sequence[Answer]]

    def ask(self, shape: Hashable, work: Work) -> Steps[Answer]:
        """Request a computation: `answer = yield from stage.ask(shape, work)`.

        Args:
            shape: work of equal shape is batched.
            work: one element of the list that `compute` takes.
        """
        answer: Answer = yield Ask(self, shape, work)
        return answer


class Ask(NamedTuple):
    """A computation that a routine waits for."""

    stage: Stage[Any, Any]
    shape: Hashable
    work: Any


Steps = Generator[Ask, Any, Result]


def run(routine: Steps[Result]) -> Result:
    """Run one routine to its end.

    Raises:
        Exception: any error of the routine.
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
    """Run routines to their ends in lockstep.

    Returns:
        The result of each, in order, or the exception that ended it; an exception does not affect the others.
    """
    going: Lockstep[Result] = Lockstep()
    for number, routine in enumerate(routines):
        going.join(number, routine)
    while going:
        going.step()
    return [ended for _, ended in sorted(going.ended.items())]


class Lockstep(Generic[Result]):
    """Running routines; new ones may join at any time. True while any routine runs.

    Attributes:
        ended: key -> result or exception of each routine that ended; the caller may clear it.
    """

    def __init__(self) -> None:
        self.ended: dict[int, Result | Exception] = {}
        self._going: dict[int, Steps[Result]] = {}
        self._asked: dict[Stage[Any, Any], dict[Hashable, list[tuple[int, Any]]]] = {}

    def __bool__(self) -> bool:
        return bool(self._going)

    def join(self, key: int, routine: Steps[Result]) -> None:
        """Add a routine under a unique key."""
        self._going[key] = routine
        self._go_on(key, routine.send, None)

    def step(self) -> None:
        """Compute the waiting stage of lowest order; its routines continue to their next request."""
        stage = min(self._asked, key=_order)
        for asked in self._asked.pop(stage).values():
            for first in range(0, len(asked), ROWS):
                self._answer(stage, asked[first : first + ROWS])

    def _answer(self, stage: Stage[Any, Any], asked: list[tuple[int, Any]]) -> None:
        try:
            answers = stage.compute([work for _, work in asked])
        except Exception as error:
            if len(asked) == 1:
                key = asked[0][0]
                self._go_on(key, self._going[key].throw, error)
                return
            for one in asked:  # find the failing one; only its routine gets the error
                self._answer(stage, [one])
        else:
            for (key, _), answer in zip(asked, answers, strict=True):
                self._go_on(key, self._going[key].send, answer)

    def _go_on(self, key: int, step: Callable[[Any], Ask], sent: Any) -> None:
        try:
            ask = step(sent)
        except StopIteration as done:
            self.ended[key] = done.value
        except Exception as error:
            self.ended[key] = error
        else:
            self._asked.setdefault(ask.stage, {}).setdefault(ask.shape, []).append((key, ask.work))
            return
        del self._going[key]


def _order(stage: Stage[Any, Any]) -> int:
    return stage.order
