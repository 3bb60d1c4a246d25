"""Checks of what a source gives, before a bed uses it: a source may be code of another package, or pass on a message.

A number that no record can have is refused here, so that no time, index or text of a bed can overflow later.
"""

from __future__ import annotations

import datetime
import math
from typing import Any, Final

import numpy as np

from monitor.errors import SourceError, first_line, plain_line
from monitor.sources.base import Chunk, Notice

__all__ = ["LONGEST_S", "checked_chunk", "usable_start"]

LONGEST_S: Final = 100 * 365.25 * 86_400.0  # 100 years: a later sample is a broken number
_YEARS: Final = range(2, 9_000)  # of a start time: a zone earlier, and 100 years later, it is still a date
_PAST_S: Final = 86_400.0  # a stamp of the monitor's clock that is older, or further ahead, is a broken number
_AHEAD_S: Final = 60.0
_MOST_NOTICES: Final = 64  # of one chunk
_MOST_COUNT: Final = 2**53


def usable_start(text: object) -> datetime.datetime | None:
    """The start time that a source gives, ISO 8601; None where it is none, or a year that no time can follow."""
    try:
        start = datetime.datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return start if start.year in _YEARS else None


def checked_chunk(chunk: Any, name: str, *, due: int, most: int, fs_hz: float, now_s: float | None = None) -> Chunk:
    """Return what `Source.read` gave, with texts and stamps that can be used.

    Args:
        chunk: what `read` returned, not None.
        name: begins each error.
        due: index after the last sample.
        most: samples that were asked for.
        fs_hz: sampling rate, Hz.
        now_s: the clock of stamps; None = only check that they are finite.

    Raises:
        SourceError: no chunk, samples of another shape, more than `most`, before `due`, or later than any record.
    """
    try:
        first, samples = int(chunk.first_sample), np.asarray(chunk.samples, dtype=np.float64)
        second = getattr(chunk, "second", None)
        second = None if second is None else np.asarray(second, dtype=np.float64)
        notices = tuple(_checked_notice(notice) for notice in chunk.notices)
        arrival_s, time_s = _stamp(chunk.arrival_s, now_s), _stamp(chunk.time_s, now_s)
        broken_stamp = (arrival_s is None) != (chunk.arrival_s is None) or (time_s is None) != (chunk.time_s is None)
    except Exception as error:  # an object of another package may raise anything
        raise SourceError(f"{name} gave no chunk ({type(error).__name__}: {first_line(error)})") from None
    if samples.ndim != 1 or samples.size > most:
        raise SourceError(f"{name} gave samples of shape {samples.shape}; at most ({most},) is allowed")
    if second is not None and second.shape != samples.shape:
        raise SourceError(f"{name} gave {second.shape} samples of the second lead for {samples.shape} of the first")
    if samples.size and first < due:
        raise SourceError(f"{name} gave first_sample {first}, at least {due} was due")
    if samples.size and first > LONGEST_S * fs_hz:
        raise SourceError(f"{name} gave first_sample {plain_line(first)[:30]}, which is more than 100 years of signal")
    if len(notices) > _MOST_NOTICES:
        more = len(notices) - _MOST_NOTICES
        notices = (*notices[:_MOST_NOTICES], Notice("bad_input", f"{name}: {more} more notices at once", more))
    if broken_stamp:
        notices = (*notices, Notice("bad_input", f"{name}: a time stamp is no time of this machine; it is not used"))
    return Chunk(first, samples, arrival_s, notices, time_s, second)


def _checked_notice(notice: Notice) -> Notice:
    count = min(max(int(notice.count), 0), _MOST_COUNT)
    return Notice(plain_line(notice.kind)[:40], plain_line(notice.text), count)


def _stamp(stamp_s: float | None, now_s: float | None) -> float | None:
    """A stamp in s, or None where it is none or cannot be right."""
    if stamp_s is None or not math.isfinite(stamp_s):
        return None
    if now_s is not None and not -_PAST_S <= stamp_s - now_s <= _AHEAD_S:
        return None
    return float(stamp_s)
