"""The journal of a command: chosen by its options, opened for reading."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from monitor.commands.options import Given, settings_of
from monitor.errors import ConfigError

if TYPE_CHECKING:
    from monitor.journal import JournalReader

__all__ = ["JOURNAL_FLAGS", "JOURNAL_TEXTS", "NEWEST", "opened_journal", "run_id"]

NEWEST: Final = 3  # ids listed when the requested one does not exist
JOURNAL_FLAGS: Final = ("--journal", "--record", "--config")
JOURNAL_TEXTS: Final = {
    "--journal": "The journal; the monitor may be running.",
    "--record": "Folder of a recorded session, for its journal.sqlite.",
    "--config": "Configuration file with the journal or the folder.",
}


@contextlib.contextmanager
def opened_journal(given: Given) -> Iterator[JournalReader]:
    """The journal of the options; an error while it is read is one line.

    Raises:
        ConfigError: no option names a journal.
        JournalError: the journal cannot be read.
    """
    import sqlite3

    from monitor.journal import JournalReader
    from monitor.journal.file import journal_error

    settings = settings_of(given)
    path = settings.journal.path
    if not path and settings.record.folder:
        path = str(Path(settings.record.folder) / "journal.sqlite")
    if not path or path == ":memory:":
        raise ConfigError(
            "which journal? give the monitor's --journal FILE or --record FOLDER, or set ECG_MONITOR_JOURNAL"
        )
    reader = JournalReader(path)
    try:
        yield reader
    except sqlite3.Error as error:
        raise journal_error(path, error, reading=True) from error
    finally:
        reader.close()


def run_id(epochs: Sequence[str], given: str, where: str) -> str:
    """Id of a run from its id, the beginning of its id, or `last`; empty = all runs.

    Args:
        epochs: ids of the runs, oldest first.
        given: value of `--epoch`.
        where: journal or endpoint, for the error.

    Raises:
        ConfigError: no run, or more than one.
    """
    if not given or given in epochs:
        return given
    if given == "last" and epochs:
        return epochs[-1]
    matching = [name for name in epochs if name.startswith(given)]
    if len(matching) != 1:
        problem = "several runs" if matching else "no run"
        newest = ", ".join(epochs[-NEWEST:])
        raise ConfigError(f"--epoch {given}: {problem} of {where}; the newest are {newest or 'none'}")
    return matching[0]
