"""Beats and alarms of a record with noise: detector, shipped model, alarms.

Noise comes as in nstdb: after five clean minutes for two minutes in every four. The limits of the detector were chosen
on DS1 and on the first fifteen minutes of each noise (but see docs/quality.md); this study takes DS2 and the second
fifteen minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from common.programs import ToolError
from numpy.typing import NDArray

from detector import Scorer
from studies.play import Kept, Signal, play
from train.data.detected_beats import MATCH_S, match_beats
from train.data.noise_mix import NOISES, mix, read_noise
from train.data.records import DS2, read_record
from train.evaluate.noise_protocol import CLEAN_S, SNR_DB, minutes, record_name

__all__ = ["CLEAN_S", "SNR_DB", "Job", "jobs_of", "measure"]

_OWN: Final = ("118", "119")


@dataclass(frozen=True, slots=True)
class Job:
    """A record of mitdb with a noise, or one of nstdb's own records (`noise` is then `nstdb`)."""

    record: str
    noise: str
    snr_db: int
    minutes: float

    @property
    def key(self) -> str:
        """Name of the run in the file."""
        return f"{self.noise} {self.snr_db:+d} dB {self.record} {self.minutes:g} min"


def jobs_of(records: str, noise: str, snr: str, minutes: float) -> list[Job]:
    """All combinations of records, noises and ratios (each a list with commas).

    Raises:
        ToolError: an unknown noise, or a ratio that is no whole number.
    """
    names = [name for name in records.split(",") if name] or list(DS2)
    kinds = [name for name in noise.split(",") if name]
    if unknown := set(kinds) - {*NOISES, "nstdb"}:
        raise ToolError(f"no noise {', '.join(sorted(unknown))}: there are bw, em, ma and nstdb")
    try:
        ratios = [int(ratio) for ratio in snr.split(",")]
    except ValueError:
        raise ToolError(f"--snr {snr}: give whole numbers of dB, e.g. 12,6,-6") from None
    return [
        Job(name, kind, ratio, minutes)
        for kind in kinds
        for ratio in ratios
        for name in (_OWN if kind == "nstdb" else names)
    ]


def measure(job: Job, scorer: Scorer) -> dict[str, Any]:
    """Run one record through a bed; counts of its `noisy` and `clean` minutes."""
    if job.noise == "nstdb":
        record = read_record(record_name(job.record, job.snr_db), "nstdb")
        samples = record.samples_mv
    else:
        record = read_record(job.record)
        samples = record.samples_mv
    end = min(len(samples), round(job.minutes * 60 * record.fs_hz))
    parts = minutes(end, record.fs_hz)
    if job.noise != "nstdb":
        pure, _ = read_noise(job.noise, "second")
        samples = mix(record, pure, job.snr_db, parts["noisy"])
    kept = play(Signal(job.key, record.lead, record.fs_hz, samples[:end]), scorer)
    truth = record.beat_samples < end
    counts = {
        kind: _counts(kept, record.beat_samples[truth], record.beat_labels[truth], parts, kind, record.fs_hz)
        for kind in parts
    }
    return {"record": job.record, "noise": job.noise, "snr_db": job.snr_db, "minutes": job.minutes, **counts}


def _counts(
    kept: Kept,
    annotated: NDArray[np.int64],
    labels: NDArray[np.str_],
    parts: dict[str, list[tuple[int, int]]],
    kind: str,
    fs_hz: float,
) -> dict[str, Any]:
    """Counts within the stretches of one kind."""
    r_samples = np.array([beat.r_sample for beat in kept.beats], np.int64)
    scored = np.array([beat.log_prob is not None for beat in kept.beats], bool)
    called = np.array([beat.anomalous for beat in kept.beats], bool)
    matched = match_beats(r_samples, annotated, MATCH_S * fs_hz)
    inside, truth = _within(r_samples, parts[kind]), _within(annotated, parts[kind])
    label = np.where(matched >= 0, labels[matched] if len(labels) else "", "-")
    normal, abnormal = inside & (label == "N"), inside & np.isin(label, list("SVFQ"))
    onsets = [alarm for alarm in kept.alarms if alarm.state == "onset" and alarm.count == 1 and not alarm.update]
    alarms: dict[str, int] = {}
    for alarm in onsets:
        if alarm.category == "physiological" and _within(np.array([alarm.decided_sample]), parts[kind])[0]:
            name = f"{alarm.priority} {alarm.kind}"
            alarms[name] = alarms.get(name, 0) + 1
    poor = [alarm.decided_sample for alarm in onsets if alarm.kind == "poor_signal"]
    ended = [alarm.decided_sample for alarm in kept.alarms if alarm.kind == "poor_signal" and alarm.state == "cleared"]
    return {
        "seconds": sum(end - first for first, end in parts[kind]) / fs_hz,
        "annotated": int(truth.sum()),
        "found": int((inside & (matched >= 0)).sum()),
        "false_detections": int((inside & (matched < 0)).sum()),
        "unscorable": int((inside & ~scored).sum()),
        "normal": int(normal.sum()),
        "normal_scored": int((normal & scored).sum()),
        "normal_called": int((normal & called).sum()),
        "abnormal": int(abnormal.sum()),
        "abnormal_scored": int((abnormal & scored).sum()),
        "abnormal_called": int((abnormal & called).sum()),
        "alarms": alarms,
        "poor_signal_after_s": [_after_s(first, end, poor, ended, fs_hz) for first, end in parts[kind]],
    }


def _within(samples: NDArray[np.int64], stretches: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    inside = np.zeros(len(samples), bool)
    for first, end in stretches:
        inside |= (samples >= first) & (samples < end)
    return inside


def _after_s(first: int, end: int, poor: Sequence[int], ended: Sequence[int], fs_hz: float) -> float | None:
    """Time from the begin of a stretch to `poor_signal`, s; 0 where it was active already, None where it never came."""
    before = [at for at in poor if at <= first]
    if before and not any(before[-1] < at <= first for at in ended):
        return 0.0
    came = [at for at in poor if first < at < end]
    return (came[0] - first) / fs_hz if came else None
