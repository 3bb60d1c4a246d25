"""Every option of the configuration on the command line, in the environment and in the file."""

from __future__ import annotations

import re
import typing
from pathlib import Path

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from monitor.commands.app import app
from monitor.commands.options import OPTIONS, Given, settings_of, takes, variable
from monitor.config import Config
from monitor.config_values import words_of
from monitor.errors import ConfigError
from tests import ROOT

# Options of the emulated device: the monitor's variables of the same name are those of the other end of the cable.
# --bed of these commands selects beds for display; a variable would hide the alarms of all others.
WITHOUT_VARIABLE = {
    "emulate": {"--source", "--format", "--port", "--baud", "--seed", "--speed"},
    "watch": {"--bed"},
    "tail": {"--bed"},
    "alarms": {"--bed", "--format"},
    "export": {"--format"},
    "rr": {"--format"},
}

probe = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@probe.command()
@takes(*OPTIONS, "--beds", "--config")
def settings(given: Given) -> None:
    print(msgspec.json.encode(settings_of(given)).decode())


def run(*words: str, **environment: str) -> Config:
    done = CliRunner().invoke(probe, words, env=environment, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return msgspec.json.decode(done.output, type=Config)


def on_command_line(flag: str, value: object) -> list[str]:
    if isinstance(value, bool):
        return [flag.split("/")[0 if value else 1]]
    return [flag, str(value)]


def in_file(folder: Path, flag: str, value: object) -> str:
    option = OPTIONS[flag]
    text = str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)
    (folder / "c.toml").write_text(f"[{option.section}]\n{option.key} = {text}\n")
    return str(folder / "c.toml")


def value_in(config: Config, flag: str) -> object:
    return getattr(getattr(config, OPTIONS[flag].section), OPTIONS[flag].key)


def examples(flag: str) -> tuple[object, object, object]:
    """Three allowed values that differ from the default and from each other."""
    option = OPTIONS[flag]
    if option.number is bool:
        return not option.default, option.default, not option.default
    if option.key == "mains":
        return "off", "50", "60"
    if option.key == "patient":
        return "child", "neonate", "adult"
    if option.number is str:
        return "one", "two", "three"
    return option.number(2), option.number(3), option.number(4)


@pytest.mark.parametrize("flag", OPTIONS)
def test_an_option_works_in_all_three_ways_and_in_their_order(flag: str, tmp_path: Path) -> None:
    a, b, c = examples(flag)
    name = variable(flag)
    assert value_in(run(), flag) == OPTIONS[flag].default == value_in(Config(), flag)
    assert value_in(run(*on_command_line(flag, a)), flag) == a
    assert value_in(run(**{name: str(a)}), flag) == a
    config = ["--config", in_file(tmp_path, flag, c)]
    assert value_in(run(*config), flag) == c
    assert value_in(run(ECG_MONITOR_CONFIG=config[1]), flag) == c
    assert value_in(run(*config, **{name: str(b)}), flag) == b
    assert value_in(run(*config, *on_command_line(flag, a), **{name: str(b)}), flag) == a


def outcome(*words: str, flag: str) -> object:
    """The value that a command line gives, or the text of its error from `give` on."""
    try:
        return value_in(run(*words), flag)
    except ConfigError as error:
        text = str(error)
        assert "\n" not in text
        assert ": give " in text, "the error says what to give"
        return text[text.index(": give ") :]


ANYTHING = (
    "0", "1", "2", "-1", "0.5", "1e3", ".5", "50", "24", "25", "65535", "65536", "1_000", "1²", "٣", "nan", "inf",
    "-inf", "1e400", "12345678901234567890", "", " ", "max", "*", "auto", "off", "on", "true", "child", "mV", "é",
)  # fmt: skip


@pytest.mark.parametrize("flag", [flag for flag, option in OPTIONS.items() if option.number is not bool])
def test_an_option_and_its_key_take_the_same_values_with_the_same_meaning(flag: str, tmp_path: Path) -> None:
    option = OPTIONS[flag]
    taken = 0
    for text in ANYTHING:
        (tmp_path / "c.toml").write_text(f'[{option.section}]\n{option.key} = "{text}"\n')
        in_text = outcome("--config", str(tmp_path / "c.toml"), flag=flag)
        assert outcome(f"{flag}={text}", flag=flag) == in_text, text
        if text.isascii() and text.lstrip("-").isdigit() and len(text) < 18:
            (tmp_path / "c.toml").write_text(f"[{option.section}]\n{option.key} = {text}\n")
            assert outcome("--config", str(tmp_path / "c.toml"), flag=flag) == in_text, text
        taken += not str(in_text).startswith(": give ")
    assert taken


@pytest.mark.parametrize("flag", [flag for flag, option in OPTIONS.items() if words_of(option.hint)])
def test_a_word_stands_for_its_value(flag: str) -> None:
    for word, value in words_of(OPTIONS[flag].hint).items():
        assert value_in(run(flag, word), flag) == value
        assert value_in(run(f"{flag}={value:g}"), flag) == value, "the number itself is the same"
        assert value_in(run(**{variable(flag): word}), flag) == value
        for wrong in ("fast", "nan", "inf", "1²", ""):
            with pytest.raises(ConfigError, match=rf"{flag} {wrong}.*: give .*, or {re.escape(word)}"):
                run(flag, wrong)


def test_the_example_file_names_the_option_of_each_key() -> None:
    lines = (ROOT / "config.toml").read_text().splitlines()
    section = ""
    named: dict[tuple[str, str], str] = {}
    for line in lines:
        if line.startswith("["):
            section = line.strip("[]")
        elif line.rstrip().endswith(")") and "(--" in line and not line.startswith("#"):
            named[section, line.split()[0]] = line.rpartition("(")[2].strip(" )")
    shown = {  # of a switch: the flag that differs from the default
        (option.section, option.key): option.flag.split("/")[0 if option.default is False else -1]
        for option in OPTIONS.values()
    }
    assert named == shown


def test_a_file_of_beds_excludes_the_options_of_one_bed(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text('[beds.icu-1]\nsource = "sim"\n')
    assert run("--beds", str(tmp_path / "b.toml")).beds["icu-1"].source == "sim"
    assert run(ECG_MONITOR_BEDS=str(tmp_path / "b.toml")).beds["icu-1"].source == "sim"
    for option in ("--bed x", "--source sim"):
        with pytest.raises(ConfigError, match=rf"{option}: .*\[beds\.icu-1\]"):
            run("--beds", str(tmp_path / "b.toml"), *option.split())


def commands() -> dict[str, typing.Any]:
    group = typing.cast(typing.Any, typer.main.get_command(app))
    return {"": group, **group.commands}


@pytest.mark.parametrize("command", commands())
def test_an_option_has_the_same_variable_in_every_command(command: str) -> None:
    for parameter in commands()[command].params:
        for flag in set(parameter.opts) & {flag.split("/")[0] for flag in OPTIONS}:
            expected = None if flag in WITHOUT_VARIABLE.get(command, ()) else variable(flag)
            assert parameter.envvar == expected, flag
