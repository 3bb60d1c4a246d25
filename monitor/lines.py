"""What a run without a screen prints: lines on standard output, until nobody reads them any more."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from monitor.messages import AlarmMessage
    from monitor.pipeline import Pipeline

__all__ = ["PrintedLines"]


class PrintedLines:
    """One line per alarm, for runs without a screen.

    Args:
        stop: set when nobody reads the lines any more, as `ecg-monitor | head` does.

    Attributes:
        failed: lines could not be written, e.g. to a full disk; the watching went on.
    """

    def __init__(self, stop: threading.Event) -> None:
        self.failed = False
        self._stop = stop

    def say(self, line: str) -> None:
        """Any line."""
        self._print(line)

    def begin(self, pipeline: Pipeline) -> None:
        """What is watched, and where alarms are to be had."""
        for bed in pipeline.beds.values():
            s = bed.source
            self._print(f"{bed.name}: {s.name}, lead {s.lead}, {s.fs_hz:g} Hz, model {bed.model.name}")
        self._print(f"alarms on {pipeline.endpoints.alarms} (not a medical device)")
        if pipeline.metrics is not None:
            self._print(f"metrics on {pipeline.metrics.url}")

    def alarm(self, message: AlarmMessage) -> None:
        """One line for a new state of an alarm."""
        alarm = message.alarm
        if alarm.update or (alarm.state == "onset" and alarm.count > 1):
            return  # more is known of it, or the same alarm came back before anybody acknowledged it
        now = f" (now {alarm.covered_by.split('/')[1]})" if alarm.covered_by else ""
        self._print(
            f"{message.time}  {alarm.bed}  {alarm.priority:<6}  {alarm.kind:<24}  {alarm.state:<12}  "
            f"sample {alarm.onset_sample}: {alarm.text}{now}"
        )

    def notice(self, line: str) -> None:
        """A line for a person, on standard error."""
        with contextlib.suppress(OSError):  # nobody listens there either
            print(f"ecg-monitor: {line}", file=sys.stderr, flush=True)

    def end(self, pipeline: Pipeline) -> None:
        """What was watched in all."""
        for bed in pipeline.beds.values():
            status = bed.status()
            seconds = status.samples_in / status.fs_hz
            self._print(
                f"{bed.name}: {seconds:.1f} s watched, {status.beats} beats, {status.anomalous_beats} anomalous, "
                f"{status.unscored_beats} not scored, {status.gaps} gaps, {status.samples_lost} samples lost"
            )

    def _print(self, line: str) -> None:
        try:
            print(line, flush=True)
        except OSError as error:
            # Else the interpreter complains of the same error when it flushes at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if isinstance(error, BrokenPipeError):
                self._stop.set()
            else:
                self.failed = True
                self.notice(f"standard output: {error.strerror}; alarms are printed no more")
