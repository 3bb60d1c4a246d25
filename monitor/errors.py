"""Errors of the outside world: each is one line that names the value and the remedy.

`ecg-monitor` prints such an error and exits with code 2. Code recognises errors by their class, never by their text.
A wrong argument of a caller is a `ValueError`; corrupt data in a running stream is an event or an alarm, not an error.
"""

from __future__ import annotations

__all__ = [
    "BusError",
    "ClientError",
    "ConfigError",
    "EcgMonitorError",
    "JournalError",
    "JournalInUse",
    "MetricsError",
    "ModelError",
    "NotifyError",
    "PortInUse",
    "PositionError",
    "RecorderError",
    "SourceError",
    "first_line",
    "plain_line",
]

_LONGEST_LINE = 500  # characters


class EcgMonitorError(Exception):
    """Base class: a file, device, network or setting outside the program is unusable. The text is one line."""


class ConfigError(EcgMonitorError):
    """A key, value or file of the configuration cannot be used."""


class SourceError(EcgMonitorError):
    """A source cannot be opened, or failed while it was read."""


class ModelError(EcgMonitorError):
    """A model file cannot be loaded, or does not fit the beats of this version."""


class BusError(EcgMonitorError):
    """An endpoint of the bus cannot be bound, or is not permitted."""


class PortInUse(BusError):  # noqa: N818 - named after the state
    """An endpoint of the bus is bound by another program."""


class MetricsError(EcgMonitorError):
    """The metrics port cannot be served."""


class ClientError(EcgMonitorError):
    """A monitor cannot be reached, or refused a request."""


class NotifyError(EcgMonitorError):
    """A receiver of `[notify]` did not take an alarm; `final`: another attempt would give the same."""

    def __init__(self, text: str, *, final: bool = False) -> None:
        super().__init__(text)
        self.final = final


class PositionError(EcgMonitorError):
    """A subscriber's position file cannot be read or written."""


class JournalError(EcgMonitorError):
    """A journal cannot be opened or read."""


class JournalInUse(JournalError):  # noqa: N818 - named after the state
    """A journal is open in another monitor."""


class RecorderError(EcgMonitorError):
    """A recording folder cannot be created or written."""


def plain_line(value: object) -> str:
    """The text of a value as one line that can be printed, encoded and stored: of any length, type and alphabet.

    Line breaks and control characters become spaces; characters that UTF-8 cannot encode (surrogates, as in odd file
    names) become `?`; a value whose text cannot be had gives the name of its class.

    >>> plain_line("a\\nb\\udcff")
    'a b?'
    """
    try:
        text = str(value)[: 2 * _LONGEST_LINE]
    except Exception:  # code of another package
        text = type(value).__name__
    text = text.encode("utf-8", "replace").decode()
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= _LONGEST_LINE else f"{text[: _LONGEST_LINE - 4]} ..."


def first_line(error: BaseException) -> str:
    """The first line of an error's text; the name of its class where the text is empty or cannot be had."""
    try:
        lines = str(error).splitlines()
    except Exception:  # code of another package
        lines = []
    return plain_line(lines[0]) if lines else type(error).__name__
