"""`ecg-monitor alarms`: the alarms of a journal as a table, JSON lines or CSV; `show`: one alarm with its strip."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TextIO

import typer

from monitor.commands.journal import JOURNAL_FLAGS, JOURNAL_TEXTS, NEWEST, opened_journal, run_id
from monitor.commands.options import Epoch, Given, takes
from monitor.commands.stdout import standard_output
from monitor.errors import ConfigError
from monitor.terminal import notice

if TYPE_CHECKING:
    from monitor.journal import JournalReader
    from monitor.reports.episodes import PastAlarm

__all__ = ["app"]

_FORMATS: Final = ("table", "jsonl", "csv")
_ACTIONS: Final = 100_000  # newest operator actions that are searched
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
    from monitor.reports.alarm_search import alarm_search

    context.obj = given
    if context.invoked_subcommand is not None:
        return
    if form not in _FORMATS:
        raise ConfigError(f"--format {form}: give {', '.join(_FORMATS)}")
    search = alarm_search(
        datetime.datetime.now(datetime.UTC),
        beds=bed or (), kinds=kind or (), priorities=priority or (), states=state or (), since=since, until=until,
    )  # fmt: skip
    with opened_journal(given) as reader:
        found = [
            alarm
            for alarm in _past(
                reader, bed[0] if bed and len(bed) == 1 else "", run_id(reader.epochs(), epoch, reader.path)
            )
            if search.matches(alarm)
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
        alarm = _find(reader, alarm_id, run_id(reader.epochs(), epoch, reader.path))
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
    from monitor.reports.alarm_strip import draw_alarm_strip

    first = alarm.messages[0].alarm
    strip = reader.get_strip(first.alarm_id, alarm.epoch)
    if strip is None:
        raise ConfigError(f"--svg: the journal has no strip of {first.alarm_id}")
    end = strip.first_sample + strip.samples.shape[1]
    beats = reader.beats(first.bed, alarm.epoch, strip.first_sample, end)
    session = next((s for s in reader.sessions(alarm.epoch) if s.bed == first.bed), None)
    lead, source = (session.lead, session.source) if session else ("", "")
    return draw_alarm_strip(alarm, *strip, beats, lead=lead, source=source, raw=raw)
