"""The recording folders of all beds. A recording that cannot be written ends; the monitor runs on."""

from __future__ import annotations

from collections.abc import Callable
from operator import methodcaller
from pathlib import Path
from typing import Any

import msgspec

from monitor.config import Config
from monitor.engine.bed import Bed
from monitor.errors import RecorderError, plain_line
from monitor.recording.recorder import Recorder
from monitor.recording.share import DiskShare
from monitor.sources.reconnecting import ReconnectingSource

__all__ = ["Recordings"]


class Recordings:
    """One recorder for each recorded bed.

    Args:
        config: the whole configuration; each recording keeps the part that holds for its bed.
        report: receives one line when a recording ends early, or leaves something out.
        clock: monotonic, s.

    Attributes:
        folder: of the session; None = nothing is recorded.

    Raises:
        RecorderError: the folder cannot be created.
    """

    def __init__(self, config: Config, report: Callable[[str], None], clock: Callable[[], float]) -> None:
        self.folder = Path(config.record.folder) if config.record.folder else None
        try:
            if self.folder is not None:
                self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecorderError(f"recording to {self.folder}: {error.strerror}; name another folder") from None
        self._config = config
        self._report = report
        self._clock = clock
        self._recorders: dict[str, Recorder] = {}
        self._failed: list[tuple[str, str]] = []
        self._refusing: set[str] = set()  # beds beyond their share of the disk

    def begin(self, bed: Bed) -> None:
        """Create the files of a bed. A bed whose source is not open yet gets none.

        Raises:
            RecorderError: its folder cannot be created, or already holds a session.
        """
        if self.folder is None or isinstance(bed.source, ReconnectingSource):
            return
        own = {bed.name: self._config.beds[bed.name]} if bed.name in self._config.beds else {}
        self._recorders[bed.name] = Recorder(
            self.folder,
            bed.name,
            bed.source.fs_hz,
            bed.input.leads,
            bed.input.time_of(0),
            msgspec.to_builtins(msgspec.structs.replace(self._config, beds=own)),
            bed.model,
            rails_mv=bed.input.rails_mv,
            share=DiskShare(bed.source.fs_hz * len(bed.input.leads), self._clock) if bed.source.live else None,
        )

    def write(self, bed_name: str, write: Callable[[Recorder], None]) -> None:
        """Call `write` with the recorder of a bed, if it has one.

        A full disk ends the recording of this bed: one incident, and exit code 3 at the end.
        """
        recorder = self._recorders.get(bed_name)
        if recorder is None:
            return
        try:
            write(recorder)
        except RecorderError as error:
            self._report(str(error))
            self._failed.append((bed_name, str(error)))
            self._recorders.pop(bed_name).close()

    def check(self) -> list[tuple[str, str]]:
        """Check that all files are still in their place, and all beds within their share; call it once a second.

        Returns:
            Bed name and reason of each recording that ended or is not complete since the last call, for an event.
        """
        for name, recorder in list(self._recorders.items()):
            self.write(name, methodcaller("check"))
            if recorder.share is not None and recorder.share.refused and name not in self._refusing:
                self._refusing.add(name)
                text = (
                    f"recording to {recorder.folder}: {name} sends more than its share of the disk "
                    f"({recorder.share.text}); what goes beyond is not recorded"
                )
                self._report(text)
                self._failed.append((name, text))
        failed, self._failed = self._failed, []
        return failed

    def close(self, totals: Callable[[str], dict[str, Any]]) -> None:
        """End all recordings.

        Args:
            totals: bed name -> the counts to keep in its session file.
        """
        for name in list(self._recorders):
            try:
                self.write(name, methodcaller("close", totals(name)))
            except Exception as error:  # a fault of one bed does not leave the others open
                self._report(f"recording of bed {name} is not closed: {type(error).__name__}: {plain_line(error)}")

    def abandon(self) -> None:
        """Close all files: the monitor could not start."""
        for recorder in self._recorders.values():
            recorder.close()
