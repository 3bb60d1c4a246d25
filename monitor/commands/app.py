"""The commands of `ecg-monitor`. They import what they need when they run: `--help` must answer at once."""

from __future__ import annotations

import errno
import sys

import typer

from monitor.commands import alarms, keys
from monitor.commands.demo import demo
from monitor.commands.doctor import doctor
from monitor.commands.emulate import emulate
from monitor.commands.export import export
from monitor.commands.fetch import fetch
from monitor.commands.fleet import fleet
from monitor.commands.inspect import inspect
from monitor.commands.options import EXIT_BAD_INPUT
from monitor.commands.ports import ports
from monitor.commands.report import report
from monitor.commands.review import review
from monitor.commands.rr import rr
from monitor.commands.run import EPILOG, run
from monitor.commands.score import score
from monitor.commands.stdout import discard, standard_output
from monitor.commands.tail import tail
from monitor.commands.watch import watch
from monitor.commands.web import web, with_page_address
from monitor.emulator.faults import GRAMMAR, STRAP_GRAMMAR
from monitor.errors import EcgMonitorError, plain_line
from monitor.terminal import notice

__all__ = ["app", "run_app"]

app = typer.Typer(
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback(invoke_without_command=True, epilog=EPILOG)(run)
app.command()(watch)
app.command()(web)
app.command()(demo)
app.command()(tail)
app.add_typer(alarms.app, name="alarms")
app.command()(export)
app.command()(score)
app.command()(report)
app.command()(review)
app.command()(rr)
app.command()(fleet)
app.add_typer(keys.app, name="keys")
app.command()(inspect)
app.command()(ports)
app.command()(fetch)
app.command()(doctor)
app.command(epilog=f"Faults: {GRAMMAR}; {STRAP_GRAMMAR}.")(emulate)

# A path that cannot be looked at: too long, or in a folder that is closed to this user.
_NO_WAY = (errno.ENAMETOOLONG, errno.EACCES, errno.EPERM)

# Error of a command line: typer exports only a class derived from it.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]


def run_app() -> int:
    """Run the command of the command line; an error of the outside world is one line on standard error.

    Returns:
        Exit code.
    """
    try:
        code = app(with_page_address(sys.argv[1:]), prog_name="ecg-monitor", standalone_mode=False)
        with standard_output("ecg-monitor"):
            pass  # what is left in its buffer
    except _UsageError as error:
        notice(_text(error))
        return EXIT_BAD_INPUT
    except EcgMonitorError as error:
        notice(str(error))
        return EXIT_BAD_INPUT
    except OSError as error:
        if error.filename is not None and error.errno in _NO_WAY:
            notice(f"{plain_line(error.filename)}: {error.strerror}; give another path")
            return EXIT_BAD_INPUT
        if error.errno != errno.ENOSPC or error.filename is not None:
            raise
        discard(sys.stdout)
        notice(f"standard output: {error.strerror}; write somewhere else")
        return EXIT_BAD_INPUT
    except SystemExit as error:
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        discard(sys.stdout)  # the reader of the pipe has gone, for which typer ends with code 1
        return 0
    return code if isinstance(code, int) else 0


def _text(error: Exception) -> str:
    """One line for a wrong command line, with the help to read."""
    context = getattr(error, "ctx", None)
    message = getattr(error, "format_message", error.__str__)()
    commands = getattr(getattr(context, "command", None), "commands", None)
    if commands and message.startswith("Missing command"):
        message = f"give one of the commands {', '.join(commands)}"
    words = " ".join(message.split()).rstrip(".")
    path = getattr(context, "command_path", "ecg-monitor")
    return f"{words[:1].lower()}{words[1:]}; see {path} --help"
