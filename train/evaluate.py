"""Run protocols on models; JSON and figures for the record (tables for a person: `train.shown`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from detector import BEAT_FS_HZ, R_INDEX
from train.data import DS2, DataError, record_names
from train.failures import draw_failures
from train.judged import LEARNING_S, read_recording
from train.noise_protocol import evaluate_noise
from train.protocols import Outcome, Progress, evaluate_inter, evaluate_kaggle, no_progress
from train.report import example_beats, noise_curves, roc_curves, score_distribution, training_curves
from train.results import PROTOCOLS
from train.rpeak_quality import r_peak_quality
from train.run import write_json
from train.stream_protocol import evaluate_recording, evaluate_stream
from train.subject import Subject

__all__ = ["PROTOCOLS", "as_json", "evaluate", "figures", "judge_recording", "write_outcome"]


def evaluate(
    models: Sequence[Subject],
    protocol: str,
    *,
    csv_dir: Path | None = None,
    limit_records: int | None = None,
    learning_s: float = LEARNING_S,
    seed: int = 0,
    all_r_peaks: bool = False,
    progress: Progress = no_progress,
) -> Outcome:
    """Run one protocol on all models in one pass.

    Args:
        models: under test, all made for the protocol's beats.
        protocol: `kaggle`, `inter`, `stream` or `nstdb`.
        csv_dir: kaggle: folder of the public CSV files.
        limit_records: inter and stream: only the first so many records of DS2, nstdb: only so many noise ratios;
            to try.
        learning_s: stream: how much of each record's begin does not count, s.
        seed: of bootstrap and draws.
        all_r_peaks: stream: judge the R-peaks of all 48 records too.
        progress: told what is being done.

    Raises:
        DataError: unknown protocol, or data absent.
        RunError: a model does not fit the protocol.
    """
    if protocol not in PROTOCOLS:
        raise DataError(f"--protocol {protocol}: unknown; give {', '.join(PROTOCOLS)} or all")
    if protocol == "kaggle":
        return evaluate_kaggle(models, csv_dir, seed, progress)
    if protocol == "nstdb":
        return evaluate_noise(models, limit_records, seed, progress)
    records = list(DS2[:limit_records])
    if protocol == "inter":
        return evaluate_inter(models, records, seed, progress=progress)
    outcome = evaluate_stream(models, records, seed, learning_s, progress=progress)
    if not all_r_peaks:
        return outcome
    quality = r_peak_quality(record_names()[:limit_records], seed, progress)
    return replace(outcome, extra=outcome.extra | {"r_peaks": quality})


def judge_recording(folder: Path, record: str, learning_s: float = LEARNING_S, seed: int = 0) -> Outcome:
    """Protocol `stream` on what the monitor itself recorded: `ecg-monitor --source mitdb:RECORD --record FOLDER`."""
    return evaluate_recording(read_recording(folder, record, learning_s), seed)


def as_json(outcome: Outcome, model: Subject | None, command: str, seed: int) -> dict[str, Any]:
    """Everything that was computed, with what is needed to compute it again."""
    return {
        "protocol": outcome.protocol,
        "command": command,
        "seed": seed,
        "model": model.about() if model else None,
        "rows": [{"name": row.name, "threshold_note": row.threshold_note, **row.figures} for row in outcome.rows],
        **outcome.extra,
    }


def write_outcome(path: Path, outcomes: Sequence[dict[str, Any]]) -> None:
    """Write one outcome as an object, several as a list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, outcomes[0] if len(outcomes) == 1 else list(outcomes))


def figures(outcome: Outcome, model: Subject | None, folder: Path) -> list[Path]:
    """Write the figures of one protocol; training curves only where the model is a run folder.

    Returns:
        The files written.
    """
    paths: list[Path] = []

    def path(name: str) -> Path:
        paths.append(folder / f"{name}.png")
        return paths[-1]

    if outcome.rows:
        first = outcome.rows[0]
        threshold = first.figures.get("fixed", {}).get("threshold")
        title = f"{outcome.protocol}, {first.name}"
        score_distribution(first.scores, first.labels, threshold, title, path(f"{outcome.protocol}_scores"))
        rows = [(row.name, row.scores, row.labels, row.figures["auroc"]) for row in outcome.rows]
        roc_curves(rows, path(f"{outcome.protocol}_roc"))
        if len(outcome.test):
            r_index, unit = (0, "scaled to 0..1") if outcome.protocol == "kaggle" else (R_INDEX, "mV")
            example_beats(outcome.test, first.scores, path(f"{outcome.protocol}_beats"), BEAT_FS_HZ, r_index, unit)
    if outcome.failures:
        draw_failures(outcome.failures, path(f"{outcome.protocol}_failures"))
    for name, by_snr in list(outcome.extra.get("noise", {}).items())[:1]:
        noise_curves(by_snr, name, path(f"{outcome.protocol}_curves"))
    if model is not None and model.run is not None and model.run.history:
        training_curves(model.run.history, path("training_curves"))
    return paths
