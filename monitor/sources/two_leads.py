"""Two leads of one recording, read side by side: `--channel MLII,V1`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources.base import Chunk, EndOfStream, Source
from monitor.sources.options import SourceOptions
from monitor.sources.wrappers import SourceWrapper

__all__ = ["TwoLeadSource", "two_channels", "with_second"]

Samples = NDArray[np.float64]


def two_channels(options: SourceOptions, name: str) -> tuple[str, str] | None:
    """The two channels that `--channel A,B` (or `--column A,B`) asks for; None for one channel or none.

    Raises:
        SourceError: more than two, an empty name, or twice the same.
    """
    wanted = options.column_or_channel
    if not isinstance(wanted, str) or "," not in wanted:
        return None
    names = [part.strip() for part in wanted.split(",")]
    if len(names) != 2 or not all(names) or _number_or_name(names[0].lower()) == _number_or_name(names[1].lower()):
        raise SourceError(f"{name}: channel {wanted!r}: give one lead, or two different ones, e.g. --channel MLII,V1")
    return names[0], names[1]


def with_second(options: SourceOptions, channels: tuple[str, str]) -> SourceOptions:
    """The options of a source that reads two leads at once."""
    first, second = map(_number_or_name, channels)
    column = None if options.column is None else first
    return replace(options, channel=first, column=column, second=second)


class TwoLeadSource(SourceWrapper):
    """The first lead, with the samples of the second one at the same times in each chunk.

    A recording can be opened twice; a device cannot, so that a live source reads both leads itself.

    Many attributes: nine are those of SourceWrapper.

    Args:
        open_it: opens the source with the options of one lead.
        options: what the user chose.
        channels: the two leads.
        name: of the source, for errors.

    Attributes:
        leads: names of the two leads.
        second_rails_mv: range of the ADC of the second lead, (low, high) mV; None if unknown.

    Raises:
        SourceError: a lead cannot be opened, the source is live, or the leads differ in their sampling rate.
    """

    def __init__(
        self, open_it: Callable[[SourceOptions], Source], options: SourceOptions, channels: tuple[str, str], name: str
    ) -> None:
        first, second = channels

        def note(what: str, text: str) -> None:
            if what != "lead":  # noted below, with both
                options.note(what, text)

        super().__init__(open_it(replace(_of(options, first), note=note)))
        try:
            if self.live:
                raise SourceError(f"{name}: of this live source one lead is read; give one, e.g. --channel {first}")
            self._second = open_it(replace(_of(options, second), note=lambda _name, _text: None))
        except BaseException:
            super().close()
            raise
        self.leads = (self.lead, self._second.lead)
        if self.lead == self._second.lead and not (first.isdecimal() and second.isdecimal()):
            self.close()
            raise SourceError(
                f"{name}: {first} and {second} are both lead {self.lead}; give two different ones, or both by number"
            )
        if self._second.fs_hz != self.fs_hz:
            self.close()
            raise SourceError(
                f"{name}: lead {first} has {self.fs_hz:g} Hz and lead {second} {self._second.fs_hz:g} Hz; "
                "two leads need the same sampling rate"
            )
        self.lead = ",".join(self.leads)
        options.note("lead", " and ".join(self.leads))
        self.second_rails_mv = self._second.rails_mv
        self._pieces: deque[Chunk] = deque()  # of the second lead, not given yet
        self._ended = False  # the second lead

    def read(self, max_samples: int) -> Chunk | None:
        """Return the next chunk with both leads; see Source. Where the second one has no sample it is NaN."""
        chunk = self._source.read(max_samples)
        if chunk is None:
            return None
        first, end = chunk.first_sample, chunk.first_sample + chunk.samples.size
        notices = list(chunk.notices)
        if chunk.samples.size:
            for piece in self._read_until(end, max_samples):
                notices += [notice for notice in piece.notices if notice not in notices]
        second = np.full(chunk.samples.size, np.nan)
        for piece in self._pieces:
            low, high = max(first, piece.first_sample), min(end, piece.first_sample + piece.samples.size)
            if low < high:
                second[low - first : high - first] = piece.samples[low - piece.first_sample : high - piece.first_sample]
        while self._pieces and self._pieces[0].first_sample + self._pieces[0].samples.size <= end:
            self._pieces.popleft()
        return replace(chunk, second=second, notices=tuple(notices))

    def _read_until(self, end: int, max_samples: int) -> list[Chunk]:
        """Read the second lead up to this sample; returns the new chunks."""
        read: list[Chunk] = []
        last = self._pieces[-1] if self._pieces else None
        reached = 0 if last is None else last.first_sample + last.samples.size
        while not self._ended and reached < end:
            try:
                piece = self._second.read(max_samples)
            except EndOfStream:
                self._ended = True
                break
            if piece is None:
                break
            read.append(piece)
            if piece.samples.size:
                self._pieces.append(piece)
                reached = piece.first_sample + piece.samples.size
        return read

    def close(self) -> None:
        """Close both leads."""
        super().close()
        self._second.close()


def _of(options: SourceOptions, channel: str) -> SourceOptions:
    """The options of one lead; a number counts from 0."""
    wanted = _number_or_name(channel)
    return replace(options, column=wanted) if options.column is not None else replace(options, channel=wanted)


def _number_or_name(channel: str) -> str | int:
    return int(channel) if channel.isdecimal() else channel
