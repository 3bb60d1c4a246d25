"""`ecg-monitor tail`: alarms (and events) as JSON lines for pipes, e.g. `ecg-monitor tail | jq .alarm.kind`."""

from __future__ import annotations

import contextlib
import select
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TextIO

import typer

from monitor.commands.options import KeyFile
from monitor.commands.stdout import descriptor_of, standard_output
from monitor.config import BusConfig
from monitor.terminal import json_line, notice

if TYPE_CHECKING:
    from monitor.bus.keys import ClientKey
    from monitor.client.client import AlarmClient, ConnectionState
    from monitor.messages import Stream

__all__ = ["run_tail", "tail"]

_POLL_S: Final = 0.25
_LINE_BEGINS: Final = '{"schema":"'
# Longer than the patience of a dashboard: a log is read later, and a message missing in it stays missing.
_PATIENCE_S: Final = 15.0


def tail(
    connect: Annotated[str, typer.Option(help="Alarm socket of a running monitor.")] = BusConfig().listen,
    bed: Annotated[str | None, typer.Option(help="Only this bed.")] = None,
    events: Annotated[bool, typer.Option(help="Print also events: gaps, lost sources, bad input.")] = False,
    key: KeyFile = None,
    resume: Annotated[
        Path | None, typer.Option(help="Position file: the next start continues after the last printed line.")
    ] = None,
) -> None:
    """Print alarms as JSON lines, for pipes; changes of the connection are printed on standard error."""
    from monitor.bus.keys import load_client_key

    client_key = load_client_key(key) if key is not None else None
    run_tail(connect, bed, sys.stdout, events=events, resume=resume, key=client_key)


def run_tail(
    connect: str,
    bed: str | None,
    out: TextIO,
    *,
    events: bool = False,
    key: ClientKey | None = None,
    resume: Path | None = None,
    err: TextIO | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Write the alarms of a running monitor to `out`, one line each, as published.

    Characters that could control a terminal are written as JSON escapes, which have the same value.

    The first lines are the active alarms; with `resume`, the messages published since the position in the file. The
    function waits for a monitor that does not run yet, and after a restart it writes the messages published meanwhile.
    It returns on Ctrl-C, when `stop` returns True, or when the reader of the pipe has gone.

    Args:
        connect: alarm endpoint of the monitor, e.g. `tcp://127.0.0.1:5556`.
        bed: only this bed; None = all.
        out: has each line at once; a file gets whole lines only (`monitor.commands.line_file`).
        events: write also events: gaps, lost sources, bad input.
        key: client key, for a monitor with keys.
        resume: position file. It is written once the lines are on the disk, so a run that ends between, also because
            the disk is full, writes those lines again. What a pipe's reader has not read cannot be known.
        err: changes of the connection are printed here; None = standard error.
        stop: called a few times per second.

    Raises:
        BusError, ClientError: the endpoint or the key cannot be used.
        PositionError: the position file cannot be read or written.
        ConfigError: `out` cannot be written.
    """
    from monitor.bus.endpoints import endpoints_from
    from monitor.client.client import AlarmClient
    from monitor.client.positions import load_position, save_position
    from monitor.commands.line_file import LineFile
    from monitor.messages import AlarmMessage, EventMessage

    streams: tuple[Stream, ...] = ("alarm", "event") if events else ("alarm",)
    endpoints = endpoints_from(connect)
    client = AlarmClient(
        endpoints.alarms,
        endpoints.control,
        beds=None if bed is None else (bed,),
        streams=streams,
        patience_s=_PATIENCE_S,
        key=key,
        resume=load_position(resume) if resume is not None else None,
    )
    report, gone = _Report(client, connect, sys.stderr if err is None else err), _reader_gone(out)
    saved = client.position
    with contextlib.closing(client), contextlib.suppress(KeyboardInterrupt), standard_output("tail", out):
        file = LineFile(out, begins=_LINE_BEGINS, repeats=saved is not None)
        while not stop() and not gone():
            bodies = client.poll(_POLL_S)
            file.write([json_line(raw) for _, body, raw in bodies if isinstance(body, AlarmMessage | EventMessage)])
            if resume is not None and (position := client.position) is not None and position != saved:
                file.sync()
                save_position(resume, position)
                saved = position
            report.update()


class _Report:
    """Prints changes of the connection to `connect`, and of the counts of lost messages, on `err`."""

    def __init__(self, client: AlarmClient, connect: str, err: TextIO) -> None:
        self._client, self._connect, self._err = client, connect, err
        self._state: ConnectionState | None = None
        self._missed = self._incomplete = self._ahead = 0

    def update(self) -> None:
        """Print what has changed since the last call."""
        client = self._client
        if client.state != self._state:
            self._state = client.state
            self._print(_STATE_TEXTS[client.state])
        if client.missed > self._missed:
            self._print(f"{client.missed - self._missed} messages were lost and could not be recovered")
            self._missed = client.missed
        if client.counters["incomplete"] > self._incomplete:
            self._print(_INCOMPLETE)
            self._incomplete = client.counters["incomplete"]
        if client.counters["ahead"] > self._ahead:
            self._print(_AHEAD)
            self._ahead = client.counters["ahead"]

    def _print(self, text: str) -> None:
        notice(text.format(connect=self._connect), self._err)


_INCOMPLETE = (
    "the monitor at {connect} no longer has all messages since the last position: some may be missing here "
    "(a monitor with --journal FILE keeps them across restarts)"
)
_AHEAD = (
    "the position file is beyond the messages of the monitor at {connect}: all messages of its present run are printed"
)
_STATE_TEXTS: dict[ConnectionState, str] = {
    "connecting": "waiting for a monitor at {connect}",
    "connected": "connected to {connect}",
    "stale": "no heartbeat from {connect}",
    "lost": "no monitor at {connect} accepts the connection; waiting",
    "ended": "the monitor at {connect} has ended; waiting for the next one",
}


def _reader_gone(out: TextIO) -> Callable[[], bool]:
    """A function that returns whether the reading end of a pipe is closed; without alarms no write would detect it."""
    descriptor = descriptor_of(out)
    if descriptor is None or sys.platform == "win32":  # there the next write fails
        return lambda: False
    poller = select.poll()
    poller.register(descriptor, 0)
    return lambda: any(event & select.POLLERR for _, event in poller.poll(0))
