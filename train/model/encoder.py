"""The convolutional encoder of a beat, and the decoder that trains it in stage 1."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from detector import BEAT_SAMPLES

__all__ = ["ECGDecoder", "ECGEncoder"]

MIN_INPUT_LEN = 8  # two halvings must leave at least the two cells of the adaptive pool


class ECGEncoder(nn.Module):
    """Three convolution blocks and two dense layers: a beat of 187 samples to a vector of 64 features.

    Layout and names in the state dict (`conv_blocks.{0,1,4,5,8,9}`, `fc.{1,4}`) are those of the published model, so
    its weights load.

    Args:
        input_len: samples in a beat, at least 8.
        latent_dim: features, at least 1.
        dropout: share of hidden features dropped in training, 0 to 1.

    Raises:
        ValueError: a size out of range.
    """

    def __init__(self, input_len: int = BEAT_SAMPLES, latent_dim: int = 64, dropout: float = 0.2) -> None:
        super().__init__()
        if input_len < MIN_INPUT_LEN:
            raise ValueError(f"input_len is {input_len}; it must be at least {MIN_INPUT_LEN} samples")
        if latent_dim < 1:
            raise ValueError(f"latent_dim is {latent_dim}; it must be at least 1")
        self.input_len = input_len
        self.latent_dim = latent_dim
        self.conv_blocks = nn.Sequential(  # (n, 1, 187)
            nn.Conv1d(1, 16, kernel_size=7, padding=3),
            nn.BatchNorm1d(16),
            nn.ReLU(),
            nn.MaxPool1d(2),  # (n, 16, 93)
            nn.Conv1d(16, 32, kernel_size=5, padding=2),
            nn.BatchNorm1d(32),
            nn.ReLU(),
            nn.MaxPool1d(2),  # (n, 32, 46)
            nn.Conv1d(32, 64, kernel_size=3, padding=1),
            nn.BatchNorm1d(64),
            nn.ReLU(),
            nn.AdaptiveAvgPool1d(2),  # (n, 64, 2): before and after the middle of the beat
        )
        self.fc = nn.Sequential(
            nn.Flatten(),  # (n, 128)
            nn.Linear(128, 128),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(128, latent_dim),
        )

    def output_layer(self) -> nn.Linear:
        """The last dense layer; its output is the features."""
        return cast("nn.Linear", self.fc[4])

    def forward(self, beats: Tensor) -> Tensor:
        """Features of beats.

        Args:
            beats: (n, input_len), normalised.

        Returns:
            (n, latent_dim).

        Raises:
            ValueError: another shape.
        """
        if beats.ndim != 2 or beats.shape[1] != self.input_len:
            raise ValueError(f"beats have shape {tuple(beats.shape)}; (n, {self.input_len}) is needed")
        features: Tensor = self.fc(self.conv_blocks(beats.unsqueeze(1)))
        return features


class ECGDecoder(nn.Module):
    """A multilayer perceptron from features back to the beat; used in training only.

    Dense, not convolutional: it is cheap, is discarded after stage 1, and has no position prior of its own, so the
    encoder must put the shape of the beat into the features.

    Args:
        latent_dim: features.
        output_len: samples in a beat.
    """

    def __init__(self, latent_dim: int = 64, output_len: int = BEAT_SAMPLES) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(latent_dim, 128),
            nn.ReLU(),
            nn.Linear(128, 256),
            nn.ReLU(),
            nn.Linear(256, output_len),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Reconstruct beats (n, output_len) from features (n, latent_dim)."""
        beats: Tensor = self.network(features)
        return beats
