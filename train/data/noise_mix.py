"""Mix noise of the Noise Stress Test Database into a record at a given signal-to-noise ratio, as its program `nst`.

Moody, Muldrow and Mark 1984: `bw` baseline wander, `em` electrode motion, `ma` muscle artefact, half an hour each,
recorded at electrode positions without ECG. Signal and noise power are those of the WFDB program `nst`
(https://physionet.org/physiotools/wag/nst-1.htm). Signal: a sine wave with the peak-to-peak height a of the QRS
complexes, S = a^2 / 8, where a is the mean over the first 300 normal complexes within 50 ms of R, without the highest
and the lowest 5 %. Noise: N is the square of the mean RMS over the seconds of the first five minutes, each about its
own mean, without the same 5 %. The noise is multiplied by sqrt(S / (N 10^(dB / 10))). This reproduces the gains of the
records 118 and 119 of nstdb within 0.5 %.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from train.data.records import Record, data_folder
from train.errors import DataError

__all__ = ["NOISES", "Half", "Noise", "mix", "noise_gain", "noise_rms_mv", "qrs_height_mv", "read_noise"]

NOISES: Final = ("bw", "em", "ma")
Noise = Literal["bw", "em", "ma"]
Half = Literal["first", "second", "whole"]

_QRS_HALF_S = 0.05
_QRS_COMPLEXES = 300
_NOISE_S = 300
_TRIMMED = 0.05

Samples = NDArray[np.float64]


def read_noise(noise: str, half: Half = "whole", second: bool = False) -> tuple[Samples, float]:
    """The first signal of a noise recording, mV, and its sampling rate, Hz.

    Args:
        noise: `bw`, `em` or `ma`.
        half: limits are chosen on the first fifteen minutes and tested on the second.
        second: True = the second signal, recorded at the same time.

    Raises:
        DataError: no such recording.
    """
    import wfdb

    if noise not in NOISES:
        raise DataError(f"nstdb has no noise {noise!r}: known are {', '.join(NOISES)}")
    try:
        record = wfdb.rdrecord(str(data_folder("nstdb") / noise))
    except Exception as error:  # wfdb raises any class for a broken file
        raise DataError(f"nstdb/{noise}: cannot be read ({error}); download nstdb again") from error
    samples: Samples = np.asarray(record.p_signal[:, int(second)], dtype=np.float64)
    middle = len(samples) // 2
    part = {"first": slice(0, middle), "second": slice(middle, None), "whole": slice(None)}[half]
    return samples[part], float(record.fs)


def qrs_height_mv(record: Record) -> float:
    """Mean peak-to-peak height of the first 300 normal QRS complexes, mV, trimmed by 5 % at either end."""
    half = round(_QRS_HALF_S * record.fs_hz)
    at = record.beat_samples[record.beat_labels == "N"]
    if at.size == 0:  # e.g. a paced record: use all beats
        at = record.beat_samples
    at = at[(at >= half) & (at + half < len(record.samples_mv))][:_QRS_COMPLEXES]
    if at.size == 0:
        raise DataError(f"record {record.name}: no annotated beat to measure the signal power")
    return _trimmed(np.array([np.ptp(record.samples_mv[r - half : r + half + 1]) for r in at.tolist()]))


def noise_rms_mv(noise: Samples, fs_hz: float) -> float:
    """Mean RMS, mV, of the seconds of the first five minutes, each about its own mean, trimmed by 5 % at either end."""
    second = round(fs_hz)
    seconds = min(_NOISE_S, len(noise) // second)
    if seconds == 0:
        raise DataError(f"{len(noise)} samples of noise are less than one second")
    return _trimmed(noise[: seconds * second].reshape(seconds, second).std(axis=1))


def noise_gain(record: Record, noise: Samples, snr_db: float) -> float:
    """Factor of the noise for the given signal-to-noise ratio, dB."""
    return qrs_height_mv(record) / math.sqrt(8.0) / (noise_rms_mv(noise, record.fs_hz) * 10 ** (snr_db / 20))


def mix(record: Record, noise: Samples, snr_db: float, stretches: list[tuple[int, int]]) -> Samples:
    """Add noise to some stretches of a record.

    Args:
        record: the clean record.
        noise: at the record's sampling rate, mV; starts with the record and repeats.
        snr_db: signal-to-noise ratio, dB.
        stretches: (first sample, end sample) of each.

    Returns:
        (n,) float64, mV.
    """
    mixed = record.samples_mv.copy()
    gain = noise_gain(record, noise, snr_db)
    for first, end in stretches:
        mixed[first:end] += gain * noise[np.arange(first, end) % len(noise)]
    return mixed


def _trimmed(values: Samples) -> float:
    ordered = np.sort(values)
    cut = round(_TRIMMED * len(ordered))
    return float(ordered[cut : len(ordered) - cut].mean())
