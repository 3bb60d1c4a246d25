"""Formats of serial ECG devices: scale of their counts, and decoders from bytes to mV. Pure.

A decoder takes bytes in any pieces. Layouts and their references are in `packets` and `line_parser`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources.adc_counts import EXAMPLE_SCALE, Adc, given_adc, signed_adc
from monitor.sources.options import MAX_MV, SourceOptions
from monitor.sources.serial.cyton import Cyton, CytonDaisy
from monitor.sources.serial.decoded import Decoded
from monitor.sources.serial.line_layout import LineLayout
from monitor.sources.serial.line_parser import LineParser
from monitor.sources.serial.openview import ADS1292R, HEALTHYPI4, HEALTHYPI5, MAX30003, OpenView
from monitor.sources.serial.packets import Chords, Olimex, PacketParser, Raw16
from monitor.sources.units import mv_per

__all__ = ["BOARDS", "FORMATS", "Board", "Decoder", "PacketDecoder", "SerialFormat", "make_decoder"]

OFF_SAMPLES: Final = 8  # samples in a row at a leads-off count that mean leads off: no wave stays there as long


@dataclass(frozen=True, slots=True)
class Board:
    """A board with the Chords firmware; BOARDS holds it by its answer to WHORU."""

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
        description: one line for the user.
        parser: makes the parser for a number of channels, 0 = the usual number; None = lines.
        adc: scale of the format; None = the user must give it.
        signed: counts are two's complement.
        counted: packets carry an 8-bit counter.
        baud: usual serial speed, bits a second.
        scale: example of the scale that the user must give.
    """

    description: str
    parser: Callable[[int], PacketParser] | None
    adc: Adc | None
    signed: bool
    counted: bool
    baud: int
    scale: str = EXAMPLE_SCALE


# MAX30001 and MAX30003 (data sheets): full scale 1000 mV / gain 20.
_MAX3000X_MV: Final = 1000.0 / 20

FORMATS: Final[dict[str, SerialFormat]] = {
    "lines": SerialFormat(
        "lines of text: numbers, names with numbers or JSON, ! = leads off", None, None, False, False, 115_200
    ),
    # The sketch sends the 24-bit count >> 6, within 16 bits; reference 2.42 V, gain 6 (protocentral_ads1292r.cpp).
    "openview": SerialFormat(
        "ProtoCentral packets (ADS1292R)",
        lambda _: OpenView(ADS1292R),
        Adc(64 * 2420.0 / ((1 << 23) - 1) / 6, 0, -(1 << 15), (1 << 15) - 1, (0,)),
        True,
        False,
        57_600,
    ),
    # The sketch puts the highest 16 bits of the 18-bit count on top of 32.
    "openview-max30003": SerialFormat(
        "ProtoCentral packets (MAX30003)",
        lambda _: OpenView(MAX30003),
        Adc(_MAX3000X_MV / (1 << 31), 0, -(1 << 31), (1 << 31) - 1, (0,)),
        True,
        False,
        57_600,
    ),
    # The firmware sends the 24-bit count >> 8; Protocentral_ADS1292r.cpp sets channel 2, the ECG, to 0b01100000, which
    # is gain 12 by the data sheet (its comment says 6).
    "healthypi4": SerialFormat(
        "HealthyPi v3 and v4 packets (ADS1292R)",
        lambda _: OpenView(HEALTHYPI4),
        Adc(256 * 2420.0 / ((1 << 23) - 1) / 12, 0, -(1 << 15), (1 << 15) - 1, (0,)),
        True,
        False,
        115_200,
    ),
    # The driver leaves the 18-bit count in the upper bits of 24.
    "healthypi5": SerialFormat(
        "HealthyPi 5 packets (MAX30001)",
        lambda _: OpenView(HEALTHYPI5),
        Adc(_MAX3000X_MV / (1 << 23), 0, -(1 << 23), (1 << 23) - 1, (0,)),
        True,
        False,
        115_200,
    ),
    "olimex": SerialFormat(
        "Olimex EKG-EMG shield packets",
        lambda _: Olimex(),
        None,
        False,
        True,
        57_600,
        "--adc-bits 10 --vref 5 --gain 2848",  # gain of the shield with its trimmer in the usual place
    ),
    "chords": SerialFormat(
        "Upside Down Labs packets", lambda channels: Chords(channels or 6), None, False, True, 230_400
    ),
    # docs.openbci.com/Cyton/CytonDataFormat: 4.5 V / gain / (2^23 - 1), gain 24 unless set otherwise.
    "cyton": SerialFormat("OpenBCI Cyton packets", lambda _: Cyton(), signed_adc(24, 4.5, 24.0), True, True, 115_200),
    "cyton-daisy": SerialFormat(
        "OpenBCI Cyton and Daisy packets, two boards in turn",
        lambda _: CytonDaisy(),
        signed_adc(24, 4.5, 24.0),
        True,
        True,
        115_200,
    ),
    "raw16": SerialFormat("little-endian int16, nothing between", lambda n: Raw16(n or 1), None, True, False, 115_200),
}


class PacketDecoder:
    """One channel of a binary format, or two, by their numbers from 0, in mV.

    OFF_SAMPLES or more in a row of a leads-off count (a rail, or 0 in OpenView) are NaN; a clipped QRS lasts less. Such
    counts at the end are held until the next ones decide: a rail of 187 mV is never given as signal. Each of two
    channels is judged by itself, and held with the other.

    Args:
        parser: of the format.
        adc: scale of all its channels.
        channels: those to read.

    Raises:
        ValueError: see `PacketParser.select`.
    """

    problem = ""
    unit = "adc"

    def __init__(self, parser: PacketParser, adc: Adc, channels: Sequence[int] = (0,)) -> None:
        parser.select(*channels)
        self.parser = parser
        self.mv = adc.mv_per_count
        self.rails_mv: tuple[float, float] | None = adc.rails_mv if 0 not in adc.off or adc.low == 0 else None
        self.bad = 0
        self.example = "bytes between packets"
        self.counter_values = parser.counter_values
        self._adc, self._channels = adc, list(channels)
        self._is_off = [False] * len(channels)  # the last sample given was NaN
        # Counts, (n, channels), and counters, (n,).
        self._held = np.empty((0, len(channels)), dtype=np.int64), np.empty(0, dtype=np.int64)

    def feed(self, data: bytes) -> Decoded:
        """Decode the next bytes, any number of them."""
        parsed = self.parser.feed(data)
        self.bad += parsed.skipped
        counters = np.zeros(len(parsed.samples), dtype=np.int64) if parsed.counters is None else parsed.counters
        counts = np.concatenate((self._held[0], parsed.samples[:, self._channels]))
        counters = np.concatenate((self._held[1], counters))
        is_off = np.isin(counts, self._adc.off)
        mv = self._adc.mv(counts)
        end = len(counts)
        for lead, was_off in enumerate(self._is_off):
            for first, last in _stretches(is_off[:, lead]):
                if last - first >= OFF_SAMPLES or (first == 0 and was_off):
                    mv[first:last, lead] = np.nan
                elif last == len(counts):
                    end = min(end, first)
        self._held = counts[end:], counters[end:]
        if end:
            self._is_off = (is_off[end - 1] & np.isnan(mv[end - 1])).tolist()
        mv = mv[:end]
        mv[~(np.abs(mv) <= MAX_MV)] = np.nan
        mv = mv[:, 0] if len(self._channels) == 1 else mv
        return Decoded(mv, None if parsed.counters is None else counters[:end])

    def restart(self) -> None:
        """Drop the incomplete packet and the held counts after a break of the stream."""
        self.bad += self.parser.restart()
        self._is_off = [False] * len(self._channels)
        self._held = self._held[0][:0], self._held[1][:0]


Decoder = LineParser | PacketDecoder  # bytes in, in any pieces, and samples out; see the attributes of LineParser


def _stretches(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Find each stretch of True: (first, end)."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def make_decoder(
    name: str,
    options: SourceOptions,
    source: str,
    board: Board | None = None,
    channels: int = 0,
    layout: LineLayout | None = None,
) -> Decoder:
    """Make the decoder of a format, with the scale given by the user, the board or the format.

    Args:
        name: one of FORMATS.
        options: `column` (or `channel`), `second`, `unit`, `mv_per_unit`, `adc_bits`, `vref`, `gain`.
        source: name of the source, for errors.
        board: the Chords board that answered, if any.
        channels: channels of a packet, if recognised; else 0.
        layout: column of lines, if recognised.

    Raises:
        SourceError: unknown format, no scale, no such channel, or options that contradict each other.
    """
    if name not in FORMATS:
        raise SourceError(f"{source}: unknown format {name!r}; choose one of auto, {', '.join(FORMATS)}")
    form = FORMATS[name]
    if form.parser is None:
        wanted, second = options.column_or_channel, options.second
        adc = _given_adc(form, options, source, board)
        if adc is None:
            mv = _unit(options, source)
            return LineParser(mv, unit=options.unit, column=wanted, second=second, layout=layout)
        signed = given_adc(options, source, signed=True)
        return LineParser(unit="adc", adc=adc, signed=signed, column=wanted, second=second, layout=layout)
    scale = _given_adc(form, options, source, board) or form.adc
    if scale is None:
        raise SourceError(
            f"{source}: {name} packets hold ADC counts; give the scale, e.g. {form.scale},"
            " or --unit adc --mv-per-unit 0.004"
        )
    parser = form.parser(board.channels if board else channels)
    numbers = []
    for each in options.wanted:
        number = 0 if each is None else int(each) if str(each).isdecimal() else -1
        if not 0 <= number < parser.channels:
            raise SourceError(f"{source}: no channel {each!r}; {name} has 0 to {parser.channels - 1}")
        numbers.append(number)
    try:
        return PacketDecoder(parser, scale, numbers)
    except ValueError as error:
        raise SourceError(f"{source}: {error}") from None


def _unit(options: SourceOptions, source: str) -> float:
    return mv_per(options.unit or "mV", options.mv_per_unit, source)


def _given_adc(form: SerialFormat, options: SourceOptions, source: str, board: Board | None) -> Adc | None:
    """Return the scale given by the user or the board; None = that of the format, or none."""
    given = (options.adc_bits, options.vref, options.gain)
    if options.unit == "adc":
        if any(given):
            raise SourceError(f"{source}: give --mv-per-unit, or --adc-bits --vref --gain, not both")
        mv = _unit(options, source)
        if form.adc is not None:
            return replace(form.adc, mv_per_count=mv)
        if form.parser is None:
            return Adc(mv, 0, -(1 << 31), 1 << 31)
        return replace(signed_adc(16, 1.0, 1.0), mv_per_count=mv) if form.signed else Adc(mv, 0, 0, (1 << 16) - 1, (0,))
    if not any(given) and board is None:
        return None
    if form.adc is not None and form.adc.off == (0,):
        raise SourceError(f"{source}: this format has a fixed scale; change it by --unit adc --mv-per-unit")
    usual: dict[str, float] = {}
    if form.adc is not None:  # an ADS1299 with other settings
        usual = {"--adc-bits": 24, "--vref": 4.5, "--gain": 24.0}
    elif board is not None:
        usual = {"--adc-bits": board.adc_bits, "--vref": board.vref}
    return given_adc(options, source, signed=form.signed, usual=usual)
