"""One stage of a fit: epochs, early stopping, and a checkpoint after every epoch to resume from."""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from train.config import FitConfig
from train.errors import FitError, RunError
from train.fit.checkpoint import save_torch
from train.fit.progress import FitProgress

__all__ = ["WATCH_BATCH", "Data", "History", "Stage", "Trainer", "encoder_stage", "flow_stage", "read_checkpoint"]

WATCH_BATCH: Final = 4096  # beats per batch without gradients
STAGES: Final = ("autoencoder", "flow")
_CHECKPOINT_FORMAT = 1

History = dict[str, list[dict[str, float]]]
Data = tuple[Tensor, ...]  # all with the same number of rows


@dataclass(frozen=True, slots=True)
class Stage:
    """Module, loss, data and settings of one stage."""

    name: str
    module: nn.Module  # all trained parameters
    loss: Callable[[Data], Tensor]  # a batch -> mean loss over it, scalar
    draw: Callable[[int], Data]  # number of the epoch, from 1 -> its training data
    watched: Data
    epochs: int
    patience: int
    batch: int
    lr: float
    weight_decay: float
    keep_best: bool = True  # keep the weights of the best held-out loss; False = of the last epoch


def encoder_stage(
    config: FitConfig,
    module: nn.Module,
    loss: Callable[[Data], Tensor],
    draw: Callable[[int], Data],
    watched: Data,
    keep_best: bool = True,
) -> Stage:
    """Stage 1 with the settings of the configuration."""
    return Stage(
        name="autoencoder",
        module=module,
        loss=loss,
        draw=draw,
        watched=watched,
        epochs=config.epochs_autoencoder,
        patience=config.patience_autoencoder,
        batch=config.batch_autoencoder,
        lr=config.lr_autoencoder,
        weight_decay=config.weight_decay_autoencoder,
        keep_best=keep_best,
    )


def flow_stage(
    config: FitConfig,
    module: nn.Module,
    loss: Callable[[Data], Tensor],
    draw: Callable[[int], Data],
    watched: Tensor,
) -> Stage:
    """Stage 2 on features (n, D) of the fitted and the held-out normals, with the settings of the configuration."""
    return Stage(
        name="flow",
        module=module,
        loss=loss,
        draw=draw,
        watched=(watched,),
        epochs=config.epochs_flow,
        patience=config.patience_flow,
        batch=config.batch_flow,
        lr=config.lr_flow,
        weight_decay=config.weight_decay_flow,
    )


def rows_of(data: Data, index: Tensor | slice) -> Data:
    """The rows at `index` of every tensor."""
    return tuple(tensor[index] for tensor in data)


class Trainer:
    """Run one stage to its end: epochs, early stopping, a checkpoint after every epoch.

    Many attributes: the inputs of one stage and the state that the checkpoint saves.

    Args:
        stage: the stage to train.
        modules: all modules whose weights go into the checkpoint.
        path: of the checkpoint.
        identity: configuration and data; a checkpoint with another identity is rejected.
        history: finished epochs by stage; the list of this stage is extended.
        config: of the fit.
        progress: display of batches and epochs.
        saved: the checkpoint to resume from; None = start.
    """

    def __init__(
        self,
        stage: Stage,
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
        # Each stage has its own seed, so stage 2 does not depend on the number of epochs of stage 1.
        torch.manual_seed(config.seed + 1 + STAGES.index(stage.name))
        if saved and saved["stage"] == stage.name:
            self.optimiser.load_state_dict(saved["optimiser"])
            self.best_loss, self.waited, self.best = saved["best_loss"], saved["waited"], saved["best"]
            torch.set_rng_state(saved["rng"])
            if saved["rng_cuda"] and torch.cuda.is_available():
                torch.cuda.set_rng_state_all(saved["rng_cuda"])

    def run(self) -> None:
        """Train until the last epoch or until patience runs out, then restore the best weights."""
        stage = self.stage
        self.progress.stage(stage.name, stage.epochs, len(self.rows))
        while len(self.rows) < stage.epochs and self.waited < stage.patience:
            self._epoch()
            self._save()
            row = self.rows[-1]
            note = f"train {row['train']:.5g}  held out {row['held_out']:.5g}  {row['seconds']:.1f} s"
            self.progress.epoch(stage.name, len(self.rows), stage.epochs, note)
        if stage.keep_best:
            stage.module.load_state_dict(self.best)
        total_s = sum(row["seconds"] for row in self.rows)
        self.progress.end_stage(
            f"{stage.name}: best held-out loss {self.best_loss:.5g}, {len(self.rows)} epochs, {total_s:.0f} s"
        )

    def _epoch(self) -> None:
        stage, began_s = self.stage, time.monotonic()
        # Half a cosine: large steps first, small steps at the end, so that the loss settles.
        lr = stage.lr * 0.5 * (1 + math.cos(math.pi * len(self.rows) / stage.epochs))
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        stage.module.train()
        total = torch.zeros((), dtype=torch.float64)
        fitted = stage.draw(len(self.rows) + 1)
        n = len(fitted[0])
        batches = torch.split(torch.randperm(n).to(fitted[0].device), stage.batch)
        self.progress.batches(len(batches))
        for done, rows in enumerate(batches, start=1):
            loss = stage.loss(rows_of(fitted, rows))
            self.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(stage.module.parameters(), self.config.gradient_clip)
            self.optimiser.step()
            total += loss.detach().double().cpu() * len(rows)
            self.progress.batch(done)
        held_out = self._watch()
        train = float(total) / n
        if not (math.isfinite(train) and math.isfinite(held_out)):
            raise FitError(
                f"{stage.name}: the loss is not finite in epoch {len(self.rows) + 1}; "
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
        watched, total = self.stage.watched, 0.0
        n = len(watched[0])
        for start in range(0, n, WATCH_BATCH):
            part = rows_of(watched, slice(start, start + WATCH_BATCH))
            total += float(self.stage.loss(part)) * len(part[0])
        return total / n

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


def read_checkpoint(path: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """The checkpoint to resume from; None if there is none."""
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
                "give the same settings to resume it, or another --out"
            )
    return saved
