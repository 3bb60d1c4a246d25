"""Recorded noise for training examples: mixtures of nstdb's bw, em and ma, as the monitor's filter passes them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from detector import BEAT_FS_HZ, BEAT_SAMPLES
from detector.bandpass import Bandpass
from train.data.noise_mix import NOISES, read_noise

__all__ = ["SNR_DB", "NoiseSource"]

SNR_DB: Final = (6.0, 24.0)  # at less the signal quality leaves most beats out
_SETTLING_S: Final = 10  # of the filter, cut off
_RATE: Final = round(BEAT_FS_HZ)


class NoiseSource:
    """Noise for beats of 187 samples.

    Only the first half of each recording is used; the second is for tests.

    Args:
        share: of the beats that get noise, 0 to 1.

    Attributes:
        noises: (3, n) float32 at 125 Hz, band-passed, each with RMS 1.

    Raises:
        DataError: nstdb is absent and cannot be downloaded.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        parts = []
        for name in NOISES:
            samples, fs_hz = read_noise(name, "first")
            filtered = Bandpass(fs_hz).push(samples - samples[0])
            part = resample_poly(filtered, _RATE, round(fs_hz))[_SETTLING_S * _RATE :]
            parts.append(part / np.sqrt(np.mean(part**2)))
        n = min(part.size for part in parts)
        self.noises: NDArray[np.float32] = np.array([part[:n] for part in parts], dtype=np.float32)

    def draw(self, height_mv: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """Noise (n, 187), mV, for beats with QRS of these heights; zeros for the beats that get none.

        The ratio is that of `train.data.noise_mix`: signal power a^2 / 8 of a QRS of height a, peak to peak. Its dB are
        uniform, and so is the mixture over all weights of the three noises (Dirichlet).

        Args:
            height_mv: (n,) QRS heights, mV.
            rng: source of all random numbers.
        """
        n = len(height_mv)
        weights = np.sqrt(rng.dirichlet(np.ones(len(self.noises)), n))
        begin = rng.integers(0, self.noises.shape[1] - BEAT_SAMPLES, (n, len(self.noises)))
        rms_mv = height_mv / np.sqrt(8.0) * 10.0 ** (-rng.uniform(*SNR_DB, n) / 20.0)
        rms_mv = np.where(rng.random(n) < self.share, rms_mv, 0.0)
        windows = np.lib.stride_tricks.sliding_window_view(self.noises, BEAT_SAMPLES, axis=1)
        noise = np.zeros((n, BEAT_SAMPLES))
        for k in range(len(self.noises)):
            noise += weights[:, k, None] * windows[k, begin[:, k]]
        drawn: NDArray[np.float32] = (noise * rms_mv[:, None]).astype(np.float32)
        return drawn
