"""Encoders of an emulated device: samples to the bytes of each format, and the options to read them."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.errors import ConfigError
from monitor.sources.adc_counts import Adc, signed_adc, unsigned_adc
from monitor.sources.serial.formats import FORMATS
from monitor.sources.serial.packets import PacketParser

__all__ = ["NO_SCALE", "Encoder", "Scale", "make_encoder"]

Floats = NDArray[np.float64]


class Scale(NamedTuple):
    """Scale of an ADC: resolution (bits), reference (V), amplification before it; None = not given."""

    bits: int | None = None
    vref: float | None = None
    gain: float | None = None


NO_SCALE: Final = Scale()
# Scales used where none is given. Cyton: docs.openbci.com/Cyton/CytonDataFormat. Chords: an Uno R4 with an amplifier of
# 500. raw16: 0.001 mV a count.
USUAL: Final = {"cyton": Scale(24, 4.5, 24.0), "chords": Scale(14, 5.0, 500.0), "raw16": Scale(16, 3.2767, 100.0)}
_ADC_BITS: Final = {"raw16": 16, "chords": 16}  # width of a number in the packet


class Encoder:
    """Samples in, the bytes of one packet or line for each sample out. Pure.

    A packet has the ECG in its first channel and 0 mV in the others. A line is ended like Arduino's `println`.

    Args:
        parser: parser of a binary format, which also encodes; None = lines.
        adc: scale of the counts; None = lines of mV with 5 decimals.
        reading: options with which `ecg-monitor --source serial` reads these bytes.
    """

    def __init__(self, parser: PacketParser | None, adc: Adc | None, reading: tuple[str, ...]) -> None:
        self.reading = reading
        self._parser, self._adc = parser, adc

    def encode(self, mv: Floats, counter: int) -> list[bytes]:
        """Return the bytes of each sample, the first with this counter.

        NaN becomes leads off: `!` in lines, 0 in OpenView, else the upper rail.
        """
        if self._adc is None:
            return [b"!\r\n" if value != value else b"%.5f\r\n" % value for value in mv.tolist()]
        off = np.isnan(mv)
        counts = self._adc.counts(np.where(off, 0.0, mv))
        if self._parser is None:
            return [b"!\r\n" if no else b"%d\r\n" % n for no, n in zip(off.tolist(), counts.tolist(), strict=True)]
        rows = np.full((mv.size, self._parser.channels), self._adc.zero, dtype=np.int64)
        rows[:, 0] = np.where(off, 0 if self._adc.off == (0,) else self._adc.high, counts)
        data = self._parser.encode(rows, counter)
        size = len(data) // max(1, mv.size)
        return [data[at : at + size] for at in range(0, len(data), size or 1)]

    def readable(self, mv: Floats) -> Floats:
        """Return the samples as a monitor can read them, mV: rounded to the device's step, clipped at its rails.

        A sample at a rail may be read as NaN.
        """
        if self._adc is None:
            return np.round(mv, 5)
        return np.where(np.isnan(mv), np.nan, self._adc.mv(self._adc.counts(np.nan_to_num(mv))))


def make_encoder(name: str, scale: Scale = NO_SCALE) -> Encoder:
    """Make the encoder of a format.

    Args:
        name: one of FORMATS.
        scale: scale of the ADC; USUAL replaces missing values. `lines` writes mV if nothing is given.

    Raises:
        ConfigError: unknown format, or a scale that the format does not have.
    """
    if name not in FORMATS:
        raise ConfigError(f"--format {name}: unknown; choose one of {', '.join(FORMATS)}")
    form = FORMATS[name]
    given = {"--adc-bits": scale.bits, "--vref": scale.vref, "--gain": scale.gain}
    if name not in USUAL and form.adc is not None and any(value is not None for value in given.values()):
        raise ConfigError(f"--format {name} has a fixed scale; leave out --adc-bits, --vref and --gain")
    adc = form.adc
    reading: tuple[str, ...] = ()
    if name in USUAL or any(value is not None for value in given.values()):
        usual = USUAL.get(name, NO_SCALE)
        adc, reading = _adc(
            name,
            usual.bits if scale.bits is None else scale.bits,
            usual.vref if scale.vref is None else scale.vref,
            usual.gain if scale.gain is None else scale.gain,
        )
    if form.parser is not None and adc is None:
        raise ConfigError(f"--format {name}: give its scale with --adc-bits, --vref and --gain")
    if name == "cyton" and scale == NO_SCALE:
        reading = ()  # the default of the monitor
    return Encoder(None if form.parser is None else form.parser(0), adc, reading)


def _adc(name: str, bits: int | None, vref: float | None, gain: float | None) -> tuple[Adc, tuple[str, ...]]:
    if bits is None or vref is None or gain is None:
        raise ConfigError(f"--format {name}: an ADC needs all of --adc-bits, --vref and --gain")
    most = _ADC_BITS.get(name, 24)
    if not (1 <= bits <= most and 0 < vref < np.inf and 0 < gain < np.inf):
        raise ConfigError(
            f"--format {name}: {bits} bits, {vref:g} V, gain {gain:g}; give 1 to {most} bits, the others above 0"
        )
    make = signed_adc if FORMATS[name].signed else unsigned_adc
    reading = ("--adc-bits", f"{bits}", "--vref", f"{vref:g}", "--gain", f"{gain:g}")
    return make(bits, vref, gain), reading
