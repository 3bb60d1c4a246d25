"""A board that BrainFlow speaks to, `brainflow:BOARD?key=value&...`; needs the extra `brainflow`.

See https://brainflow.readthedocs.io/en/stable/SupportedBoards.html for the boards and which parameters they need. What
BrainFlow does not tell is found out here: lost packets by the board's counter and the time, a lost board by its
silence.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources.base import Chunk, EndOfStream, Notice
from monitor.sources.channels import channel_number
from monitor.sources.live.brainflow_board import board_id, board_params, load_brainflow, reason
from monitor.sources.options import MAX_MV, SourceOptions, check_fs, sample_span
from monitor.sources.timing.arrival_line import COUNTER
from monitor.sources.timing.rate_watch import RateWatch
from monitor.sources.timing.sample_clock import Run, SampleClock
from monitor.sources.timing.sample_runs import SampleRuns

__all__ = ["BUFFER_S", "SILENT_S", "BrainflowSource"]

BUFFER_S: Final = 30.0  # unread samples that are kept; older ones are dropped, and missing
SILENT_S: Final = 5.0  # BrainFlow does not tell that a board is gone: one that is silent so long is opened anew
_POLL_S: Final = 0.02
_BACKOFF_S: Final = (1.0, 30.0)  # first and longest wait between attempts to reopen
_COUNTED: Final = 300  # samples that show whether the counter counts samples up to 255 (some boards wrap elsewhere)
_FIRST_S: Final = 10.0
_MAX_NOTICES: Final = 64
_MV_PER_UV: Final = 1e-3

Floats = NDArray[np.float64]


class BrainflowSource:
    """Live source of one channel of one board; a thread reads it, read() never waits.

    Args:
        what: name or id of the board and its parameters, those of `BrainFlowInputParams`, e.g.
            `CYTON_BOARD?serial_port=/dev/ttyUSB0` (also `cyton`).
        options: `channel`, `fs_hz` (only to agree), `rate_tolerance`, `duration_s`, `clock`.
        name: as a person wrote it.

    Raises:
        SourceError: BrainFlow is not installed; no such board, parameter or channel; the board is not ready or silent.
    """

    live = True
    rails_mv: tuple[float, float] | None = None  # BrainFlow gives uV and does not tell the range
    start_time: str | None = None
    total_samples: int | None = None

    def __init__(self, what: str, options: SourceOptions, name: str) -> None:
        self.name = name
        self._clock = options.clock
        if options.start_s:
            raise SourceError(f"{name}: a board begins now; leave out --start")
        if options.unit is not None or options.mv_per_unit is not None:
            raise SourceError(f"{name}: BrainFlow gives uV; leave out --unit and --mv-per-unit")
        self._flow = load_brainflow(name)
        board, _, query = what.partition("?")
        self._board_id = board_id(self._flow, board, name)
        self._params = board_params(self._flow, query, name)
        self._lock = threading.Lock()  # guards all that the thread shares with read()
        self._notices: deque[Notice] = deque(maxlen=_MAX_NOTICES)
        self._failure: str | None = None
        self._rate = RateWatch(options.rate_tolerance)
        self._dropped = self._beyond = 0
        self._closing = threading.Event()
        self._session: Any = None
        try:
            self._open()
            self._describe(options)
            self._runs = SampleRuns(sample_span(options, self.fs_hz, None, name)[1])
            self._places = SampleClock(self.fs_hz)
            self._begin()
        except self._flow.BrainFlowError as error:
            self._release()
            raise SourceError(f"{name}: {reason(error)}") from None
        except BaseException:
            self._release()
            raise
        self._thread = threading.Thread(target=self._run, name=f"brainflow {board}", daemon=True)
        self._thread.start()

    def read(self, max_samples: int) -> Chunk | None:
        """What has come and was not read, at most `max_samples`; see Source.

        Raises:
            EndOfStream: `duration_s` of signal was given.
            SourceError: the reading thread failed, or the source is closed.
        """
        with self._lock:
            if self._failure is not None:
                raise SourceError(self._failure)
            if self._runs.ended:
                raise EndOfStream
            return self._runs.chunk(max_samples, self._arrival_s, self._take_notices(), self._places.time_s)

    @property
    def waiting(self) -> int:
        """Samples that came and were not read yet."""
        return self._runs.size

    def close(self) -> None:
        """Stop the thread and release the board; may be called twice."""
        self._closing.set()
        self._thread.join(timeout=20.0)  # BrainFlow may be waiting for the board
        with self._lock:
            self._failure = self._failure or f"{self.name}: closed"

    # -- opening ---------------------------------------------------------------------------------------------

    def _open(self) -> None:
        session = self._flow.BoardShim(self._board_id, self._params)
        session.prepare_session()
        self._session = session
        fs_hz = self._flow.BoardShim.get_sampling_rate(session.get_board_id())
        session.start_stream(round(BUFFER_S * fs_hz))

    def _release(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(self._flow.BrainFlowError):
                session.release_session()

    def _describe(self, options: SourceOptions) -> None:
        """Rate and channel of the board; of the board played back, where it is a file."""
        shim, described_id = self._flow.BoardShim, self._session.get_board_id()
        described = shim.get_board_descr(described_id)
        self.fs_hz = check_fs(float(described["sampling_rate"]), self.name)
        if options.fs_hz is not None and options.fs_hz != self.fs_hz:
            raise SourceError(f"{self.name}: --fs {options.fs_hz:g} Hz, but the board has {self.fs_hz:g} Hz")
        rows = described.get("ecg_channels")
        if not rows:
            try:
                rows = shim.get_exg_channels(described_id)
            except self._flow.BrainFlowError:
                raise SourceError(f"{self.name}: the board {described['name']} has no channel for an ECG") from None
        labels = [f"ch{number}" for number in range(1, len(rows) + 1)]
        channel = channel_number(labels, options.channel, 0, self.name)
        self.lead = labels[channel]
        self._row = int(rows[channel])
        self._counter_row = described.get("package_num_channel")

    def _begin(self) -> None:
        """Wait for the first samples, and see what the counter is worth."""
        until_s = time.monotonic() + _FIRST_S
        first: list[tuple[float, NDArray[np.float64]]] = []
        while sum(data.shape[1] for _, data in first) < _COUNTED:
            data = self._session.get_board_data()
            if data.shape[1]:
                first.append((self._clock(), data))
            elif time.monotonic() > until_s:
                raise SourceError(f"{self.name}: the board sends nothing for {_FIRST_S:g} s; is it on, and in reach?")
            else:
                time.sleep(_POLL_S)
        if self._counter_row is not None:
            counts = np.concatenate([data[self._counter_row] for _, data in first])
            steps = np.diff(counts) % COUNTER
            if np.mean(steps == 1) < 0.9 or (counts.max() < COUNTER - 1 and np.any(np.diff(counts) < 0)):
                self._counter_row = None
        how = "by its counter" if self._counter_row is not None else "by the time"
        self._notices.append(Notice("format", f"{self.name}: {self.fs_hz:g} Hz, losses are found {how}"))
        for arrival_s, data in first:
            self._take(data, arrival_s)

    # -- in the thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            heard_s = time.monotonic()
            while not self._closing.wait(_POLL_S):
                try:
                    data = self._session.get_board_data()
                except self._flow.BrainFlowError as error:
                    self._reopen(reason(error))
                    heard_s = time.monotonic()
                    continue
                if data.shape[1]:
                    heard_s = time.monotonic()
                elif time.monotonic() - heard_s > SILENT_S:
                    self._reopen(f"silent for {SILENT_S:g} s")
                    heard_s = time.monotonic()
                    continue
                with self._lock:
                    self._take(data, self._clock())
        except Exception as error:  # nothing may die unseen in a thread: read() says it
            with self._lock:
                self._failure = f"{self.name}: the reader stopped ({type(error).__name__}: {error})"
        finally:
            self._release()

    def _reopen(self, reason: str) -> None:
        """Try until the board is back or the source is closed."""
        with self._lock:
            self._notices.append(Notice("source_lost", f"{self.name}: the board is lost ({reason})"))
            self._places.cut()
        self._release()
        wait_s, longest_s = _BACKOFF_S
        while not self._closing.wait(wait_s):
            try:
                self._open()
            except self._flow.BrainFlowError:
                self._release()
                wait_s = min(2 * wait_s, longest_s)
                continue
            with self._lock:
                self._notices.append(Notice("source_back", f"{self.name}: the board is back"))
            return

    def _take(self, data: NDArray[np.float64], now_s: float) -> None:
        """Samples to their places. The lock is held."""
        mv = data[self._row] * _MV_PER_UV
        beyond = np.abs(mv) > MAX_MV  # False for NaN
        mv[beyond] = np.nan
        self._beyond += int(beyond.sum())
        counts = None if self._counter_row is None else (data[self._counter_row] % COUNTER).astype(np.int64)
        for run in self._places.push(mv, now_s, counts):
            self._arrival_s = now_s
            self._keep(run)
        if (told := self._rate.look(self._places)) is not None:
            self._notices.append(Notice(told[0], f"{self.name}: the board {told[1]}"))

    def _keep(self, run: Run) -> None:
        self._runs.put(*run)
        self._dropped += self._runs.drop(round(BUFFER_S * self.fs_hz))

    def _take_notices(self) -> tuple[Notice, ...]:
        notices = list(self._notices)
        self._notices.clear()
        if self._beyond:
            text = f"{self.name}: {self._beyond} samples were infinite or beyond {MAX_MV:g} mV"
            notices.append(Notice("bad_input", text, self._beyond))
            self._beyond = 0
        if self._dropped:
            text = f"{self.name}: {self._dropped} samples dropped, they were not read within {BUFFER_S:g} s"
            notices.append(Notice("overrun", text, self._dropped))
            self._dropped = 0
        return tuple(notices)
