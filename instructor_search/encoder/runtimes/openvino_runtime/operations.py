"""Operations of OpenVINO graphs that models are built of: constants, norms, activations, int8 layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from instructor_search.encoder.runtimes.openvino_runtime._openvino import op, ov
from instructor_search.errors import ModelError

_SHARED = 10_000  # numbers of a constant from which copying it is worth avoiding


def floats(values: Any) -> ov.Node:
    """Return a constant; large ones share the array's memory, which may be the mapped weight file."""
    array = np.ascontiguousarray(values, dtype=np.float32)
    return op.constant(array, shared_memory=array.size > _SHARED)


def int64s(*values: int) -> ov.Node:
    """Return a constant, (number of values,)."""
    return op.constant(np.array(values, dtype=np.int64))


def int64(value: int) -> ov.Node:
    """Return a constant of no dimension."""
    return op.constant(np.int64(value))


def int32(value: int) -> ov.Node:
    """Return a constant of no dimension."""
    return op.constant(np.int32(value))


def int8_linear(codes: ov.Node, weight: np.ndarray, steps: np.ndarray, bias: np.ndarray) -> ov.Node:
    """Return codes @ (weight * steps).T + bias: weight int8 (out, in), one step and one bias an output."""
    scaled = op.multiply(op.convert(op.constant(np.ascontiguousarray(weight)), np.float32), floats(steps[:, None]))
    return op.add(op.matmul(codes, scaled, False, True), floats(bias[None]))


def activate(x: ov.Node, name: str) -> ov.Node:
    """Return an activation of ``x`` by its name in a config.json.

    Raises:
        ModelError: an activation that is not known.
    """
    kinds = {
        "gelu": lambda: op.gelu(x, "erf"),
        "gelu_new": lambda: op.gelu(x, "tanh"),
        "gelu_pytorch_tanh": lambda: op.gelu(x, "tanh"),
        "relu": lambda: op.relu(x),
        "silu": lambda: op.swish(x),
    }
    if name not in kinds:
        raise ModelError(f"no graph is built with the activation {name!r}; use --runtime torch")
    return kinds[name]()


def distance_buckets(distance: np.ndarray, num_buckets: int, max_distance: int) -> np.ndarray:
    """Return the bucket of each distance (memory - query), bidirectional: T5 (arXiv 1910.10683), section 2.1."""
    half = num_buckets // 2
    exact = half // 2
    size = np.abs(distance)
    ratio = np.log(np.maximum(size, 1).astype(np.float32) / exact) / np.log(np.float32(max_distance / exact))
    far = np.minimum(exact + (ratio * (half - exact)).astype(np.int64), half - 1)
    buckets: np.ndarray = np.where(distance > 0, half, 0) + np.where(size < exact, size, far)
    return buckets


def standardise(x: ov.Node, eps: float) -> ov.Node:
    """Return rows of ``x``, (tokens, channels), of mean 0 and variance 1: a layer norm before its scale."""
    return op.mvn(x, int64s(1), True, eps, "inside_sqrt")


def divide_by_root_mean_square(x: ov.Node, eps: float) -> ov.Node:
    """Return rows of ``x``, (tokens, channels), of mean square 1: T5's norm before its scale."""
    mean = op.reduce_mean(op.multiply(x, x), int64s(1), True)
    return op.divide(x, op.sqrt(op.add(mean, floats(eps))))


def affine(x: ov.Node, weight: np.ndarray, bias: np.ndarray | None) -> ov.Node:
    """Return ``x``, (tokens, channels), times a weight a channel, plus a bias a channel."""
    y = op.multiply(x, floats(weight[None]))
    return y if bias is None else add_bias(y, bias)


def add_bias(x: ov.Node, bias: np.ndarray) -> ov.Node:
    """Return ``x``, (tokens, channels), plus a bias a channel; a bias of zeros is left out of the graph."""
    return op.add(x, floats(bias[None])) if bias.any() else x
