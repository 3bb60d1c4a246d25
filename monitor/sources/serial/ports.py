"""Serial ports of this machine: which there are, which is meant, and why one cannot be opened."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.errors import SourceError

if TYPE_CHECKING:
    import serial

__all__ = ["PortInfo", "choose_port", "find_again", "list_ports", "open_port"]

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class PortInfo:
    """A serial port.

    Attributes:
        device: path, e.g. `/dev/ttyUSB0`.
        name: what the device calls itself.
        vid_pid: USB vendor and product, e.g. `2341:0043`; empty where it is no USB device.
        serial_number: of the device; empty where it has none.
    """

    device: str
    name: str = ""
    vid_pid: str = ""
    serial_number: str = ""


def list_ports() -> list[PortInfo]:
    """Ports of this machine, by name."""
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
    """The port a person means: by path, or `auto` = the only one.

    Raises:
        SourceError: none named, or `auto` with none or several; names those there are.
    """
    ports = listing()
    if wanted is None:
        raise SourceError(f"{name}: name the port with --port; there are {_told(ports)}")
    if wanted != "auto":
        return next((port for port in ports if port.device == wanted), PortInfo(wanted))
    # Ports built into the mainboard answer to nobody; a device somebody plugged in is a USB one.
    usb = [port for port in ports if port.vid_pid] or list(ports)
    if len(usb) != 1:
        raise SourceError(f"{name}: --port auto takes the only port; there are {_told(usb)}")
    return usb[0]


def find_again(port: PortInfo, listing: Callable[[], Sequence[PortInfo]] = list_ports) -> str:
    """Path at which a device is now that was at `port.device`: plugged in again it may have another number."""
    if port.serial_number:
        for other in listing():
            if (other.serial_number, other.vid_pid) == (port.serial_number, port.vid_pid):
                return other.device
    return port.device


def open_port(device: str, baud: int, timeout_s: float, name: str) -> serial.Serial:
    """Open a port for us alone: two readers of one port would each get half of the samples.

    Args:
        device: path.
        baud: speed, bits a second.
        timeout_s: how long a read waits, s.
        name: of the source, for errors.

    Raises:
        SourceError: missing, in use (by whom), not permitted (which group is needed), no serial port.
    """
    import serial

    try:
        return serial.Serial(device, baud, timeout=timeout_s, write_timeout=1.0, exclusive=True)
    except (OSError, ValueError, OverflowError) as error:  # SerialException is an OSError
        raise SourceError(f"{name}: {_why(error, device, baud)}") from None


def _why(error: Exception, device: str, baud: int) -> str:
    code = getattr(error, "errno", None)
    if code in (errno.EACCES, errno.EPERM):
        group = _group_of(device)
        return f"no permission for {device}; join its group: sudo usermod -aG {group} $USER, and log in again"
    if code in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in str(error):
        return f"{device} is in use by {_holders(device)}; close it, or name another port of {_told(list_ports())}"
    if code == errno.ENOENT or not Path(device).exists():
        return f"there is no port {device}; there are {_told(list_ports())}"
    return f"{device} at {baud} baud cannot be opened ({error}); there are {_told(list_ports())}"


def _group_of(device: str) -> str:
    import grp

    try:
        return grp.getgrgid(Path(device).stat().st_gid).gr_name
    except (OSError, KeyError):
        return "dialout"


def _holders(device: str) -> str:
    """Programs that have a port open, e.g. `minicom (process 4711)`, as far as we may see them."""
    real = os.path.realpath(device)
    held = []
    for process in _PROC.glob("[0-9]*"):
        try:
            if process.name != str(os.getpid()) and any(
                os.path.realpath(fd) == real for fd in (process / "fd").iterdir()
            ):
                held.append(f"{(process / 'comm').read_text().strip()} (process {process.name})")
        except OSError:  # somebody else's process, or one that just ended
            continue
    return ", ".join(held) or "another program"


def _told(ports: Sequence[PortInfo]) -> str:
    return ", ".join(port.device for port in ports) or "no serial ports"
