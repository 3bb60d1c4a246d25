"""Placement of shards: even, with as few moves as possible."""

from __future__ import annotations

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from monitor.fleet.placement import place, split

SHARDS = st.lists(st.integers(0, 60).map(lambda n: f"s{n:03}"), unique=True, max_size=30)
WORKERS = st.lists(st.sampled_from("ABCDEFGH"), unique=True, max_size=8)


@given(SHARDS, WORKERS, st.dictionaries(st.integers(0, 60).map(lambda n: f"s{n:03}"), st.sampled_from("ABCDEFGHXY")))
def test_every_shard_has_one_worker_and_loads_are_even(shards, workers, now):
    placed = place(shards, workers, now)
    if not workers:
        assert placed == {}
        return
    assert sorted(placed) == sorted(shards)
    loads = Counter(dict.fromkeys(workers, 0))
    loads.update(placed.values())
    assert set(loads) == set(workers)
    assert max(loads.values()) - min(loads.values()) <= 1
    assert place(shards, workers, placed) == placed, "nothing moves a second time"
    # No worker gives away more than its surplus.
    fair = math.floor(len(shards) / len(workers))
    for worker in workers:
        had = [shard for shard in shards if now.get(shard) == worker]
        kept = [shard for shard in had if placed[shard] == worker]
        assert len(kept) >= min(len(had), fair)


@given(SHARDS, st.lists(st.sampled_from("ABCDEFGH"), unique=True, min_size=2, max_size=8), st.data())
def test_a_returning_worker_gets_its_shards_back(shards, workers, data):
    home = place(shards, workers, {})
    lost = data.draw(st.sampled_from(workers))
    without = place(shards, [worker for worker in workers if worker != lost], home, home)
    assert all(without[shard] == worker for shard, worker in home.items() if worker != lost), "others stay"
    again = place(shards, workers, without, home)
    assert all(worker == home[shard] for shard, worker in again.items() if worker == lost)


@given(st.lists(st.integers(), max_size=50), st.integers(-1, 60))
def test_a_split_loses_nothing(items, parts):
    split_up = split(items, parts)
    assert sorted(item for part in split_up for item in part) == sorted(items)
    assert all(split_up)
    assert len(split_up) <= max(1, parts)
    assert not split_up or max(map(len, split_up)) - min(map(len, split_up)) <= 1
