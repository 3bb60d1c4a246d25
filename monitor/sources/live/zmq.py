"""Samples that another program pushes over ZeroMQ, `zmq:ENDPOINT`: `samples/1`, see SamplesHeader, or rows as text.

`zmq:tcp://127.0.0.1:5600` listens (PULL): the sender connects a PUSH socket and waits while the monitor is slower, so
nothing is lost. `zmq:sub+tcp://HOST:PORT` connects to a publisher (SUB), which drops messages while the monitor is
slower; that is a gap.
"""

from __future__ import annotations

import datetime
import re
from collections import deque

import numpy as np
import zmq

from monitor.bus.endpoints import bind_error, check_ipc, is_loopback, refuse_live_ipc
from monitor.errors import BusError, SourceError
from monitor.sources.base import Chunk, EndOfStream, Notice, Source
from monitor.sources.checks import LONGEST_S, usable_start
from monitor.sources.live.zmq_samples import SamplesHeader, decode_samples
from monitor.sources.options import MAX_MV, SourceOptions, check_fs, sample_span
from monitor.sources.tables.reader import TableReader
from monitor.sources.tables.shape import has_number
from monitor.sources.tables.text import is_binary
from monitor.sources.timing.sample_runs import SampleRuns
from monitor.sources.timing.stamp_clock import LONGEST_GAP_S
from monitor.sources.units import mv_per

__all__ = ["FRAME_BYTES", "ZmqSource"]

FRAME_BYTES = 1_048_576  # 4 min of float32 at 1 kHz; ZeroMQ disconnects a sender of a larger frame
QUEUED = 64  # messages that ZeroMQ holds for us; times FRAME_BYTES it bounds the memory
_FIRST_MESSAGE_S = 10.0
_MESSAGES_AT_ONCE = 1000  # messages per read: a flood must not block the pipeline
_EARLIER_EPOCHS = 16
_RESTART_S = 1.0  # shortest time between two restarts of a sender
_TCP = re.compile(r"tcp://\S+:(\d{1,5})")
_IPC = re.compile(r"ipc://\S.*")
_EXAMPLES = "zmq:tcp://127.0.0.1:5600, zmq:ipc://ecg.sock or zmq:sub+tcp://HOST:5600"


class ZmqSource(Source):
    """Live source of one stream of `samples/1` messages, or of messages of text, whole rows of a table.

    Samples keep the sender's index. A new `epoch`, or `first_sample` 0 again, is a restarted sender: our clock then
    gives the number of missing samples. An invalid message is refused as a whole and counted in a Notice; the next one
    shows the gap. The source has no thread: ZeroMQ holds the unread messages.

    Many attributes: nine are those of the Source protocol.

    Args:
        endpoint: the text after `zmq:`.
        options: `fs_hz` (else the constructor waits for the first message), `channel` (then the name of the lead),
            `duration_s`, `clock`.

    Raises:
        SourceError: no usable endpoint, not loopback, in use; no message in time where `fs_hz` is not given.
    """

    live = True
    never_blocks = True

    def __init__(self, endpoint: str, options: SourceOptions, name: str) -> None:
        self.name = name
        self._clock = options.clock
        if options.start_s:
            raise SourceError(f"{name}: a sender begins now; leave out --start")
        if options.second is not None:
            raise SourceError(f"{name}: a sender gives one lead; name one, e.g. --channel {options.column_or_channel}")
        self.unit = options.unit or "mV"
        self.mv_per_unit = mv_per(self.unit, options.mv_per_unit, name)
        self._overrides = options.unit is not None
        self.lead = options.channel if isinstance(options.channel, str) else "ECG" if options.fs_hz else ""
        self.fs_hz = options.fs_hz or 0.0  # 0: the first message sets rate, lead and time
        self._options = options
        self._table: TableReader | None = None  # of a sender of text
        self._resets = 0
        self._runs = SampleRuns()
        self._next: int | None = None  # index after the last sample received
        self._offset = 0  # our index minus the sender's
        self._epoch = ""
        self._earlier: deque[str] = deque(maxlen=_EARLIER_EPOCHS)
        self._restarted_s = -np.inf
        self._began_s = self._clock()
        self._skipped_s = 0.0  # sum of all gaps
        self._arrival_s = self._clock()
        self._refused: tuple[int, str] = (0, "")  # messages since the last notice, and the reason for the first
        self._beyond = 0
        self._pending: list[Notice] = []
        self._context = zmq.Context()
        try:
            self._socket = self._open(endpoint)
            if options.fs_hz is None:
                self._wait_for_rate()
            self._runs.duration = sample_span(options, self.fs_hz, None, name)[1]
        except BaseException:
            self._context.destroy(linger=0)
            raise

    def read(self, max_samples: int) -> Chunk | None:
        """Return the samples that arrived, at most `max_samples`, without waiting; see Source."""
        if self._socket.closed:
            raise SourceError(f"{self.name}: closed")
        if self._runs.ended:
            raise EndOfStream
        for _ in range(_MESSAGES_AT_ONCE):
            if self._runs.size >= max_samples or not self._socket.poll(0):
                break
            self._take()
        return self._runs.chunk(max_samples, self._arrival_s, self._notices())

    @property
    def waiting(self) -> int:
        """Samples received and not read yet."""
        return self._runs.size

    def close(self) -> None:
        """Close the socket; may be called twice."""
        self._context.destroy(linger=0)

    def _open(self, endpoint: str) -> zmq.Socket[bytes]:
        subscribe = endpoint.startswith("sub+")
        address = endpoint.removeprefix("sub+")
        port = _TCP.fullmatch(address)
        if not (1 <= int(port[1]) <= 65_535 if port else _IPC.fullmatch(address)):  # ZeroMQ would take 70000 for 4464
            raise SourceError(f"{self.name}: endpoint {endpoint!r} is not understood; give e.g. {_EXAMPLES}")
        try:
            check_ipc(address)
            if not subscribe and not is_loopback(address):
                raise SourceError(
                    f"{self.name}: senders on another machine are not authenticated; listen on 127.0.0.1"
                    " and connect the sender through ssh -R 5600:127.0.0.1:5600 HOST"
                )
            made = self._context.socket(zmq.SUB if subscribe else zmq.PULL)
            made.set_hwm(QUEUED)
            made.setsockopt(zmq.MAXMSGSIZE, FRAME_BYTES)
            if "[" in address:
                made.setsockopt(zmq.IPV6, 1)
            if subscribe:
                made.subscribe(b"")
                made.connect(address)
            else:
                refuse_live_ipc(address)
                made.bind(address)
        except BusError as error:
            raise SourceError(f"{self.name}: {error}") from None
        except (zmq.ZMQError, OSError) as error:
            remedy = "name another endpoint, e.g. zmq:tcp://127.0.0.1:5600"
            raise SourceError(str(bind_error(f"{self.name}: {address}", error, remedy))) from None
        return made

    def _wait_for_rate(self) -> None:
        """Receive messages until one is valid."""
        until_s = self._clock() + _FIRST_MESSAGE_S
        while not self._runs.size:
            left_s = until_s - self._clock()
            if left_s <= 0 or not self._socket.poll(round(left_s * 1000)):
                count, why = self._refused
                seen = f"{count} messages came, none was valid: {why}" if count else "no message came"
                raise SourceError(
                    f"{self.name}: {seen} within {_FIRST_MESSAGE_S:g} s; start the sender, or give --fs to wait for it"
                )
            self._take()

    def _take(self) -> None:
        """Receive one message, or refuse it."""
        frames = self._socket.recv_multipart()
        if len(frames) > 1 and not frames[0].lstrip().startswith(b"{"):
            frames = frames[1:]  # the topic of a publisher
        try:
            if len(frames) == 1 and (self._table is not None or _is_text(frames[0])):
                self._take_rows(frames[0])
                return
            header, mv, beyond = decode_samples(frames, self.mv_per_unit if self._overrides else None)
            if not self._overrides:
                self.unit, self.mv_per_unit = header.unit, mv_per(header.unit, header.mv_per_unit, self.name)
            if not self.fs_hz:
                self.fs_hz = check_fs(header.fs_hz, "message")
                self.lead = self.lead or header.lead or "ECG"
                self.start_time = _time_of_zero(header)
            self._place(header, mv.size)
        except (ValueError, SourceError) as error:
            self._refuse(str(error))
            return
        self._beyond += beyond
        first = header.first_sample + self._offset
        self._runs.put(first, mv)
        self._next = first + mv.size
        self._arrival_s = self._clock()

    def _take_rows(self, text: bytes) -> None:
        """Read a message of whole rows; see monitor.sources.tables.

        Raises:
            ValueError: the sender began with `samples/1`.
            SourceError: no rate, no clear column, or no scale.
        """
        if self._next is not None and self._table is None:
            raise ValueError("a message of text after samples/1; does a second program send?")
        table = self._table or TableReader(self._options, self.name, live=True)
        table.limit_gaps(LONGEST_GAP_S + self._clock() - self._began_s)
        runs = table.push(text if text.endswith(b"\n") else text + b"\n")
        self._table = table
        layout = table.layout
        if layout is None:
            return
        column = layout.leads[0]
        if self.mv_per_unit != column.mv or not self.lead or self._next is None:
            self.unit, self.mv_per_unit, self.lead = layout.unit, column.mv, column.lead
            self.rails_mv = column.rails_mv
        self.fs_hz = self.fs_hz or check_fs(layout.fs_hz, "message")
        for first, mv in runs:
            self._runs.put(first, mv)
            self._next = first + mv.size
        self._arrival_s = self._clock()

    def _place(self, header: SamplesHeader, n: int) -> None:
        """Check the index of a message and follow a restart of the sender.

        Raises:
            ValueError: another sampling rate, a repeated message, or an index too far ahead.
        """
        if header.fs_hz != self.fs_hz:
            raise ValueError(f"fs_hz {header.fs_hz:g}, but this source has {self.fs_hz:g} Hz; restart the monitor")
        if self._next is None:
            if header.first_sample > LONGEST_S * self.fs_hz:
                raise ValueError(f"first_sample {header.first_sample} is more than 100 years of signal; count from 0")
            self._epoch = header.epoch
            return
        if header.epoch in self._earlier and header.epoch != self._epoch:
            raise ValueError(f"epoch {header.epoch!r} has ended; does a second program send?")
        from_zero = header.first_sample == 0 and n > 0 and self._next > self._offset
        if header.epoch != self._epoch or from_zero:
            now_s = self._clock()
            if now_s - self._restarted_s < _RESTART_S:
                raise ValueError(f"epoch {header.epoch!r} begins less than {_RESTART_S:g} s after another")
            self._restarted_s = now_s
            if header.epoch != self._epoch:
                self._earlier.append(self._epoch)
                self._epoch = header.epoch
            silence_s = min(now_s - self._arrival_s, LONGEST_GAP_S)
            missing = max(1, round(silence_s * self.fs_hz) - n)
            self._offset = self._next + missing - header.first_sample
            self._pending.append(
                Notice("source_back", f"{self.name}: the sender started again, {missing} samples missing")
            )
            return
        ahead = header.first_sample + self._offset - self._next
        if ahead < 0:
            raise ValueError(f"first_sample {header.first_sample} runs back, {self._next - self._offset} was due")
        ahead_s = ahead / self.fs_hz
        # Jumps beyond a day and real time, in sum, are broken numbers, no gaps.
        # A sender that jumps at each message would be a gap, an event and an alarm each time.
        if self._skipped_s + ahead_s > LONGEST_GAP_S + self._clock() - self._began_s:
            raise ValueError(
                f"first_sample {header.first_sample} is {ahead_s:.0f} s ahead: with the gaps before it more than a day "
                "and the time since the start; send a new epoch"
            )
        self._skipped_s += ahead_s

    def _refuse(self, why: str) -> None:
        count, first = self._refused
        self._refused = (count + 1, first or why[:200].replace("\n", " "))

    def _notices(self) -> tuple[Notice, ...]:
        notices, self._pending = self._pending, []
        count, why = self._refused
        if count:
            notices.append(Notice("bad_input", f"{self.name}: {count} messages refused, e.g. {why}", count))
            self._refused = (0, "")
        if self._table is not None:
            bad, example = self._table.take_bad()
            if bad:
                notices.append(Notice("bad_input", f"{self.name}: {bad} unreadable rows, e.g. {example}", bad))
            if new := self._table.resets - self._resets:
                self._resets += new
                notices.append(Notice("bad_input", f"{self.name}: their time ran back or jumped {new} times", new))
        if self._beyond:
            text = f"{self.name}: {self._beyond} samples were infinite or beyond {MAX_MV:g} mV"
            notices.append(Notice("bad_input", text, self._beyond))
            self._beyond = 0
        return tuple(notices)


def _time_of_zero(header: SamplesHeader) -> str | None:
    """ISO 8601 time of the sender's sample 0; no zone = UTC. None without a time."""
    if header.time is None or (first := usable_start(header.time)) is None:
        return None
    try:
        zoned = first if first.tzinfo is not None else first.replace(tzinfo=datetime.UTC)
        return (zoned - datetime.timedelta(seconds=header.first_sample / header.fs_hz)).isoformat()
    except (ValueError, OverflowError):
        return None


def _is_text(frame: bytes) -> bool:
    """Whether a message holds rows of numbers as text."""
    if frame.lstrip()[:1] == b"{" or is_binary(frame) or b"\0" in frame:
        return False
    try:
        return any(map(has_number, frame.decode("utf-8").splitlines()))
    except UnicodeDecodeError:
        return False
