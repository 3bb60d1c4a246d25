"""Keys in the ward and in a bed, requests to monitors, subscriptions."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from monitor.dashboard.station import Station
from monitor.errors import ClientError
from monitor.messages import Message, Reply, Request
from tests.monitor.dashboard.helpers import FS_HZ, alarm, beat, ecg, heartbeat, lines_of, status, wave

A, B = "tcp://10.0.0.1:5556", "tcp://10.0.0.2:5556"
SIZE = (100, 30)


class ScriptedClient:
    """A client that returns the messages of the test."""

    def __init__(self, epoch: str = "e1") -> None:
        self.state = "connected"
        self.epoch = epoch
        self.looked: tuple[set[str], set[str]] = set(), set()
        self.requests: list[Request] = []
        self.replies = True
        self.out: list[tuple[str, Message, bytes]] = []

    def beds(self, *names: str, sample: int = 2500) -> None:
        self.give(heartbeat(1, beds=names, epoch=self.epoch))
        for name in names:
            self.give(status(sample, bed=name, epoch=self.epoch, beats=sample))

    def give(self, message: Message, raw: bytes = b"") -> None:
        self.out.append(("", message, raw))

    def poll(self, timeout_s: float = 0.0) -> Sequence[tuple[str, Message, bytes]]:
        out, self.out = self.out, []
        return out

    def set_detail(self, wave_beds: Collection[str], beat_beds: Collection[str] = ()) -> None:
        self.looked = set(wave_beds), set(beat_beds)

    def request(self, request: Request, timeout_s: float = 2.0) -> Reply:
        if not self.replies:
            raise ClientError("no answer")
        self.requests.append(request)
        return Reply(ok=True)


def shown(station: Station, now_s: float = 10.0, size: tuple[int, int] = SIZE) -> str:
    station.fold(now_s)
    return "\n".join(lines_of(station.frame(*size, now_s)))


def station_of(*names: str) -> tuple[Station, ScriptedClient]:
    """A drawn station with these beds of one monitor."""
    client = ScriptedClient()
    client.beds(*names)
    station = Station({"": client}, "jd")
    shown(station)
    return station, client


def press(station: Station, *keys: str, now_s: float = 10.0) -> str:
    for key in keys:
        station.press(key, now_s)
    return shown(station, now_s)


@pytest.mark.parametrize("beds", [("p1",), ("p1", "p2")], ids=["bed", "ward"])
def test_a_greeting_is_shown_at_the_start(beds: tuple[str, ...]) -> None:
    client = ScriptedClient()
    client.beds(*beds)
    station = Station({"": client}, "jd", greeting="page on http://127.0.0.1:8080/")
    assert "page on http://127.0.0.1:8080/" in shown(station, 10.0)
    assert "page on" in shown(station, 39.0)
    assert "page on" not in shown(station, 41.0)


def test_one_bed_is_shown_at_once_and_more_are_a_ward() -> None:
    client = ScriptedClient()
    station = Station({"": client}, "jd")
    assert "waiting for the monitor" in shown(station)
    client.beds("p1")
    assert "heart rate" in shown(station)
    assert client.looked == ({"p1"}, {"p1"})
    assert "heart rate" in press(station, "w", "escape")  # there is no ward
    client.beds("p1", "p2")
    text = shown(station)
    assert "2 beds" in text
    assert "heart rate" not in text
    assert client.looked == ({"p1", "p2"}, set())


def test_only_beds_on_the_screen_are_subscribed() -> None:
    names = [f"bed-{number}" for number in range(1, 1001)]
    station, client = station_of(*names)
    first = client.looked[0]
    assert first == set(names[: len(first)])
    assert 10 < len(first) < 60
    press(station, "page down")
    second = client.looked[0]
    assert second == set(names[len(first) : len(first) + len(second)])
    press(station, "enter")
    assert client.looked == (second, {names[len(first)]})  # the page stays subscribed behind the bed
    press(station, "w")
    assert client.looked == (second, set())
    press(station, "t")
    assert len(client.looked[0]) > len(second)


def test_closing_a_bed_keeps_the_cursor() -> None:
    client = ScriptedClient()
    client.beds(*(f"bed-{number}" for number in range(1, 13)))
    client.give(alarm("asystole", "high", bed="bed-7"))
    station = Station({"": client}, "jd")
    assert shown(station).splitlines()[1].startswith("▌!!! bed-7")
    text = press(station, "right", "enter")
    assert text.startswith(" bed-1 ")
    assert "!!!" in text.splitlines()[-2]  # alarms of other beds are in the line below
    assert "bed-7" in text.splitlines()[-2]
    client.give(*wave(2500, ecg(2500, 250), bed="bed-1"))
    client.give(beat(2600, bed="bed-1"))
    assert "RR 1.00 s" in shown(station, 10.5)
    text = press(station, "escape")
    assert "12 beds" in text
    assert "▌bed-1 " in text
    assert press(station, "b", "enter", "b").startswith(" bed-2 ")


def test_keys_move_the_cursor_and_stay_within_the_beds() -> None:
    station, _ = station_of(*(f"b{number:03}" for number in range(100)))

    def at() -> str:
        entry = station.chosen
        assert entry is not None
        return entry.label

    cols = len([1 for name in shown(station).splitlines()[1].split("b0")]) - 1
    moves = [
        (("left",), "b000"), (("right",), "b001"), (("l",), "b002"), (("h",), "b001"), (("up",), "b001"),
        (("down",), f"b{1 + cols:03}"), (("k",), "b001"), (("end",), "b099"), (("right",), "b099"),
        (("page down",), "b099"), (("home",), "b000"), (("page up",), "b000"),
    ]  # fmt: skip
    for keys, label in moves:
        press(station, *keys)
        assert at() == label, keys


def test_requests_go_to_the_monitor_of_the_bed() -> None:
    one, two = ScriptedClient("e1"), ScriptedClient("e2")
    station = Station({A: one, B: two}, "jd")
    one.beds("icu-1", "icu-2")
    two.beds("icu-1")
    two.give(msgspec.structs.replace(alarm("asystole", "high", bed="icu-1", onset=5), epoch="e2"))
    text = shown(station)
    assert "icu-1@10.0.0.1:5556" in text
    assert text.splitlines()[2].startswith("▌!!! icu-1@10.0.0.2:5556")
    text = press(station, "a")
    assert [(r.op, r.alarm_id, r.who) for r in two.requests] == [("acknowledge", "icu-1/asystole/5", "jd")]
    assert one.requests == []
    assert "acknowledged: asystole (icu-1@10.0.0.2:5556)" in text
    press(station, "m")
    assert [(r.op, r.bed, r.seconds) for r in two.requests[1:]] == [("pause_audio", "icu-1", 120.0)]
    press(station, "right", "a", "m")
    assert [(r.op, r.bed) for r in one.requests] == [("pause_audio", "icu-1")]  # nothing to acknowledge
    two.replies = False
    assert "no answer" in press(station, "home", "a")


def test_the_loss_of_another_monitor_is_shown_while_a_bed_is_open() -> None:
    one, two = ScriptedClient("e1"), ScriptedClient("e2")
    station = Station({A: one, B: two}, "jd", bed="icu-1")
    one.beds("icu-1")
    two.beds("icu-9")
    assert shown(station).startswith(" icu-1 ")
    one.beds("icu-1", sample=5000)
    two.state = "lost"
    text = shown(station, 12.0)
    assert "✕ 1 other monitor not connected" in text.splitlines()[-2]
    assert "icu-9 -- LOST" in text.splitlines()[-2]
    assert "● connected" in text.splitlines()[0]


def test_a_removed_bed_is_closed_and_not_replaced() -> None:
    client = ScriptedClient("e1")
    client.beds("p1", "p2", "p3")
    station = Station({"": client}, "jd", bed="p2")
    assert shown(station).startswith(" p2 ")
    client.epoch = "e2"
    client.give(status(10, bed="p1", epoch="e2"))  # first message of the new run
    text = shown(station, 10.5)
    assert not text.startswith(" p1 ")
    assert "waiting for the monitor" in text
    client.beds("p1", "p3")
    assert "2 beds" in shown(station, 11.0)


def test_an_unknown_bed_name_opens_the_ward() -> None:
    client = ScriptedClient()
    client.beds("p1", "p2")
    station = Station({"": client}, "jd", bed="unknown")
    shown(station)
    assert "2 beds" in shown(station)


def test_letters_find_beds() -> None:
    station, client = station_of("icu-1", "icu-2", "ward-7", "q")
    text = press(station, "/", "q")  # a letter, not a key
    assert not station.left
    assert "name: q_" in text
    text = press(station, "backspace", "w", "a", "enter")
    assert "wa: 1 bed," in text
    assert client.looked[0] == {"ward-7"}
    text = press(station, "escape")
    assert client.looked[0] == {"icu-1", "icu-2", "ward-7", "q"}
    press(station, "q")
    assert station.left


def test_any_key_closes_the_help_page() -> None:
    station, _ = station_of("p1", "p2")
    assert "open the bed under the cursor" in press(station, "?")
    assert "open the bed under the cursor" not in press(station, "enter")
    assert "2 beds" in shown(station)
    assert "back to the ward" in press(station, "enter", "?")


KEYS = ("up", "down", "left", "right", "page up", "page down", "home", "end", "enter", "escape", "backspace")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from([*KEYS, *"hjklgG<>/ abmptw?"]),
            st.lists(st.sampled_from(["p1", "p2", "p10", "icu-1", "bed"]), unique=True, max_size=5),
            st.tuples(st.integers(1, 200), st.integers(1, 60)),
        ),
        max_size=60,
    ),
    st.booleans(),
)
def test_any_keys_with_changing_beds_give_frames_of_the_given_size(acts: list[object], several: bool) -> None:
    clients = {A: ScriptedClient("run-0"), B: ScriptedClient("other")} if several else {A: ScriptedClient("run-0")}
    station = Station(clients, "jd")
    size, now_s = SIZE, 10.0
    for number, act in enumerate(acts):
        now_s += 0.3
        if isinstance(act, str):
            station.press(act, now_s)
        elif isinstance(act, list):
            clients[A].epoch = f"run-{number + 1}"
            clients[A].beds(*act)
        elif isinstance(act, tuple):
            size = act
        text = shown(station, now_s, size)
        assert [cell_len(line) for line in text.split("\n")] == [size[0]] * size[1]
        if len(station.order.entries) > 1:  # only existing beds are subscribed
            assert clients[A].looked[0] <= set(station.order.states[A].beds) | clients[A].looked[1]


def test_the_ward_unfreezes_the_waveform() -> None:
    station, client = station_of("p1", "p2")
    assert "open the bed to freeze" in press(station, " ")
    press(station, "enter")
    client.give(*wave(2500, ecg(2500, round(2 * FS_HZ)), bed="p1"))
    shown(station, 10.1)
    assert "FROZEN" in press(station, " ", now_s=10.2)
    assert "FROZEN" not in press(station, "w", "enter", now_s=10.3)
