"""Parser of devices that write lines of text: bytes in, samples out. Pure.

A line is a number, a number after a name (`ECG:0.12`, as for the plotter of the Arduino IDE), or several of them
separated by commas, semicolons, tabs or spaces. `!` means leads off, as in the sketch of SparkFun's AD8232 guide
(learn.sparkfun.com/tutorials/ad8232-heart-rate-monitor-hookup-guide).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.sources.options import MAX_MV, parse_number

__all__ = ["LEADS_OFF", "MAX_LINE", "Decoded", "LineParser"]

LEADS_OFF = b"!"
MAX_LINE = 128  # bytes; a longer line is no row of numbers (wrong baud rate: noise without line ends)
_BETWEEN = re.compile(r"[,;\t ]+")
# PulseSensor Playground, PROCESSING_VISUALIZER: S and the sample, B and beats a minute, Q and the interval.
_PULSE = re.compile(rb"[SBQ]\d{1,4}\Z")
_EARLY_LINES = 20  # only these can show a wrong kind of device; a garbled line later must not end the source
_WORDS = re.compile(rb"(?!.*\b(nan|inf)\b)[\x20-\x7e]*[A-Za-z]{3}[\x20-\x7e]*\Z", re.IGNORECASE)
_NOISE_LINES = 2  # unreadable lines in a row that count as samples; further ones are noise with random line ends
_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Decoded:
    """Samples completed by a piece of bytes.

    Attributes:
        mv: (n,) float64, mV; NaN = leads off or unreadable.
        counters: (n,) int64, 0 to 255, the device's counter of its samples; None if the format has none.
    """

    mv: NDArray[np.float64]
    counters: NDArray[np.int64] | None = None


class LineParser:
    """Takes bytes in any pieces; every whole line is one sample.

    The first line is dropped: its beginning may be missing, so that 0.12 reads as 12. A line of words (the banner of a
    restarted sketch) is counted, but no sample; neither is the third unreadable line in a row, nor those after it.

    Many attributes: four are those of every decoder.

    Args:
        mv: mV in one unit of the device's numbers.
        unit: that unit, or `adc`.
        zero: the number that means 0 mV.
        column: number in a row, by name or from 0; None = the only one.
        rails_mv: range of the device's ADC, mV; None if unknown.

    Attributes:
        bad: lines so far that were unreadable, not finite or beyond MAX_MV; each but words and noise became NaN.
        example: one of them.
        problem: reason why these lines can never be read; else empty.
        mv, unit, rails_mv: as given.
    """

    def __init__(
        self,
        mv: float = 1.0,
        *,
        unit: str = "mV",
        zero: float = 0.0,
        column: str | int | None = None,
        rails_mv: tuple[float, float] | None = None,
    ) -> None:
        self.bad = 0
        self.example = ""
        self.problem = ""
        self.rails_mv = rails_mv
        self.mv, self.unit, self._zero, self._column = mv, unit, zero, column
        self._rest = b""
        self._synchronised = False
        self._lines = self._pulses = self._bad_run = 0

    def feed(self, data: bytes) -> Decoded:
        """Return the samples, mV, of the lines that `data` completes; NaN = leads off, or unreadable and counted."""
        *lines, rest = (self._rest + data).split(b"\n")
        if len(rest) > MAX_LINE:  # too long for a row: keep only enough to know that
            rest = rest[: MAX_LINE + 1]
        self._rest = rest
        if lines and not self._synchronised:
            self._synchronised = True
            del lines[0]
        samples = [self._sample(line.strip()) for line in lines]
        return Decoded(np.array([mv for mv in samples if mv is not None], dtype=np.float64))

    def restart(self) -> None:
        """Drop the incomplete line after a break of the stream and synchronise again."""
        self._rest = b""
        self._synchronised = False

    def _sample(self, line: bytes) -> float | None:
        """Return the mV of a line; None = no sample."""
        self._lines += 1
        if line == LEADS_OFF:
            self._bad_run = 0
            return _NAN
        try:
            if len(line) > MAX_LINE:
                raise ValueError(line)
            mv = (parse_number(self._field(line.decode("ascii"))) - self._zero) * self.mv
            if abs(mv) <= MAX_MV:
                self._bad_run = 0
                return mv
        except ValueError:  # UnicodeDecodeError is one
            pass
        self.bad += 1
        self.example = f"'{line[:20].decode('ascii', 'backslashreplace')}'"
        self._pulses += _PULSE.match(line) is not None
        if self._pulses > 2 and self._lines <= _EARLY_LINES:
            self.problem = (
                f"lines such as {self.example} are a pulse sensor's: light through a finger (PPG) shows no QRS complex;"
                " connect an ECG amplifier, e.g. an AD8232"
            )
        if _WORDS.match(line):
            return None
        self._bad_run += 1
        return _NAN if self._bad_run <= _NOISE_LINES else None

    def _field(self, line: str) -> str:
        """Return the wanted number of a row; ValueError if there is none."""
        fields = [field.strip() for field in _BETWEEN.split(line) if field.strip()]
        fields = _joined(fields)
        if self._column is None:
            if len(fields) > 1 and self._lines <= _EARLY_LINES:
                self.problem = f"lines have {len(fields)} columns, e.g. '{line[:40]}'; choose one with --column 0"
            if len(fields) != 1:
                raise ValueError(line)
            return fields[0].rpartition(":")[2]
        for number, field in enumerate(fields):
            name, _, value = field.rpartition(":")
            if self._column in (number, name) or (str(self._column).isdecimal() and int(self._column) == number):
                return value
        raise ValueError(line)


def _joined(fields: list[str]) -> list[str]:
    """Join `ECG:` and `0.1` of `ECG: 0.1` into one field."""
    joined: list[str] = []
    for field in fields:
        if joined and joined[-1].endswith(":"):
            joined[-1] += field
        else:
            joined.append(field)
    return joined
