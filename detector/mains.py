"""Mains hum: detected as a narrow line at 50 or 60 Hz, removed by a notch filter.

The band-pass passes half of a 50-Hz hum. A notch is switched on by configuration, or when the hum is strong enough to
disturb. In `auto` it stays off on the MIT-BIH records, whose hum is at most 0.02 mV: the model was fitted without a
notch.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.signal import iirnotch, sosfilt, sosfilt_zi, tf2sos
from scipy.signal.windows import hann

__all__ = ["MAINS_HZ", "Line", "Mains", "MainsFilter", "Watched", "design_notch", "mains_fits", "measure_lines"]

Mains = Literal["auto", "off", "50", "60"]
Line = tuple[float, float]  # amplitude of the line and median amplitude of its neighbours, mV
Watched = tuple[NDArray[np.float64], list[NDArray[np.float64]]]  # signal, probes
MAINS_HZ = (50.0, 60.0)
WATCHED_S = 2.0  # long enough to separate the line from QRS energy 3 Hz beside it
_Q = 30.0  # 1.7 Hz wide at 50 Hz: mains frequency stays within 0.5 Hz, and a QRS hardly rings
_ROOM_HZ = 2.0  # between the line and half the sampling rate
_BESIDE_HZ = (-6.0, -5.0, -4.0, -3.0, 3.0, 4.0, 5.0, 6.0)
_LINE_RATIO = 4.0  # line over the median of its neighbours; QRS energy alone reaches 3
_ON_MV = 0.05  # amplitude; sustained hum of DS1 stays under 0.025 mV
_OFF_MV = 0.02
_ON_TICKS, _OFF_TICKS = 3, 10  # seconds in a row


def mains_fits(hz: float, fs_hz: float) -> bool:
    """Whether a line at `hz` can be detected and removed at this sampling rate."""
    return hz + _ROOM_HZ < fs_hz / 2


def design_notch(hz: float, fs_hz: float) -> NDArray[np.float64]:
    """Second-order notch, Q = 30, as one second-order section.

    Raises:
        ValueError: the sampling rate is too low.
    """
    if not mains_fits(hz, fs_hz):
        raise ValueError(
            f"a notch at {hz:g} Hz needs a sampling rate over {2 * (hz + _ROOM_HZ):g} Hz, this is {fs_hz:g} Hz: "
            "set mains to auto or off"
        )
    sos: NDArray[np.float64] = tf2sos(*iirnotch(hz, _Q, fs=fs_hz))
    return sos


class MainsFilter:
    """Causal notch with state, switched on when needed; bit-equal for every way of cutting.

    Many attributes: the filter, the detector of hum, and the state of switching.

    Args:
        fs_hz: sampling rate, Hz.
        mains: `off`, `50`, `60`, or `auto`: on when hum of 0.05 mV lasts 3 s, off 10 s after its end.

    Attributes:
        hz: frequency of the active notch, Hz; None = off.
        hum_mv: amplitude of the strongest line in the last 2 s, mV; 0 without one.

    Raises:
        ValueError: the sampling rate is too low for the given frequency.
    """

    def __init__(self, fs_hz: float, mains: Mains = "auto") -> None:
        self._fs_hz = fs_hz
        self.watched = round(WATCHED_S * fs_hz)
        self.hz: float | None = None
        self.hum_mv = 0.0
        self._auto = mains == "auto"
        self._lines = [hz for hz in MAINS_HZ if mains_fits(hz, fs_hz)]
        self._probes = [self._probe(hz) for hz in self._lines]
        self._found: float | None = None
        self._run = 0  # consecutive seconds in favour of switching
        self._sos: NDArray[np.float64] | None = None
        self._zi: NDArray[np.float64] | None = None
        if mains in ("50", "60"):
            self._switch(float(mains))
        elif mains not in ("auto", "off"):
            raise ValueError(f"mains={mains!r}: give auto, off, 50 or 60")

    def reset(self) -> None:
        """Start a new signal; the notch stays on or off."""
        self._zi = None
        self.hum_mv = 0.0

    def push(self, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        """Filter the next piece: (n,) float64, finite, any n; returns the same array while the notch is off."""
        if self._sos is None or samples.size == 0:
            return samples
        if self._zi is None:
            self._zi = sosfilt_zi(self._sos) * samples[0]
        filtered: NDArray[np.float64]
        filtered, self._zi = sosfilt(self._sos, samples, zi=self._zi)
        return filtered

    def work(self, recent: NDArray[np.float64]) -> Watched | None:
        """The last 2 s of raw signal, mV, for `measure_lines`; None if samples are missing."""
        return (recent, self._probes) if recent.size == self.watched and np.isfinite(recent).all() else None

    def look(self, recent: NDArray[np.float64], lines: list[Line] | None) -> None:
        """Once a second: may switch the notch for later samples.

        Args:
            recent: (n,) raw signal before the tick, at most the last 2 s, mV.
            lines: the answer of `measure_lines`; None without one.
        """
        found, self.hum_mv = None, 0.0
        if lines is None:
            return
        for hz, (line_mv, beside_mv) in zip(self._lines, lines, strict=True):
            if line_mv > _LINE_RATIO * beside_mv and line_mv > self.hum_mv:
                found, self.hum_mv = hz, line_mv
        if not self._auto:
            return
        if self.hz is None:
            hums = found is not None and self.hum_mv >= _ON_MV
            self._run = self._run + 1 if hums and found in (self._found, None) else int(hums)
            self._found = found if hums else None
            if self._run >= _ON_TICKS:
                self._switch(found)
                self._settle(recent)
        else:
            gone = found != self.hz or self.hum_mv < _OFF_MV
            self._run = self._run + 1 if gone else 0
            if self._run >= _OFF_TICKS:
                self._switch(None)

    def _switch(self, hz: float | None) -> None:
        self.hz, self._run, self._found, self._zi = hz, 0, None, None
        self._sos = None if hz is None else design_notch(hz, self._fs_hz)

    def _settle(self, recent: NDArray[np.float64]) -> None:
        """Run the notch over the recent signal, so that it does not ring when it is switched on."""
        self.push(recent)

    def _probe(self, hz: float) -> NDArray[np.float64]:
        """(2, 1 + k, n) cosines and sines that give the amplitude of the line and of its k neighbours."""
        window = hann(self.watched, sym=False)
        beside = [hz + offset for offset in _BESIDE_HZ if hz + offset < self._fs_hz / 2 - 1.0]
        turns = 2 * np.pi * np.array([hz, *beside])[:, None] * np.arange(self.watched) / self._fs_hz
        rows: NDArray[np.float64] = np.stack((np.cos(turns), np.sin(turns))) * window * (2.0 / window.sum())
        return rows


def measure_lines(watched: list[Watched]) -> list[list[Line]]:
    """The lines of each signal; all have the same rate."""
    rows, probes = np.array([signal for signal, _ in watched]), watched[0][1]
    rows -= rows.mean(axis=1, keepdims=True)
    lines = []
    for probe in probes:
        # no matrix product: it would start the threads of BLAS, which costs more than the product
        waves = np.vecdot(rows[:, None, None], probe)
        amplitudes = np.hypot(waves[:, 0], waves[:, 1])
        lines.append(zip(amplitudes[:, 0].tolist(), _medians(amplitudes[:, 1:]), strict=True))
    return [list(of_lines) for of_lines in zip(*lines, strict=True)] if lines else [[] for _ in watched]


def _medians(rows: NDArray[np.float64]) -> list[float]:
    ordered, n = np.sort(rows, axis=1), rows.shape[1]
    medians: list[float] = ((ordered[:, (n - 1) // 2] + ordered[:, n // 2]) / 2).tolist()
    return medians
