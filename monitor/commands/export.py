"""`ecg-monitor export`: one alarm out of a journal, or of a running monitor, as FHIR or HL7, on standard output."""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from monitor.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from monitor.messages import AlarmMessage, Message, StatusMessage

__all__ = ["Format", "export"]

_NEWEST = 3  # ids named where the one asked for is not there
_TIMEOUT_S = 10.0  # for a reply of a running monitor


class Format(StrEnum):
    """What an alarm is written as."""

    FHIR = "fhir"
    HL7 = "hl7"


class _Found(NamedTuple):
    """One alarm.

    Attributes:
        states: its messages, oldest first.
        statuses: of its bed in its run, oldest first.
        strip: first sample, sampling rate (Hz) and (channels, n) mV around the onset; None where there is none.
    """

    states: list[AlarmMessage]
    statuses: list[StatusMessage]
    strip: tuple[int, float, NDArray[np.float32]] | None


def export(
    alarm_id: Annotated[str, typer.Argument(metavar="ID", help="Of the alarm, e.g. p1/asystole/8823.")],
    form: Annotated[Format, typer.Option("--format", help="fhir: one Bundle; hl7: one ORU^R40 a state.")] = Format.FHIR,
    journal: Annotated[
        Path | None, typer.Option(envvar="ECG_MONITOR_JOURNAL", help="Journal of a monitor, also of one that runs.")
    ] = None,
    connect: Annotated[str | None, typer.Option(help="Alarm socket of a running monitor instead.")] = None,
    key: Annotated[
        Path | None, typer.Option(envvar="ECG_MONITOR_KEY", help="--connect: our key file, for a monitor with --keys.")
    ] = None,
    epoch: Annotated[str, typer.Option(help="Run it belongs to; default: the newest with this id.")] = "",
) -> None:
    """Write one alarm with its states and its strip for other systems: FHIR R4 or HL7 v2.6 (IHE PCD-04)."""
    if connect is not None:
        found = _from_bus(connect, alarm_id, epoch, key)
    elif journal is not None:
        found = _from_journal(journal, alarm_id, epoch)
    else:
        raise ConfigError("export: say where the alarm is, --journal FILE or --connect tcp://127.0.0.1:5556")
    _write(_as_fhir(found) if form is Format.FHIR else _as_hl7(found, sys.stdout.isatty()))


def _write(text: str) -> None:
    """All of it, or one line that says why not; a reader that has seen enough is no error.

    Raises:
        ConfigError: it cannot be written, e.g. on a full disk.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # Else the interpreter complains of the same error when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise ConfigError(f"export: standard output: {error.strerror}; write somewhere else") from None


def _as_fhir(found: _Found) -> str:
    from monitor.reports.fhir import alarm_bundle

    paused = [_audio_paused(found, state) for state in found.states]
    bundle = alarm_bundle(found.states, strip=found.strip, lead=_lead(found), audio_paused=paused)
    return json.dumps(bundle, ensure_ascii=False, allow_nan=False) + "\n"


def _as_hl7(found: _Found, to_a_person: bool) -> str:
    """Messages, a line feed after each; on a terminal a line a segment, for carriage returns would overprint them."""
    from monitor.reports.hl7 import alarm_message

    messages = [
        alarm_message(state, lead=_lead(found), audio_paused=_audio_paused(found, state)) for state in found.states
    ]
    return "".join((message.replace("\r", "\n") if to_a_person else message) + "\n" for message in messages)


def _lead(found: _Found) -> str:
    return found.statuses[-1].lead if found.statuses else ""


def _audio_paused(found: _Found, state: AlarmMessage) -> bool:
    """By the last status before the state; statuses come once a second, and at once when a pause begins or ends."""
    before = [status for status in found.statuses if status.sample <= state.sample]
    if not before:
        return False
    last = before[-1]
    return state.sample < last.sample + last.audio_paused_s * last.fs_hz


def _from_journal(path: Path, alarm_id: str, epoch: str) -> _Found:
    """Look an alarm up in a journal.

    Raises:
        ConfigError: no such file, run or alarm.
        JournalError: no journal.
    """
    from monitor.journal import JournalReader

    if not path.is_file():
        raise ConfigError(f"export: no journal {path}; give the file that a monitor wrote with --journal or --record")
    journal = JournalReader(path)
    try:
        epochs = journal.epochs()
        if epoch and epoch not in epochs:
            raise ConfigError(f"export: no run {epoch!r} in {path}; it has {', '.join(epochs[-_NEWEST:]) or 'none'}")

        def read(topic: str) -> Iterator[bytes]:
            at, seq, more = (epochs[0], 0, True) if epochs else ("", 0, False)
            while more:
                bodies, _, more, at, seq = journal.since(topic, at, seq)
                yield from bodies

        found = _find(read, alarm_id, epoch, str(path))
        strip = journal.get_strip(alarm_id, found.states[0].epoch)
        return found if strip is None else found._replace(strip=(strip.first_sample, strip.fs_hz, strip.samples))
    finally:
        journal.close()


def _from_bus(connect: str, alarm_id: str, epoch: str, key: Path | None) -> _Found:
    """Ask a running monitor for an alarm of its run.

    Raises:
        BusError, ClientError: no endpoint, or nobody answers.
        ConfigError: no such alarm.
    """
    import numpy as np

    from monitor.bus.endpoints import endpoints_from
    from monitor.bus.keys import load_client_key
    from monitor.client.client import AlarmClient
    from monitor.messages import Request

    ends = endpoints_from(connect)
    ours = load_client_key(key) if key is not None else None
    client = AlarmClient(ends.alarms, ends.control, beds=(), streams=(), key=ours)
    try:

        def read(topic: str) -> Iterator[bytes]:
            at, seq, more = epoch, 0, True
            while more:
                reply = client.request(Request(op="since", topic=topic, epoch=at, seq=seq), _TIMEOUT_S)
                more, at, seq = (reply.data[key] for key in ("more", "epoch", "seq")) if reply.ok else (False, "", 0)
                yield from map(bytes, reply.messages)

        found = _find(read, alarm_id, epoch, connect)
        reply = client.request(Request(op="strip", alarm_id=alarm_id, epoch=found.states[0].epoch), _TIMEOUT_S)
    finally:
        client.close()
    if not reply.ok:  # no longer kept
        return found
    rows = np.array([reply.data["raw_mv"], reply.data["filtered_mv"]], dtype=np.float32)  # null becomes NaN
    return found._replace(strip=(reply.data["first_sample"], reply.data["fs_hz"], rows))


def _find(read: Callable[[str], Iterator[bytes]], alarm_id: str, epoch: str, where: str) -> _Found:
    """The states of an alarm, of the newest run that has it, and what its bed said of itself then.

    Args:
        read: all bodies of a topic, oldest first.
        alarm_id, epoch: wanted; an empty epoch is the newest.
        where: they are looked for, for the error.

    Raises:
        ConfigError: it is not there.
    """
    from monitor.messages import AlarmMessage, StatusMessage, bed_topic

    bed, _, rest = alarm_id.partition("/")
    topic, statuses = bed_topic(bed, "alarm"), bed_topic(bed, "status")
    known = [body for raw in (read(topic) if rest else ()) if isinstance(body := _decoded(raw), AlarmMessage)]
    runs = [body.epoch for body in known if body.alarm.alarm_id == alarm_id and epoch in ("", body.epoch)]
    if not runs:
        newest = [body.alarm.alarm_id for body in known if not body.alarm.update][-_NEWEST:]
        others = f"the newest of bed {bed} are {', '.join(dict.fromkeys(newest))}" if newest else (
            f"bed {bed!r} has none; an id is BED/KIND/SAMPLE, as `ecg-monitor tail` prints them"
        )  # fmt: skip
        raise ConfigError(f"export: no alarm {alarm_id!r} in {where}; {others}")
    states = [body for body in known if (body.alarm.alarm_id, body.epoch) == (alarm_id, runs[-1])]
    of_run = itertools.filterfalse(lambda body: body.epoch != runs[-1], map(_decoded, read(statuses)))
    return _Found(states, [body for body in of_run if isinstance(body, StatusMessage)], None)


def _decoded(raw: bytes) -> Message:
    from monitor.messages import decode

    return decode(raw)
