"""Checks of this machine for `ecg-monitor doctor`: each finds out one thing and returns lines for a person."""

from __future__ import annotations

import datetime
import importlib
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from monitor import VERSION
from monitor.config import Config
from monitor.errors import EcgMonitorError, plain_line

__all__ = ["CHECKS", "EXTRAS", "PACKAGES", "Check", "run_checks"]

PACKAGES: Final = {  # package that the monitor needs -> module
    "numpy": "numpy", "scipy": "scipy", "neurokit2": "neurokit2", "onnxruntime": "onnxruntime", "pyzmq": "zmq",
    "rich": "rich", "msgspec": "msgspec", "typer": "typer", "soundfile": "soundfile", "pyserial": "serial",
    "platformdirs": "platformdirs", "prometheus-client": "prometheus_client", "aiohttp": "aiohttp",
}  # fmt: skip
EXTRAS: Final = {  # extra -> what pip installs, module, what it is for
    "lsl": (("pylsl>=1.18.6",), "pylsl", "the source lsl:"),
    "brainflow": (("brainflow>=5.16", "setuptools<82"), "brainflow", "the source brainflow:"),
    "ble": (("bleak>=2.0",), "bleak", "the source ble:"),
    "archive": (("pyarrow>=18",), "pyarrow", "Parquet files of score"),
    "mqtt": (("paho-mqtt>=2.1",), "paho.mqtt.client", "[notify] mqtt"),
    "cluster": (("ray>=2.60",), "ray", "fleet and score --ray"),
}
_SET_CLOCKS: Final = {"win32": "w32tm /resync", "darwin": "sudo sntp -sS time.apple.com"}
_SET_CLOCK: Final = _SET_CLOCKS.get(sys.platform, "sudo timedatectl set-ntp true")
_LATE_MS: Final = 50.0  # to score a beat: a third of the 150 ms in which a beat is published
_FREE_MB: Final = 100  # below this a journal soon fails
_COMMAND_PATIENCE_S: Final = 5.0


class Check(msgspec.Struct, frozen=True):
    """Result of a check.

    Attributes:
        name: what was checked.
        state: `ok`; `warn`, some use of the program is not possible or not reliable; `fail`, it cannot run.
        text: what was found.
        remedy: what to do; empty if it is ok.
    """

    name: str
    state: Literal["ok", "warn", "fail"]
    text: str
    remedy: str = ""


def run_checks(settings: Config) -> Iterator[Check]:
    """All checks, in order; an unexpected error of one of them is its result."""
    for check in CHECKS:
        try:
            yield from check(settings)
        except Exception as error:
            name = check.__name__.lstrip("_").replace("_", " ")
            yield Check(name, "fail", f"{type(error).__name__}: {plain_line(error)}", "please report this")


def _versions(_: Config) -> Iterator[Check]:
    import detector.scorer  # noqa: F401 - switches the telemetry of onnxruntime off before it is imported

    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    yield Check("ecg-monitor", "ok", f"{VERSION}, Python {platform.python_version()}, {system}")
    for package, module in PACKAGES.items():
        if why := _import_failure(module):
            yield Check("package", "fail", f"{package}: {why}", f"python -m pip install --force-reinstall {package}")
    names = ("numpy", "scipy", "neurokit2", "onnxruntime", "pyzmq")
    yield Check("packages", "ok", ", ".join(f"{name} {_version(name)}" for name in names))


def _extras(_: Config) -> Iterator[Check]:
    for extra, (requirements, module, purpose) in EXTRAS.items():
        package = requirements[0].partition(">")[0]
        if not (why := _import_failure(module)):
            yield Check(f"extra {extra}", "ok", f"{package} {_version(package)}")
        else:
            remedy = f"python -m pip install {shlex.join(requirements)} (for {purpose})"
            yield Check(f"extra {extra}", "warn", f"{package}: {why}", remedy)


def _model(settings: Config) -> Iterator[Check]:
    import numpy as np

    from detector.beats import BEAT_SAMPLES, R_INDEX
    from monitor.engine.assembly import load_scorer

    try:
        scorer = load_scorer(settings.model)
    except EcgMonitorError as error:
        yield _failed("model", error)
        return
    yield Check("model", "ok", f"{scorer.info.name}, SHA-256 {scorer.info.sha256}")
    beat = np.exp(-0.5 * ((np.arange(BEAT_SAMPLES) - R_INDEX) / 3.0) ** 2)[None]
    times_ms = []
    for _ in range(50):
        began_s = time.perf_counter()
        scorer.score(beat)
        times_ms.append((time.perf_counter() - began_s) * 1e3)
    median_ms = statistics.median(times_ms)
    text = f"median {median_ms:.1f} ms, longest {max(times_ms):.1f} ms of {len(times_ms)}"
    if median_ms > _LATE_MS:
        yield Check("time to score a beat", "warn", text, "alarms come late; end other programs, or take fewer beds")
    else:
        yield Check("time to score a beat", "ok", text)


def _serial_ports(_: Config) -> Iterator[Check]:
    from monitor.sources.serial.ports import list_ports, permission_remedy

    found = list_ports()
    if not found:
        yield Check("serial ports", "ok", "none connected")
    for port in found:
        what = f"{port.device} {port.name}".strip()
        if sys.platform != "win32" and not os.access(port.device, os.R_OK | os.W_OK):
            yield Check("serial port", "warn", f"{what}: no permission", permission_remedy(port.device))
        else:
            yield Check("serial port", "ok", what)


def _addresses(settings: Config) -> Iterator[Check]:
    """Bind each address as the monitor does, and close it."""
    from monitor.bus.endpoints import endpoints_from
    from monitor.bus.keys import load_server_keys
    from monitor.bus.sockets import BusSockets

    def bind_bus() -> None:
        keys = load_server_keys(Path(settings.bus.keys)) if settings.bus.keys else None
        sockets = BusSockets(endpoints_from(settings.bus.listen), keys, Counter(), lambda _: None, time.monotonic)
        sockets.close(0)

    def bind_page() -> None:
        from monitor.web.beside import web_options
        from monitor.web.server import bind

        bind(settings.web.listen, web_options(settings)).close()

    def bind_metrics() -> None:
        from prometheus_client import CollectorRegistry

        from monitor.bus.endpoints import bind_error
        from monitor.engine.metrics_http import LimitedServer

        try:
            LimitedServer(settings.metrics.listen, max(0, settings.metrics.port), CollectorRegistry()).server_close()
        except OSError as error:
            place = f"metrics {settings.metrics.listen}:{settings.metrics.port}"
            raise bind_error(place, error, "give another port, e.g. --metrics '*'") from None

    addresses: list[tuple[str, str, Callable[[], None]]] = [("bus", settings.bus.listen, bind_bus)]
    if settings.web.listen:
        addresses.append(("page", settings.web.listen, bind_page))
    if settings.metrics.port:
        addresses.append(("metrics", f"{settings.metrics.listen}:{settings.metrics.port}", bind_metrics))
    for name, address, bind_it in addresses:
        try:
            bind_it()
        except EcgMonitorError as error:
            yield _failed(name, error)
        else:
            yield Check(name, "ok", f"{address} is free")


def _disk(settings: Config) -> Iterator[Check]:
    """Write a file where the journal and the recording will be, and look at the free space there."""
    places = {"journal": settings.journal.path, "recording": settings.record.folder}
    given = {name: Path(path) for name, path in places.items() if path not in ("", ":memory:")}
    for name, path in given.items() or {"current folder": Path()}.items():
        folder = path.absolute().parent if name == "journal" else path.absolute()
        if name == "recording":  # the monitor makes the folder
            folder = next(parent for parent in (folder, *folder.parents) if parent.exists())
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b"\0" * 4096)
                file.flush()
            free_mb = shutil.disk_usage(folder).free / 1e6
        except OSError as error:
            state: Literal["warn", "fail"] = "fail" if given else "warn"
            yield Check(name, state, f"{folder}: {error.strerror}", "name a folder that you can write")
            continue
        text = f"{folder} can be written, {free_mb:,.0f} MB free"
        remedy = "free some space, or name a folder on another disk"
        if free_mb < _FREE_MB:
            yield Check(name, "fail" if given else "warn", text, remedy)
        elif free_mb < settings.journal.max_mb:
            yield Check(name, "warn", f"{text}; a journal may take {settings.journal.max_mb:,.0f} MB", remedy)
        else:
            yield Check(name, "ok", text)


def _clock(_: Config) -> Iterator[Check]:
    from detector.scorer import shipped_model

    now = datetime.datetime.now(datetime.UTC)
    installed = datetime.datetime.fromtimestamp(shipped_model().stat().st_mtime, datetime.UTC)
    text = now.isoformat(timespec="seconds")
    remedy = f"set it, e.g. {_SET_CLOCK}; the times of alarms are wrong until then"
    if now < installed - datetime.timedelta(days=1):
        yield Check("clock", "fail", f"{text} is before {installed:%Y-%m-%d}, when the program was installed", remedy)
        return
    synchronised = _synchronised()
    if synchronised is False:
        yield Check("clock", "warn", f"{text}, not synchronised", remedy)
    else:
        yield Check("clock", "ok", f"{text}, {'synchronised' if synchronised else 'synchronisation not known'}")


def _synchronised() -> bool | None:
    """Whether the clock follows a time server, as systemd reports it; None if it does not."""
    command = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
    try:
        found = subprocess.run(command, capture_output=True, timeout=_COMMAND_PATIENCE_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return {b"yes": True, b"no": False}.get(found.strip())


def _failed(name: str, error: EcgMonitorError) -> Check:
    text, _, remedy = str(error).partition("; ")
    return Check(name, "fail", text, remedy)


def _import_failure(module: str) -> str:
    """Why a module cannot be imported; empty if it can."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module(module)
    except ModuleNotFoundError as error:
        return "not installed" if f"{module}.".startswith(f"{error.name}.") else plain_line(error)
    except Exception as error:  # e.g. RuntimeError where a shared library is missing
        return plain_line(error)
    return ""


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "of unknown version"


CHECKS: Final[tuple[Callable[[Config], Iterator[Any]], ...]] = (
    _versions, _model, _addresses, _disk, _clock, _serial_ports, _extras,
)  # fmt: skip
