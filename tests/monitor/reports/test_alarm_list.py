"""The list of alarms as CSV."""

from __future__ import annotations

import csv
import io

import pytest

from monitor.alarm_state import Alarm
from monitor.messages import AlarmMessage, ModelInfo
from monitor.reports.alarm_list import write_csv
from monitor.reports.episodes import past_alarms


def message(text: str, who: str) -> AlarmMessage:
    alarm = Alarm(
        "p1/asystole/5", "p1", "asystole", "physiological", "high", "acknowledged", 5, 6, text, acknowledged_by=who
    )
    return AlarmMessage(alarm=alarm, model=ModelInfo("m", ""), epoch="e", seq=1, time="2026-01-31T08:00:01.000+00:00")


@pytest.mark.parametrize("who", ["=1+1", "+cmd", "-2", "@SUM(A1)"])
def test_no_text_is_a_formula_of_a_spreadsheet(who: str) -> None:
    out = io.StringIO()
    write_csv(past_alarms([message("no QRS", who)], {"e": "running"}, {("e", "p1"): 250.0}), out)
    (row,) = csv.DictReader(io.StringIO(out.getvalue()))
    assert row["who"] == f"'{who}"
    assert row["text"] == "no QRS"
