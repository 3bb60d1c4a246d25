"""R-peaks of one record: our stage against the usual detectors, in time, sensitivity and positive predictivity."""

from __future__ import annotations

import time
from collections.abc import Callable

import neurokit2
import numpy as np
from common.programs import data_folder
from numpy.typing import NDArray
from wfdb import processing

from benchmarks.report import Figure, Report, paired_ratio, timed
from detector.bandpass import Bandpass
from detector.rpeaks import WINDOW_S, RPeakDetector
from train.data.detected_beats import match_beats
from train.data.records import read_record

RECORD = "208"
TOLERANCE_S = 0.15  # of AAMI EC57
FROM_S = 10.0  # the detectors' learning phase is left out of the quality
_GOALS = {"neurokit2 ecg_clean + ecg_findpeaks": 1 / 3, "wfdb xqrs_detect": 1.0, "wfdb gqrs_detect": 1.0}

Samples = NDArray[np.float64]
Peaks = NDArray[np.int64]


def measure(repeats: int, seconds: float | None) -> Report:
    """Run each detector over the record, in turn, in this process."""
    data_folder()
    annotated = read_record(RECORD)
    fs_hz = annotated.fs_hz
    signal = annotated.samples_mv[: None if seconds is None else round(seconds * fs_hz)]
    truth = annotated.beat_samples[annotated.beat_samples < signal.size]
    rivals: dict[str, Callable[[Samples, float], Peaks]] = {
        "neurokit2 ecg_clean + ecg_findpeaks": _neurokit,
        "wfdb xqrs_detect": _xqrs,
        "wfdb gqrs_detect": _gqrs,
    }
    warm = signal[: round(10 * fs_hz)]
    for detect in (_ours, *rivals.values()):
        detect(warm, fs_hz)  # imports, and what is compiled or cached at the first call
    ours: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in rivals}
    found: dict[str, Peaks] = {}
    for _ in range(repeats):
        seconds_taken, found["ours, as a stream"] = _timed(_ours, signal, fs_hz)
        ours.append(seconds_taken)
        for name, detect in rivals.items():
            seconds_taken, found[name] = _timed(detect, signal, fs_hz)
            theirs[name].append(seconds_taken)
    figures = [timed("ours, as a stream", ours, "s")]
    figures += [timed(name, times, "s") for name, times in theirs.items()]
    figures += [paired_ratio(f"ratio: {name} / ours", times, ours, _GOALS[name]) for name, times in theirs.items()]
    for name, peaks in found.items():
        sensitivity, precision = _quality(peaks, truth, fs_hz)
        figures += [Figure(f"Se, {name}", sensitivity, "%"), Figure(f"+P, {name}", precision, "%")]
    return Report(
        "rpeaks",
        {"record": f"mitdb:{RECORD}", "seconds": seconds or "all", "repeats": repeats},
        figures,
        (
            "Ours: causal band-pass, then a window of 8 s every second, as live; the others have the whole record.",
            f"Se and +P against the annotations, {TOLERANCE_S * 1e3:.0f} ms, the first {FROM_S:.0f} s left out.",
        ),
    )


def _timed(detect: Callable[[Samples, float], Peaks], signal: Samples, fs_hz: float) -> tuple[float, Peaks]:
    began_s = time.perf_counter()
    peaks = detect(signal, fs_hz)
    return time.perf_counter() - began_s, peaks


def _ours(signal: Samples, fs_hz: float) -> Peaks:
    """Filter and windows as `Detector` runs them, without beats and quality."""
    filtered = Bandpass(fs_hz).push(signal)
    rpeaks = RPeakDetector(fs_hz)
    found: list[int] = []
    for now in [*range(rpeaks.step, signal.size, rpeaks.step), signal.size]:
        low = max(0, now - round(WINDOW_S * fs_hz))
        found += rpeaks.decide(filtered[low:now], low)
    return np.array(found, np.int64)


def _neurokit(signal: Samples, fs_hz: float) -> Peaks:
    cleaned = neurokit2.ecg_clean(signal, sampling_rate=int(fs_hz))
    return np.asarray(neurokit2.ecg_findpeaks(cleaned, sampling_rate=int(fs_hz))["ECG_R_Peaks"], np.int64)


def _xqrs(signal: Samples, fs_hz: float) -> Peaks:
    return np.asarray(processing.xqrs_detect(signal, fs=fs_hz, verbose=False), np.int64)


def _gqrs(signal: Samples, fs_hz: float) -> Peaks:
    return np.asarray(processing.gqrs_detect(signal, fs=fs_hz), np.int64)


def _quality(found: Peaks, truth: Peaks, fs_hz: float) -> tuple[float, float]:
    """Sensitivity and positive predictivity, %; one detection for each annotation."""
    found, truth = (peaks[peaks >= FROM_S * fs_hz] for peaks in (found, truth))
    if not found.size or not truth.size:
        return 0.0, 0.0
    matched = int((match_beats(found, truth, TOLERANCE_S * fs_hz) >= 0).sum())
    return 100 * matched / truth.size, 100 * matched / found.size
