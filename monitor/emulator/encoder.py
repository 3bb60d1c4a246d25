"""Encoders of an emulated device: samples to the bytes of each format, and the options to read them."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.errors import ConfigError
from monitor.sources.adc_counts import Adc, signed_adc, unsigned_adc
from monitor.sources.serial.cyton import CytonDaisy
from monitor.sources.serial.formats import FORMATS
from monitor.sources.serial.packets import PacketParser

__all__ = ["FORMS", "LINES", "NO_SCALE", "Encoder", "Scale", "base_format", "make_encoder"]

Floats = NDArray[np.float64]


class Scale(NamedTuple):
    """Scale of an ADC: resolution (bits), reference (V), amplification before it; None = not given."""

    bits: int | None = None
    vref: float | None = None
    gain: float | None = None


NO_SCALE: Final = Scale()
# Scales used where none is given. Cyton: docs.openbci.com/Cyton/CytonDataFormat. Chords: an Uno R4 with an amplifier of
# 500. raw16: 0.001 mV a count.
USUAL: Final = {
    "cyton": Scale(24, 4.5, 24.0),
    "cyton-daisy": Scale(24, 4.5, 24.0),
    "chords": Scale(14, 5.0, 500.0),
    "olimex": Scale(10, 5.0, 1424.0),
    "raw16": Scale(16, 3.2767, 100.0),
}
_ADC_BITS: Final = {"raw16": 16, "chords": 16, "olimex": 16}  # width of a number in the packet
_DAISY_OFFSET: Final = 100_000  # counts: the offset of the second board's electrodes


class LineStyle(NamedTuple):
    """A way to write lines: `text` with {v} for the number and {n} for the sample's index, and the leads-off line."""

    text: str
    off: str = "!"
    end: str = "\r\n"
    uv: bool = False  # numbers are whole uV where no scale is given


# What sketches write; `ecg-monitor` reads each as format `lines`.
LINES: Final[dict[str, LineStyle]] = {
    "lines": LineStyle("{v}"),
    "lines-cr": LineStyle("{v}", end="\r"),
    "lines-lfcr": LineStyle("{v}", end="\n\r"),
    "lines-name": LineStyle("ECG:{v}"),
    "lines-equals": LineStyle("ECG={v}", "! LO+"),
    "lines-prefix": LineStyle(">{v};", "leads off"),
    "lines-nmea": LineStyle("$ECG,{v}*5A", "$ECG,!*5A"),
    "lines-time": LineStyle("{n},{v}", "!,!"),
    "lines-columns": LineStyle("{n}\t{v}\t72\t0", "{n}\t!\t72\t0"),
    "lines-flags": LineStyle("LO+:0,LO-:0,ECG:{v}", "LO+:1,LO-:0,ECG:0"),
    "lines-json": LineStyle('{{"t":{n},"ecg":{v},"resp":0.5}}', '{{"t":{n},"ecg":null,"resp":0.5}}'),
    "lines-uv": LineStyle("{v} uV", uv=True),
}
FORMS: Final = (*LINES, *(name for name in FORMATS if name not in LINES))


def base_format(form: str) -> str:
    """The format by which the monitor reads an emulated form: `lines` for each of LINES."""
    return "lines" if form in LINES else form


class Encoder:
    """Samples in, the bytes of one packet or line for each sample out. Pure.

    A packet has the ECG in its first channel and 0 mV in the others. A line is ended like Arduino's `println`.

    Args:
        parser: parser of a binary format, which also encodes; None = lines.
        adc: scale of the counts; None = lines of mV with 5 decimals.
        style: how lines are written.
        reading: options with which `ecg-monitor --source serial` reads these bytes.
    """

    def __init__(
        self, parser: PacketParser | None, adc: Adc | None, reading: tuple[str, ...], style: LineStyle = LINES["lines"]
    ) -> None:
        self.reading = reading
        self._parser, self._adc, self._style = parser, adc, style

    def encode(self, mv: Floats, counter: int) -> list[bytes]:
        """Return the bytes of each sample, the first with this counter.

        NaN becomes leads off: a line such as `!`, 0 in OpenView, else the upper rail.
        """
        if self._adc is None:
            numbers = np.round(mv * 1000) if self._style.uv else mv
            form = "%.0f" if self._style.uv else "%.5f"
            texts = ["" if value != value else form % value for value in numbers.tolist()]
            return [self._line(text, counter + i) for i, text in enumerate(texts)]
        off = np.isnan(mv)
        counts = self._adc.counts(np.where(off, 0.0, mv))
        if self._parser is None:
            pairs = zip(off.tolist(), counts.tolist(), strict=True)
            return [self._line("" if no else f"{n}", counter + i) for i, (no, n) in enumerate(pairs)]
        rows = np.full((mv.size, self._parser.channels), self._adc.zero, dtype=np.int64)
        rows[:, 0] = np.where(off, 0 if self._adc.off == (0,) else self._adc.high, counts)
        if isinstance(self._parser, CytonDaisy):
            rows[:, 8:] += _DAISY_OFFSET
        data = self._parser.encode(rows, counter)
        size = len(data) // max(1, mv.size)
        return [data[at : at + size] for at in range(0, len(data), size or 1)]

    def _line(self, number: str, index: int) -> bytes:
        """One line; an empty number = leads off."""
        style = self._style
        text = (style.text if number else style.off).format(v=number, n=4 * (index % 256))
        return (text + style.end).encode()

    def readable(self, mv: Floats) -> Floats:
        """Return the samples as a monitor can read them, mV: rounded to the device's step, clipped at its rails.

        A sample at a rail may be read as NaN.
        """
        if self._adc is None:
            return np.round(mv, 3 if self._style.uv else 5)
        return np.where(np.isnan(mv), np.nan, self._adc.mv(self._adc.counts(np.nan_to_num(mv))))


def make_encoder(name: str, scale: Scale = NO_SCALE) -> Encoder:
    """Make the encoder of a format.

    Args:
        name: one of FORMS.
        scale: scale of the ADC; USUAL replaces missing values. `lines` writes mV if nothing is given.

    Raises:
        ConfigError: unknown format, or a scale that the format does not have.
    """
    if name not in FORMS:
        raise ConfigError(f"--format {name}: unknown; choose one of {', '.join(FORMS)}")
    form = FORMATS[base_format(name)]
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
    if name in ("cyton", "cyton-daisy") and scale == NO_SCALE:
        reading = ()  # the default of the monitor
    if form.parser is None:
        return Encoder(None, adc, reading, LINES[name])
    return Encoder(form.parser(0), adc, reading)


def _adc(name: str, bits: int | None, vref: float | None, gain: float | None) -> tuple[Adc, tuple[str, ...]]:
    if bits is None or vref is None or gain is None:
        raise ConfigError(f"--format {name}: an ADC needs all of --adc-bits, --vref and --gain")
    most = _ADC_BITS.get(name, 24)
    if not (1 <= bits <= most and 0 < vref < np.inf and 0 < gain < np.inf):
        raise ConfigError(
            f"--format {name}: {bits} bits, {vref:g} V, gain {gain:g}; give 1 to {most} bits, the others above 0"
        )
    make = signed_adc if FORMATS[base_format(name)].signed else unsigned_adc
    reading = ("--adc-bits", f"{bits}", "--vref", f"{vref:g}", "--gain", f"{gain:g}")
    return make(bits, vref, gain), reading
