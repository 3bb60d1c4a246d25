"""A device on a serial port that writes one number a line, `!` for leads off.

The samples are counted by lines. Where the port is lost, or silent for longer than STALL_S, the time that passed is
turned into missing samples, so that what follows lies where it belongs.
"""

from __future__ import annotations

import errno
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from monitor.sources.base import Chunk, EndOfStream, Notice, SourceError
from monitor.sources.line_parser import LineParser
from monitor.sources.options import SourceOptions, mv_per

if TYPE_CHECKING:
    import serial

__all__ = ["BUFFER_S", "STALL_S", "SerialSource"]

BUFFER_S = 10.0  # unread samples that are kept; older ones are dropped, counted and missing
STALL_S = 1.0  # silence after which the clock decides how many samples are missing; USB hiccups are shorter
_POLL_S = 0.05
_BACKOFF_S = (0.2, 5.0)  # first and longest wait between attempts to reopen
_READ_BYTES = 65_536  # at most this at once; the kernel's buffer of a line holds 4,096
_MAX_NOTICES = 64  # a port that comes and goes unread


class SerialSource:
    """Live source of one serial port; a thread reads it, read() never waits.

    Args:
        options: `port`, `baud`, `fs_hz` (what the device sends a second), `unit`, `mv_per_unit`, `clock`,
            `duration_s` (by the clock).
        name: as a person wrote it.

    Raises:
        SourceError: no port named, missing (lists those that exist), in use, not permitted; no sampling rate.
    """

    lead = "ECG"
    live = True
    rails_mv: tuple[float, float] | None = None
    start_time: str | None = None
    total_samples: int | None = None

    def __init__(self, options: SourceOptions, name: str) -> None:
        self.name = name
        if options.port is None:
            raise SourceError(f"{name}: name the port with --port; there are {_ports()}")
        if options.fs_hz is None:
            raise SourceError(f"{name}: say how many samples a second the device sends, e.g. --fs 250")
        self.fs_hz = options.fs_hz
        self._port, self._baud, self._clock = options.port, options.baud or 115_200, options.clock
        if options.start_s:
            raise SourceError(f"{name}: a device begins now; leave out --start")
        self._duration_s = options.duration_s
        self._parser = LineParser(mv_per(options.unit or "mV", options.mv_per_unit, name))
        self._lock = threading.Lock()  # guards all that follows up to _closing
        self._runs: deque[tuple[int, list[float]]] = deque()  # (first sample, samples): a jump between two is a gap
        self._buffered = 0
        self._next = 0  # index of the next sample to arrive
        self._opened_s = self._arrival_s = self._clock()
        self._notices: deque[Notice] = deque(maxlen=_MAX_NOTICES)
        self._was_lost = False  # the port was reopened: something is missing, however short it took
        self._dropped = 0
        self._bad_told = 0
        self._given = 0  # index after the last sample given
        self._failure: str | None = None
        self._closing = threading.Event()
        self._device = self._open()
        self._thread = threading.Thread(target=self._run, name=f"serial {self._port}", daemon=True)
        self._thread.start()

    def read(self, max_samples: int) -> Chunk | None:
        """What has come and was not read, at most `max_samples`; see Source.

        Raises:
            EndOfStream: `duration_s` has passed.
            SourceError: the reading thread failed for a reason that reopening cannot mend, or the source is closed.
        """
        with self._lock:
            if self._failure is not None:
                raise SourceError(self._failure)
            if self._duration_s is not None and self._clock() - self._opened_s >= self._duration_s:
                raise EndOfStream
            notices = self._take_notices()
            if not self._runs or max_samples <= 0:
                return Chunk(self._given, np.empty(0), self._arrival_s, notices) if notices else None
            first, samples = self._runs.popleft()
            taken, rest = samples[:max_samples], samples[max_samples:]
            if rest:
                self._runs.appendleft((first + len(taken), rest))
            self._buffered -= len(taken)
            self._given = first + len(taken)
            return Chunk(first, np.array(taken, dtype=np.float64), self._arrival_s, notices)

    def close(self) -> None:
        """Stop the thread and close the port; may be called twice."""
        self._closing.set()
        self._thread.join(timeout=2.0)
        with self._lock:
            self._failure = self._failure or f"{self.name}: closed"

    def _take_notices(self) -> tuple[Notice, ...]:
        notices = list(self._notices)
        self._notices.clear()
        if new := self._parser.bad - self._bad_told:
            self._bad_told = self._parser.bad
            text = f"{self.name}: {new} lines were no number, e.g. {self._parser.example}"
            notices.append(Notice("bad_input", text, new))
        if self._dropped:
            text = f"{self.name}: {self._dropped} samples dropped, they were not read within {BUFFER_S:g} s"
            notices.append(Notice("overrun", text, self._dropped))
            self._dropped = 0
        return tuple(notices)

    def _open(self) -> serial.Serial:
        import serial

        try:
            # Two readers of one port would each get half of the samples: ask for it alone.
            return serial.Serial(self._port, self._baud, timeout=_POLL_S, exclusive=True)
        except (OSError, ValueError) as error:  # SerialException is an OSError
            raise SourceError(f"{self.name}: {self._why(error)}") from None

    def _why(self, error: OSError | ValueError) -> str:
        """Why the port cannot be opened, with the remedy."""
        code = getattr(error, "errno", None)
        if code in (errno.EACCES, errno.EPERM):
            return f"no permission for {self._port}; add yourself to its group, often: sudo usermod -aG dialout $USER"
        if code in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in str(error):
            return f"{self._port} is in use by another program; close it, or name another port of {_ports()}"
        if code == errno.ENOENT or not Path(self._port).exists():
            return f"there is no port {self._port}; there are {_ports()}"
        return f"{self._port} at {self._baud} baud cannot be opened ({error}); there are {_ports()}"

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                try:
                    self._listen()
                except OSError as error:  # SerialException is one; pulled out, switched off, driver gone
                    self._reopen(error)
        except Exception as error:  # nothing may die unseen in a thread: read() says it
            with self._lock:
                self._failure = f"{self.name}: the reader stopped ({type(error).__name__}: {error})"
        finally:
            self._device.close()

    def _listen(self) -> None:
        """Read until the source is closed or the port fails."""
        while not self._closing.is_set():
            data = self._device.read(1)
            if not data:
                continue
            # All there is, so that _take() sees how much came after a silence.
            while len(data) < _READ_BYTES and (waiting := self._device.in_waiting):
                data += self._device.read(waiting)
            with self._lock:
                self._take(self._parser.feed(data).mv.tolist())

    def _take(self, samples: list[float]) -> None:
        if not samples:
            return
        now_s = self._clock()
        silence_s = now_s - self._arrival_s
        missing = 0
        if self._next and (self._was_lost or silence_s > STALL_S):
            missing = max(int(self._was_lost), round(silence_s * self.fs_hz) - len(samples))
        self._was_lost = False
        self._arrival_s = now_s
        if missing or not self._runs:
            self._next += missing
            self._runs.append((self._next, samples))
        else:
            self._runs[-1][1].extend(samples)
        self._next += len(samples)
        self._buffered += len(samples)
        self._drop(self._buffered - round(BUFFER_S * self.fs_hz))

    def _drop(self, excess: int) -> None:
        """Forget the oldest samples; the jump of first_sample shows it."""
        while excess > 0:
            first, samples = self._runs.popleft()
            if (n := min(excess, len(samples))) < len(samples):
                self._runs.appendleft((first + n, samples[n:]))
            self._buffered -= n
            self._dropped += n
            excess -= n

    def _reopen(self, error: OSError) -> None:
        """Try until the port is back or the source is closed."""
        self._device.close()
        with self._lock:
            self._parser.restart()
            self._was_lost = True
            self._notices.append(Notice("source_lost", f"{self.name}: lost {self._port} ({error})"))
        wait_s, longest_s = _BACKOFF_S
        while not self._closing.wait(wait_s):
            try:
                self._device = self._open()
            except SourceError:
                wait_s = min(2 * wait_s, longest_s)
                continue
            with self._lock:
                self._notices.append(Notice("source_back", f"{self.name}: {self._port} is back"))
            return


def _ports() -> str:
    from serial.tools.list_ports import comports

    return ", ".join(port.device for port in comports()) or "no serial ports"
