"""The only owner of the loop: sources in, one batch through the model, everything out; for a list of beds."""

from __future__ import annotations

import contextlib
import datetime
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from detector import Scores
from detector.scorer import Scorer
from monitor import VERSION
from monitor.bed import Bed
from monitor.bus import Bus, endpoints_from
from monitor.config import Config
from monitor.control import ControlRequest
from monitor.journal import Action, Journal, Limits, Session
from monitor.keys import load_server_keys
from monitor.measures import Measures
from monitor.messages import Alarm, AlarmMessage, HeartbeatMessage, Reply, bed_topic, decode
from monitor.metrics import MetricsServer
from monitor.outlet import Outlet, make_folder
from monitor.sources import Source, SourceError
from monitor.strips import strip_data

__all__ = ["Pipeline"]

_PIECE_MAX_S = 20.0  # most that is read at once: bounds memory, and stop requests wait no longer than this takes
_LOOP_S = 0.02  # a live sample waits at most this long; the loop costs about 2 % of a core
_WARM_UP_S = 30.0  # of signal: libraries load with the first window, and nobody relies on a monitor that just began
_HEARTBEAT_S = 1.0
_STATUS_S = 1.0
# A journal in memory is for subscribers that missed something, not for the archive: half an hour of beats, some 10 MB.
_MEMORY = ":memory:"
_MEMORY_LIMITS = Limits(max_mb=0, alarm_rows=1_000, beat_rows=2_000, status_rows=500, strips=100, actions=1_000)
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
    ) -> None:
        self.config = config
        self.incomplete: list[str] = []
        self.measures = Measures()
        self.metrics: MetricsServer | None = None
        self._scorer = scorer
        self._on_notice = on_notice
        self._clock = clock
        self._wall = wall
        self._started_s = clock()
        started = wall()
        self.started_unix_s = started.timestamp()
        self._speed = config.source.speed
        with contextlib.ExitStack() as undo:
            for source in sources.values():
                undo.callback(source.close)
            self.beds = {
                name: Bed(name, source, config, scorer, clock, started, source.live or self._speed > 0)
                for name, source in sources.items()
            }
            folder = Path(config.record.folder) if config.record.folder else None
            if folder is not None:
                make_folder(folder)
            journal = config.journal.path or (str(folder / "journal.sqlite") if folder else _MEMORY)
            limits = Limits(keep_days=config.journal.keep_days, max_mb=config.journal.max_mb)
            limits = _MEMORY_LIMITS if journal == _MEMORY else limits
            self.journal = Journal(journal, limits=limits, clock=clock, report=self._report)
            undo.callback(self.journal.close)
            epoch = f"{started:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
            keys = load_server_keys(Path(config.bus.keys)) if config.bus.keys else None
            ends = endpoints_from(config.bus.listen)
            self.bus = Bus(ends, epoch=epoch, journal=self.journal, clock=clock, keys=keys, tell=on_notice)
            undo.callback(self.bus.close)
            self.journal.put_sessions(map(_session, self.beds.values()), VERSION)
            self._out = Outlet(
                self.bus,
                self.journal,
                self.measures,
                on_alarm=on_alarm,
                on_notice=on_notice,
                report=self._report,
                clock=clock,
            )
            if config.metrics.port:
                self.metrics = MetricsServer(config.metrics, self)
                undo.callback(self.metrics.close)
            undo.callback(self._out.abandon)
            if folder is not None:  # last: a port in use must not leave files that the next attempt trips over
                for bed in self.beds.values():
                    self._out.record(folder, bed, config)
            undo.pop_all()
        self.endpoints = self.bus.endpoints
        self._heartbeat_due_s = self._status_due_s = self._wave_due_s = -np.inf
        self._journal_failed = False
        self._told: dict[str, object] = {}  # bed -> what of its last status must not wait a second

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
        broken: SourceError | None = None
        self._started_s = self._clock()
        for bed in self.beds.values():
            bed.last_data_s = self._started_s
        try:
            self._tell_who_died()
            self._tell_state()
            while not stop() and not all(bed.ended for bed in self.beds.values()):
                moved = False
                for bed in self.beds.values():
                    try:
                        moved |= not bed.ended and self._intake(bed)
                    except SourceError as error:
                        broken = error
                        self._lose(bed, error)
                self._settle()
                self._watch_lateness()
                self._watch_journal()
                self._tell_state()
                self._serve(0.0 if moved and self._speed == 0 else _LOOP_S)
            for bed in self.beds.values():
                bed.end()
            self._settle()
        except BaseException:
            self.journal.ending = "error"
            raise
        finally:
            self._close()
        if broken is not None and all(bed.state == "source_lost" for bed in self.beds.values()):
            raise broken

    def wait_for_subscriber(self, timeout_s: float) -> None:
        """Before `run`: give somebody the time to subscribe who wants to see all from the beginning."""
        until_s = self._clock() + timeout_s
        while not self.bus.counters["subscriptions"] and self._clock() < until_s:
            self._serve(_LOOP_S)

    def _intake(self, bed: Bed) -> bool:
        """Read what the pace allows; whether anything came."""
        duration_s = self.config.source.duration_s
        if bed.source.live and duration_s and self._clock() - self._started_s >= duration_s:
            bed.end()
            return True
        most = self._allowed(bed)
        if most <= 0:
            return False
        before, began = bed.now, bed.began
        chunk = bed.take(most, self._out)
        if bed.ended:
            return True
        if chunk is None or chunk.samples.size == 0:
            self._watch_silence(bed)
            return False
        self._out.signal(bed, chunk, chunk.first_sample - before if began else 0)
        return True

    def _lose(self, bed: Bed, error: SourceError) -> None:
        """A source broke: what it gave is scored, then its loss is told."""
        bed.end()
        self._settle()
        bed.silent("source_lost", str(error), self._out)
        self._report(str(error))

    def _allowed(self, bed: Bed) -> int:
        """How many samples may be read now: all a live source has, or what is due at the replay speed."""
        most = round(_PIECE_MAX_S * bed.source.fs_hz)
        if bed.source.live:
            return most
        if self._speed == 0:
            return most
        taken = bed.now - bed.first_sample if bed.began else 0
        due = (self._clock() - self._started_s) * self._speed * bed.source.fs_hz
        return min(most, int(due) - taken)

    def _watch_silence(self, bed: Bed) -> None:
        """A live source that gives nothing is an alarm, never a frozen trace."""
        silent_s = self._clock() - bed.last_data_s
        if bed.state in ("starting", "running") and silent_s >= bed.limits.no_data.limit:
            bed.silent("no_data", f"no samples for {silent_s:.1f} s from {bed.source.name}", self._out)

    def _watch_lateness(self) -> None:
        """A bed that keeps real time must not fall behind unseen; a faster replay promises no time."""
        for bed in self.beds.values():
            watched_s = (bed.now - bed.first_sample) / bed.source.fs_hz
            if bed.ended or watched_s < _WARM_UP_S:
                continue
            if bed.source.live:
                bed.behind(bed.waited_s, self._out)
            elif 0 < self._speed <= 1:
                bed.behind(self._clock() - self._started_s - watched_s / self._speed, self._out)

    def _watch_journal(self) -> None:
        """A journal that cannot be written is an alarm; what was not written is told when it can be again."""
        failing = bool(self.journal.failure)
        if failing == self._journal_failed:
            return
        self._journal_failed = failing
        text = f"the journal cannot be written: {self.journal.failure}"
        for bed in self.beds.values():
            bed.journal_failed(failing, text if failing else "", self._out)
            if not failing:
                told = f"the journal is written again; lost: {self.journal.lost_words()}"
                self._out.event(bed, "journal_back", told, self.journal.lost_rows)

    def _tell_who_died(self) -> None:
        """A run that was killed did not clear its alarms: whoever comes later must hear of them."""
        for epoch in self.journal.died:
            bodies = [decode(raw) for raw in self.journal.active_alarms(epoch)]
            alarms = [body.alarm for body in bodies if isinstance(body, AlarmMessage)]
            self._on_notice(f"the monitor of run {epoch} was killed; {_active_then(alarms)}")
            for bed in self.beds.values():
                of_bed = [alarm for alarm in alarms if alarm.bed == bed.name]
                text = f"the monitor of run {epoch} was killed; {_active_then(of_bed)}"
                self._out.event(bed, "monitor_died", text, max(1, len(of_bed)))

    def _settle(self) -> None:
        """Score what waits, of all beds in one batch, and let each bed tell what came of it."""
        waiting = {name: bed.unscored for name, bed in self.beds.items()}
        began_s = time.perf_counter()
        scores = self._scorer.score_beats([beat for unscored in waiting.values() for beat in unscored])
        self.measures.scored(time.perf_counter() - began_s, len(scores.score))
        first = 0
        for name, unscored in waiting.items():
            its = slice(first, first + len(unscored))
            self.beds[name].settle(Scores(scores.log_prob[its], scores.score[its]), self._out)
            first = its.stop

    def _tell_state(self) -> None:
        """Heartbeat and status once a second (a change of state at once), waves many times."""
        now_s = self._clock()
        if now_s >= self._wave_due_s:
            # From when it was due, so that the loop's own step does not make the waves fewer than asked for.
            self._wave_due_s = max(self._wave_due_s + 1.0 / self.config.bus.waves_hz, now_s)
            for bed in self.beds.values():
                wave = bed.wave(bed.history.capacity)
                if wave is not None:
                    self.bus.publish_wave(*wave)
        due = now_s >= self._status_due_s
        if due:
            self._status_due_s = now_s + _STATUS_S
        for bed in self.beds.values():
            if due or self._told.get(bed.name) != bed.condition:
                self._told[bed.name] = bed.condition
                self.bus.publish(bed_topic(bed.name, "status"), bed.status())
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
                uptime_s=round(self._clock() - self._started_s, 3),
                version=VERSION,
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
            self.journal.put_action(Action(request.who, request.op, bed.name, request.alarm_id, bed.now, detail))
            self._status_due_s = -np.inf
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
        self._out.tell_repeats(self.beds)
        self._wave_due_s = self._status_due_s = -np.inf
        with contextlib.ExitStack() as last:
            last.callback(self.journal.close)
            last.callback(self.bus.close)
            if self.metrics is not None:
                last.callback(self.metrics.close)
            for bed in self.beds.values():
                last.callback(bed.close)
            self._out.close(self.beds)
            self._tell_state()
            self._heartbeat("goodbye")


def _session(bed: Bed) -> Session:
    source = bed.source
    return Session(bed.name, source.name, source.lead, source.fs_hz, bed.model.name, bed.model.sha256)


def _active_then(alarms: list[Alarm]) -> str:
    told = ", ".join(f"{alarm.kind} ({alarm.state})" for alarm in alarms[-_TOLD_ALARMS:])
    more = f" and {len(alarms) - _TOLD_ALARMS} before" if len(alarms) > _TOLD_ALARMS else ""
    return f"alarms then active: {told or 'none'}{more}"
