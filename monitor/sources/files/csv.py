"""Numbers in a text file, `csv:PATH`, one row a sample, read in pieces."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources.base import Chunk, EndOfStream, Notice, Source
from monitor.sources.files.csv_format import HEAD_BYTES, CsvFormat, sniff
from monitor.sources.options import MAX_MV, SourceOptions, sample_span

__all__ = ["CsvSource"]

PIECE_BYTES = 65_536
MAX_LINE = 4096  # characters; a longer line is no row of numbers
_LONGEST_GAP_S = 7 * 86_400.0  # a larger step is a broken number, no pause

Floats = NDArray[np.float64]


@dataclass(slots=True)
class _Run:
    """Rows without a gap: their samples, mV; True where unreadable; their line numbers."""

    first_sample: int
    mv: Floats
    bad: NDArray[np.bool_]
    line: NDArray[np.int64]


class CsvSource(Source):
    """Source of one column of a text file; for the accepted layouts see CsvFormat.

    A row that is empty, no number, infinite or beyond MAX_MV is one invalid sample (NaN), counted in a Notice. A jump
    ahead in the time column is a gap. Where the time runs back, the rows are counted instead, with a Notice. Lines that
    begin with # are comments.

    Many attributes: nine are those of the Source protocol.

    Args:
        options: `fs_hz`, `column` (or `channel`), `unit`, `mv_per_unit`, `start_s`, `duration_s`.

    Raises:
        SourceError: missing, empty, binary, without any number, or of an unknown layout.
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
        try:
            self._format = sniff(self._file.read(HEAD_BYTES), options, name)
            self._next, self._stop = sample_span(options, self._format.fs_hz, None, name)
            if not any(np.isfinite(mv).any() for _, mv, *_ in self._pieces()):
                raise SourceError(f"{name}: column {self._format.lead!r} holds no number")
        except BaseException:
            self._file.close()
            raise
        self.fs_hz = self._format.fs_hz
        self.lead = self._format.lead
        self.unit, self.mv_per_unit = self._format.unit, self._format.mv
        self._rows = self._pieces()
        self._runs: deque[_Run] = deque()
        self._row = 0  # sample index of the next row
        self._clock: tuple[float, int] | None = None  # last valid time, s, and its row relative to the next piece
        self._notices: list[Notice] = []  # for the next chunk

    def read(self, max_samples: int) -> Chunk:
        """Return the next samples, at most `max_samples`; see Source."""
        while not self._runs or self._runs[0].first_sample + self._runs[0].mv.size <= self._next:
            if self._runs:
                self._runs.popleft()
            elif not self._load():
                raise EndOfStream
        run = self._runs[0]
        low = max(0, self._next - run.first_sample)
        first = run.first_sample + low
        if self._stop is not None and first >= self._stop:
            raise EndOfStream
        high = min(low + max(0, max_samples), run.mv.size)
        if self._stop is not None:
            high = min(high, self._stop - run.first_sample)
        bad = np.flatnonzero(run.bad[low:high])
        notices, self._notices = self._notices, []
        if bad.size:
            text = f"{self.name}: {bad.size} unreadable, e.g. line {run.line[low + bad[0]]}"
            notices.append(Notice("bad_input", text, int(bad.size)))
        if high > low:
            self._next = run.first_sample + high
        return Chunk(first, run.mv[low:high].copy(), notices=tuple(notices))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _load(self) -> bool:
        """Split the next piece of the file into runs; False at the end of the file."""
        piece = next(self._rows, None)
        if piece is None:
            return False
        time_s, mv, bad, line = piece
        gaps = self._gaps(time_s, line)
        edges = [0, *(row for row, _ in gaps), mv.size]
        missing = [0, *(lost for _, lost in gaps)]
        for low, high, lost in zip(edges[:-1], edges[1:], missing, strict=True):
            self._row += lost
            if high > low:
                self._runs.append(_Run(self._row, mv[low:high], bad[low:high], line[low:high]))
            self._row += high - low
        return True

    def _gaps(self, time_s: Floats, line: NDArray[np.int64]) -> list[tuple[int, int]]:
        """Find the jumps ahead of the time column: (row, samples missing before it)."""
        known = np.flatnonzero(np.isfinite(time_s))
        if known.size == 0:
            return []
        times, rows = time_s[known], known
        if self._clock is not None:
            times = np.concatenate(([self._clock[0]], times))
            rows = np.concatenate(([self._clock[1]], rows))
        back = np.flatnonzero(np.diff(times) < 0) + 1
        if back.size:
            text = f"{self.name}: {back.size} steps back in time, e.g. in line {line[rows[back[0]]]}; rows count there"
            self._notices.append(Notice("bad_input", text, int(back.size)))
        # A single broken time is ignored: a jump counts if the next row confirms it.
        follows = np.append(times[1:], times[-1])
        set_back = back[(follows[back] < times[back - 1]) & (follows[back] >= times[back])]  # the clock was set back
        parts = [
            _advancing(times[low:high], rows[low:high])
            for low, high in zip([0, *set_back], [*set_back, times.size], strict=True)
        ]
        gaps = []
        for part_times, part_rows in parts:
            ahead = np.diff(part_times)
            ahead[ahead > _LONGEST_GAP_S] = 0.0
            jumps = np.rint(ahead * self.fs_hz).astype(np.int64) - np.diff(part_rows)
            gaps += [(int(part_rows[i + 1]), int(jumps[i])) for i in np.flatnonzero(jumps > 0)]
        last_times, last_rows = parts[-1]
        if last_times.size:
            self._clock = float(last_times[-1]), int(last_rows[-1]) - line.size
        return gaps

    def _pieces(self) -> Iterator[tuple[Floats, Floats, NDArray[np.bool_], NDArray[np.int64]]]:
        """Read the file from the beginning: time (s), sample (mV), True if unreadable, line number of each row."""
        layout = self._format
        newline = layout.newline.encode()
        self._file.seek(0)
        rest, line = b"", 1
        while True:
            try:
                block = self._file.read(PIECE_BYTES)
            except OSError as error:
                raise SourceError(f"{self.name}: line {line} cannot be read ({error.strerror})") from None
            whole, cut, rest = (rest + block).rpartition(newline) if block else (rest, b"", b"")
            if len(rest) > MAX_LINE:
                raise SourceError(f"{self.name}: line longer than {MAX_LINE} characters; write one row a sample")
            if whole or cut:
                text = whole.decode(layout.encoding, errors="replace")
                lines = text.split(layout.newline)
                skip = max(0, layout.header_lines + 1 - line)
                yield _rows(layout, lines[skip:], line + skip)
                line += len(lines)
            if not block:
                return


def _advancing(times: Floats, rows: NDArray[np.int64]) -> tuple[Floats, NDArray[np.int64]]:
    """Keep the times, with their rows, that the next time confirms and that lie neither back nor a week away."""
    confirmed = np.minimum(times, np.append(times[1:], times[-1]))
    sane = np.abs(times - np.median(times)) < _LONGEST_GAP_S
    latest = np.maximum.accumulate(np.where(sane, confirmed, -np.inf))
    kept = sane & (confirmed >= latest)
    return confirmed[kept], rows[kept]


def _rows(
    layout: CsvFormat, lines: list[str], first_line: int
) -> tuple[Floats, Floats, NDArray[np.bool_], NDArray[np.int64]]:
    numbers = np.arange(first_line, first_line + len(lines))
    if any("#" in line for line in lines):
        kept = [i for i, line in enumerate(lines) if not line.lstrip().startswith("#")]
        lines, numbers = [lines[i] for i in kept], numbers[kept]
    values = _column(layout, lines, layout.column) * layout.mv
    bad = ~(np.abs(values) <= MAX_MV)  # True for NaN
    values[bad] = np.nan
    if layout.time_column is None:
        times = np.full(values.size, np.nan)
    else:
        times = _column(layout, lines, layout.time_column) * layout.time_s
    return times, values, bad, numbers


def _column(layout: CsvFormat, lines: list[str], column: int) -> Floats:
    """Parse one column; NaN where it holds no number."""
    try:
        # Five times as fast, for the common case that every row is a plain ASCII number.
        cells = [layout.fields(line)[column] for line in lines] if layout.delimiter != "" else lines
        text = " ".join(cells)
        if not layout.decimal_comma and "_" not in text and text.isascii():
            return np.array([float(cell) for cell in cells], dtype=np.float64)
    except (ValueError, IndexError):
        pass
    values = np.full(len(lines), np.nan)
    for i, line in enumerate(lines):
        try:
            values[i] = layout.number(layout.fields(line)[column])
        except (ValueError, IndexError):
            continue
    return values
