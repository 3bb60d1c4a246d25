"""Print the lines of a run without dashboard, in a thread of its own.

A pipe that is not read, or a stopped terminal, blocks only this thread and not the processing of the signal.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Final, TextIO

from monitor.commands.run_summary import BEDS, file_lines, summary_lines
from monitor.commands.stdout import descriptor_of, discard, is_closed_pipe
from monitor.config import Config
from monitor.terminal import print_line, printable

if TYPE_CHECKING:
    from monitor.engine.pipeline import Pipeline
    from monitor.messages import AlarmMessage

__all__ = ["ConsolePrinter"]

_QUEUED_LINES: Final = 10_000  # about 2 MB; further lines are counted and dropped
_POLL_S: Final = 0.1  # period of looking at `stop` while waiting
_GRACE_S: Final = 2.0  # time for the remaining lines after `stop` is set


class ConsolePrinter:
    """Prints one line per alarm. A context; at its end the remaining lines are printed.

    Args:
        stop: set by the printer when the reader of the pipe has gone (`ecg-monitor | head`); once it is set, the
            printer waits at most `_GRACE_S` for a slow reader.
        may_wait: when the queue is full, wait for the reader (replay at full speed); else drop the line, and print
            the number of dropped lines as soon as the reader reads again.
        queued_lines: size of the queue.
        out, err: streams; None = standard output and standard error.

    Attributes:
        failed: lines could not be written, e.g. because the disk is full; the run continued.
    """

    def __init__(
        self,
        stop: threading.Event,
        *,
        may_wait: bool = False,
        queued_lines: int = _QUEUED_LINES,
        out: TextIO | None = None,
        err: TextIO | None = None,
    ) -> None:
        self.failed = False
        self._stop = stop
        self._may_wait = may_wait
        self._out = sys.stdout if out is None else out
        self._err = sys.stderr if err is None else err
        self._queue: queue.Queue[tuple[TextIO, str] | None] = queue.Queue(queued_lines)
        self._dropped = 0  # counted by the caller's thread, printed by the writer thread
        self._dropped_printed = 0
        self._writer = threading.Thread(target=self._write_all, name="lines", daemon=True)
        self._writer.start()

    def __enter__(self) -> ConsolePrinter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until all lines are written, or `stop` is set and `_GRACE_S` is over."""
        while True:
            try:
                self._queue.put(None, timeout=_POLL_S)
                break
            except queue.Full:
                if self._stop.is_set():  # make room
                    with contextlib.suppress(queue.Empty):
                        self._queue.get_nowait()
                        self._dropped += 1
        while self._writer.is_alive() and not self._stop.is_set():
            self._writer.join(_POLL_S)
        self._writer.join(_GRACE_S)

    def line(self, text: str) -> None:
        """Print a line on standard output."""
        self._put(self._out, text)

    def notice(self, text: str) -> None:
        """Print a line on standard error."""
        self._put(self._err, f"ecg-monitor: {text}")

    def begin(self, pipeline: Pipeline) -> None:
        """Print the beds and the addresses of the monitor."""
        beds = list(pipeline.beds.values())
        for bed in beds[:BEDS]:
            s = bed.source
            self.line(f"{bed.name}: {s.name}, lead {s.lead}, {s.fs_hz:g} Hz, model {bed.model.name}")
        if len(beds) > BEDS:
            self.line(f"... and {len(beds) - BEDS} more beds, to {beds[-1].name}")
        self.line(f"alarms on {pipeline.bus.endpoints.alarms} (not a medical device)")
        if pipeline.metrics is not None:
            self.line(f"metrics on {pipeline.metrics.url}")

    def alarm(self, message: AlarmMessage) -> None:
        """Print a new state of an alarm, and each time that its cause comes back, with the count."""
        alarm = message.alarm
        if alarm.update:
            return  # more evidence
        now = f" (now {alarm.covered_by.split('/')[1]})" if alarm.covered_by else ""
        count = f" ({alarm.count} times)" if alarm.count > 1 else ""
        self.line(
            f"{message.time}  {alarm.bed}  {alarm.priority:<6}  {alarm.kind:<24}  {alarm.state:<12}  "
            f"sample {alarm.onset_sample}: {alarm.text}{count}{now}"
        )

    def end(self, pipeline: Pipeline, config: Config) -> None:
        """Print the summary of the run."""
        for line in (*summary_lines(pipeline), *file_lines(config)):
            self.line(line)

    def _put(self, stream: TextIO, line: str) -> None:
        while True:
            try:
                self._queue.put((stream, line), block=self._may_wait, timeout=_POLL_S)
                return
            except queue.Full:
                if not self._may_wait or self._stop.is_set():
                    self._dropped += 1
                    return

    # -- in the writer thread --------------------------------------------------------------------------------

    def _write_all(self) -> None:
        while (item := self._queue.get()) is not None:
            self._write(*item)
            if self._queue.empty():
                self._print_dropped()
        self._print_dropped()

    def _print_dropped(self) -> None:
        dropped = self._dropped
        if dropped > self._dropped_printed:
            new = dropped - self._dropped_printed
            self._write(self._err, f"ecg-monitor: {new} lines were not printed: the output was not read")
            self._dropped_printed = dropped

    def _write(self, stream: TextIO, line: str) -> None:
        try:
            _write_line(stream, line)
        except OSError as error:
            if stream is self._err:
                return  # there is no other place for the error
            discard(stream)
            if is_closed_pipe(error):
                self._stop.set()
            else:
                self.failed = True
                self._write(self._err, f"ecg-monitor: standard output: {error.strerror}; no more alarms are printed")


def _write_line(stream: TextIO, line: str) -> None:
    """Write a line past the stream's buffer: a blocked writer would hold the buffer's lock when the program exits."""
    descriptor = descriptor_of(stream)
    if descriptor is None:
        print_line(line, stream)
        return
    left = f"{printable(line)}\n".encode(stream.encoding, "replace")
    while left:
        left = left[os.write(descriptor, left) :]
