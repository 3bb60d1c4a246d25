"""`ecg-monitor ports`: the serial ports of this machine."""

from __future__ import annotations

from monitor.commands.stdout import standard_output
from monitor.commands.table import Column, write_table
from monitor.terminal import notice

__all__ = ["ports"]

_COLUMNS = (Column("port", 0), Column("usb", 2), Column("serial number", 3), Column("name", 1))


def ports() -> None:
    """List the serial ports of this machine: path, USB vendor and product, serial number, name."""
    from monitor.sources.serial.ports import list_ports

    found = list_ports()
    rows = [(port.device, port.vid_pid or "-", port.serial_number or "-", port.name or "-") for port in found]
    with standard_output("ports") as out:
        write_table(_COLUMNS, rows, out, header=False)
    if not found:
        notice("no serial ports; connect the device and repeat the command")
