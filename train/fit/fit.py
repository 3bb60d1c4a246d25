"""Two stages on normal beats only: stage 1 trains the encoder, stage 2 fits a flow to the density of its features.

The losses belong to the recipe (`train.fit.recipe`). In stage 2 the encoder is frozen and its features are computed
once, so an epoch of stage 2 runs no convolution.

After every epoch the whole state is written to `checkpoint.pt`. A killed fit resumes from there and ends with the same
weights as without the kill (bit for bit on the CPU with the same number of threads).
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
from numpy.typing import NDArray
from rich.console import Console

from train.config import FitConfig
from train.data.records import NormalBeats
from train.errors import FitError
from train.fit.checkpoint import BEST_MODEL, CHECKPOINT, CURVES, HISTORY, TRAIN_CONFIG, save_torch, write_json
from train.fit.progress import FitProgress
from train.fit.recipe import Recipe
from train.fit.recipe_contextual import ContextualRecipe
from train.fit.recipe_published import PublishedRecipe
from train.fit.stage import History, Stage, Trainer, read_checkpoint

__all__ = ["FitResult", "choose_device", "fit"]

_RECIPES: Final[dict[str, Callable[[NormalBeats, NormalBeats, FitConfig, torch.device], Recipe]]] = {
    "published": PublishedRecipe,
    "contextual": ContextualRecipe,
}


@dataclass(frozen=True, slots=True)
class FitResult:
    """Result of a fit.

    Attributes:
        out: the run folder.
        threshold: log p under which a beat is anomalous, nats: the configured quantile of the held-out normals, or of
            all normals if whole records are held out.
        score_threshold: score over which a beat is anomalous, from the same normals.
        held_out_nll: mean -log p of the held-out normals, nats.
        epochs: epochs of each stage.
        seconds: duration of each stage over all starts, s.
    """

    out: Path
    threshold: float
    score_threshold: float
    held_out_nll: float
    epochs: dict[str, int]
    seconds: dict[str, float]


def choose_device(name: str = "auto") -> torch.device:
    """The device to fit on; `auto` = a GPU if present, else the CPU.

    Raises:
        FitError: the device is absent.
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
    """Fit both stages, or resume an earlier call with the same settings that was killed.

    Args:
        normals: beats to fit to; the type guarantees that all are normal.
        config: all hyper-parameters.
        out: run folder, created if absent; see `train.fit.checkpoint` for its files.
        data: name of the data, for the files.
        beat_definition: definition of these beats, for the files, e.g. `kaggle/1`.
        by_record: hold out whole records, not single beats.
        command: the command line, for the files.
        facts: further entries for `train_config.json`.
        device: `auto`, `cpu`, `cuda`.
        console: for the progress; None = a console on standard output.

    Raises:
        RunError: `out` holds a fit with other settings or data.
        FitError: the device is absent, or the loss is not finite.
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
        # Two held-out patients do not represent others, so all training patients determine the threshold.
        scores = recipe.scores(normals) if by_record else held_out
    result = FitResult(
        out=out,
        threshold=float(np.quantile(scores.log_prob, config.threshold_quantile)),
        score_threshold=_between(scores.score, 1 - config.threshold_quantile),
        held_out_nll=float(-held_out.log_prob.mean()),
        epochs={name: len(rows) for name, rows in history.items()},
        seconds={name: sum(row["seconds"] for row in rows) for name, rows in history.items()},
    )
    provenance = {
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
    _write_outputs(recipe, identity | provenance, result, history)
    return result


def _between(scores: NDArray[np.float64], share: float) -> float:
    """A score over this share of `scores`, (n,), midway between two of them: the last digit moves no beat across it."""
    rising = np.sort(scores)
    below = min(int(share * (rising.size - 1)), max(rising.size - 2, 0))
    return float(rising[below : below + 2].mean())


def _write_outputs(recipe: Recipe, facts: dict[str, Any], result: FitResult, history: History) -> None:
    """Write the files of a finished run, the model last: its presence marks a complete folder."""
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
