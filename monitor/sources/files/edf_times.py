"""Times of the data records of an EDF+ or BDF+ file, and the gaps between them.

Each record of EDF+ begins with a time-keeping annotation: its own begin, s after the file's. EDF+D is a recording with
interruptions; files named EDF+C have them too, so the times decide and not the name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

__all__ = ["MAX_GAP_S", "TIME_BYTES", "find_gaps", "record_time", "tolerance"]

TIME_BYTES = 64  # of an annotation signal: longer than any time
MAX_GAP_S = 7 * 86_400.0  # a longer one is a broken time
_ENDS = 100  # records at either end that may lack a time
_TIME = re.compile(rb"[\0 ]*([+-]?\d{1,15})(?:[.,](\d{0,12}))?(?:\x15[^\x14]{0,20})?\x14\x14")


def record_time(annotations: bytes) -> tuple[float, int] | None:
    """Begin of a data record, s, and number of decimals, from the first bytes of its annotations; None without one.

    >>> record_time(b"+12.50\\x14\\x14\\0+13\\x14Sleep\\x14\\0"), record_time(b"+13\\x14Sleep\\x14\\0")
    ((12.5, 2), None)
    """
    found = _TIME.match(annotations)
    if found is None:
        return None
    decimals = found[2] or b""
    return float(found[1] + b"." + (decimals or b"0")), len(decimals)


def tolerance(record_s: float, fs_hz: float, decimals: int) -> float:
    """Difference of a record's time from the end of the record before, s, that is no gap.

    One and a half samples; more where the times are rounded so that they cannot fit the length of a record.
    """
    unit = 10.0**-decimals
    fits = abs(record_s / unit - round(record_s / unit)) < 1e-6
    return 1.5 / fs_hz + (0.0 if fits else unit)


def find_gaps(
    time_of: Callable[[int], float | None], records: int, record_s: float, tolerance_s: float
) -> list[tuple[int, float]]:
    """Find the records that do not begin where the record before ends: (record, s missing before it), in order.

    A negative number means that the time runs back. Only times that are needed are read: two for a recording without
    gaps, else about log2(records) for each gap.
    """

    def timed(numbers: Iterable[int]) -> tuple[int, float] | None:
        """The first of these records that has a time, and its time, s."""
        return next(((r, time_s) for r in numbers if (time_s := time_of(r)) is not None), None)

    first = timed(range(min(records, _ENDS)))
    last = timed(range(records - 1, max(-1, records - 1 - _ENDS), -1))
    if first is None or last is None:
        return []
    found: list[tuple[int, float]] = []
    spans = [(first, last)] if last > first else []
    while spans:
        begin, end = spans.pop()
        (low, begin_s), (high, end_s) = begin, end
        missing_s = end_s - begin_s - (high - low) * record_s
        if abs(missing_s) <= tolerance_s:
            continue
        middle = (low + high) // 2
        between = sorted(range(max(low + 1, middle - _ENDS), min(high, middle + _ENDS)), key=lambda r: abs(r - middle))
        split = timed(between)
        if split is None:
            found.append((high, missing_s))
        else:
            spans += [(split, end), (begin, split)]
    return found
