"""`ecg-monitor export`: one alarm of a journal or of a running monitor as FHIR or HL7, on standard output."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from monitor.commands.journal import JOURNAL_FLAGS, JOURNAL_TEXTS, NEWEST, opened_journal, run_id
from monitor.commands.options import Epoch, Given, KeyFile, takes
from monitor.commands.stdout import standard_output
from monitor.errors import ConfigError
from monitor.terminal import json_line, printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from monitor.client.client import AlarmClient
    from monitor.messages import AlarmMessage, StatusMessage

__all__ = ["Format", "export"]

LAST = "last"  # in place of an id: the newest alarm
_TIMEOUT_S = 10.0  # for a reply of a running monitor
_POLL_S = 0.25


class Format(StrEnum):
    """Output format."""

    FHIR = "fhir"
    HL7 = "hl7"


class _Found(NamedTuple):
    """An alarm with its context.

    Attributes:
        states: messages of the alarm, oldest first.
        statuses: status messages of its bed in the same run, oldest first.
        strip: first sample, sampling rate (Hz) and (channels, n) mV around the onset; None if not kept.
    """

    states: list[AlarmMessage]
    statuses: list[StatusMessage]
    strip: tuple[int, float, NDArray[np.float32]] | None


@takes(*JOURNAL_FLAGS, texts=JOURNAL_TEXTS)
def export(
    alarm_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the alarm, e.g. p1/asystole/8823, or `last`.")],
    given: Given,
    form: Annotated[
        Format, typer.Option("--format", help="fhir: one Bundle; hl7: one ORU^R40 message per state.")
    ] = Format.FHIR,
    connect: Annotated[str | None, typer.Option(help="Alarm socket of a running monitor.")] = None,
    key: KeyFile = None,
    epoch: Epoch = "",
) -> None:
    """Write one alarm with its states and its strip for other systems: FHIR R4 or HL7 v2.6 (IHE PCD-04)."""
    if connect is not None:
        found = _from_bus(connect, alarm_id, epoch, key)
    elif given.keys() & set(JOURNAL_FLAGS):
        found = _from_journal(given, alarm_id, epoch)
    else:
        raise ConfigError("where is the alarm? give --journal FILE, --record FOLDER or --connect tcp://127.0.0.1:5556")
    lead = found.statuses[-1].lead if found.statuses else ""
    paused = [_audio_paused(found, state) for state in found.states]
    if form is Format.FHIR:
        import json

        from monitor.reports.fhir import alarm_bundle

        bundle = alarm_bundle(found.states, strip=found.strip, lead=lead, audio_paused=paused)
        text = json_line(json.dumps(bundle, ensure_ascii=False, allow_nan=False)) + "\n"
    else:
        from monitor.reports.hl7 import alarm_message

        states = zip(found.states, paused, strict=True)
        messages = [alarm_message(state, lead=lead, audio_paused=pause) for state, pause in states]
        text = "".join(f"{message}\n" for message in messages)
        if sys.stdout.isatty():  # there, segments that end in a carriage return would overprint each other
            text = "".join(f"{printable(line)}\n" for line in text.replace("\r", "\n").split("\n"))
    with standard_output("export") as out:
        out.write(text)


def _audio_paused(found: _Found, state: AlarmMessage) -> bool:
    """Whether an audio pause was active: a status is sent once a second and at each begin and end of a pause."""
    before = [status for status in found.statuses if status.sample <= state.sample]
    if not before:
        return False
    last = before[-1]
    return state.sample < last.sample + last.audio_paused_s * last.fs_hz


def _from_journal(given: Given, alarm_id: str, epoch: str) -> _Found:
    """Find an alarm in a journal.

    Raises:
        ConfigError: no journal, run or alarm.
        JournalError: the journal cannot be read.
    """
    with opened_journal(given) as reader:
        run, first = run_id(reader, epoch), next(iter(reader.epochs()), "")

        def read(topic: str) -> Iterator[bytes]:
            for page in reader.pages(topic, first, 0):
                yield from page.bodies

        if alarm_id == LAST:
            beds = [topic.split("/")[1] for topic in reader.topics() if topic.endswith("/alarm/")]
            alarm_id, run = _last(read, beds, run, reader.path, reader.epochs())
        found = _find(read, alarm_id, run, reader.path)
        strip = reader.get_strip(alarm_id, found.states[0].epoch)
    return found if strip is None else found._replace(strip=(strip.first_sample, strip.fs_hz, strip.samples))


def _from_bus(connect: str, alarm_id: str, epoch: str, key: Path | None) -> _Found:
    """Request an alarm from a running monitor.

    Raises:
        BusError, ClientError: not an endpoint, or no reply.
        ConfigError: no such alarm.
    """
    import numpy as np

    from monitor.bus.endpoints import endpoints_from
    from monitor.bus.keys import load_client_key
    from monitor.client.client import AlarmClient
    from monitor.messages import Request

    ends = endpoints_from(connect)
    client_key = load_client_key(key) if key is not None else None
    client = AlarmClient(ends.alarms, ends.control, beds=(), streams=(), key=client_key)
    try:

        def read(topic: str) -> Iterator[bytes]:
            at, seq, more = epoch, 0, True
            while more:
                reply = client.request(Request(op="since", topic=topic, epoch=at, seq=seq), _TIMEOUT_S)
                more, at, seq = (reply.data[key] for key in ("more", "epoch", "seq")) if reply.ok else (False, "", 0)
                yield from map(bytes, reply.messages)

        if alarm_id == LAST:
            alarm_id, epoch = _last(read, _beds(client, connect), epoch, connect)
        found = _find(read, alarm_id, epoch, connect)
        reply = client.request(Request(op="strip", alarm_id=alarm_id, epoch=found.states[0].epoch), _TIMEOUT_S)
    finally:
        client.close()
    if not reply.ok:  # no longer kept
        return found
    rows = np.array([reply.data["raw_mv"], reply.data["filtered_mv"]], dtype=np.float32)  # null becomes NaN
    return found._replace(strip=(reply.data["first_sample"], reply.data["fs_hz"], rows))


def _beds(client: AlarmClient, connect: str) -> tuple[str, ...]:
    """Names of the beds, from a heartbeat.

    Raises:
        ClientError: no heartbeat within `_TIMEOUT_S`.
    """
    from monitor.errors import ClientError
    from monitor.messages import HeartbeatMessage

    until_s = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < until_s:
        for _, body, _ in client.poll(_POLL_S):
            if isinstance(body, HeartbeatMessage):
                return body.beds
    raise ClientError(f"no monitor answers at {connect}; start one, or name its address: --connect")


def _last(
    read: Callable[[str], Iterator[bytes]], beds: Sequence[str], epoch: str, where: str, epochs: Sequence[str] = ()
) -> tuple[str, str]:
    """Id and run of the newest alarm, as `ecg-monitor alarms show last` takes it.

    Args:
        read, epoch, where: as for `_find`.
        beds: names of the beds.
        epochs: ids of the runs, oldest first; empty where there is only one.

    Raises:
        ConfigError: no alarm.
    """
    from monitor.messages import AlarmMessage, bed_topic, decode
    from monitor.reports.episodes import past_alarms

    bodies = (decode(body) for bed in beds for body in read(bed_topic(bed, "alarm")))
    alarms = [body for body in bodies if isinstance(body, AlarmMessage) and epoch in ("", body.epoch)]
    if not alarms:
        raise ConfigError(f"export: no alarm in {where}" + (f" in run {epoch}" if epoch else ""))
    newest = past_alarms(alarms, dict.fromkeys(epochs, ""), {})[-1]
    return newest.last.alarm_id, newest.epoch


def _find(read: Callable[[str], Iterator[bytes]], alarm_id: str, epoch: str, where: str) -> _Found:
    """Find the newest alarm with an id, and the status messages of its bed.

    Args:
        read: returns all bodies of a topic, oldest first.
        alarm_id: id of the alarm.
        epoch: id of the run; empty = the newest run that has the alarm.
        where: journal or endpoint, for the error.

    Raises:
        ConfigError: no such alarm.
    """
    from monitor.messages import AlarmMessage, StatusMessage, bed_topic, decode

    bed, _, rest = alarm_id.partition("/")
    bodies = map(decode, read(bed_topic(bed, "alarm"))) if rest else ()
    alarms = [body for body in bodies if isinstance(body, AlarmMessage)]
    runs = [body.epoch for body in alarms if body.alarm.alarm_id == alarm_id and epoch in ("", body.epoch)]
    if not runs:
        newest = [body.alarm.alarm_id for body in alarms if not body.alarm.update][-NEWEST:]
        others = f"the newest of bed {bed} are {', '.join(dict.fromkeys(newest))}" if newest else (
            f"bed {bed!r} has none; an id is BED/KIND/SAMPLE, as `ecg-monitor tail` prints them"
        )  # fmt: skip
        raise ConfigError(f"export: no alarm {alarm_id!r} in {where}; {others}")
    states = [body for body in alarms if (body.alarm.alarm_id, body.epoch) == (alarm_id, runs[-1])]
    statuses = [body for body in map(decode, read(bed_topic(bed, "status"))) if isinstance(body, StatusMessage)]
    return _Found(states, [status for status in statuses if status.epoch == runs[-1]], None)
