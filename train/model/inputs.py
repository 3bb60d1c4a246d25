"""How a beat is shown to the encoder: the one piece of torch code that training and the exported graph share.

`PatientView` sets it beside what is usual for the patient, `LoneView` shows it alone (protocol `kaggle`, whose beats
have neither order nor patient).
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from detector import CONTEXT_FIELDS
from train.data.perturb import QRS

__all__ = ["SHAPE", "BeatInput", "LoneView", "PatientView"]

SHAPE: Final = slice(62 - 17, 62 + 43 + 1)  # -136 to +344 ms: QRS and T wave, as `detector.template`
_AMPLITUDE_MIN_MV: Final = 0.05
_CLIP: Final = 8.0  # usual heights: what is further out is as strange as can be
_FIELD: Final = {name: k for k, name in enumerate(CONTEXT_FIELDS)}
_USUAL_RR_S: Final = 0.8
_ABSOLUTE: Final = 4  # of the numbers: the one that a lone beat has, its own interval

Shown = tuple[Tensor, Tensor, Tensor]


def _norm(part: Tensor) -> Tensor:
    """Euclidean norm (n, 2) of rows (n, 2, L), padded to whole vector registers.

    onnxruntime sums a row in an order that depends on how it is aligned; so its last bit does not depend on the beats
    beside it.
    """
    return nn.functional.pad(part.square(), (0, -part.shape[2] % 16)).sum(dim=2).sqrt()


def _column(values: Tensor, name: str) -> Tensor:
    """One of the context's values, (n, 1)."""
    return values[:, _FIELD[name], None]


def _columns(values: Tensor, *names: str) -> Tensor:
    """Some of the context's values, (n, len(names))."""
    return values.index_select(1, torch.tensor([_FIELD[name] for name in names], device=values.device))


class BeatInput(nn.Module):
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


class LoneView(BeatInput):
    """A beat of the public set: scaled to 0..1, padded with zeros; no patient."""

    channels = 2
    numbers = 0

    def forward(self, beats: Tensor, *_: Tensor | None) -> Shown:
        """The beat around 0, and where it is (not padding)."""
        signals = torch.stack((2 * beats - 1, (beats > 0).to(beats.dtype)), dim=1)
        return signals, beats[:, :0], beats[:, :0]


class PatientView(BeatInput):
    """What a beat of the stream differs by from both templates, in the patient's QRS heights, and the rhythm.

    The beat itself is shown only where the patient is not known yet: twenty-two patients are too few to learn from
    them what any patient's beat looks like, and enough to learn what a difference means.
    """

    channels = 3
    numbers = 11
    evidence = ("template", "steady")

    def forward(self, beats: Tensor, templates: Tensor | None = None, values: Tensor | None = None) -> Shown:
        """See `BeatInput.forward`; evidence is the template score against either template, 0 where not known."""
        if templates is None or values is None:
            raise ValueError("the patient's templates and values are needed; NaN where not known")
        amplitude = _column(values, "amplitude_mv")
        known = ~torch.isnan(amplitude)  # (n, 1)
        height = torch.where(known, amplitude, self._own_height(beats)).clamp_min(_AMPLITUDE_MIN_MV)
        # No more operations than needed, here and below: in the exported graph each costs some microseconds a call.
        apart = (beats[:, None] - templates) / height[:, :, None]  # (n, 2, 187)
        apart = torch.where(known[:, :, None], apart, 0.0)
        shown = torch.where(known, 0.0, beats / height)
        signals = torch.cat((shown[:, None], apart), dim=1).clamp(-_CLIP, _CLIP)

        residual = _norm(apart[:, :, SHAPE])
        rhythm = self._rhythm(values)
        usual_residual = _column(values, "usual_residual")
        usual_residual = torch.where(torch.isnan(usual_residual), 0.5, usual_residual).clamp_min(0.1)
        size = residual + 0.05
        shape = torch.log(torch.cat((size[:, :1], size[:, :1] / (usual_residual + 0.05), size[:, 1:]), dim=1))
        numbers = torch.cat((rhythm, torch.where(known, shape, 0.0)), dim=1).clamp(-5.0, 5.0)
        early = -rhythm[:, :3].clamp_max(0.0) / 3  # against the usual, the last eight, the long intervals
        evidence = 0.4 * residual + early[:, ::2] + early[:, 1:2]
        return signals, numbers, torch.where(known, evidence, 0.0)

    def both_looks(self, beats: Tensor, templates: Tensor, values: Tensor) -> Shown:
        """What `forward` shows of the beats, and below it what it shows of them `without_context`, for one encoding.

        The second look is known beforehand but for the beat and its own interval: nothing differs from itself.

        Returns:
            Signals (2n, 3, 187), numbers (2n, 11); evidence (n, 2) of the first look (of the second it is 0).
        """
        signals, numbers, evidence = self(beats, templates, values)
        lone = (beats / self._own_height(beats).clamp_min(_AMPLITUDE_MIN_MV)).clamp(-_CLIP, _CLIP)
        lone_signals = nn.functional.pad(lone[:, None], (0, 0, 0, self.channels - 1))
        own = torch.arange(self.numbers, device=beats.device) == _ABSOLUTE
        return (
            torch.cat((signals, lone_signals)),
            torch.cat((numbers, torch.where(own, numbers, 0.0))),
            evidence,
        )

    @staticmethod
    def _own_height(beats: Tensor) -> Tensor:
        """Height (n, 1) of the beat's own QRS complex, mV."""
        qrs = beats[:, QRS]
        return qrs.amax(dim=1, keepdim=True) - qrs.amin(dim=1, keepdim=True)

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

        over = _columns(values, "rr_s", "rr_s", "rr_s", "rr_s", "rr_median_8_s")
        under = _columns(values, "rr_median_s", "rr_median_8_s", "rr_long_s", "rr_before_s", "rr_median_s")
        ratios = 3 * torch.log(over / under)
        absolute = 2 * torch.log(_column(values, "rr_s") / _USUAL_RR_S)
        variability = _column(values, "rr_variability")
        known = 1 + 0 * variability  # 1 = the rhythm is known
        terms = (ratios[:, :4], absolute, 4 * variability.clamp_max(1.0), ratios[:, 4:], known)
        rhythm = torch.cat(terms, dim=1)
        return torch.where(torch.isnan(rhythm), 0.0, rhythm)
