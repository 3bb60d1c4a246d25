"""`ecg-monitor ports`: the serial ports of this machine, or the Bluetooth devices in reach."""

from __future__ import annotations

from typing import Annotated

import typer

from monitor.commands.stdout import standard_output
from monitor.commands.table import Column, write_table
from monitor.terminal import notice

__all__ = ["ports"]

_COLUMNS = (Column("port", 0), Column("usb", 2), Column("serial number", 3), Column("name", 1))
_DEVICES = (Column("address", 0), Column("name", 1), Column("signal", 2, right=True), Column("ECG", 3))


def ports(
    ble: Annotated[
        bool, typer.Option("--ble", help="Scan 10 s for Bluetooth devices instead; needs the extra ble.")
    ] = False,
) -> None:
    """List the serial ports of this machine: path, USB vendor and product, serial number, name."""
    if ble:
        _bluetooth()
        return
    from monitor.sources.serial.ports import list_ports

    found = list_ports()
    rows = [(port.device, port.vid_pid or "-", port.serial_number or "-", port.name or "-") for port in found]
    with standard_output("ports") as out:
        write_table(_COLUMNS, rows, out, header=False)
    if not found:
        notice("no serial ports; connect the device and repeat the command")


def _bluetooth() -> None:
    from monitor.sources.ble.radio import list_devices

    found = list_devices("ports --ble")
    rows = [(info.address, info.name, f"{info.rssi_dbm} dBm", "ECG" if info.ecg else "-") for info in found]
    with standard_output("ports") as out:
        write_table(_DEVICES, rows, out, header=False)
    if not any(info.ecg for info in found):
        notice("no strap with ECG in reach; wear it with wet electrodes, end other programs that use it, and repeat")
