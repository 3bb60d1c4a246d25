"""The only owner of the loop: sources in, one batch through the model, everything out; for a list of beds."""

from __future__ import annotations

import contextlib
import datetime
import math
import threading
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from detector import Detector
from detector.scorer import Scorer
from monitor import VERSION
from monitor.bus.requests import ControlRequest
from monitor.bus.server import Bus
from monitor.config import Config
from monitor.engine.bed import Bed
from monitor.engine.counters import Counters
from monitor.engine.incidents import Incidents
from monitor.engine.metrics import MetricsServer
from monitor.engine.publisher import Publisher
from monitor.engine.recordings import Recordings
from monitor.engine.schedule import LOOP_S
from monitor.engine.scheduler import Scheduler
from monitor.engine.scoring import Batches
from monitor.engine.strips import strip_data
from monitor.errors import RecorderError, SourceError
from monitor.journal import Journal, OperatorAction
from monitor.messages import Alarm, AlarmMessage, HeartbeatMessage, Reply, bed_topic, decode
from monitor.sources import Notice, Source
from monitor.sources.reconnecting import ReconnectingSource

__all__ = ["Pipeline"]

_WARM_FS_HZ = 250.0
_WARM_UP_SIGNAL_S = 12.0
_WARM_BEAT = np.exp(-0.5 * ((np.arange(_WARM_FS_HZ) - 100) / 4.0) ** 2)  # one a second, 1 mV
_HEARTBEAT_S = 1.0
_STATUS_S = 1.0
_SELDOM_STATUS_S = 5.0  # of beds that do not change, while there is no time
_TOLD_ALARMS = 10  # of a run that died, named in one line


class Pipeline:
    """The loop over all beds; `monitor.engine.assembly.build_pipeline` builds one.

    Many attributes: the parts that the loop drives.

    Args:
        beds: name -> bed.
        make_bed: builds the bed for a source that could be opened only later.
        scorer: the model, shared by all beds.
        config: the whole configuration.
        bus, journal, publisher, recordings, scheduler, batches, counters, incidents: the open parts.
        metrics: the server of `--metrics`, None without one.
        closing: closes the parts when `run` ends.
        on_notice: receives one line for a person.
        warm_first: load the numeric libraries before the first bed starts, not beside it.
        clock: monotonic, s.
        wall: wall time now.
    """

    def __init__(
        self,
        beds: dict[str, Bed],
        make_bed: Callable[[str, Source], Bed],
        scorer: Scorer,
        config: Config,
        *,
        bus: Bus,
        journal: Journal,
        publisher: Publisher,
        recordings: Recordings,
        scheduler: Scheduler,
        batches: Batches,
        counters: Counters,
        incidents: Incidents,
        metrics: MetricsServer | None,
        closing: contextlib.ExitStack,
        on_notice: Callable[[str], None],
        warm_first: bool,
        clock: Callable[[], float],
        wall: Callable[[], datetime.datetime],
    ) -> None:
        self.beds = beds
        self.bus = bus
        self.journal = journal
        self.counters = counters
        self.metrics = metrics
        self._config = config
        self._make_bed = make_bed
        self._scorer = scorer
        self._out = publisher
        self._recordings = recordings
        self._scheduler = scheduler
        self._batches = batches
        self._incidents = incidents
        self._closing = closing
        self._on_notice = on_notice
        self._warm_first = warm_first
        self._clock = clock
        self._wall = wall
        self._speed = config.source.speed
        self._broken: SourceError | None = None
        self._heartbeat_due_s = -math.inf
        self._journal_failed = False

    @property
    def incomplete(self) -> list[str]:
        """What could not be kept or read, without ending the run; one line each."""
        return self._incidents.lines

    # -- the loop -----------------------------------------------------------------------------------------

    def run(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Go on until every source has ended or `stop()` says so; then drain, say goodbye and close.

        Raises:
            SourceError: every source broke (of one alone, `incomplete` tells).
        """
        warming = threading.Thread(target=self._warm_up, name="warm up", daemon=True)
        if self._speed > 0:
            warming.start()
            if self._warm_first:
                warming.join()
        self._scheduler.begin(_STATUS_S)
        try:
            self._tell_who_died()
            for bed in self.beds.values():
                bed.tell_resumed(self._out)
            self._tell_state(self.beds.values())
            self._tell_heartbeat()
            while not stop() and not all(bed.ended for bed in self.beds.values()):
                began_s = self._clock()
                moved = self._turn(began_s)
                if self._batches.ready(self._scheduler.pause_s(began_s)):
                    self._settle()
                self._serve(0.0 if moved and self._speed == 0 else self._scheduler.pause_s(began_s))
            for bed in self.beds.values():
                self._end(bed)
            self._settle()
            self._batches.put(list(self.beds.values()))
            self._settle()
        except BaseException:
            self.journal.ending = "error"
            raise
        finally:
            self._close()
            if warming.ident is not None:
                warming.join()
        if self._broken is not None and all(bed.state == "source_lost" for bed in self.beds.values()):
            raise self._broken

    def wait_for_subscriber(self, timeout_s: float) -> None:
        """Before `run`: give somebody the time to subscribe who wants to see all from the beginning."""
        until_s = self._clock() + timeout_s
        while not self.bus.counters["subscriptions"] and self._clock() < until_s:
            self._serve(LOOP_S)

    def _warm_up(self) -> None:
        """Load libraries while the first seconds come, or before the first of many beds begins: all would wait."""
        beats = Detector(_WARM_FS_HZ).push(np.tile(_WARM_BEAT, round(_WARM_UP_SIGNAL_S)))
        self._scorer.score_beats(beats)

    def _turn(self, now_s: float) -> bool:
        """Look at the beds that are due, score their beats in one batch, tell what came of it; whether any moved."""
        beds = self._scheduler.due(now_s)
        for number, bed in enumerate(beds):
            if (
                isinstance(bed.source, ReconnectingSource)
                and not bed.ended
                and (source := bed.source.opened()) is not None
            ):
                beds[number] = self._replace(bed, source)
        moved = self._scheduler.look(beds, self._lose)
        self._settle()  # the batch of the turn before
        self._batches.put(beds)
        if not self._batches.beside:
            self._settle()
        self._watch_journal()
        self._tell_heartbeat()
        for bed in beds:
            self._scheduler.put_back(bed, bed.name in moved)
        return bool(moved)

    def _lose(self, bed: Bed, error: Exception) -> None:
        """A source broke, or what works on it: that is the end of this bed alone; what it gave is scored first."""
        text = str(error) if isinstance(error, SourceError) else _fault(bed, error)
        self._broken = error if isinstance(error, SourceError) else SourceError(text)
        self._settle()
        self._end(bed)
        with contextlib.suppress(Exception):  # it is broken: that is what is told here
            bed.settle(self._scorer.score_beats(bed.unscored), self._out)
        bed.silent("source_lost", text, self._out)
        self._out.event(bed, "source_lost", text, 1)
        self._incidents.report(text)

    def _end(self, bed: Bed) -> None:
        """No more is read; what its detector cannot give any more is lost with it."""
        try:
            bed.end()
        except Exception as error:
            bed.ended = True
            self._incidents.report(_fault(bed, error))

    def _replace(self, late: Bed, source: Source) -> Bed:
        """A source that could not be opened at first is there: its bed begins."""
        try:
            bed = self._make_bed(late.name, source)
            if late.resumed is not None:
                bed.resume(late.resumed)
            self._recordings.begin(bed)
        except Exception as error:
            source.close()
            self._lose(late, error if isinstance(error, RecorderError) else SourceError(str(error)))
            return late
        text = f"{source.name}: opened"
        late.found(Notice("source_back", text), self._out)
        self._out.put_sessions([bed])
        bed.status_due_s = late.status_due_s
        self.beds[bed.name] = bed
        return bed

    def _watch_journal(self) -> None:
        """A journal that cannot be written is an alarm; what was not written is told when it can be again."""
        failing = bool(self.journal.losses.failure)
        if failing == self._journal_failed:
            return
        self._journal_failed = failing
        self._settle()  # what came before it
        text = f"the journal cannot be written: {self.journal.losses.failure}"
        for bed in self.beds.values():
            bed.journal_failed(failing, text if failing else "", self._out)
            if not failing:
                told = f"the journal is written again; lost: {self.journal.losses.summary()}"
                self._out.event(bed, "journal_back", told, self.journal.losses.total)

    def _tell_who_died(self) -> None:
        """A run that was killed did not clear its alarms: whoever comes later must hear of them."""
        for epoch in self.journal.died:
            bodies = [decode(raw) for raw in self.journal.active_alarms(epoch)]
            alarms = [body.alarm for body in bodies if isinstance(body, AlarmMessage)]
            self._on_notice(f"the monitor of run {epoch} was killed; {_active_then(alarms)}")
            for bed in (bed for bed in self.beds.values() if bed.resumed is None):
                of_bed = [alarm for alarm in alarms if alarm.bed == bed.name]
                text = f"the monitor of run {epoch} was killed; {_active_then(of_bed)}"
                self._out.event(bed, "monitor_died", text, max(1, len(of_bed)))

    def _settle(self) -> None:
        """Take the scores of the batch that was put, if any, and let each bed tell what came of them."""
        scored = self._batches.take()
        with self.bus.burst():
            for bed, events, scores in scored:
                try:
                    bed.settle(scores, self._out, events)
                except Exception as error:
                    if bed.ended:
                        self._incidents.report(_fault(bed, error))
                    else:
                        self._lose(bed, error)
                self._scheduler.watch_lateness(bed)
            self._tell_state([bed for bed, *_ in scored])

    def _tell_state(self, beds: Iterable[Bed]) -> None:
        """Status of these beds once a second (a change of state at once), waves many times."""
        now_s = self._clock()
        thinned = self._scheduler.thinning.thinned
        for bed in beds:
            if self.bus.has_viewers(bed.name) and now_s >= bed.wave_due_s:
                # From when it was due, so that the loop's own step does not make the waves fewer than asked for.
                bed.wave_due_s = max(bed.wave_due_s + 1.0 / self._config.bus.waves_hz, now_s)
                if "waves" in thinned:
                    bed.skip_wave(counted=True)
                elif (wave := bed.wave(bed.history.capacity)) is not None:
                    self.bus.publish_wave(*wave)
            elif not self.bus.has_viewers(bed.name):
                bed.skip_wave(counted=False)
            if now_s >= bed.status_due_s or bed.told != bed.condition:
                bed.status_due_s = max(
                    bed.status_due_s + _STATUS_S, now_s + (_SELDOM_STATUS_S if "status" in thinned else _STATUS_S / 2)
                )
                bed.told = bed.condition
                self.bus.publish(bed_topic(bed.name, "status"), bed.status())

    def _tell_heartbeat(self) -> None:
        now_s = self._clock()
        if now_s >= self._heartbeat_due_s:
            self._heartbeat_due_s = now_s + _HEARTBEAT_S
            self._heartbeat("running")

    def _heartbeat(self, state: Any) -> None:
        now = self._wall()
        self.counters.heartbeat_s = now.timestamp()
        self.bus.heartbeat(
            HeartbeatMessage(
                time=now.isoformat(timespec="milliseconds"),
                state=state,
                beds=tuple(self.beds),
                uptime_s=round(self._clock() - self._scheduler.started_s, 3),
                version=VERSION,
                late_s=round(self._scheduler.take_late_s(), 3),
                thinned=self._scheduler.thinning.thinned,
            )
        )

    def _serve(self, timeout_s: float) -> None:
        for request in self.bus.service(timeout_s):
            try:
                reply = self._answer(request)
            except Exception as error:  # whatever a request does, the monitor goes on
                self.bus.counters["internal_errors"] += 1
                reply = Reply(ok=False, error=f"internal error: {error}")
            request.reply(reply)

    def _answer(self, waiting: ControlRequest) -> Reply:
        request = waiting.request
        if request.op == "snapshot" and (not request.bed or request.bed in self.beds):
            return self.bus.snapshot(request.bed)
        if request.op == "strip" and request.alarm_id:
            return self._stored_strip(request.alarm_id, request.epoch)
        bed_name = (
            request.bed or request.alarm_id.partition("/")[0] or (next(iter(self.beds)) if len(self.beds) == 1 else "")
        )
        bed = self.beds.get(bed_name)
        if bed is None:
            return Reply(ok=False, error=f"no bed {bed_name!r}; there are {', '.join(self.beds)}")
        reply = bed.answer(request, self._out)
        if reply.ok and request.op != "strip":
            detail = f"{reply.data['seconds']:g} s" if request.op == "pause_audio" else ""
            self.journal.put_action(
                OperatorAction(request.who, request.op, bed.name, request.alarm_id, bed.now, detail)
            )
            bed.status_due_s = -math.inf
            self._tell_state([bed])
        return reply

    def _stored_strip(self, alarm_id: str, epoch: str) -> Reply:
        strip = self.journal.get_strip(alarm_id, epoch)
        if strip is None:
            return Reply(ok=False, error=f"no strip of alarm {alarm_id!r}: unknown, or no longer kept")
        return Reply(ok=True, data=strip_data(strip.first_sample, strip.fs_hz, strip.samples))

    def _close(self) -> None:
        """Say goodbye, let go."""
        for bed in self.beds.values():
            bed.ended = True
            if bed.state != "source_lost":
                bed.state = "ended"
            bed.wave_due_s = bed.status_due_s = -math.inf
        self._out.tell_repeats(self.beds)
        with self._closing as last:
            for bed in self.beds.values():
                last.callback(bed.close)
            self._out.close(self.beds)
            self._tell_state(self.beds.values())
            self._heartbeat("goodbye")


def _fault(bed: Bed, error: Exception) -> str:
    """One line for what nobody foresaw: where it was, for who has to find it."""
    at = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" ({Path(frame.filename).name}:{frame.lineno})" for frame in at)
    words = " ".join(str(error).split())
    return f"{bed.source.name}: {type(error).__name__}: {words}{where}; bed {bed.name} ended, please report this"


def _active_then(alarms: list[Alarm]) -> str:
    told = ", ".join(f"{alarm.kind} ({alarm.state})" for alarm in alarms[-_TOLD_ALARMS:])
    more = f" and {len(alarms) - _TOLD_ALARMS} before" if len(alarms) > _TOLD_ALARMS else ""
    return f"alarms then active: {told or 'none'}{more}"
