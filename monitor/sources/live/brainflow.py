"""A board that BrainFlow supports, `brainflow:BOARD?key=value&...`; needs the extra `brainflow`.

For boards and their parameters see https://brainflow.readthedocs.io/en/stable/SupportedBoards.html. BrainFlow reports
neither lost packets nor a lost board: this source finds lost packets by the board's counter and the time, and a lost
board by its silence.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources.base import Chunk, EndOfStream, Notice, Source
from monitor.sources.channels import Channel, channel_list, choose_leads
from monitor.sources.live.brainflow_board import board_id, board_params, load_brainflow, reason
from monitor.sources.live_buffer import LiveBuffer, RateWatch
from monitor.sources.options import MAX_MV, SourceOptions, blank_beyond, check_fs, sample_span
from monitor.sources.reader_thread import ReaderThread
from monitor.sources.timing.arrival_line import COUNTER
from monitor.sources.units import mv_per

__all__ = ["BUFFER_S", "SILENT_S", "BrainflowSource"]

BUFFER_S: Final = 30.0  # unread samples that are kept; older ones are dropped, and missing
SILENT_S: Final = 5.0  # BrainFlow does not report a lost board: after this silence the board is opened again
_POLL_S: Final = 0.02
_BACKOFF_S: Final = (1.0, 30.0)  # first and longest wait between attempts to reopen
_COUNTED: Final = 300  # samples that show whether the counter counts samples up to 255 (some boards wrap elsewhere)
_STEPS: Final = (1, 2)  # 2: a Cyton with the Daisy module counts the packets of both boards
_FIRST_S: Final = 10.0


class BrainflowSource(Source):
    """Live source of one channel of one board, or of two; a thread reads the board, read() never waits.

    No rails: BrainFlow gives uV without the range. Many attributes: eight are those of the Source protocol.

    Args:
        what: name or id of the board and its parameters, those of `BrainFlowInputParams`, e.g.
            `CYTON_BOARD?serial_port=/dev/ttyUSB0` (also `cyton`).
        options: `channel`, `second`, `fs_hz` (must agree with the board), `rate_tolerance`, `duration_s`, `clock`.

    Raises:
        SourceError: BrainFlow is not installed; no such board, parameter or channel; the board is not ready or silent.
    """

    live = True

    def __init__(self, what: str, options: SourceOptions, name: str) -> None:
        self.name = name
        self._clock = options.clock
        if options.start_s:
            raise SourceError(f"{name}: a board begins now; leave out --start")
        self.unit = options.unit or "uV"  # of BrainFlow; another one mends a board with the wrong gain
        self.mv_per_unit = mv_per(self.unit, options.mv_per_unit, name)
        self._flow = load_brainflow(name)
        board, _, query = what.partition("?")
        self._board_id = board_id(self._flow, board, name)
        self._params = board_params(self._flow, query, name)
        self._lock = threading.Lock()  # guards everything that the thread shares with read()
        self._failure: str | None = None
        self._beyond = 0
        self._step = 1  # of the board's counter from sample to sample
        self._session: Any = None
        try:
            self._open()
            self._describe(options)
            self._begin(options)
        except self._flow.BrainFlowError as error:
            self._release()
            raise SourceError(f"{name}: {reason(self._flow, error)}") from None
        except BaseException:
            self._release()
            raise
        self._thread = ReaderThread(self._run, f"brainflow {board}", self._fail, self._release)
        self._thread.start()

    def read(self, max_samples: int) -> Chunk | None:
        """Return the samples that arrived, at most `max_samples`; see Source."""
        with self._lock:
            if self._failure is not None:
                raise SourceError(self._failure)
            if self._buffer.ended:
                raise EndOfStream
            more = []
            if self._beyond:
                text = f"{self.name}: {self._beyond} samples were infinite or beyond {MAX_MV:g} mV"
                more.append(Notice("bad_input", text, self._beyond))
                self._beyond = 0
            return self._buffer.read(max_samples, *more)

    @property
    def waiting(self) -> int:
        """Samples received and not read yet."""
        return self._buffer.waiting

    def close(self) -> None:
        """Stop the thread and release the board; may be called twice."""
        self._thread.stop(timeout_s=20.0)  # BrainFlow may be waiting for the board
        self._fail("closed")

    def _fail(self, text: str) -> None:
        """Let all further calls of read() raise."""
        with self._lock:
            self._failure = self._failure or f"{self.name}: {text}"

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
        """Set rate and channel from the board's description; for a playback file, from the recorded board's."""
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
        channels = [Channel(label, "uV") for label in labels]
        options.note("format", f"BrainFlow board {described['name']}")
        options.note("channels", channel_list(channels))
        options.note("rate", f"{self.fs_hz:g} Hz")
        options.note("unit", self.unit)
        wanted = (options.channel,) if options.second is None else (options.channel, options.second)
        chosen = choose_leads(channels, wanted, self.name)
        self.leads = tuple(labels[channel] for channel in chosen)
        self.lead = ",".join(self.leads)
        options.note("lead", " and ".join(self.leads))
        self._rows = [int(rows[channel]) for channel in chosen]
        self._counter_row = described.get("package_num_channel")

    def _begin(self, options: SourceOptions) -> None:
        """Wait for the first samples and check the counter on them."""
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
            self._step = next((step for step in _STEPS if np.mean(steps == step) >= 0.9), 0)
            if not self._step or (counts.max() < COUNTER - self._step and np.any(np.diff(counts) < 0)):
                self._counter_row, self._step = None, 1
        rate = RateWatch(options.rate_tolerance, subject="the board ")
        duration = sample_span(options, self.fs_hz, None, self.name)[1]
        self._buffer = LiveBuffer(
            self.name, self.fs_hz, BUFFER_S, rate, self._clock(), duration, counter_values=COUNTER // self._step
        )
        how = "by its counter" if self._counter_row is not None else "by the time"
        self._buffer.notice("format", f"{self.fs_hz:g} Hz, losses are found {how}")
        for arrival_s, data in first:
            self._take(data, arrival_s)

    # -- in the thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        received_s = time.monotonic()
        while self._thread.wait(_POLL_S):
            lost = ""
            try:
                data = self._session.get_board_data()
            except self._flow.BrainFlowError as error:
                lost = reason(self._flow, error)
            else:
                if data.shape[1]:
                    received_s = time.monotonic()
                elif time.monotonic() - received_s > SILENT_S:
                    lost = f"silent for {SILENT_S:g} s"
            if lost:
                self._reopen(lost)
                received_s = time.monotonic()
                continue
            with self._lock:
                self._take(data, self._clock())

    def _reopen(self, why: str) -> None:
        """Open the board again and again until it is back or the source is closed."""
        with self._lock:
            self._buffer.cut()
            self._buffer.notice("source_lost", f"the board is lost ({why})")
        self._release()
        self._thread.retry(self._reopened, _BACKOFF_S)

    def _reopened(self) -> bool:
        try:
            self._open()
        except self._flow.BrainFlowError:
            self._release()
            return False
        with self._lock:
            self._buffer.notice("source_back", "the board is back")
        return True

    def _take(self, data: NDArray[np.float64], now_s: float) -> None:
        """Add samples to the buffer. The caller holds the lock."""
        mv = data[self._rows].T * self.mv_per_unit
        mv = mv[:, 0] if len(self._rows) == 1 else mv
        self._beyond += blank_beyond(mv)
        counts = None
        if self._counter_row is not None:
            counts = (data[self._counter_row] % COUNTER).astype(np.int64) // self._step
        self._buffer.push(mv, now_s, counts)
