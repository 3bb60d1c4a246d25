"""`ecg-monitor review`: a recording in the browser, its alarms and anomalous beats to be confirmed or corrected."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from monitor.commands.options import RECORD_FLAGS, RECORD_TEXTS, Given, Record, settings_of, takes
from monitor.errors import ConfigError, SourceError
from monitor.terminal import notice
from monitor.user_name import user_name

if TYPE_CHECKING:
    from monitor.archive.stored import StoredRecord
    from monitor.config import Config
    from monitor.recording.review_file import ReviewFiles
    from monitor.web.review.desk import ReviewDesk

__all__ = ["review"]

_LISTEN: Final = "127.0.0.1:8081"
_PAGE_FLAGS: Final = ("--keys", "--host", "--cert", "--tls-key")
_KEYS: Final = "Folder of keys (ecg-monitor keys): only persons with a token of it open the page."


@takes(*RECORD_FLAGS, *_PAGE_FLAGS, texts={**RECORD_TEXTS, "--keys": _KEYS})
def review(
    record: Record,
    given: Given,
    out: Annotated[
        Path | None, typer.Option(help="Of a record: folder for its results and labels; scored there unless it is.")
    ] = None,
    listen: Annotated[
        str, typer.Option(help="Address of the page; port 0 = any free one.", show_default=_LISTEN)
    ] = _LISTEN,
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in this machine's browser.")
    ] = False,
    reviewer: Annotated[
        str, typer.Option(help="Your name in the labels; with --keys that of the token.", show_default="user name")
    ] = "",
) -> None:
    """Go through the alarms and anomalous beats of a recording in the browser; labels become WFDB annotations."""
    import webbrowser

    from monitor.commands.signals import stop_on_signals
    from monitor.recording.review_file import ReviewFiles
    from monitor.web.beside import web_options
    from monitor.web.review.routes import review_site
    from monitor.web.server import address_of, bind, serve

    settings = settings_of(given)
    options = web_options(settings)
    stored = _stored(record, out, settings)
    files = ReviewFiles(stored.pieces)
    listening = bind(listen, options)
    with contextlib.closing(listening), _desk(stored, files) as desk:
        stop = threading.Event()
        stop_on_signals(stop)
        address = address_of(listening, options)
        if files.obstacle:
            notice(f"{files.obstacle}: the page can be looked at, but no decision can be saved")

        def ready() -> None:
            notice(f"review of {stored.name} on {address} (not a medical device); Ctrl-C ends it")
            if open_page and not webbrowser.open(address):
                notice("no browser was found here; open that address yourself")

        serve(options, listening, stop, notice, ready, review_site(desk, reviewer or user_name("unknown")))


def _stored(asked: str, out: Path | None, settings: Config) -> StoredRecord:
    """The record of a folder, or of a source that is scored into `out` unless it is."""
    from monitor.archive.stored import stored_record

    path = Path(asked)
    if path.is_dir():
        return stored_record(path)
    if _is_journal(path):
        if path.name == "journal.sqlite":
            return stored_record(path.parent)  # of a recording, beside its beds
        raise ConfigError(
            f"{asked}: a journal keeps 10 s around each alarm, not the signal; record with --record DIR, and review DIR"
        )
    from monitor.archive.beat_table import pyarrow_or_error
    from monitor.archive.records import find_records
    from monitor.archive.results import Results
    from monitor.archive.scoring import score_record
    from monitor.archive.task import Task
    from monitor.engine.assembly import load_scorer

    found = find_records([asked])
    if len(found) != 1:
        raise ConfigError(f"{asked}: {len(found)} records; name one, e.g. {found[0].spec}")
    if out is None:
        raise ConfigError(f"{asked}: give --out DIR, the folder in which its results and labels are kept")
    pyarrow_or_error()
    Results(out)
    sha256 = load_scorer(settings.model).info.sha256
    one = found[0]
    outcome = score_record(Task(one.name, one.spec, out.resolve(), settings, sha256, command=tuple(sys.argv)))
    if outcome.state == "busy":
        raise SourceError(f"{one.spec}: another program scores it into {out} now; try again when it is done")
    if outcome.state == "failed":
        raise SourceError(outcome.text)
    return stored_record(out / one.name)


@contextlib.contextmanager
def _desk(stored: StoredRecord, files: ReviewFiles) -> Iterator[ReviewDesk]:
    """The record under review, after one pass over its signal."""
    import datetime

    from monitor.archive.stored import signal_of
    from monitor.reports.holter.events import events_of
    from monitor.reports.holter.measures import kinds_of
    from monitor.reports.holter.survey import SignalSurvey
    from monitor.web.review.desk import ReviewDesk, ReviewRecord
    from monitor.web.review.signal_store import SignalStore

    beats = stored.beats
    with files, contextlib.closing(SignalStore()) as signal:
        files.read()  # before the long pass: decisions that cannot be read end it
        notice(f"reading the signal of {stored.name} ...")
        survey = SignalSurvey(beats, (), keep=signal.put)
        for first_sample, samples in signal_of(stored):
            survey.put(first_sample, samples)
        survey.finish()
        shapes = survey.clusters.shapes(beats.scored & ~beats.anomalous)
        groups, events = events_of(beats, kinds_of(beats, shapes), shapes, stored.episodes)
        end_sample = max(survey.end_sample, int(beats.r_sample[-1]) + 1 if beats.r_sample.size else 0)
        record = ReviewRecord(
            stored.name, stored.source, stored.drawn_lead, stored.start_time, end_sample, beats, groups, events,
            shapes[0].mean_mv if shapes else None, signal,
        )  # fmt: skip
        yield ReviewDesk(record, files, lambda: datetime.datetime.now(datetime.UTC))


def _is_journal(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(16) == b"SQLite format 3\0"
    except OSError:
        return False
