"""The formats in which serial ECG devices speak: how their counts become mV, and which bytes they are.

A decoder takes bytes in pieces, however cut, and gives mV; it knows no port, no thread and no time. Layouts and their
sources are in `packets` and `line_parser`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources.options import MAX_MV, SourceOptions, mv_per
from monitor.sources.serial.decoded import Decoded, Decoder
from monitor.sources.serial.line_parser import LineParser
from monitor.sources.serial.packets import ADS1292R, MAX30003, Chords, Cyton, OpenView, PacketParser, Raw16

__all__ = ["BOARDS", "FORMATS", "Adc", "Board", "PacketDecoder", "SerialFormat", "make_decoder"]

EXAMPLE_SCALE: Final = "--adc-bits 10 --vref 5 --gain 1100"
OFF_SAMPLES: Final = 8  # so many samples of a count that a lead which is off gives: no wave stays there so long


@dataclass(frozen=True, slots=True)
class Adc:
    """How counts become mV: (count - zero) * mv_per_count.

    Attributes:
        mv_per_count: mV in one count at the electrodes (the amplifier's gain taken off).
        zero: count of 0 mV.
        low, high: what it can give.
        off: counts that, when they last, mean a lead that is off.
    """

    mv_per_count: float
    zero: int
    low: int
    high: int
    off: tuple[int, ...] = ()

    @property
    def rails_mv(self) -> tuple[float, float]:
        """Lowest and highest value, mV."""
        ends = sorted((end - self.zero) * self.mv_per_count for end in (self.low, self.high))
        return ends[0], ends[1]

    def mv(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """(n,) float64, mV."""
        return np.asarray((counts - self.zero) * self.mv_per_count, dtype=np.float64)

    def counts(self, mv: NDArray[np.float64]) -> NDArray[np.int64]:
        """(n,) int64: what this ADC gives for finite `mv`."""
        counts = np.clip(np.rint(mv / self.mv_per_count) + self.zero, self.low, self.high)
        return np.asarray(counts, dtype=np.int64)


def unsigned_adc(bits: int, vref: float, gain: float) -> Adc:
    """ADC of a microcontroller behind an amplifier that centres its output: 0 to 2**bits - 1 for 0 to `vref` V."""
    top = (1 << bits) - 1
    return Adc(1000.0 * vref / (1 << bits) / gain, 1 << bits - 1, 0, top, (0, top))


def signed_adc(bits: int, vref: float, gain: float, *off: int) -> Adc:
    """Differential ADC: two's complement, +-`vref` V."""
    half = 1 << bits - 1
    return Adc(1000.0 * vref / (half - 1) / gain, 0, -half, half - 1, off or (-half, half - 1))


@dataclass(frozen=True, slots=True)
class Board:
    """A board that speaks Chords, as it names itself when asked WHORU."""

    channels: int
    adc_bits: int
    vref: float


# github.com/CIumsy/Chords-Arduino-Firmware, README.md and the sketches there.
BOARDS: Final[dict[str, Board]] = {
    "UNO-R4": Board(6, 14, 5.0),
    "UNO-R3": Board(6, 10, 5.0),
    "GENUINO-UNO": Board(6, 10, 5.0),
    "UNO-CLONE": Board(6, 10, 5.0),
    "NANO-CLASSIC": Board(8, 10, 5.0),
    "NANO-CLONE": Board(8, 10, 5.0),
    "MEGA-2560-R3": Board(16, 10, 5.0),
    "MEGA-2560-CLONE": Board(16, 10, 5.0),
    "GIGA-R1": Board(6, 16, 3.3),
    "RPI-PICO-RP2040": Board(3, 12, 3.3),
    "NPG-LITE": Board(3, 12, 2.5),
    "STM32F4-BLACK-PILL": Board(8, 12, 3.3),
    "STM32G4-CORE-BOARD": Board(16, 12, 3.3),
    "ESP32-S3": Board(16, 12, 3.3),
}


@dataclass(frozen=True, slots=True)
class SerialFormat:
    """One format.

    Attributes:
        what: one line for a person.
        parser: makes the parser; the argument is the number of channels, 0 = the format's own.
        adc: its own scale; None = the person must tell it.
        signed: counts are two's complement.
        counted: packets carry an 8-bit counter.
        baud: usual serial speed, bits a second.
    """

    what: str
    parser: Callable[[int], PacketParser] | None
    adc: Adc | None
    signed: bool
    counted: bool
    baud: int


FORMATS: Final[dict[str, SerialFormat]] = {
    "lines": SerialFormat("one number or row of numbers a line, ! = leads off", None, None, False, False, 115_200),
    # The sketch sends the 24-bit count >> 6, within 16 bits; reference 2.42 V, gain 6 (protocentral_ads1292r.cpp).
    "openview": SerialFormat(
        "ProtoCentral packets (ADS1292R)",
        lambda _: OpenView(ADS1292R),
        Adc(64 * 2420.0 / ((1 << 23) - 1) / 6, 0, -(1 << 15), (1 << 15) - 1, (0,)),
        True,
        False,
        57_600,
    ),
    # The sketch puts the highest 16 bits of the 18-bit count on top of 32; full scale 1000 mV / gain 20 (data sheet).
    "openview-max30003": SerialFormat(
        "ProtoCentral packets (MAX30003)",
        lambda _: OpenView(MAX30003),
        Adc(1000.0 / 20 / (1 << 31), 0, -(1 << 31), (1 << 31) - 1, (0,)),
        True,
        False,
        57_600,
    ),
    "chords": SerialFormat(
        "Upside Down Labs packets",
        lambda channels: Chords(channels or 6),
        None,
        False,
        True,
        230_400,
    ),
    # docs.openbci.com/Cyton/CytonDataFormat: 4.5 V / gain / (2^23 - 1), gain 24 unless set otherwise.
    "cyton": SerialFormat("OpenBCI Cyton packets", lambda _: Cyton(), signed_adc(24, 4.5, 24.0), True, True, 115_200),
    "raw16": SerialFormat("little-endian int16, nothing between", lambda n: Raw16(n or 1), None, True, False, 115_200),
}


class PacketDecoder:
    """One channel of a binary format, in mV.

    OFF_SAMPLES or more in a row of a count that a lead which is off gives (a rail, or 0 in OpenView) are NaN; a clipped
    QRS lasts less. Such counts at the end are held until what follows tells: no rail of 187 mV is taken for signal.

    Args:
        parser: of the format.
        adc: its scale.
        channel: which of the parser's channels, from 0.
    """

    problem = ""

    def __init__(self, parser: PacketParser, adc: Adc, channel: int = 0) -> None:
        self.parser = parser
        self.rails_mv: tuple[float, float] | None = adc.rails_mv if 0 not in adc.off or adc.low == 0 else None
        self.bad = 0
        self.example = "bytes between packets"
        self._adc, self._channel = adc, channel
        self._is_off = False  # the last samples given were NaN
        self._held = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)  # counts, counters

    def feed(self, data: bytes) -> Decoded:
        """Take the next bytes, any number of them."""
        parsed = self.parser.feed(data)
        self.bad += parsed.skipped
        counters = np.zeros(len(parsed.samples), dtype=np.int64) if parsed.counters is None else parsed.counters
        counts = np.concatenate((self._held[0], parsed.samples[:, self._channel]))
        counters = np.concatenate((self._held[1], counters))
        is_off = np.isin(counts, self._adc.off)
        mv = self._adc.mv(counts)
        end = counts.size
        for first, last in _stretches(is_off):
            if last - first >= OFF_SAMPLES or (first == 0 and self._is_off):
                mv[first:last] = np.nan
            elif last == counts.size:
                end = first
        self._held = counts[end:], counters[end:]
        if end:
            self._is_off = bool(is_off[end - 1] and np.isnan(mv[end - 1]))
        mv = mv[:end]
        mv[~(np.abs(mv) <= MAX_MV)] = np.nan
        return Decoded(mv, None if parsed.counters is None else counters[:end])

    def restart(self) -> None:
        """The stream was cut: forget the counter and the piece of a packet that came."""
        self.bad += self.parser.restart()
        self._is_off = False
        self._held = self._held[0][:0], self._held[1][:0]


def _stretches(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(first, end) of each stretch of True."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def make_decoder(
    name: str, options: SourceOptions, source: str, board: Board | None = None, channels: int = 0
) -> Decoder:
    """Decoder of a format, with the scale that the person, the board or the format gives.

    Args:
        name: one of FORMATS.
        options: `column` (or `channel`), `unit`, `mv_per_unit`, `adc_bits`, `vref`, `gain`.
        source: its name, for errors.
        board: what a Chords board said it is.
        channels: of a packet, where it was seen; 0 = not.

    Raises:
        SourceError: unknown format, no scale, no such channel, or options that contradict each other.
    """
    if name not in FORMATS:
        raise SourceError(f"{source}: unknown format {name!r}; choose one of auto, {', '.join(FORMATS)}")
    form = FORMATS[name]
    wanted = options.column if options.column is not None else options.channel
    if form.parser is None:
        adc = _told_adc(form, options, source, board)
        mv, zero, rails = (adc.mv_per_count, adc.zero, adc.rails_mv) if adc else (_unit(options, source), 0, None)
        return LineParser(mv, zero=zero, column=wanted, rails_mv=rails)
    told = _told_adc(form, options, source, board) or form.adc
    if told is None:
        raise SourceError(
            f"{source}: {name} packets hold ADC counts; tell the scale, e.g. {EXAMPLE_SCALE},"
            " or --unit adc --mv-per-unit 0.004"
        )
    parser = form.parser(board.channels if board else channels)
    channel = 0 if wanted is None else int(wanted) if str(wanted).isdecimal() else -1
    if not 0 <= channel < parser.channels:
        raise SourceError(f"{source}: no channel {wanted!r}; {name} has 0 to {parser.channels - 1}")
    return PacketDecoder(parser, told, channel)


def _unit(options: SourceOptions, source: str) -> float:
    return mv_per(options.unit or "mV", options.mv_per_unit, source)


def _told_adc(form: SerialFormat, options: SourceOptions, source: str, board: Board | None) -> Adc | None:
    """The scale that a person or the board told; None = the format's own, or none."""
    told = {"--adc-bits": options.adc_bits, "--vref": options.vref, "--gain": options.gain}
    if options.unit == "adc":
        if any(told.values()):
            raise SourceError(f"{source}: give --mv-per-unit, or --adc-bits --vref --gain, not both")
        mv = _unit(options, source)
        if form.adc is not None:
            return replace(form.adc, mv_per_count=mv)
        if form.parser is None:
            return Adc(mv, 0, -(1 << 31), 1 << 31)
        return replace(signed_adc(16, 1.0, 1.0), mv_per_count=mv) if form.signed else Adc(mv, 0, 0, (1 << 16) - 1, (0,))
    if not any(told.values()) and board is None:
        return None
    if form.adc is not None and form.adc.off == (0,):
        raise SourceError(f"{source}: this format has a scale of its own; change it by --unit adc --mv-per-unit")
    if form.adc is not None:  # an ADS1299 that was set otherwise
        usual = {"--adc-bits": 24, "--vref": 4.5, "--gain": 24.0}
    else:
        usual = {"--adc-bits": board.adc_bits, "--vref": board.vref} if board else {}
    scale = {flag: value or usual.get(flag) for flag, value in told.items()}
    if missing := [flag for flag, value in scale.items() if not value]:
        raise SourceError(f"{source}: the ADC's scale needs {', '.join(missing)} too, e.g. {EXAMPLE_SCALE}")
    bits, vref, gain = int(scale["--adc-bits"] or 0), float(scale["--vref"] or 0), float(scale["--gain"] or 0)
    if not (1 <= bits <= 24 and 0 < vref < math.inf and 0 < gain < math.inf):
        raise SourceError(f"{source}: {bits} bits, {vref:g} V, gain {gain:g}; give 1 to 24 bits, the others above 0")
    return signed_adc(bits, vref, gain) if form.signed else unsigned_adc(bits, vref, gain)
