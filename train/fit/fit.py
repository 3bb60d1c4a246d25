"""Two stages on normal beats only: the encoder learns what a beat is, a flow learns its features' density.

What the stages ask is the recipe's affair (`train.fit.recipe`). The encoder is frozen in stage 2 and its features are
computed once, so an epoch of it never touches a convolution.

After every epoch the whole state goes to `checkpoint.pt`; a fit that was killed goes on from there and ends
with the very weights it would have had (bit for bit on the CPU with the same number of threads).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import torch
from rich.console import Console

from train.config import FitConfig
from train.data.records import NormalBeats
from train.fit.checkpoint import BEST_MODEL, CHECKPOINT, CURVES, HISTORY, TRAIN_CONFIG, save_torch, write_json
from train.fit.progress import FitProgress
from train.fit.recipe import Recipe
from train.fit.recipe_contextual import ContextualRecipe
from train.fit.recipe_published import PublishedRecipe
from train.fit.stage import FitError, History, Stage, Trainer, read_checkpoint

__all__ = ["FitError", "FitResult", "choose_device", "fit"]

_RECIPES: Final[dict[str, Callable[[NormalBeats, NormalBeats, FitConfig, torch.device], Recipe]]] = {
    "published": PublishedRecipe,
    "contextual": ContextualRecipe,
}


@dataclass(frozen=True, slots=True)
class FitResult:
    """What a fit ended with.

    Attributes:
        out: the run folder.
        threshold: log p under which a beat counts as anomalous, nats: the configured quantile of held-out
            normals; where whole records are held out, of all.
        score_threshold: score over which it does, likewise.
        held_out_nll: mean -log p of the held-out normals, nats.
        epochs: epochs done in each stage.
        seconds: spent in each stage, over all starts.
    """

    out: Path
    threshold: float
    score_threshold: float
    held_out_nll: float
    epochs: dict[str, int]
    seconds: dict[str, float]


def choose_device(name: str = "auto") -> torch.device:
    """The device to fit on: `auto` takes a GPU where there is one.

    Raises:
        FitError: the device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FitError(f"--device {name}: cannot be used ({reason}); give auto, cpu or cuda") from error
    return device


def fit(
    normals: NormalBeats,
    config: FitConfig,
    out: Path,
    *,
    data: str,
    beat_definition: str,
    by_record: bool,
    command: str = "",
    facts: Mapping[str, Any] | None = None,
    device: str = "auto",
    console: Console | None = None,
) -> FitResult:
    """Fit both stages, or go on where an earlier call of the same settings was killed.

    Args:
        normals: what to fit; it holds no abnormal beat by its type.
        config: all hyper-parameters.
        out: run folder, made if need be; see `train.fit.checkpoint` for its files.
        data: name of the data, for the files.
        beat_definition: what these beats are, for the files, e.g. `kaggle/1`.
        by_record: hold out whole records, not single beats.
        command: the command line, for the files.
        facts: what else to tell in the files.
        device: `auto`, `cpu`, `cuda`.
        console: for the progress; None: a console on standard output.

    Raises:
        RunError: `out` holds a fit of other settings or data.
        FitError: the device is absent, or the loss is no number any more.
        ValueError: too few beats or records.
    """
    where = choose_device(device)
    fitted, watched = normals.hold_out(config.held_out, config.seed, by_record)
    digest = hashlib.sha256(normals.beats.tobytes()).hexdigest()
    identity: dict[str, Any] = {"config": msgspec.to_builtins(config), "data": data, "data_sha256": digest}
    out.mkdir(parents=True, exist_ok=True)
    saved = read_checkpoint(out / CHECKPOINT, identity)

    torch.manual_seed(config.seed)
    recipe = _RECIPES[config.architecture](fitted, watched, config, where)
    history: History = {"autoencoder": [], "flow": []}
    if saved:
        recipe.modules.load_state_dict(saved["modules"])
        history = saved["history"]

    def trainer(stage: Stage) -> Trainer:
        return Trainer(stage, recipe.modules, out / CHECKPOINT, identity, history, config, progress, saved)

    with FitProgress(console or Console()) as progress:
        if not (saved and saved["stage"] == "flow"):
            trainer(recipe.first_stage()).run()
            with torch.no_grad():
                recipe.between()
        recipe.model.eval()
        trainer(recipe.second_stage()).run()

    recipe.modules.cpu().eval()
    with torch.no_grad():
        recipe.finish()
        held_out = recipe.scores(watched)
        # Two held-out patients say nothing of others: then every training patient has a say in the threshold.
        scores = recipe.scores(normals) if by_record else held_out
    result = FitResult(
        out=out,
        threshold=float(np.quantile(scores.log_prob, config.threshold_quantile)),
        score_threshold=float(np.quantile(scores.score, 1 - config.threshold_quantile)),
        held_out_nll=float(-held_out.log_prob.mean()),
        epochs={name: len(rows) for name, rows in history.items()},
        seconds={name: sum(row["seconds"] for row in rows) for name, rows in history.items()},
    )
    told = {
        **(facts or {}),
        "command": command,
        "device": str(where),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "beat_definition": beat_definition,
        "held_out_by": "record" if by_record else "beat",
        "beats_fitted": len(fitted),
        "beats_held_out": len(watched),
        "records_held_out": sorted(set(watched.records.tolist())) if by_record else [],
        "records_fitted": sorted(set(fitted.records.tolist())),
    }
    _write_outputs(recipe, identity | told, result, history)
    return result


def _write_outputs(recipe: Recipe, facts: dict[str, Any], result: FitResult, history: History) -> None:
    """Write the files of a finished run, the model last: where it lies, the rest lies too."""
    from train.figures import training_curves

    out, config = result.out, facts["config"]
    own = recipe.write(out)
    write_json(out / HISTORY, history)
    write_json(
        out / TRAIN_CONFIG,
        {
            "architecture": config["architecture"],
            "latent_dim": config["latent_dim"],
            "n_layers": config["n_layers"],
            "hidden_dims": config["hidden_dims"],
            "threshold": result.threshold,
            "score_threshold": result.score_threshold,
            "held_out_nll": result.held_out_nll,
            "epochs": result.epochs,
            "seconds": result.seconds,
        }
        | own
        | facts,
    )
    training_curves(history, out / CURVES)
    save_torch(out / BEST_MODEL, recipe.model.state_dict())
