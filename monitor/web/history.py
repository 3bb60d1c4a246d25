"""Past alarms for the page: lists, single alarms, strips and exports, read from the journals of the monitors.

Each question opens a client of its own in a thread, so that it delays neither the live data nor other pages.
Alarm messages that were read once are kept, and only the newer ones are requested the next time.
"""

from __future__ import annotations

import asyncio
import datetime
import io
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from monitor.bus.endpoints import BusEndpoints
from monitor.bus.keys import ClientKey
from monitor.client.client import AlarmClient
from monitor.client.past import Past, Runs
from monitor.errors import ClientError, ConfigError
from monitor.messages import AlarmMessage, bed_topic, decode
from monitor.reports.alarm_export import fhir_text, find_alarm, hl7_text
from monitor.reports.alarm_list import alarm_row, write_csv
from monitor.reports.alarm_search import AlarmSearch
from monitor.reports.alarm_strip import draw_alarm_strip
from monitor.reports.episodes import PastAlarm, past_alarms

__all__ = ["MAX_MESSAGES", "Entry", "History", "HistoryBusyError", "UnknownAlarmError"]

MAX_MESSAGES: Final = 20_000  # alarm messages of one monitor in memory, a few kB each; the oldest are dropped
TIMEOUT_S: Final = 20.0  # of one question
_THREADS: Final = 2
_WAITING: Final = 16  # questions at once; more are refused

T = TypeVar("T")


class HistoryBusyError(Exception):
    """Too many questions, or a journal too long to be read in time: ask again."""


class UnknownAlarmError(ConfigError):
    """No such alarm, or no strip of it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An alarm of a monitor.

    Attributes:
        monitor: number of the monitor.
        began_s: Unix time at which its run began, s; 0 = not known.
        alarm: the alarm.
    """

    monitor: int
    began_s: float
    alarm: PastAlarm

    @property
    def order(self) -> tuple[float, datetime.datetime]:
        """Sort key, oldest first: a replayed record has its own time, so the run comes first."""
        return self.began_s, self.alarm.onset_time

    @property
    def key(self) -> tuple[int, str, str]:
        """What names it among all alarms."""
        return self.monitor, self.alarm.epoch, self.alarm.last.alarm_id

    def row(self) -> dict[str, Any]:
        """For the list."""
        return {"monitor": self.monitor, **alarm_row(self.alarm), "category": self.alarm.last.category}


@dataclass(eq=False)
class _Journal:
    """What was read of one monitor's journal.

    Attributes:
        lock: held while it is read or used.
        positions: by topic, run and number of the last message.
        messages: by run and alarm id, oldest first.
        count: number of those.
        complete: no message was dropped.
    """

    where: str
    runs: Runs = field(default_factory=Runs)
    lock: threading.Lock = field(default_factory=threading.Lock)
    positions: dict[str, tuple[str, int]] = field(default_factory=dict)
    messages: dict[tuple[str, str], list[AlarmMessage]] = field(default_factory=dict)
    count: int = 0
    complete: bool = True

    def read(self, past: Past) -> None:
        """Read what is new.

        Raises:
            ClientError: no reply in time; what came before is kept.
        """
        self.runs = past.runs()
        first = self.runs.runs[0].epoch if self.runs.runs else ""
        for bed in dict.fromkeys((*(row.bed for row in self.runs.sessions), *past.beds(self.where))):
            topic = bed_topic(bed, "alarm")
            for bodies, epoch, seq in past.pages(topic, *self.positions.get(topic, (first, 0))):
                self._add(map(decode, bodies))
                self.positions[topic] = epoch, seq

    def alarms(self) -> list[PastAlarm]:
        """All alarms by run and onset."""
        ended = {run.epoch: run.ended for run in self.runs.runs} or {epoch: "running" for epoch, _ in self.messages}
        rates_hz = {(row.epoch, row.bed): row.fs_hz for row in self.runs.sessions}
        return past_alarms((body for own in self.messages.values() for body in own), ended, rates_hz)

    def _add(self, bodies: Iterable[object]) -> None:
        for body in bodies:
            if isinstance(body, AlarmMessage):
                own = self.messages.setdefault((body.epoch, body.alarm.alarm_id), [])
                if not own or own[-1].seq < body.seq:
                    own.append(body)
                    self.count += 1
        if self.count <= MAX_MESSAGES:
            return
        self.complete = False
        began_s = {run.epoch: run.started_s for run in self.runs.runs}
        oldest = sorted(self.messages, key=lambda key: (began_s.get(key[0], 0.0), self.messages[key][-1].time))
        for key in oldest:
            if self.count <= MAX_MESSAGES * 9 // 10:
                break
            self.count -= len(self.messages.pop(key))


class History:
    """Answers questions about past alarms. The methods are called in the event loop.

    Args:
        monitors: endpoints.
        key: of the server, for monitors with keys.

    Raises of each method:
        ConfigError: no such monitor.
        UnknownAlarmError: no such alarm, or no strip of it.
        ClientError: a monitor does not answer.
        HistoryBusyError: ask again.
    """

    def __init__(self, monitors: Sequence[BusEndpoints], key: ClientKey | None) -> None:
        self._ends = monitors
        self._key = key
        self._journals = [_Journal(ends.alarms) for ends in monitors]
        self._threads = ThreadPoolExecutor(_THREADS, "web history")
        self._asked = 0

    def close(self) -> None:
        """Wait for no question any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def search(self, monitor: int | None, search: AlarmSearch) -> tuple[list[Entry], bool, list[Entry]]:
        """Alarms that match, newest first; False where a journal has more than is kept here; all alarms."""
        return await self._do(lambda: self._search(monitor, search))

    async def csv(self, monitor: int | None, search: AlarmSearch) -> str:
        """The alarms that match as CSV, oldest first."""

        def work() -> str:
            found, _, _ = self._search(monitor, search)
            out = io.StringIO()
            write_csv([entry.alarm for entry in reversed(found)], out)
            return out.getvalue()

        return await self._do(work)

    async def alarm(self, monitor: int, alarm_id: str, epoch: str) -> dict[str, Any]:
        """All data on one alarm."""

        def work() -> dict[str, Any]:
            with self._opened(monitor) as (past, journal):
                found = self._find(journal, past, monitor, alarm_id, epoch)
                own = found.alarm.epoch
                run = next((run for run in journal.runs.runs if run.epoch == own), None)
                bed = found.alarm.last.bed
                return {
                    **found.row(),
                    "onset_sample": found.alarm.last.onset_sample,
                    "model": found.alarm.messages[0].model,
                    "states": found.alarm.messages,
                    "evidence": found.alarm.last.evidence,
                    "run": run,
                    "sources": [row for row in journal.runs.sessions if (row.epoch, row.bed) == (own, bed)],
                    "actions": past.actions(alarm_id, own),
                }

        return await self._do(work)

    async def strip(self, monitor: int, alarm_id: str, epoch: str, *, raw: bool) -> str:
        """The strip of an alarm as SVG."""

        def work() -> str:
            with self._opened(monitor) as (past, journal):
                alarm = self._find(journal, past, monitor, alarm_id, epoch).alarm
                strip = past.strip(alarm_id, alarm.epoch)
                rows = [row for row in journal.runs.sessions if (row.epoch, row.bed) == (alarm.epoch, alarm.last.bed)]
            if strip is None:
                raise UnknownAlarmError(f"no strip of {alarm_id} is kept")
            lead, source = (rows[-1].lead, rows[-1].source) if rows else ("", "")
            return draw_alarm_strip(alarm, *strip, lead=lead, source=source, raw=raw)

        return await self._do(work)

    async def export(self, monitor: int, alarm_id: str, epoch: str, form: str) -> str:
        """One alarm as `fhir` or `hl7`, as `ecg-monitor export` writes it."""

        def work() -> str:
            with self._opened(monitor) as (past, journal):
                own = self._find(journal, past, monitor, alarm_id, epoch).alarm.epoch

                def read(topic: str) -> Iterator[bytes]:
                    for bodies, _, _ in past.pages(topic, own, 0):
                        yield from bodies

                found = find_alarm(read, alarm_id, own, journal.where)
                strip = past.strip(alarm_id, own)
            if strip is not None:
                found = found._replace(strip=(strip.first_sample, strip.fs_hz, strip.rows))
            return fhir_text(found) if form == "fhir" else hl7_text(found)

        return await self._do(work)

    async def _do(self, work: Callable[[], T]) -> T:
        if self._asked >= _WAITING:
            raise HistoryBusyError("too many questions about past alarms at once; ask again")
        self._asked += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._asked -= 1

    @contextmanager
    def _opened(self, monitor: int) -> Iterator[tuple[Past, _Journal]]:
        """A client of a monitor, and its journal, for this thread alone."""
        if not 0 <= monitor < len(self._ends):
            raise ConfigError(f"no monitor {monitor}; there are {len(self._ends)}, from 0")
        ends, journal = self._ends[monitor], self._journals[monitor]
        if not journal.lock.acquire(timeout=TIMEOUT_S):
            raise HistoryBusyError(f"{journal.where} is being read; ask again")
        try:
            client = AlarmClient(ends.alarms, ends.control, beds=(), streams=(), key=self._key)
            try:
                yield Past(client, TIMEOUT_S), journal
            finally:
                client.close()
        finally:
            journal.lock.release()

    def _read(self, journal: _Journal, past: Past) -> None:
        try:
            before = journal.count
            journal.read(past)
        except ClientError:
            if journal.count > before:
                raise HistoryBusyError(f"{journal.where}: {journal.count} messages are read; ask again") from None
            raise

    def _search(self, monitor: int | None, search: AlarmSearch) -> tuple[list[Entry], bool, list[Entry]]:
        known: list[Entry] = []
        complete = True
        for number in range(len(self._ends)) if monitor is None else (monitor,):
            with self._opened(number) as (past, journal):
                self._read(journal, past)
                known += _entries(number, journal)
                complete = complete and journal.complete
        known.sort(key=lambda entry: entry.order)
        known.reverse()  # alarms with one onset, too
        return [entry for entry in known if search.matches(entry.alarm)], complete, known

    def _find(self, journal: _Journal, past: Past, monitor: int, alarm_id: str, epoch: str) -> Entry:
        self._read(journal, past)
        for entry in reversed(_entries(monitor, journal)):
            if entry.alarm.last.alarm_id == alarm_id and epoch in ("", entry.alarm.epoch):
                return entry
        raise UnknownAlarmError(
            f"no alarm {alarm_id!r}" + (f" in run {epoch!r}" if epoch else "") + f" of {journal.where}"
        )


def _entries(number: int, journal: _Journal) -> list[Entry]:
    began_s = {run.epoch: run.started_s for run in journal.runs.runs}
    return [Entry(number, began_s.get(alarm.epoch, 0.0), alarm) for alarm in journal.alarms()]
