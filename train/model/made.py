"""MADE: a masked multilayer perceptron whose output d depends only on the inputs before d."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["MADE", "MaskedLinear", "autoregressive_masks", "hidden_degrees"]


def hidden_degrees(input_dim: int, units: int, generator: torch.Generator | None = None) -> Tensor:
    """Degrees m(k) of one hidden layer: unit k may see the inputs 1 to m(k).

    Deviation from the paper: by default the degrees are spread evenly over [1, D-1] instead of drawn at random. No
    input is lost by chance, and two models of the same shape have the same masks.

    Args:
        input_dim: D, at least 1.
        units: width of the layer.
        generator: draws the degrees uniformly, as in the paper; None spreads them evenly.

    Returns:
        (units,) int64 degrees within [1, max(1, D-1)].
    """
    highest = max(1, input_dim - 1)  # D = 1: the only output depends on no input in any case
    if generator is not None:
        return torch.randint(1, highest + 1, (units,), generator=generator)
    return torch.linspace(1, highest, units, dtype=torch.float64).round().long()


def autoregressive_masks(
    input_dim: int, hidden_dims: Sequence[int], generator: torch.Generator | None = None
) -> list[Tensor]:
    """Masks of all layers of a MADE, inputs in their natural order 1 to D.

    As in Germain et al., equations 8 and 9: a hidden unit is connected to units of at most its own degree (`>=`),
    output d to units of a smaller degree (strict `>`). The product of all masks is strictly lower triangular, so output
    d depends on inputs 1 to d-1.

    Args:
        input_dim: D, at least 1.
        hidden_dims: widths of the hidden layers, at least one.
        generator: draws random hidden degrees; None spreads them evenly.

    Returns:
        One (out, in) float mask of zeros and ones per layer; the last has 2 D rows, the output mask twice.
    """
    degrees = torch.arange(1, input_dim + 1)
    masks = []
    for units in hidden_dims:
        following = hidden_degrees(input_dim, units, generator)
        masks.append((following[:, None] >= degrees[None, :]).float())
        degrees = following
    output = torch.arange(1, input_dim + 1)
    masks.append((output[:, None] > degrees[None, :]).float().repeat(2, 1))  # mu and log-sigma alike
    return masks


class MaskedLinear(nn.Linear):
    """Linear layer whose weight is multiplied by a fixed mask: y = x (W * M)^T + b.

    Attributes:
        mask: (out_features, in_features) persistent buffer of zeros and ones, saved with the weights.
    """

    mask: Tensor

    def __init__(self, in_features: int, out_features: int, mask: Tensor | None = None) -> None:
        super().__init__(in_features, out_features)
        self.register_buffer("mask", torch.ones_like(self.weight))
        if mask is not None:
            self.mask.copy_(mask)

    def masked_weight(self) -> Tensor:
        """Effective weight, (out_features, in_features)."""
        return self.weight * self.mask

    def forward(self, x: Tensor) -> Tensor:
        """Map x (n, in_features) to (n, out_features)."""
        return functional.linear(x, self.masked_weight(), self.bias)


class MADE(nn.Module):
    """Masked autoencoder for distribution estimation: (mu_d, log-sigma_d) as functions of x_1 to x_{d-1}.

    References:
        Germain, Gregor, Murray, Larochelle: MADE: Masked Autoencoder for Distribution Estimation. ICML 2015,
        https://arxiv.org/abs/1502.03509

    Args:
        input_dim: D, at least 1. With D = 1 mu and log-sigma are two free constants.
        hidden_dims: widths of the hidden layers, at least one, each at least 1.
        generator: draws random hidden degrees; None (default) spreads them evenly.

    Attributes:
        network: MaskedLinear, ReLU, ..., MaskedLinear; the output holds D values of mu, then D of log-sigma.

    Raises:
        ValueError: a dimension under 1, or no hidden layer.
    """

    def __init__(self, input_dim: int, hidden_dims: Sequence[int], generator: torch.Generator | None = None) -> None:
        super().__init__()
        if input_dim < 1:
            raise ValueError(f"input_dim is {input_dim}; it must be at least 1")
        if not hidden_dims or min(hidden_dims) < 1:
            raise ValueError(f"hidden_dims is {list(hidden_dims)}; it needs one or more widths of at least 1")
        self.input_dim = input_dim
        self.hidden_dims = tuple(hidden_dims)
        masks = autoregressive_masks(input_dim, self.hidden_dims, generator)
        widths = [input_dim, *self.hidden_dims, 2 * input_dim]
        layers: list[nn.Module] = []
        for fan_in, fan_out, mask in zip(widths[:-1], widths[1:], masks, strict=True):
            layers += [MaskedLinear(fan_in, fan_out, mask), nn.ReLU()]
        self.network = nn.Sequential(*layers[:-1])  # no ReLU after the output

    def masked_layers(self) -> list[MaskedLinear]:
        """The masked layers from input to output."""
        return [layer for layer in self.network if isinstance(layer, MaskedLinear)]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Parameters of every conditional in one pass.

        Args:
            x: (n, D).

        Returns:
            mu (n, D) and log-sigma (n, D), unbounded; column d depends only on the columns before d.
        """
        mu, log_sigma = self.network(x).chunk(2, dim=-1)  # 2 x (n, D)
        return mu, log_sigma
