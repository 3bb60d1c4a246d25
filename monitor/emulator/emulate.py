"""`ecg-monitor emulate`: a recorded or simulated patient as a device on a serial port or as a strap, with faults."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Callable
from typing import Final

import numpy as np

from monitor.emulator.device import Device
from monitor.emulator.emulate_strap import play_strap
from monitor.emulator.encoder import FORMS, base_format
from monitor.emulator.faults import parse_faults
from monitor.emulator.options import EmulateOptions
from monitor.emulator.player import LINE_S, Player
from monitor.emulator.port import DevicePort, RealPort
from monitor.emulator.report import counts_line, fault_line
from monitor.emulator.strap_models import STRAPS
from monitor.errors import ConfigError
from monitor.sources import Source
from monitor.sources.serial.formats import FORMATS

__all__ = ["run_emulator"]

_TICK_S: Final = 0.01
_BAUDS: Final = (9_600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 921_600, 1_000_000, 2_000_000)
_LINE_BYTES: Final = float(1 << 24)  # most bytes that wait for a reader, at any speed
_BITS: Final = 10  # bits of a byte on the line, with start and stop bit


def run_emulator(
    options: EmulateOptions, write_line: Callable[[str], None], stop: Callable[[], bool], clock: Callable[[], float]
) -> int:
    """Play until the source ends or `stop()`, called a hundred times a second, is True; return exit code 0.

    Raises:
        ConfigError: an option that cannot be used.
        SourceError: a source or port that cannot be opened.
    """
    if not 0 < options.speed < math.inf:
        raise ConfigError(f"--speed {options.speed:g}: give a number above 0; 1 = real time")
    if options.seed < 0:
        raise ConfigError(f"--seed {options.seed}: give 0 or more")
    if options.source.partition(":")[0].strip() in ("-", "serial"):
        raise ConfigError(f"--source {options.source}: is a live source; a device can play sim, mitdb:208, ...")
    faults = parse_faults(options.faults)
    if options.form not in (*FORMS, *STRAPS):
        raise ConfigError(f"--format {options.form}: unknown; choose one of {', '.join((*FORMS, *STRAPS))}")
    faults.check(options.form in STRAPS, f"--format {options.form}")
    if options.form in STRAPS:
        return play_strap(options, faults, write_line, stop, clock)
    if options.port is not None and options.link is not None:
        raise ConfigError("--port is a real port, --link a pseudo-terminal: give one of them")
    if options.port is None and options.baud is not None:
        raise ConfigError("--baud is for a real --port; a pseudo-terminal has no speed")
    source = options.open(options.fs_hz)
    try:
        device = Device(source, options.form, faults, seed=options.seed, scale=options.scale)
        packet_bytes = max(len(packet) for packet in device.encoder.encode(np.array([-1.0, np.nan]), 0))
        port = _open_port(options, packet_bytes * source.fs_hz * options.speed)
        try:
            _greet(options, source, device.encoder.reading, port.path, write_line)
            _play(options, device, port, packet_bytes, write_line, stop, clock)
        finally:
            port.close()
    finally:
        source.close()
    return 0


def _open_port(options: EmulateOptions, bytes_per_s: float) -> DevicePort:
    if options.port is None:
        if sys.platform == "win32":
            raise ConfigError(
                "emulate: Windows has no pseudo-terminals that are serial ports; "
                "give --port COM5 of a real port, or of a pair of virtual ports"
            )
        else:  # noqa: RET506 - mypy
            from monitor.emulator.pty_port import PtyPort

            return PtyPort(options.link)
    baud = options.baud or FORMATS[base_format(options.form)].baud
    if (needed := bytes_per_s * _BITS) > baud:
        enough = next((step for step in _BAUDS if step >= needed), math.ceil(needed))
        raise ConfigError(f"--port {options.port}: {options.form} needs {needed:,.0f} baud here; give --baud {enough}")
    return RealPort(options.port, baud)


def _greet(
    options: EmulateOptions, source: Source, reading: tuple[str, ...], path: str, write_line: Callable[[str], None]
) -> None:
    near = path if options.port is None else "PORT"
    watching = ("ecg-monitor", "--source", "serial", "--port", near, "--format", base_format(options.form))
    write_line(f"port {path}: {source.name}, lead {source.lead}, {source.fs_hz:g} Hz, as {options.form}")
    write_line(f"watch it: {shlex.join([*watching, '--fs', f'{source.fs_hz * options.speed:.10g}', *reading])}")
    if options.port is None:
        write_line("it begins when the port is opened")


def _play(
    options: EmulateOptions,
    device: Device,
    port: DevicePort,
    packet_bytes: int,
    write_line: Callable[[str], None],
    stop: Callable[[], bool],
    clock: Callable[[], float],
) -> None:
    plan = device.plan
    # A burst after a hiccup is no overrun: the operating system, which held it back, has room for it.
    line_s = LINE_S + plan.longest_hiccup_s
    player = Player(
        device,
        port,
        line_bytes=math.ceil(min(packet_bytes * plan.fastest_hz * line_s * max(1.0, options.speed), _LINE_BYTES)),
        clock=clock,
        speed=options.speed,
        report=lambda fault: write_line(fault_line(fault)),
    )
    while not player.ended and not stop():
        player.step()
        port.wait(_TICK_S)
    counts = device.tally() | {"bytes_unread": player.unread, "bytes_overrun": player.overrun}
    write_line(counts_line(counts, options.settings(port.path)))
