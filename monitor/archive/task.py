"""The task of a worker, its outcome, and when an earlier result is still valid."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from monitor import VERSION
from monitor.archive.inputs import InputFile, files_of, unchanged
from monitor.archive.results import Results
from monitor.archive.summary import FORMAT, Summary
from monitor.config import Config

__all__ = ["RecordOutcome", "Task", "fingerprint", "settings_of", "valid_result"]

_SOURCE_KEYS: Final = ("start_s", "duration_s", "channel", "fs_hz", "column", "unit", "mv_per_unit", "seed")


@dataclass(frozen=True, slots=True)
class Task:
    """Score one record.

    Attributes:
        name: of the record, its folder and its bed: `[beds.<name>.alarms]` applies.
        spec: of its source.
        out: folder of the results.
        config: the whole configuration; of `[source]` the keys that concern a record.
        model_sha256: hash of the model, hex; a worker that loads another one fails.
        strips: number of worst strips to draw.
        command: command line, for the summary.
    """

    name: str
    spec: str
    out: Path
    config: Config
    model_sha256: str
    strips: int = 6
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordOutcome:
    """Outcome of a task.

    Attributes:
        name: of the record.
        state: `scored`, `kept` (an earlier result is valid), `busy` (another run scores it now) or `failed`.
        text: of `failed`, one line.
        beats, duration_s, took_s: of `scored`: beats, s of signal, s of work.
    """

    name: str
    state: Literal["scored", "kept", "busy", "failed"]
    text: str = ""
    beats: int = 0
    duration_s: float = 0.0
    took_s: float = 0.0


def settings_of(task: Task) -> dict[str, Any]:
    """The part of the configuration that changes the result of a record."""
    return {
        "source": {key: getattr(task.config.source, key) for key in _SOURCE_KEYS},
        "signal": _every_field(task.config.signal),
        "alarms": _every_field(task.config.alarms_of(task.name)),
        "strips": task.strips,
    }


def _every_field(value: Any) -> Any:
    """A struct as a dict of all its fields.

    `msgspec.to_builtins` leaves out defaults by identity, which a copy in another process no longer has.
    """
    if not isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    return {name: _every_field(getattr(value, name)) for name in value.__struct_fields__}


def fingerprint(task: Task, inputs: Sequence[InputFile]) -> str:
    """SHA-256, hex, of all that a result depends on: of files the name and content, not the folder.

    A source without files (`sim`, a source of another package) counts by its specification.
    """
    content = [[Path(file.path).name, file.size, file.sha256] for file in inputs] or task.spec
    parts = [FORMAT, VERSION, task.name, task.model_sha256, settings_of(task), content]
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()


def valid_result(task: Task, results: Results) -> Summary | None:
    """The earlier result, if its files were not touched since and everything else is the same.

    Raises:
        SourceError: the record does not exist.
    """
    known = results.get(task.name)
    if known is None or known.source != task.spec or not unchanged(known.inputs, files_of(task.spec)):
        return None
    return known if known.fingerprint == fingerprint(task, known.inputs) else None
