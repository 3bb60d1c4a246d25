"""Standard input, `-`: rows of a table that another program writes into a pipe; see monitor.sources.tables."""

from __future__ import annotations

import os
import stat
import time

from monitor.errors import SourceError
from monitor.sources.base import Chunk, EndOfStream, Notice, Source
from monitor.sources.channels import lead_names
from monitor.sources.live.pipe_reader import PipeReader
from monitor.sources.options import SourceOptions, sample_span
from monitor.sources.tables.layout import TableLayout
from monitor.sources.tables.reader import TableReader
from monitor.sources.tables.text import MAX_LINE
from monitor.sources.timing.sample_runs import SampleRuns
from monitor.sources.units import mv_per

__all__ = ["StdinSource", "open_stdin"]

FIRST_ROWS_S = 20.0  # longest wait for the rows that show the rate, without --fs


def open_stdin(what: str, options: SourceOptions, name: str) -> StdinSource:
    """Open standard input; `what` must be empty.

    Raises:
        SourceError: see StdinSource.
    """
    if what:
        raise SourceError(f"{name}: standard input is just -; a file of numbers is csv:PATH")
    return StdinSource(options, name)


class StdinSource(Source):
    """Live source of one column of the rows that arrive on a file descriptor, or of two.

    Rows have the layouts of `csv:`. `!` instead of a row is a sample with leads off. Any other line is one sample
    without a value (NaN), counted in a Notice; lines before the first number are no samples. A pipe loses nothing, so a
    silence is no gap; a time column that jumps ahead is one.

    A faster writer has to wait, and no sample is dropped.

    Many attributes: eleven are those of the Source protocol.

    Args:
        options: as for CsvSource, and `second`, `clock`. Without `fs_hz` the constructor waits for the rows that show
            the rate.
        fd: file descriptor; stays open.

    Raises:
        SourceError: no sampling rate, a terminal or nothing on the descriptor, an unusable option.
    """

    live = True
    never_blocks = True

    def __init__(self, options: SourceOptions, name: str, fd: int = 0) -> None:
        self.name = name
        self._options, self._clock, self._pipe = options, options.clock, PipeReader(fd)
        if options.start_s:
            raise SourceError(f"{name}: standard input begins now; leave out --start")
        self.unit = options.unit or "mV"  # the table may state another one
        if self.unit != "adc" or options.mv_per_unit or not options.adc_bits:
            self.mv_per_unit = mv_per(self.unit, options.mv_per_unit, name)
        wanted = options.wanted
        self.leads = lead_names(
            [each if isinstance(each, str) else "ECG" for each in wanted],
            [each if isinstance(each, int) else 0 for each in wanted],
        )
        self.lead = ",".join(self.leads)
        self.second_rails_mv: tuple[float, float] | None = None
        self.fs_hz = options.fs_hz or 0.0
        sample_span(options, options.fs_hz or 250.0, None, name)  # refuses what it cannot take, before it waits
        _check_descriptor(fd, name)
        self._reader = TableReader(options, name, live=True)
        self._known = False
        self._runs = SampleRuns()
        self._at_end = False
        self._resets = 0
        self._endless = False  # a line without an end was reported
        self._pending: list[Notice] = []
        if options.fs_hz is None:
            self._wait_for_rate()
        else:
            self._runs.duration = sample_span(options, options.fs_hz, None, name)[1]

    def read(self, max_samples: int) -> Chunk | None:
        """Return the samples that arrived, at most `max_samples`, without waiting; see Source.

        Raises:
            EndOfStream: the writer closed the pipe, or `duration_s` of signal was given.
            SourceError: the layout of the rows is unknown, the pipe ended without a number, or reading failed.
        """
        if self._runs.ended:
            raise EndOfStream
        if max_samples > 0 and not self._runs.size and not self._at_end:
            self._take(0.0)
        chunk = self._runs.chunk(max(0, max_samples), self._clock(), self._notices())
        if chunk is None and self._at_end and not self._runs.size:
            if not self._reader.any_number:
                raise SourceError(f"{self.name}: standard input ended without a number")
            raise EndOfStream
        return chunk

    def close(self) -> None:
        """Stop reading; the descriptor stays open."""
        self._at_end = True
        self._reader.any_number = True
        self._runs = SampleRuns()

    def _wait_for_rate(self) -> None:
        """Read until the rows have shown the sampling rate."""
        until_s = time.monotonic() + FIRST_ROWS_S
        while not self._known:
            left_s = until_s - time.monotonic()
            if left_s <= 0 or self._at_end:
                why = "standard input ended without a number" if self._at_end else "no rate is known yet"
                within = "" if self._at_end else f" after {FIRST_ROWS_S:g} s; give it, e.g. --fs 250"
                raise SourceError(f"{self.name}: {why}{within}")
            self._take(left_s)

    def _take(self, wait_s: float) -> None:
        """Read once from the pipe."""
        try:
            data = self._pipe.read(wait_s)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SourceError(f"{self.name}: standard input cannot be read ({reason})") from None
        if data is None:
            return
        if data:
            runs = self._reader.push(data)
        else:
            self._at_end = True
            runs = self._reader.finish()
        if not self._known and self._reader.layout is not None:
            self._learn(self._reader.layout)
        for first, mv in runs:
            self._runs.put(first, mv)

    def _learn(self, layout: TableLayout) -> None:
        """Take over what the table states."""
        self._known = True
        if not self.fs_hz:
            self.fs_hz = layout.fs_hz
            self._runs.duration = sample_span(self._options, layout.fs_hz, None, self.name)[1]
        first, second = layout.leads[0], layout.leads[-1]
        self.unit, self.mv_per_unit, self.rails_mv = layout.unit, first.mv, first.rails_mv
        self.leads = tuple(column.lead for column in layout.leads)
        self.lead, self.second_rails_mv = ",".join(self.leads), second.rails_mv
        if layout.notice:
            self._pending.append(Notice("bad_input", f"{self.name}: {layout.notice}"))

    def _notices(self) -> tuple[Notice, ...]:
        notices, self._pending = self._pending, []
        count, example = self._reader.take_bad()
        if count:
            notices.append(Notice("bad_input", f"{self.name}: {count} unreadable lines, e.g. {example}", count))
        if new := self._reader.resets - self._resets:
            self._resets += new
            notices.append(Notice("bad_input", f"{self.name}: its time ran back or jumped {new} times", new))
        if self._reader.is_endless and not self._endless:
            text = f"{self.name}: more than {MAX_LINE} bytes without a line end; write one row a sample"
            notices.append(Notice("bad_input", text))
        self._endless = self._reader.is_endless
        return tuple(notices)


def _check_descriptor(fd: int, name: str) -> None:
    """Refuse a descriptor that cannot give rows."""
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
