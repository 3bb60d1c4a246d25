"""Serial ports of this machine: list them, choose one, open it, explain a failure."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.errors import SourceError

if TYPE_CHECKING:
    import serial

__all__ = ["PortInfo", "choose_port", "find_again", "list_ports", "open_port", "permission_remedy"]

_PROC = Path("/proc")
_USUAL_GROUP = "dialout"


@dataclass(frozen=True, slots=True)
class PortInfo:
    """A serial port.

    Attributes:
        device: path or name, e.g. `/dev/ttyUSB0`, `/dev/cu.usbserial-110` (macOS), `COM3` (Windows).
        name: name given by the device.
        vid_pid: USB vendor and product, e.g. `2341:0043`; empty if it is no USB device.
        serial_number: serial number of the device; empty if it has none.
    """

    device: str
    name: str = ""
    vid_pid: str = ""
    serial_number: str = ""


def list_ports() -> list[PortInfo]:
    """Return the ports of this machine, sorted by path."""
    from serial.tools.list_ports import comports

    return [
        PortInfo(
            port.device,
            port.product or (port.description if port.description != "n/a" else ""),
            f"{port.vid:04x}:{port.pid:04x}" if port.vid is not None else "",
            port.serial_number or "",
        )
        for port in sorted(comports())
    ]


def choose_port(wanted: str | None, name: str, listing: Callable[[], Sequence[PortInfo]] = list_ports) -> PortInfo:
    """Return the port with path `wanted`; `auto` = the only one.

    Raises:
        SourceError: no path given, or `auto` with no port or several; the error lists the ports.
    """
    ports = listing()
    if wanted is None:
        raise SourceError(f"{name}: name the port with --port; there are {_listed(ports)}")
    if wanted != "auto":
        return next((port for port in ports if port.device == wanted), PortInfo(wanted))
    # Ports of the mainboard seldom have a device; a device that was plugged in is a USB one.
    usb = [port for port in ports if port.vid_pid] or list(ports)
    if len(usb) != 1:
        raise SourceError(f"{name}: --port auto takes the only port; there are {_listed(usb)}")
    return usb[0]


def find_again(port: PortInfo, listing: Callable[[], Sequence[PortInfo]] = list_ports) -> str:
    """Return the present path of a device that was at `port.device`: it may change when it is plugged in again."""
    if port.serial_number:
        for other in listing():
            if (other.serial_number, other.vid_pid) == (port.serial_number, port.vid_pid):
                return other.device
    return port.device


def open_port(device: str, baud: int, timeout_s: float, name: str) -> serial.Serial:
    """Open a port exclusively, at `baud` bit/s: two readers of one port would each get half of the samples.

    Raises:
        SourceError: missing, in use (names the program), not permitted (names the group), no serial port.
    """
    import serial

    try:
        return serial.Serial(device, baud, timeout=timeout_s, write_timeout=1.0, exclusive=True)
    except (OSError, ValueError, OverflowError) as error:  # SerialException is an OSError
        raise SourceError(f"{name}: {_why(error, device, baud)}") from None


def _why(error: Exception, device: str, baud: int) -> str:
    code = getattr(error, "errno", None)
    if sys.platform == "win32" and code is None:  # pyserial gives none there; a port that is listed has been opened
        code = errno.EBUSY if any(port.device == device for port in list_ports()) else errno.ENOENT
    if code in (errno.EACCES, errno.EPERM):
        return f"no permission for {device}; {permission_remedy(device)}"
    if code in (errno.EBUSY, errno.EAGAIN):
        return f"{device} is in use by {_holders(device)}; close it, or name another port of {_listed(list_ports())}"
    if code == errno.ENOENT or (sys.platform != "win32" and not Path(device).exists()):
        return f"there is no port {device}; there are {_listed(list_ports())}"
    return f"{device} at {baud} baud cannot be opened ({error}); there are {_listed(list_ports())}"


def permission_remedy(device: str) -> str:
    """The command that permits this user to open a port; of POSIX."""
    if (group := _group_of(device)) == "root":  # its members could do anything
        make = f"sudo chgrp {_USUAL_GROUP} {device} && sudo chmod g+rw {device}"
        return f"give it to a group: {make}; then join it: sudo usermod -aG {_USUAL_GROUP} $USER, and log in again"
    return f"join its group: sudo usermod -aG {group} $USER, and log in again"


def _group_of(device: str) -> str:
    if sys.platform == "win32":
        return _USUAL_GROUP
    try:
        return Path(device).group()
    except (OSError, KeyError):
        return _USUAL_GROUP


def _holders(device: str) -> str:
    """Return the programs that have a port open, e.g. `minicom (process 4711)`, as far as visible to this user."""
    real = os.path.realpath(device)
    held = []
    for process in _PROC.glob("[0-9]*"):
        try:
            if process.name != str(os.getpid()) and any(
                os.path.realpath(fd) == real for fd in (process / "fd").iterdir()
            ):
                held.append(f"{(process / 'comm').read_text(encoding='utf-8').strip()} (process {process.name})")
        except OSError:  # a process of another user, or one that just ended
            continue
    return ", ".join(held) or "another program"


def _listed(ports: Sequence[PortInfo]) -> str:
    return ", ".join(port.device for port in ports) or "no serial ports"
