"""Runs the model on a CPU with OpenVINO. ``inference`` loads this module when the first text is embedded; no torch.

Many texts go through one single-thread stream a core; a single text, where they come often, through a second graph with
all threads (a third faster, 45 MB for MiniLM: a graph has weights of its own). Lengths are padded to multiples of 16:
each has kernels and buffers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import Any

import numpy as np

from instructor_search.encoder.runtimes.cpu import num_cores
from instructor_search.encoder.runtimes.openvino_runtime._openvino import ov
from instructor_search.encoder.tokenization import TokenizedText, pad

BATCH_TOKENS = 1024  # padded tokens of a forward pass: the activations of MiniLM-size models stay in the cache
_LENGTH_STEP = 16  # of padded lengths
_CALLS_BEFORE_SINGLE = 3  # single texts before a graph is compiled for them (0.2 s)


class OpenVinoRuntime:
    """A compiled graph."""

    device = "cpu"
    batch_tokens = BATCH_TOKENS

    def __init__(self, graph: ov.Model | Path, precision: str, pad_id: int, longest: int | None = None) -> None:
        """Compile ``graph``, or the one in a file; ``precision`` other than "fp32": bf16 where the CPU has it.

        ``longest``: tokens that the model has positions for; None: any number.
        """
        self.core = ov.Core()
        self.graph = self.core.read_model(graph) if isinstance(graph, Path) else graph
        self.pad_id = pad_id
        self.longest = longest or 1 << 30
        self.num_threads = num_cores()
        self.hint = "f32" if precision == "fp32" else "bf16"
        self.dim = int(self.graph.output(0).get_partial_shape()[1].get_length())
        self._free: SimpleQueue[Any] = SimpleQueue()  # a request for each stream
        self._single: Any = None  # runs one text
        self._single_calls = 0
        self._lock = Lock()
        self._single_lock = Lock()
        config = {
            "INFERENCE_PRECISION_HINT": self.hint,
            "NUM_STREAMS": self.num_threads,
            "INFERENCE_NUM_THREADS": self.num_threads,
        }
        self._compiled: Any = self.core.compile_model(self.graph, "CPU", config)

    def embed(
        self,
        tokenized: Sequence[TokenizedText],
        batches: Iterable[list[int]],
        *,
        normalize: bool = False,
        on_batch: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """Return embeddings, float32 (n, dim), in input order; ``batches`` are row numbers that go together."""
        vectors = np.empty((len(tokenized), self.dim), dtype=np.float32)
        if len(tokenized) == 1:
            vectors[0] = self._embed_one(tokenized[0])
            if on_batch:
                on_batch(1)
        else:
            self._embed_many(tokenized, batches, vectors, on_batch)
        if normalize:
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors

    def _embed_many(
        self,
        tokenized: Sequence[TokenizedText],
        batches: Iterable[list[int]],
        vectors: np.ndarray,
        on_batch: Callable[[int], None] | None,
    ) -> None:
        def compute(rows: list[int]) -> int:
            request = self._free.get()
            try:
                request.infer(self._inputs([tokenized[row] for row in rows]), share_inputs=True)
                vectors[rows] = request.get_output_tensor(0).data
            finally:
                self._free.put(request)
            return len(rows)

        # Threads of our own and no AsyncInferQueue: one that is dropped while a callback ends can wait for ever.
        with self._lock, ThreadPoolExecutor(self.num_threads) as pool:
            while self._free.qsize() < self.num_threads:
                self._free.put(self._compiled.create_infer_request())
            try:
                for count in pool.map(compute, batches):
                    if on_batch:
                        on_batch(count)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _embed_one(self, item: TokenizedText) -> np.ndarray:
        with self._single_lock:
            request = self._request_for_one()
            request.infer(self._inputs([item]), share_inputs=True)
            vector: np.ndarray = request.get_output_tensor(0).data[0].copy()
            return vector

    def _request_for_one(self) -> Any:
        """Return what runs a single text: a stream of the graph for many, then a graph with all threads."""
        self._single_calls += 1
        if self._single_calls == _CALLS_BEFORE_SINGLE:
            self._single = self._compile_single()
        elif self._single is None:
            self._single = self._compiled.create_infer_request()
        return self._single

    def _compile_single(self) -> Any:
        config = {
            "INFERENCE_PRECISION_HINT": self.hint,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self.num_threads,
        }
        return self.core.compile_model(self.graph, "CPU", config).create_infer_request()

    def _padded(self, length: int) -> int:
        return min(-(-length // _LENGTH_STEP) * _LENGTH_STEP, max(self.longest, length))

    def _inputs(self, batch: Sequence[TokenizedText]) -> list[np.ndarray]:
        ids, attention, pooling = pad(batch, self.pad_id, self._padded(max(len(t.ids) for t in batch)))
        return [ids.astype(np.int32), attention.astype(np.float32), pooling.astype(np.float32)]
