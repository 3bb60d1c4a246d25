"""Convert one-dimensional convolutions to two-dimensional ones of height 1, which onnxruntime runs a third faster.

Its blocked kernels (NCHWc) exist for two dimensions only, and adaptive pooling is exported as a dozen gathers and
additions. Weights and results stay the same.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

__all__ = ["as_conv2d"]


def as_conv2d(blocks: nn.Sequential, channels: int, length: int) -> nn.Sequential:
    """Convert blocks for (n, channels, length) to blocks for (n, channels, 1, length).

    Args:
        blocks: `Conv1d`, `BatchNorm1d`, `MaxPool1d`, `AdaptiveAvgPool1d`, and modules without a dimension such as
            `ReLU`; not changed.
        channels: of the input.
        length: of the input, samples.

    Returns:
        New modules in evaluation mode; output (n, c, 1, k) instead of (n, c, k).
    """
    x = torch.zeros(1, channels, length)
    modules: list[nn.Module] = []
    with torch.no_grad():
        for block in copy.deepcopy(blocks).eval():
            modules.append(_block_2d(block, x.shape[2]))
            x = block(x)
    return nn.Sequential(*modules).eval()


def _block_2d(block: nn.Module, length: int) -> nn.Module:
    """One block for two dimensions; `length` of its input, samples."""
    if isinstance(block, nn.MaxPool1d):
        return nn.MaxPool2d((1, _one(block.kernel_size)), (1, _one(block.stride)))
    if isinstance(block, nn.AdaptiveAvgPool1d):
        return _average_pool(length, _one(block.output_size))
    converted: nn.Module
    if isinstance(block, nn.Conv1d):
        kernel, stride, padding = (1, _one(block.kernel_size)), (1, _one(block.stride)), (0, int(block.padding[0]))
        converted = nn.Conv2d(block.in_channels, block.out_channels, kernel, stride, padding)
    elif isinstance(block, nn.BatchNorm1d):
        converted = nn.BatchNorm2d(block.num_features, block.eps)
    else:
        return block
    state = block.state_dict()
    converted.load_state_dict({name: state[name].reshape(own.shape) for name, own in converted.state_dict().items()})
    return converted


def _one(size: int | tuple[int, ...]) -> int:
    """A size given as int or as a tuple of one int."""
    return size if isinstance(size, int) else size[0]


def _average_pool(length: int, cells: int) -> nn.Module:
    """Adaptive average pooling of `length` samples, as plain pooling if that has the same windows."""
    windows = [(i * length // cells, -(-(i + 1) * length // cells)) for i in range(cells)]
    kernel = max(end - start for start, end in windows)
    for padding in range(kernel // 2 + 1):
        stride = windows[1][0] + padding if cells > 1 else kernel
        starts = range(-padding, length + padding - kernel + 1, stride) if stride else ()
        if [(max(start, 0), min(start + kernel, length)) for start in starts] == windows:
            return nn.AvgPool2d((1, kernel), (1, stride), (0, padding), count_include_pad=False)
    return nn.AdaptiveAvgPool2d((1, cells))
