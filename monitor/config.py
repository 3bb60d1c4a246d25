"""config.toml to frozen structs: typed, closed, read once and passed down.

Precedence: command-line flags over environment (`ECG_MONITOR_...`) over the file over these defaults.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from monitor.errors import ConfigError
from monitor.messages import Priority, register_types

__all__ = [
    "AlarmsConfig",
    "BedConfig",
    "BusConfig",
    "Config",
    "DashboardConfig",
    "JournalConfig",
    "KindConfig",
    "MetricsConfig",
    "ModelConfig",
    "RecordConfig",
    "SignalConfig",
    "SourceConfig",
    "load_beds",
    "load_config",
    "merge",
]

Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
BedName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]  # part of topics and of folder names


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
    beds_count: Annotated[int, Meta(ge=1, le=100_000)] = 1


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


class BedConfig(_Section, frozen=True, omit_defaults=True):
    """`[beds.<name>]`: what is different for one bed.

    Attributes:
        source: what is watched there; empty = these are only limits, for a bed that is watched anyway.
        alarms: kind -> key -> value, laid over `[alarms]`; `Config.alarms_of` gives the whole.

    The others are keys of `[source]`, laid over it where they are given; `Config.source_of` gives the whole.
    """

    source: str = ""
    start_s: NotNegative | None = None
    duration_s: NotNegative | None = None
    channel: str | None = None
    fs_hz: NotNegative | None = None
    column: str | None = None
    unit: str | None = None
    mv_per_unit: NotNegative | None = None
    port: str | None = None
    format: str | None = None
    baud: Annotated[int, Meta(ge=0)] | None = None
    adc_bits: Annotated[int, Meta(ge=0, le=24)] | None = None
    vref: NotNegative | None = None
    gain: NotNegative | None = None
    seed: int | None = None
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
        if bed not in self.beds or not self.beds[bed].alarms:
            return self.alarms
        tree: dict[str, Any] = msgspec.to_builtins(self.alarms)
        _lay_over(tree, self.beds[bed].alarms)
        try:
            return msgspec.convert(tree, AlarmsConfig)
        except msgspec.ValidationError as error:
            raise ConfigError(_readable(error, f"beds.{bed}.alarms")) from None

    def source_of(self, bed: str) -> SourceConfig:
        """`[source]` as it holds for one bed; `spec` is the bed's own where it has one."""
        if bed not in self.beds:
            return msgspec.structs.replace(self.source, bed=bed)
        own = self.beds[bed]
        given = {key: value for key in _BED_KEYS if (value := getattr(own, key)) is not None}
        return msgspec.structs.replace(self.source, bed=bed, **({"spec": own.source} if own.source else {}), **given)


register_types(Config)

_BED_KEYS = tuple(key for key in BedConfig.__struct_fields__ if key in SourceConfig.__struct_fields__)


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
    _check_beds(tree["beds"], origin)
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
    return merge(Config(), _toml(path, "config", "give --config FILE or leave it out"), f"config {path}")


def load_beds(path: Path, config: Config) -> Config:
    """Read a file of beds, `[beds.<name>]` each with its `source`, over a configuration.

    Raises:
        ConfigError: no such file, not TOML (a name given twice is not), something else than beds in it, no bed, a bed
            without a source, an unknown key or an unfit value; names file, bed and key.
    """
    changes = _toml(path, "beds", "give --beds FILE")
    if other := [key for key in changes if key != "beds"]:
        raise ConfigError(f"beds {path}: [{other[0]}] is no bed; write [beds.NAME], and the rest into --config FILE")
    beds = changes.get("beds", {})
    if not isinstance(beds, dict) or not beds:
        raise ConfigError(f'beds {path}: no bed in it; write [beds.NAME] and under it source = "mitdb:208"')
    merged = merge(config, changes, f"beds {path}")
    for bed in beds:
        if not merged.beds[bed].source:
            raise ConfigError(f'beds {path}: bed {bed} has no source; write source = "mitdb:208" under [beds.{bed}]')
    return merged


def _toml(path: Path, what: str, remedy: str) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{what} {path}: {error.strerror}; {remedy}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{what} {path}: not TOML ({error})") from None


def _check_beds(beds: Any, origin: str) -> None:
    """One by one, for the error of all together does not say which bed it is.

    Raises:
        ConfigError: an unknown key or an unfit value; names bed, key, and value or what there is.
    """
    if not isinstance(beds, dict):
        raise ConfigError(f"{origin}: beds = {beds!r}; write [beds.NAME]")
    for bed, keys in beds.items():
        known = BedConfig.__struct_fields__
        if isinstance(keys, dict) and (unknown := [key for key in keys if key not in known]):
            raise ConfigError(f"{origin}: beds.{bed} knows no {unknown[0]}; it has {', '.join(known)}")
        try:
            msgspec.convert(keys, BedConfig)
        except msgspec.ValidationError as error:
            key = str(error).partition(" - at `$")[2].strip("`.")
            value = f" = {keys[key]!r}" if isinstance(keys, dict) and key in keys else ""
            raise ConfigError(f"{origin}: {_readable(error, f'beds.{bed}', value)}") from None


def _lay_over(tree: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            _lay_over(tree[key], value)
        else:
            tree[key] = value


def _readable(error: msgspec.ValidationError, section: str = "", value: str = "") -> str:
    """msgspec's message with its `$.source.speed` read as a key, and ` = value` where it is known."""
    message, _, where = str(error).partition(" - at `$")
    key = ".".join(part for part in (section, where.strip("`. ")) if part) or "top level"
    return f"key {key}{value}: {message[0].lower()}{message[1:]}"
