"""The tokens of persons, as they stand in the allow-list of the monitor's key folder; a change takes effect at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from monitor.bus.allow_list import CLIENTS_FILE, WebClient, file_signature, load_allow_list
from monitor.errors import ConfigError

__all__ = ["Tokens"]

_CHECK_EVERY_S: Final = 0.2


class Tokens:
    """The persons of an allow-list by the digest of their token.

    Args:
        folder: key folder of a monitor.
        report: called with one line where a changed allow-list cannot be read; the one in force then stays.
        clock: monotonic, s.

    Raises:
        ConfigError: the allow-list is missing or cannot be read.
    """

    def __init__(self, folder: Path, report: Callable[[str], None], clock: Callable[[], float]) -> None:
        if not (folder / CLIENTS_FILE).exists():
            raise ConfigError(f"no keys in {folder}; make them with: ecg-monitor keys new {folder}")
        self._folder = folder
        self._report = report
        self._clock = clock
        self._checked_s = clock()
        self._signature = file_signature(folder)
        self._persons = self._load()

    @property
    def any(self) -> bool:
        """Whether the list in force has a token."""
        return bool(self._persons)

    def person(self, digest: str) -> WebClient | None:
        """The person whose token has this digest (`monitor.bus.keys.token_digest`); None if there is none."""
        self._reload_changed_list()
        return self._persons.get(digest)

    def _load(self) -> dict[str, WebClient]:
        return {person.token: person for person in load_allow_list(self._folder).web}

    def _reload_changed_list(self) -> None:
        if self._clock() - self._checked_s < _CHECK_EVERY_S:
            return
        self._checked_s = self._clock()
        signature = file_signature(self._folder)
        if signature == self._signature:
            return
        self._signature = signature
        try:
            self._persons = self._load()
        except ConfigError as error:
            self._report(f"web: {error}; the tokens in force are unchanged")
