"""Run protocols on a model and tell: tables for a person, JSON and figures for the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from detector import BEAT_FS_HZ, R_INDEX
from train.data import CLASSES, DS2, DataError
from train.judged import LEARNING_S, read_recording
from train.protocols import Outcome, Row, evaluate_inter, evaluate_kaggle
from train.report import example_beats, roc_curves, score_distribution, training_curves
from train.run import write_json
from train.stream_protocol import evaluate_recording, evaluate_stream
from train.subject import Subject

__all__ = ["PROTOCOLS", "as_json", "evaluate", "figures", "judge_recording", "show", "write_outcome"]

PROTOCOLS = ("kaggle", "inter", "stream")


def evaluate(
    model: Subject,
    protocol: str,
    *,
    csv_dir: Path | None = None,
    limit_records: int | None = None,
    learning_s: float = LEARNING_S,
    seed: int = 0,
) -> Outcome:
    """Run one protocol.

    Args:
        model: under test.
        protocol: `kaggle`, `inter` or `stream`.
        csv_dir: kaggle: folder of the public CSV files.
        limit_records: inter and stream: only the first so many records of DS2, to try.
        learning_s: stream: how much of each record's begin does not count, s.
        seed: of bootstrap and draws.

    Raises:
        DataError: unknown protocol, or data absent.
        RunError: the model does not fit the protocol.
    """
    if protocol == "kaggle":
        return evaluate_kaggle(model, csv_dir, seed)
    if protocol not in PROTOCOLS:
        raise DataError(f"--protocol {protocol}: unknown; give {', '.join(PROTOCOLS)} or all")
    records = list(DS2[:limit_records])
    if protocol == "inter":
        return evaluate_inter(model, records, seed)
    return evaluate_stream(model, records, seed, learning_s)


def judge_recording(folder: Path, record: str, learning_s: float = LEARNING_S, seed: int = 0) -> Outcome:
    """Protocol `stream` on what the monitor itself recorded: `ecg-monitor --source mitdb:RECORD --record FOLDER`."""
    return evaluate_recording(read_recording(folder, record, learning_s), seed)


def show(outcome: Outcome, console: Console) -> None:
    """Print the tables of one protocol."""

    def tell(title: str, table: Table) -> None:
        console.print(title, highlight=False, markup=False, soft_wrap=True)
        console.print(table)

    scored = f"{outcome.rows[0].figures['beats']:,} scored beats"
    tell(f"Protocol {outcome.protocol}: {scored}; AUROC pooled and of each class against N", _score_table(outcome))
    if any("record_mean_auroc" in row.figures for row in outcome.rows):
        tell("AUROC by record (interval: 95 %, bootstrap over records)", _record_table(outcome))
    if any("fixed" in row.figures for row in outcome.rows):
        title = "At a threshold: fixed beforehand on training normals, and (to compare only) best on the test labels"
        tell(title, _threshold_table(outcome))
    for row in outcome.rows:
        if "confusion" in row.figures:
            threshold = row.figures["fixed"]["threshold"]
            title = f"{row.name}: called at the fixed threshold (score > {threshold:.4g})"
            tell(title, _confusion_table(row))
    if "gross" in outcome.extra:
        title = "The monitor's decisions: R-peaks, and beats called anomalous (a missed beat is not called)"
        tell(title, _decision_table(outcome.extra))


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
    first = outcome.rows[0]
    paths = [folder / f"{outcome.protocol}_{name}.png" for name in ("scores", "roc")]
    threshold = first.figures.get("fixed", {}).get("threshold")
    score_distribution(first.scores, first.labels, threshold, f"{outcome.protocol}, {first.name}", paths[0])
    roc_curves([(row.name, row.scores, row.labels, row.figures["auroc"]) for row in outcome.rows], paths[1])
    if len(outcome.test):
        paths.append(folder / f"{outcome.protocol}_beats.png")
        r_index, unit = (0, "scaled to 0..1") if outcome.protocol == "kaggle" else (R_INDEX, "mV")
        example_beats(outcome.test, first.scores, paths[-1], BEAT_FS_HZ, r_index, unit)
    if model is not None and model.run is not None and model.run.history:
        paths.append(folder / "training_curves.png")
        training_curves(model.run.history, paths[-1])
    return paths


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column(columns[0])
    for column in columns[1:]:
        table.add_column(column, justify="right")
    return table


def _score_table(outcome: Outcome) -> Table:
    classes = CLASSES[1:]
    table = _table(
        *("score", "AUROC", "AP", *classes, "VEB Se\n1 % FPR", "SVEB Se\n5 % FPR"),
    )
    for row in outcome.rows:
        values = row.figures
        table.add_row(
            row.name,
            *(_three(values[key]) for key in ("auroc", "average_precision")),
            *(_three(values["auroc_by_class"][name]) for name in classes),
            *(_three(values[key]) for key in ("veb_se_at_1pct_fpr", "sveb_se_at_5pct_fpr")),
        )
    return table


def _record_table(outcome: Outcome) -> Table:
    table = _table(
        *("score", "pooled", "interval", "record mean", "pooled\nwithout 232", "interval", "record mean", "V", "S"),
    )
    for row in outcome.rows:
        values, without = row.figures, row.figures.get("without_232", {})
        by_class = without.get("auroc_by_class", {})
        table.add_row(
            row.name,
            _three(values["auroc"]),
            _interval(values.get("auroc_95")),
            _three(values.get("record_mean_auroc")),
            _three(without.get("auroc")),
            _interval(without.get("auroc_95")),
            _three(without.get("record_mean_auroc")),
            *(_three(by_class.get(name)) for name in ("V", "S")),
        )
    return table


def _threshold_table(outcome: Outcome) -> Table:
    table = _table(
        *("score", "F1", "P", "R", "FPR", "best F1", "P", "R", "FPR", "fixed at"),
    )
    for row in outcome.rows:
        fixed, best = row.figures.get("fixed", {}), row.figures["best"] or {}
        keys = ("f1", "precision", "recall", "fpr")
        table.add_row(
            row.name, *(_three(fixed.get(k)) for k in keys), *(_three(best.get(k)) for k in keys), row.threshold_note
        )
    return table


def _confusion_table(row: Row) -> Table:
    table = _table("class", "normal", "anomalous", "share")
    for name, counts in row.figures["confusion"].items():
        total = counts["normal"] + counts["anomalous"]
        share = _three(counts["anomalous"] / total if total else None)
        table.add_row(name, f"{counts['normal']:,}", f"{counts['anomalous']:,}", share)
    return table


def _decision_table(extra: Mapping[str, Any]) -> Table:
    table = _table(
        *("record", "beats", "R Se %", "R +P %", "abn.", "Se %", "+P %", "FPR %", "VEB Se %", "SVEB Se %"),
        "bad 10 s %",
    )
    lines = {**extra["by_record"], "gross": extra["gross"]}
    if "gross_without_232" in extra:
        lines["without 232"] = extra["gross_without_232"]
    for name, line in lines.items():
        counts, shares = line["counts"], line["rates"]
        if name == "gross":
            table.add_section()
        keys = ("abnormal_se", "abnormal_ppv", "fpr", "veb_se", "sveb_se", "bad_windows")
        table.add_row(
            name,
            f"{counts['annotated']:,}",
            *(_percent(shares[key]) for key in ("r_se", "r_ppv")),
            f"{counts['annotated'] - counts['beats_N']:,}",
            *(_percent(shares[key]) for key in keys),
        )
    return table


def _three(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _interval(bounds: tuple[float, float] | None) -> str:
    return "-" if bounds is None else f"{bounds[0]:.3f}-{bounds[1]:.3f}"
