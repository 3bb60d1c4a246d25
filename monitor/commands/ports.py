"""`ecg-monitor ports`: the serial ports of this machine."""

from __future__ import annotations

import sys

import typer

__all__ = ["ports"]


def ports() -> None:
    """List the serial ports of this machine: path, USB vendor and product, serial number, name."""
    from monitor.sources.serial.ports import list_ports

    found = list_ports()
    for port in found:
        typer.echo(f"{port.device:<16}  {port.vid_pid or '-':<9}  {port.serial_number or '-':<20}  {port.name or '-'}")
    if not found:
        print("ecg-monitor: no serial ports; connect the device and repeat the command", file=sys.stderr)
