"""Options of the command line and their environment variables, made from the configuration structs.

An option is declared once, at its key in `monitor/config.py`. A command names the flags that it takes:

    @takes("--fs", "--model", "--config")
    def command(given: Given, out: Path) -> None:
        settings = settings_of(given)
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import typer

from monitor.config import Config, load_beds, load_config, merge
from monitor.config_values import read_value, words_of
from monitor.errors import ConfigError

__all__ = [
    "EXIT_BAD_INPUT",
    "EXIT_INCOMPLETE",
    "OPTIONS",
    "RECORD_FLAGS",
    "RECORD_TEXTS",
    "ConfigOption",
    "Epoch",
    "Given",
    "KeyFile",
    "Record",
    "Reviewed",
    "settings_of",
    "takes",
    "variable",
]

EXIT_BAD_INPUT: Final = 2
EXIT_INCOMPLETE: Final = 3

Given = dict[str, Any]  # flag -> value, of the options on the command line or in the environment

Epoch = Annotated[str, typer.Option(help="Only this run: its id, the beginning of its id, or `last`.")]
KeyFile = Annotated[
    Path | None, typer.Option(envvar="ECG_MONITOR_KEY", help="Client key file, for a monitor with --keys.")
]
Record = Annotated[
    str, typer.Argument(help="Folder of a recorded bed or of a scored record, or a record: mitdb:208, FILE.edf, ...")
]
Reviewed = Annotated[
    bool, typer.Option("--review/--no-review", help="Use the labels of `ecg-monitor review`, where there are some.")
]

RECORD_FLAGS: Final = (  # of the commands that read stored records
    "--start", "--duration", "--channel", "--fs", "--column", "--unit", "--mv-per-unit", "--seed", "--mains", "--model",
    "--config",
)  # fmt: skip
RECORD_TEXTS: Final = {
    "--start": "Start within each record, s.",
    "--duration": "Length of each record, s; 0 = to the end.",
    "--fs": "csv, sim: sampling rate, Hz.",
    "--column": "csv: column by name or number.",
    "--unit": "csv, edf, ishne: mV, uV, V or adc.",
}


def variable(flag: str) -> str:
    """Environment variable of an option, e.g. `ECG_MONITOR_ADC_BITS` of `--adc-bits`."""
    return f"ECG_MONITOR_{_name(flag).upper()}"


class ConfigOption(NamedTuple):
    """The option of one key of the configuration.

    Attributes:
        flag: e.g. `--speed`; of a switch, e.g. `--dashboard/--no-dashboard`.
        section, key, default: the key that it sets, and the default of the key.
        hint: type of the key with its limits, for `read_value`.
        text: help.
    """

    flag: str
    section: str
    key: str
    default: Any
    hint: Any
    text: str

    @property
    def number(self) -> type:
        """Type of the value: float, int, bool or str."""
        kind = self.hint
        while hasattr(kind, "__metadata__"):
            kind = kind.__origin__
        return kind if isinstance(kind, type) else str  # Literal: str

    @property
    def metavar(self) -> str | None:
        """Kind of the value in the help; None for a switch."""
        shown = {float: "NUMBER", int: "INTEGER", str: "TEXT"}.get(self.number)
        return shown if shown is None else "|".join([shown, *words_of(self.hint)])


def _config_options() -> dict[str, ConfigOption]:
    found = {}
    for section in msgspec.structs.fields(Config):
        hints = typing.get_type_hints(section.type, include_extras=True) if isinstance(section.type, type) else {}
        for key, hint in hints.items():
            for meta in getattr(hint, "__metadata__", ()):
                if meta.extra is not None:
                    default = getattr(section.default, key)
                    option = ConfigOption(meta.extra["flag"], section.name, key, default, hint, meta.description)
                    found[option.flag] = option
    return found


OPTIONS: Final = _config_options()  # flag -> option
_FILES: Final = {  # options that are files of settings
    "--beds": "File of beds, each with its source; adds [beds].",
    "--config": "Configuration file, see config.toml.",
}


def takes(*flags: str, texts: Mapping[str, str] | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add options to a command; its parameter `given` receives the values.

    Args:
        flags: keys of OPTIONS, `--config` and `--beds`.
        texts: flag -> help that replaces the common one.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        parameters: list[inspect.Parameter] = []
        for parameter in inspect.signature(command, eval_str=True).parameters.values():
            if parameter.name == "given":
                parameters += [_parameter(flag, (texts or {}).get(flag)) for flag in flags]
            else:
                parameters.append(parameter)

        def run(**values: Any) -> None:
            taken = {flag: values.pop(_name(flag)) for flag in flags}
            command(given={flag: value for flag, value in taken.items() if value is not None}, **values)

        # typer reads a command's parameters from these.
        keyword = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
        run.__signature__ = inspect.Signature(keyword)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in keyword}
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        return run

    return decorate


def _name(flag: str) -> str:
    return flag.partition("/")[0].removeprefix("--").replace("-", "_")


def _parameter(flag: str, text: str | None) -> inspect.Parameter:
    kind: type = Path
    shown: str | bool = False
    metavar = None
    if (option := OPTIONS.get(flag)) is not None:
        kind, metavar = bool if option.number is bool else str, option.metavar  # read as in a file, by `settings_of`
        if option.default and option.default is not True:
            shown = str(option.default)
    help_text = text or (_FILES[flag] if option is None else option.text)
    made = typer.Option(flag, envvar=variable(flag), help=help_text, show_default=shown, metavar=metavar)
    return inspect.Parameter(
        _name(flag), inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, made]
    )


def settings_of(given: Given) -> Config:
    """The configuration: given options, over the file of beds, over the configuration file, over the defaults.

    Raises:
        ConfigError: a file or a value that cannot be used, or an option of one bed together with many beds.
    """
    settings = load_config(given["--config"]) if "--config" in given else Config()
    if "--beds" in given:
        settings = load_beds(given["--beds"], settings)
    many = next((name for name, bed in settings.beds.items() if bed.source), None)
    for flag, text in given.items():
        if flag in _FILES:
            continue
        if many is not None and flag in ("--source", "--bed"):
            raise ConfigError(f"{flag} {text}: is for one bed, but [beds.{many}] defines many; give one of the two")
        option = OPTIONS[flag]
        try:
            value = read_value(option.hint, text)
        except ValueError as error:
            raise ConfigError(f"{flag} {text}: {error}") from None
        settings = merge(settings, {option.section: {option.key: value}}, f"{flag} {text}")
    return settings
