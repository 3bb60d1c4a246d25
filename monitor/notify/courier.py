"""One receiver in a thread: subscribes to the bus, delivers what is chosen, and reports what was not delivered."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from monitor.bus.endpoints import BusEndpoints
from monitor.bus.keys import ClientKey
from monitor.client.client import AlarmClient
from monitor.client.positions import Position
from monitor.errors import EcgMonitorError, NotifyError, first_line, plain_line
from monitor.messages import AlarmMessage, Stream, encode
from monitor.notify.choice import Choice
from monitor.notify.progress import Progress, load_progress, save_progress
from monitor.notify.waiting import Item, Waiting

__all__ = ["Courier", "Incident", "Receiver"]

POLL_S: Final = 0.25
_AGAIN_S: Final = 5.0  # after an unexpected error of the thread
_GIVEN_UP_EVERY_S: Final = 10.0  # alarms given up are reported together

Incident = Callable[[str, str, str, int], None]  # bed, kind of event, text, count


class Receiver(Protocol):
    """A command, a webhook, a broker.

    Attributes:
        name: `command`, `webhook`, `mqtt`.
    """

    name: str

    def begin(self, epoch: str) -> None:
        """Prepare for a run within `timeout_s`; NotifyError where the receiver cannot be reached yet."""

    def send(self, message: AlarmMessage, raw: bytes) -> None:
        """Deliver one alarm within `timeout_s`; NotifyError where it was not taken."""

    def close(self) -> None:
        """Release what is open."""


class Courier:
    """Delivers alarms to one receiver.

    Its subscriber takes messages at the receiver's pace: ZeroMQ's queue holds 10,000, and what it drops comes from the
    journal. An alarm that was delivered directly before a kill is delivered again.

    Many attributes: the thread needs the monitor, the receiver, and what waits between them.

    Args:
        receiver: closed by the thread.
        file: keeps the progress between runs; None = it ends with the run.
        incident: receives each event to publish, in the thread.
    """

    def __init__(
        self, receiver: Receiver, choice: Choice, waiting: Waiting, file: Path | None, incident: Incident
    ) -> None:
        self._receiver, self._choice, self._waiting = receiver, choice, waiting
        self._file, self._incident = file, incident
        self._progress = load_progress(file) if file is not None else Progress()
        self._file_failed = self._begun = False
        self._given_up_due_s = 0.0
        self._end_s: float | None = None  # monotonic s, when the thread must end
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"notify {receiver.name}", daemon=True)

    def start(self, endpoints: BusEndpoints, key: ClientKey | None, epoch: str) -> None:
        """Start the thread; without earlier progress it begins with the first message of the run `epoch`."""
        self._endpoints, self._key, self._epoch = endpoints, key, epoch
        if self._progress.position is None:
            self._progress = Progress(Position(epoch, {}), self._progress.waiting)
        self._thread.start()

    def end(self, within_s: float) -> None:
        """Ask the thread to deliver what is left and to end."""
        self._end_s = time.monotonic() + within_s
        self._ending.set()

    def join(self, timeout_s: float) -> str:
        """Wait for the thread; returns a line about alarms that were not delivered, or an empty one."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        left = len(self._waiting.items)
        if not left and not self._thread.is_alive():
            return ""
        where = f"; {self._file} keeps them for the next start" if self._file is not None else ""
        return f"notify: {self._receiver.name}: {left or 'some'} alarms were not delivered{where}"

    def _run(self) -> None:
        now_s = time.monotonic()
        self._waiting.add(Item(message, encode(message), now_s) for message in self._progress.waiting)
        with contextlib.closing(self._receiver):
            while True:
                try:
                    self._deliver_all()
                    return
                except Exception as error:  # the thread must go on: an alarm of later is still to be delivered
                    self._incident("", "notify_failed", f"{self._receiver.name}: {type(error).__name__}: {error}", 1)
                    if self._ending.wait(_AGAIN_S):
                        return

    def _deliver_all(self) -> None:
        streams: tuple[Stream, ...] = ("alarm",)
        client = AlarmClient(
            self._endpoints.alarms,
            self._endpoints.control,
            streams=streams,
            resume=self._progress.position,
            key=self._key,
        )
        with contextlib.closing(client):
            if not self._begun:  # after the subscription, so that messages arrive meanwhile
                self._begun = True
                try:
                    self._receiver.begin(self._epoch)
                except NotifyError as error:
                    self._incident("", "notify_failed", f"{self._receiver.name}: {plain_line(error)}", 1)
            while not self._over(client):
                self._read(client, 0.0 if any(not item.tries for item in self._waiting.items) else POLL_S)
                if (item := self._waiting.next(time.monotonic())) is not None:
                    self._deliver(item)
                self._report_given_up()
                self._keep(client.position)
            while self._read(client, 0.0):  # what there was no time for is counted, and kept for the next start
                pass
            self._report_given_up(at_end=True)

    def _read(self, client: AlarmClient, timeout_s: float) -> bool:
        """Add the chosen messages that have arrived; whether there were any messages."""
        now_s = time.monotonic()
        bodies = client.poll(timeout_s)
        self._waiting.add(
            Item(body, raw, now_s)
            for _, body, raw in bodies
            if isinstance(body, AlarmMessage) and self._choice.wants(body)
        )
        self._keep(client.position)
        return bool(bodies)

    def _over(self, client: AlarmClient) -> bool:
        """Whether the thread ends: time is over, or all messages were read and each alarm was tried."""
        if self._end_s is None:
            return False
        now_s = time.monotonic()
        fresh = any(not item.tries for item in self._waiting.items)
        return now_s >= self._end_s or (not fresh and (client.state == "ended" or not client.epoch))

    def _deliver(self, item: Item) -> None:
        alarm = item.message.alarm
        try:
            self._receiver.send(item.message, item.raw)
        except NotifyError as error:
            if self._waiting.failed(item, time.monotonic(), final=error.final):
                text = f"{self._receiver.name}: {plain_line(error)}" + ("" if error.final else "; it is tried again")
                self._incident(alarm.bed, "notify_failed", text, 1)
            return
        if self._waiting.delivered(item):
            text = f"{self._receiver.name}: works again; {len(self._waiting.items)} alarms are still to be delivered"
            self._incident(alarm.bed, "notify_back", text, 1)

    def _report_given_up(self, *, at_end: bool = False) -> None:
        now_s = time.monotonic()
        if self._waiting.given_up and (at_end or now_s >= self._given_up_due_s):
            self._given_up_due_s = now_s + _GIVEN_UP_EVERY_S
            items = self._waiting.take_given_up()
            alarm = max(items, key=lambda item: item.rank).message.alarm
            text = (
                f"{self._receiver.name}: {len(items)} alarms will not be delivered, the most urgent: {alarm.alarm_id}"
            )
            self._incident(alarm.bed, "notify_failed", text, len(items))

    def _keep(self, position: Position | None) -> None:
        """Write the progress where it has changed."""
        progress = Progress(position, tuple(item.message for item in self._waiting.items))
        if progress == self._progress:
            return
        self._progress = progress
        if self._file is None:
            return
        try:
            save_progress(self._file, progress)
            self._file_failed = False
        except EcgMonitorError as error:
            if not self._file_failed:
                self._incident("", "notify_failed", f"{self._receiver.name}: {first_line(error)}", 1)
            self._file_failed = True
