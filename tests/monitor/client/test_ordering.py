"""The order of one topic."""

from __future__ import annotations

from collections import Counter

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.client import ordering
from monitor.client.ordering import Item, TopicOrder
from monitor.messages import encode
from tests.monitor.bus.helpers import beat


def message(epoch: str, seq: int) -> Item:
    body = msgspec.structs.replace(beat(seq), epoch=epoch, seq=seq)
    return body, encode(body)


def places(items: list[Item]) -> list[tuple[str, int]]:
    return [(body.epoch, body.seq) for body, _ in items]


class Published:
    """The messages that a monitor published in its runs."""

    def __init__(self, counts: list[int]) -> None:
        self.runs = [f"run-{n}" for n in range(len(counts))]
        self.counts = counts
        self.all = [(run, seq) for run, count in zip(self.runs, counts, strict=True) for seq in range(1, count + 1)]

    def after(self, epoch: str, seq: int) -> list[tuple[str, int]]:
        at = (self.runs.index(epoch), seq)
        return [(run, n) for run, n in self.all if (self.runs.index(run), n) > at]


def answer(order: TopicOrder, published: Published, page: int) -> list[Item]:
    missing = published.after(order.epoch, order.seq)
    more = len(missing) > page
    part = missing[:page]
    epoch, seq = part[-1] if more else (published.runs[-1], published.counts[-1])
    return order.fill([message(*place) for place in part], epoch, seq, more=more)


@settings(max_examples=300)
@given(
    counts=st.lists(st.integers(0, 8), min_size=1, max_size=3),
    start=st.integers(0, 8),
    page=st.integers(1, 5),
    data=st.data(),
)
def test_each_message_is_given_once_and_in_order(counts, start, page, data):
    """The wire drops and repeats messages; live messages arrive between request and reply."""
    published = Published(counts)
    start = min(start, counts[0])
    order = TopicOrder("run-0", start, Counter())
    want = published.after("run-0", start)
    wire = [place for place in want if data.draw(st.booleans(), "arrives")]
    for _ in range(data.draw(st.integers(0, 3))):  # last values for new subscribers are repetitions
        if wire:
            at = data.draw(st.integers(0, len(wire) - 1))
            later = data.draw(st.integers(at, len(wire)))
            wire.insert(later, wire[at])
    got: list[tuple[str, int]] = []
    upto = 0
    for epoch, seq in wire:
        upto = max(upto, published.all.index((epoch, seq)) + 1)
        got += places(order.accept(*message(epoch, seq)))
        if order.hole and data.draw(st.booleans(), "answered now"):
            # The journal has all published so far, which is at least all that the wire delivered.
            so_far = Published([sum(run == r for r, _ in published.all[:upto]) for run in published.runs])
            last = published.runs.index(published.all[upto - 1][0])
            so_far.runs, so_far.counts = so_far.runs[: last + 1], so_far.counts[: last + 1]
            got += places(answer(order, so_far, page))
    order.expect(published.runs[-1], counts[-1])  # the heartbeat
    for _ in range(100):
        if not order.hole:
            break
        got += places(answer(order, published, page))
    assert not order.hole
    assert got == want
    assert order.counters["missed"] == 0


@given(arrives=st.lists(st.booleans(), max_size=30))
def test_giving_up_keeps_the_order_and_counts_missed_messages(arrives):
    order = TopicOrder("run-0", 0, Counter())
    wire = [seq for seq, yes in enumerate(arrives, 1) if yes]
    got = [place for seq in wire for place in places(order.accept(*message("run-0", seq)))]
    order.expect("run-0", len(arrives))
    got += places(order.give_up("run-0"))
    assert [seq for _, seq in got] == wire
    assert order.counters["missed"] == len(arrives) - len(wire)
    assert not order.hole
    assert places(order.accept(*message("run-0", len(arrives) + 1))) == [("run-0", len(arrives) + 1)]


def test_the_number_of_held_messages_is_limited(monkeypatch):
    monkeypatch.setattr(ordering, "HELD_MAX", 5)
    order = TopicOrder("a", 0, Counter())
    for seq in range(2, 100):
        assert order.accept(*message("a", seq)) == []
    got = places(order.fill([message("a", seq) for seq in range(1, 50)], "a", 49, more=True))
    assert order.hole
    got += places(order.fill([message("a", seq) for seq in range(50, 100)], "a", 99, more=False))
    assert [seq for _, seq in got] == list(range(1, 100))
    assert not order.hole


def test_a_held_message_replaces_one_that_the_journal_lost():
    """With a full disk messages are sent but not journalled."""
    order = TopicOrder("a", 0, Counter())
    for seq in (3, 4, 6):
        assert order.accept(*message("a", seq)) == []
    got = order.fill([message("a", 1), message("a", 7)], "a", 8, more=False)
    assert places(got) == [("a", seq) for seq in (1, 3, 4, 6, 7)]
    assert order.counters["missed"] == 3
    assert not order.hole


def test_held_messages_of_a_run_are_given_before_the_next_run():
    """Without a journal on disk, only the received messages of a killed run exist."""
    order = TopicOrder("a", 2, Counter())
    order.expect("a", 6)
    assert order.accept(*message("a", 4)) == []
    assert order.accept(*message("b", 2)) == []
    order.expect("c", 0)
    assert places(order.fill([message("c", 1)], "c", 1, more=False)) == [("a", 4), ("b", 2), ("c", 1)]
    assert order.counters["missed"] == 3 + 1
    assert not order.hole
    assert order.accept(*message("b", 3)) == []
    assert not order.hole
