"""`ecg-monitor report`: hours of a record as one HTML document that prints."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.commands.options import RECORD_FLAGS, RECORD_TEXTS, Given, Record, Reviewed, settings_of, takes
from monitor.errors import ConfigError
from monitor.terminal import notice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitor.archive.stored import StoredRecord

__all__ = ["report"]


@takes(*RECORD_FLAGS, texts=RECORD_TEXTS)
def report(
    record: Record,
    out: Annotated[Path, typer.Option(help="HTML file to write; an existing one is replaced.")],
    given: Given,
    name: Annotated[str, typer.Option("--name", help="Name of the patient.")] = "",
    number: Annotated[str, typer.Option("--id", help="Id of the patient.")] = "",
    birth: Annotated[str, typer.Option("--birth", help="Date of birth.")] = "",
    comment: Annotated[str, typer.Option("--comment", help="Free text.")] = "",
    full: Annotated[bool, typer.Option("--full", help="Add the whole signal, one minute a line.")] = False,
    review: Reviewed = True,
) -> None:
    """Write a report: rates, variability, ectopic beats, rhythms, shapes and strips, as one HTML file that prints."""
    from monitor.archive.stored import as_reviewed, stored_or_scored
    from monitor.atomic_file import replace_file

    if out.is_dir() or not out.parent.is_dir():
        why = "is a folder" if out.is_dir() else f"there is no folder {out.parent}"
        raise ConfigError(f"--out {out}: {why}; name a file, e.g. report.html")
    fields = (("Patient", name), ("Id", number), ("Born", birth), ("Comment", comment))
    with stored_or_scored(record, settings_of(given)) as stored:
        counted, summary = as_reviewed(stored) if review else (stored, None)
        reviewed = summary.text if summary else ""
        text = _document(counted, [(title, value or "not given") for title, value in fields], reviewed, full=full)
    try:
        replace_file(out, text.encode("utf-8", "replace"))
    except OSError as error:
        raise ConfigError(f"--out {out}: {error.strerror}; name a file that can be written") from None
    if reviewed:
        notice(f"reviewed: {reviewed}")
    notice(f"{counted.beats.r_sample.size} beats of {stored.source} in {out}; print it with a browser for PDF")


def _document(stored: StoredRecord, patient: Sequence[tuple[str, str]], review: str, *, full: bool) -> str:
    from monitor import VERSION
    from monitor.archive.stored import signal_of
    from monitor.reports.holter.hrv import heart_rate_variability
    from monitor.reports.holter.html import HolterFacts, holter_html
    from monitor.reports.holter.measures import HOUR_S, SHORT_RECORD_S, SHORT_S, by_hour, kinds_of, patterns_of
    from monitor.reports.holter.strips import choose_strips
    from monitor.reports.holter.survey import SignalSurvey

    beats = stored.beats
    strips = choose_strips(beats, stored.episodes)
    survey = SignalSurvey(beats, [(strip.first_sample, strip.n) for strip in strips], full=full)
    for first_sample, samples in signal_of(stored):
        survey.put(first_sample, samples)
    survey.finish()
    shapes = survey.clusters.shapes(beats.scored & ~beats.anomalous)
    kinds = kinds_of(beats, shapes)
    end_s = survey.end_sample / beats.fs_hz
    every_s = HOUR_S if end_s > SHORT_RECORD_S else SHORT_S
    return holter_html(
        HolterFacts(
            name=stored.name,
            source=stored.source,
            lead=stored.drawn_lead,
            start_time=stored.start_time,
            made=f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
            version=VERSION,
            model=stored.model,
            patient=patient,
            samples_lost=stored.samples_lost,
            beats=beats,
            kinds=kinds,
            patterns=patterns_of(beats, kinds.ventricular),
            hours=by_hour(beats, kinds, end_s, every_s),
            every_s=every_s,
            hrv=heart_rate_variability(beats),
            shapes=shapes,
            episodes=stored.episodes,
            strips=strips,
            survey=survey,
            full=full,
            review=review,
        )
    )
