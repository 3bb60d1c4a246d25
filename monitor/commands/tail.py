"""Alarms (and events) as JSON lines, for pipes: `ecg-monitor tail | jq .alarm.kind`."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from monitor.bus.endpoints import endpoints_from
from monitor.bus.keys import ClientKey
from monitor.client.client import AlarmClient, ConnectionState
from monitor.client.positions import Position, load_position, save_position
from monitor.errors import BusError, ClientError, PositionError
from monitor.messages import AlarmMessage, EventMessage, Stream

__all__ = ["run_tail"]

TURN_S = 0.25
# A log may wait longer for what is missing than a screen: it is read later, and a hole in it stays.
PATIENCE_S = 15.0


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
) -> int:
    """Write the alarms of a running monitor to `out`, one line each, exactly as published, until told to stop.

    First come the alarms that are active now; with `resume` what was published since it ended, however it did. It
    waits for a monitor that is not there yet, outlives its restarts (and then writes what was said in between), and
    ends quietly when the reader of a pipe goes away.

    Args:
        connect: endpoint of the monitor's alarms, e.g. `tcp://127.0.0.1:5556`.
        bed: only this one; None = all.
        out: flushed after each line.
        events: also what happened on the way in: gaps, losses, bad input.
        key: ours, for a monitor that asks for one.
        resume: file of the position: read at the start where there is one, written after the lines it tells of. Killed
            in between, it writes those lines once more.
        err: told each change of the connection; None = standard error.
        stop: asked a few times a second.

    Returns:
        Exit code: 0; 2 where the endpoint or the file of the position cannot be used.
    """
    err = sys.stderr if err is None else err
    streams: tuple[Stream, ...] = ("alarm", "event") if events else ("alarm",)
    try:
        endpoints = endpoints_from(connect)
        position = load_position(resume) if resume is not None else None
        client = AlarmClient(
            endpoints.alarms,
            endpoints.control,
            beds=None if bed is None else (bed,),
            streams=streams,
            patience_s=PATIENCE_S,
            key=key,
            resume=position,
        )
    except (BusError, ClientError, PositionError) as error:
        print(f"ecg-monitor: {error}", file=err)
        return 2
    try:
        _follow(client, connect, out, err, stop, resume)
    except KeyboardInterrupt:
        pass
    except PositionError as error:
        print(f"ecg-monitor: {error}", file=err)
        return 2
    except BrokenPipeError:
        _silence(out)
    finally:
        client.close()
    return 0


def _follow(
    client: AlarmClient, connect: str, out: TextIO, err: TextIO, stop: Callable[[], bool], resume: Path | None
) -> None:
    said: ConnectionState | None = None
    kept: Position | None = client.position
    missed = incomplete = 0
    gone = _reader_gone(out)
    while not stop() and not gone():
        for _, body, raw in client.poll(TURN_S):
            if isinstance(body, AlarmMessage | EventMessage):
                out.write(raw.decode() + "\n")
                out.flush()
        if resume is not None and (position := client.position) is not None and position != kept:
            save_position(resume, position)
            kept = position
        if client.state != said:
            said = client.state
            print(f"ecg-monitor: {_WORDS[said].format(connect=connect)}", file=err, flush=True)
        if client.missed > missed:
            print(f"ecg-monitor: {client.missed - missed} messages could not be had", file=err, flush=True)
            missed = client.missed
        if client.counters["incomplete"] > incomplete:
            print(f"ecg-monitor: {_INCOMPLETE.format(connect=connect)}", file=err, flush=True)
            incomplete = client.counters["incomplete"]


_INCOMPLETE = (
    "the monitor at {connect} no longer has all that was said since: some may be missing here "
    "(its --journal FILE outlives a restart)"
)
_WORDS: dict[ConnectionState, str] = {
    "connecting": "waiting for a monitor at {connect}",
    "connected": "connected to {connect}",
    "stale": "no heartbeat from {connect} for 2 s",
    "lost": "no monitor at {connect} that lets us in, waiting for one",
    "ended": "the monitor at {connect} has ended, waiting for the next",
}


def _reader_gone(out: TextIO) -> Callable[[], bool]:
    """Asks whether the reading end of a pipe was closed; without alarms a write would never find out."""
    try:
        descriptor = out.fileno()
    except (OSError, ValueError, AttributeError):  # no real file
        return lambda: False
    if not hasattr(select, "poll"):
        return lambda: False
    poller = select.poll()
    poller.register(descriptor, 0)
    return lambda: any(event & select.POLLERR for _, event in poller.poll(0))


def _silence(out: TextIO) -> None:
    """Keep the interpreter from complaining of the same broken pipe when it flushes at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
