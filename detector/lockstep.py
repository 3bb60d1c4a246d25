"""Many detectors in step: what several of them want computed is one call over rows, not one call each.

A second of one bed is hundreds of calls on a few hundred samples, most of them dearer by their wrapper than by their
arithmetic. So whoever works on one bed is written as a generator, a *routine*: it yields what it wants computed, an
`Ask`, and is sent the answer. `run_together` takes many routines as far as each can go, puts the asks of one kind and
one shape together, and computes them at once. A routine never sees the others: with one or with a thousand of them its
answers are the same bits, since every stage computes row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

__all__ = ["ROWS", "Ask", "Lockstep", "Stage", "Steps", "run", "run_together"]

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
    going: Lockstep[Result] = Lockstep()
    for number, routine in enumerate(routines):
        going.join(number, routine)
    while going:
        going.step()
    return [ended for _, ended in sorted(going.ended.items())]


class Lockstep(Generic[Result]):
    """Routines in step, where some join while others go on; true while any of them has not ended.

    Attributes:
        ended: key -> result, or the exception that ended it, of the routines that have; the caller may clear it.
    """

    def __init__(self) -> None:
        self.ended: dict[int, Result | Exception] = {}
        self._going: dict[int, Steps[Result]] = {}
        self._asked: dict[Stage[Any, Any], dict[Hashable, list[tuple[int, Any]]]] = {}

    def __bool__(self) -> bool:
        return bool(self._going)

    def join(self, key: int, routine: Steps[Result]) -> None:
        """Let one more take part, under a key of its own."""
        self._going[key] = routine
        self._go_on(key, routine.send, None)

    def step(self) -> None:
        """Compute the earliest stage that anybody asks for; who asked goes on to what it wants next."""
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
            for one in asked:  # something is wrong in one of them: find out in which, and let only that one hear of it
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
