"""The protocol `databases`: leave one group of training patients out, fit on the others, report on it.

It measures how a choice (data, recipe, calibration) carries over to patients of another database, without a look at
DS2. Counted from the first sample of each record, because the warm-up of the patient reference belongs to it. An
abnormal beat of the group left out is only counted, by a model that is already fitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from detector import Calibration, Quality
from train.data.detected_beats import StreamedRecord
from train.data.groups import GROUPS, group_records
from train.data.records import CLASSES
from train.errors import RunError
from train.evaluate.decision_rates import gross
from train.evaluate.fitting import finished_run
from train.evaluate.protocols import Progress, no_progress
from train.evaluate.record_decisions import count, decide_record, share
from train.evaluate.trials import Trial, trial_settings
from train.export.calibration import CalibratedOn, calibrate_run_on
from train.export.loaded_model import LoadedModel, load_model, run_normals

__all__ = ["PROTOCOL", "evaluate_trial", "fit_folder", "group_figures", "training_groups"]

PROTOCOL: Final = "databases"
_MIN_SCORED: Final = 100  # with fewer scored normal beats the rate of a patient is too uncertain
_HIGH: Final = 0.9  # quantile over patients

Counts = dict[str, int]


def training_groups(trial: Trial, left_out: str) -> tuple[str, ...]:
    """The groups that a trial fits on when `left_out` is reported; empty = that group is not reported."""
    if trial.left_out and left_out not in trial.left_out:
        return ()
    return tuple(name for name in GROUPS if name in trial.groups and name != left_out)


def fit_folder(runs: Path, name: str, groups: Sequence[str]) -> Path:
    """Folder of one fit of a trial, e.g. `runs/databases/all-both/ds1+sele`."""
    return runs / PROTOCOL / name / "+".join(groups)


def evaluate_trial(
    name: str,
    trial: Trial,
    runs: Path,
    *,
    only: Sequence[str] = (),
    limit_records: int | None = None,
    seed: int = 0,
    command: str = "",
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Fit what is not fitted yet, then report on each group left out.

    Args:
        name: of the trial.
        trial: its description.
        runs: folder of all runs.
        only: leave out and report only these groups, of those that the trial reports; empty = all of them.
        limit_records: only the first N records of each group.
        seed: of the bootstrap.
        command: for the files of the fits.
        progress: receives one line per step.

    Returns:
        JSON values: settings, and by name of each group the figures (`group_figures`) by calibration.
    """
    groups: dict[str, Any] = {}
    for left_out in GROUPS:
        trained = training_groups(trial, left_out)
        if not trained or (only and left_out not in only):
            continue
        model, calibrations = _model(name, trial, trained, runs, limit_records, command, progress)
        progress(f"{PROTOCOL}: trial {name}, patients of {left_out}")
        figures = group_figures(model, calibrations, group_records(left_out, "both", limit_records), seed)
        groups[left_out] = {
            "trained_on": list(trained),
            "weights_sha256": model.weights_sha256,
            "calibrated_on": figures,
        }
    return {
        "seed": seed,
        "leads": trial.leads,
        "settings": {"config": trial.config, "set": trial.set, "beats_per_lead": trial.beats_per_lead},
        "groups": groups,
    }


def _model(
    name: str,
    trial: Trial,
    groups: Sequence[str],
    runs: Path,
    limit_records: int | None,
    command: str,
    progress: Progress,
) -> tuple[LoadedModel, dict[CalibratedOn, Calibration]]:
    """The fitted model with its calibrations by name."""
    folder = finished_run(
        fit_folder(runs, name, groups),
        msgspec.structs.replace(trial_settings(trial), groups=list(groups), leads=trial.leads),
        "stream",
        limit_records=limit_records,
        beats_per_lead=trial.beats_per_lead,
        device="cpu",
        command=command,
        say=progress,
    )
    model = load_model(folder)
    if model.run is None:
        raise RunError(f"{folder}: not a run folder")
    return model, calibrate_run_on(model.run, run_normals(model.run), trial.calibrations)


def group_figures(
    model: LoadedModel,
    calibrations: Mapping[CalibratedOn, Calibration],
    records: Iterable[StreamedRecord],
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Figures of a model on the records of one group, each lead with a patient reference of its own.

    Args:
        model: made for stream beats.
        calibrations: by name.
        records: as the detector processed them; the first record of a name is its first lead.
        seed: of the bootstrap over patients.

    Returns:
        JSON values by name of the calibration. `called`: share of the scored normal beats that were called: gross with
        its interval; by patient (both leads together; `[share, scored beats]`), and median, 90 % quantile and worst
        of the patients with at least 100; by place of the lead. `unscored`: share of the found normal beats without a
        score, the worst patient, and by verdict. `veb_se`, `sveb_se`: share of all abnormal beats that were called.

    Raises:
        ValueError: no record.
    """
    patients: dict[str, dict[str, Counts]] = {name: {} for name in calibrations}
    places: dict[str, dict[str, Counts]] = {name: {} for name in calibrations}
    verdicts: dict[str, int] = {}
    known: set[str] = set()
    for record in records:
        scores = model.scores(record.beats, record.contexts)
        place = "second" if record.name in known else "first"
        known.add(record.name)
        for name, calibration in calibrations.items():
            counts = count(decide_record(record, scores, calibration, learning_s=0.0))
            for table, key in ((patients[name], record.name), (places[name], place)):
                table[key] = _added(table[key], counts) if key in table else counts
        normal = (record.matched >= 0) & (record.annotated_labels[record.matched] == "N")
        for verdict in record.verdicts[normal].tolist():
            verdicts[verdict] = verdicts.get(verdict, 0) + 1
    if not known:
        raise ValueError("no record to report on")
    return {name: _figures(patients[name], places[name], verdicts, seed) for name in calibrations}


def _figures(
    patients: Mapping[str, Counts], places: Mapping[str, Counts], verdicts: Mapping[str, int], seed: int
) -> dict[str, Any]:
    """Figures of one calibration from the counts by patient and by place of the lead, and all verdicts."""
    total = gross(patients, seed, _rates)
    rates = {name: _rates(counts) for name, counts in patients.items()}
    called = {name: r["called"] for name, r in rates.items() if _scored(patients[name]) >= _MIN_SCORED}
    unscored = {name: r["unscored"] for name, r in rates.items() if r["unscored"] is not None}
    known = [value for value in called.values() if value is not None]
    return {
        "patients": len(patients),
        "counts": total["counts"],
        "rates": total["rates"],
        "intervals": total["intervals"],
        "called_by_patient": {name: [rates[name]["called"], _scored(patients[name])] for name in patients},
        "called_median": float(np.median(known)) if known else None,
        "called_high": float(np.quantile(known, _HIGH)) if known else None,
        "called_worst": _worst(called),
        "unscored_worst": _worst(unscored),
        "by_lead": {place: _rates(counts) for place, counts in places.items()},
        "verdicts": {
            name: verdicts[name] / sum(verdicts.values())
            for name in sorted(verdicts, key=lambda name: -verdicts[name])
            if name != Quality.GOOD.value
        },
    }


def _scored(counts: Mapping[str, int], label: str = "N") -> int:
    return counts[f"beats_{label}"] - counts[f"missed_{label}"] - counts[f"unscored_{label}"]


def _rates(counts: dict[str, int]) -> dict[str, float | None]:
    """Rates from (added) counts; None if the denominator is 0."""
    found = {label: counts[f"beats_{label}"] - counts[f"missed_{label}"] for label in CLASSES}
    return {
        "called": share(counts["flagged_N"], _scored(counts)),
        "unscored": share(counts["unscored_N"], found["N"]),
        "veb_se": share(counts["flagged_V"], counts["beats_V"]),
        "sveb_se": share(counts["flagged_S"], counts["beats_S"]),
        "r_se": share(counts["found"], counts["annotated"]),
        "r_ppv": share(counts["found"], counts["found"] + counts["false_detections"]),
    }


def _added(first: Counts, second: Counts) -> Counts:
    return {key: first[key] + second[key] for key in first}


def _worst(values: Mapping[str, float | None]) -> dict[str, Any] | None:
    known = {name: value for name, value in values.items() if value is not None}
    if not known:
        return None
    name = max(known, key=lambda name: (known[name], name))
    return {"record": name, "share": known[name]}
