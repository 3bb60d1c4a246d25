"""`ecg-monitor emulate --format polar`: a recorded or simulated patient as a strap for `--source ble:@HOST:PORT`."""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Callable
from typing import Final

from monitor.emulator.air import Air
from monitor.emulator.faults import Faults
from monitor.emulator.options import EmulateOptions
from monitor.emulator.report import counts_line, fault_line
from monitor.emulator.strap import Strap
from monitor.emulator.strap_models import STRAPS, MovesenseStrap, StrapModel
from monitor.errors import ConfigError
from monitor.sources import Source
from monitor.sources.ble import movesense
from monitor.sources.ble.link import parse_endpoint
from monitor.sources.options import check_fs

__all__ = ["play_strap"]

_TICK_S: Final = 0.01
_ANY_PORT: Final = "127.0.0.1:0"


def play_strap(
    options: EmulateOptions,
    faults: Faults,
    write_line: Callable[[str], None],
    stop: Callable[[], bool],
    clock: Callable[[], float],
) -> int:
    """Play until the source ends or `stop()`, called a hundred times a second, is True; return exit code 0.

    Raises:
        ConfigError: an option that a strap does not have.
        SourceError: a source or address that cannot be used.
    """
    form = f"--format {options.form}"
    if options.link is not None or options.baud is not None:
        raise ConfigError(f"{form}: a strap has no serial port; leave out --link and --baud")
    if options.speed != 1:
        raise ConfigError(f"--speed {options.speed:g}: a strap sends in real time; leave out --speed")
    if any(value is not None for value in options.scale):
        raise ConfigError(f"{form} has a fixed scale; leave out --adc-bits, --vref and --gain")
    at = _endpoint(options.port or _ANY_PORT)
    model = _model(options)
    simulated = options.source.partition(":")[0].strip() == "sim"
    source = options.open(model.fs_hz if simulated else None)
    try:
        strap = Strap(source, model, faults, seed=options.seed)
        air = Air(strap, at, clock=clock, report=lambda fault: write_line(fault_line(fault)))
        try:
            where = f"[{air.at[0]}]:{air.at[1]}" if ":" in air.at[0] else f"{air.at[0]}:{air.at[1]}"
            _greet(options, source, model, where, write_line)
            while not air.ended and not stop():
                air.step()
                air.wait(_TICK_S)
        finally:
            air.close()
    finally:
        source.close()
    counts = strap.tally() | {"unsubscribed": air.unsubscribed, "sent": air.sent, "received": air.received}
    write_line(counts_line(counts, options.settings(where)))
    return 0


def _model(options: EmulateOptions) -> StrapModel:
    if options.fs_hz is not None:
        check_fs(options.fs_hz, f"--format {options.form}")
    model = STRAPS[options.form](options.fs_hz)
    if options.fs_hz not in (None, model.fs_hz):
        raise ConfigError(f"--fs {options.fs_hz:g}: such a strap has {model.fs_hz:g} Hz; leave out --fs")
    if isinstance(model, MovesenseStrap) and model.fs_hz not in movesense.RATES_HZ:
        rates = ", ".join(f"{rate:g}" for rate in movesense.RATES_HZ)
        raise ConfigError(f"--fs {model.fs_hz:g}: a Movesense is played with {rates} Hz")
    return model


def _endpoint(text: str) -> tuple[str, int]:
    """Host and port of --port.

    Raises:
        ConfigError: not a loopback address; other machines are refused, since connections are not authenticated.
    """
    endpoint = parse_endpoint(text)
    host = endpoint[0] if endpoint else ""
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if endpoint is None or not local:
        raise ConfigError(f"--port {text}: a strap is played on this machine only; give 127.0.0.1:PORT")
    return endpoint


def _greet(
    options: EmulateOptions, source: Source, model: StrapModel, where: str, write_line: Callable[[str], None]
) -> None:
    watching = ("ecg-monitor", "--source", f"ble:@{where}{model.query}", *model.reading)
    write_line(f"{model.name} at {where}: {source.name}, lead {source.lead}, {model.fs_hz:g} Hz, as {options.form}")
    write_line(f"watch it: {shlex.join(watching)}")
    write_line("it begins when it is connected")
