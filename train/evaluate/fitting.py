"""Fit a configuration on a data set in a run folder, unless that is done already."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from detector import BEAT_DEFINITION
from train.config import FitConfig
from train.data.groups import thinned
from train.data.kaggle import KAGGLE_DEFINITION
from train.data.records import NormalBeats
from train.evaluate.comparison import finished_fit
from train.export.loaded_model import training_beats
from train.fit.fit import fit

__all__ = ["finished_run"]


def finished_run(
    out: Path,
    settings: FitConfig,
    data: str,
    *,
    csv_dir: Path | None = None,
    limit_records: int | None = None,
    beats_per_lead: int = 0,
    device: str = "auto",
    command: str = "",
    say: Callable[[str], None] = lambda _: None,
) -> Path:
    """Fit encoder and flow, or resume that fit, or leave a finished one as it is.

    Args:
        out: run folder.
        settings: all hyper-parameters.
        data: `kaggle` or `stream`.
        csv_dir, limit_records: of the training beats, see `train.export.loaded_model.training_beats`.
        beats_per_lead: stream only: at most this number of normal beats of each lead, see `thinned`; 0 = all.
        device: `auto`, `cpu`, `cuda`.
        command: the command line, for the files.
        say: receives one line at the begin and one at the end.

    Returns:
        The run folder.

    Raises:
        RunError: the folder holds a fit with other settings or data.
        DataError: data absent.
        FitError: the device is absent, or the loss is not finite.
    """
    facts: dict[str, Any] = {"limit_records": limit_records, "csv": csv_dir is not None}
    if data == "stream":
        facts["beats_per_lead"] = beats_per_lead
    if finished := finished_fit(out, settings, data, facts):
        say(f"{out}: already finished, held-out -log p {finished['held_out_nll']:.4f} nats; delete it to refit")
        return out
    beats = training_beats(data, csv_dir, limit_records, settings.groups, settings.leads)
    normals = thinned(NormalBeats(beats), beats_per_lead)
    say(f"{out}: {len(normals)} normal beats of {data}, seed {settings.seed}")
    result = fit(
        normals,
        settings,
        out,
        data=data,
        beat_definition=KAGGLE_DEFINITION if data == "kaggle" else BEAT_DEFINITION,
        by_record=data != "kaggle",
        command=command,
        facts=facts,
        device=device,
    )
    say(
        f"{result.out}: held-out -log p {result.held_out_nll:.4f} nats, "
        f"threshold score > {result.score_threshold:.4f} (quantile {1 - settings.threshold_quantile:g})"
    )
    return out
