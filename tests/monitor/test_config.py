"""config.toml: equal to the code's defaults, closed, and clear when it is wrong."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from monitor.config import Config, ConfigError, load_config, merge

FILE = Path(__file__).parents[2] / "config.toml"


def test_the_file_in_the_repository_is_the_defaults() -> None:
    assert load_config(FILE) == Config()
    assert tomllib.loads(FILE.read_text()) == msgspec.to_builtins(Config())


def test_every_key_of_a_section_is_explained() -> None:
    explained = [line for line in FILE.read_text().splitlines() if "=" in line and not line.startswith("#")]
    plain = {"enabled", "priority", "beats", "hold_s", "limit"}  # explained once above the alarms
    for line in explained:
        key = line.split("=")[0].strip()
        assert "#" in line or key in plain, line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[source]\nspede = 2", r"bad\.toml.*source.*spede"),
        ("[sauce]\nx = 1", r"bad\.toml.*sauce"),
        ("[alarms.asystoly]\nlimit = 3", r"bad\.toml.*asystoly"),
        ("[alarms.asystole]\nlimit = -3", r"bad\.toml.*alarms\.asystole\.limit"),
        ('[alarms.asystole]\npriority = "urgent"', r"bad\.toml.*priority.*urgent"),
        ('[source]\nspeed = "fast"', r"bad\.toml.*source\.speed"),
        ('[source]\nbed = "a/b"', r"bad\.toml.*source\.bed"),
        ("[source\nspeed", r"bad\.toml.*not TOML"),
    ],
)
def test_a_wrong_file_is_refused_naming_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said) as error:
        load_config(path)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match=re.escape("/nowhere/x.toml")):
        load_config(Path("/nowhere/x.toml"))


def test_a_file_may_hold_only_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[alarms.asystole]\nlimit = 3\n[source]\nspeed = 0")
    config = load_config(path)
    assert (config.alarms.asystole.limit, config.alarms.asystole.priority, config.source.speed) == (3.0, "high", 0.0)


def test_later_changes_win() -> None:
    config = merge(merge(Config(), {"source": {"speed": 5.0}}, "file"), {"source": {"speed": 9.0}}, "--speed")
    assert config.source.speed == 9.0
    with pytest.raises(ConfigError, match="--speed"):
        merge(Config(), {"source": {"speed": -1.0}}, "--speed")
