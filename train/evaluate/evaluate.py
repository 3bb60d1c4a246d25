"""Run protocols on models; write JSON and figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from detector import BEAT_FS_HZ, R_INDEX
from train.data.records import DS1, DS2, record_names
from train.errors import DataError
from train.evaluate.comparison import DEFINITIONS, gather
from train.evaluate.failures import draw_failures
from train.evaluate.noise_protocol import evaluate_noise
from train.evaluate.protocols import Outcome, Progress, evaluate_inter, evaluate_kaggle, no_progress
from train.evaluate.record_decisions import LEARNING_S, read_recording
from train.evaluate.results import PROTOCOLS, result_of
from train.evaluate.rpeak_quality import r_peak_quality
from train.evaluate.stream_protocol import evaluate_decisions, evaluate_stream
from train.export.loaded_model import LoadedModel, calibrated, load_model
from train.figures import example_beats, noise_curves, roc_curves, score_distribution, training_curves
from train.fit.checkpoint import write_json

__all__ = [
    "Conditions",
    "Evaluation",
    "draw_figures",
    "evaluate",
    "evaluate_model",
    "evaluate_recording",
    "evaluate_runs",
    "write_results",
]


@dataclass(frozen=True, slots=True)
class Conditions:
    """Settings of the protocols.

    Attributes:
        csv_dir: kaggle: folder of the public CSV files; None = rebuilt from the records.
        limit_records: inter and stream: only the first N records of each set; nstdb: only the first N
            signal-to-noise ratios; None = all.
        learning_s: stream: start of each record that does not count, s.
        seed: of bootstrap and random examples.
    """

    csv_dir: Path | None = None
    limit_records: int | None = None
    learning_s: float = LEARNING_S
    seed: int = 0

    @property
    def limited(self) -> bool:
        """Whether the settings differ from those of the published tables."""
        return self.csv_dir is not None or self.limit_records is not None or self.learning_s != LEARNING_S


class Evaluation(NamedTuple):
    """Outcome of one protocol, the model under test (None = several, or a recording), and its JSON values."""

    outcome: Outcome
    model: LoadedModel | None
    result: dict[str, Any]


def evaluate(
    models: Sequence[LoadedModel],
    protocol: str,
    conditions: Conditions,
    *,
    all_r_peaks: bool = False,
    progress: Progress = no_progress,
) -> Outcome:
    """Run one protocol on all models in one pass.

    Args:
        models: models under test, all made for the protocol's beats.
        protocol: `kaggle`, `inter`, `stream` or `nstdb`.
        conditions: of the run.
        all_r_peaks: stream: evaluate the R-peaks of all 48 records as well.
        progress: receives one line per step.

    Raises:
        DataError: unknown protocol, or data absent.
        RunError: a model was made for other beats than the protocol's.
    """
    _known_protocol(protocol)
    limit, seed = conditions.limit_records, conditions.seed
    if protocol == "kaggle":
        return evaluate_kaggle(models, conditions.csv_dir, seed, progress)
    if protocol == "nstdb":
        return evaluate_noise(models, limit, seed, progress)
    records, training = list(DS2[:limit]), DS1[:limit]
    if protocol == "inter":
        return evaluate_inter(models, records, seed, training, progress)
    outcome = evaluate_stream(models, records, seed, conditions.learning_s, training, progress)
    if not all_r_peaks:
        return outcome
    quality = r_peak_quality(record_names()[:limit], seed, progress)
    return replace(outcome, extra=outcome.extra | {"r_peaks": quality})


def evaluate_recording(folder: Path, record: str, conditions: Conditions, command: str) -> Evaluation:
    """Protocol `stream` on a recording of `ecg-monitor --source mitdb:RECORD --record FOLDER`."""
    outcome = evaluate_decisions(read_recording(folder, record, conditions.learning_s), conditions.seed)
    return Evaluation(outcome, None, _as_json(outcome, None, command, conditions.seed))


def evaluate_model(
    path: Path, protocol: str, conditions: Conditions, command: str, progress: Progress = no_progress
) -> Iterator[Evaluation]:
    """Evaluate one model by one protocol, or by `all` that fit its beats.

    Args:
        path: an ONNX file or a run folder.
        protocol: name of a protocol, or `all`.
        conditions: of the run.
        command: for the JSON.
        progress: receives one line per step.
    """
    model = load_model(path)
    fitting = [name for name in PROTOCOLS if _beats(name) == model.beat_definition]
    if protocol != "kaggle" and model.calibration is None:
        model = calibrated(model)
    for name in fitting if protocol == "all" else [protocol]:
        outcome = evaluate([model], name, conditions, progress=progress)
        yield Evaluation(outcome, model, _as_json(outcome, model, command, conditions.seed))


def evaluate_runs(
    runs: Path, protocol: str, conditions: Conditions, progress: Progress = no_progress
) -> Iterator[Evaluation]:
    """Evaluate the finished runs that the tables compare, and the shipped model, by one protocol or `all`.

    Args:
        runs: folder of all runs.
        protocol: name of a protocol, or `all`.
        conditions: of the run.
        progress: receives one line per step, and the notes of the comparison.

    Raises:
        DataError: unknown protocol, no run, or data absent.
        RunError: a run cannot be calibrated.
    """
    wanted = list(PROTOCOLS) if protocol == "all" else [_known_protocol(protocol)]
    comparison = gather(runs, sorted({_data(name) for name in wanted}))
    if not any(comparison.models.values()):
        reasons = "; ".join(comparison.notes)
        raise DataError(f"nothing to evaluate: {reasons}; fit a model, or give --runs, --model or --recording")
    for note in comparison.notes:
        progress(note)
    for name in wanted:
        models = comparison.models[_data(name)]
        if not models:
            progress(f"protocol {name}: no model for its beats, left out")
            continue
        outcome = evaluate(models, name, conditions, all_r_peaks=True, progress=progress)
        # Without paths: the same on every machine.
        command = f"python -m train evaluate --protocol {name} --seed {conditions.seed}"
        result = result_of(outcome, models, command, conditions.seed)
        yield Evaluation(outcome, None, result | ({"limited": True} if conditions.limited else {}))


def _as_json(outcome: Outcome, model: LoadedModel | None, command: str, seed: int) -> dict[str, Any]:
    """All figures, and everything needed to reproduce them."""
    return {
        "protocol": outcome.protocol,
        "command": command,
        "seed": seed,
        "model": model.about() if model else None,
        "rows": [{"name": row.name, "threshold_note": row.threshold_note, **row.figures} for row in outcome.rows],
        **outcome.extra,
    }


def write_results(path: Path, results: Sequence[dict[str, Any]]) -> None:
    """Write one result as a JSON object, several as a list."""
    write_json(path, results[0] if len(results) == 1 else list(results))


def draw_figures(outcome: Outcome, model: LoadedModel | None, folder: Path) -> list[Path]:
    """Write the figures of one protocol; training curves only if the model is a run folder.

    Returns:
        The written files.
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


def _known_protocol(protocol: str) -> str:
    if protocol not in PROTOCOLS:
        raise DataError(f"--protocol {protocol}: unknown; give {', '.join(PROTOCOLS)} or all")
    return protocol


def _data(protocol: str) -> str:
    return "kaggle" if protocol == "kaggle" else "stream"


def _beats(protocol: str) -> str:
    return DEFINITIONS[_data(protocol)]
