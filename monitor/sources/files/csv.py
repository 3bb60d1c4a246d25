"""A table of numbers in a text file, `csv:PATH`, one row a sample, read in pieces; see monitor.sources.tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources.base import Chunk, EndOfStream, Notice, Source
from monitor.sources.files.foreign import HEAD_BYTES as FORMAT_BYTES
from monitor.sources.files.foreign import named_format
from monitor.sources.options import SourceOptions, sample_span
from monitor.sources.tables.reader import HEAD_BYTES, TableReader
from monitor.sources.timing.sample_runs import SampleRuns

__all__ = ["PIECE_BYTES", "CsvSource"]

PIECE_BYTES = 65_536

Floats = NDArray[np.float64]


class CsvSource(Source):
    """Source of one column of a text file, which may be a pipe.

    A row without a number is one sample without a value (NaN), counted in a Notice. Where the time column jumps ahead
    and stays ahead there is a gap. Where the time runs back, the rows are counted instead, with a Notice.

    Many attributes: nine are those of the Source protocol.

    Args:
        options: `fs_hz`, `column` (or `channel`), `unit`, `mv_per_unit`, `adc_bits`, `vref`, `gain`, `start_s`,
            `duration_s`.

    Raises:
        SourceError: missing, empty, binary, another format, without any number, or of an unknown layout.
    """

    live = False
    never_blocks = True

    def __init__(self, path: str, options: SourceOptions, name: str) -> None:
        self.name = name
        if not path:
            raise SourceError(f"{name}: name the file, csv:PATH")
        try:
            self._file = Path(path).expanduser().open("rb")
        except OSError as error:
            raise SourceError(f"{name}: {path} cannot be read ({error.strerror})") from None
        self._ended = False
        self._resets = 0
        self._runs = SampleRuns()
        self._reader = TableReader(options, name, live=False)
        try:
            head = self._file.read(HEAD_BYTES)
            if not head:
                raise SourceError(f"{name}: the file is empty")
            if (named := named_format(head[:FORMAT_BYTES])) is not None:
                raise SourceError(f"{name}: this is {named[0]}; {named[1]}")
            runs = self._reader.push(head)
            while not self._reader.any_number and not self._ended:
                runs += self._piece()
            layout = self._reader.layout
            if layout is None or not self._reader.any_number:
                raise SourceError(f"{name}: column {'' if layout is None else layout.leads[0].lead!r} holds no number")
            self._first, self._stop = sample_span(options, layout.fs_hz, None, name)
        except BaseException:
            self._file.close()
            raise
        lead = layout.leads[0]
        self.fs_hz, self.lead, self.rails_mv = layout.fs_hz, lead.lead, lead.rails_mv
        self.unit, self.mv_per_unit = layout.unit, lead.mv
        self._pending = [Notice("bad_input", f"{name}: {layout.notice}")] if layout.notice else []
        self._keep(runs)

    def read(self, max_samples: int) -> Chunk:
        """Return the next samples, at most `max_samples`; see Source."""
        while not self._runs.size:
            if self._ended:
                raise EndOfStream
            self._keep(self._piece())
        if max_samples <= 0:
            return Chunk(max(self._first, self._runs.next), np.empty(0))
        first, mv = self._runs.take(max_samples) or (self._runs.next, np.empty(0))
        return Chunk(first, mv, notices=self._notices())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _piece(self) -> list[tuple[int, Floats]]:
        """Read the next piece of the file; runs of samples."""
        try:
            data = self._file.read(PIECE_BYTES)
        except OSError as error:
            line = self._reader.line + 1
            raise SourceError(f"{self.name}: line {line} cannot be read ({error.strerror})") from None
        if data:
            return self._reader.push(data)
        self._ended = True
        return self._reader.finish()

    def _keep(self, runs: list[tuple[int, Floats]]) -> None:
        """Queue the samples from the start to the stop."""
        for first, mv in runs:
            low = max(0, self._first - first)
            high = mv.size if self._stop is None else max(low, min(mv.size, self._stop - first))
            self._runs.put(first + low, mv[low:high])
            self._ended = self._ended or (self._stop is not None and first + mv.size >= self._stop)

    def _notices(self) -> tuple[Notice, ...]:
        notices, self._pending = self._pending, []
        bad, example = self._reader.take_bad()
        if bad:
            notices.append(Notice("bad_input", f"{self.name}: {bad} unreadable, e.g. {example}", bad))
        if new := self._reader.resets - self._resets:
            self._resets += new
            text = f"{self.name}: its time ran back or jumped {new} times, up to line {self._reader.line}"
            notices.append(Notice("bad_input", f"{text}; rows count there", new))
        return tuple(notices)
