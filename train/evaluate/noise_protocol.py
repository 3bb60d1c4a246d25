"""The protocol `nstdb`: two records with electrode-motion noise added, by signal-to-noise ratio.

Noise Stress Test Database (Moody, Muldrow and Mark 1984): records 118 and 119 of `mitdb`, clean for five minutes,
then alternately two minutes with noise and two without. Both are training records (DS1). The figures show the effect
of noise, not the quality on new patients, so each is compared with the clean minutes of the same records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from train.data.detected_beats import StreamedRecord, stream_beats
from train.data.records import CLASSES
from train.data.two_leads import stream_two_leads
from train.evaluate.decision_rates import gross
from train.evaluate.protocols import TWO_LEADS, Outcome, Progress, no_progress
from train.evaluate.record_decisions import RecordDecisions, count, decide_record, share
from train.evaluate.stream_protocol import empty_beats, require_calibrations
from train.evaluate.two_leads import decide_two_leads
from train.export.loaded_model import LoadedModel

__all__ = ["NOISE_NOTE", "POOLED", "SNR_DB", "evaluate_noise", "minutes", "noise_rates", "record_name"]

SNR_DB: Final = (24, 18, 12, 6, 0, -6)
RECORDS: Final = ("118", "119")
CLEAN_S: Final = 300.0  # before the first noise; also the monitor's learning time, so it does not count
STRETCH_S: Final = 120.0
POOLED: Final = "6 dB and better"
NOISE_NOTE: Final = (
    "118 and 119 are training records (DS1): compare noisy with clean minutes, not with new patients; "
    "the first five minutes do not count; intervals are over the two-minute stretches, because two records are too few"
)


def record_name(record: str, snr_db: int) -> str:
    """Name in `nstdb`, e.g. `118e24`, `118e00`, `118e_6`."""
    return f"{record}e_{-snr_db}" if snr_db < 0 else f"{record}e{snr_db:02d}"


def minutes(samples: int, fs_hz: float) -> dict[str, list[tuple[int, int]]]:
    """The `noisy` and `clean` stretches after the first five minutes: first sample, and the one after the last."""
    parts: dict[str, list[tuple[int, int]]] = {"noisy": [], "clean": []}
    step = round(STRETCH_S * fs_hz)
    for k, begin in enumerate(range(round(CLEAN_S * fs_hz), samples, step)):
        parts["clean" if k % 2 else "noisy"].append((begin, min(begin + step, samples)))
    return parts


def noise_rates(counts: dict[str, int]) -> dict[str, float | None]:
    """Rates from (added) counts of stretches; None if the denominator is 0.

    Returns:
        `r_se`, `r_ppv` of R-peaks; `unscorable`: share of the detected beats that were not scored; `fpr_scored`:
        share of the scored normal beats that were called anomalous; `abnormal_se`: share of all abnormal beats that
        were called anomalous, `abnormal_se_scored`: of the scored ones.
    """

    def scored(name: str) -> int:
        return counts[f"beats_{name}"] - counts[f"missed_{name}"] - counts[f"unscored_{name}"]

    called = sum(counts[f"flagged_{name}"] for name in CLASSES[1:])
    return {
        "r_se": share(counts["found"], counts["annotated"]),
        "r_ppv": share(counts["found"], counts["found"] + counts["false_detections"]),
        "unscorable": share(counts["unscored"], counts["found"]),
        "fpr_scored": share(counts["flagged_N"], scored("N")),
        "abnormal_se": share(called, sum(counts[f"beats_{name}"] for name in CLASSES[1:])),
        "abnormal_se_scored": share(called, sum(scored(name) for name in CLASSES[1:])),
    }


def evaluate_noise(
    models: Sequence[LoadedModel], limit: int | None = None, seed: int = 0, progress: Progress = no_progress
) -> Outcome:
    """Protocol `nstdb`, with the monitor's decisions.

    Args:
        models: made for stream beats, each with a calibration.
        limit: only the first N signal-to-noise ratios; None = all.
        seed: of the bootstrap.
        progress: receives one line per record.

    Raises:
        RunError: a model was made for other beats, or has no calibration.
        DataError: a record is absent.
    """
    calibrations = require_calibrations(models, "nstdb")
    snr_db = SNR_DB[:limit]
    counts: dict[str, dict[int, dict[str, dict[str, dict[str, int]]]]] = {
        name: {snr: {"noisy": {}, "clean": {}} for snr in snr_db}
        for name in (*(model.name for model in models), *(f"{model.name}{TWO_LEADS}" for model in models[:1]))
    }
    for snr in snr_db:
        names = [record_name(record, snr) for record in RECORDS]
        for streamed in stream_beats(names, data_set="nstdb"):
            progress(f"nstdb: record {streamed.name}")
            for model, calibration in zip(models, calibrations, strict=True):
                scores = model.scores(streamed.beats, streamed.contexts)
                decided = decide_record(streamed, scores, calibration, CLEAN_S)
                _add(counts[model.name][snr], decided, streamed)
        for in_two in stream_two_leads(names, "nstdb"):
            progress(f"nstdb: record {in_two.given.name}, both leads")
            for model, calibration in zip(models[:1], calibrations[:1], strict=True):
                (decided,) = decide_two_leads([in_two], model, calibration, CLEAN_S)
                _add(counts[f"{model.name}{TWO_LEADS}"][snr], decided, in_two.given)
    noise = {name: _by_ratio(by_snr, seed) for name, by_snr in counts.items()}
    return Outcome("nstdb", [], empty_beats(), {"note": NOISE_NOTE, "noise": noise})


def _add(counts: dict[str, dict[str, dict[str, int]]], decided: RecordDecisions, streamed: StreamedRecord) -> None:
    """Add the counts of each stretch of a record, by kind."""
    for kind, stretches in minutes(streamed.samples, streamed.fs_hz).items():
        counts[kind] |= _by_stretch(decided, stretches)


def _by_stretch(decided: RecordDecisions, stretches: Sequence[tuple[int, int]]) -> dict[str, dict[str, int]]:
    """Counts of each stretch; R-peaks are matched over the whole record, so none is lost at a border."""
    return {
        f"{decided.name}@{begin}": count(replace(decided, first_sample=begin, end_sample=end))
        for begin, end in stretches
    }


def _by_ratio(by_snr: Mapping[int, Mapping[str, Mapping[str, Mapping[str, int]]]], seed: int) -> dict[str, Any]:
    rates: dict[str, Any] = {
        f"{snr} dB": {kind: gross(units, seed, noise_rates) for kind, units in kinds.items()}
        for snr, kinds in by_snr.items()
    }
    good = [kinds for snr, kinds in by_snr.items() if snr >= 6]
    if good:
        pooled = {kind: {unit: c for kinds in good for unit, c in kinds[kind].items()} for kind in ("noisy", "clean")}
        rates[POOLED] = {kind: gross(units, seed, noise_rates) for kind, units in pooled.items()}
    return rates
