"""Standard input, `-`: rows of numbers that another program writes into a pipe; `!` = leads off."""

from __future__ import annotations

import os
import re
import select
import stat
from collections import deque

import numpy as np

from monitor.errors import SourceError
from monitor.sources.base import Chunk, EndOfStream, Notice, Source
from monitor.sources.files.csv_format import CsvFormat, sniff
from monitor.sources.options import MAX_MV, SourceOptions, parse_number, sample_span
from monitor.sources.serial.line_parser import LEADS_OFF
from monitor.sources.units import mv_per

__all__ = ["MAX_LINE", "StdinSource", "open_stdin"]

READ_BYTES = 65_536  # default capacity of a pipe
MAX_LINE = 4096  # bytes; a longer line is no row of numbers
_SNIFF_ROWS = 2  # enough to recognise the delimiter; at 100 Hz they take 20 ms
_TABLE_ROWS = 12  # under a header of several columns: enough to recognise the time column under any name
_SNIFF_LINES = 400  # including leads off and unreadable lines
_BOM = b"\xef\xbb\xbf"
_COLUMNS = re.compile(r"[;,\t ]+")
_NAN = float("nan")


def open_stdin(what: str, options: SourceOptions, name: str) -> StdinSource:
    """Open standard input; `what` must be empty.

    Raises:
        SourceError: see StdinSource.
    """
    if what:
        raise SourceError(f"{name}: standard input is just -; a file of numbers is csv:PATH")
    return StdinSource(options, name)


class StdinSource(Source):
    """Live source of one column of the rows that arrive on a file descriptor.

    Rows have the layouts of `csv:`, recognised from the header, if any, and the first two rows. `!` instead of a row is
    a sample with leads off. Any other line is one invalid sample (NaN), counted in a Notice. Lines before the first
    number (a banner) are no samples, and counted unless they are the header. Samples are counted by rows: a pipe loses
    nothing, so a silence is no gap, and a time column is ignored.

    Only `read` reads from the descriptor: a faster writer has to wait, and no sample is dropped.

    Many attributes: nine are those of the Source protocol.

    Args:
        options: `fs_hz` (needed), `column` (or `channel`), `unit`, `mv_per_unit`, `duration_s`, `clock`.
        fd: file descriptor; stays open.

    Raises:
        SourceError: no sampling rate, a terminal or nothing on the descriptor, an unusable option.
    """

    live = True
    never_blocks = True

    def __init__(self, options: SourceOptions, name: str, fd: int = 0) -> None:
        self.name = name
        self._options, self._clock, self._fd = options, options.clock, fd
        if options.fs_hz is None:
            raise SourceError(f"{name}: give the number of rows a second, e.g. --fs 250")
        if options.start_s:
            raise SourceError(f"{name}: standard input begins now; leave out --start")
        self.unit = options.unit or "mV"  # a header may name another one
        self.mv_per_unit = mv_per(self.unit, options.mv_per_unit, name)
        self.fs_hz = options.fs_hz
        _, self._stop = sample_span(options, self.fs_hz, None, name)
        wanted = options.column_or_channel
        self.lead = wanted if isinstance(wanted, str) else "ECG"
        try:
            mode = os.fstat(fd).st_mode
        except OSError as error:
            raise SourceError(f"{name}: standard input cannot be read ({error.strerror}); pipe rows into it") from None
        if os.isatty(fd):
            raise SourceError(
                f"{name}: standard input is a terminal; pipe rows into it: reader | ecg-monitor --source - --fs 250"
            )
        if stat.S_ISDIR(mode):
            raise SourceError(f"{name}: standard input is a directory; pipe rows into it")
        self._layout: CsvFormat | None = None
        self._head = b""  # the last line before the first number: the header, if there is one
        self._early: list[bytes] = []  # rows until the layout is known
        self._early_rows = 0
        self._rest = b""
        self._fresh = True
        self._at_end = False
        self._samples: deque[float] = deque()  # bounded by READ_BYTES
        self._given = 0
        self._any = False  # a number was read
        self._line = 0
        self._bad: tuple[int, str] = (0, "")  # bad lines since the last notice, and the first of them
        self._endless = 0  # bytes without a line end; -1 = reported

    def read(self, max_samples: int) -> Chunk | None:
        """Return the samples that arrived, at most `max_samples`, without waiting; see Source.

        Raises:
            EndOfStream: the writer closed the pipe, or `duration_s` of signal was given.
            SourceError: the layout of the rows is unknown, the pipe ended without a number, or reading failed.
        """
        if self._stop is not None and self._given >= self._stop:
            raise EndOfStream
        if max_samples > 0 and not self._samples and not self._at_end:
            self._take()
        most = max(0, max_samples) if self._stop is None else min(max(0, max_samples), self._stop - self._given)
        samples = [self._samples.popleft() for _ in range(min(most, len(self._samples)))]
        notices = self._notices()
        if not samples and not notices:
            if self._at_end and not self._samples:
                if not self._any:
                    raise SourceError(f"{self.name}: standard input ended without a number")
                raise EndOfStream
            return None
        chunk = Chunk(self._given, np.array(samples, dtype=np.float64), self._clock(), notices)
        self._given += len(samples)
        return chunk

    def close(self) -> None:
        """Stop reading; the descriptor stays open."""
        self._at_end = True
        self._any = True
        self._samples.clear()

    def _take(self) -> None:
        """Read once from the pipe, without waiting."""
        try:
            if not select.select([self._fd], [], [], 0)[0]:
                return
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:  # non-blocking, and another process was faster
            return
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SourceError(f"{self.name}: standard input cannot be read ({reason})") from None
        if not data:
            self._at_end = True
            data = b"\n" if self._rest else b""
        *lines, rest = (self._rest + data).split(b"\n")
        if len(rest) > MAX_LINE:  # too long for a row: keep only enough to know that
            rest = rest[: MAX_LINE + 1]
            if self._endless >= 0:
                self._endless += len(data)
        self._rest = rest
        if lines:
            self._endless = 0
        for line in lines:
            self._row(line.strip())
        if self._at_end and self._early:
            self._recognise()

    def _row(self, line: bytes) -> None:
        self._line += 1
        if self._fresh:
            self._fresh = False
            line = line.removeprefix(_BOM)
        if line.startswith(b"#"):
            return
        if self._layout is not None:
            self._samples.append(self._sample(line, self._layout))
        elif self._early or _has_number(line):
            self._early.append(line)
            self._early_rows += _has_number(line)
            table = self._head and len(_COLUMNS.split(self._early[0].decode("latin-1"))) > 1
            if self._early_rows >= (_TABLE_ROWS if table else _SNIFF_ROWS) or len(self._early) >= _SNIFF_LINES:
                self._recognise()
        elif line == LEADS_OFF:
            self._any = True
            self._samples.append(_NAN)
        elif line:
            if self._head:
                self._count_bad(self._head)
            self._head = line

    def _recognise(self) -> None:
        """Recognise the layout from the header and the first rows, and read these."""
        rows = [line for line in self._early if _has_number(line)]
        self._layout = layout = sniff(
            b"\n".join([*([self._head] if self._head else []), *rows]), self._options, self.name
        )
        self.unit, self.mv_per_unit = layout.unit, layout.mv
        early, self._early = self._early, []
        self._samples.extend(self._sample(line, layout) for line in early)

    def _sample(self, line: bytes, layout: CsvFormat) -> float:
        if line == LEADS_OFF:
            self._any = True
            return _NAN
        try:
            if len(line) > MAX_LINE:
                raise ValueError(line)
            text = line.decode(layout.encoding, "replace")
            mv = layout.number(layout.fields(text)[layout.column]) * layout.mv
            if abs(mv) <= MAX_MV:
                self._any = True
                return mv
        except (ValueError, IndexError):
            pass
        self._count_bad(line)
        return _NAN

    def _count_bad(self, line: bytes) -> None:
        count, example = self._bad
        self._bad = (count + 1, example or f"'{line[:20].decode('ascii', 'backslashreplace')}'")

    def _notices(self) -> tuple[Notice, ...]:
        notices = []
        count, example = self._bad
        if count:
            text = f"{self.name}: {count} unreadable lines before line {self._line + 1}, e.g. {example}"
            notices.append(Notice("bad_input", text, count))
            self._bad = (0, "")
        if self._endless > 0:
            text = f"{self.name}: more than {MAX_LINE} bytes without a line end; write one row a sample"
            notices.append(Notice("bad_input", text))
            self._endless = -1
        return tuple(notices)


def _has_number(line: bytes) -> bool:
    """Whether any column is a number; otherwise the line is a header, a banner or garbage."""
    if len(line) > MAX_LINE:
        return False
    for field in _COLUMNS.split(line.decode("latin-1")):
        try:
            parse_number(field.strip("\"'"))
        except ValueError:
            continue
        return True
    return False
