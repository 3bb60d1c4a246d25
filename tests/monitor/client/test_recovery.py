"""Recovery under every fault between monitor and subscriber, without sockets."""

from __future__ import annotations

from collections import defaultdict
from unittest import mock

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from monitor.client import ordering, recovery
from monitor.client.positions import Position
from monitor.client.recovery import Recovery
from monitor.journal import Journal
from monitor.messages import Message, Reply, Request, bed_topic, encode
from tests.monitor.bus.helpers import alarm, heartbeat

BEDS = ("p1", "p2")
TOPICS = [bed_topic(bed, "alarm") for bed in BEDS]
PAGE = 2  # messages of one answer


class World(RuleBasedStateMachine):
    """The wire drops and repeats messages; replies come late, in any order, refused or never; both ends restart."""

    patience_s = 1e9
    on_disk = True

    def __init__(self) -> None:
        super().__init__()
        self.journal: Journal | None = None
        self.runs: list[str] = []
        self.seqs: dict[str, int] = {}
        self.published: dict[str, list[tuple[str, int]]] = defaultdict(list)  # topic -> all published
        self.ids: dict[tuple[str, str, int], str] = {}
        self.arrived: set[tuple[str, str, int]] = set()
        self.got: dict[str, list[tuple[str, int]]] = defaultdict(list)
        self.last: list[tuple[str, Message, bytes]] = []  # sent again for a new subscriber
        self.requests: list[Request] = []
        self.replies: list[Reply] = []
        self.now_s = 0.0
        self.n_requests = 0
        self.bodies = 0

    @initialize()
    def begin(self) -> None:
        self.restart_monitor()
        self.client = self.connect(Position(self.runs[0], {}))  # read nothing of the first run, so all of it is due

    def connect(self, position: Position | None) -> Recovery:
        return Recovery(beds=None, streams=("alarm",), patience_s=self.patience_s, position=position)

    @rule()
    def restart_monitor(self) -> None:
        if self.journal is None or not self.on_disk:
            if self.journal is not None:
                self.journal.close()
            self.journal = Journal(":memory:")
        self.runs.append(f"run-{len(self.runs) + 1}")
        self.journal.start(self.runs[-1])
        self.seqs, self.last, self.requests = {}, [], []

    @rule(topic=st.sampled_from(TOPICS), cause=st.integers(1, 3), arrives=st.booleans(), killed=st.booleans())
    def publish(self, topic: str, cause: int, arrives: bool, killed: bool) -> None:
        """Journal, then send; the monitor may be killed right after."""
        seq = self.seqs[topic] = self.seqs.get(topic, 0) + 1
        body = msgspec.structs.replace(alarm(cause, bed=topic.split("/")[1]), epoch=self.runs[-1], seq=seq)
        raw = encode(body)
        self.journal.append(topic, body, raw)
        self.journal.commit()
        self.published[topic].append((body.epoch, seq))
        self.ids[topic, body.epoch, seq] = body.alarm.alarm_id
        self.last.append((topic, body, raw))
        if arrives:
            self.arrive(topic, body, raw)
        if killed:
            self.restart_monitor()

    @precondition(lambda self: self.last)
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        self.arrive(*data.draw(st.sampled_from(self.last)))

    def arrive(self, topic: str, body: Message, raw: bytes) -> None:
        self.arrived.add((topic, body.epoch, body.seq))
        if self.client.follow(body.epoch):
            self.take(self.client.accept(topic, body, raw))

    @rule()
    def beat(self) -> None:
        self.bodies += 1
        body = msgspec.structs.replace(
            heartbeat(), epoch=self.runs[-1], seq=self.bodies, beds=BEDS, seqs=dict(self.seqs)
        )
        if self.client.follow(body.epoch):
            self.client.accept_heartbeat(body)

    @rule(step_s=st.sampled_from([0.25, 1.1, 600.0]), control=st.booleans())
    def turn(self, step_s: float, control: bool) -> None:
        self.now_s += step_s
        self.take(self.client.update(self.now_s, self.ask if control else lambda _: ""))

    def ask(self, request: Request) -> str:
        self.n_requests += 1
        self.requests.append(msgspec.structs.replace(request, id=str(self.n_requests)))
        return str(self.n_requests)

    @precondition(lambda self: self.requests)
    @rule(refused=st.booleans())
    def serve(self, refused: bool = False) -> None:
        request = self.requests.pop(0)
        if refused:
            self.replies.append(Reply(ok=False, id=request.id, epoch=self.runs[-1], error="slow down"))
            return
        since = self.journal.since(request.topic, request.epoch, request.seq, rows=PAGE)
        self.replies.append(
            Reply(
                ok=True,
                id=request.id,
                epoch=self.runs[-1],
                messages=tuple(msgspec.Raw(raw) for raw in since.bodies),
                complete=since.complete,
                data={"more": since.more, "epoch": since.epoch, "seq": since.seq},
            )
        )

    @precondition(lambda self: self.replies)
    @rule(at=st.integers(0, 20), lost=st.booleans())
    def answer(self, at: int = 0, lost: bool = False) -> None:
        reply = self.replies.pop(at % len(self.replies))
        if not lost:
            self.take(self.client.accept_reply(reply))

    def take(self, received: list) -> None:
        for topic, body, raw in received:
            assert raw == encode(body)
            self.got[topic].append((body.epoch, body.seq))

    def heal(self) -> None:
        """Run without faults until everything is recovered."""
        for _ in range(30 + sum(map(len, self.published.values()))):
            self.beat()
            self.turn(1.1, True)
            while self.requests:
                self.serve(False)
            while self.replies:
                self.answer(0, False)

    def teardown(self) -> None:
        if self.runs:
            self.heal()
            self.check()
            self.journal.close()

    def check(self) -> None:
        raise NotImplementedError


class UnlimitedPatience(World):
    """With unlimited patience every message arrives once and in order, through restarts of both ends."""

    @rule()
    def restart_client(self) -> None:
        self.client = self.connect(self.client.position)
        self.replies, self.requests = [], []

    @invariant()
    def in_order(self) -> None:
        for topic, places in self.got.items():
            assert places == self.published[topic][: len(places)]

    def check(self) -> None:
        for topic in TOPICS:
            assert self.got[topic] == self.published[topic]
        assert self.client.counters["missed"] == 0


class ShortPatience(World):
    """With a patience of 1 s no message arrives twice, and the newest message of every alarm arrives last."""

    patience_s = 1.0

    @rule()
    def lose_patience(self) -> None:
        for _ in range(3):
            self.turn(1.1, False)

    def check(self) -> None:
        for topic in TOPICS:
            got = self.got[topic]
            assert len(set(got)) == len(got)
            newest: dict[tuple[str, str], int] = {}
            for epoch, seq in self.published[topic]:
                newest[epoch, self.ids[topic, epoch, seq]] = seq
            seen: dict[tuple[str, str], int] = {}
            for epoch, seq in got:
                seen[epoch, self.ids[topic, epoch, seq]] = seq
            assert seen == newest


class NoJournalOnDisk(World):
    """Without a journal on disk, each received message is given once, and lost messages are counted."""

    on_disk = False

    def check(self) -> None:
        for topic in TOPICS:
            got = self.got[topic]
            assert len(set(got)) == len(got)
            came = {place for place in self.published[topic] if (topic, *place) in self.arrived}
            assert came <= set(got)
            order = [self.published[topic].index(place) for place in got]
            assert order == sorted(order)
            if got != self.published[topic]:
                assert self.client.counters["missed"] or self.client.counters["incomplete"]


class ManyRestarts(NoJournalOnDisk):
    """More runs than `PAST_EPOCHS`, which is set to 3 to save time."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = [mock.patch.object(module, "PAST_EPOCHS", 3) for module in (ordering, recovery)]
        for patch in self.patches:
            patch.start()

    def teardown(self) -> None:
        super().teardown()
        for patch in self.patches:
            patch.stop()

    @rule(topic=st.sampled_from(TOPICS))
    def restart_often(self, topic: str) -> None:
        for _ in range(5):
            self.publish(topic, 1, True, True)


for machine in (UnlimitedPatience, ShortPatience, NoJournalOnDisk, ManyRestarts):
    machine.TestCase.settings = settings(max_examples=50, stateful_step_count=30)
TestUnlimitedPatience, TestShortPatience = UnlimitedPatience.TestCase, ShortPatience.TestCase
TestNoJournalOnDisk, TestManyRestarts = NoJournalOnDisk.TestCase, ManyRestarts.TestCase


def behind_by_one() -> Recovery:
    """A subscriber that knows of one message of p1 that it does not have."""
    client = Recovery(beds=None, streams=("alarm",), patience_s=2.0, position=Position("run-1", {}))
    assert client.follow("run-1")
    client.accept_heartbeat(msgspec.structs.replace(heartbeat(), epoch="run-1", beds=("p1",), seqs={TOPICS[0]: 1}))
    return client


def ids_of_requests(client: Recovery, now_s: float) -> list[str]:
    """Ids of the requests that are sent at a time."""
    ids: list[str] = []
    client.update(now_s, lambda _: ids.append(f"{now_s}") or ids[-1])
    return ids


def test_after_slow_down_a_request_is_sent_later_and_the_wait_restarts():
    client = behind_by_one()
    now_s = 0.0
    for _ in range(10):
        (sent,) = ids_of_requests(client, now_s)
        slow = Reply(ok=False, id=sent, epoch="run-1", error="slow down", data={"retry_after_s": 1.5})
        assert client.accept_reply(slow) == []
        assert ids_of_requests(client, now_s + 1.0) == []
        now_s += 1.5
    assert client.counters["missed"] == 0
    for _ in range(5):  # no reply at all
        now_s += 1.0
        ids_of_requests(client, now_s)
    assert client.counters["missed"] == 1


def test_a_reply_slower_than_the_retry_is_accepted():
    client = behind_by_one()
    (first,) = ids_of_requests(client, 0.0)
    (second,) = ids_of_requests(client, 1.0)
    body = msgspec.structs.replace(alarm(1), epoch="run-1", seq=1)
    reply = Reply(
        ok=True, id=first, epoch="run-1", messages=(msgspec.Raw(encode(body)),),
        data={"more": False, "epoch": "run-1", "seq": 1},
    )  # fmt: skip
    assert [place[1] for place in client.accept_reply(reply)] == [body]
    assert client.accept_reply(msgspec.structs.replace(reply, id=second)) == []
    assert ids_of_requests(client, 20.0) == []
