"""Two stages on normal beats only: an autoencoder teaches the encoder, a flow learns its features' density.

Stage 1: encoder and decoder, mean squared error between a normalised beat and its reconstruction.
Stage 2: the encoder is frozen and its features standardised; the flow maximises their log-likelihood. The
features are computed once, so an epoch of stage 2 never touches a convolution.

After every epoch the whole state goes to `checkpoint.pt`; a fit that was killed goes on from there and ends
with the very weights it would have had (bit for bit on the CPU with the same number of threads).
"""

from __future__ import annotations

import hashlib
import math
import pickle
import time
from collections.abc import Callable, Mapping
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
    RunError,
    model_log_prob,
    save_torch,
    write_atomically,
    write_json,
)

__all__ = ["FitError", "FitResult", "choose_device", "fit"]

_ENCODE_BATCH = 4096
_CHECKPOINT_FORMAT = 1

History = dict[str, list[dict[str, float]]]


class FitError(Exception):
    """The fit cannot go on. One line: what, and the remedy."""


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


@dataclass(frozen=True, slots=True)
class _Stage:
    """One stage: what is trained, on what, how long."""

    name: str
    module: nn.Module  # all that is trained
    loss: Callable[[Tensor], Tensor]  # a batch (n, ...) -> mean loss over it, scalar
    fitted: Tensor
    watched: Tensor
    epochs: int
    patience: int
    batch: int
    lr: float
    weight_decay: float


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
    saved = _read_checkpoint(out / CHECKPOINT, identity)

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

    def trainer(stage: _Stage) -> _Trainer:
        return _Trainer(stage, modules, out / CHECKPOINT, identity, history, config, progress, saved)

    with FitProgress(console or Console()) as progress:
        if not (saved and saved["stage"] == "flow"):
            trainer(_autoencoder_stage(model, decoder, x_fitted, x_watched, config)).run()
            standardise_features(model, x_fitted)
        model.eval()
        features_fitted, features_watched = (
            torch.cat([model.encode(b) for b in torch.split(x, _ENCODE_BATCH)]) for x in (x_fitted, x_watched)
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
) -> _Stage:
    return _Stage(
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


def _flow_stage(model: HybridECGModel, fitted: Tensor, watched: Tensor, config: FitConfig) -> _Stage:
    return _Stage(
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


class _Trainer:
    """Runs one stage to its end: epochs, early stopping, a checkpoint after every epoch."""

    def __init__(
        self,
        stage: _Stage,
        modules: nn.ModuleDict,
        path: Path,
        identity: dict[str, Any],
        history: History,
        config: FitConfig,
        progress: FitProgress,
        saved: dict[str, Any] | None,
    ) -> None:
        self.stage, self.modules, self.path, self.identity = stage, modules, path, identity
        self.rows, self.history, self.config, self.progress = history[stage.name], history, config, progress
        self.optimiser = torch.optim.AdamW(stage.module.parameters(), lr=stage.lr, weight_decay=stage.weight_decay)
        self.best_loss, self.waited = math.inf, 0
        self.best = _copy(stage.module)
        # Each stage draws from its own seed, so its order does not depend on how long the first one took.
        torch.manual_seed(config.seed + 1 + ("autoencoder", "flow").index(stage.name))
        if saved and saved["stage"] == stage.name:
            self.optimiser.load_state_dict(saved["optimiser"])
            self.best_loss, self.waited, self.best = saved["best_loss"], saved["waited"], saved["best"]
            torch.set_rng_state(saved["rng"])
            if saved["rng_cuda"] and torch.cuda.is_available():
                torch.cuda.set_rng_state_all(saved["rng_cuda"])

    def run(self) -> None:
        """Train until the epochs are done or patience is out, then put the best weights back."""
        stage = self.stage
        self.progress.stage(stage.name, stage.epochs, len(self.rows), math.ceil(len(stage.fitted) / stage.batch))
        while len(self.rows) < stage.epochs and self.waited < stage.patience:
            self._epoch()
            self._save()
            row = self.rows[-1]
            note = f"train {row['train']:.5g}  held out {row['held_out']:.5g}  {row['seconds']:.1f} s"
            self.progress.epoch(stage.name, len(self.rows), stage.epochs, note)
        stage.module.load_state_dict(self.best)
        total_s = sum(row["seconds"] for row in self.rows)
        self.progress.end_stage(
            f"{stage.name}: best held-out loss {self.best_loss:.5g}, {len(self.rows)} epochs, {total_s:.0f} s"
        )

    def _epoch(self) -> None:
        stage, began_s = self.stage, time.monotonic()
        # Half a cosine: large steps early, none so large at the end that the loss still rattles.
        lr = stage.lr * 0.5 * (1 + math.cos(math.pi * len(self.rows) / stage.epochs))
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        stage.module.train()
        total = torch.zeros((), dtype=torch.float64)
        order = torch.randperm(len(stage.fitted)).to(stage.fitted.device)
        for done, rows in enumerate(torch.split(order, stage.batch), start=1):
            loss = stage.loss(stage.fitted[rows])
            self.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(stage.module.parameters(), self.config.gradient_clip)
            self.optimiser.step()
            total += loss.detach().double().cpu() * len(rows)
            self.progress.batch(done)
        held_out = self._watch()
        train = float(total) / len(stage.fitted)
        if not (math.isfinite(train) and math.isfinite(held_out)):
            raise FitError(
                f"{stage.name}: the loss is no number any more in epoch {len(self.rows) + 1}; "
                f"lower lr_{stage.name} ({stage.lr:g}) with --set, and give another --out"
            )
        seconds = time.monotonic() - began_s
        self.rows.append(
            {"epoch": len(self.rows) + 1, "train": train, "held_out": held_out, "lr": lr, "seconds": seconds}
        )
        if held_out < self.best_loss:
            self.best_loss, self.waited, self.best = held_out, 0, _copy(stage.module)
        else:
            self.waited += 1

    @torch.no_grad()
    def _watch(self) -> float:
        self.stage.module.eval()
        total = sum(float(self.stage.loss(part)) * len(part) for part in torch.split(self.stage.watched, _ENCODE_BATCH))
        return total / len(self.stage.watched)

    def _save(self) -> None:
        save_torch(
            self.path,
            {
                "format": _CHECKPOINT_FORMAT,
                "identity": self.identity,
                "stage": self.stage.name,
                "modules": self.modules.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "best": self.best,
                "best_loss": self.best_loss,
                "waited": self.waited,
                "history": self.history,
                "rng": torch.get_rng_state(),
                "rng_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            },
        )


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in module.state_dict().items()}


def _read_checkpoint(path: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """The checkpoint to go on from; None where there is none."""
    if not path.is_file():
        return None
    try:
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        theirs = saved["identity"]
        if saved["format"] != _CHECKPOINT_FORMAT:
            raise RunError(f"{path}: checkpoint format {saved['format']} is not {_CHECKPOINT_FORMAT}")
    except (RuntimeError, OSError, EOFError, KeyError, ValueError, pickle.UnpicklingError) as error:
        raise RunError(f"{path}: not a checkpoint of a fit; remove it or give another --out") from error
    mine = identity["config"] | {"data": identity["data"], "data_sha256": identity["data_sha256"]}
    other = theirs["config"] | {"data": theirs["data"], "data_sha256": theirs["data_sha256"]}
    for key in sorted(set(mine) | set(other)):
        if mine.get(key) != other.get(key):
            raise RunError(
                f"{path.parent} holds a fit with {key} = {other.get(key)}, not {mine.get(key)}: "
                "give the same settings to go on, or another --out"
            )
    return saved


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
