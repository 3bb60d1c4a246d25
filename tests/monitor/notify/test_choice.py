"""Which alarms are delivered."""

from __future__ import annotations

import pytest

from monitor.config import NotifyConfig
from monitor.errors import ConfigError
from monitor.notify.choice import Choice
from tests.monitor.notify.helpers import alarm_message


def test_by_default_onsets_of_high_priority() -> None:
    choice = Choice(NotifyConfig())
    assert choice.wants(alarm_message(1))
    assert not choice.wants(alarm_message(1, state="cleared"))
    assert not choice.wants(alarm_message(2, priority="medium"))


def test_an_update_counts_where_the_priority_has_risen() -> None:
    choice = Choice(NotifyConfig())
    assert not choice.wants(alarm_message(1, priority="medium"))
    assert choice.wants(alarm_message(1, priority="high", update=True))
    assert not choice.wants(alarm_message(1, priority="high", update=True))


def test_every_filter() -> None:
    config = NotifyConfig(kinds="asystole, pause", priorities="", states="onset,cleared", beds="p1")
    choice = Choice(config)
    assert choice.wants(alarm_message(1, "pause", "low"))
    assert choice.wants(alarm_message(1, "pause", "low", state="cleared"))
    assert not choice.wants(alarm_message(1, "pause", "low", state="latched"))
    assert not choice.wants(alarm_message(2, "gap"))
    assert not choice.wants(alarm_message(3, bed="p10"))


@pytest.mark.parametrize("key", ["kinds", "priorities", "states"])
def test_an_unknown_name_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"notify.{key}: no 'hihg'; give some of .*, with commas"):
        Choice(NotifyConfig(**{key: "hihg"}))


def test_a_receiver_with_states_gets_every_later_state_of_a_chosen_alarm() -> None:
    choice = Choice(NotifyConfig(), follow=True)
    assert not choice.wants(alarm_message(1, priority="medium"))
    assert not choice.wants(alarm_message(1, priority="medium", state="cleared"))
    assert choice.wants(alarm_message(2))
    assert choice.wants(alarm_message(2, priority="medium", state="cleared")), "or it would stay on"
