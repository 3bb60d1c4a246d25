"""`ecg-monitor ports` and `emulate`: serial devices, those that are there and those that are played."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["emulate", "ports"]


def ports() -> None:
    """List the serial ports of this machine: path, USB vendor and product, serial number, name."""
    from monitor.sources.serial.ports import list_ports

    found = list_ports()
    for port in found:
        typer.echo(f"{port.device:<16}  {port.vid_pid or '-':<9}  {port.serial_number or '-':<20}  {port.name or '-'}")
    if not found:
        print("ecg-monitor: no serial ports; plug the device in, then look again", file=sys.stderr)


def emulate(
    source: Annotated[str, typer.Option(help="What the device measures, e.g. sim or mitdb:208.")] = "sim",
    form: Annotated[
        str, typer.Option("--format", help="lines, openview, openview-max30003, chords, cyton or raw16.")
    ] = "lines",
    faults: Annotated[str, typer.Option(help='What goes wrong, e.g. "drop=0.1%,unplug@60s for 5s"; see below.')] = "",
    link: Annotated[Path | None, typer.Option(help="Name of the pseudo-terminal; default: a temporary one.")] = None,
    port: Annotated[str | None, typer.Option(help="A real serial port instead, cabled to the monitor's.")] = None,
    baud: Annotated[int | None, typer.Option(help="Speed of a real port, bits a second.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the faults and of the simulator.")] = 0,
    start: Annotated[float, typer.Option(help="Where in the record to begin, s.")] = 0.0,
    duration: Annotated[float | None, typer.Option(help="How much to play, s of signal.")] = None,
    channel: Annotated[str | None, typer.Option(help="Lead by name or number.")] = None,
    fs: Annotated[float | None, typer.Option(help="Sampling rate, Hz, where the source has none.")] = None,
    speed: Annotated[float, typer.Option(help="Times real time.")] = 1.0,
    adc_bits: Annotated[int | None, typer.Option(help="Resolution of the device's ADC.")] = None,
    vref: Annotated[float | None, typer.Option(help="Its reference, V.")] = None,
    gain: Annotated[float | None, typer.Option(help="Amplification before it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Counts at the end as one line of JSON.")] = False,
) -> None:
    """Play a record as a serial device on a pseudo-terminal, with faults: to try the monitor without hardware."""
    from monitor.commands.console_printer import ConsolePrinter
    from monitor.commands.signals import end_in_order_on_signals
    from monitor.emulator.emulate import EmulateOptions, run_emulator
    from monitor.emulator.encoder import Scale

    stop = threading.Event()
    end_in_order_on_signals(stop)
    scale = Scale(adc_bits, vref, gain)
    options = EmulateOptions(
        source, form, faults, link, port, baud, seed, start, duration, channel, fs, speed, scale, as_json
    )
    with ConsolePrinter(stop) as lines:
        code = run_emulator(options, lines.say, stop.is_set, time.monotonic)
    raise typer.Exit(code)
