"""What an embedding is the mean of: the parts of the pooled tokens, after the dense layers.

``parts`` of a text, (tokens, dim), sum to its embedding before it is brought to unit length. A linear layer is applied
to each part and its bias shared out evenly, which is exact. A tanh is not additive: each part is scaled by
tanh(z) / z of the sum z (the rescale rule of DeepLIFT, Shrikumar et al., arXiv 1704.02685, section 3.5.1, with zero as
the reference), which keeps the sum exact.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from instructor_search.encoder.runtimes.choose import Runtime
from instructor_search.encoder.tokenization import pad
from instructor_search.encoder.weights import read_tensors
from instructor_search.errors import ModelError
from instructor_search.instructions import InstructedText

if TYPE_CHECKING:
    from instructor_search.encoder.encoder import InstructorEncoder


class PooledTokens(NamedTuple):
    """The tokens that make a text's embedding. ``spans``: their characters in the text, None for special tokens."""

    parts: np.ndarray  # (tokens, dim)
    spans: list[tuple[int, int] | None]

    @property
    def vector(self) -> np.ndarray:
        """The embedding, (dim,), of unit length."""
        total = self.parts.sum(0)
        unit: np.ndarray = total / max(float(np.linalg.norm(total)), 1e-12)
        return unit


class TokenStates:
    """Reads the tokens' parts of an encoder's embeddings: in float32, or as its torch model does."""

    def __init__(self, encoder: InstructorEncoder) -> None:
        """Take the encoder's tokenizer and weights; what computes is made with the first text.

        Raises:
            ModelError: the encoder is no model of tokens.
        """
        if not hasattr(encoder, "checkpoint"):
            raise ModelError(f"encoder {encoder.name} has no tokens to look into; expected a model folder or hub id")
        self.encoder = encoder
        self._request: Any = None
        self._dense: list[tuple[np.ndarray, np.ndarray | None, bool]] | None = None
        self._lock = Lock()

    def read(self, item: InstructedText) -> PooledTokens:
        """Return the pooled tokens of one instructed text.

        Raises:
            InstructionTooLongError: the instruction fills the window.
        """
        tokenizer = self.encoder.tokenizer
        tokenized = tokenizer.encode_batch([item])[0]
        with self._lock:
            hidden = self._hidden(item)[tokenized.num_masked : len(tokenized.ids)]  # (tokens, hidden)
            parts = self._through_dense(hidden / max(len(hidden), 1))
        return PooledTokens(parts, tokenizer.text_spans(item)[tokenized.num_masked :])

    def _hidden(self, item: InstructedText) -> np.ndarray:
        """Return the last hidden states of all tokens, (length, hidden)."""
        if self.encoder.runtime == Runtime.TORCH:
            states = self.encoder.token_features([item])[0]["token_embeddings"]
            return np.asarray(states.cpu().float(), dtype=np.float32)
        if self._request is None:
            self._request = _compile(self.encoder)
        ids, attention, pooling = pad(self.encoder.tokenizer.encode_batch([item]), self.encoder.pad_id)
        inputs = [ids.astype(np.int32), attention.astype(np.float32), pooling.astype(np.float32)]
        self._request.infer(inputs)
        vector: np.ndarray = self._request.get_output_tensor(1).data[0].copy()
        return vector

    def _through_dense(self, parts: np.ndarray) -> np.ndarray:
        if self._dense is None:
            self._dense = [_layer(self.encoder, layer) for layer in self.encoder.checkpoint.dense]
        for weight, bias, squashed in self._dense:
            parts = parts @ weight.T
            if bias is not None:
                parts = parts + bias / len(parts)
            if squashed:
                total = parts.sum(0)
                parts = parts * np.where(np.abs(total) > 1e-6, np.tanh(total) / np.where(total == 0, 1, total), 1.0)
        return parts


def _compile(encoder: InstructorEncoder) -> Any:
    """Return what computes in float32; an int8 graph that returns tokens as well rounds otherwise, and is no nearer."""
    from instructor_search.encoder.runtimes.cpu import num_cores
    from instructor_search.encoder.runtimes.openvino_runtime._openvino import ov
    from instructor_search.encoder.runtimes.openvino_runtime.graph import GraphBuilder, add_tokens

    graph = GraphBuilder(encoder.checkpoint, allow_pickle=encoder.allow_pickle).build()
    add_tokens(graph)
    config = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": num_cores()}
    return ov.Core().compile_model(graph, "CPU", config).create_infer_request()


def _layer(encoder: InstructorEncoder, layer: Any) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """Return a dense layer's weight (out, in), its bias (out,), and whether a tanh follows."""
    stored = read_tensors(layer.folder, allow_pickle=encoder.allow_pickle)
    tensors = {name.removeprefix("linear."): value for name, value in stored.items()}
    return tensors["weight"], tensors["bias"] if layer.bias else None, layer.activation == "Tanh"
