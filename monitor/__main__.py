"""The `ecg-monitor` command. Commands import what they need when they run: `--help` must answer at once."""

from __future__ import annotations

import sys

import typer

from monitor.commands import alarms, keys
from monitor.commands.emulate import emulate
from monitor.commands.export import export
from monitor.commands.fleet import fleet
from monitor.commands.inspect import inspect
from monitor.commands.options import EXIT_BAD_INPUT
from monitor.commands.ports import ports
from monitor.commands.run import EPILOG, run
from monitor.commands.score import score
from monitor.commands.tail import tail
from monitor.commands.watch import watch
from monitor.emulator.faults import GRAMMAR
from monitor.errors import EcgMonitorError
from monitor.terminal import notice

__all__ = ["app", "main"]

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback(invoke_without_command=True, epilog=EPILOG)(run)
app.command()(inspect)
app.command()(watch)
app.command()(tail)
app.add_typer(alarms.app, name="alarms")
app.command()(export)
app.command()(score)
app.command()(fleet)
app.add_typer(keys.app, name="keys")
app.command()(ports)
app.command(epilog=f"Faults: {GRAMMAR}.")(emulate)


def main() -> None:
    """Entry point: an error of the outside world is one line on standard error and exit code 2."""
    try:
        app()
    except EcgMonitorError as error:
        notice(str(error))
        sys.exit(EXIT_BAD_INPUT)


if __name__ == "__main__":
    main()
