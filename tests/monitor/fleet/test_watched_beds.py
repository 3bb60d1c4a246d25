"""Beds without an answering shard, as values only."""

from __future__ import annotations

import msgspec

from monitor.fleet.watched_beds import WatchedBeds
from tests.monitor.bus.helpers import alarm, status


def test_silence_is_published_once_and_ends_with_the_alarm():
    beds = WatchedBeds()
    assert list(beds.silent("p1", 5.0)) == [], "it was never watched"
    assert beds.update(status(100))
    assert not beds.update(status(200))
    (_, quiet), (_, raised) = beds.silent("p1", 5.0)
    assert (quiet.state, quiet.sample, raised.alarm.kind) == ("no_data", 200, "no_data")
    assert list(beds.silent("p1", 6.0)) == []
    assert beds.acknowledge("p1/asystole/1", "nurse 3") is None
    assert beds.acknowledge(raised.alarm.alarm_id, "nurse 3").alarm.state == "acknowledged"
    assert beds.acknowledge(raised.alarm.alarm_id, "nurse 4").alarm.acknowledged_by == "nurse 3"
    cleared = beds.clear("p1")
    assert (cleared.alarm.state, cleared.alarm.alarm_id) == ("cleared", raised.alarm.alarm_id)
    assert beds.clear("p1") is None


def test_a_bed_that_ended_is_not_missed():
    beds = WatchedBeds()
    beds.update(msgspec.structs.replace(status(100), state="ended"))
    assert list(beds.silent("p1", 60.0)) == []


def test_the_next_hub_adopts_the_alarms_of_a_hub_only():
    first, second = WatchedBeds(), WatchedBeds()
    first.update(status(100))
    *_, (_, raised) = first.silent("p1", 5.0)
    second.adopt(alarm(1, kind="no_data"))  # raised by the bed itself
    assert second.clear("p1") is None
    second.adopt(raised)
    assert second.clear("p1") is not None
