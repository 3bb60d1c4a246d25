"""The only owner of the loop: sources in, one batch through the model, everything out; for a list of beds."""

from __future__ import annotations

import contextlib
import datetime
import math
import secrets
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from detector import Detector
from detector.scorer import Scorer
from monitor import VERSION
from monitor.bus.keys import load_server_keys
from monitor.bus.requests import ControlRequest
from monitor.bus.server import Bus, endpoints_from
from monitor.config import Config
from monitor.engine.bed import Bed
from monitor.engine.counters import Counters
from monitor.engine.metrics import MetricsServer
from monitor.engine.publisher import Publisher, make_folder
from monitor.engine.resume import BedState
from monitor.engine.schedule import LOOP_S
from monitor.engine.scheduler import Scheduler
from monitor.engine.scoring import Batches
from monitor.engine.strips import strip_data
from monitor.errors import RecorderError, SourceError
from monitor.journal import Journal, OperatorAction, RetentionLimits, Session
from monitor.messages import Alarm, AlarmMessage, HeartbeatMessage, Reply, bed_topic, decode
from monitor.sources import Notice, Source
from monitor.sources.guarded import GuardedSource, Readers
from monitor.sources.reconnecting import ReconnectingSource

__all__ = ["Pipeline"]

_FEW = 8  # beds; the libraries of more are loaded before they begin
_WARM_FS_HZ = 250.0
_WARM_UP_SIGNAL_S = 12.0
_WARM_BEAT = np.exp(-0.5 * ((np.arange(_WARM_FS_HZ) - 100) / 4.0) ** 2)  # one a second, 1 mV
_HEARTBEAT_S = 1.0
_STATUS_S = 1.0
_SELDOM_STATUS_S = 5.0  # of beds that do not change, while there is no time
# A journal in memory is for subscribers that missed something, not for the archive: half an hour of beats, some 10 MB.
_MEMORY = ":memory:"
_TOLD_ALARMS = 10  # of a run that died, named in one line


class Pipeline:
    """Run beds until their sources end or somebody stops it.

    Args:
        sources: bed name -> open source; the pipeline closes them.
        config: the whole configuration.
        scorer: the model, shared by all beds.
        on_alarm: told each alarm message as it is published (the lines of a run without screen).
        on_notice: told one line for a person.
        clock: monotonic, s.
        wall: wall time now.
        resume: beds that go on where a run that is over left them.

    Attributes:
        endpoints: where the bus does listen.
        metrics: the server of `--metrics`, None where it is off.
        measures: what it gives beside the counts of beds, bus and journal.
        started_unix_s: when this monitor was made, Unix time.
        beds: name -> Bed.
        incomplete: what went wrong on the way without stopping the monitor, one line each.

    Raises:
        BusError, ConfigError, JournalError, MetricsError, RecorderError: a port, the keys, the journal or the folder
            cannot be had; nothing was recorded.
    """

    def __init__(
        self,
        sources: dict[str, Source],
        config: Config,
        scorer: Scorer,
        *,
        on_alarm: Callable[[AlarmMessage], None] = lambda _: None,
        on_notice: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
        resume: Mapping[str, BedState] | None = None,
    ) -> None:
        self.config = config
        self.incomplete: list[str] = []
        self.measures = Counters()
        self.metrics: MetricsServer | None = None
        self._scorer = scorer
        self._on_notice = on_notice
        self._clock = clock
        self._wall = wall
        started = wall()
        self.started_unix_s = started.timestamp()
        self._speed = config.source.speed
        self._broken: SourceError | None = None
        self._batches = Batches(scorer, self.measures, beside=self._speed > 0 and len(sources) > _FEW)
        self._readers = Readers()
        with contextlib.ExitStack() as undo:
            for source in sources.values():
                undo.callback(source.close)
            self._started = started
            self.beds = {name: self._bed(name, source) for name, source in sources.items()}
            for name, state in (resume or {}).items():
                self.beds[name].resume(state)
            folder = Path(config.record.folder) if config.record.folder else None
            if folder is not None:
                make_folder(folder)
            journal = config.journal.path or (str(folder / "journal.sqlite") if folder else _MEMORY)
            limits = RetentionLimits(keep_days=config.journal.keep_days, max_mb=config.journal.max_mb)
            limits = _memory_limits(len(sources)) if journal == _MEMORY else limits
            self.journal = Journal(journal, limits=limits, clock=clock, report=self._report)
            undo.callback(self.journal.close)
            epoch = f"{started:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
            keys = load_server_keys(Path(config.bus.keys)) if config.bus.keys else None
            ends = endpoints_from(config.bus.listen)
            self.bus = Bus(ends, epoch=epoch, journal=self.journal, clock=clock, keys=keys, tell=on_notice)
            undo.callback(self.bus.close)
            self.journal.put_sessions(map(_session, self.beds.values()), VERSION)
            self._out = Publisher(
                self.bus,
                self.journal,
                self.measures,
                on_alarm=on_alarm,
                on_notice=on_notice,
                report=self._report,
                clock=clock,
            )
            self._scheduler = Scheduler(self.beds, self._speed, self.bus, self._out, on_notice, clock)
            if config.metrics.port:
                self.metrics = MetricsServer(config.metrics, self)
                undo.callback(self.metrics.close)
            undo.callback(self._out.abandon)
            self._folder = folder
            for bed in self.beds.values():  # last: a port in use must not leave files that the next attempt trips over
                self._record(bed)
            undo.pop_all()
        self.endpoints = self.bus.endpoints
        self._heartbeat_due_s = -math.inf
        self._journal_failed = False

    @property
    def alarm_kinds(self) -> list[tuple[str, str, str]]:
        """Bed, kind and priority of every alarm that may be raised."""
        beds = self.beds.values()
        return [(b.name, kind, getattr(b.limits, kind).priority) for b in beds for kind in b.limits.__struct_fields__]

    # -- the loop -----------------------------------------------------------------------------------------

    def run(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Go on until every source has ended or `stop()` says so; then drain, say goodbye and close.

        Raises:
            SourceError: every source broke (of one alone, `incomplete` tells).
        """
        warming = threading.Thread(target=self._warm_up, name="warm up", daemon=True)
        if self._speed > 0:
            warming.start()
            if len(self.beds) > _FEW:
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
        self._report(text)

    def _end(self, bed: Bed) -> None:
        """No more is read; what its detector cannot give any more is lost with it."""
        try:
            bed.end()
        except Exception as error:
            bed.ended = True
            self._report(_fault(bed, error))

    def _bed(self, name: str, source: Source) -> Bed:
        """A bed, and somebody who reads for it where that may block."""
        if not getattr(source, "never_blocks", False):
            source = GuardedSource(source, self._readers)
        paced = source.live or self._speed > 0
        return Bed(name, source, self.config, self._scorer, self._clock, self._started, paced)

    def _record(self, bed: Bed) -> None:
        """Begin its files, once it is known what is to be written."""
        if self._folder is not None and not isinstance(bed.source, ReconnectingSource):
            own = {bed.name: self.config.beds[bed.name]} if bed.name in self.config.beds else {}
            self._out.record(self._folder, bed, msgspec.structs.replace(self.config, beds=own))

    def _replace(self, late: Bed, source: Source) -> Bed:
        """A source that could not be opened at first is there: its bed begins."""
        try:
            bed = self._bed(late.name, source)
            if late.resumed is not None:
                bed.resume(late.resumed)
            self._record(bed)
        except Exception as error:
            source.close()
            self._lose(late, error if isinstance(error, RecorderError) else SourceError(str(error)))
            return late
        text = f"{source.name}: opened"
        late.found(Notice("source_back", text), self._out)
        self.journal.put_sessions([_session(bed)], VERSION)
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
        with self.bus.together():
            for bed, events, scores in scored:
                try:
                    bed.settle(scores, self._out, events)
                except Exception as error:
                    if bed.ended:
                        self._report(_fault(bed, error))
                    else:
                        self._lose(bed, error)
                self._scheduler.watch_lateness(bed)
            self._tell_state([bed for bed, *_ in scored])

    def _tell_state(self, beds: Iterable[Bed]) -> None:
        """Status of these beds once a second (a change of state at once), waves many times."""
        now_s = self._clock()
        thinned = self._scheduler.thinning.thinned
        for bed in beds:
            if self.bus.shows(bed.name) and now_s >= bed.wave_due_s:
                # From when it was due, so that the loop's own step does not make the waves fewer than asked for.
                bed.wave_due_s = max(bed.wave_due_s + 1.0 / self.config.bus.waves_hz, now_s)
                if "waves" in thinned:
                    bed.skip_wave(counted=True)
                elif (wave := bed.wave(bed.history.capacity)) is not None:
                    self.bus.publish_wave(*wave)
            elif not self.bus.shows(bed.name):
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
        self.measures.heartbeat_s = now.timestamp()
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

    def _report(self, line: str) -> None:
        self.incomplete.append(line)
        self._on_notice(line)

    def _close(self) -> None:
        """Say goodbye, let go."""
        for bed in self.beds.values():
            bed.ended = True
            if bed.state != "source_lost":
                bed.state = "ended"
            bed.wave_due_s = bed.status_due_s = -math.inf
        self._out.tell_repeats(self.beds)
        with contextlib.ExitStack() as last:
            last.callback(self.journal.close)
            last.callback(self.bus.close)
            if self.metrics is not None:
                last.callback(self.metrics.close)
            last.callback(self._readers.close)
            last.callback(self._batches.close)
            for bed in self.beds.values():
                last.callback(bed.close)
            self._out.close(self.beds)
            self._tell_state(self.beds.values())
            self._heartbeat("goodbye")


def _memory_limits(beds: int) -> RetentionLimits:
    """Of each bed the less, the more there are: some 20 MB of beats and status in all, and of each 5 minutes."""
    return RetentionLimits(
        max_mb=0,
        alarm_rows=max(100, min(1_000, 20_000 // beds)),
        beat_rows=max(400, min(2_000, 40_000 // beds)),
        status_rows=max(60, min(500, 10_000 // beds)),
        strips=100,
        actions=1_000,
        slack_rows=min(50, beds),
    )


def _fault(bed: Bed, error: Exception) -> str:
    """One line for what nobody foresaw: where it was, for who has to find it."""
    at = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" ({Path(frame.filename).name}:{frame.lineno})" for frame in at)
    words = " ".join(str(error).split())
    return f"{bed.source.name}: {type(error).__name__}: {words}{where}; bed {bed.name} ended, please report this"


def _session(bed: Bed) -> Session:
    source = bed.source
    return Session(bed.name, source.name, source.lead, source.fs_hz, bed.model.name, bed.model.sha256)


def _active_then(alarms: list[Alarm]) -> str:
    told = ", ".join(f"{alarm.kind} ({alarm.state})" for alarm in alarms[-_TOLD_ALARMS:])
    more = f" and {len(alarms) - _TOLD_ALARMS} before" if len(alarms) > _TOLD_ALARMS else ""
    return f"alarms then active: {told or 'none'}{more}"
