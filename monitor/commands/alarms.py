"""`ecg-monitor alarms`: what the journal knows of alarms, as a table, JSON lines or CSV, and one of them in full."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from monitor.config import AlarmsConfig, Config, load_config, merge
from monitor.errors import ConfigError

if TYPE_CHECKING:
    from monitor.journal import JournalReader
    from monitor.reports.episodes import PastAlarm

__all__ = ["app"]

FORMATS = ("table", "jsonl", "csv")
PRIORITIES = ("high", "medium", "low")
_ACTIONS = 100_000  # newest operator actions that are searched
_NEWEST = 3  # ids named where the one asked for is not there
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}

app = typer.Typer(
    add_completion=False, invoke_without_command=True, help="List alarms out of a journal; show one in full."
)

JournalOption = Annotated[
    str | None, typer.Option(envvar="ECG_MONITOR_JOURNAL", help="The journal, also of a monitor that runs.")
]
RecordOption = Annotated[
    str | None, typer.Option(envvar="ECG_MONITOR_RECORD", help="Folder of a recorded session: its journal.sqlite.")
]
ConfigOption = Annotated[
    Path | None, typer.Option(envvar="ECG_MONITOR_CONFIG", help="Configuration file that names journal or folder.")
]
EpochOption = Annotated[str, typer.Option(help="Only this run: its id or how it begins, or `last`.")]


@app.callback()
def alarms(
    context: typer.Context,
    journal: JournalOption = None,
    record: RecordOption = None,
    config: ConfigOption = None,
    bed: Annotated[list[str] | None, typer.Option(help="Only this bed; may be repeated, as the next three.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Only this kind, e.g. asystole.")] = None,
    priority: Annotated[list[str] | None, typer.Option(help="Only high, medium or low.")] = None,
    state: Annotated[
        list[str] | None, typer.Option(help="Only onset, latched, acknowledged, cleared, ended, died, or open.")
    ] = None,
    since: Annotated[
        str, typer.Option(help="Only from then on: 2026-01-31, 2026-01-31T08:00, or 2h, 3d before now.")
    ] = "",
    until: Annotated[str, typer.Option(help="Only before then.")] = "",
    epoch: EpochOption = "",
    limit: Annotated[int, typer.Option(min=0, help="The newest so many; 0 = all.")] = 100,
    form: Annotated[str, typer.Option("--format", help="table, jsonl or csv.")] = "table",
) -> None:
    """List alarms out of a journal, oldest first; times are the stream's."""
    context.obj = journal, record, config
    if context.invoked_subcommand is not None:
        return
    _one_of("--format", [form], FORMATS)
    _one_of("--priority", priority, PRIORITIES)
    states = [_OUTCOMES.get(word, word) for word in state or ()]
    _one_of("--state", state, (*_OUTCOMES, "open"))
    _one_of("--kind", kind, AlarmsConfig.__struct_fields__)
    now = datetime.datetime.now(datetime.UTC)
    first, last = _moment("--since", since, now), _moment("--until", until, now)
    with _opened(journal, record, config) as reader:
        found = [
            alarm
            for alarm in _past(reader, bed[0] if bed and len(bed) == 1 else "", _epoch(reader, epoch))
            if (not bed or alarm.last.bed in bed)
            and (not kind or alarm.last.kind in kind)
            and (not priority or alarm.last.priority in priority)
            and (not state or alarm.outcome in states or ("open" in states and alarm.outcome in _OPEN))
            and (first is None or alarm.onset_time >= first)
            and (last is None or alarm.onset_time < last)
        ]
    shown = found[-limit:] if limit else found
    with _quietly(sys.stdout):
        _writer(form)(shown, sys.stdout)
    if len(shown) < len(found):
        print(f"ecg-monitor: the newest {len(shown)} of {len(found)}; --limit 0 gives all", file=sys.stderr)


@app.command()
def show(
    context: typer.Context,
    alarm_id: Annotated[str, typer.Argument(metavar="ID", help="Of the alarm, e.g. p1/asystole/8823, or `last`.")],
    svg: Annotated[
        Path | None, typer.Option(help="Draw its strip on ECG paper into this file; - = standard output.")
    ] = None,
    raw: Annotated[bool, typer.Option(help="Draw the signal as it came, not filtered.")] = False,
    journal: JournalOption = None,
    record: RecordOption = None,
    config: ConfigOption = None,
    epoch: EpochOption = "",
) -> None:
    """Show one alarm: its states, its evidence, who acknowledged it, and its strip."""
    above = context.obj or (None, None, None)  # `alarms --journal FILE show ID` is meant as it reads
    with _opened(
        above[0] if journal is None else journal,
        above[1] if record is None else record,
        above[2] if config is None else config,
    ) as reader:
        alarm = _find(reader, alarm_id, _epoch(reader, epoch))
        drawn = _drawn(reader, alarm, raw) if svg is not None else ""
        text = _report(reader, alarm)
    with _quietly(sys.stdout):
        sys.stdout.write(drawn if svg is not None and str(svg) == "-" else text)
    if svg is not None and str(svg) != "-":
        try:
            svg.write_text(drawn, encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"--svg {svg}: {error.strerror}; name a file that can be written") from None


def _writer(form: str) -> Callable[[list[PastAlarm], TextIO], None]:
    if form == "table":
        from monitor.commands.alarm_table import write_table

        return write_table
    from monitor.reports.alarm_list import write_csv, write_json_lines

    return write_csv if form == "csv" else write_json_lines


# -- finding -------------------------------------------------------------------------------------------------

_OUTCOMES = {
    "onset": "onset", "latched": "latched", "acknowledged": "acknowledged", "cleared": "cleared",
    "ended": "monitor ended", "died": "monitor died",
}  # fmt: skip
_OPEN = ("onset", "latched", "acknowledged")


@contextlib.contextmanager
def _opened(journal: str | None, record: str | None, config: Path | None) -> Iterator[JournalReader]:
    """The journal that is meant; what goes wrong while it is read is one line.

    Raises:
        ConfigError: none is named.
        JournalError: it cannot be read.
    """
    import sqlite3

    from monitor.journal import JournalReader
    from monitor.journal.file import journal_error

    settings = load_config(config) if config is not None else Config()
    settings = merge(settings, {"journal": {"path": journal}} if journal is not None else {}, "--journal")
    settings = merge(settings, {"record": {"folder": record}} if record is not None else {}, "--record")
    path = settings.journal.path
    if not path and settings.record.folder:
        path = str(Path(settings.record.folder) / "journal.sqlite")
    if not path or path == ":memory:":
        raise ConfigError(
            "alarms: which journal? give --journal FILE or --record FOLDER as the monitor was given, "
            "or set ECG_MONITOR_JOURNAL"
        )
    reader = JournalReader(path)
    try:
        yield reader
    except sqlite3.Error as error:
        raise journal_error(path, error, reading=True) from error
    finally:
        reader.close()


def _past(reader: JournalReader, bed: str = "", epoch: str = "", alarm_id: str = "") -> list[PastAlarm]:
    from monitor.messages import AlarmMessage, decode
    from monitor.reports.episodes import past_alarms

    bodies = (decode(raw) for raw in reader.alarms(bed, epoch, alarm_id))
    alarms = (body for body in bodies if isinstance(body, AlarmMessage))
    ended = {run.epoch: run.ended for run in reader.runs()}
    rates_hz = {(session.epoch, session.bed): session.fs_hz for session in reader.sessions()}
    return past_alarms(alarms, ended, rates_hz)


def _find(reader: JournalReader, alarm_id: str, epoch: str) -> PastAlarm:
    """The alarm of that id in the newest run that has it.

    Raises:
        ConfigError: there is none.
    """
    found = _past(reader, "", epoch, "" if alarm_id == "last" else alarm_id)
    if found:
        return found[-1]
    newest = ", ".join(alarm.last.alarm_id for alarm in _past(reader, "", epoch)[-_NEWEST:])
    run = f" of run {epoch}" if epoch else ""
    raise ConfigError(f"alarms: no alarm {alarm_id!r} in {reader.path}{run}; the newest are {newest or 'none at all'}")


def _epoch(reader: JournalReader, asked: str) -> str:
    """The run meant by an id, its beginning, or `last`; empty = all.

    Raises:
        ConfigError: none, or more than one.
    """
    epochs = reader.epochs()
    if not asked or asked in epochs:
        return asked
    if asked == "last" and epochs:
        return epochs[-1]
    fitting = [name for name in epochs if name.startswith(asked)]
    if len(fitting) != 1:
        said = "is not one run" if fitting else "is no run"
        raise ConfigError(f"--epoch {asked}: {said} of {reader.path}; the newest are {', '.join(epochs[-_NEWEST:])}")
    return fitting[0]


def _report(reader: JournalReader, alarm: PastAlarm) -> str:
    """Everything that the journal knows of an alarm, as text."""
    from monitor.reports.alarm_report import Operation, RunFacts, SourceFacts, report

    alarm_id, bed, epoch = alarm.last.alarm_id, alarm.last.bed, alarm.epoch
    run = next((run for run in reader.runs() if run.epoch == epoch), None)
    strip = reader.get_strip(alarm_id, epoch)
    return report(
        alarm,
        run=None if run is None else RunFacts(run.version, run.started_s, run.ended, run.ended_s),
        sources=[SourceFacts(s.source, s.lead, s.fs_hz) for s in reader.sessions(epoch) if s.bed == bed],
        operations=[
            Operation(a.wall_s, a.who, a.what, a.detail)
            for a in reader.actions(_ACTIONS)
            if (a.alarm_id, a.epoch) == (alarm_id, epoch)
        ],
        strip=None if strip is None else (strip.first_sample, strip.samples.shape[1] / strip.fs_hz),
    )


def _drawn(reader: JournalReader, alarm: PastAlarm, raw: bool) -> str:
    """The strip as SVG.

    Raises:
        ConfigError: the journal has none.
    """
    import numpy as np

    from monitor.messages import BeatMessage, decode
    from monitor.reports.marked_beats import marked_beats
    from monitor.reports.strip_svg import StripPicture, draw_strip

    first = alarm.messages[0].alarm
    strip = reader.get_strip(first.alarm_id, alarm.epoch)
    if strip is None:
        raise ConfigError(f"--svg: the journal has no strip of {first.alarm_id} (any more)")
    rows = strip.samples
    samples = rows[0] if raw or len(rows) < 2 else np.where(np.isfinite(rows[0]), rows[1], np.nan)
    end = strip.first_sample + rows.shape[1]
    bodies = [decode(body) for body in reader.beats(first.bed, alarm.epoch, strip.first_sample, end)]
    beats = marked_beats([body for body in bodies if isinstance(body, BeatMessage)], alarm.last)
    session = next((s for s in reader.sessions(alarm.epoch) if s.bed == first.bed), None)
    return draw_strip(
        StripPicture(
            strip.first_sample,
            strip.fs_hz,
            samples,
            first,
            beats,
            f"{alarm.onset_time:%Y-%m-%d %H:%M:%S}",
            session.lead if session else "",
            session.source if session else "",
            "unfiltered" if raw or len(rows) < 2 else "filter 0.5 to 40 Hz",
            f"{first.alarm_id}  ·  run {alarm.epoch}  ·  model {alarm.messages[0].model.name}",
        )
    )


# -- on the way in and out ----------------------------------------------------------------------------------


@contextlib.contextmanager
def _quietly(out: TextIO) -> Iterator[None]:
    """A reader that has seen enough is no error; a full disk is one line.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        yield
        out.flush()
    except OSError as error:
        # Else the interpreter complains of the same error when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
        if not isinstance(error, BrokenPipeError):
            raise ConfigError(f"alarms: standard output: {error.strerror}; write somewhere else") from None


def _one_of(flag: str, values: list[str] | None, known: tuple[str, ...]) -> None:
    for value in values or ():
        if value not in known:
            raise ConfigError(f"{flag} {value}: give {', '.join(known)}")


def _moment(flag: str, text: str, now: datetime.datetime) -> datetime.datetime | None:
    """A date, a time, or so long before now.

    Raises:
        ConfigError: none of these.
    """
    from monitor.reports.episodes import moment

    if not text:
        return None
    with contextlib.suppress(ValueError, OverflowError):
        ago = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
        if ago is not None:
            return now - datetime.timedelta(seconds=float(ago[1]) * _UNITS_S[ago[2]])
        return moment(text)
    raise ConfigError(
        f"{flag} {text}: give a date (2026-01-31), a time (2026-01-31T08:00, UTC) or how long ago (90m, 2h, 3d)"
    )
