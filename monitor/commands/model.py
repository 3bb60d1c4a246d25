"""Load the model of the configuration; its errors become `monitor.errors.ModelError`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.config import ModelConfig
from monitor.errors import ModelError

if TYPE_CHECKING:
    from detector.scorer import Scorer

__all__ = ["load_scorer"]


def load_scorer(model: ModelConfig) -> Scorer:
    """Load the model.

    Raises:
        ModelError: the file is missing, is not ONNX, or does not fit this version.
    """
    from detector import scorer

    try:
        return scorer.Scorer(model.path or None, model.threads)
    except scorer.ModelError as error:
        raise ModelError(str(error)) from None
