"""The outcome of a fault: messages in the monitor's journal against messages that the subscriber was given."""

from __future__ import annotations

import datetime
import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from common.pages import markdown_table

from monitor.client.positions import Place
from stress.subjects import Monitor, Subscriber

_HEADS = (
    "fault", "alarm messages sent", "seen", "twice", "recovered from the journal", "messages lost",
    "latency p99 before / during, ms", "memory of monitor, subscriber: before / most, MB",
)  # fmt: skip


@dataclass
class Outcome:
    """One line of the table."""

    fault: str
    detail: str  # the size of the fault
    alarms_sent: int  # alarm messages in the monitor's journal after the subscriber joined
    alarms_seen: int  # those of them that the subscriber was given
    alarms_strange: int  # alarm messages that it was given and the journal does not have
    duplicates: int  # messages of any topic that it was given twice
    out_of_order: int  # alarm messages that it was given after a later one
    recovered: int  # messages from the journal, because the socket had dropped them
    missed: int  # messages that the journal had no more: of beats and status it keeps the newest
    latency_ms: tuple[float | None, float | None]  # p99 over beats, before and during the fault; None = no beat
    memory_mb: dict[str, tuple[float, float]]  # program -> resident memory before the fault, and the most

    @property
    def good(self) -> bool:
        """No alarm lost, doubled, invented or out of order."""
        return (
            self.alarms_seen == self.alarms_sent > 0
            and not self.alarms_strange
            and not self.duplicates
            and not self.out_of_order
        )


def judge(
    fault: str,
    detail: str,
    folder: Path,
    subscriber: Subscriber,
    memory_mb: dict[str, tuple[float, float]],
    window_s: tuple[float, float] | None = None,
) -> Outcome:
    """Compare.

    Args:
        fault, detail, memory_mb: see Outcome.
        folder: has `journal.sqlite` of monitors that have ended.
        subscriber: has ended too.
        window_s: Unix time of begin and end of the fault, s; None without a monitor.
    """
    with closing(sqlite3.connect(folder / "journal.sqlite")) as db:
        rows = db.execute("SELECT topic, epoch, seq, body FROM log").fetchall()
    runs = list(dict.fromkeys(epoch for _, epoch, _, _ in rows))
    joined = subscriber.joined()

    def after_joining(topic: str, epoch: str, seq: int) -> bool:
        place = joined.topics.get(topic, Place(joined.epoch, 0))
        return place.epoch not in runs or (runs.index(epoch), seq) > (runs.index(place.epoch), place.seq)

    alarms = [(topic, epoch, seq) for topic, epoch, seq, _ in rows if topic.endswith("/alarm/")]
    sent = {place for place in alarms if after_joining(*place)}
    given = subscriber.seen()
    given_alarms = [place for place in given if place[0].endswith("/alarm/")]
    order = [(runs.index(epoch), seq) for _, epoch, seq in given_alarms if epoch in runs]
    kept = [place for place in given if "/heartbeat/" not in place[0]]
    beats = [json.loads(body) for topic, _, _, body in rows if topic.endswith("/beat/")] if window_s else []
    return Outcome(
        fault,
        detail,
        alarms_sent=len(sent),
        alarms_seen=len(sent & set(given_alarms)),
        alarms_strange=len(set(given_alarms) - set(alarms)),
        duplicates=len(kept) - len(set(kept)),
        out_of_order=sum(later < earlier for earlier, later in pairwise(order)),
        recovered=subscriber.count("recovered"),
        missed=subscriber.count("missed"),
        latency_ms=_latencies(beats, window_s),
        memory_mb={name: (round(before, 1), round(most, 1)) for name, (before, most) in memory_mb.items()},
    )


def _latencies(beats: list[dict[str, Any]], window_s: tuple[float, float] | None) -> tuple[float | None, float | None]:
    """The monitor's own latency, before and during the fault."""
    if window_s is None:
        return None, None
    parts: tuple[list[float], list[float]] = [], []
    for beat in beats:
        # The time of a replay: its start, then SPEED times real time.
        stream_s = beat["sample"] / Monitor.FS_HZ
        at_s = datetime.datetime.fromisoformat(beat["time"]).timestamp() - stream_s + stream_s / Monitor.SPEED
        if beat["latency_ms"] is not None and at_s < window_s[1]:
            parts[at_s >= window_s[0]].append(beat["latency_ms"])
    before, during = (round(float(np.percentile(part, 99)), 1) if part else None for part in parts)
    return before, during


def faults_table(figures: dict[str, Any]) -> str:
    """A line for each fault and subscriber, as Markdown for docs/bus.md."""
    rows = []
    for row in figures["outcomes"]:
        latency = " / ".join("-" if value is None else f"{value:.1f}" for value in row["latency_ms"])
        counts = (row[name] for name in ("alarms_sent", "alarms_seen", "duplicates", "recovered", "missed"))
        rows.append((
            f"{row['fault']}; {row['detail']}",
            *(f"{count:,}" for count in counts),
            "-" if latency == "- / -" else latency,
            ", ".join(f"{before:.0f} / {most:.0f}" for before, most in row["memory_mb"].values()),
        ))  # fmt: skip
    return f"{markdown_table(_HEADS, rows)}\n\nMeasured by `{figures['command']}` on {figures['machine']}."
