"""Publisher: sends the messages of all beds to bus, journal, recordings and console."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from detector import Gap
from monitor import VERSION
from monitor.alarms.evidence import gap_text
from monitor.bus.server import Bus
from monitor.engine.bed import Bed
from monitor.engine.counters import Counters
from monitor.engine.recordings import Recordings
from monitor.journal import Journal, Session
from monitor.messages import Alarm, AlarmMessage, BeatMessage, EventMessage, bed_topic
from monitor.recording.recorder import Recorder
from monitor.sources import Chunk, Notice

__all__ = ["Publisher"]

_REPEATED_NOTICES = ("bad_input", "overrun")  # a device that sends garbage does so in every line
_REPEAT_S = 10.0  # shortest time between two notices of these kinds; those in between are counted


class Publisher:
    """The `Output` of every bed of a pipeline.

    Args:
        bus, journal, counters, recordings: receive the messages.
        on_alarm: receives each alarm message when it is published.
        on_notice: receives one line for a person.
        clock: monotonic, s.
    """

    def __init__(
        self,
        bus: Bus,
        journal: Journal,
        counters: Counters,
        recordings: Recordings,
        *,
        on_alarm: Callable[[AlarmMessage], None],
        on_notice: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._bus = bus
        self._journal = journal
        self._counters = counters
        self._recordings = recordings
        self._on_alarm = on_alarm
        self._on_notice = on_notice
        self._clock = clock
        self._repeats: Counter[tuple[str, str]] = Counter()  # (bed, kind of notice) -> not published yet
        self._repeat_due_s: dict[tuple[str, str], float] = {}

    # -- the output of a bed --------------------------------------------------------------------------------

    def alarm(self, bed: Bed, message: AlarmMessage) -> None:
        """Publish, record and print a changed alarm."""
        self._counters.alarm(message)
        published = self._bus.publish(bed_topic(bed.name, "alarm"), message)
        self._recordings.write(bed.name, lambda recorder: recorder.alarm(published.raw))
        self._on_alarm(message)

    def beat(self, bed: Bed, message: BeatMessage) -> None:
        """Publish and record a beat."""
        self._counters.beat(message.latency_ms)
        self._bus.publish(bed_topic(bed.name, "beat"), message)
        self._recordings.write(bed.name, lambda recorder: recorder.beat(message))

    def gap(self, bed: Bed, gap: Gap) -> None:
        """Publish and record each gap; the alarm `gap` groups them."""
        text = gap_text(gap, bed.source.fs_hz)
        self.event(bed, "gap", text, gap.n_samples, first_sample=gap.first_sample, n_samples=gap.n_samples)

    def notice(self, bed: Bed, notice: Notice) -> None:
        """Print and publish an event of the source; frequent ones are counted and published every 10 s."""
        key, now_s = (bed.name, notice.kind), self._clock()
        if notice.kind in _REPEATED_NOTICES:
            if now_s < self._repeat_due_s.get(key, -math.inf):
                self._repeats[key] += notice.count
                return
            self._repeat_due_s[key] = now_s + _REPEAT_S
        before = self._repeats.pop(key, 0)
        self._on_notice(f"{bed.name}: {notice.text}" + (f", after {before} more" if before else ""))
        self.event(bed, notice.kind, notice.text, notice.count + before)

    def strip(self, bed: Bed, alarm: Alarm, first_sample: int, samples: NDArray[np.float32]) -> None:
        """Keep the signal around an onset, (2, n) float32 mV."""
        self._journal.put_strip(alarm.alarm_id, first_sample, bed.source.fs_hz, samples)

    # -- the rest -------------------------------------------------------------------------------------------

    def event(
        self, bed: Bed, kind: str, text: str, count: int, *, first_sample: int | None = None, n_samples: int = 0
    ) -> None:
        """Publish and record an event; without a sample, at the bed's clock."""
        first = bed.now if first_sample is None else first_sample
        message = EventMessage(
            sample=bed.now,
            time=bed.time_of(first),
            bed=bed.name,
            kind=kind,
            text=text,
            count=count,
            first_sample=first,
            n_samples=n_samples,
        )
        published = self._bus.publish(bed_topic(bed.name, "event"), message)
        self._recordings.write(bed.name, lambda recorder: recorder.event(published.raw))

    def signal(self, bed: Bed, chunk: Chunk, missing: int) -> None:
        """Record samples, with the number of samples missing before them."""

        def write(recorder: Recorder) -> None:
            if missing > 0:
                recorder.gap(chunk.first_sample - missing, missing)
            recorder.signal(chunk.first_sample, chunk.samples)

        self._recordings.write(bed.name, write)

    def put_sessions(self, beds: Iterable[Bed]) -> None:
        """Enter source and model of each bed into the journal."""
        self._journal.put_sessions(map(_session, beds), VERSION)

    def publish_repeats(self, beds: dict[str, Bed]) -> None:
        """At the end: publish the counts of frequent notices not published yet."""
        for (name, kind), count in self._repeats.items():
            text = f"{kind.replace('_', ' ')}: {count} more since"
            self._on_notice(f"{name}: {text}")
            self.event(beds[name], kind, f"{beds[name].source.name}: {text}", count)
        self._repeats.clear()

    def close(self, beds: dict[str, Bed]) -> None:
        """End the recordings, each with the totals of its bed and of the bus."""

        def totals(name: str) -> dict[str, Any]:
            status = msgspec.to_builtins(beds[name].status())
            session = {key: status[key] for key in status if key not in ("schema", "epoch", "seq", "model", "bed")}
            return {"session": session, "bus": dict(self._bus.counters)}

        self._recordings.close(totals)


def _session(bed: Bed) -> Session:
    source = bed.source
    return Session(bed.name, source.name, source.lead, source.fs_hz, bed.model.name, bed.model.sha256)
