"""Assign shards to workers: as evenly as possible, with as few moves as possible. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

__all__ = ["place", "split"]

T = TypeVar("T")


def split(items: Sequence[T], parts: int) -> list[tuple[T, ...]]:
    """Deal items one by one to at most `parts` parts; their sizes differ by one at most, and none is empty.

    >>> split("abcde", 2)
    [('a', 'c', 'e'), ('b', 'd')]
    """
    parts = max(1, min(parts, len(items)))
    return [tuple(items[first::parts]) for first in range(parts)] if items else []


def place(
    shards: Sequence[str], workers: Sequence[str], now: Mapping[str, str], home: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Choose a worker for each shard.

    Args:
        shards: to place; all cost the same.
        workers: available workers.
        now: shard -> its present worker; ignored where that is not among `workers`.
        home: shard -> its first worker: a worker that returns gets its own shards back.

    Returns:
        Shard -> worker; empty without workers. Loads differ by one shard at most, and a shard moves only where that
        requires it.
    """
    if not workers:
        return {}
    home = home or {}
    held: dict[str, list[str]] = {worker: [] for worker in workers}
    for shard in shards:
        if now.get(shard) in held:
            held[now[shard]].append(shard)
    for shard in shards:
        if now.get(shard) not in held:
            min(held.values(), key=len).append(shard)
    while True:
        least = min(held, key=lambda worker: len(held[worker]))
        # Of the fullest workers, one with a shard whose home is the emptiest.
        most = max(held, key=lambda worker: (len(held[worker]), any(home.get(s) == least for s in held[worker])))
        if len(held[most]) - len(held[least]) <= 1:
            return {shard: worker for worker, placed in held.items() for shard in placed}
        moving = next((at for at, shard in enumerate(held[most]) if home.get(shard) == least), -1)
        held[least].append(held[most].pop(moving))
