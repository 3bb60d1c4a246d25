"""Noise of the Noise Stress Test Database mixed into any record at a set signal-to-noise ratio, as its `nst` does.

Moody, Muldrow and Mark 1984: `bw` baseline wander, `em` electrode motion, `ma` muscle artefact, half an hour each,
recorded where the heart is not seen. Signal and noise are measured as the WFDB program `nst` does
(https://physionet.org/physiotools/wag/nst-1.htm): the signal's power is that of a sine wave as high as the QRS
complexes from peak to peak, S = a^2 / 8, where a is the mean over the first 300 normal ones within 50 ms of R, the
highest and the lowest 5 % left out; the noise's N is the square of the mean RMS over the seconds of its first five
minutes, each about its own mean, the same 5 % left out. The noise is multiplied by sqrt(S / (N 10^(dB / 10))). The
gains in nstdb's own records 118 and 119 come out of this within 0.5 %.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from train.data.records import DataError, Record, data_folder

__all__ = ["NOISES", "Half", "Noise", "mix", "noise_gain", "noise_rms_mv", "qrs_height_mv", "read_noise"]

NOISES: Final = ("bw", "em", "ma")
Noise = Literal["bw", "em", "ma"]
Half = Literal["first", "second", "whole"]

_QRS_HALF_S = 0.05
_QRS_COMPLEXES = 300
_NOISE_S = 300
_TRIMMED = 0.05

Samples = NDArray[np.float64]


def read_noise(noise: str, half: Half = "whole") -> tuple[Samples, float]:
    """The first signal of a noise recording, mV, and its sampling rate, Hz.

    Args:
        noise: `bw`, `em` or `ma`.
        half: limits are chosen on the first fifteen minutes and judged on the second.

    Raises:
        DataError: no such recording.
    """
    import wfdb

    if noise not in NOISES:
        raise DataError(f"nstdb has no noise {noise!r}: there are {', '.join(NOISES)}")
    try:
        record = wfdb.rdrecord(str(data_folder("nstdb") / noise))
    except Exception as error:  # wfdb raises what the broken file happens to cause
        raise DataError(f"nstdb/{noise}: cannot be read ({error}); fetch nstdb anew") from error
    samples: Samples = np.asarray(record.p_signal[:, 0], dtype=np.float64)
    middle = len(samples) // 2
    part = {"first": slice(0, middle), "second": slice(middle, None), "whole": slice(None)}[half]
    return samples[part], float(record.fs)


def qrs_height_mv(record: Record) -> float:
    """Mean peak-to-peak height of the first 300 normal QRS complexes, mV, trimmed by 5 % at either end."""
    half = round(_QRS_HALF_S * record.fs_hz)
    at = record.beat_samples[record.beat_labels == "N"]
    if at.size == 0:  # paced, or bundle branch block told as something else: any beat will do
        at = record.beat_samples
    at = at[(at >= half) & (at + half < len(record.samples_mv))][:_QRS_COMPLEXES]
    if at.size == 0:
        raise DataError(f"record {record.name}: no annotated beat to measure the signal by")
    return _trimmed(np.array([np.ptp(record.samples_mv[r - half : r + half + 1]) for r in at.tolist()]))


def noise_rms_mv(noise: Samples, fs_hz: float) -> float:
    """Mean over the seconds of the first five minutes of the RMS about each second's mean, trimmed likewise, mV."""
    second = round(fs_hz)
    seconds = min(_NOISE_S, len(noise) // second)
    if seconds == 0:
        raise DataError(f"{len(noise)} samples of noise are less than a second")
    return _trimmed(noise[: seconds * second].reshape(seconds, second).std(axis=1))


def noise_gain(record: Record, noise: Samples, snr_db: float) -> float:
    """What the noise is multiplied by to stand `snr_db` under the record's QRS complexes."""
    return qrs_height_mv(record) / math.sqrt(8.0) / (noise_rms_mv(noise, record.fs_hz) * 10 ** (snr_db / 20))


def mix(record: Record, noise: Samples, snr_db: float, stretches: list[tuple[int, int]]) -> Samples:
    """The record's samples with noise added in some stretches.

    Args:
        record: clean.
        noise: at the record's sampling rate, mV; it begins with the record and begins again where it ends.
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
