"""Normalisation of beats: the one piece of torch code that training and the exported graph share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from detector.short_repr import short_repr

__all__ = ["KINDS", "Kind", "Normalisation", "Normalise", "fit_normalisation", "scale_beats"]

Kind = Literal["per_sample", "unit_peak_to_peak", "range01"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# A beat flatter than this, in the unit of the beat (1 uV for mV), is not scaled to full height: that would amplify the
# rounding noise of a flat line.
PEAK_TO_PEAK_MIN = 1e-3
# A sample position that is constant over the training beats (zero padding) is only shifted; the published recipe has
# the same limit.
STD_MIN = 1e-6


@dataclass(frozen=True, eq=False, slots=True)
class Normalisation:
    """Normalisation of a beat: optional scaling of the beat by its own range, then (x - mean) / std.

    Attributes:
        kind: `per_sample`: no scaling; `unit_peak_to_peak`: x / max(ptp(x), 1e-3);
            `range01`: (x - min(x)) / max(max(x) - min(x), 1e-3).
        mean: (L,) float64, mean per sample position of the scaled training normals.
        std: (L,) float64, their standard deviation, all over 0.

    Raises:
        ValueError: unknown kind, shapes that differ, values not finite, or a std of 0 or less.
    """

    kind: Kind
    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    __repr__ = short_repr

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"normalisation {self.kind!r} is unknown; one of {', '.join(KINDS)}")
        for name in ("mean", "std"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        if self.mean.ndim != 1 or self.mean.shape != self.std.shape:
            raise ValueError(f"mean {self.mean.shape} and std {self.std.shape} must be vectors of one length")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.std).all()):
            raise ValueError("mean or std of the normalisation is not finite")
        if not (self.std > 0).all():
            raise ValueError(f"std of sample {int(self.std.argmin())} is {self.std.min()}; it must be over 0")


def scale_beats(beats: Tensor, kind: Kind) -> Tensor:
    """Scale each beat (n, L) by its own range according to `kind`; the first step of a Normalisation."""
    if kind == "per_sample":
        return beats
    low = beats.amin(dim=-1, keepdim=True)
    height = (beats.amax(dim=-1, keepdim=True) - low).clamp_min(PEAK_TO_PEAK_MIN)
    return beats / height if kind == "unit_peak_to_peak" else (beats - low) / height


class Normalise(nn.Module):
    """A Normalisation as a module: beats in the unit of the beat definition in, normalised beats out, (n, L).

    Attributes:
        mean, std: (L,) buffers, float32; not persistent, so they stay out of the published weight layout.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, normalisation: Normalisation) -> None:
        super().__init__()
        self.kind: Kind = normalisation.kind
        self.register_buffer("mean", torch.tensor(normalisation.mean, dtype=torch.float32), persistent=False)
        self.register_buffer("std", torch.tensor(normalisation.std, dtype=torch.float32), persistent=False)

    def forward(self, beats: Tensor) -> Tensor:
        """Normalise beats (n, L)."""
        return (scale_beats(beats, self.kind) - self.mean) / self.std


def fit_normalisation(kind: Kind, beats: ArrayLike) -> Normalisation:
    """Normalisation fitted to training normals.

    Args:
        kind: see Normalisation.
        beats: (n, L), n at least 2, in the unit of the beat definition; normal training beats only.

    Returns:
        Normalisation with mean and (population) std per sample; std 1 where a sample position is constant.

    Raises:
        ValueError: another shape, fewer than two beats, values that are not finite, unknown kind.
    """
    values = torch.from_numpy(np.array(beats, dtype=np.float64))
    if values.ndim != 2 or len(values) < 2:
        raise ValueError(f"beats have shape {tuple(values.shape)}; (n, samples) with n >= 2 is needed")
    if kind not in KINDS:
        raise ValueError(f"normalisation {kind!r} is unknown; one of {', '.join(KINDS)}")
    if not torch.isfinite(values).all():
        raise ValueError("beats hold values that are not finite; remove such beats from the training data")
    scaled = scale_beats(values, kind)
    std = scaled.std(dim=0, correction=0)
    std = torch.where(std < STD_MIN, torch.ones_like(std), std)
    return Normalisation(kind, scaled.mean(dim=0).numpy(), std.numpy())
