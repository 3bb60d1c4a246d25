"""The configuration: config.toml as frozen structs, and the options of the command line that set its keys.

Precedence: command-line options, then environment variables (`ECG_MONITOR_...`), then the file, then these defaults.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from monitor.alarm_config import AlarmsConfig, KindConfig, PatientCategory, limits_of_category
from monitor.config_values import read_section
from monitor.errors import ConfigError

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
    "NotifyConfig",
    "RecordConfig",
    "SignalConfig",
    "SourceConfig",
    "WebConfig",
    "load_beds",
    "load_config",
    "merge",
]

_MOST_BYTES = 64 << 20  # of a file; 100,000 beds have 20 MB
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Baud = Annotated[int, Meta(ge=0)]
AdcBits = Annotated[int, Meta(ge=0, le=24)]
# Part of topics and of folder names, so neither `.` nor `..`; \Z, because `$` also matches before a last newline.
_BED_NAME = r"^(?!\.\.?\Z)[A-Za-z0-9_.-]{1,64}\Z"
BedName = Annotated[str, Meta(pattern=_BED_NAME, title="1 to 64 letters, digits, _ . - (not . or ..)")]


def _option(flag: str, text: str, words: dict[str, float] | None = None) -> Meta:
    """Declare the option of a key. `commands/options.py` makes the command line and the environment from it.

    Args:
        flag: e.g. `--adc-bits`; the environment variable is then `ECG_MONITOR_ADC_BITS`.
        text: help.
        words: word -> value that it stands for, e.g. `max` for speed 0.
    """
    return Meta(description=text, extra={"flag": flag, "words": words or {}})


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A section of config.toml; an unknown key is an error."""


class SourceConfig(_Section, frozen=True):
    """`[source]`: the signal; config.toml explains each key.

    Many attributes: one per key of the section.
    """

    spec: Annotated[str, _option("--source", "Source of the signal, see below.")] = "sim"
    bed: Annotated[BedName, _option("--bed", "Name of the bed: letters, digits, _ . -")] = "p1"
    patient: Annotated[
        PatientCategory, _option("--patient", "Category of the patient, for alarm limits: adult, child, neonate.")
    ] = "adult"
    speed: Annotated[
        NotNegative,
        _option("--speed", "Replay speed: 1 = real time, 10, ..., max.", {"max": 0.0}),
    ] = 1.0
    start_s: Annotated[NotNegative, _option("--start", "Start of the replay within the record, s.")] = 0.0
    duration_s: Annotated[NotNegative, _option("--duration", "Length of signal to process, s; 0 = to the end.")] = 0.0
    channel: Annotated[
        str, _option("--channel", "Lead by name or number, or two, MLII,V1; default: MLII or first.")
    ] = ""
    fs_hz: Annotated[NotNegative, _option("--fs", "Sampling rate, Hz, where the source does not state it.")] = 0.0
    column: Annotated[str, _option("--column", "csv, -, serial: column by name or number.")] = ""
    unit: Annotated[str, _option("--unit", "Unit of the numbers: mV, uV, V or adc.")] = ""
    mv_per_unit: Annotated[NotNegative, _option("--mv-per-unit", "mV per ADC count, for --unit adc.")] = 0.0
    port: Annotated[str, _option("--port", "Serial port, e.g. /dev/ttyUSB0 or COM3; auto = the only one.")] = ""
    format: Annotated[
        str, _option("--format", "Serial format: auto, lines, chords, cyton, ...; an unknown one lists all.")
    ] = "auto"
    baud: Annotated[Baud, _option("--baud", "Serial speed, bit/s; default: the usual speed of the format.")] = 0
    adc_bits: Annotated[AdcBits, _option("--adc-bits", "Serial: resolution of the device's ADC, bits.")] = 0
    vref: Annotated[NotNegative, _option("--vref", "Serial: reference voltage of that ADC, V.")] = 0.0
    gain: Annotated[NotNegative, _option("--gain", "Serial: amplification before that ADC.")] = 0.0
    seed: Annotated[int, _option("--seed", "Seed of the simulator, and of the start times of --beds-count.")] = 1
    beds_count: Annotated[
        int,
        Meta(ge=1, le=100_000),
        _option("--beds-count", "Number of beds b0001, ... that replay --source; mitdb:* = all its records."),
    ] = 1


class SignalConfig(_Section, frozen=True):
    """`[signal]`: processing of the signal before the beat detection."""

    mains: Annotated[
        Literal["auto", "off", "50", "60"], _option("--mains", "Notch filter against mains hum: auto, off, 50, 60 Hz.")
    ] = "auto"


class ModelConfig(_Section, frozen=True):
    """`[model]`: the model that scores the beats."""

    path: Annotated[str, _option("--model", "ONNX model file; default: the model of the package.")] = ""
    threads: Annotated[int, Meta(ge=1, le=64)] = 1


class BusConfig(_Section, frozen=True):
    """`[bus]`: ZeroMQ sockets for subscribers."""

    listen: Annotated[str, _option("--bus", "Address for subscribers; port * = any three free ports.")] = (
        "tcp://127.0.0.1:5556"
    )
    keys: Annotated[str, _option("--keys", "Folder of CURVE keys (ecg-monitor keys): only its clients connect.")] = ""
    waves_hz: Positive = 20.0


class JournalConfig(_Section, frozen=True):
    """`[journal]`: SQLite file of messages."""

    path: Annotated[str, _option("--journal", "Journal: SQLite file that keeps the alarms across restarts.")] = ""
    keep_days: NotNegative = 90.0
    max_mb: NotNegative = 1000.0


class MetricsConfig(_Section, frozen=True):
    """`[metrics]`: counters for Prometheus. Port 0 = off, -1 = any free port."""

    port: Annotated[
        int,
        Meta(ge=-1, le=65535),
        _option("--metrics", "Serve metrics for Prometheus on this port; * = any free port.", {"*": -1}),
    ] = 0
    listen: Annotated[str, Meta(min_length=1)] = "127.0.0.1"


class RecordConfig(_Section, frozen=True):
    """`[record]`: files of a recorded session."""

    folder: Annotated[str, _option("--record", "Folder of the recorded session.")] = ""


class DashboardConfig(_Section, frozen=True):
    """`[dashboard]`."""

    enabled: Annotated[
        bool, _option("--dashboard/--no-dashboard", "Dashboard on the terminal, or one line per alarm.")
    ] = True
    bell: Annotated[
        bool, _option("--bell/--no-bell", "Dashboard: ring the terminal's bell for alarms that are not acknowledged.")
    ] = False


class WebConfig(_Section, frozen=True):
    """`[web]`: the page for browsers."""

    listen: Annotated[
        str, _option("--web", "Page for browsers on HOST:PORT, by default 127.0.0.1:8080; port 0 = any free one.")
    ] = ""
    hosts: Annotated[str, _option("--host", "Page: more names by which browsers reach it, with commas.")] = ""
    cert: Annotated[str, _option("--cert", "Page: file of the TLS certificate (PEM).")] = ""
    tls_key: Annotated[str, _option("--tls-key", "Page: file of the TLS certificate's key (PEM).")] = ""


class NotifyConfig(_Section, frozen=True):
    """`[notify]`: what is done about an alarm; config.toml explains each key.

    Many attributes: one per key of the section.
    """

    command: str = ""
    webhook: str = ""
    webhook_body: Literal["alarm", "text"] = "alarm"
    webhook_secret: str = ""
    mqtt: str = ""
    mqtt_password: str = ""
    mqtt_topic: str = "ecg-monitor"
    mqtt_discovery: str = "homeassistant"
    ca: str = ""
    insecure: bool = False
    kinds: str = ""
    priorities: str = "high"
    states: str = "onset"
    beds: str = ""
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 10.0
    per_minute: Annotated[int, Meta(ge=1, le=6000)] = 30
    retry_s: NotNegative = 86_400.0


class BedConfig(_Section, frozen=True, omit_defaults=True):
    """`[beds.<name>]`: the settings of one bed.

    Attributes:
        source: its source; empty = the bed of `[source]`, with other alarm limits.
        alarms: kind -> key -> value, laid over `[alarms]`; `Config.alarms_of` gives the result.

    All other keys are those of `[source]`; where given, they replace its values. `Config.source_of` gives the result.

    Many attributes: the keys of `[source]`.
    """

    source: str = ""
    patient: PatientCategory | None = None
    start_s: NotNegative | None = None
    duration_s: NotNegative | None = None
    channel: str | None = None
    fs_hz: NotNegative | None = None
    column: str | None = None
    unit: str | None = None
    mv_per_unit: NotNegative | None = None
    port: str | None = None
    format: str | None = None
    baud: Baud | None = None
    adc_bits: AdcBits | None = None
    vref: NotNegative | None = None
    gain: NotNegative | None = None
    seed: int | None = None
    alarms: Annotated[dict[str, dict[str, Any]], Meta(extra={"section": AlarmsConfig})] = {}


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
    web: WebConfig = WebConfig()
    notify: NotifyConfig = NotifyConfig()
    alarms: AlarmsConfig = AlarmsConfig()
    beds: dict[BedName, BedConfig] = {}

    def alarms_of(self, bed: str) -> AlarmsConfig:
        """Alarm settings of one bed: its own over those of all beds over the limits of its patient's category.

        Raises:
            ConfigError: an unknown key or a wrong value in `[beds.<bed>.alarms]`.
        """
        alarms = limits_of_category(self.alarms, self.source_of(bed).patient)
        if bed not in self.beds or not self.beds[bed].alarms:
            return alarms
        tree: dict[str, Any] = msgspec.to_builtins(alarms)
        _lay_over(tree, self.beds[bed].alarms)
        try:
            return msgspec.convert(tree, AlarmsConfig)
        except msgspec.ValidationError as error:  # of AlarmsConfig itself: a key that its kind does not have
            raise ConfigError(f"beds.{bed}.alarms: {str(error).partition(' - at `$')[0]}") from None

    def source_of(self, bed: str) -> SourceConfig:
        """Source settings of one bed: `[source]` with the values of `[beds.<bed>]`."""
        if bed not in self.beds:
            return msgspec.structs.replace(self.source, bed=bed)
        own = self.beds[bed]
        given = {key: value for key in _BED_KEYS if (value := getattr(own, key)) is not None}
        return msgspec.structs.replace(self.source, bed=bed, **({"spec": own.source} if own.source else {}), **given)


msgspec.json.Decoder(Config)  # makes its type information now, in one thread: see messages.register_types

_BED_KEYS = tuple(key for key in BedConfig.__struct_fields__ if key in SourceConfig.__struct_fields__)


def merge(config: Config, changes: dict[str, dict[str, Any]], origin: str) -> Config:
    """Replace values of a configuration.

    Args:
        config: the configuration before.
        changes: section -> key -> value; alarm kinds are sections within `alarms`.
        origin: origin of the changes for the error, e.g. a file name or `--speed`.

    Raises:
        ConfigError: an unknown section or key, or a wrong value.
    """
    tree: dict[str, Any] = msgspec.to_builtins(config)
    try:
        _lay_over(tree, read_section(Config, changes))
        merged = msgspec.convert(tree, Config)
        for bed in merged.beds:
            merged.alarms_of(bed)
    except msgspec.ValidationError as error:  # of AlarmsConfig itself: a key that its kind does not have
        raise ConfigError(f"{origin}: {str(error).partition(' - at `$')[0]}") from None
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from None
    return merged


def load_config(path: Path) -> Config:
    """Read a config.toml; missing keys have their defaults.

    Raises:
        ConfigError: no such file, not TOML, an unknown key or a wrong value; names file and key.
    """
    return merge(Config(), _toml(path, "config", "give --config FILE or omit it"), f"config {path}")


def load_beds(path: Path, config: Config) -> Config:
    """Read a file of beds and add them to a configuration. Each `[beds.<name>]` needs a `source`.

    Raises:
        ConfigError: no such file, not TOML (nor is a name that occurs twice), a section other than beds, no bed, a bed
            without source, an unknown key or a wrong value; names file, bed and key.
    """
    changes = _toml(path, "beds", "give --beds FILE")
    if other := [key for key in changes if key != "beds"]:
        raise ConfigError(f"beds {path}: [{other[0]}] is no bed; write [beds.NAME], the rest into --config FILE")
    beds = changes.get("beds", {})
    if not isinstance(beds, dict) or not beds:
        raise ConfigError(f'beds {path}: no bed in it; write [beds.NAME] and below it source = "mitdb:208"')
    merged = merge(config, changes, f"beds {path}")
    for bed in beds:
        if not merged.beds[bed].source:
            raise ConfigError(f'beds {path}: bed {bed} has no source; write source = "mitdb:208" under [beds.{bed}]')
    return merged


def _toml(path: Path, what: str, remedy: str) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{what} {path}: {error.strerror}; {remedy}") from None
    if len(content) > _MOST_BYTES:
        raise ConfigError(f"{what} {path}: larger than {_MOST_BYTES >> 20} MB; {remedy}")
    try:
        return tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{what} {path}: not TOML ({error})") from None


def _lay_over(tree: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            _lay_over(tree[key], value)
        else:
            tree[key] = value
