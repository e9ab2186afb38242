"""Which runtime and precision an encoder runs with: chosen by what is installed, or named.

torch runs on GPUs and is what trains; OpenVINO is the CPU's, needs no torch and is several times faster there.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from instructor_search.encoder.runtimes.cpu import has_int8_products
from instructor_search.errors import MissingExtraError, ModelError

GRAPH_BACKBONES = ("t5", "bert", "roberta", "xlm-roberta", "distilbert", "electra", "mpnet")


class Runtime(StrEnum):
    """What computes."""

    TORCH = "torch"
    OPENVINO = "openvino"


class Precision(StrEnum):
    """Of weights and activations; vectors are float32 always."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    INT8 = "int8"


PRECISIONS = {
    Runtime.TORCH: (Precision.FP32, Precision.BF16, Precision.FP16),
    Runtime.OPENVINO: (Precision.FP32, Precision.BF16, Precision.INT8),
}


def choose(
    runtime: str | None, precision: str | None, device: str | None, config: dict[str, Any], *, ships_int8: bool = False
) -> tuple[Runtime, Precision]:
    """Return runtime and precision; what is None is chosen.

    A device is torch's, so naming one chooses torch; else a GPU does; else OpenVINO where it is installed and the model
    is one that a graph is built of. OpenVINO then runs in int8 where the model ships that graph (``ships_int8``) and
    the CPU has products for it, else in bf16 (float32 on a CPU that lacks it); torch in fp32.

    Raises:
        ValueError: an unknown name, or a precision that the runtime does not have.
        ModelError: the runtime cannot run this model.
        MissingExtraError: the runtime is not installed.
    """
    for value, known, what in ((runtime, Runtime, "runtime"), (precision, Precision, "precision")):
        if value is not None and value not in list(known):
            raise ValueError(f"{what} is {value!r}; expected one of {', '.join(known)}")
    chosen = Runtime(runtime) if runtime else _best(precision, device, config)
    if chosen is Runtime.OPENVINO:
        _check_openvino(device, config)
    if precision is None:
        if chosen is Runtime.TORCH:
            return chosen, Precision.FP32
        return chosen, Precision.INT8 if ships_int8 and has_int8_products() else Precision.BF16
    if precision not in PRECISIONS[chosen]:
        raise ValueError(
            f"precision is {precision!r}; {chosen} has {', '.join(PRECISIONS[chosen])}"
            + ("; int8 runs on a CPU with --runtime openvino and no --device" if precision == Precision.INT8 else "")
        )
    return chosen, Precision(precision)


def has_precision(precision: str, *, device: str | None, runtime: str | None) -> bool:
    """Whether an encoder opened with these arguments can have a precision."""
    on_torch = runtime == Runtime.TORCH or (runtime is None and device is not None) or find_spec("openvino") is None
    on_openvino = not on_torch and (runtime == Runtime.OPENVINO or not _has_gpu())
    if on_torch:
        return precision in PRECISIONS[Runtime.TORCH]
    if on_openvino:
        return precision in PRECISIONS[Runtime.OPENVINO]
    return True


def can_build_graph(config: dict[str, Any]) -> bool:
    """Whether a graph can be built of a model with this config.json."""
    projected = config.get("embedding_size", config.get("hidden_size")) != config.get("hidden_size")
    absolute = config.get("position_embedding_type", "absolute") == "absolute"
    return config["model_type"] in GRAPH_BACKBONES and not projected and absolute


def _best(precision: str | None, device: str | None, config: dict[str, Any]) -> Runtime:
    if device is not None or precision == Precision.FP16:
        return Runtime.TORCH
    if precision != Precision.INT8 and _has_gpu():
        return Runtime.TORCH
    usable = find_spec("openvino") is not None and can_build_graph(config)
    return Runtime.OPENVINO if usable or precision == Precision.INT8 else Runtime.TORCH


def _has_gpu() -> bool:
    """Whether torch would find a GPU; torch is imported (seconds) only on machines that look like it."""
    looks_so = any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists() or sys.platform == "darwin"
    if not looks_so or find_spec("torch") is None:
        return False
    from instructor_search.encoder.runtimes.torch_runtime import best_device

    return best_device() != "cpu"


def _check_openvino(device: str | None, config: dict[str, Any]) -> None:
    if find_spec("openvino") is None:
        raise MissingExtraError("openvino", "openvino", "the runtime openvino")
    if device not in (None, "cpu"):
        raise ValueError(f"the runtime openvino runs on the CPU, not on {device!r}; use --runtime torch")
    if not can_build_graph(config):
        raise ModelError(f"no graph is built of this {config['model_type']!r} model; use --runtime torch")
