"""Bluetooth of this machine by bleak: devices in reach, one of them by name or address, and failures in one line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from monitor.errors import SourceError, first_line, plain_line
from monitor.sources.ble.straps import NAMES

if TYPE_CHECKING:
    from bleak import BleakClient
    from bleak.backends.client import BaseBleakClient
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import BaseBleakScanner

__all__ = [
    "SCAN_S",
    "SYSTEM",
    "Backend",
    "DeviceInfo",
    "client_of",
    "find",
    "list_devices",
    "load_bleak",
    "reason",
]

SCAN_S: Final = 10.0
_CONNECT_S: Final = 20.0
_ANY: Final = " or ".join(NAMES)
_KILLED: Final = " (after one was killed, on Linux: bluetoothctl disconnect)"  # a connected strap is not found
_LISTED: Final = 8  # devices in one line

_PERMISSION: Final = (
    "no permission for Bluetooth; Linux: sudo usermod -aG bluetooth $USER and log in again; macOS: System Settings,"
    " Privacy & Security, Bluetooth, allow the terminal"
)
_NO_SERVICE: Final = "the Bluetooth service does not run; start it: sudo systemctl start bluetooth"
_NOT_AVAILABLE: Final = {
    "NO_BLUETOOTH": "no Bluetooth adapter; plug one in, or turn it on in the firmware of the machine",
    "NO_BLE_CENTRAL_ROLE": "the Bluetooth adapter has no Low Energy; use one of Bluetooth 4.0 or newer",
    "POWERED_OFF": "Bluetooth is off; turn it on (Linux: bluetoothctl power on)",
    "DENIED_BY_USER": _PERMISSION,
    "DENIED_BY_SYSTEM": _PERMISSION,
    "DENIED_BY_UNKNOWN": _PERMISSION,
}
_DBUS: Final = {
    "org.freedesktop.DBus.Error.AccessDenied": _PERMISSION,
    "org.bluez.Error.NotAuthorized": _PERMISSION,
    "org.bluez.Error.NotPermitted": _PERMISSION,
    "org.freedesktop.DBus.Error.ServiceUnknown": _NO_SERVICE,
    "org.bluez.Error.NotReady": _NOT_AVAILABLE["POWERED_OFF"],
}


class Backend(NamedTuple):
    """Classes of bleak's backend interface; None = the backend of this operating system.

    Attributes:
        alone: there is one device at most: where no name is given, the first that is found is taken.
    """

    scanner: type[BaseBleakScanner] | None = None
    client: type[BaseBleakClient] | None = None
    alone: bool = False


class DeviceInfo(NamedTuple):
    """A device in reach.

    Attributes:
        address: Bluetooth address; on macOS an identifier of this machine.
        name: name that the device sends.
        rssi_dbm: signal strength; about -40 beside the machine, -90 at the limit of reach.
        ecg: whether its ECG can be read.
    """

    address: str
    name: str
    rssi_dbm: int
    ecg: bool


SYSTEM: Final = Backend()


def load_bleak(name: str) -> Any:
    """Import bleak.

    Raises:
        SourceError: it is not installed.
    """
    try:
        import bleak
    except ImportError:
        raise SourceError(f"{name}: needs the extra ble: python -m pip install 'ecg-monitor[ble]'") from None
    return bleak


def list_devices(name: str, backend: Backend = SYSTEM) -> list[DeviceInfo]:
    """Scan for SCAN_S and return the devices that send a name, those with an ECG first.

    Raises:
        SourceError: bleak is not installed, or Bluetooth cannot be used.
    """
    load_bleak(name)
    try:
        found = asyncio.run(_scan(lambda _: False, backend))[0]
    except Exception as error:  # D-Bus and the backends raise classes of their own
        raise SourceError(f"{name}: {reason(error)}") from None
    return sorted((info for _, info in found), key=lambda info: (not info.ecg, -info.rssi_dbm))


async def find(wanted: str, backend: Backend = SYSTEM) -> BLEDevice:
    """Return the device with the address or name `wanted`, in any case; also by the first letters of its name.

    Args:
        wanted: empty = any strap of NAMES. Only an exact name or address ends the scan before SCAN_S.
        backend: of bleak.

    Raises:
        SourceError: none in reach, or several; the error lists them.
    """
    key = wanted.casefold()

    def exact(info: DeviceInfo) -> bool:
        return key in (info.address.casefold(), info.name.casefold()) if key else backend.alone

    found, device = await _scan(exact, backend)
    if device is not None:
        return device
    begins = (key,) if key else tuple(name.casefold() for name in NAMES)
    alike = [(device, info) for device, info in found if info.name.casefold().startswith(begins)]
    if len(alike) == 1:
        return alike[0][0]
    if alike:
        raise SourceError(f"several devices match: {_listing([info for _, info in alike])}; give one address")
    there = f"in reach: {_listing([info for _, info in found])}" if found else "no device with a name is in reach"
    raise SourceError(
        f"no {wanted or _ANY} in reach; wear the strap with wet electrodes, end programs and phone apps that use"
        f" it{_KILLED}; {there}"
    )


def client_of(device: BLEDevice, lost: Callable[[], None], backend: Backend = SYSTEM) -> BleakClient:
    """Return a client for `device`, not connected yet; `lost` is called when the connection breaks."""
    from bleak import BleakClient

    return BleakClient(device, lambda _: lost(), timeout=_CONNECT_S, backend=backend.client)


def reason(error: Exception) -> str:
    """Return a failure of Bluetooth in one line, with the remedy."""
    from bleak import exc

    if isinstance(error, SourceError):
        return str(error)
    if isinstance(error, exc.BleakBluetoothNotAvailableError):
        return _NOT_AVAILABLE.get(error.reason.name, f"Bluetooth is not available ({first_line(error)})")
    if isinstance(error, exc.BleakDBusError):
        return _DBUS.get(error.dbus_error, f"Bluetooth: {plain_line(str(error))}")
    if isinstance(error, exc.BleakDeviceNotFoundError | TimeoutError):
        return "the strap does not answer; bring it nearer, wear it, and end programs and phone apps that use it"
    if isinstance(error, PermissionError):
        return _PERMISSION
    if isinstance(error, FileNotFoundError | ConnectionError):  # no socket of D-Bus
        return _NO_SERVICE
    return f"Bluetooth: {first_line(error) or type(error).__name__}"


async def _scan(
    enough: Callable[[DeviceInfo], bool], backend: Backend
) -> tuple[list[tuple[BLEDevice, DeviceInfo]], BLEDevice | None]:
    """Scan until a device is `enough`, else for SCAN_S: the devices with a name, and the one that was enough."""
    from bleak import BleakScanner

    found: dict[str, tuple[BLEDevice, DeviceInfo]] = {}
    async with BleakScanner(backend=backend.scanner) as scanner:
        try:
            async with asyncio.timeout(SCAN_S):
                async for device, advertised in scanner.advertisement_data():
                    name = plain_line(advertised.local_name or device.name or "")
                    info = DeviceInfo(device.address, name, advertised.rssi, name.startswith(NAMES))
                    if enough(info):
                        return [], device
                    if name:
                        found[device.address] = device, info
        except TimeoutError:
            pass
    return list(found.values()), None


def _listing(infos: Sequence[DeviceInfo]) -> str:
    names = [f"{info.name} ({info.address})" for info in infos[:_LISTED]]
    more = f" and {len(infos) - _LISTED} more" if len(infos) > _LISTED else ""
    return ", ".join(names) + more
