"""`ecg-monitor doctor`: what this machine lacks for a monitor, or whether a running one is alive."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from monitor.commands.checks import Check, run_checks
from monitor.commands.heartbeat import check_heartbeat
from monitor.commands.options import EXIT_BAD_INPUT, Given, KeyFile, settings_of, takes
from monitor.commands.stdout import standard_output
from monitor.terminal import json_line, print_line

__all__ = ["doctor"]

_NAME_WIDTH = 20


@takes("--bus", "--keys", "--journal", "--record", "--model", "--web", "--metrics", "--config")
def doctor(
    given: Given,
    connect: Annotated[
        str, typer.Option(help="Only check that the monitor at this alarm socket sends its heartbeat.")
    ] = "",
    key: KeyFile = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Check this machine: packages, model, addresses, disk, clock, serial ports, extras.

    Each line begins with ok, warn or fail. Exit code 2 if there is a fail. Give the options that the monitor will have.
    """
    settings = settings_of(given)
    checks = iter([check_heartbeat(connect, key)]) if connect else run_checks(settings)
    failed = False
    with standard_output("doctor") as out:
        for check in checks:
            failed |= check.state == "fail"
            print_line(json_line(msgspec.json.encode(check)) if json else _line(check), out)
    raise typer.Exit(EXIT_BAD_INPUT if failed else 0)


def _line(check: Check) -> str:
    text = f"{check.text}; {check.remedy}" if check.remedy else check.text
    return f"{check.state:<5} {check.name:<{_NAME_WIDTH}} {text}"
