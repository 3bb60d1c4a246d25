"""What a run without a screen prints: lines on standard output and standard error, until nobody reads them any more.

A thread of its own writes them: a pipe that nobody reads, or a terminal that was stopped, must not hold up the loop.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from monitor.engine.pipeline import Pipeline
    from monitor.messages import AlarmMessage

__all__ = ["ConsolePrinter"]

BEDS: Final = 20  # told one by one at the beginning and the end
LINES: Final = 10_000  # that wait for a slow reader, some 2 MB; what is more is counted
LOOK_S: Final = 0.1  # at whether it is time to stop, while it is waited for a reader
GRACE_S: Final = 2.0  # for a reader that does read, when the program was told to end


class ConsolePrinter:
    """One line per alarm, for runs without a screen; a context, which ends when all is written.

    Args:
        stop: set when nobody reads the lines any more, as `ecg-monitor | head` does; once it is set nobody is waited
            for any longer than GRACE_S.
        patient: wait for a slow reader, as a replay as fast as possible may; else lines that it does not take are
            counted, and told when it reads again.
        most: lines that wait.
        out, err: written to; None = standard output and standard error.

    Attributes:
        failed: lines could not be written, e.g. to a full disk; the watching went on.
    """

    def __init__(
        self,
        stop: threading.Event,
        *,
        patient: bool = False,
        most: int = LINES,
        out: TextIO | None = None,
        err: TextIO | None = None,
    ) -> None:
        self.failed = False
        self._stop = stop
        self._patient = patient
        self._out = sys.stdout if out is None else out
        self._err = sys.stderr if err is None else err
        self._waiting: queue.Queue[tuple[TextIO, str] | None] = queue.Queue(most)
        self._untaken = 0  # lines that found no room; the loop's thread counts, the writer tells
        self._told = 0  # of these
        self._writer = threading.Thread(target=self._write_all, name="lines", daemon=True)
        self._writer.start()

    def __enter__(self) -> ConsolePrinter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until all is written, or it is told to stop and nobody reads."""
        while True:
            try:
                self._waiting.put(None, timeout=LOOK_S)
                break
            except queue.Full:
                if self._stop.is_set():  # make room
                    with contextlib.suppress(queue.Empty):
                        self._waiting.get_nowait()
                        self._untaken += 1
        while self._writer.is_alive() and not self._stop.is_set():
            self._writer.join(LOOK_S)
        self._writer.join(GRACE_S)

    def say(self, line: str) -> None:
        """Any line."""
        self._put(self._out, line)

    def begin(self, pipeline: Pipeline) -> None:
        """What is watched, and where alarms are to be had."""
        beds = list(pipeline.beds.values())
        for bed in beds[:BEDS]:
            s = bed.source
            self.say(f"{bed.name}: {s.name}, lead {s.lead}, {s.fs_hz:g} Hz, model {bed.model.name}")
        if len(beds) > BEDS:
            self.say(f"... and {len(beds) - BEDS} beds more, to {beds[-1].name}")
        self.say(f"alarms on {pipeline.bus.endpoints.alarms} (not a medical device)")
        if pipeline.metrics is not None:
            self.say(f"metrics on {pipeline.metrics.url}")

    def alarm(self, message: AlarmMessage) -> None:
        """One line for a new state of an alarm."""
        alarm = message.alarm
        if alarm.update or (alarm.state == "onset" and alarm.count > 1):
            return  # more is known of it, or the same alarm came back before anybody acknowledged it
        now = f" (now {alarm.covered_by.split('/')[1]})" if alarm.covered_by else ""
        self.say(
            f"{message.time}  {alarm.bed}  {alarm.priority:<6}  {alarm.kind:<24}  {alarm.state:<12}  "
            f"sample {alarm.onset_sample}: {alarm.text}{now}"
        )

    def notice(self, line: str) -> None:
        """A line for a person, on standard error."""
        self._put(self._err, f"ecg-monitor: {line}")

    def end(self, pipeline: Pipeline) -> None:
        """What was watched in all."""
        beds = list(pipeline.beds.values())
        for bed in beds[:BEDS]:
            status = bed.status()
            seconds = status.samples_in / status.fs_hz
            self.say(
                f"{bed.name}: {seconds:.1f} s watched, {status.beats} beats, {status.anomalous_beats} anomalous, "
                f"{status.unscored_beats} not scored, {status.gaps} gaps, {status.samples_lost} samples lost"
            )
        if len(beds) > BEDS:
            every = [bed.status() for bed in beds]
            self.say(
                f"all {len(beds)} beds: {sum(s.samples_in / s.fs_hz for s in every):.1f} s watched, "
                f"{sum(s.beats for s in every)} beats, {sum(s.anomalous_beats for s in every)} anomalous, "
                f"{sum(s.unscored_beats for s in every)} not scored, {sum(s.gaps for s in every)} gaps, "
                f"{sum(s.samples_lost for s in every)} samples lost"
            )

    # -- in the loop's thread --------------------------------------------------------------------------------

    def _put(self, stream: TextIO, line: str) -> None:
        while True:
            try:
                self._waiting.put((stream, line), block=self._patient, timeout=LOOK_S)
                return
            except queue.Full:
                if not self._patient or self._stop.is_set():
                    self._untaken += 1
                    return

    # -- in the writer's thread ------------------------------------------------------------------------------

    def _write_all(self) -> None:
        while (item := self._waiting.get()) is not None:
            self._write(*item)
            if self._waiting.empty():
                self._tell_untaken()
        self._tell_untaken()

    def _tell_untaken(self) -> None:
        untaken = self._untaken
        if untaken > self._told:
            self._write(self._err, f"ecg-monitor: {untaken - self._told} lines were not printed: nobody read them")
            self._told = untaken

    def _write(self, stream: TextIO, line: str) -> None:
        try:
            _write_line(stream, line)
        except OSError as error:
            if stream is self._err:
                return  # nobody listens there either
            # Else the interpreter complains of the same error when it flushes at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            if isinstance(error, BrokenPipeError):
                self._stop.set()
            else:
                self.failed = True
                self._write(self._err, f"ecg-monitor: standard output: {error.strerror}; alarms are printed no more")


def _write_line(stream: TextIO, line: str) -> None:
    """Past the stream's buffer, whose lock a thread that waits for a reader would hold when the program ends."""
    try:
        descriptor = stream.fileno()
    except OSError:  # no file at all
        print(line, file=stream, flush=True)
        return
    left = f"{line}\n".encode(stream.encoding, "replace")
    while left:
        left = left[os.write(descriptor, left) :]
