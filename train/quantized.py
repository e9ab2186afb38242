"""Training that knows its rounding: linear layers compute on the levels of the int8 graph that the model will become.

What is rounded has the gradient of what it was rounded from (straight-through estimator, arXiv 1308.3432). Weights and
checkpoints stay as they are: ``python -m instructor_search export`` makes the graph, which rounds weights better than
is done here.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from instructor_search.errors import ModelError

if TYPE_CHECKING:
    from instructor_search.encoder.encoder import InstructorEncoder
    from instructor_search.encoder.runtimes.openvino_runtime.layers import InputCodes

_LEVELS, _LARGEST = 255, 127  # of inputs, and of weights


def make_quantization_aware(encoder: InstructorEncoder) -> int:
    """Let the linear layers of the backbone round as its int8 graph does; return how many there are.

    The levels of inputs are chosen once, on the texts that graphs are calibrated with.

    Raises:
        ModelError: no graph is built of this model.
    """
    from instructor_search.encoder.runtimes.choose import can_build_graph
    from instructor_search.encoder.runtimes.openvino_runtime.calibration import calibration_texts, input_codes

    checkpoint = encoder.checkpoint
    if not can_build_graph(checkpoint.config):
        raise ModelError(
            f"no int8 graph is built of this {checkpoint.config['model_type']!r} model; train it without "
            "--quantization_aware"
        )
    tokenized = encoder.tokenizer.encode_batch(calibration_texts())
    codes = input_codes(checkpoint, tokenized, encoder.pad_id, allow_pickle=encoder.allow_pickle)
    modules = dict(encoder.model.backbone.named_modules())
    for name, (of_input, mean) in codes.items():
        layer = modules[name]
        layer.forward = partial(rounded_linear, layer, _Levels(of_input, mean, layer.weight.device))
    return len(codes)


class _Levels:
    """Input levels as tensors."""

    def __init__(self, codes: InputCodes, mean: Any, device: Any) -> None:
        """``mean``: values of the levels on average, (channels and copies,)."""
        self.mean = torch.as_tensor(mean, device=device)
        self.channel = torch.as_tensor(codes.channel, device=device)
        self.low = torch.as_tensor(codes.low, device=device)
        self.steps = torch.as_tensor(codes.channel_steps, device=device)
        self.step = codes.range / _LEVELS
        first = torch.ones_like(self.channel, dtype=torch.bool)
        first[1:] = self.channel[1:] != self.channel[:-1]
        self.base = self.low[first]  # what a channel is where all its levels are 0


def rounded_linear(layer: nn.Linear, levels: _Levels, x: Tensor) -> Tensor:
    """Return the layer's output, (..., out), on rounded inputs, (..., in), and weights."""
    with torch.autocast(x.device.type, enabled=False):
        wide = x.float()[..., levels.channel]
        inputs = _straight_through(((wide - levels.low) / (levels.steps * levels.step)).clamp(0, _LEVELS))
        weight = layer.weight.float()
        scaled = weight[:, levels.channel] * levels.steps
        rows = scaled.detach().abs().amax(1, keepdim=True).clamp_min(1e-8) / _LARGEST
        codes = _straight_through(scaled / rows)
        bias = weight @ levels.base + (scaled - rows * codes) @ levels.mean  # what rounding changes on average
        if layer.bias is not None:
            bias = bias + layer.bias.float()
    # whole numbers up to 255 are exact in bfloat16 too
    products = functional.linear(inputs, codes)
    return products * (rows[:, 0] * levels.step) + bias


def _straight_through(x: Tensor) -> Tensor:
    return x + (x.round() - x).detach()
