"""Which worker has which shard: as even as can be, with as few moves as can be. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

__all__ = ["place", "split"]

T = TypeVar("T")


def split(items: Sequence[T], parts: int) -> list[tuple[T, ...]]:
    """Deal items out, one by one, to at most `parts` parts that differ by one item at most; none is empty.

    >>> split("abcde", 2)
    [('a', 'c', 'e'), ('b', 'd')]
    """
    parts = max(1, min(parts, len(items)))
    return [tuple(items[first::parts]) for first in range(parts)] if items else []


def place(
    shards: Sequence[str], workers: Sequence[str], now: Mapping[str, str], home: Mapping[str, str] | None = None
) -> dict[str, str]:
    """A worker for each shard.

    Args:
        shards: to be placed, all alike.
        workers: that can take some.
        now: shard -> worker that has it; a worker that is not among `workers` has it no more.
        home: shard -> worker that had it at first: to a worker that comes back its own shards go back.

    Returns:
        Shard -> worker; empty where there is no worker. Loads differ by one shard at most, and a shard moves only where
        they would not otherwise.
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
        # Of the fullest, one that has a shard whose home it is.
        most = max(held, key=lambda worker: (len(held[worker]), any(home.get(s) == least for s in held[worker])))
        if len(held[most]) - len(held[least]) <= 1:
            return {shard: worker for worker, its in held.items() for shard in its}
        going = next((at for at, shard in enumerate(held[most]) if home.get(shard) == least), -1)
        held[least].append(held[most].pop(going))
