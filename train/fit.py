"""Two stages on normal beats only: an autoencoder teaches the encoder, a flow learns its features' density.

Stage 1: encoder and decoder, mean squared error between a normalised beat and its reconstruction.
Stage 2: the encoder is frozen and its features standardised; the flow maximises their log-likelihood. The
features are computed once, so an epoch of stage 2 never touches a convolution.

After every epoch the whole state goes to `checkpoint.pt`; a fit that was killed goes on from there and ends
with the very weights it would have had (bit for bit on the CPU with the same number of threads).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from train.config import FitConfig
from train.data import NormalBeats
from train.encoder import ECGDecoder
from train.hybrid import HybridECGModel, standardise_features
from train.normalise import Normalisation, Normalise, fit_normalisation
from train.progress import FitProgress
from train.run import (
    BEST_MODEL,
    CHECKPOINT,
    CURVES,
    HISTORY,
    NORMALISATION,
    TRAIN_CONFIG,
    model_log_prob,
    save_torch,
    write_atomically,
    write_json,
)
from train.stage import WATCH_BATCH, FitError, History, Stage, Trainer, read_checkpoint

__all__ = ["FitError", "FitResult", "choose_device", "fit"]


@dataclass(frozen=True, slots=True)
class FitResult:
    """What a fit ended with.

    Attributes:
        out: the run folder.
        threshold: log p under which a beat counts as anomalous, nats: the configured quantile of held-out
            normals.
        held_out_nll: mean -log p of the held-out normals, nats.
        epochs: epochs done in each stage.
        seconds: spent in each stage, over all starts.
    """

    out: Path
    threshold: float
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
        out: run folder, made if need be; see `train.run` for its files.
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
    model = HybridECGModel(fitted.beats.shape[1], config.latent_dim, config.n_layers, config.hidden_dims)
    decoder = ECGDecoder(config.latent_dim, fitted.beats.shape[1])
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = config.dropout
    model.to(where)
    decoder.to(where)
    normalisation = fit_normalisation(config.normalisation, fitted.beats)
    normalise = Normalise(normalisation)
    x_fitted, x_watched = (normalise(torch.from_numpy(part.beats)).to(where) for part in (fitted, watched))
    modules = nn.ModuleDict({"model": model, "decoder": decoder})
    history: History = {"autoencoder": [], "flow": []}
    if saved:
        modules.load_state_dict(saved["modules"])
        history = saved["history"]

    def trainer(stage: Stage) -> Trainer:
        return Trainer(stage, modules, out / CHECKPOINT, identity, history, config, progress, saved)

    with FitProgress(console or Console()) as progress:
        if not (saved and saved["stage"] == "flow"):
            trainer(_autoencoder_stage(model, decoder, x_fitted, x_watched, config)).run()
            standardise_features(model, x_fitted)
        model.eval()
        features_fitted, features_watched = (
            torch.cat([model.encode(b) for b in torch.split(x, WATCH_BATCH)]) for x in (x_fitted, x_watched)
        )
        trainer(_flow_stage(model, features_fitted, features_watched, config)).run()

    model.cpu().eval()
    log_prob = model_log_prob(model, normalise, watched.beats)
    result = FitResult(
        out=out,
        threshold=float(np.quantile(log_prob, config.threshold_quantile)),
        held_out_nll=float(-log_prob.mean()),
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
    _write_outputs(model, normalisation, identity | told, result, history)
    return result


def _autoencoder_stage(
    model: HybridECGModel, decoder: ECGDecoder, fitted: Tensor, watched: Tensor, config: FitConfig
) -> Stage:
    return Stage(
        name="autoencoder",
        module=nn.ModuleDict({"encoder": model.encoder, "decoder": decoder}),
        loss=lambda x: nn.functional.mse_loss(decoder(model.encoder(x)), x),
        fitted=fitted,
        watched=watched,
        epochs=config.epochs_autoencoder,
        patience=config.patience_autoencoder,
        batch=config.batch_autoencoder,
        lr=config.lr_autoencoder,
        weight_decay=config.weight_decay_autoencoder,
    )


def _flow_stage(model: HybridECGModel, fitted: Tensor, watched: Tensor, config: FitConfig) -> Stage:
    return Stage(
        name="flow",
        module=model.maf,
        loss=lambda features: -model.maf.log_prob(features).mean(),
        fitted=fitted,
        watched=watched,
        epochs=config.epochs_flow,
        patience=config.patience_flow,
        batch=config.batch_flow,
        lr=config.lr_flow,
        weight_decay=config.weight_decay_flow,
    )


def _write_outputs(
    model: HybridECGModel,
    normalisation: Normalisation,
    facts: dict[str, Any],
    result: FitResult,
    history: History,
) -> None:
    """Write the files of a finished run, the model last: where it lies, the rest lies too."""
    import io

    from train.report import training_curves

    out, config = result.out, facts["config"]
    buffer = io.BytesIO()
    np.savez(buffer, kind=normalisation.kind, mean=normalisation.mean, std=normalisation.std)
    write_atomically(out / NORMALISATION, buffer.getvalue())
    write_json(out / HISTORY, history)
    write_json(
        out / TRAIN_CONFIG,
        {
            "latent_dim": config["latent_dim"],
            "n_layers": config["n_layers"],
            "hidden_dims": config["hidden_dims"],
            "threshold": result.threshold,
            "held_out_nll": result.held_out_nll,
            "epochs": result.epochs,
            "seconds": result.seconds,
        }
        | facts,
    )
    training_curves(history, out / CURVES)
    save_torch(out / BEST_MODEL, model.state_dict())
