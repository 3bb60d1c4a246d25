"""Figures of a fit and of an evaluation, as PNG. No display is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

__all__ = ["training_curves"]

_DPI = 120
# Okabe and Ito's colours, told apart with any colour vision; normal is dark, the abnormal classes bright.
COLOURS: Mapping[str, str] = {
    "N": "#333333",
    "S": "#0072B2",
    "V": "#D55E00",
    "F": "#009E73",
    "Q": "#CC79A7",
}
CLASS_NAMES: Mapping[str, str] = {
    "N": "normal",
    "S": "supraventricular",
    "V": "ventricular",
    "F": "fusion",
    "Q": "paced or unknown",
}


def training_curves(history: Mapping[str, Sequence[Mapping[str, float]]], path: Path) -> None:
    """Training and held-out loss of both stages over the epochs, the best epoch marked."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    units = {"autoencoder": "mean squared error", "flow": "-log p, nats"}
    for axes, (stage, rows) in zip(
        np.atleast_1d(figure.subplots(1, len(history))), history.items(), strict=True
    ):
        axes.set(title=stage, xlabel="epoch", ylabel=units.get(stage, "loss"))
        if not rows:
            continue
        epochs = [row["epoch"] for row in rows]
        held_out = [row["held_out"] for row in rows]
        best = int(np.argmin(held_out))
        axes.plot(epochs, [row["train"] for row in rows], color="#0072B2", label="training normals")
        axes.plot(epochs, held_out, color="#D55E00", label="held-out normals")
        axes.plot(epochs[best], held_out[best], "o", color="#D55E00", label=f"best: {held_out[best]:.4g}")
        axes.legend(frameon=False)
        axes.grid(alpha=0.25)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=_DPI)
