"""How a beat is shown to the encoder: the one piece of torch code that training and the exported graph share.

`PatientView` sets it beside what is usual for the patient, `LoneView` shows it alone (protocol `kaggle`, whose beats
have neither order nor patient).
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from detector import CONTEXT_FIELDS
from train.perturb import QRS

__all__ = ["SHAPE", "LoneView", "PatientView", "View"]

SHAPE: Final = slice(62 - 17, 62 + 43 + 1)  # -136 to +344 ms: QRS and T wave, as `detector.template`
_AMPLITUDE_MIN_MV: Final = 0.05
_CLIP: Final = 8.0  # usual heights: what is further out is as strange as can be
_FIELD: Final = {name: k for k, name in enumerate(CONTEXT_FIELDS)}
_USUAL_RR_S: Final = 0.8

Shown = tuple[Tensor, Tensor, Tensor]


def _norm(part: Tensor) -> Tensor:
    """Euclidean norm of the rows (n, L), padded to whole vector registers.

    onnxruntime sums a row in an order that depends on how it is aligned; so its last bit does not depend on the beats
    beside it.
    """
    return nn.functional.pad(part.square(), (0, -part.shape[1] % 16)).sum(dim=1).sqrt()


class View(nn.Module):
    """Base of the views.

    Attributes:
        channels: signals shown side by side.
        numbers: further numbers beside them.
        evidence: scores without learning that the view can give.
    """

    channels: int
    numbers: int
    evidence: tuple[str, ...] = ()

    def forward(self, beats: Tensor, templates: Tensor | None = None, values: Tensor | None = None) -> Shown:
        """Show beats.

        Args:
            beats: (n, 187).
            templates: (n, 2, 187), NaN = not known; None where the view needs none.
            values: (n, 8), NaN = not known; None where the view needs none.

        Returns:
            Signals (n, channels, 187), numbers (n, numbers), evidence (n, len(evidence)), higher = more anomalous.
        """
        raise NotImplementedError

    def to_rebuild(self, signals: Tensor) -> Tensor:
        """What the decoder of stage 1 is asked for, (n, 187)."""
        return signals[:, 0]


class LoneView(View):
    """A beat of the public set: scaled to 0..1, padded with zeros; no patient."""

    channels = 2
    numbers = 0

    def forward(self, beats: Tensor, *_: Tensor | None) -> Shown:
        """The beat around 0, and where it is (not padding)."""
        signals = torch.stack((2 * beats - 1, (beats > 0).to(beats.dtype)), dim=1)
        return signals, beats[:, :0], beats[:, :0]


class PatientView(View):
    """What a beat of the stream differs by from both templates, in the patient's QRS heights, and the rhythm.

    The beat itself is shown only where the patient is not known yet: twenty-two patients are too few to learn from
    them what any patient's beat looks like, and enough to learn what a difference means.
    """

    channels = 3
    numbers = 11
    evidence = ("template", "steady")

    def forward(self, beats: Tensor, templates: Tensor | None = None, values: Tensor | None = None) -> Shown:
        """See `View.forward`; evidence is the template score against either template, 0 where not known."""
        if templates is None or values is None:
            raise ValueError("the patient's templates and values are needed; NaN where not known")
        amplitude = values[:, _FIELD["amplitude_mv"]]
        known = ~torch.isnan(amplitude)  # (n,)
        own = beats[:, QRS].amax(dim=1) - beats[:, QRS].amin(dim=1)
        height = torch.where(known, amplitude, own).clamp_min(_AMPLITUDE_MIN_MV)[:, None]
        usual, steady = (torch.where(known[:, None], templates[:, k], beats) for k in (0, 1))
        apart, apart_steady = (beats - usual) / height, (beats - steady) / height
        shown = torch.where(known[:, None], 0.0, beats / height)
        signals = torch.stack((shown, apart, apart_steady), dim=1).clamp(-_CLIP, _CLIP)

        residual, residual_steady = (_norm(part[:, SHAPE]) for part in (apart, apart_steady))
        rhythm = self._rhythm(values)
        usual_residual = values[:, _FIELD["usual_residual"]]
        usual_residual = torch.where(torch.isnan(usual_residual), 0.5, usual_residual).clamp_min(0.1)
        shape = torch.stack(
            (
                torch.log(residual + 0.05),
                torch.log((residual + 0.05) / (usual_residual + 0.05)),
                torch.log(residual_steady + 0.05),
            ),
            dim=1,
        )
        numbers = torch.cat((rhythm, torch.where(known[:, None], shape, 0.0)), dim=1).clamp(-5.0, 5.0)
        early, early_8, early_long = (-rhythm[:, k].clamp_max(0.0) / 3 for k in range(3))
        template = 0.4 * residual + early + early_8
        steady_score = 0.4 * residual_steady + early_long + early_8
        evidence = torch.where(known[:, None], torch.stack((template, steady_score), dim=1), 0.0)
        return signals, numbers, evidence

    def to_rebuild(self, signals: Tensor) -> Tensor:
        """The beat where it is shown, else what it differs by from the template."""
        return signals[:, 0] + signals[:, 1]

    def without_context(self, values: Tensor) -> Tensor:
        """The values of beats of which nothing is known but their own interval."""
        own = torch.arange(values.shape[1], device=values.device) == _FIELD["rr_s"]
        return torch.where(own, values, torch.nan)

    @staticmethod
    def _rhythm(values: Tensor) -> Tensor:
        """(n, 8): logarithms of the interval over what is usual, scaled to about 1; 0 where not known."""

        def log_ratio(over: str, under: str) -> Tensor:
            return torch.log(values[:, _FIELD[over]] / values[:, _FIELD[under]])

        absolute = torch.log(values[:, _FIELD["rr_s"]] / _USUAL_RR_S)
        variability = values[:, _FIELD["rr_variability"]]
        rows = (
            3 * log_ratio("rr_s", "rr_median_s"),
            3 * log_ratio("rr_s", "rr_median_8_s"),
            3 * log_ratio("rr_s", "rr_long_s"),
            3 * log_ratio("rr_s", "rr_before_s"),
            2 * absolute,
            4 * variability.clamp_max(1.0),
            3 * log_ratio("rr_median_8_s", "rr_median_s"),
            torch.ones_like(absolute) + 0 * variability,  # 1 = the rhythm is known
        )
        rhythm = torch.stack(rows, dim=1)
        return torch.where(torch.isnan(rhythm), 0.0, rhythm)
