"""One past alarm as FHIR or HL7 text. Pure: the messages are read by a function of the caller."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.errors import ConfigError
from monitor.messages import AlarmMessage, StatusMessage, bed_topic, decode
from monitor.reports.episodes import past_alarms
from monitor.reports.fhir import alarm_bundle
from monitor.reports.hl7 import alarm_message
from monitor.terminal import json_line

__all__ = ["FoundAlarm", "Read", "fhir_text", "find_alarm", "hl7_text", "last_alarm"]

_NEWEST: Final = 3  # ids listed when the requested one does not exist

Read = Callable[[str], Iterator[bytes]]
"""Returns all bodies of a topic, oldest first."""


class FoundAlarm(NamedTuple):
    """An alarm with its context.

    Attributes:
        states: messages of the alarm, oldest first.
        statuses: status messages of its bed in the same run, oldest first.
        strip: first sample, sampling rate (Hz) and (channels, n) mV around the onset; None if not kept.
    """

    states: list[AlarmMessage]
    statuses: list[StatusMessage]
    strip: tuple[int, float, NDArray[np.float32]] | None

    @property
    def lead(self) -> str:
        """Name of the lead; empty if not known."""
        return self.statuses[-1].lead if self.statuses else ""

    @property
    def paused(self) -> list[bool]:
        """For each state, whether an audio pause was active."""
        return [_audio_paused(self.statuses, state) for state in self.states]


def fhir_text(found: FoundAlarm) -> str:
    """One line: a FHIR R4 Bundle."""
    bundle = alarm_bundle(found.states, strip=found.strip, lead=found.lead, audio_paused=found.paused)
    return json_line(json.dumps(bundle, ensure_ascii=False, allow_nan=False)) + "\n"


def hl7_text(found: FoundAlarm) -> str:
    """One ORU^R40 message a line; segments end in a carriage return."""
    states = zip(found.states, found.paused, strict=True)
    messages = [alarm_message(state, lead=found.lead, audio_paused=paused) for state, paused in states]
    return "".join(f"{message}\n" for message in messages)


def last_alarm(read: Read, beds: Sequence[str], epoch: str, where: str, epochs: Sequence[str] = ()) -> tuple[str, str]:
    """Id and run of the newest alarm, as `ecg-monitor alarms show last` takes it.

    Args:
        read, epoch, where: as for `find_alarm`.
        beds: names of the beds.
        epochs: ids of the runs, oldest first; empty where there is only one.

    Raises:
        ConfigError: no alarm.
    """
    bodies = (decode(body) for bed in beds for body in read(bed_topic(bed, "alarm")))
    alarms = [body for body in bodies if isinstance(body, AlarmMessage) and epoch in ("", body.epoch)]
    if not alarms:
        raise ConfigError(f"export: no alarm in {where}" + (f" in run {epoch}" if epoch else ""))
    newest = past_alarms(alarms, dict.fromkeys(epochs, ""), {})[-1]
    return newest.last.alarm_id, newest.epoch


def find_alarm(read: Read, alarm_id: str, epoch: str, where: str) -> FoundAlarm:
    """Find the newest alarm with an id, and the status messages of its bed.

    Args:
        read: returns all bodies of a topic, oldest first.
        alarm_id: id of the alarm.
        epoch: id of the run; empty = the newest run that has the alarm.
        where: journal or endpoint, for the error.

    Raises:
        ConfigError: no such alarm.
    """
    bed, _, rest = alarm_id.partition("/")
    bodies = map(decode, read(bed_topic(bed, "alarm"))) if rest else ()
    alarms = [body for body in bodies if isinstance(body, AlarmMessage)]
    runs = [body.epoch for body in alarms if body.alarm.alarm_id == alarm_id and epoch in ("", body.epoch)]
    if not runs:
        newest = [body.alarm.alarm_id for body in alarms if not body.alarm.update][-_NEWEST:]
        others = f"the newest of bed {bed} are {', '.join(dict.fromkeys(newest))}" if newest else (
            f"bed {bed!r} has none; an id is BED/KIND/SAMPLE, as `ecg-monitor tail` prints them"
        )  # fmt: skip
        raise ConfigError(f"export: no alarm {alarm_id!r} in {where}; {others}")
    states = [body for body in alarms if (body.alarm.alarm_id, body.epoch) == (alarm_id, runs[-1])]
    statuses = [body for body in map(decode, read(bed_topic(bed, "status"))) if isinstance(body, StatusMessage)]
    return FoundAlarm(states, [status for status in statuses if status.epoch == runs[-1]], None)


def _audio_paused(statuses: Sequence[StatusMessage], state: AlarmMessage) -> bool:
    """Whether an audio pause was active: a status is sent once a second and at each begin and end of a pause."""
    before = [status for status in statuses if status.sample <= state.sample]
    if not before:
        return False
    last = before[-1]
    return state.sample < last.sample + last.audio_paused_s * last.fs_hz
