"""Values of settings: read from the command line, the environment or a file in the same way. Pure."""

from __future__ import annotations

import functools
import math
import types
import typing
from typing import Any

import msgspec
from msgspec import Meta

from monitor.errors import ConfigError

__all__ = ["read_section", "read_value", "words_of"]

_NUMBERS = (int, float)


def words_of(hint: Any) -> dict[str, float]:
    """Words that stand for a value of this type, e.g. `max` for speed 0."""
    words: dict[str, float] = {}
    for meta in _metas(hint):
        words |= (meta.extra or {}).get("words", {})
    return words


def read_value(hint: Any, given: Any) -> Any:
    """The value of a setting for what was given.

    A number may be given as text and a text as a number: `--channel 1` and `channel = 1`, `--fs 250` and
    `fs_hz = "250"` are the same. A word of `words_of` stands for its number.

    Args:
        hint: type of the key, e.g. `Annotated[float, Meta(ge=0)]`.
        given: a value of TOML, or the text of a command line.

    Raises:
        ValueError: not allowed; the text says what to give.
    """
    kind, words = _kind(hint), words_of(hint)
    value = given
    if isinstance(given, str) and kind in _NUMBERS:
        value = words.get(given, given) if given in words else _number(kind, given)
    elif isinstance(given, int) and not isinstance(given, bool) and kind not in (*_NUMBERS, bool):
        value = str(given)
    try:
        read = msgspec.convert(value, hint)
    except msgspec.ValidationError:
        raise ValueError(f"give {_accepted(hint)}") from None
    if isinstance(read, float) and not math.isfinite(read):
        raise ValueError(f"give {_accepted(hint)}")
    return read


def read_section(kind: type[msgspec.Struct], given: Any, where: str = "") -> dict[str, Any]:
    """The values of a section and the sections in it, each read by `read_value`.

    Args:
        kind: the struct of the section. Its fields are values, structs, dictionaries of structs by name, or have the
            struct that they are a part of as `section` in the `extra` of a Meta.
        given: the section as TOML has it.
        where: name of the section, e.g. `beds.icu-4`; empty for the whole configuration.

    Raises:
        ConfigError: no section, an unknown key (lists the known keys), or a wrong value (names key, value and what to
            give).
    """
    hints = _hints(kind)
    read: dict[str, Any] = {}
    for key, value in _table(given, where).items():
        name = f"{where}.{key}".lstrip(".")
        if key not in hints:
            what, have = (f"{where} has no key {key}", "it has") if where else (f"no section [{key}]", "there are")
            raise ConfigError(f"{what}; {have} {', '.join(hints)}")
        hint = hints[key]
        part = next((meta.extra["section"] for meta in _metas(hint) if meta.extra and "section" in meta.extra), hint)
        if isinstance(part, type) and issubclass(part, msgspec.Struct):
            read[key] = read_section(part, value, name)
        elif typing.get_origin(part) is dict:
            names, struct = typing.get_args(part)
            read[key] = {
                _checked(names, own, f"[{name}.{own!r}] as a name"): read_section(struct, keys, f"{name}.{own}")
                for own, keys in _table(value, f"{name}", ".NAME").items()
            }
        else:
            read[key] = _checked(hint, value, f"{name} = {value!r}")
    return read


def _table(given: Any, where: str, below: str = "") -> dict[str, Any]:
    if not isinstance(given, dict):
        raise ConfigError(f"{where} = {given!r}: is a section; write [{where}{below}] and its keys below")
    return given


def _checked(hint: Any, given: Any, what: str) -> Any:
    try:
        return read_value(hint, given)
    except ValueError as error:
        raise ConfigError(f"{what}: {error}") from None


@functools.cache
def _hints(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Key -> type, with its limits."""
    return typing.get_type_hints(kind, include_extras=True)


def _number(kind: type, text: str) -> Any:
    """The number of a text; the text itself where it is none."""
    if text.isascii() and "_" not in text:
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _metas(hint: Any) -> list[Meta]:
    return [part for part in getattr(hint, "__metadata__", ()) if isinstance(part, Meta)] + (
        _metas(hint.__origin__) if hasattr(hint, "__metadata__") else []
    )


def _kind(hint: Any) -> Any:
    """The type without annotations and without None."""
    while hasattr(hint, "__metadata__"):
        hint = hint.__origin__
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return _kind(next(part for part in typing.get_args(hint) if part is not type(None)))
    return hint


def _accepted(hint: Any) -> str:
    """What to give, in words, e.g. `a number of 0 or more, or max`."""
    parts = [part for part in typing.get_args(hint) if part is not type(None)]
    if isinstance(hint, types.UnionType):
        return _accepted(parts[0])
    kind, metas = _kind(hint), _metas(hint)
    if typing.get_origin(kind) is typing.Literal:
        *others, last = typing.get_args(kind)
        return f"{', '.join(others)} or {last}"
    if kind is bool:
        return "true or false"
    for meta in metas:
        if meta.pattern is not None and meta.title:
            return meta.title
    if kind not in _NUMBERS:
        return "text" if not any(meta.min_length for meta in metas) else "text that is not empty"
    bounds = {
        name: value for meta in metas for name in ("gt", "ge", "le") if (value := getattr(meta, name)) is not None
    }
    text = "a whole number" if kind is int else "a number"
    if "ge" in bounds and "le" in bounds:
        text += f" from {bounds['ge']:,} to {bounds['le']:,}"
    elif "ge" in bounds:
        text += f" of {bounds['ge']:g} or more"
    elif "gt" in bounds:
        text += f" above {bounds['gt']:g}"
    return ", or ".join([text, *words_of(hint)])
