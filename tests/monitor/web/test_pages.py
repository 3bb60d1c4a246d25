"""What a page is given: the present state, the alarms that it missed, waves it wants; and nothing beyond its bounds."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from monitor.client.client import Received
from monitor.client.positions import Place, Position
from monitor.messages import AlarmMessage, WaveHeader, bed_topic, encode
from monitor.web.feed import Batch
from monitor.web.pages import BEHIND_BYTES, WAVE_BYTES, Hub, Page
from tests.monitor.bus.helpers import alarm, heartbeat, status

Log = list[Received]


def received(body: Any, topic: str, epoch: str, seq: int) -> Received:
    whole = msgspec.structs.replace(body, epoch=epoch, seq=seq)
    return topic, whole, encode(whole)


def log_of(beds: list[list[int]]) -> Log:
    """A journal: for each run the beds of its alarm messages, in order."""
    log = []
    for run, order in enumerate(beds):
        seqs: dict[int, int] = {}
        for at, bed in enumerate(order):
            seqs[bed] = seqs.get(bed, 0) + 1
            body = alarm(1000 * at, bed=f"p{bed}")
            log.append(received(body, bed_topic(f"p{bed}", "alarm"), f"run-{run}", seqs[bed]))
    return log


def position_at(log: Log, count: int, first: str = "run-0") -> Position:
    """Position of a subscriber from the start that has read `count` messages."""
    topics = {topic: Place(body.epoch, body.seq) for topic, body, _ in log[:count]}
    return Position(first, topics)


def place_of(log: Log, begin: Place, at: int) -> bool:
    """Whether message `at` comes after a place, in the order of the runs."""
    body = log[at][1]
    return (int(body.epoch[4:]), body.seq) > (int(begin.epoch[4:]), begin.seq)


def batch(log: Log, position: Position | None) -> Batch:
    return Batch(0, log, "connected", 0.0, log[-1][1].epoch if log else "run-0", position)


def frames(page: Page) -> list[str]:
    taken = []
    while (frame := page.take()) is not None:
        assert isinstance(frame, str)
        taken.append(frame)
    return taken


def own(page: Page, kind: str) -> list[dict[str, Any]]:
    found = [json.loads(frame[2:]) for frame in frames(page) if frame.startswith("*\n")]
    return [body for body in found if body["type"] == kind]


def new_hub() -> Hub:
    return Hub(["tcp://a:1"], lambda *_: None, clock=lambda: 0.0)


runs = st.lists(st.lists(st.integers(1, 3), max_size=8), min_size=1, max_size=3)


@given(runs, st.data())
def test_a_returning_page_gets_all_alarms_that_it_missed(beds: list[list[int]], data: st.DataObject) -> None:
    """Wherever the page left, and wherever the server began: its memory and the requests cover what is missing."""
    log = log_of(beds)
    left = data.draw(st.integers(0, len(log)), "page left after")
    began = data.draw(st.integers(0, len(log)), "server began after")
    have = position_at(log, left)
    epochs = [f"run-{n}" for n in range(len(beds))]

    async def recover() -> tuple[list[str], list[tuple[str, Place]]]:
        hub = new_hub()
        first = log[began][1].epoch if began < len(log) else epochs[-1]
        for at in range(began, len(log)):
            hub.accept(batch([log[at]], None))
        hub.accept(Batch(0, (), "connected", 0.0, epochs[-1], position_at(log, len(log), first)))
        page = Page(lambda: None)
        wanted = await hub.missed(page, 0, have)
        return frames(page), wanted

    from_memory, wanted = asyncio.run(recover())
    missed = {f"0 {topic}\n{raw.decode()}" for topic, _, raw in log[left:]}
    from_journal = {
        f"0 {topic}\n{log[at][2].decode()}"
        for topic, begin in wanted
        for at in range(len(log))
        if log[at][0] == topic and place_of(log, begin, at)
    }
    assert {*from_memory, *from_journal} == missed
    assert len(from_memory) == len(set(from_memory))


def test_what_the_server_has_seen_is_not_requested_again() -> None:
    log = log_of([[1, 2, 1, 1, 2]])

    async def recover() -> list[tuple[str, Place]]:
        hub = new_hub()
        hub.accept(batch(log, position_at(log, 5)))
        return await hub.missed(Page(lambda: None), 0, position_at(log, 2))

    assert asyncio.run(recover()) == []


def test_a_page_learns_the_run_before_its_messages_and_what_is_active() -> None:
    hub = new_hub()
    page = Page(lambda: None)
    hub.pages.add(page)
    hub.start(page)
    frames(page)
    topic = bed_topic("p1", "alarm")
    onset = received(alarm(1000), topic, "run-1", 1)
    cleared = received(alarm(1000, "cleared"), topic, "run-1", 2)
    hub.accept(batch([received(heartbeat(), "v1/monitor/heartbeat/", "run-1", 1), onset], None))
    first, *rest = frames(page)
    assert json.loads(first[2:]).items() >= {"type": "connection", "epoch": "run-1"}.items()
    assert [frame.partition("\n")[0] for frame in rest] == ["0 v1/monitor/heartbeat/", f"0 {topic}"]
    hub.accept(batch([cleared], None))
    hub.accept(batch([onset], None))  # late, from the journal
    late = Page(lambda: None)
    hub.start(late)
    assert not any(topic in frame for frame in frames(late))


def test_messages_of_the_run_before_do_not_bring_it_back() -> None:
    """They come from the journal after the monitor has died."""
    hub = new_hub()
    hub.accept(batch([received(status(100), bed_topic("p1", "status"), "run-2", 1)], None))
    last = received(alarm(900), bed_topic("p1", "alarm"), "run-1", 7)
    hub.accept(Batch(0, [last], "connected", 0.0, "run-2"))
    page = Page(lambda: None)
    hub.start(page)
    given_frames = frames(page)
    assert any('"status/1"' in frame for frame in given_frames)
    assert not any('"alarm/1"' in frame for frame in given_frames)


def test_positions_go_only_to_pages_that_have_everything_before_them() -> None:
    hub = new_hub()
    pages = [Page(lambda: None), Page(lambda: None)]
    hub.pages |= set(pages)
    log = log_of([[1, 1]])

    async def run() -> None:
        hub.accept(batch(log[:1], position_at(log, 1)))
        for page in pages:
            hub.start(page)
        await hub.set_recovered(pages[0], 0, True)

    asyncio.run(run())
    (whole,) = own(pages[0], "position")
    assert whole["position"]["topics"] == {bed_topic("p1", "alarm"): {"epoch": "run-0", "seq": 1}}
    frames(pages[1])
    hub.accept(batch(log[1:], position_at(log, 2)))
    assert len(own(pages[0], "position")) == 1
    assert own(pages[1], "position") == []


def test_a_page_that_does_not_read_loses_waves_first_and_is_then_cut_off() -> None:
    hub = new_hub()
    slow, quick = Page(lambda: None), Page(lambda: None)
    hub.pages |= {slow, quick}
    for page in (slow, quick):
        hub.start(page)
        hub.view(page, [(0, "p1")], [])
    wave = WaveHeader(bed="p1", first_sample=0, n=10_000, fs_hz=250.0)
    topic = bed_topic("p1", "wave")
    hub.accept(batch([received(status(1), bed_topic("p1", "status"), "run-0", 1)], None))
    for seq in range(20):
        _, header, _ = received(wave, topic, "run-0", seq)
        hub.accept(Batch(0, [(topic, header, bytes(80_000))], "connected", 0.0, "run-0"))
        while quick.take() is not None:
            pass
    assert slow.dropped_waves > 10
    assert quick.dropped_waves == 0
    assert not slow.behind
    seq = 0
    while not slow.behind:
        seq += 1
        hub.accept(batch([received(alarm(seq), bed_topic("p1", "alarm"), "run-0", seq)], None))
        while quick.take() is not None:
            pass
        assert seq < BEHIND_BYTES // 100
    assert slow.take() is None
    assert not quick.behind
    assert WAVE_BYTES < BEHIND_BYTES


def test_a_bed_that_no_page_shows_costs_no_waves() -> None:
    details = []
    hub = Hub(["a", "b"], lambda *detail: details.append(detail))
    first, second = Page(lambda: None), Page(lambda: None)
    hub.pages |= {first, second}
    hub.view(first, [(0, "p1"), (0, "p2")], [])
    hub.view(second, [(0, "p2"), (1, "q")], [])
    assert details[-1] == (1, {"q"}, frozenset())
    hub.remove(second)
    assert details[-1] == (1, frozenset(), frozenset())
    hub.view(first, [], [])
    assert details[-1] == (0, frozenset(), frozenset())


def test_the_active_alarms_are_part_of_the_recovery() -> None:
    hub = new_hub()
    page = Page(lambda: None)
    topic = bed_topic("p1", "alarm")

    async def run() -> None:
        body = received(alarm(1000), topic, "run-0", 1)
        assert isinstance(body[1], AlarmMessage)
        hub.accept(batch([body], position_at([body], 1)))
        hub.start(page)
        await hub.set_recovered(page, 0, False)

    asyncio.run(run())
    (body,) = own(page, "recovered")
    assert body == {"type": "recovered", "monitor": 0, "active": ["p1/asystole/1000"], "complete": False}
