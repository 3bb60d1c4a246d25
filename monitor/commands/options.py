"""Options that several commands have, and how flags become settings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.config import Config, load_beds, load_config, merge
from monitor.errors import ConfigError

__all__ = [
    "EXIT_BAD_INPUT",
    "EXIT_INCOMPLETE",
    "Beds",
    "BedsCount",
    "BusAddress",
    "Channel",
    "ConfigFile",
    "Duration",
    "Flag",
    "Keys",
    "Mains",
    "Model",
    "MvPerUnit",
    "Seed",
    "Start",
    "settings_of",
]

EXIT_BAD_INPUT = 2
EXIT_INCOMPLETE = 3

Flag = tuple[str, str, str, Any]  # as written, section, key, value; None = not given

Beds = Annotated[Path | None, typer.Option(envvar="ECG_MONITOR_BEDS", help="File of many beds, each with its source.")]
BedsCount = Annotated[
    int | None, typer.Option(help="So many beds b0001, ... out of --source; mitdb:* = all its records.")
]
Start = Annotated[float | None, typer.Option(help="Where in the record to begin, s.")]
Duration = Annotated[float | None, typer.Option(help="How much to watch, s of signal.")]
Channel = Annotated[str | None, typer.Option(help="Lead by name or number.")]
MvPerUnit = Annotated[float | None, typer.Option(help="mV of one count, for --unit adc.")]
Seed = Annotated[int | None, typer.Option(help="Seed of the simulator, and of where many beds begin.")]
Mains = Annotated[
    str | None, typer.Option(envvar="ECG_MONITOR_MAINS", help="Notch against mains hum: auto, off, 50 or 60 Hz.")
]
Model = Annotated[str | None, typer.Option(envvar="ECG_MONITOR_MODEL", help="ONNX file; default: the shipped model.")]
BusAddress = Annotated[
    str | None,
    typer.Option(envvar="ECG_MONITOR_BUS", help="Where subscribers connect: tcp://127.0.0.1:5556; port * = free."),
]
Keys = Annotated[
    str | None, typer.Option(envvar="ECG_MONITOR_KEYS", help="Folder of keys: who may connect (ecg-monitor keys).")
]
ConfigFile = Annotated[
    Path | None, typer.Option(envvar="ECG_MONITOR_CONFIG", help="Configuration file (see config.toml).")
]


def settings_of(config: Path | None, flags: Iterable[Flag], beds: Path | None = None) -> Config:
    """The flags over the beds of a file over a configuration file over the defaults.

    Raises:
        ConfigError: a file or a value that cannot be used, or one bed and many at once; one line with the remedy.
    """
    settings = load_config(config) if config is not None else Config()
    if beds is not None:
        settings = load_beds(beds, settings)
    named = next((name for name, its in settings.beds.items() if its.source), None)
    for flag, section, key, value in flags:
        if value is None:
            continue
        if named is not None and flag in ("--source", "--bed"):
            raise ConfigError(
                f"{flag} {value}: says one bed, [beds.{named}] and its like say many; give one of the two"
            )
        settings = merge(settings, {section: {key: value}}, flag)
    return settings
