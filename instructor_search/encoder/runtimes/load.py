"""Loads a runtime: torch, or OpenVINO with the graph that a precision wants. The heavy packages are imported here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from instructor_search.encoder.checkpoint import Checkpoint, max_positions
from instructor_search.encoder.runtimes.choose import Precision
from instructor_search.encoder.runtimes.cpu import has_int8_products
from instructor_search.encoder.runtimes.openvino_runtime.cache import GraphSource, int8_graph
from instructor_search.errors import MissingExtraError

if TYPE_CHECKING:
    from instructor_search.encoder.runtimes.openvino_runtime.runtime import OpenVinoRuntime
    from instructor_search.encoder.runtimes.torch_runtime import TorchRuntime


def load_openvino(source: GraphSource, precision: str) -> OpenVinoRuntime:
    """Return a compiled graph of a model. On a CPU without int8 products the precision int8 is computed without them.

    Raises:
        ModelError: weights are missing or damaged, or no graph can be built of this kind of model.
    """
    from instructor_search.encoder.runtimes.openvino_runtime.graph import GraphBuilder
    from instructor_search.encoder.runtimes.openvino_runtime.runtime import OpenVinoRuntime

    quantised = precision == Precision.INT8 and has_int8_products()
    checkpoint = source.checkpoint
    graph = int8_graph(source) if quantised else GraphBuilder(checkpoint, allow_pickle=source.allow_pickle).build()
    return OpenVinoRuntime(graph, precision, source.pad_id, max_positions(checkpoint))


def load_torch(
    checkpoint: Checkpoint, *, device: str | None, precision: str, pad_id: int, allow_pickle: bool
) -> TorchRuntime:
    """Return the torch model on a device; None: CUDA, MPS or CPU, the first that is there.

    Raises:
        MissingExtraError: torch or transformers is not installed.
        ModelError: weights are missing or damaged, or the device cannot be used.
    """
    try:
        from instructor_search.encoder.runtimes.torch_runtime import TorchRuntime
    except ImportError as error:
        raise MissingExtraError("torch and transformers", "torch", "the runtime torch") from error
    return TorchRuntime(checkpoint, device=device, allow_pickle=allow_pickle, precision=precision, pad_id=pad_id)
