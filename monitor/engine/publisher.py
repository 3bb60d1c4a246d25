"""Publisher: sends the messages of all beds to bus, journal, recordings and console."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
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
from monitor.engine.signal_history import without_impossible
from monitor.journal import Journal, Session
from monitor.messages import Alarm, AlarmMessage, BeatMessage, EventMessage, bed_topic
from monitor.recording.recorder import Recorder
from monitor.sources import Chunk, Notice
from monitor.token_bucket import TokenBucket

__all__ = ["Publisher"]

_REPEATED_NOTICES = ("bad_input", "overrun", "not_scored")  # a device that sends garbage does so in every line
_REPEAT_S = 10.0  # shortest time between two notices of these kinds; those in between are counted
# Of one kind of a live bed; those beyond are counted, and published with the next one.
_EVENTS_PER_S = 1.0
_EVENTS_AT_ONCE = 60.0


@dataclass(eq=False)
class Publisher:
    """The `Output` of every bed of a pipeline.

    Attributes:
        bus, journal, counters, recordings: receive the messages.
        on_alarm: receives each alarm message when it is published.
        on_notice: receives one line for a person.
        clock: monotonic, s.
    """

    bus: Bus
    journal: Journal
    counters: Counters
    recordings: Recordings
    on_alarm: Callable[[AlarmMessage], None]
    on_notice: Callable[[str], None]
    clock: Callable[[], float]
    # (bed, kind) -> number not published yet; of `gap` in samples
    _repeats: Counter[tuple[str, str]] = field(default_factory=Counter, init=False)
    _events: dict[tuple[str, str], TokenBucket] = field(default_factory=dict, init=False)  # of live beds
    _repeat_due_s: dict[tuple[str, str], float] = field(default_factory=dict, init=False)

    # -- the output of a bed --------------------------------------------------------------------------------

    def alarm(self, bed: Bed, message: AlarmMessage) -> None:
        """Publish, record and print a changed alarm."""
        self.counters.alarm(message)
        published = self.bus.publish(bed_topic(bed.name, "alarm"), message)
        self.recordings.write(bed.name, lambda recorder: recorder.alarm(published.raw))
        self.on_alarm(message)

    def beat(self, bed: Bed, message: BeatMessage) -> None:
        """Publish and record a beat."""
        if message.latency_ms is not None:
            self.counters.beat_latency_s.observe(message.latency_ms / 1e3)
        self.bus.publish(bed_topic(bed.name, "beat"), message)
        self.recordings.write(bed.name, lambda recorder: recorder.beat(message))

    def gap(self, bed: Bed, gap: Gap) -> None:
        """Publish and record each gap; the alarm `gap` groups them."""
        text = gap_text(gap, bed.source.fs_hz)
        if not self._has_room(bed, "gap"):
            self._repeats[bed.name, "gap"] += gap.n_samples
            return
        if before := self._repeats.pop((bed.name, "gap"), 0):
            text += f"; before it {before} more samples in gaps that were too many to publish"
        self.event(bed, "gap", text, gap.n_samples, first_sample=gap.first_sample, n_samples=gap.n_samples)

    def notice(self, bed: Bed, notice: Notice) -> None:
        """Print and publish an event of the source; frequent ones are counted and published every 10 s."""
        key, now_s = (bed.name, notice.kind), self.clock()
        if notice.kind in _REPEATED_NOTICES:
            if now_s < self._repeat_due_s.get(key, -math.inf):
                self._repeats[key] += notice.count
                return
            self._repeat_due_s[key] = now_s + _REPEAT_S
        elif not self._has_room(bed, notice.kind):
            self._repeats[key] += notice.count
            return
        before = self._repeats.pop(key, 0)
        self.on_notice(f"{bed.name}: {notice.text}" + (f", after {before} more" if before else ""))
        self.event(bed, notice.kind, notice.text, notice.count + before)

    def _has_room(self, bed: Bed, kind: str) -> bool:
        """Whether an event of this kind may be published now: a live bed must not flood subscribers and disk."""
        if not bed.source.live:
            return True
        now_s = self.clock()
        bucket = self._events.get((bed.name, kind))
        if bucket is None:
            bucket = self._events[bed.name, kind] = TokenBucket(_EVENTS_PER_S, _EVENTS_AT_ONCE, now_s)
        return bucket.take(now_s) == 0.0

    def pacer(self, bed: Bed, samples: tuple[int, ...]) -> None:
        """Record pacing pulses; displays get them with the waves."""
        self.recordings.write(bed.name, lambda recorder: recorder.pacer(samples))

    def strip(self, bed: Bed, alarm: Alarm, first_sample: int, samples: NDArray[np.float32]) -> None:
        """Keep the signal around an onset, (2, n) float32 mV."""
        self.journal.put_strip(alarm.alarm_id, first_sample, bed.source.fs_hz, samples)

    # -- the rest -------------------------------------------------------------------------------------------

    def event(
        self, bed: Bed, kind: str, text: str, count: int, *, first_sample: int | None = None, n_samples: int = 0
    ) -> None:
        """Publish and record an event; without a sample, at the bed's clock."""
        first = bed.now if first_sample is None else first_sample
        message = EventMessage(
            sample=bed.now,
            time=bed.input.time_of(first),
            bed=bed.name,
            kind=kind,
            text=text,
            count=count,
            first_sample=first,
            n_samples=n_samples,
        )
        published = self.bus.publish(bed_topic(bed.name, "event"), message)
        self.recordings.write(bed.name, lambda recorder: recorder.event(published.raw))

    def signal(self, bed: Bed, chunk: Chunk, missing: int) -> None:
        """Record samples, with the number of samples missing before them."""

        def write(recorder: Recorder) -> None:
            if missing > 0:
                recorder.gap(chunk.first_sample - missing, missing)
            recorder.signal(chunk.first_sample, *map(without_impossible, bed.input.samples_of(chunk)))

        self.recordings.write(bed.name, write)

    def put_sessions(self, beds: Iterable[Bed]) -> None:
        """Enter source and model of each bed into the journal."""
        sources = [(bed.name, bed.source, bed.model) for bed in beds]
        sessions = [Session(name, s.name, s.lead, s.fs_hz, m.name, m.sha256) for name, s, m in sources]
        self.journal.put_sessions(sessions, VERSION)

    def publish_repeats(self, beds: dict[str, Bed]) -> None:
        """At the end: publish the counts of frequent notices not published yet."""
        for (name, kind), count in self._repeats.items():
            what = "more samples" if kind == "gap" else "more"
            text = f"{kind.replace('_', ' ')}: {count} {what} since"
            self.on_notice(f"{name}: {text}")
            with beds[name].guard():
                self.event(beds[name], kind, f"{beds[name].source.name}: {text}", count)
        self._repeats.clear()

    def close(self, beds: dict[str, Bed]) -> None:
        """End the recordings, each with the totals of its bed and of the bus."""

        def totals(name: str) -> dict[str, Any]:
            session: dict[str, Any] = {}
            with beds[name].guard():
                status = msgspec.to_builtins(beds[name].status())
                session = {key: status[key] for key in status if key not in ("schema", "epoch", "seq", "model", "bed")}
            return {"session": session, "bus": dict(self.bus.counters)}

        self.recordings.close(totals)
