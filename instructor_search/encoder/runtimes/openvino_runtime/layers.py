"""The linear layers of a graph: as the checkpoint has them, and in int8, which quantisation makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class LinearLayer(NamedTuple):
    """A linear layer as it stands in the graph: weight (out, in), bias (out,); and its name in the checkpoint."""

    group: str
    weight: np.ndarray
    bias: np.ndarray
    tensor: str = ""


def groups_of(layers: Mapping[str, LinearLayer]) -> dict[str, list[str]]:
    """Return the names of the layers that share each input."""
    groups: dict[str, list[str]] = {}
    for name, layer in layers.items():
        groups.setdefault(layer.group, []).append(name)
    return groups


class InputCodes(NamedTuple):
    """How a group's input x becomes levels: (x[channel] - low) / channel_steps, cut to 0 ... range, in 255 steps."""

    channel: np.ndarray  # (channels and copies,)
    low: np.ndarray
    channel_steps: np.ndarray
    range: float

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Return the levels' values, (n, channels and copies), of inputs (n, channels)."""
        step = self.range / 255
        values = (x[:, self.channel] - self.low) / self.channel_steps
        rounded: np.ndarray = np.round(np.clip(values, 0, self.range) / step) * np.float32(step)
        return rounded


class QuantizedLinear(NamedTuple):
    """A layer on levels: levels @ (codes * steps[:, None]).T + bias."""

    codes: np.ndarray  # int8 (out, channels and copies)
    steps: np.ndarray  # (out,)
    bias: np.ndarray  # (out,)


@dataclass(frozen=True)
class Quantization:
    """All layers of a model; those of one group share their input's levels."""

    inputs: dict[str, InputCodes]
    layers: dict[str, QuantizedLinear]
