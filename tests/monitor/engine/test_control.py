"""Requests on the control socket."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import numpy as np

from detector import Scorer
from monitor.journal import Journal
from monitor.messages import Request
from tests.monitor.engine.helpers import FS_HZ, FedSource, Run, ecg, settings, sim, watched

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


def test_a_refused_request_names_the_reason(scorer: Scorer) -> None:
    refused = [
        (Request(op="acknowledge", alarm_id="p7/asystole/3"), "p7"),
        (Request(op="acknowledge", bed="p1", alarm_id="p1/asystole/3"), "p1/asystole/3"),
        (Request(op="acknowledge", bed="p1"), "not active"),
        (Request(op="acknowledge"), "p1, p2"),
        (Request(op="pause_audio", bed="p7", seconds=3), "p1, p2"),
        (Request(op="pause_audio", bed="p1", seconds=float("inf")), "seconds"),
        (Request(op="pause_audio", bed="p1", seconds=-1), "seconds"),
        (Request(op="strip", bed="p7"), "p1, p2"),
        (Request(op="strip", alarm_id="p1/asystole/77"), "p1/asystole/77"),
    ]
    with watched({"p1": FedSource(), "p2": FedSource()}, scorer) as w:
        w.joined()
        for request, reason in refused:
            reply = w.client.request(request)
            assert not reply.ok, request
            assert reason in reply.error, request
        assert w.client.request(Request(op="ping")).ok


def test_a_failing_request_does_not_stop_the_monitor(tmp_path: Path, scorer: Scorer) -> None:
    """The strip of an earlier run is damaged in the journal."""
    config = settings(journal={"path": str(tmp_path / "j.db")})
    earlier = Run({"p1": sim("sinus=14,asystole=6,sinus=4")}, scorer, config)
    earlier.pipeline.run()
    with contextlib.closing(sqlite3.connect(tmp_path / "j.db")) as db, db:
        db.execute("UPDATE alarm_strips SET samples = x'00'")
    source = FedSource()
    with watched({"p1": source}, scorer, config) as w:
        w.joined()
        reply = w.client.request(Request(op="strip", alarm_id=earlier.alarms[0].alarm.alarm_id))
        assert not reply.ok
        assert "internal error" in reply.error
        source.feed(ecg("sinus=8"))
        w.until(lambda: len(w.beats()) > 3, "beats")
        assert w.run.pipeline.bus.counters["internal_errors"] == 1
