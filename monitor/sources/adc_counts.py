"""Counts of an ADC: recognition among numbers without a unit, and their scale in mV. Pure; for every source."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources.options import SourceOptions

__all__ = ["EXAMPLE_SCALE", "Adc", "given_adc", "looks_like_counts", "signed_adc", "unfit", "unsigned_adc"]

EXAMPLE_SCALE: Final = "--adc-bits 10 --vref 5 --gain 1100"
_EXAMPLES: Final = {  # largest count and the usual board with it, behind an AD8232 (gain 1100, data sheet)
    1023: "--adc-bits 10 --vref 5 --gain 1100",  # Arduino Uno
    4095: "--adc-bits 12 --vref 3.3 --gain 1100",  # ESP32, STM32
    16_383: "--adc-bits 14 --vref 5 --gain 1100",  # UNO R4
    65_535: "--adc-bits 16 --vref 3.3 --gain 1100",  # Pico: read_u16
    262_143: "--adc-bits 18 --vref 1 --gain 20",  # MAX30003 with its usual gain
    1 << 62: "--adc-bits 24 --vref 2.42 --gain 6",  # ADS1292R with its usual gain
}
_SIGNED_EXAMPLES: Final = {  # ADS1115; MAX30003; ADS1292R
    32_767: "--adc-bits 16 --vref 4.096 --gain 1100",
    131_071: "--adc-bits 18 --vref 1 --gain 20",
    1 << 62: "--adc-bits 24 --vref 2.42 --gain 6",
}
_WHOLE: Final = 0.95  # share of whole numbers: some may be garbled
_LARGE: Final = 10.0  # an ECG of 10 mV or more with not one fraction of a mV is none in mV
_DISTINCT: Final = 3  # fewer different numbers are a flag or a flat line
_BITS_MAX: Final = 32


@dataclass(frozen=True, slots=True)
class Adc:
    """Scale of an ADC: mV = (count - zero) * mv_per_count.

    Attributes:
        mv_per_count: mV in one count at the electrodes, before the amplifier.
        zero: count of 0 mV.
        low, high: smallest and largest count.
        off: counts that mean leads off when they last.
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
        """Convert counts to mV, (n,) float64."""
        return np.asarray((counts - self.zero) * self.mv_per_count, dtype=np.float64)

    def counts(self, mv: NDArray[np.float64]) -> NDArray[np.int64]:
        """Convert finite `mv` to the counts of this ADC, (n,) int64."""
        counts = np.clip(np.rint(mv / self.mv_per_count) + self.zero, self.low, self.high)
        return np.asarray(counts, dtype=np.int64)


def unsigned_adc(bits: int, vref: float, gain: float) -> Adc:
    """Return the ADC of a microcontroller after a centring amplifier: 0 to 2**bits - 1 for 0 to `vref` V."""
    top = (1 << bits) - 1
    return Adc(1000.0 * vref / (1 << bits) / gain, 1 << bits - 1, 0, top, (0, top))


def signed_adc(bits: int, vref: float, gain: float, *off: int) -> Adc:
    """Return a differential ADC: two's complement, +-`vref` V."""
    half = 1 << bits - 1
    return Adc(1000.0 * vref / max(1, half - 1) / gain, 0, -half, half - 1, off or (-half, half - 1))


def looks_like_counts(values: Sequence[float] | NDArray[np.float64]) -> str | None:
    """Whether numbers without a stated unit are counts (or whole uV), no mV: the reason with the remedy, else None.

    To be asked only where neither the source nor the user states a unit or a scale.

    Args:
        values: the first numbers of a channel, a second or more; NaN = unreadable.

    Returns:
        Part of a sentence that follows the source's name.

    >>> looks_like_counts([511.0, 512.0, 640.0, 505.0, 509.0])[:60]
    'its numbers, e.g. 509, look like ADC counts; give their scal'
    >>> looks_like_counts([-0.12, 0.05, 1.1, 0.0, 0.02]) is None
    True
    """
    numbers = np.asarray(values, dtype=np.float64)
    numbers = numbers[np.isfinite(numbers)]
    whole = numbers[numbers == np.round(numbers)]
    if not numbers.size or whole.size < _WHOLE * numbers.size or np.unique(whole).size <= _DISTINCT:
        return None
    # Not the extremes: a garbled line has another number of digits.
    low, high = np.quantile(whole, (0.02, 0.98), method="nearest").tolist()
    if max(-low, high) < _LARGE:
        return None
    examples, largest = (_SIGNED_EXAMPLES, max(-low, high)) if low < 0 else (_EXAMPLES, high)
    scale = next((text for top, text in examples.items() if largest <= top), None)
    if scale is None:  # few numbers, one of them garbled: 1e99
        return None
    return (
        f"its numbers, e.g. {whole[-1]:.0f}, look like ADC counts; give their scale, e.g. {scale},"
        " or --unit uV or --unit mV if they are that"
    )


def unfit(adc: Adc, values: Sequence[float] | NDArray[np.float64], bits: int | None) -> str | None:
    """Whether numbers do not fit a given ADC: the reason with the remedy, else None.

    Args:
        adc: the given scale.
        values: the first counts of a channel; NaN = unreadable.
        bits: `--adc-bits` as given.
    """
    numbers = np.asarray(values, dtype=np.float64)
    numbers = numbers[np.isfinite(numbers)]
    beyond = (numbers < adc.low) | (numbers > adc.high)
    if bits is None or not numbers.size or beyond.mean() <= 1 - _WHOLE:
        return None
    most = float(np.quantile(np.abs(numbers), 0.98, method="nearest"))
    needed = math.ceil(math.log2(most + 1)) + (adc.low < 0)
    enough = next((usual for usual in (8, 10, 12, 14, 16, 18, 24, 32) if usual >= needed), needed)
    return f"its numbers, e.g. {most:.0f}, do not fit --adc-bits {bits}; give --adc-bits {enough}"


def given_adc(
    options: SourceOptions, source: str, *, signed: bool = False, usual: Mapping[str, float] | None = None
) -> Adc | None:
    """Return the ADC that `adc_bits`, `vref` and `gain` describe; None where none of them is given.

    Args:
        options: those three.
        source: name, for the error.
        signed: counts are two's complement around 0.
        usual: values of `--adc-bits`, `--vref` and `--gain` that need not be given; not empty = the ADC is described
            even if the user gives none of them.

    Raises:
        SourceError: one of them is missing or out of range.
    """
    given = {"--adc-bits": options.adc_bits, "--vref": options.vref, "--gain": options.gain}
    if not any(given.values()) and not usual:
        return None
    scale = {flag: value or (usual or {}).get(flag) for flag, value in given.items()}
    if missing := [flag for flag, value in scale.items() if not value]:
        raise SourceError(f"{source}: the ADC's scale needs {', '.join(missing)} too, e.g. {EXAMPLE_SCALE}")
    bits, vref, gain = int(scale["--adc-bits"] or 0), float(scale["--vref"] or 0), float(scale["--gain"] or 0)
    if not (1 <= bits <= _BITS_MAX and 0 < vref < math.inf and 0 < gain < math.inf):
        raise SourceError(
            f"{source}: {bits} bits, {vref:g} V, gain {gain:g}; give 1 to {_BITS_MAX} bits, the others above 0"
        )
    return signed_adc(bits, vref, gain) if signed else unsigned_adc(bits, vref, gain)
