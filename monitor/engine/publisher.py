"""Where the messages of all beds go: counted, published, recorded, and told to a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from operator import methodcaller
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from detector import Gap
from monitor.alarms.evidence import gap_text
from monitor.bus.server import Bus
from monitor.config import Config
from monitor.engine.bed import Bed
from monitor.engine.counters import Counters
from monitor.errors import RecorderError
from monitor.journal import Journal
from monitor.messages import Alarm, AlarmMessage, BeatMessage, EventMessage, bed_topic
from monitor.recording.recorder import Recorder
from monitor.sources import Chunk, Notice

__all__ = ["Publisher", "make_folder"]

_REPEATED_NOTICES = ("bad_input", "overrun")  # a device that writes garbage does so in every line
_REPEAT_S = 10.0  # so often they are told, with their count since


class Publisher:
    """The `Output` of every bed of a pipeline; says what could not be recorded, and goes on without.

    Args:
        bus, journal, measures: of the pipeline; closed by it.
        on_alarm: told each alarm message as it is published.
        on_notice: told one line for a person.
        report: told one line for what cannot be kept.
        clock: monotonic, s.
    """

    def __init__(
        self,
        bus: Bus,
        journal: Journal,
        measures: Counters,
        *,
        on_alarm: Callable[[AlarmMessage], None],
        on_notice: Callable[[str], None],
        report: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._bus = bus
        self._journal = journal
        self._measures = measures
        self._on_alarm = on_alarm
        self._on_notice = on_notice
        self._report = report
        self._clock = clock
        self._recorders: dict[str, Recorder] = {}
        self._repeats: Counter[tuple[str, str]] = Counter()  # (bed, kind of notice) -> not told yet
        self._repeat_due_s: dict[tuple[str, str], float] = {}

    # -- what beds tell ---------------------------------------------------------------------------------------

    def alarm(self, bed: Bed, message: AlarmMessage) -> None:
        """Publish, record and print a changed alarm."""
        self._measures.alarm(message)
        published = self._bus.publish(bed_topic(bed.name, "alarm"), message)
        self._recorded(bed.name, lambda recorder: recorder.alarm(published.raw))
        self._on_alarm(message)

    def beat(self, bed: Bed, message: BeatMessage) -> None:
        """Publish and record a beat."""
        self._measures.beat(message.latency_ms)
        self._bus.publish(bed_topic(bed.name, "beat"), message)
        self._recorded(bed.name, lambda recorder: recorder.beat(message))

    def gap(self, bed: Bed, gap: Gap) -> None:
        """Publish and record every gap with its length; the alarm `gap` groups them."""
        text = gap_text(gap, bed.source.fs_hz)
        self.event(bed, "gap", text, gap.n_samples, first_sample=gap.first_sample, n_samples=gap.n_samples)

    def notice(self, bed: Bed, notice: Notice) -> None:
        """Something on the way in, for a person; what comes again and again is counted and told now and then."""
        key, now_s = (bed.name, notice.kind), self._clock()
        if notice.kind in _REPEATED_NOTICES:
            if now_s < self._repeat_due_s.get(key, -np.inf):
                self._repeats[key] += notice.count
                return
            self._repeat_due_s[key] = now_s + _REPEAT_S
        before = self._repeats.pop(key, 0)
        self._on_notice(f"{bed.name}: {notice.text}" + (f", after {before} more" if before else ""))
        self.event(bed, notice.kind, notice.text, notice.count + before)

    def strip(self, bed: Bed, alarm: Alarm, first_sample: int, samples: NDArray[np.float32]) -> None:
        """Keep the signal around an onset, (2, n) float32 mV."""
        self._journal.put_strip(alarm.alarm_id, first_sample, bed.source.fs_hz, samples)

    def event(
        self, bed: Bed, kind: str, text: str, count: int, *, first_sample: int | None = None, n_samples: int = 0
    ) -> None:
        """Publish and record something that happened once; at the bed's clock where no sample is named."""
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
        self._recorded(bed.name, lambda recorder: recorder.event(published.raw))

    # -- recording --------------------------------------------------------------------------------------------

    def record(self, folder: Path, bed: Bed, config: Config) -> None:
        """Begin to write the files of a bed.

        Raises:
            RecorderError: the folder cannot be had, or holds a session already.
        """
        self._recorders[bed.name] = Recorder(
            folder,
            bed.name,
            bed.source.fs_hz,
            bed.source.lead,
            bed.time_of(0),
            msgspec.to_builtins(config),
            bed.model,
            rails_mv=bed.source.rails_mv,
        )

    def signal(self, bed: Bed, chunk: Chunk, missing: int) -> None:
        """Record samples as they came, after so many that never did."""

        def write(recorder: Recorder) -> None:
            if missing > 0:
                recorder.gap(chunk.first_sample - missing, missing)
            recorder.signal(chunk.first_sample, chunk.samples)

        self._recorded(bed.name, write)

    def tell_repeats(self, beds: dict[str, Bed]) -> None:
        """The end: what was counted and not told yet."""
        for (name, kind), count in self._repeats.items():
            text = f"{kind.replace('_', ' ')}: {count} more since"
            self._on_notice(f"{name}: {text}")
            self.event(beds[name], kind, f"{beds[name].source.name}: {text}", count)
        self._repeats.clear()

    def close(self, beds: dict[str, Bed]) -> None:
        """End the recordings, with what was counted."""
        for name in list(self._recorders):
            status = msgspec.to_builtins(beds[name].status())
            session = {key: status[key] for key in status if key not in ("schema", "epoch", "seq", "model", "bed")}
            told = {"session": session, "bus": dict(self._bus.counters)}
            self._recorded(name, methodcaller("close", told))

    def abandon(self) -> None:
        """The monitor could not begin: let go of the files."""
        for recorder in self._recorders.values():
            recorder.close()

    def _recorded(self, bed_name: str, write: Callable[[Recorder], None]) -> None:
        """Write into its recording, if any. A full disk ends that, not the watching: told once and by the exit code."""
        recorder = self._recorders.get(bed_name)
        if recorder is None:
            return
        try:
            write(recorder)
        except RecorderError as error:
            self._report(str(error))
            self._recorders.pop(bed_name).close()


def make_folder(folder: Path) -> None:
    """The folder of the session.

    Raises:
        RecorderError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecorderError(f"recording to {folder}: {error.strerror}; name another folder") from None
