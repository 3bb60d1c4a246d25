"""Rows: one computation for many seconds of many beds, in one call where their shapes agree.

A numpy call on a few hundred samples costs more than its arithmetic. So each computation takes a list of works of one
shape and computes them as the rows of an array. It computes row by row: a work gets the same bits alone or among many.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

__all__ = ["ROWS", "over_rows"]

ROWS = 16  # most rows of a call: its overhead is then negligible, and larger arrays leave the fast caches

Owner = TypeVar("Owner")
Work = TypeVar("Work")
Answer = TypeVar("Answer")


def over_rows(
    compute: Callable[[list[Work]], Sequence[Answer]],
    asked: Iterable[tuple[Owner, Hashable, Work]],
    failed: Callable[[Owner, Exception], None],
) -> Iterator[tuple[Owner, Answer]]:
    """Compute works; those of equal shape in one call.

    Args:
        compute: takes a list of at least one work, all of one shape; returns one answer each, in order.
        asked: owner, shape and work of each.
        failed: called instead of an answer. If `compute` raises, each work is computed alone, so that only the owner
            of the failing one is affected.
    """
    groups: dict[Hashable, list[tuple[Owner, Work]]] = {}
    for owner, shape, work in asked:
        groups.setdefault(shape, []).append((owner, work))
    for group in groups.values():
        for first in range(0, len(group), ROWS):
            yield from _computed(compute, group[first : first + ROWS], failed)


def _computed(
    compute: Callable[[list[Work]], Sequence[Answer]],
    group: list[tuple[Owner, Work]],
    failed: Callable[[Owner, Exception], None],
) -> Iterator[tuple[Owner, Answer]]:
    try:
        answers = compute([work for _, work in group])
    except Exception as error:
        if len(group) == 1:
            failed(group[0][0], error)
            return
        for one in group:
            yield from _computed(compute, [one], failed)
    else:
        yield from zip([owner for owner, _ in group], answers, strict=True)
