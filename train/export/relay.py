"""Lay out an exported contextual model anew: the weights of the file, in the graph that the export writes today."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn

from detector import BEAT_SAMPLES
from train.config import FitConfig
from train.export.modules import ExportedContextual, ExportError
from train.export.onnx_file import write_onnx
from train.model.contextual import ContextualECGModel, view_named

__all__ = ["relay"]

_VIEWS = {"LoneView": "lone", "PatientView": "patient"}
_NOT_IN_FILES = re.compile(r"maf\..*|weight$|.*num_batches_tracked")  # in the flow; of the configuration; a counter


def relay(path: Path | str, out: Path | str) -> Path:
    """Write a model file once more, its metadata as they are, for where the run it came from is gone.

    The file must have each weight under the name of its layer, as with one-dimensional convolutions. Today's graph
    has the batch normalisation multiplied into the convolutions, so what this wrote it does not read again.

    Args:
        path: ONNX file of a contextual model.
        out: where to write.

    Returns:
        `out`.

    Raises:
        ExportError: no such file, or one that lacks a weight.
    """
    import onnx

    try:
        proto = onnx.load(str(path))
        strings = {entry.key: entry.value for entry in proto.metadata_props}
        config = msgspec.json.decode(strings["config"], type=FitConfig)
        view = view_named(_VIEWS[strings["shown"]])
    except Exception as error:  # protobuf's and onnx's own exceptions share no public base
        raise ExportError(f"{path}: no file of a contextual model ({str(error).splitlines()[0]})") from None
    arrays = {item.name: torch.from_numpy(onnx.numpy_helper.to_array(item).copy()) for item in proto.graph.initializer}
    sizes = (config.latent_dim, config.n_layers, config.hidden_dims, config.encoder_widths, config.encoder_hidden)
    model = ContextualECGModel(view, *sizes, likelihood_weight=config.likelihood_weight)
    _fill(path, model, "model.", arrays)
    scorer = ExportedContextual(model)
    _fill(path, scorer.flow, "flow.", arrays)
    return write_onnx(scorer, BEAT_SAMPLES, strings, out)


def _fill(path: Path | str, module: nn.Module, prefix: str, arrays: Mapping[str, Tensor]) -> None:
    """Give the module its weights by name."""
    state = module.state_dict()
    for name in state:
        if not _NOT_IN_FILES.match(name):
            array = arrays.get(prefix + name)
            if array is None or array.shape != state[name].shape:
                raise ExportError(f"{path}: has no {prefix}{name} of shape {tuple(state[name].shape)}")
            state[name] = array
    module.load_state_dict(state)
