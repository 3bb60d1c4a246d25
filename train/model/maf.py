"""MAF: a stack of affine autoregressive flows, with exact density, inverse and sampling."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from train.model.made import MADE

__all__ = ["LOG_SIGMA_MAX", "MAF", "MAFLayer", "standard_normal_log_prob"]

# Bounds of log-sigma: a layer scales a coordinate by at most e^2. One sample cannot get unbounded density from a
# collapsed conditional, and exp() never overflows in float32.
LOG_SIGMA_MAX = 2.0


def standard_normal_log_prob(z: Tensor) -> Tensor:
    """Log density, nats, (n,), of z (n, D) under the standard normal distribution of D dimensions."""
    return -0.5 * (z.square().sum(dim=-1) + z.shape[-1] * math.log(2.0 * math.pi))


class MAFLayer(nn.Module):
    """One affine autoregressive flow: z = (x - mu) / exp(log-sigma).

    Mu_d and log-sigma_d are functions of x_1 to x_{d-1}, given by a MADE.
    The Jacobian dz/dx is triangular with diagonal exp(-log-sigma), so its log-determinant is exactly the
    negative sum of log-sigma: O(D).

    Args:
        input_dim: D, at least 1.
        hidden_dims: widths of the hidden layers of the MADE.
        reverse: True: the coordinates are flipped before the MADE and z is flipped back, so the dependence
            runs from the last coordinate to the first.
        generator: draws random hidden degrees; None spreads them evenly.
    """

    def __init__(
        self,
        input_dim: int,
        hidden_dims: Sequence[int],
        reverse: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.reverse = reverse
        self.made = MADE(input_dim, hidden_dims, generator)

    def _conditionals(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mu and clamped log-sigma, (n, D) each, of x in the MADE's own order."""
        mu, log_sigma = self.made(x)
        return mu, log_sigma.clamp(-LOG_SIGMA_MAX, LOG_SIGMA_MAX)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Data to noise, one pass.

        Args:
            x: (n, D).

        Returns:
            z (n, D), and log |det dz/dx| (n,), nats.
        """
        if self.reverse:
            x = x.flip(-1)
        mu, log_sigma = self._conditionals(x)
        z = (x - mu) * torch.exp(-log_sigma)
        if self.reverse:
            z = z.flip(-1)
        return z, -log_sigma.sum(dim=-1)

    def inverse(self, z: Tensor) -> Tensor:
        """Noise to data, D passes: coordinate d needs all coordinates before it.

        Args:
            z: (n, D).

        Returns:
            x (n, D) with `forward(x)[0] == z`.
        """
        if self.reverse:
            z = z.flip(-1)
        x = torch.zeros_like(z)
        for d in range(z.shape[-1]):
            mu, log_sigma = self._conditionals(x)
            x_d = z[:, d] * torch.exp(log_sigma[:, d]) + mu[:, d]
            x = torch.cat([x[:, :d], x_d[:, None], x[:, d + 1 :]], dim=-1)  # no write in place: autograd
        return x.flip(-1) if self.reverse else x


class MAF(nn.Module):
    """Masked autoregressive flow: a density over vectors whose log-likelihood is exact.

    log p(x) = log N(z; 0, I) + sum over layers of log |det dz/dx|. Every second layer runs in reversed order, so no
    coordinate is always first.

    Deviations from the paper: no batch normalisation between layers (in training its statistics would make the density
    of one beat depend on the others), and log-sigma is clamped (see LOG_SIGMA_MAX).

    References:
        Papamakarios, Pavlakou, Murray: Masked Autoregressive Flow for Density Estimation. NeurIPS 2017,
        https://arxiv.org/abs/1705.07057

    Args:
        input_dim: D, at least 1.
        n_layers: number of flow layers, at least 1.
        hidden_dims: widths of the hidden layers of each MADE.
        generator: draws random hidden degrees; None spreads them evenly.

    Raises:
        ValueError: a size under 1.
    """

    def __init__(
        self,
        input_dim: int,
        n_layers: int = 8,
        hidden_dims: Sequence[int] = (512, 512),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if n_layers < 1:
            raise ValueError(f"n_layers is {n_layers}; it must be at least 1")
        self.input_dim = input_dim
        self.layers = nn.ModuleList(
            MAFLayer(input_dim, hidden_dims, reverse=i % 2 == 1, generator=generator) for i in range(n_layers)
        )

    def flow_layers(self) -> list[MAFLayer]:
        """The layers from data to noise."""
        return [layer for layer in self.layers if isinstance(layer, MAFLayer)]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Data to noise.

        Args:
            x: (n, D).

        Returns:
            z (n, D), and log |det dz/dx| (n,), nats.
        """
        log_det = torch.zeros_like(x[:, 0])
        for layer in self.layers:
            x, layer_log_det = layer(x)
            log_det = log_det + layer_log_det
        return x, log_det

    def log_prob(self, x: Tensor) -> Tensor:
        """Exact log density of x (n, D): (n,), nats; higher = more like the training data."""
        z, log_det = self.forward(x)
        return standard_normal_log_prob(z) + log_det

    def inverse(self, z: Tensor) -> Tensor:
        """Noise z (n, D) to data x (n, D) with `forward(x)[0] == z`; n_layers x D passes."""
        for layer in reversed(self.flow_layers()):
            z = layer.inverse(z)
        return z

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n vectors, (n, D).

        Args:
            n: number of vectors; 0 gives an empty tensor.
            generator: source of randomness, on the model's device; None = torch's own.
        """
        like = next(self.parameters())
        z = torch.randn(n, self.input_dim, generator=generator, device=like.device, dtype=like.dtype)
        return self.inverse(z)
