"""What is asked of a worker, what it answers, and when a result still stands."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from monitor import VERSION
from monitor.archive.inputs import InputFile, files_of, unchanged
from monitor.archive.results import Results
from monitor.archive.summary import FORMAT, Summary
from monitor.config import Config

__all__ = ["Outcome", "Task", "fingerprint", "settings_of", "still_stands"]

_SOURCE_KEYS: Final = ("start_s", "duration_s", "channel", "fs_hz", "column", "unit", "mv_per_unit", "seed")


@dataclass(frozen=True, slots=True)
class Task:
    """Score one record.

    Attributes:
        name: of its folder, and of its bed: `[beds.<name>.alarms]` holds for it.
        spec: of its source.
        out: folder of the results.
        config: the whole configuration; of `[source]` what concerns a record.
        model_sha256: of the model, hex; another file by then is an error.
        strips: how many of the worst to draw.
        command: as it was given, for the summary.
    """

    name: str
    spec: str
    out: Path
    config: Config
    model_sha256: str
    strips: int = 6
    command: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task.

    Attributes:
        name: of the record.
        state: `scored`; `there` (a result of before still stands); `busy` (another run scores it now); `failed`.
        text: of `failed`, one line.
        beats, duration_s, took_s: of `scored`: beats, s of signal, s of work.
    """

    name: str
    state: Literal["scored", "there", "busy", "failed"]
    text: str = ""
    beats: int = 0
    duration_s: float = 0.0
    took_s: float = 0.0


def settings_of(task: Task) -> dict[str, Any]:
    """What of the configuration changes the result of a record."""
    source = {key: getattr(task.config.source, key) for key in _SOURCE_KEYS}
    alarms = msgspec.to_builtins(task.config.alarms_of(task.name))
    return {
        "source": source,
        "signal": msgspec.to_builtins(task.config.signal),
        "alarms": alarms,
        "strips": task.strips,
    }


def fingerprint(task: Task, inputs: Sequence[InputFile]) -> str:
    """SHA-256, hex, over all that a result depends on; of files their content, not where they lie.

    A source that is not made of files (`sim`, a source of another package) is taken by its words.
    """
    made_of = [[Path(file.path).name, file.size, file.sha256] for file in inputs] or task.spec
    told = [FORMAT, VERSION, task.name, task.model_sha256, settings_of(task), made_of]
    return hashlib.sha256(msgspec.json.encode(told, order="deterministic")).hexdigest()


def still_stands(task: Task, results: Results) -> Summary | None:
    """The result of before, where its files have not been touched since and everything else is the same.

    Raises:
        SourceError: the record is not there.
    """
    known = results.get(task.name)
    if known is None or known.source != task.spec or not unchanged(known.inputs, files_of(task.spec)):
        return None
    return known if known.fingerprint == fingerprint(task, known.inputs) else None
