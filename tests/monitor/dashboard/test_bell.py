"""When the bell rings, and for which alarms."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from monitor.client.liveness import LOST_AFTER_S
from monitor.dashboard.bell import APART_S, EVERY_S, Bell
from monitor.dashboard.station import Station
from monitor.messages import Priority
from tests.monitor.dashboard.helpers import alarm, heartbeat, status
from tests.monitor.dashboard.test_station import ScriptedClient, shown, station_of

TICK_S = 0.25


def rung(bell: Bell, sounding: dict[str, Priority], times: Iterable[float]) -> list[float]:
    return [now_s for now_s in times if bell.rings(sounding, now_s)]


def times(start_s: float, stop_s: float) -> list[float]:
    return [start_s + TICK_S * n for n in range(int((stop_s - start_s) / TICK_S))]


def test_it_repeats_by_priority_and_a_low_alarm_rings_once() -> None:
    assert rung(Bell(), {"a": "high"}, times(0, 25)) == [0.0, 8.0, 16.0, 24.0]
    assert rung(Bell(), {"a": "medium", "b": "low"}, times(0, 45)) == [0.0, 20.0, 40.0]
    assert rung(Bell(), {"a": "low"}, times(0, 100)) == [0.0]
    assert rung(Bell(), {}, times(0, 100)) == []


def test_a_new_alarm_and_a_higher_priority_ring_at_once_a_lower_one_does_not() -> None:
    bell = Bell()
    assert rung(bell, {"a": "medium"}, [0.0, 1.0, 2.0]) == [0.0]
    assert rung(bell, {"a": "medium", "b": "low"}, [3.0, 4.0]) == [3.0]
    assert rung(bell, {"a": "high", "b": "low"}, [5.0, 6.0]) == [5.0]
    assert rung(bell, {"a": "medium", "b": "low"}, times(7.0, 24.0)) == []
    assert rung(bell, {"a": "high", "b": "low"}, [24.0]) == [24.0]


def test_an_alarm_that_comes_back_rings_again() -> None:
    bell = Bell()
    assert rung(bell, {"a": "low"}, [0.0]) == [0.0]
    assert rung(bell, {}, [10.0]) == []
    assert rung(bell, {"a": "low"}, [20.0]) == [20.0]


KEYS = st.dictionaries(st.sampled_from("abcd"), st.sampled_from(("high", "medium", "low")))


@given(st.lists(KEYS, min_size=1, max_size=120))
def test_no_alarm_stays_without_a_bell_and_bells_are_apart(steps: list[dict[str, Priority]]) -> None:
    bell, last_s, waiting_since = Bell(), -1e9, {}
    for number, sounding in enumerate(steps):
        now_s = number * TICK_S
        waiting_since = {key: since for key, since in waiting_since.items() if key in sounding}
        for key in sounding:
            if number == 0 or key not in steps[number - 1]:
                waiting_since[key] = now_s
        if bell.rings(sounding, now_s):
            assert sounding
            assert now_s - last_s >= APART_S
            last_s, waiting_since = now_s, {}
        assert all(now_s - since < APART_S for since in waiting_since.values())
        if "high" in sounding.values():
            assert now_s - last_s <= EVERY_S["high"]


def test_acknowledged_and_paused_alarms_do_not_sound() -> None:
    station, client = station_of("p1", "p2")
    client.give(alarm("asystole", "high", bed="p1"))
    client.give(alarm("pause", "medium", "latched", bed="p2"))
    client.give(alarm("gap", "low", "acknowledged", bed="p2"))
    shown(station)
    assert station.sounding(10.0) == {("", "p1/asystole/0"): "high", ("", "p2/pause/0"): "medium"}
    client.give(status(2500, bed="p1", audio_paused_s=30.0))
    shown(station)
    assert station.sounding(10.0) == {("", "p2/pause/0"): "medium"}
    assert set(station.sounding(41.0)) >= {("", "p1/asystole/0")}, "the pause is over"
    client.give(alarm("pause", "medium", "acknowledged", bed="p2"))
    shown(station)
    assert station.sounding(10.0) == {}


def test_a_lost_monitor_rings_once_and_its_alarms_go_on_but_not_those_of_an_ended_one() -> None:
    station, client = station_of("p1")
    client.give(alarm("asystole", "high"))
    shown(station)
    lost_s = 10.0 + LOST_AFTER_S
    assert station.sounding(lost_s) == {"": "low", ("", "p1/asystole/0"): "high"}
    client.give(heartbeat(2, state="goodbye"))
    shown(station, lost_s)
    assert station.sounding(lost_s) == {}


def test_the_help_says_whether_there_is_a_bell() -> None:
    for bell, words in ((True, "bell: high every 8 s"), (False, "no bell on this terminal")):
        client = ScriptedClient()
        client.beds("p1")
        station = Station({"": client}, "jd", bell=bell)
        shown(station)
        station.press("?", 10.0)
        assert words in shown(station)
        client.beds("p2")
        shown(station, 20.0)
        assert words in shown(station, 20.0)
