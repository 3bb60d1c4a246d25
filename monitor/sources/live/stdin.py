"""Standard input, `-`: another program writes rows of numbers into a pipe, `!` for leads off."""

from __future__ import annotations

import os
import re
import select
import stat
from collections import deque

import numpy as np

from monitor.errors import SourceError
from monitor.sources.base import Chunk, EndOfStream, Notice
from monitor.sources.files.csv_format import CsvFormat, sniff
from monitor.sources.options import MAX_MV, SourceOptions, mv_per, parse_number, sample_span
from monitor.sources.serial.line_parser import LEADS_OFF

__all__ = ["MAX_LINE", "StdinSource"]

READ_BYTES = 65_536  # what a pipe holds by default
MAX_LINE = 4096  # bytes; a longer line is no row of numbers
_SNIFF_ROWS = 2  # enough for the delimiter; a device of 100 Hz has written them after 20 ms
_TABLE_ROWS = 12  # under a header of several columns: to tell the time among them, whatever it is called
_SNIFF_LINES = 400  # leads off or unreadable among them
_BOM = b"\xef\xbb\xbf"
_COLUMNS = re.compile(r"[;,\t ]+")
_NAN = float("nan")


class StdinSource:
    """Live source of one column of the rows that arrive on a file descriptor.

    Rows are what `csv:` understands, found out from a header, if there is one, and the first two rows. `!` instead of a
    row is a sample with the leads off. Anything else is one invalid sample (NaN), counted in a Notice; what comes
    before the first number (a banner) is no sample, and counted unless it is the header. Samples are counted by rows: a
    pipe loses nothing, so a silence is no gap, and a time column is passed over.

    Nothing is read ahead of `read`: who writes faster than we watch waits for us, and no sample is dropped.

    Args:
        options: `fs_hz` (needed), `column` (or `channel`), `unit`, `mv_per_unit`, `duration_s`, `clock`.
        name: as a person wrote it.
        fd: what is read; stays open.

    Raises:
        SourceError: no sampling rate, a terminal or nothing on the descriptor, an unusable option.
    """

    live = True
    never_blocks = True
    rails_mv: tuple[float, float] | None = None
    start_time: str | None = None
    total_samples: int | None = None

    def __init__(self, options: SourceOptions, name: str, fd: int = 0) -> None:
        self.name = name
        self._options, self._clock, self._fd = options, options.clock, fd
        if options.fs_hz is None:
            raise SourceError(f"{name}: say how many rows a second will come, e.g. --fs 250")
        if options.start_s:
            raise SourceError(f"{name}: standard input begins now; leave out --start")
        mv_per(options.unit or "mV", options.mv_per_unit, name)
        self.fs_hz = options.fs_hz
        _, self._stop = sample_span(options, self.fs_hz, None, name)
        wanted = options.column if options.column is not None else options.channel
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
        self._head = b""  # the last line before the first number: perhaps the header
        self._early: list[bytes] = []  # rows until the layout is known
        self._early_rows = 0
        self._rest = b""
        self._fresh = True
        self._at_end = False
        self._samples: deque[float] = deque()  # at most what READ_BYTES hold
        self._given = 0
        self._any = False  # a number came
        self._line = 0
        self._bad: tuple[int, str] = (0, "")  # not told yet, and the first of them
        self._endless = 0  # bytes without a line end; -1 = told

    def read(self, max_samples: int) -> Chunk | None:
        """What has come, at most `max_samples`, without waiting; see Source.

        Raises:
            EndOfStream: the writer closed the pipe, or `duration_s` of signal was given.
            SourceError: the rows are not understood, there was no number at all, or reading failed.
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
        """Read no more; the descriptor is the process's own and stays open."""
        self._at_end = True
        self._any = True
        self._samples.clear()

    def _take(self) -> None:
        """Read once what waits in the pipe."""
        try:
            if not select.select([self._fd], [], [], 0)[0]:
                return
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:  # somebody made it non-blocking, and somebody else was faster
            return
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SourceError(f"{self.name}: standard input cannot be read ({reason})") from None
        if not data:
            self._at_end = True
            data = b"\n" if self._rest else b""
        *lines, rest = (self._rest + data).split(b"\n")
        if len(rest) > MAX_LINE:  # no row any more; remember just that
            rest = rest[: MAX_LINE + 1]
            if self._endless >= 0:
                self._endless += len(data)
        self._rest = rest
        if lines:
            self._endless = 0
        for line in lines:
            self._row(line.strip())
        if self._at_end and self._early:
            self._understand()

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
                self._understand()
        elif line == LEADS_OFF:
            self._any = True
            self._samples.append(_NAN)
        elif line:
            if self._head:
                self._count_bad(self._head)
            self._head = line

    def _understand(self) -> None:
        """Find out the layout from the header and the first rows, and take these."""
        rows = [line for line in self._early if _has_number(line)]
        self._layout = layout = sniff(
            b"\n".join([*([self._head] if self._head else []), *rows]), self._options, self.name
        )
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
            text = f"{self.name}: more than {MAX_LINE} bytes without a line end; one row a sample, please"
            notices.append(Notice("bad_input", text))
            self._endless = -1
        return tuple(notices)


def _has_number(line: bytes) -> bool:
    """Whether any column reads as a number: else it is a header, a banner or garbage."""
    if len(line) > MAX_LINE:
        return False
    for field in _COLUMNS.split(line.decode("latin-1")):
        try:
            parse_number(field.strip("\"'"))
        except ValueError:
            continue
        return True
    return False
