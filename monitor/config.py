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
    "BedConfig",
    "BusConfig",
    "Config",
    "ConfigError",
    "DashboardConfig",
    "JournalConfig",
    "KindConfig",
    "MetricsConfig",
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
    keep_days: NotNegative = 90.0
    max_mb: NotNegative = 1000.0


class MetricsConfig(_Section, frozen=True):
    """`[metrics]`: counts for Prometheus. Port 0 = off, -1 = any free one."""

    port: Annotated[int, Meta(ge=-1, le=65535)] = 0
    listen: Annotated[str, Meta(min_length=1)] = "127.0.0.1"


class RecordConfig(_Section, frozen=True):
    """`[record]`: files of the session."""

    folder: str = ""


class DashboardConfig(_Section, frozen=True):
    """`[dashboard]`."""

    enabled: bool = True


class KindConfig(_Section, frozen=True, omit_defaults=True):
    """One kind of alarm. A kind knows only the keys that mean something for it; another one is refused.

    Attributes:
        priority: high, medium or low (IEC 60601-1-8).
        enabled: whether it is raised at all.
        limit: what must be crossed; its unit stands in config.toml.
        beats: over how many beats, where the kind counts beats.
        relief: how far back within its limit a value must be before the cause is gone, in the unit of `limit`.
        delay_s: how long the cause must hold before the onset, s.
        hold_s: how long after the last cause the alarm stays up, s: repeats within it are one alarm.
        per_hour: at most so many onsets an hour while the priority is low; 0 = any number.
        latch: `high`: stays until somebody acknowledges it while its priority is high; `always`; `never`.
    """

    priority: Priority
    enabled: bool = True
    limit: NotNegative = 0.0
    beats: Annotated[int, Meta(ge=0, le=1000)] = 0
    relief: NotNegative = 0.0
    delay_s: NotNegative = 0.0
    hold_s: NotNegative = 0.0
    per_hour: Annotated[int, Meta(ge=0, le=3600)] = 0
    latch: Literal["high", "always", "never"] = "high"


_RATE = {"limit", "beats", "relief", "delay_s", "hold_s", "latch"}
_KNOWN_KEYS: dict[str, set[str]] = {
    "asystole": {"limit", "latch"},
    "ventricular_fibrillation": {"limit", "hold_s", "latch"},
    "ventricular_run": {"limit", "beats", "relief", "hold_s", "latch"},
    "extreme_bradycardia": _RATE,
    "extreme_tachycardia": _RATE,
    "anomaly_run": {"beats", "hold_s", "latch"},
    "anomaly_burden": {"limit", "relief", "delay_s", "hold_s", "latch"},
    "bradycardia": _RATE,
    "tachycardia": _RATE,
    "pause": {"limit", "hold_s", "latch"},
    "anomalous_beat": {"hold_s", "per_hour", "latch"},
    "leads_off": {"limit"},
    "no_data": {"limit"},
    "source_lost": set(),
    "sampling_rate": {"limit"},
    "poor_signal": {"limit", "hold_s", "per_hour"},
    "gap": {"hold_s", "per_hour"},
    "overload": {"limit", "relief", "per_hour"},
    "journal_failed": set(),
}


class AlarmsConfig(_Section, frozen=True):
    """`[alarms.<kind>]`; docs/alarms.md tells where the limits come from.

    Raises:
        ValueError: a key that its kind does not know, or too few beats to count.
    """

    asystole: KindConfig = KindConfig("high", limit=4.0)
    ventricular_fibrillation: KindConfig = KindConfig("high", limit=4.0, hold_s=3.0)
    ventricular_run: KindConfig = KindConfig("high", limit=100.0, beats=5, relief=5.0, hold_s=5.0)
    extreme_bradycardia: KindConfig = KindConfig("high", limit=40.0, beats=5, relief=5.0)
    extreme_tachycardia: KindConfig = KindConfig("high", limit=140.0, beats=17, relief=5.0)
    anomaly_run: KindConfig = KindConfig("medium", beats=3, hold_s=10.0)
    anomaly_burden: KindConfig = KindConfig("medium", limit=10.0, relief=3.0, hold_s=60.0)
    bradycardia: KindConfig = KindConfig("medium", limit=45.0, beats=8, relief=5.0, delay_s=10.0, hold_s=10.0)
    tachycardia: KindConfig = KindConfig("medium", limit=120.0, beats=16, relief=5.0, delay_s=10.0, hold_s=10.0)
    pause: KindConfig = KindConfig("medium", limit=3.0, hold_s=10.0)
    anomalous_beat: KindConfig = KindConfig("low", hold_s=10.0, per_hour=20)
    leads_off: KindConfig = KindConfig("medium", limit=1.0)
    no_data: KindConfig = KindConfig("medium", limit=2.0)
    source_lost: KindConfig = KindConfig("medium")
    sampling_rate: KindConfig = KindConfig("medium", limit=2.0)
    poor_signal: KindConfig = KindConfig("low", limit=2.0, hold_s=2.0, per_hour=20)
    gap: KindConfig = KindConfig("low", hold_s=10.0, per_hour=20)
    overload: KindConfig = KindConfig("low", limit=5.0, relief=4.0, per_hour=20)
    journal_failed: KindConfig = KindConfig("medium")

    def __post_init__(self) -> None:
        plain = msgspec.structs.fields(KindConfig)
        for kind, known in _KNOWN_KEYS.items():
            config: KindConfig = getattr(self, kind)
            for key in plain:
                if key.name not in known | {"priority", "enabled"} and getattr(config, key.name) != key.default:
                    raise ValueError(f"alarms.{kind} knows no {key.name}; it has {', '.join(sorted(known)) or 'none'}")
            if "beats" in known and config.beats < 2:
                raise ValueError(f"alarms.{kind}.beats={config.beats}: give at least 2")


class BedConfig(_Section, frozen=True):
    """`[beds.<name>]`: what is different for one bed.

    Attributes:
        alarms: kind -> key -> value, laid over `[alarms]`; `Config.alarms_of` gives the whole.
    """

    alarms: dict[str, dict[str, Any]] = {}


class Config(_Section, frozen=True):
    """The whole configuration."""

    source: SourceConfig = SourceConfig()
    signal: SignalConfig = SignalConfig()
    model: ModelConfig = ModelConfig()
    bus: BusConfig = BusConfig()
    journal: JournalConfig = JournalConfig()
    metrics: MetricsConfig = MetricsConfig()
    record: RecordConfig = RecordConfig()
    dashboard: DashboardConfig = DashboardConfig()
    alarms: AlarmsConfig = AlarmsConfig()
    beds: dict[BedName, BedConfig] = {}

    def alarms_of(self, bed: str) -> AlarmsConfig:
        """`[alarms]` as they hold for one bed.

        Raises:
            ConfigError: what `[beds.<bed>.alarms]` says is unknown or does not fit.
        """
        if bed not in self.beds:
            return self.alarms
        tree: dict[str, Any] = msgspec.to_builtins(self.alarms)
        _lay_over(tree, self.beds[bed].alarms)
        try:
            return msgspec.convert(tree, AlarmsConfig)
        except msgspec.ValidationError as error:
            raise ConfigError(_readable(error, f"beds.{bed}.alarms")) from None


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
        merged = msgspec.convert(tree, Config)
        for bed in merged.beds:
            merged.alarms_of(bed)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{origin}: {_readable(error)}") from None
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from None
    return merged


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


def _readable(error: msgspec.ValidationError, section: str = "") -> str:
    """msgspec's message with its `$.source.speed` read as a key."""
    message, _, where = str(error).partition(" - at `$")
    key = ".".join(part for part in (section, where.strip("`. ")) if part) or "top level"
    return f"key {key}: {message[0].lower()}{message[1:]}"
