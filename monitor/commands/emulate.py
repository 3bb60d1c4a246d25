"""`ecg-monitor emulate`: play a record as a serial device or a strap, with faults."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Annotated

import typer

from monitor.commands.options import Given, settings_of, takes

__all__ = ["emulate"]


# --source, --format, --port, --baud, --seed and --speed are those of the device and read no environment variable: the
# monitor's port is the other end of the cable.
@takes(
    "--start", "--duration", "--channel", "--fs", "--adc-bits", "--vref", "--gain",
    texts={
        "--duration": "Length of signal to play, s.",
        "--adc-bits": "Resolution of the device's ADC, bits.",
        "--vref": "Reference voltage of that ADC, V.",
        "--gain": "Amplification before that ADC.",
    },
)  # fmt: skip
def emulate(
    source: Annotated[str, typer.Option(help="The signal of the device, e.g. sim or mitdb:208.")] = "sim",
    form: Annotated[
        str, typer.Option("--format", help="lines, cyton, ..., polar, movesense, ble; an unknown name lists all.")
    ] = "lines",
    faults: Annotated[str, typer.Option(help='Faults, e.g. "drop=0.1%,unplug@60s for 5s"; see below.')] = "",
    link: Annotated[Path | None, typer.Option(help="Path of the pseudo-terminal; default: a temporary one.")] = None,
    port: Annotated[
        str | None, typer.Option(help="A real serial port, cabled to the monitor's; of a strap 127.0.0.1:PORT.")
    ] = None,
    baud: Annotated[int | None, typer.Option(help="Speed of the real port, bit/s.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the faults and of the simulator.")] = 0,
    speed: Annotated[float, typer.Option(help="Speed: 1 = real time.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the final counts as one line of JSON.")] = False,
    *,
    given: Given,
) -> None:
    """Play a record as a serial device on a pseudo-terminal, or as a strap, with faults: no hardware needed."""
    from monitor.commands.console_printer import ConsolePrinter
    from monitor.commands.signals import stop_on_signals
    from monitor.emulator.emulate import run_emulator
    from monitor.emulator.encoder import Scale
    from monitor.emulator.options import EmulateOptions

    stop = threading.Event()
    stop_on_signals(stop)
    signal = settings_of(given).source
    options = EmulateOptions(
        source=source,
        form=form,
        faults=faults,
        link=link,
        port=port,
        baud=baud,
        seed=seed,
        start_s=signal.start_s,
        duration_s=signal.duration_s or None,
        channel=signal.channel or None,
        fs_hz=signal.fs_hz or None,
        speed=speed,
        scale=Scale(signal.adc_bits or None, signal.vref or None, signal.gain or None),
        as_json=as_json,
    )
    with ConsolePrinter(stop) as printer:
        code = run_emulator(options, printer.line, stop.is_set, time.monotonic)
    raise typer.Exit(code)
