"""The `ecg-monitor` command. Heavy imports happen in the functions that need them: `--help` must answer at once."""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import Annotated

import typer

from monitor import VERSION
from monitor.commands import alarms as alarms_commands
from monitor.commands import keys as keys_commands
from monitor.commands.emulate import emulate, ports
from monitor.commands.export import export
from monitor.commands.fleet import fleet
from monitor.commands.options import (
    EXIT_BAD_INPUT,
    EXIT_INCOMPLETE,
    Beds,
    BedsCount,
    BusAddress,
    Channel,
    ConfigFile,
    Duration,
    Keys,
    Mains,
    Model,
    MvPerUnit,
    Seed,
    Start,
    settings_of,
)
from monitor.commands.remote_dashboard import tail, watch
from monitor.commands.score import score
from monitor.commands.signals import end_in_order_on_signals
from monitor.config import Config
from monitor.emulator.faults import GRAMMAR as FAULT_GRAMMAR
from monitor.errors import ConfigError, EcgMonitorError

__all__ = ["app", "main"]

_EPILOG = (
    "Sources: sim (a synthetic patient, the default), sim:sinus=60,vt=8,asystole=6, mitdb:208, nstdb:118e06, "
    "cudb:cu01, wfdb:PATH, edf:PATH, csv:PATH, - (standard input), serial, zmq:ENDPOINT, lsl:NAME, brainflow:BOARD, "
    "or a kind of an installed package (docs/sources.md). "
    "Exit codes: 0 ended in order, also by Ctrl-C or SIGTERM; 2 bad input, named in one line; 3 it ran, but not "
    "everything could be kept (recording, journal) or the source broke, named in one line. "
    "Flags beat ECG_MONITOR_* variables, which beat --config, which beats the defaults. Not a medical device."
)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    help="Watch raw ECG as it arrives: every beat scored by its exact likelihood, alarms on screen and on a socket.",
    epilog=_EPILOG,
)


app.add_typer(keys_commands.app, name="keys")
app.add_typer(alarms_commands.app, name="alarms")


def _speed(value: str) -> float:
    """Replay speed: a number of times real time, or `max`."""
    if value == "max":
        return 0.0
    try:
        speed = float(value)
    except ValueError:
        speed = -1.0
    if not 0 < speed < float("inf"):
        raise ConfigError(f"--speed {value}: give a number above 0 (1 = real time), or max")
    return speed


def _metrics_port(value: str) -> int:
    """Port of the metrics: a number, or `*` for any that is free."""
    if value == "*":
        return -1
    if not (value.isascii() and value.isdigit() and len(value) <= 5):
        raise ConfigError(f"--metrics {value}: give a port, e.g. 9464, or * for any that is free")
    return int(value)


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    source: Annotated[str | None, typer.Option(envvar="ECG_MONITOR_SOURCE", help="What to watch (see below).")] = None,
    bed: Annotated[str | None, typer.Option(envvar="ECG_MONITOR_BED", help="Name of the bed.")] = None,
    beds: Beds = None,
    beds_count: BedsCount = None,
    speed: Annotated[
        str | None, typer.Option(envvar="ECG_MONITOR_SPEED", help="Replay speed: 1 = real time, 10, ..., max.")
    ] = None,
    start: Start = None,
    duration: Duration = None,
    channel: Channel = None,
    fs: Annotated[
        float | None, typer.Option(envvar="ECG_MONITOR_FS", help="Sampling rate, Hz, where the source has none.")
    ] = None,
    port: Annotated[
        str | None, typer.Option(envvar="ECG_MONITOR_PORT", help="Serial port, e.g. /dev/ttyUSB0; auto = the only one.")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(envvar="ECG_MONITOR_FORMAT", help="Serial: auto, lines, openview, chords, cyton, raw16, ..."),
    ] = None,
    baud: Annotated[int | None, typer.Option(envvar="ECG_MONITOR_BAUD", help="Serial speed, bits a second.")] = None,
    adc_bits: Annotated[int | None, typer.Option(help="Serial: bits of the device's ADC.")] = None,
    vref: Annotated[float | None, typer.Option(help="Serial: reference of that ADC, V.")] = None,
    gain: Annotated[float | None, typer.Option(help="Serial: amplification before that ADC.")] = None,
    column: Annotated[str | None, typer.Option(help="csv, -, serial: column by name or number.")] = None,
    unit: Annotated[str | None, typer.Option(help="csv, edf, -, serial: mV, uV, V or adc.")] = None,
    mv_per_unit: MvPerUnit = None,
    seed: Seed = None,
    mains: Mains = None,
    model: Model = None,
    bus: BusAddress = None,
    keys: Keys = None,
    record: Annotated[
        str | None, typer.Option(envvar="ECG_MONITOR_RECORD", help="Write the session into this folder.")
    ] = None,
    journal: Annotated[
        str | None, typer.Option(envvar="ECG_MONITOR_JOURNAL", help="SQLite file in which alarms outlive a restart.")
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(envvar="ECG_MONITOR_METRICS", help="Serve counts for Prometheus on this port; * = any free one."),
    ] = None,
    dashboard: Annotated[
        bool | None, typer.Option("--dashboard/--no-dashboard", help="Screen, or one line per alarm.")
    ] = None,
    config: ConfigFile = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Run a monitor: `ecg-monitor` alone watches a synthetic patient on a live screen."""
    if version:
        typer.echo(f"ecg-monitor {VERSION}")
        raise typer.Exit
    if context.invoked_subcommand is not None:
        return
    flags = (
        ("--speed", "source", "speed", None if speed is None else _speed(speed)),
        ("--source", "source", "spec", source),
        ("--bed", "source", "bed", bed),
        ("--beds-count", "source", "beds_count", beds_count),
        ("--start", "source", "start_s", start),
        ("--duration", "source", "duration_s", duration),
        ("--channel", "source", "channel", channel),
        ("--fs", "source", "fs_hz", fs),
        ("--port", "source", "port", port),
        ("--format", "source", "format", format),
        ("--baud", "source", "baud", baud),
        ("--adc-bits", "source", "adc_bits", adc_bits),
        ("--vref", "source", "vref", vref),
        ("--gain", "source", "gain", gain),
        ("--column", "source", "column", column),
        ("--unit", "source", "unit", unit),
        ("--mv-per-unit", "source", "mv_per_unit", mv_per_unit),
        ("--seed", "source", "seed", seed),
        ("--mains", "signal", "mains", mains),
        ("--model", "model", "path", model),
        ("--bus", "bus", "listen", bus),
        ("--keys", "bus", "keys", keys),
        ("--record", "record", "folder", record),
        ("--journal", "journal", "path", journal),
        ("--metrics", "metrics", "port", None if metrics is None else _metrics_port(metrics)),
        ("--dashboard", "dashboard", "enabled", dashboard),
    )
    raise typer.Exit(_monitor(settings_of(config, flags, beds)))


app.command()(watch)
app.command()(tail)
app.command()(ports)
app.command(epilog=f"Faults: {FAULT_GRAMMAR}.")(emulate)
app.command()(export)
app.command()(score)
app.command()(fleet)


def main() -> None:
    """Entry point: an error that names its remedy is one line and exit code 2, never a traceback."""
    try:
        app(standalone_mode=True)
    except EcgMonitorError as error:
        print(f"ecg-monitor: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)


def _monitor(settings: Config) -> int:
    """Open everything, run, close everything; the exit code."""
    from monitor.engine.bed_plan import open_beds

    stop = threading.Event()
    if settings.dashboard.enabled and sys.stdin.isatty() and _has_screen():
        from monitor.commands.local_dashboard import run_local_dashboard

        sources = open_beds(settings)  # before the screen comes up: most that is wrong is wrong here
        end_in_order_on_signals(stop)
        incomplete = run_local_dashboard(sources, settings, stop)
        for line in incomplete:
            print(f"ecg-monitor: {line}", file=sys.stderr)
        return EXIT_INCOMPLETE if incomplete else 0

    from monitor.commands.console_printer import ConsolePrinter
    from monitor.engine.assembly import build_pipeline, load_scorer
    from monitor.errors import SourceError

    scorer = load_scorer(settings.model)
    sources = open_beds(settings)
    with ConsolePrinter(
        stop, patient=settings.source.speed == 0 and not any(source.live for source in sources.values())
    ) as lines:
        pipeline = build_pipeline(sources, settings, scorer, on_alarm=lines.alarm, on_notice=lines.notice)
        end_in_order_on_signals(stop)
        lines.begin(pipeline)
        with contextlib.suppress(SourceError):  # it was told when it happened
            pipeline.run(stop.is_set)
        lines.end(pipeline)
    return EXIT_INCOMPLETE if pipeline.incomplete or lines.failed else 0


def _has_screen() -> bool:
    if not sys.stdout.isatty():
        return False
    from rich.console import Console

    from monitor.dashboard.live import fits_dashboard

    return fits_dashboard(Console())


if __name__ == "__main__":
    main()
