"""config.toml to frozen structs: typed, closed, read once and passed down.

Precedence: command-line flags over environment (`ECG_MONITOR_...`) over the file over these defaults.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from monitor.messages import Priority

__all__ = [
    "AlarmsConfig",
    "BusConfig",
    "Config",
    "ConfigError",
    "DashboardConfig",
    "JournalConfig",
    "KindConfig",
    "ModelConfig",
    "RecordConfig",
    "SignalConfig",
    "SourceConfig",
    "load_config",
    "merge",
]

Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
BedName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]  # part of topics and of folder names


class ConfigError(Exception):
    """A key, value or file of the configuration is not usable. One line: where, what, and the remedy."""


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A closed section: an unknown key is refused."""


class SourceConfig(_Section, frozen=True):
    """`[source]`: what is watched; one line each in config.toml."""

    spec: str = "sim"
    bed: BedName = "p1"
    speed: NotNegative = 1.0
    start_s: NotNegative = 0.0
    duration_s: NotNegative = 0.0
    channel: str = ""
    fs_hz: NotNegative = 0.0
    column: str = ""
    unit: str = ""
    mv_per_unit: NotNegative = 0.0
    port: str = ""
    format: str = "auto"
    baud: Annotated[int, Meta(ge=0)] = 0
    adc_bits: Annotated[int, Meta(ge=0, le=24)] = 0
    vref: NotNegative = 0.0
    gain: NotNegative = 0.0
    seed: int = 1


class SignalConfig(_Section, frozen=True):
    """`[signal]`: what is done to the signal before the heart is looked for in it."""

    mains: Literal["auto", "off", "50", "60"] = "auto"


class ModelConfig(_Section, frozen=True):
    """`[model]`: the density that scores."""

    path: str = ""
    threads: Annotated[int, Meta(ge=1, le=64)] = 1


class BusConfig(_Section, frozen=True):
    """`[bus]`: where subscribers find us."""

    listen: str = "tcp://127.0.0.1:5556"
    keys: str = ""
    waves_hz: Positive = 20.0


class JournalConfig(_Section, frozen=True):
    """`[journal]`: what survives a restart."""

    path: str = ""


class RecordConfig(_Section, frozen=True):
    """`[record]`: files of the session."""

    folder: str = ""


class DashboardConfig(_Section, frozen=True):
    """`[dashboard]`."""

    enabled: bool = True


class KindConfig(_Section, frozen=True):
    """One kind of alarm.

    Attributes:
        enabled: whether it is raised at all.
        priority: high, medium or low (IEC 60601-1-8).
        limit: what must be crossed; its unit stands in config.toml.
        beats: over how many beats, where the kind counts beats.
        hold_s: how long after the last cause the alarm stays up, s: repeats within it are one alarm.
    """

    enabled: bool = True
    priority: Priority = "medium"
    limit: NotNegative = 0.0
    beats: Annotated[int, Meta(ge=0)] = 0
    hold_s: NotNegative = 0.0


class AlarmsConfig(_Section, frozen=True):
    """`[alarms.<kind>]`: limits of the 2015 PhysioNet/CinC Challenge for the lethal rhythms."""

    asystole: KindConfig = KindConfig(priority="high", limit=4.0)
    extreme_bradycardia: KindConfig = KindConfig(priority="high", limit=40.0, beats=5)
    extreme_tachycardia: KindConfig = KindConfig(priority="high", limit=140.0, beats=17)
    anomaly_run: KindConfig = KindConfig(priority="medium", beats=3)
    anomalous_beat: KindConfig = KindConfig(priority="low", hold_s=10.0)
    leads_off: KindConfig = KindConfig(priority="medium", limit=1.0)
    no_data: KindConfig = KindConfig(priority="medium", limit=2.0)
    source_lost: KindConfig = KindConfig(priority="medium")
    sampling_rate: KindConfig = KindConfig(priority="medium", limit=2.0)
    poor_signal: KindConfig = KindConfig(priority="low", limit=2.0)
    gap: KindConfig = KindConfig(priority="low", hold_s=10.0)


class Config(_Section, frozen=True):
    """The whole configuration."""

    source: SourceConfig = SourceConfig()
    signal: SignalConfig = SignalConfig()
    model: ModelConfig = ModelConfig()
    bus: BusConfig = BusConfig()
    journal: JournalConfig = JournalConfig()
    record: RecordConfig = RecordConfig()
    dashboard: DashboardConfig = DashboardConfig()
    alarms: AlarmsConfig = AlarmsConfig()


def merge(config: Config, changes: dict[str, dict[str, Any]], origin: str) -> Config:
    """Lay given values over a configuration.

    Args:
        config: what holds so far.
        changes: section -> key -> value; alarm kinds are sections within `alarms`.
        origin: where the changes come from, for the error, e.g. a file name or `--speed`.

    Raises:
        ConfigError: unknown section or key, or a value that does not fit.
    """
    tree: dict[str, Any] = msgspec.to_builtins(config)
    _lay_over(tree, changes)
    try:
        return msgspec.convert(tree, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{origin}: {_readable(error)}") from None


def load_config(path: Path) -> Config:
    """Read a config.toml over the defaults.

    Raises:
        ConfigError: no such file, not TOML, unknown key or unfit value; names file and key.
    """
    try:
        changes = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"config {path}: {error.strerror}; give --config FILE or leave it out") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"config {path}: not TOML ({error})") from None
    return merge(Config(), changes, f"config {path}")


def _lay_over(tree: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            _lay_over(tree[key], value)
        else:
            tree[key] = value


def _readable(error: msgspec.ValidationError) -> str:
    """msgspec's message with its `$.source.speed` read as a key."""
    message, _, where = str(error).partition(" - at `$")
    key = where.strip("`. ") or "top level"
    return f"key {key}: {message[0].lower()}{message[1:]}"
