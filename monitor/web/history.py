"""Past alarms for the page: lists, single alarms, strips and exports, read from the journals of the monitors.

Each question opens a client of its own in a thread, so that it delays neither the live data nor other pages.
Alarm messages that were read once are kept, and only the newer ones are requested the next time.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from monitor.bus.endpoints import BusEndpoints
from monitor.bus.keys import ClientKey
from monitor.client.client import AlarmClient
from monitor.client.past import Past
from monitor.errors import ClientError, ConfigError
from monitor.reports.alarm_export import fhir_text, find_alarm, hl7_text
from monitor.reports.alarm_list import write_csv
from monitor.reports.alarm_search import AlarmSearch
from monitor.reports.alarm_strip import draw_alarm_strip
from monitor.web.journal_copy import Entry, JournalCopy

__all__ = ["Found", "History", "HistoryBusyError", "UnknownAlarmError"]

TIMEOUT_S: Final = 20.0  # of one question
_THREADS: Final = 2
_WAITING: Final = 16  # questions at once; more are refused

T = TypeVar("T")


class HistoryBusyError(Exception):
    """Too many questions, or a journal too long to be read in time: ask again."""


class UnknownAlarmError(ConfigError):
    """No such alarm, or no strip of it."""


@dataclass(frozen=True, slots=True)
class Found:
    """Answer to a search.

    Attributes:
        matching: alarms that match, newest first.
        known: all alarms, newest first.
        complete: no journal has more than is kept here.
        missing: one line for each monitor that did not answer; of these, what was read before.
    """

    matching: Sequence[Entry]
    known: Sequence[Entry]
    complete: bool
    missing: Sequence[str]


class History:
    """Answers questions about past alarms. The methods are called in the event loop.

    Args:
        monitors: endpoints.
        key: of the server, for monitors with keys.
        is_lost: whether the connection to a monitor, by number, is lost; then it is not asked.

    Raises of each method:
        ConfigError: no such monitor.
        UnknownAlarmError: no such alarm, or no strip of it.
        ClientError: a monitor does not answer.
        HistoryBusyError: ask again.
    """

    def __init__(
        self, monitors: Sequence[BusEndpoints], key: ClientKey | None, is_lost: Callable[[int], bool] = lambda _: False
    ) -> None:
        self._ends = monitors
        self._key = key
        self._is_lost = is_lost
        self._journals = [JournalCopy(number, ends.alarms) for number, ends in enumerate(monitors)]
        self._threads = ThreadPoolExecutor(_THREADS, "web history")
        self._asked = 0

    def close(self) -> None:
        """Wait for no question any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def search(self, monitor: int | None, search: AlarmSearch) -> Found:
        """Alarms of one monitor, or of all, that match."""
        return await self._do(lambda: self._search(monitor, search))

    async def csv(self, monitor: int | None, search: AlarmSearch) -> str:
        """The alarms that match as CSV, oldest first."""

        def work() -> str:
            found = self._search(monitor, search)
            if found.missing:
                raise ClientError(found.missing[0])
            out = io.StringIO()
            write_csv([entry.alarm for entry in reversed(found.matching)], out)
            return out.getvalue()

        return await self._do(work)

    async def alarm(self, monitor: int, alarm_id: str, epoch: str) -> dict[str, Any]:
        """All data on one alarm."""

        def work() -> dict[str, Any]:
            with self._opened(monitor) as (past, journal):
                found = self._find(journal, past, alarm_id, epoch)
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
                alarm = self._find(journal, past, alarm_id, epoch).alarm
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
                own = self._find(journal, past, alarm_id, epoch).alarm.epoch

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
    def _opened(self, monitor: int) -> Iterator[tuple[Past, JournalCopy]]:
        """A client of a monitor, and its journal, for this thread alone."""
        if not 0 <= monitor < len(self._ends):
            raise ConfigError(f"no monitor {monitor}; there are {len(self._ends)}, from 0")
        ends, journal = self._ends[monitor], self._journals[monitor]
        if self._is_lost(monitor):
            raise ClientError(f"{journal.where} is not connected; its past alarms can be read when it is back")
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

    def _read(self, journal: JournalCopy, past: Past) -> None:
        try:
            before = journal.count
            journal.read(past)
        except ClientError:
            if journal.count > before:
                raise HistoryBusyError(f"{journal.where}: {journal.count} messages are read; ask again") from None
            raise

    def _search(self, monitor: int | None, search: AlarmSearch) -> Found:
        known: list[Entry] = []
        missing: list[str] = []
        numbers = range(len(self._ends)) if monitor is None else (monitor,)
        for number in numbers:
            try:
                with self._opened(number) as (past, journal):
                    self._read(journal, past)
                    known += journal.entries()
            except ClientError as error:
                if len(numbers) == 1:
                    raise
                missing.append(str(error))
                with self._journals[number].lock:
                    known += self._journals[number].entries()
        known.sort(key=lambda entry: entry.order)
        known.reverse()  # alarms with one onset, too
        matching = [entry for entry in known if search.matches(entry.alarm)]
        complete = all(self._journals[number].complete for number in numbers)
        return Found(matching, known, complete, missing)

    def _find(self, journal: JournalCopy, past: Past, alarm_id: str, epoch: str) -> Entry:
        self._read(journal, past)
        for entry in reversed(journal.entries()):
            if entry.alarm.last.alarm_id == alarm_id and epoch in ("", entry.alarm.epoch):
                return entry
        raise UnknownAlarmError(
            f"no alarm {alarm_id!r}" + (f" in run {epoch!r}" if epoch else "") + f" of {journal.where}"
        )
