"""Order, retries and limits of the alarms that wait for a receiver."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.notify.waiting import BACK_OFF_S, MOST_WAITING, Item, Waiting
from tests.monitor.notify.helpers import alarm_message

PRIORITIES = ("low", "medium", "high")


def item(number: int, priority: str = "high", now_s: float = 0.0) -> Item:
    return Item(alarm_message(number, priority=priority), b"", now_s)


def test_a_new_alarm_is_tried_while_the_receiver_is_down() -> None:
    waiting = Waiting(60, 1000.0)
    first, second = item(1), item(2)
    waiting.add([first])
    assert waiting.next(0.0) is first
    assert waiting.failed(first, 0.0, final=False)
    assert waiting.next(BACK_OFF_S[0] - 0.1) is None
    waiting.add([second])
    assert waiting.next(0.5) is second


def test_an_alarm_that_is_never_accepted_delays_no_other() -> None:
    waiting = Waiting(600, 1000.0)
    bad, now_s = item(1), 0.0
    waiting.add([bad])
    for number in range(2, 20):
        waiting.add([item(number, now_s=now_s)])
        delivered = False
        while (one := waiting.next(now_s)) is not None:
            if one is bad:
                waiting.failed(one, now_s, final=False)
            else:
                waiting.delivered(one)
                delivered = True
        assert delivered
        assert waiting.items == [bad]
        now_s += 1.0


def test_an_alarm_is_given_up_after_the_time_for_retries() -> None:
    waiting = Waiting(60, 100.0)
    old = item(1)
    waiting.add([old])
    assert waiting.next(0.0) is old
    waiting.failed(old, 0.0, final=False)
    assert waiting.next(99.0) is old
    waiting.failed(old, 99.0, final=False)
    assert waiting.next(101.0) is None
    assert waiting.take_given_up() == [old]


def test_above_the_rate_high_alarms_wait_and_others_are_given_up() -> None:
    waiting = Waiting(2, 1000.0)
    waiting.add([item(1), item(2), item(3), item(4, "medium")])
    for _ in range(2):
        waiting.delivered(waiting.next(0.0))  # type: ignore[arg-type]
    assert waiting.next(0.0) is None
    assert [one.message.alarm.priority for one in waiting.take_given_up()] == ["medium"]
    assert waiting.next(10.0) is None
    assert waiting.next(31.0) is waiting.items[0]


@given(st.lists(st.tuples(st.sampled_from(PRIORITIES), st.sampled_from(["ok", "later", "final"]), st.floats(0, 30))))
def test_every_alarm_is_delivered_or_waits_or_is_given_up(steps: list[tuple[str, str, float]]) -> None:
    waiting, now_s, delivered = Waiting(20, 60.0), 0.0, 0
    given_up = 0
    for number, (priority, answer, passed_s) in enumerate(steps):
        now_s += passed_s
        waiting.add([item(number, priority, now_s)])
        if (one := waiting.next(now_s)) is not None:
            if answer == "ok":
                waiting.delivered(one)
                delivered += 1
            else:
                waiting.failed(one, now_s, final=answer == "final")
        given_up += len(waiting.take_given_up())
        assert number + 1 == delivered + given_up + len(waiting.items)


def test_the_queue_is_bounded_and_keeps_the_most_urgent() -> None:
    waiting = Waiting(1, 1000.0)
    high = [item(number) for number in range(MOST_WAITING)]
    waiting.add([item(1000, "low"), *high, item(1001, "medium")])
    assert waiting.items == high
    waiting.add([newest := item(2000)])
    assert waiting.items == [*high[1:], newest]
    assert len(waiting.take_given_up()) == 3


def test_of_states_only_the_newest_waits() -> None:
    waiting = Waiting(60, 1000.0, newest_only=True)
    onset, cleared = item(1), item(1)
    waiting.add([onset])
    assert waiting.next(0.0) is onset
    waiting.failed(onset, 0.0, final=False)
    waiting.add([cleared])
    assert waiting.items == [cleared]
    assert waiting.take_given_up() == []
