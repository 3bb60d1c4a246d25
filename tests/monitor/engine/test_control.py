"""Requests on the control socket."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from detector import Scorer
from monitor.journal import Journal
from monitor.messages import Request
from tests.monitor.engine.helpers import (
    FS_HZ,
    FedSource,
    ecg,
    settings,
    watched,
)

STORY = "sinus=14,pvc=6,asystole=6,sinus=5,leadsoff=3,sinus=4"


def test_a_client_acknowledges_pauses_and_fetches_strips(tmp_path: Path, scorer: Scorer) -> None:
    source = FedSource()
    journal = tmp_path / "journal.sqlite"
    signal = ecg(STORY)
    with watched({"p1": source}, scorer, settings(journal={"path": str(journal)})) as w:
        w.joined()
        source.feed(signal)
        w.until(lambda: [a.alarm.state for a in w.alarms("asystole")][-1:] == ["latched"], "a latched asystole")
        w.until(lambda: w.run.pipeline.beds["p1"].now == signal.size, "all samples read")
        alarm = w.alarms("asystole")[-1].alarm

        snapshot = w.client.request(Request(op="snapshot", bed="p1"))
        bodies = [json.loads(bytes(raw)) for raw in snapshot.messages]
        assert alarm.alarm_id in [body["alarm"]["alarm_id"] for body in bodies if body["schema"] == "alarm/1"]
        assert [body["bed"] for body in bodies if body["schema"] == "status/1"] == ["p1"]

        strip = w.client.request(Request(op="strip", alarm_id=alarm.alarm_id))
        assert strip.ok, strip.error
        first, n = strip.data["first_sample"], len(strip.data["raw_mv"])
        assert (first, n) == (alarm.onset_sample - 1250, 2500)
        np.testing.assert_allclose(strip.data["raw_mv"], signal[first : first + n], atol=1e-4)
        assert len(strip.data["filtered_mv"]) == n

        recent = w.client.request(Request(op="strip", bed="p1", n=100))
        assert recent.data["first_sample"] == signal.size - 100
        np.testing.assert_allclose(recent.data["raw_mv"], signal[-100:], atol=1e-4)
        off = w.client.request(Request(op="strip", bed="p1", first_sample=round(31.5 * FS_HZ), n=5))
        assert off.data["raw_mv"] == [None] * 5, "leads off is null"
        ahead = w.client.request(Request(op="strip", bed="p1", first_sample=10**15, n=10**9))
        assert ahead.ok
        assert set(ahead.data["raw_mv"]) == {None}

        paused = w.client.request(Request(op="pause_audio", bed="p1", seconds=60, who="nurse 3"))
        assert paused.data["seconds"] == 60
        w.until(lambda: w.statuses()[-1].audio_paused_s > 0, "the pause in the status")
        done = w.client.request(Request(op="acknowledge", alarm_id=alarm.alarm_id, who="nurse 3"))
        assert done.ok, done.error
        w.until(lambda: w.alarms("asystole")[-1].alarm.state == "cleared", "the acknowledgement")
        assert w.alarms("asystole")[-1].alarm.acknowledged_by == "nurse 3"
        again = w.client.request(Request(op="acknowledge", alarm_id=alarm.alarm_id, who="nurse 3"))
        assert not again.ok
        assert alarm.alarm_id in again.error
        source.end()
        w.finished()
    after = Journal(journal)
    actions = [(a.who, a.what, a.bed, a.alarm_id, a.detail) for a in after.actions()]
    assert actions == [
        ("nurse 3", "pause_audio", "p1", "", "60 s"),
        ("nurse 3", "acknowledge", "p1", alarm.alarm_id, ""),
    ]
    after.close()


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (Request(op="acknowledge", alarm_id="p7/asystole/3"), "p7"),
        (Request(op="acknowledge", bed="p1", alarm_id="p1/asystole/3"), "p1/asystole/3"),
        (Request(op="acknowledge"), "p1, p2"),
        (Request(op="pause_audio", bed="p7", seconds=3), "p1, p2"),
        (Request(op="strip", bed="p7"), "p1, p2"),
        (Request(op="strip", alarm_id="p1/asystole/77"), "p1/asystole/77"),
    ],
)
def test_a_refused_request_names_the_reason(scorer: Scorer, request_: Request, reason: str) -> None:
    with watched({"p1": FedSource(), "p2": FedSource()}, scorer) as w:
        w.joined()
        reply = w.client.request(request_)
        assert not reply.ok
        assert reason in reply.error
        assert w.client.request(Request(op="ping")).ok
        assert not w.failed


def test_a_failing_request_does_not_stop_the_monitor(tmp_path: Path, scorer: Scorer) -> None:
    source = FedSource()
    with watched({"p1": source}, scorer) as w:
        w.joined()
        w.run.pipeline.journal.get_strip = None  # type: ignore[method-assign, assignment]
        reply = w.client.request(Request(op="strip", alarm_id="p1/asystole/3"))
        assert not reply.ok
        assert "internal error" in reply.error
        source.feed(ecg("sinus=8"))
        w.until(lambda: len(w.beats()) > 3, "beats")
        assert w.run.pipeline.bus.counters["internal_errors"] == 1
