"""Encoder input of a beat: the one piece of torch code that training and the exported graph share.

`PatientInput` compares the beat with the patient's usual beat and rhythm. `LoneInput` takes the beat alone (protocol
`kaggle`, whose beats have neither order nor patient).
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from detector import CONTEXT_FIELDS, QRS, QRS_AND_T

__all__ = ["BeatInput", "LoneInput", "PatientInput"]

_AMPLITUDE_MIN_MV: Final = 0.05
_CLIP: Final = 8.0  # QRS heights; a larger deviation adds no information
_FIELD: Final = {name: k for k, name in enumerate(CONTEXT_FIELDS)}
_USUAL_RR_S: Final = 0.8
_ABSOLUTE: Final = 4  # index of the only number known without context: the RR interval itself

Prepared = tuple[Tensor, Tensor, Tensor]


def _norm(part: Tensor) -> Tensor:
    """Euclidean norm (n, 2) of rows (n, 2, L), padded to whole vector registers.

    onnxruntime sums a row in an order that depends on its alignment. With the padding, the last bit of a row does not
    depend on the other beats of the batch.
    """
    return nn.functional.pad(part.square(), (0, -part.shape[2] % 16)).sum(dim=2).sqrt()


def _column(values: Tensor, name: str) -> Tensor:
    """One column of the context values, (n, 1)."""
    return values[:, _FIELD[name], None]


def _columns(values: Tensor, *names: str) -> Tensor:
    """Some columns of the context values, (n, len(names))."""
    return values.index_select(1, torch.tensor([_FIELD[name] for name in names], device=values.device))


class BeatInput(nn.Module):
    """Base class of the encoder inputs.

    Attributes:
        shown: value of the ONNX metadata key `shown`.
        channels: number of signals.
        numbers: count of further numbers.
        evidence: names of the scores that need no learning.
    """

    shown: str
    channels: int
    numbers: int
    evidence: tuple[str, ...] = ()

    def forward(self, beats: Tensor, templates: Tensor | None = None, values: Tensor | None = None) -> Prepared:
        """Prepare beats for the encoder.

        Args:
            beats: (n, 187).
            templates: (n, 2, 187), NaN = unknown; None if this input needs none.
            values: (n, 8), NaN = unknown; None if this input needs none.

        Returns:
            Signals (n, channels, 187), numbers (n, numbers), evidence (n, len(evidence)), higher = more anomalous.
        """
        raise NotImplementedError

    def decoder_target(self, signals: Tensor) -> Tensor:
        """Target of the decoder of stage 1, (n, 187)."""
        return signals[:, 0]


class LoneInput(BeatInput):
    """A beat of the public set: scaled to 0..1, padded with zeros; no patient."""

    shown = "LoneView"
    channels = 2
    numbers = 0

    def forward(self, beats: Tensor, *_: Tensor | None) -> Prepared:
        """The beat centred on 0, and a mask that is 0 in the padding."""
        signals = torch.stack((2 * beats - 1, (beats > 0).to(beats.dtype)), dim=1)
        return signals, beats[:, :0], beats[:, :0]


class PatientInput(BeatInput):
    """Difference of a stream beat to both templates, in the patient's QRS heights, and the rhythm.

    The beat itself is used only while the patient is unknown. Twenty-two training patients are too few to learn the
    shape of any patient's beat, but enough to learn what a difference means.
    """

    shown = "PatientView"
    channels = 3
    numbers = 11
    evidence = ("template", "steady")

    def forward(self, beats: Tensor, templates: Tensor | None = None, values: Tensor | None = None) -> Prepared:
        """See `BeatInput.forward`; evidence: template score against each template, 0 where unknown."""
        if templates is None or values is None:
            raise ValueError("the patient's templates and values are needed; NaN where unknown")
        amplitude = _column(values, "amplitude_mv")
        known = ~torch.isnan(amplitude)  # (n, 1)
        height = torch.where(known, amplitude, self._own_height(beats)).clamp_min(_AMPLITUDE_MIN_MV)
        # As few operations as possible, here and below: in the exported graph each costs some microseconds a call.
        difference = (beats[:, None] - templates) / height[:, :, None]  # (n, 2, 187)
        difference = torch.where(known[:, :, None], difference, 0.0)
        alone = torch.where(known, 0.0, beats / height)
        signals = torch.cat((alone[:, None], difference), dim=1).clamp(-_CLIP, _CLIP)

        residual = _norm(difference[:, :, QRS_AND_T])
        rhythm = self._rhythm(values)
        usual_residual = _column(values, "usual_residual")
        usual_residual = torch.where(torch.isnan(usual_residual), 0.5, usual_residual).clamp_min(0.1)
        size = residual + 0.05
        shape = torch.log(torch.cat((size[:, :1], size[:, :1] / (usual_residual + 0.05), size[:, 1:]), dim=1))
        numbers = torch.cat((rhythm, torch.where(known, shape, 0.0)), dim=1).clamp(-5.0, 5.0)
        early = -rhythm[:, :3].clamp_max(0.0) / 3  # against the median, the last eight, the long intervals
        evidence = 0.4 * residual + early[:, ::2] + early[:, 1:2]
        return signals, numbers, torch.where(known, evidence, 0.0)

    def with_and_without_context(self, beats: Tensor, templates: Tensor, values: Tensor) -> Prepared:
        """The output of `forward`, followed by its output `without_context`, for one encoding of both.

        Without context only the beat and its RR interval are not constant: all differences are 0.

        Returns:
            Signals (2n, 3, 187), numbers (2n, 11); evidence (n, 2) with context (without context it is 0).
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

    def decoder_target(self, signals: Tensor) -> Tensor:
        """The beat if the patient is unknown, else its difference to the template."""
        return signals[:, 0] + signals[:, 1]

    def without_context(self, values: Tensor) -> Tensor:
        """Context values with everything but the RR interval unknown."""
        own = torch.arange(values.shape[1], device=values.device) == _FIELD["rr_s"]
        return torch.where(own, values, torch.nan)

    @staticmethod
    def _rhythm(values: Tensor) -> Tensor:
        """(n, 8): logarithms of the RR interval over its usual values, scaled to about 1; 0 where unknown."""
        over = _columns(values, "rr_s", "rr_s", "rr_s", "rr_s", "rr_median_8_s")
        under = _columns(values, "rr_median_s", "rr_median_8_s", "rr_long_s", "rr_before_s", "rr_median_s")
        ratios = 3 * torch.log(over / under)
        absolute = 2 * torch.log(_column(values, "rr_s") / _USUAL_RR_S)
        variability = _column(values, "rr_variability")
        known = 1 + 0 * variability  # 1 = the rhythm is known
        terms = (ratios[:, :4], absolute, 4 * variability.clamp_max(1.0), ratios[:, 4:], known)
        rhythm = torch.cat(terms, dim=1)
        return torch.where(torch.isnan(rhythm), 0.0, rhythm)
