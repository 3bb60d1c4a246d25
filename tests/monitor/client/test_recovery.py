"""A subscriber and a monitor with everything between them that can go wrong, and without a socket."""

from __future__ import annotations

from collections import defaultdict

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from monitor.client.positions import Position
from monitor.client.recovery import Recovery
from monitor.journal import Journal
from monitor.messages import Message, Reply, Request, bed_topic, encode
from tests.monitor.bus.helpers import alarm, heartbeat

BEDS = ("p1", "p2")
TOPICS = [bed_topic(bed, "alarm") for bed in BEDS]
PAGE = 2  # messages of one answer


class World(RuleBasedStateMachine):
    """The wire drops and doubles, answers come late, in any order, refused or never; both ends die and come back."""

    patience_s = 1e9
    on_disk = True

    def __init__(self) -> None:
        super().__init__()
        self.journal: Journal | None = None
        self.runs: list[str] = []
        self.seqs: dict[str, int] = {}
        self.said: dict[str, list[tuple[str, int]]] = defaultdict(list)  # topic -> everything published
        self.ids: dict[tuple[str, str, int], str] = {}
        self.arrived: set[tuple[str, str, int]] = set()
        self.got: dict[str, list[tuple[str, int]]] = defaultdict(list)
        self.last: list[tuple[str, Message, bytes]] = []  # sent again for a newcomer
        self.asked: list[Request] = []
        self.replies: list[Reply] = []
        self.now_s = 0.0
        self.n_asked = 0
        self.bodies = 0

    @initialize()
    def begin(self) -> None:
        self.restart_monitor()
        self.client = self.connect(Position(self.runs[0], {}))  # has read nothing of the first run: must get it all

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
        self.seqs, self.last, self.asked = {}, [], []

    @rule(topic=st.sampled_from(TOPICS), cause=st.integers(1, 3), arrives=st.booleans(), killed=st.booleans())
    def publish(self, topic: str, cause: int, arrives: bool, killed: bool) -> None:
        """Journalled, then sent; it may die just after."""
        seq = self.seqs[topic] = self.seqs.get(topic, 0) + 1
        body = msgspec.structs.replace(alarm(cause, bed=topic.split("/")[1]), epoch=self.runs[-1], seq=seq)
        raw = encode(body)
        self.journal.append(topic, body, raw)
        self.journal.commit()
        self.said[topic].append((body.epoch, seq))
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
            self.take(self.client.take(topic, body, raw))

    @rule()
    def beat(self) -> None:
        self.bodies += 1
        body = msgspec.structs.replace(
            heartbeat(), epoch=self.runs[-1], seq=self.bodies, beds=BEDS, seqs=dict(self.seqs)
        )
        if self.client.follow(body.epoch):
            self.client.expect(body)

    @rule(step_s=st.sampled_from([0.25, 1.1, 600.0]), control=st.booleans())
    def turn(self, step_s: float, control: bool) -> None:
        self.now_s += step_s
        self.take(self.client.turn(self.now_s, self.ask if control else lambda _: ""))

    def ask(self, request: Request) -> str:
        self.n_asked += 1
        self.asked.append(msgspec.structs.replace(request, id=str(self.n_asked)))
        return str(self.n_asked)

    @precondition(lambda self: self.asked)
    @rule(refused=st.booleans())
    def serve(self, refused: bool = False) -> None:
        request = self.asked.pop(0)
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
            self.take(self.client.replied(reply))

    def take(self, received: list) -> None:
        for topic, body, raw in received:
            assert raw == encode(body)
            self.got[topic].append((body.epoch, body.seq))

    def heal(self) -> None:
        """From now on nothing goes wrong."""
        for _ in range(30 + sum(map(len, self.said.values()))):
            self.beat()
            self.turn(1.1, True)
            while self.asked:
                self.serve(False)
            while self.replies:
                self.answer(0, False)

    def teardown(self) -> None:
        if self.runs:
            self.heal()
            self.judge()
            self.journal.close()

    def judge(self) -> None:
        raise NotImplementedError


class Patient(World):
    """It waits as long as it takes: every message once and in order, through deaths of both ends."""

    @rule()
    def restart_client(self) -> None:
        self.client = self.connect(self.client.position)
        self.replies, self.asked = [], []

    @invariant()
    def in_order(self) -> None:
        for topic, places in self.got.items():
            assert places == self.said[topic][: len(places)]

    def judge(self) -> None:
        for topic in TOPICS:
            assert self.got[topic] == self.said[topic]
        assert self.client.missed == 0


class Impatient(World):
    """It goes on after a second: nothing twice, and the last word of every alarm comes and comes last."""

    patience_s = 1.0

    @rule()
    def lose_patience(self) -> None:
        for _ in range(3):
            self.turn(1.1, False)

    def judge(self) -> None:
        for topic in TOPICS:
            got = self.got[topic]
            assert len(set(got)) == len(got)
            newest: dict[tuple[str, str], int] = {}
            for epoch, seq in self.said[topic]:
                newest[epoch, self.ids[topic, epoch, seq]] = seq
            seen: dict[tuple[str, str], int] = {}
            for epoch, seq in got:
                seen[epoch, self.ids[topic, epoch, seq]] = seq
            assert seen == newest


class Forgetful(World):
    """The monitor has no journal on disk: what came is given once, and what did not is told to be missing."""

    on_disk = False

    def judge(self) -> None:
        for topic in TOPICS:
            got = self.got[topic]
            assert len(set(got)) == len(got)
            came = {place for place in self.said[topic] if (topic, *place) in self.arrived}
            assert came <= set(got)
            order = [self.said[topic].index(place) for place in got]
            assert order == sorted(order)
            if got != self.said[topic]:
                assert self.client.missed or self.client.counters["incomplete"]


class ManyDeaths(Forgetful):
    """More runs than are remembered."""

    @rule(topic=st.sampled_from(TOPICS))
    def die_often(self, topic: str) -> None:
        for _ in range(20):
            self.publish(topic, 1, True, True)


for machine in (Patient, Impatient, Forgetful, ManyDeaths):
    machine.TestCase.settings = settings(max_examples=50, stateful_step_count=30)
TestPatient, TestImpatient = Patient.TestCase, Impatient.TestCase
TestForgetful, TestManyDeaths = Forgetful.TestCase, ManyDeaths.TestCase


def question_of(client: Recovery, now_s: float) -> list[str]:
    """Ids of what it asks at that time."""
    asked: list[str] = []
    client.turn(now_s, lambda _: asked.append(f"{now_s}") or asked[-1])
    return asked


def test_who_is_told_to_slow_down_asks_later_and_does_not_lose_patience():
    """A monitor that limits us does answer: only later."""
    client = Recovery(beds=None, streams=("alarm",), patience_s=2.0, position=Position("run-1", {}))
    assert client.follow("run-1")
    client.expect(msgspec.structs.replace(heartbeat(), epoch="run-1", beds=("p1",), seqs={TOPICS[0]: 1}))
    now_s = 0.0
    for _ in range(10):
        (asked,) = question_of(client, now_s)
        slow = Reply(ok=False, id=asked, epoch="run-1", error="slow down", data={"retry_after_s": 1.5})
        assert client.replied(slow) == []
        assert question_of(client, now_s + 1.0) == []
        now_s += 1.5
    assert client.missed == 0
    for _ in range(5):  # nobody answers
        now_s += 1.0
        question_of(client, now_s)
    assert client.missed == 1


def test_an_answer_slower_than_the_retry_is_taken():
    client = Recovery(beds=None, streams=("alarm",), patience_s=10.0, position=Position("run-1", {}))
    assert client.follow("run-1")
    client.expect(msgspec.structs.replace(heartbeat(), epoch="run-1", beds=("p1",), seqs={TOPICS[0]: 1}))
    (first,) = question_of(client, 0.0)
    (second,) = question_of(client, 1.0)
    body = msgspec.structs.replace(alarm(1), epoch="run-1", seq=1)
    reply = Reply(
        ok=True, id=first, epoch="run-1", messages=(msgspec.Raw(encode(body)),),
        data={"more": False, "epoch": "run-1", "seq": 1},
    )  # fmt: skip
    assert [place[1] for place in client.replied(reply)] == [body]
    assert client.replied(msgspec.structs.replace(reply, id=second)) == []
    assert question_of(client, 20.0) == []
