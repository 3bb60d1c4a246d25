"""config.toml: its values are the defaults of the structs; unknown keys and wrong values are errors."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from monitor.alarm_config import CATEGORY_LIMITS, KNOWN_KEYS, AlarmsConfig, KindConfig
from monitor.alarms.kinds import COVERS, TECHNICAL
from monitor.config import BedConfig, Config, SourceConfig, load_config, merge
from monitor.errors import ConfigError

FILE = Path(__file__).parents[2] / "config.toml"


def test_config_toml_holds_the_defaults() -> None:
    assert load_config(FILE) == Config()
    assert tomllib.loads(FILE.read_text()) == msgspec.to_builtins(Config())


def test_config_toml_explains_every_key() -> None:
    explained = [line for line in FILE.read_text().splitlines() if "=" in line and not line.startswith("#")]
    plain = {"enabled", "priority", "beats", "hold_s", "limit"}  # explained above the alarms
    for line in explained:
        key = line.split("=")[0].strip()
        assert "#" in line or key in plain, line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[source]\nspede = 2", r"bad\.toml.*source.*spede"),
        ("[sauce]\nx = 1", r"bad\.toml.*sauce"),
        ("[alarms.asystoly]\nlimit = 3", r"bad\.toml.*asystoly"),
        ("[alarms.asystole]\nlimit = -3", r"bad\.toml.*alarms\.asystole\.limit"),
        ('[alarms.asystole]\npriority = "urgent"', r"bad\.toml.*priority.*urgent"),
        ('[source]\nspeed = "fast"', r"bad\.toml.*source\.speed"),
        ('[source]\nbed = "a/b"', r"bad\.toml.*source\.bed"),
        ("[source\nspeed", r"bad\.toml.*not TOML"),
        ("[alarms.anomalous_beat]\ndelay_s = 3", r"bad\.toml.*alarms.*anomalous_beat has no key delay_s"),
        ('[alarms.leads_off]\nlatch = "always"', r"bad\.toml.*leads_off has no key latch"),
        ("[alarms.tachycardia]\nbeats = 1", r"bad\.toml.*tachycardia\.beats=1: give at least 2"),
        ("[beds.icu.alarms.asystole]\nlimt = 3", r"bad\.toml: beds\.icu\.alarms\.asystole.*limt"),
        ("[beds.icu.alarms.asystoly]\nlimit = 3", r"bad\.toml: beds\.icu\.alarms.*asystoly"),
        ('[beds.icu.alarms.asystole]\nlimit = "x"', r"bad\.toml: beds\.icu\.alarms\.asystole\.limit"),
        ("[beds.icu.alarms.pause]\nbeats = 3", r"bad\.toml: beds\.icu\.alarms: alarms\.pause has no key beats"),
        ("[beds.icu]\nlimit = 3", r"bad\.toml.*beds.*limit"),
        ('[beds."a/b".alarms.asystole]\nlimit = 3', r"bad\.toml.*beds\.'a/b'.*1 to 64 letters"),
        ('[beds."p1\\n"]\nsource = "sim"', r"bad\.toml.*beds\.'p1\\n'.*1 to 64 letters"),
        ('[beds.".."]\nsource = "sim"', r"bad\.toml.*beds\.'\.\.'.*1 to 64 letters"),
        ('[source]\nbed = "p1\\n"', r"bad\.toml.*source\.bed = .*: give 1 to 64 letters"),
    ],
)
def test_the_error_of_a_wrong_file_names_file_and_key(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=expected) as error:
        load_config(path)
    assert "\n" not in str(error.value)


def test_the_limits_of_a_bed_replace_the_common_ones(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        "[alarms.tachycardia]\nlimit = 125.0\ndelay_s = 5.0\n"
        '[beds.icu-4.alarms.tachycardia]\nlimit = 150.0\npriority = "high"\n'
        "[beds.icu-4.alarms.anomalous_beat]\nenabled = false\n"
    )
    config = load_config(path)
    usual, own = config.alarms_of("p1"), config.alarms_of("icu-4")
    assert usual == config.alarms
    assert (usual.tachycardia.limit, own.tachycardia.limit) == (125.0, 150.0)
    assert (own.tachycardia.delay_s, own.tachycardia.priority, own.tachycardia.beats) == (5.0, "high", 14)
    assert usual.anomalous_beat.enabled
    assert not own.anomalous_beat.enabled
    assert own.asystole == usual.asystole
    later = merge(config, {"alarms": {"asystole": {"limit": 3.0}}}, "flags")
    assert later.alarms_of("icu-4").asystole.limit == 3.0


def rate_limits(config: Config, bed: str) -> tuple[float, ...]:
    alarms = config.alarms_of(bed)
    kinds = ("extreme_bradycardia", "bradycardia", "tachycardia", "extreme_tachycardia")
    return tuple(getattr(alarms, kind).limit for kind in kinds)


def test_the_category_of_a_patient_sets_the_limits_of_the_rates_under_those_given() -> None:
    beds = {
        "adult": {"source": "sim"},
        "child": {"source": "sim", "patient": "child"},
        "neonate": {"source": "sim", "patient": "neonate", "alarms": {"tachycardia": {"limit": 120.0}}},
    }
    config = merge(Config(), {"beds": beds}, "test")
    assert rate_limits(config, "adult") == (40, 45, 120, 140)
    assert rate_limits(config, "child") == (60, 75, 160, 180)
    assert rate_limits(config, "neonate") == (80, 100, 120, 230), "a bed's own limit, even if it is an adult's"
    given = merge(config, {"alarms": {"bradycardia": {"limit": 50.0}}}, "test")
    assert rate_limits(given, "neonate") == (80, 50, 120, 230)
    whole = load_config(FILE)
    neonates = merge(whole, {"source": {"patient": "neonate"}}, "--patient")
    assert rate_limits(neonates, "p1") == (80, 100, 200, 230), "the file with all defaults leaves them"
    assert rate_limits(merge(neonates, {"beds": beds}, "test"), "adult") == (80, 100, 200, 230)
    with pytest.raises(ConfigError, match="patient"):
        merge(Config(), {"source": {"patient": "baby"}}, "--patient")
    text = FILE.read_text()
    for patient, limits in CATEGORY_LIMITS.items():
        assert patient in text
        for kind, limit in limits.items():
            assert re.search(rf"# {kind} .* {limit}( |$)", text, re.MULTILINE), (patient, kind)


def test_a_bed_has_the_keys_of_the_source_in_their_ranges() -> None:
    of_source = {field.name: field.type for field in msgspec.structs.fields(SourceConfig)}
    of_bed = {field.name: field.type for field in msgspec.structs.fields(BedConfig)}
    common = of_bed.keys() - {"source", "alarms"}
    assert common == of_source.keys() - {"spec", "bed", "speed", "beds_count"}
    for key, wrong in (("start_s", -1.0), ("fs_hz", -1.0), ("baud", -1), ("adc_bits", 25), ("vref", -1), ("gain", -1)):
        for changes in ({"source": {key: wrong}}, {"beds": {"b": {key: wrong}}}):
            with pytest.raises(ConfigError, match=key):
                merge(Config(), changes, "test")


def test_every_kind_of_alarm_is_in_all_tables() -> None:
    kinds = {field.name for field in msgspec.structs.fields(AlarmsConfig)}
    assert kinds == KNOWN_KEYS.keys() == tomllib.loads(FILE.read_text())["alarms"].keys()
    keys = {field.name for field in msgspec.structs.fields(KindConfig)}
    assert all(known <= keys for known in KNOWN_KEYS.values())
    assert COVERS.keys() | {kind for lower in COVERS.values() for kind in lower} <= kinds
    assert kinds >= TECHNICAL
    for kind in TECHNICAL:
        assert "latch" not in KNOWN_KEYS[kind]
