"""`ecg-monitor alarms`: the alarms of a journal as a table, JSON lines or CSV; `show`: one alarm with its strip."""

from __future__ import annotations

import contextlib
import datetime
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TextIO

import typer

from monitor.commands.journal import JOURNAL_FLAGS, JOURNAL_TEXTS, NEWEST, opened_journal, run_id
from monitor.commands.options import Epoch, Given, takes
from monitor.commands.stdout import standard_output
from monitor.config import AlarmsConfig
from monitor.errors import ConfigError
from monitor.terminal import notice

if TYPE_CHECKING:
    from monitor.journal import JournalReader
    from monitor.reports.episodes import PastAlarm

__all__ = ["app"]

_FORMATS: Final = ("table", "jsonl", "csv")
_PRIORITIES: Final = ("high", "medium", "low")
_OUTCOMES: Final = {  # word of --state -> outcome of a PastAlarm
    "onset": "onset", "latched": "latched", "acknowledged": "acknowledged", "cleared": "cleared",
    "ended": "monitor ended", "died": "monitor died",
}  # fmt: skip
_OPEN: Final = ("onset", "latched", "acknowledged")
_ACTIONS: Final = 100_000  # newest operator actions that are searched
_UNITS_S: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
app = typer.Typer(
    add_completion=False, invoke_without_command=True, help="List the alarms of a journal; show one alarm."
)


@app.callback()
@takes(*JOURNAL_FLAGS, texts=JOURNAL_TEXTS)
def alarms(
    context: typer.Context,
    given: Given,
    bed: Annotated[
        list[str] | None, typer.Option(help="Only this bed. This and the next three may be repeated.")
    ] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Only this kind, e.g. asystole.")] = None,
    priority: Annotated[list[str] | None, typer.Option(help="Only this priority: high, medium or low.")] = None,
    state: Annotated[
        list[str] | None,
        typer.Option(help="Only this state: onset, latched, acknowledged, cleared, ended, died, or open."),
    ] = None,
    since: Annotated[
        str, typer.Option(help="Only from this time: 2026-01-31, 2026-01-31T08:00, or 2h, 3d before now.")
    ] = "",
    until: Annotated[str, typer.Option(help="Only before this time.")] = "",
    epoch: Epoch = "",
    limit: Annotated[int, typer.Option(min=0, help="Number of newest alarms; 0 = all.")] = 100,
    form: Annotated[str, typer.Option("--format", help="table, jsonl or csv.")] = "table",
) -> None:
    """List the alarms of a journal, oldest first. Times are those of the signal."""
    context.obj = given
    if context.invoked_subcommand is not None:
        return
    _check("--format", [form], _FORMATS)
    _check("--priority", priority, _PRIORITIES)
    _check("--state", state, (*_OUTCOMES, "open"))
    _check("--kind", kind, AlarmsConfig.__struct_fields__)
    outcomes = {_OUTCOMES.get(word, word) for word in state or ()} | set(_OPEN if "open" in (state or ()) else ())
    now = datetime.datetime.now(datetime.UTC)
    first, last = _time("--since", since, now), _time("--until", until, now)
    with opened_journal(given) as reader:
        found = [
            alarm
            for alarm in _past(reader, bed[0] if bed and len(bed) == 1 else "", run_id(reader, epoch))
            if (not bed or alarm.last.bed in bed)
            and (not kind or alarm.last.kind in kind)
            and (not priority or alarm.last.priority in priority)
            and (not state or alarm.outcome in outcomes)
            and (first is None or alarm.onset_time >= first)
            and (last is None or alarm.onset_time < last)
        ]
    listed = found[-limit:] if limit else found
    with standard_output("alarms") as out:
        _writer(form)(listed, out)
    if len(listed) < len(found):
        notice(f"the newest {len(listed)} of {len(found)} alarms; --limit 0 lists all")


def _writer(form: str) -> Callable[[list[PastAlarm], TextIO], None]:
    if form == "table":
        from monitor.commands.alarm_table import write_alarms

        return write_alarms
    from monitor.reports.alarm_list import write_csv, write_json_lines

    return write_csv if form == "csv" else write_json_lines


@app.command()
@takes(*JOURNAL_FLAGS, texts=JOURNAL_TEXTS)
def show(
    context: typer.Context,
    alarm_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the alarm, e.g. p1/asystole/8823, or `last`.")],
    given: Given,
    svg: Annotated[
        Path | None, typer.Option(help="Draw the strip on ECG paper to this file; - = standard output.")
    ] = None,
    raw: Annotated[bool, typer.Option(help="Draw the unfiltered signal.")] = False,
    epoch: Epoch = "",
) -> None:
    """Show one alarm: its states, its evidence, its operators and its strip."""
    with opened_journal({**(context.obj or {}), **given}) as reader:  # options may stand before or after `show`
        alarm = _find(reader, alarm_id, run_id(reader, epoch))
        drawing = _drawing(reader, alarm, raw) if svg is not None else ""
        text = _report(reader, alarm)
    if svg is not None and str(svg) != "-":
        try:
            svg.write_text(drawing, encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"--svg {svg}: {error.strerror}; name a file that can be written") from None
    with standard_output("alarms") as out:
        out.write(drawing if str(svg) == "-" else text)


def _past(reader: JournalReader, bed: str = "", epoch: str = "", alarm_id: str = "") -> list[PastAlarm]:
    from monitor.messages import AlarmMessage, decode
    from monitor.reports.episodes import past_alarms

    bodies = (decode(raw) for raw in reader.alarms(bed, epoch, alarm_id))
    alarms = (body for body in bodies if isinstance(body, AlarmMessage))
    ended = {run.epoch: run.ended for run in reader.runs()}
    rates_hz = {(session.epoch, session.bed): session.fs_hz for session in reader.sessions()}
    return past_alarms(alarms, ended, rates_hz)


def _find(reader: JournalReader, alarm_id: str, epoch: str) -> PastAlarm:
    """The newest alarm with an id.

    Raises:
        ConfigError: no such alarm.
    """
    found = _past(reader, "", epoch, "" if alarm_id == "last" else alarm_id)
    if found:
        return found[-1]
    newest = ", ".join(alarm.last.alarm_id for alarm in _past(reader, "", epoch)[-NEWEST:])
    run = f" of run {epoch}" if epoch else ""
    raise ConfigError(f"alarms: no alarm {alarm_id!r} in {reader.path}{run}; the newest are {newest or 'none'}")


def _report(reader: JournalReader, alarm: PastAlarm) -> str:
    """All data of the journal on an alarm, as text."""
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


def _drawing(reader: JournalReader, alarm: PastAlarm, raw: bool) -> str:
    """The strip of an alarm as SVG.

    Raises:
        ConfigError: the journal has no strip of it.
    """
    import numpy as np

    from detector.pacer import find_pulses
    from monitor.messages import BeatMessage, decode
    from monitor.reports.marked_beats import marked_beats
    from monitor.reports.strip_svg import StripPicture, draw_strip

    first = alarm.messages[0].alarm
    strip = reader.get_strip(first.alarm_id, alarm.epoch)
    if strip is None:
        raise ConfigError(f"--svg: the journal has no strip of {first.alarm_id}")
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
            pulses=find_pulses(rows[0], strip.fs_hz, strip.first_sample),
        )
    )


def _check(flag: str, values: list[str] | None, known: tuple[str, ...]) -> None:
    for value in values or ():
        if value not in known:
            raise ConfigError(f"{flag} {value}: give {', '.join(known)}")


def _time(flag: str, text: str, now: datetime.datetime) -> datetime.datetime | None:
    """A date, a time, or a duration before now; empty = None.

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
        f"{flag} {text}: give a date (2026-01-31), a time (2026-01-31T08:00, UTC) or a time before now (90m, 2h, 3d)"
    )
