"""Pipeline: the loop over all beds. Samples in, one batch through the model, messages out."""

from __future__ import annotations

import contextlib
import datetime
import math
import queue
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from detector import Detector
from detector.scorer import Scorer
from monitor import VERSION
from monitor.bus.server import Bus
from monitor.engine.bed import Bed
from monitor.engine.control import Control
from monitor.engine.counters import Counters
from monitor.engine.display_feed import DisplayFeed
from monitor.engine.journal_watch import JournalWatch
from monitor.engine.pacing import LOOP_S
from monitor.engine.publisher import Publisher
from monitor.engine.recordings import Recordings
from monitor.engine.scheduler import Scheduler
from monitor.engine.scoring import Batches
from monitor.engine.service_manager import ServiceManager
from monitor.errors import RecorderError, SourceError, plain_line
from monitor.journal import Journal
from monitor.messages import HeartbeatMessage
from monitor.sources import Notice, Source
from monitor.sources.guarded import close_sources
from monitor.sources.reconnecting import ReconnectingSource

if TYPE_CHECKING:
    from monitor.engine.metrics import MetricsServer

__all__ = ["Pipeline"]

_HEARTBEAT_S = 1.0
_WARM_FS_HZ = 250.0
_WARM_UP_SIGNAL_S = 12.0
_WARM_BEAT = np.exp(-0.5 * ((np.arange(_WARM_FS_HZ) - 100) / 4.0) ** 2)  # one beat a second, 1 mV


@dataclass(eq=False)
class Pipeline:
    """The loop over all beds; `monitor.engine.assembly.build_pipeline` builds one.

    Many attributes: the parts that the loop drives.

    Attributes:
        beds: name -> bed.
        make_bed: builds the bed of a source that could be opened only later.
        scorer: the model, shared by all beds.
        speed: of replays, times real time; 0 = as fast as possible.
        warm_first: load the numeric libraries before the first bed starts, not beside it.
        metrics: the server of `--metrics`, None without one.
        service: systemd, where it runs this program.
        closing: closes the parts when `run` ends.
        clock: monotonic, s.
        wall: wall time now.
        report: adds a line to `incomplete`.
        incomplete: what could not be kept or read, without ending the run; one line each.
        incidents: events from other threads, published with the next heartbeat: bed (empty = the first), kind, text,
            count.
    """

    beds: dict[str, Bed]
    make_bed: Callable[[str, Source], Bed]
    scorer: Scorer
    speed: float
    warm_first: bool
    bus: Bus
    journal: Journal
    publisher: Publisher
    recordings: Recordings
    scheduler: Scheduler
    batches: Batches
    feed: DisplayFeed
    control: Control
    journal_watch: JournalWatch
    counters: Counters
    metrics: MetricsServer | None
    service: ServiceManager
    closing: contextlib.ExitStack
    clock: Callable[[], float]
    wall: Callable[[], datetime.datetime]
    report: Callable[[str], None]
    incomplete: list[str]
    incidents: queue.SimpleQueue[tuple[str, str, str, int]] = field(default_factory=queue.SimpleQueue, init=False)
    _lost: set[str] = field(default_factory=set, init=False)  # beds that have ended by an error
    _broken: SourceError | None = field(default=None, init=False)  # of the source that broke last
    _heartbeat_due_s: float = field(default=0.0, init=False)

    def run(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Run until every source has ended or `stop()` is true; then score the rest, say goodbye and close.

        Raises:
            SourceError: every source broke. A single broken source is an incident.
        """
        warming = threading.Thread(target=self._warm_up, name="warm up", daemon=True)
        if self.speed > 0:
            warming.start()
            if self.warm_first:
                warming.join()
        self.scheduler.begin()
        try:
            self.journal_watch.publish_killed_runs()
            for bed in self.beds.values():
                with bed.guard():
                    bed.publish_resumed(self.publisher)
            self.feed.publish(self.beds.values())
            self._heartbeat("running")
            while not stop() and not all(bed.ended for bed in self.beds.values()):
                began_s = self.clock()
                moved = self._turn(began_s)
                if self.batches.ready(self.scheduler.pause_s(began_s)):
                    self._settle()
                self.control.serve(0.0 if moved and self.speed == 0 else self.scheduler.pause_s(began_s))
            for bed in self.beds.values():
                with bed.guard():
                    bed.input.end()
            self._settle()
            self.batches.put(list(self.beds.values()))
            self._settle()
            self._lose_faulty()
        except BaseException:
            self.journal.ending = "error"
            raise
        finally:
            self._close()
            if warming.ident is not None:
                warming.join()
        if self._broken is not None and all(bed.input.state == "source_lost" for bed in self.beds.values()):
            raise self._broken

    def wait_for_subscriber(self, timeout_s: float, subscriptions: int = 1) -> None:
        """Before `run`: wait for subscriptions; their subscribers receive all messages from the first one."""
        until_s = self.clock() + timeout_s
        while self.bus.counters["subscriptions"] < subscriptions and self.clock() < until_s:
            self.control.serve(LOOP_S)

    def _warm_up(self) -> None:
        """Load the numeric libraries by analysing and scoring a few synthetic beats."""
        beats = Detector(_WARM_FS_HZ).push(np.tile(_WARM_BEAT, round(_WARM_UP_SIGNAL_S)))
        self.scorer.score_beats(beats)

    def _turn(self, now_s: float) -> bool:
        """Read the beds that are due, score their beats in one batch, publish results; whether any samples came."""
        beds = self.scheduler.due(now_s)
        for number, bed in enumerate(beds):
            if (
                isinstance(bed.source, ReconnectingSource)
                and not bed.ended
                and (source := bed.source.opened()) is not None
            ):
                beds[number] = self._replace(bed, source)
        moved = self.scheduler.read(beds)
        self._lose_faulty()
        self._settle()  # the batch of the last turn
        self.batches.put(beds)
        if not self.batches.beside:
            self._settle()
        if self.journal_watch.changed:
            self._settle()  # results from before the change come first
            self.journal_watch.publish()
        self._lose_faulty()
        if self.clock() >= self._heartbeat_due_s:
            self._check_files()
            self._publish_incidents()
            self._heartbeat("running")
        for bed in beds:
            self.scheduler.put_back(bed, bed.name in moved)
        return bool(moved)

    def _settle(self) -> None:
        """Wait for the scores of the current batch, if any, and publish the results of its beds."""
        scored = self.batches.take()
        with self.bus.burst():
            for bed, events, scores in scored:
                with bed.guard():
                    bed.settle(scores, self.publisher, events)
                    bed.watch_lateness(self.publisher)
            self.feed.publish([bed for bed, *_ in scored])

    def _lose_faulty(self) -> None:
        """End the beds in which an error occurred."""
        for bed in self.beds.values():
            if bed.fault is None or bed.name in self._lost:
                continue
            if bed.ended:  # in order, before the error
                self._lost.add(bed.name)
                self.report(_fault(bed, bed.fault))
            else:
                self._lose(bed, bed.fault)

    def _lose(self, bed: Bed, error: Exception) -> None:
        """End this bed only: its source broke, or the code that works on it. Its remaining beats are scored first."""
        self._lost.add(bed.name)
        text = plain_line(error) if isinstance(error, SourceError) else _fault(bed, error)
        self._broken = error if isinstance(error, SourceError) else SourceError(text)
        self._settle()
        with bed.guard():  # each step alone: an error in one of them, e.g. in the detector, does not stop the others
            bed.input.end()
        with bed.guard():
            bed.settle(self.scorer.score_beats(bed.input.unscored), self.publisher)
        with bed.guard():
            bed.set_silent("source_lost", text, self.publisher)
        with bed.guard():
            self.publisher.event(bed, "source_lost", text, 1)
        self.report(text)

    def _replace(self, late: Bed, source: Source) -> Bed:
        """Start the bed of a source that could not be opened at first."""
        try:
            bed = self.make_bed(late.name, source)
            if late.resumed is not None:
                bed.resume(late.resumed)
            self.recordings.begin(bed)
        except Exception as error:
            self._close_sources([source])
            self._lose(late, error if isinstance(error, RecorderError) else SourceError(str(error)))
            return late
        late.handle_notice(Notice("source_back", f"{source.name}: opened"), self.publisher)
        self.publisher.put_sessions([bed])
        bed.view.status_due_s = late.view.status_due_s
        self.beds[bed.name] = bed
        return bed

    def _check_files(self) -> None:
        """Notice that recordings have ended, or that files were moved or deleted."""
        self.journal.check()
        for name, why in self.recordings.check():
            with self.beds[name].guard():
                self.publisher.event(self.beds[name], "recording_failed", why, 1)

    def _publish_incidents(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                name, kind, text, count = self.incidents.get_nowait()
                bed = self.beds.get(name) or next(iter(self.beds.values()))
                with bed.guard():
                    self.publisher.event(bed, kind, text, count)

    def _heartbeat(self, state: Literal["running", "goodbye"]) -> None:
        """Publish the message by which a subscriber knows that the monitor runs."""
        now_s, wall = self.clock(), self.wall()
        self._heartbeat_due_s = now_s + _HEARTBEAT_S
        self.counters.heartbeat_s = wall.timestamp()
        self.bus.heartbeat(
            HeartbeatMessage(
                time=wall.isoformat(timespec="milliseconds"),
                state=state,
                beds=tuple(self.beds),
                uptime_s=round(now_s - self.scheduler.started_s, 3),
                version=VERSION,
                late_s=round(self.scheduler.take_late_s(), 3),
                thinned=self.scheduler.thinning.thinned,
            )
        )
        self.service.heartbeat(state)

    def _close(self) -> None:
        """Publish the last status of each bed and the goodbye, then close all parts."""
        self._publish_incidents()
        for bed in self.beds.values():
            bed.input.stop()
            bed.view.wave_due_s = bed.view.status_due_s = -math.inf
        self.publisher.publish_repeats(self.beds)
        with self.closing as last:
            last.callback(self._close_sources, [bed.source for bed in self.beds.values()])
            self.publisher.close(self.beds)
            self.feed.publish(self.beds.values())
            self._heartbeat("goodbye")

    def _close_sources(self, sources: list[Source]) -> None:
        for line in close_sources(sources):
            self.report(line)


def _fault(bed: Bed, error: Exception) -> str:
    """One line about an unexpected error, with its place in the code."""
    at = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" ({Path(frame.filename).name}:{frame.lineno})" for frame in at)
    words = plain_line(error)
    return f"{bed.source.name}: {type(error).__name__}: {words}{where}; bed {bed.name} ended, please report this"
