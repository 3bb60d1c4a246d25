"""`ecg-monitor export`: one alarm of a journal or of a running monitor as FHIR or HL7, on standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.commands.journal import JOURNAL_FLAGS, JOURNAL_TEXTS, opened_journal, run_id
from monitor.commands.options import Epoch, Given, KeyFile, takes
from monitor.commands.stdout import standard_output
from monitor.errors import ConfigError
from monitor.terminal import printable

if TYPE_CHECKING:
    from monitor.reports.alarm_export import FoundAlarm

__all__ = ["Format", "export"]

LAST = "last"  # in place of an id: the newest alarm
_TIMEOUT_S = 60.0  # for all replies of a running monitor


class Format(StrEnum):
    """Output format."""

    FHIR = "fhir"
    HL7 = "hl7"


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
    from monitor.reports.alarm_export import fhir_text, hl7_text

    if connect is not None:
        found = _from_bus(connect, alarm_id, epoch, key)
    elif given.keys() & set(JOURNAL_FLAGS):
        found = _from_journal(given, alarm_id, epoch)
    else:
        raise ConfigError("where is the alarm? give --journal FILE, --record FOLDER or --connect tcp://127.0.0.1:5556")
    if form is Format.FHIR:
        text = fhir_text(found)
    else:
        text = hl7_text(found)
        if sys.stdout.isatty():  # there, segments that end in a carriage return would overprint each other
            text = "".join(f"{printable(line)}\n" for line in text.replace("\r", "\n").split("\n"))
    with standard_output("export") as out:
        out.write(text)


def _from_journal(given: Given, alarm_id: str, epoch: str) -> FoundAlarm:
    """Find an alarm in a journal.

    Raises:
        ConfigError: no journal, run or alarm.
        JournalError: the journal cannot be read.
    """
    from monitor.reports.alarm_export import find_alarm, last_alarm

    with opened_journal(given) as reader:
        epochs = reader.epochs()
        run, first = run_id(epochs, epoch, reader.path), next(iter(epochs), "")

        def read(topic: str) -> Iterator[bytes]:
            for page in reader.pages(topic, first, 0):
                yield from page.bodies

        if alarm_id == LAST:
            beds = [topic.split("/")[1] for topic in reader.topics() if topic.endswith("/alarm/")]
            alarm_id, run = last_alarm(read, beds, run, reader.path, epochs)
        found = find_alarm(read, alarm_id, run, reader.path)
        strip = reader.get_strip(alarm_id, found.states[0].epoch)
    return found if strip is None else found._replace(strip=(strip.first_sample, strip.fs_hz, strip.samples))


def _from_bus(connect: str, alarm_id: str, epoch: str, key: Path | None) -> FoundAlarm:
    """Request an alarm from a running monitor.

    Raises:
        BusError, ClientError: not an endpoint, or no reply.
        ConfigError: no such alarm.
    """
    from monitor.bus.endpoints import endpoints_from
    from monitor.bus.keys import load_client_key
    from monitor.client.client import AlarmClient
    from monitor.client.past import Past
    from monitor.reports.alarm_export import find_alarm, last_alarm

    ends = endpoints_from(connect)
    client_key = load_client_key(key) if key is not None else None
    client = AlarmClient(ends.alarms, ends.control, beds=(), streams=(), key=client_key)
    past = Past(client, _TIMEOUT_S)
    try:
        epochs = [run.epoch for run in past.runs().runs]
        if epochs:  # none of an older monitor
            epoch = run_id(epochs, epoch, connect)
        first = epoch or next(iter(epochs), "")

        def read(topic: str) -> Iterator[bytes]:
            for bodies, _, _ in past.pages(topic, first, 0):
                yield from bodies

        if alarm_id == LAST:
            alarm_id, epoch = last_alarm(read, past.beds(connect), epoch, connect, epochs)
        found = find_alarm(read, alarm_id, epoch, connect)
        strip = past.strip(alarm_id, found.states[0].epoch)
    finally:
        client.close()
    return found if strip is None else found._replace(strip=(strip.first_sample, strip.fs_hz, strip.rows))
