"""`ecg-monitor` without a subcommand: run a monitor, with a dashboard or with one line per alarm."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated

import typer

from monitor import VERSION
from monitor.commands.options import EXIT_INCOMPLETE, OPTIONS, Given, settings_of, takes
from monitor.commands.signals import stop_on_signals
from monitor.commands.stdout import standard_output
from monitor.config import Config
from monitor.errors import SourceError
from monitor.terminal import notice, print_line

if TYPE_CHECKING:
    from monitor.notify.notifier import Notifier
    from monitor.web.beside import WebBeside

__all__ = ["EPILOG", "run"]

_WEB_LINES = 20  # of the web server, printed after the dashboard is closed

EPILOG = (
    "Sources: sim (a synthetic patient, the default), sim:sinus=60,vt=8,asystole=6 (--help-sim lists more), "
    "mitdb:208, nstdb:118e06, cudb:cu01, wfdb:PATH, edf:PATH, ishne:PATH, csv:PATH, or the PATH alone, "
    "- (standard input), serial, zmq:ENDPOINT, lsl:NAME, brainflow:BOARD, ble:NAME, "
    "or a source of an installed package (docs/sources.md). "
    "Exit codes: 0 the end, also by Ctrl-C or SIGTERM; 2 bad input; 3 the recording or the journal is incomplete, or "
    "the source failed. One line on standard error gives the reason. "
    "Command-line options override ECG_MONITOR_* environment variables, which override --config, which overrides the "
    "defaults. Not a medical device."
)


@takes(*OPTIONS, "--beds", "--config")
def run(
    context: typer.Context,
    given: Given,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    help_sim: Annotated[
        bool, typer.Option("--help-sim", help="List the rhythms and options of the synthetic patient and exit.")
    ] = False,
) -> None:
    """Monitor raw ECG: score every beat by its exact likelihood, raise alarms on the screen and on a socket.

    Without options, a synthetic patient on the dashboard.
    """
    if version:
        with standard_output("--version") as out:
            print_line(f"ecg-monitor {VERSION}", out)
        raise typer.Exit
    if help_sim:
        from monitor.sources.simulated.help_text import help_text

        with standard_output("--help-sim") as out:
            for line in help_text().splitlines():
                print_line(line, out)
        raise typer.Exit
    if context.invoked_subcommand is None:
        settings = settings_of(given)
        on_screen = settings.dashboard.enabled and sys.stdin.isatty() and _has_screen()
        if settings.dashboard.bell and not on_screen:
            notice("--bell: without the dashboard no bell rings")
        incomplete = _with_dashboard(settings) if on_screen else _with_lines(settings)
        raise typer.Exit(EXIT_INCOMPLETE if incomplete else 0)


def _with_dashboard(settings: Config) -> bool:
    """Run with the dashboard; returns whether something could not be kept."""
    from monitor.commands.local_dashboard import run_local_dashboard
    from monitor.engine.bed_plan import open_beds

    stop = threading.Event()
    lines: deque[str] = deque(maxlen=_WEB_LINES)
    notifier = _notifier(settings, lines.append)
    with _page(settings, lines.append) as page:
        sources = open_beds(settings)  # before the screen is switched: most errors occur here
        if page is not None:
            notice(f"page on {page.address} (not a medical device)")
        stop_on_signals(stop)
        incomplete = run_local_dashboard(sources, settings, stop, page, notifier)
    for line in (*lines, *incomplete):
        notice(line)
    return bool(incomplete)


def _with_lines(settings: Config) -> bool:
    """Run with one line per alarm; returns whether something could not be kept or printed."""
    from monitor.commands.console_printer import ConsolePrinter
    from monitor.engine.assembly import build_pipeline, load_scorer
    from monitor.engine.bed_plan import open_beds

    stop = threading.Event()
    scorer = load_scorer(settings.model)
    with contextlib.ExitStack() as ending:
        notifier = _notifier(settings, notice)
        page = ending.enter_context(_page(settings, notice))
        sources = open_beds(settings)
        may_wait = settings.source.speed == 0 and not any(source.live for source in sources.values())
        printer = ending.enter_context(ConsolePrinter(stop, may_wait=may_wait))
        pipeline = build_pipeline(sources, settings, scorer, on_alarm=printer.alarm, on_notice=printer.notice)
        stop_on_signals(stop)
        printer.begin(pipeline)
        if page is not None:
            page.start(pipeline.bus.endpoints, pipeline.bus.web_key)
            printer.line(f"page on {page.address}")
        notifier.start(pipeline)
        with contextlib.suppress(SourceError):  # already printed as a notice
            pipeline.run(stop.is_set)
        undelivered = notifier.close()
        printer.end(pipeline, settings)
        for line in undelivered:
            notice(line)
    return bool(pipeline.incomplete or undelivered) or printer.failed


def _notifier(settings: Config, report: Callable[[str], None]) -> Notifier:
    """The receivers of `[notify]`."""
    from monitor.notify.notifier import Notifier

    return Notifier(settings, report)


def _page(settings: Config, report: Callable[[str], None]) -> AbstractContextManager[WebBeside | None]:
    """The web server of `[web]`, with its socket bound; None without an address."""
    if not settings.web.listen:
        return contextlib.nullcontext()
    from monitor.web.beside import WebBeside

    return contextlib.closing(WebBeside(settings, report))


def _has_screen() -> bool:
    if not sys.stdout.isatty():
        return False
    from rich.console import Console

    from monitor.dashboard.live import fits_dashboard

    return fits_dashboard(Console())
