"""Causal band-pass filter that keeps its state from piece to piece."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, group_delay, lfilter, sos2tf, sosfilt_zi

__all__ = [
    "BAND_HZ",
    "FILTER_ORDER",
    "FS_MAX_HZ",
    "FS_MIN_HZ",
    "Bandpass",
    "Filtering",
    "design_bandpass",
    "filter_rows",
    "qrs_delay_samples",
]

Filtering = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]  # sections, samples, state

BAND_HZ = (0.5, 40.0)  # monitoring bandwidth of IEC 60601-2-27: no baseline wander, little muscle noise, QRS and T kept
FILTER_ORDER = 2
FS_MIN_HZ, FS_MAX_HZ = 100.0, 1000.0  # 40 Hz must stay clear of Nyquist; above 1 kHz an ECG holds no information
_QRS_HZ = 15.0  # main frequency of a QRS: the delay of the filter is read here


def design_bandpass(fs_hz: float, band_hz: tuple[float, float] = BAND_HZ) -> NDArray[np.float64]:
    """Design the Butterworth band-pass as second-order sections.

    Args:
        fs_hz: sampling rate, Hz, 100 to 1000.
        band_hz: lower and upper -3 dB edge, Hz.

    Returns:
        (FILTER_ORDER, 6) float64 second-order sections.

    Raises:
        ValueError: rate or band out of range.
    """
    if not FS_MIN_HZ <= fs_hz <= FS_MAX_HZ:
        raise ValueError(f"fs_hz={fs_hz:g} is out of the range of this filter: give {FS_MIN_HZ:g} to {FS_MAX_HZ:g} Hz")
    low, high = band_hz
    if not 0 < low < high < fs_hz / 2:
        raise ValueError(f"band_hz={band_hz} must rise and stay under half the sampling rate ({fs_hz / 2:g} Hz)")
    sos: NDArray[np.float64] = butter(FILTER_ORDER, (low, high), btype="bandpass", fs=fs_hz, output="sos")
    return sos


def qrs_delay_samples(fs_hz: float) -> int:
    """Group delay of the band-pass at 15 Hz, where a QRS has its energy; samples."""
    delays = group_delay(sos2tf(design_bandpass(fs_hz)), [_QRS_HZ], fs=fs_hz)[1]
    return round(float(delays[0]))


class Bandpass:
    """Causal band-pass: takes pieces, returns as many filtered samples; bit-equal for every way of cutting.

    The filter starts in the steady state of the *first sample*. A constant offset therefore gives no transient, and
    the result does not depend on the length of the first piece.
    """

    def __init__(self, fs_hz: float, band_hz: tuple[float, float] = BAND_HZ) -> None:
        self._sos = design_bandpass(fs_hz, band_hz)
        self._zi_unit: NDArray[np.float64] = sosfilt_zi(self._sos)
        self._state: NDArray[np.float64] | None = None  # (FILTER_ORDER, 2)

    def push(self, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        """Filter the next piece.

        Args:
            samples: (n,) float64, any unit, finite; n may be 0.

        Returns:
            (n,) float64, same unit.
        """
        return self.taken(*filter_rows([self.work(samples)])[0]) if samples.size else samples

    def work(self, samples: NDArray[np.float64]) -> Filtering:
        """The next piece, at least one sample, for `filter_rows`."""
        state = self._zi_unit * samples[0] if self._state is None else self._state
        return self._sos, samples, state

    def taken(self, filtered: NDArray[np.float64], state: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take an answer of `filter_rows`; returns the filtered samples."""
        self._state = state
        return filtered

    def reset(self) -> None:
        """Clear the state: the next sample starts a new signal."""
        self._state = None


def filter_rows(pieces: list[Filtering]) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Filtered samples and the state after them, of pieces with equal sections and of equal size.

    Section by section as in `sosfilt`, in a third of its time for a second of samples.
    """
    rows = np.array([samples for _, samples, _ in pieces])
    states = np.array([state for *_, state in pieces])
    for section, coefficients in enumerate(pieces[0][0]):
        rows, states[:, section] = lfilter(coefficients[:3], coefficients[3:], rows, zi=states[:, section])
    return list(zip(rows, states, strict=True))
