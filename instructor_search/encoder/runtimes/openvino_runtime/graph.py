"""Builds the model as an OpenVINO graph, straight from its weights: T5 encoders and the BERT family.

Tokens of all texts of a batch are rows of one matrix (tokens, hidden): linear layers and norms see two dimensions, so
that quantisation can be done channel by channel; only attention knows texts. What is built is the chain of
``modeling``: backbone, mean over the text's tokens, dense layers, unit length. With a ``quantization`` its linear
layers are int8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from instructor_search.encoder.runtimes.choose import can_build_graph
from instructor_search.encoder.runtimes.openvino_runtime._openvino import op, ov
from instructor_search.encoder.runtimes.openvino_runtime.layers import InputCodes, LinearLayer, Quantization
from instructor_search.encoder.runtimes.openvino_runtime.operations import (
    activate,
    add_bias,
    affine,
    distance_buckets,
    divide_by_root_mean_square,
    floats,
    int8_linear,
    int32,
    int64,
    int64s,
    standardise,
)
from instructor_search.encoder.weights import backbone_tensors, read_tensors
from instructor_search.errors import ModelError

if TYPE_CHECKING:
    from instructor_search.encoder.checkpoint import Checkpoint

_MASKED = -10_000.0  # added to the scores of padding: its weight is exactly 0 in float32
_NARROW = 1e-3  # see ``GraphBuilder._codes``
_HIDDEN = "last_hidden_state"
_BERT_NAMES = {
    "bert": {
        "layer": "encoder.layer.{}.",
        "q": "attention.self.query",
        "k": "attention.self.key",
        "v": "attention.self.value",
        "o": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "up": "intermediate.dense",
        "down": "output.dense",
        "norm2": "output.LayerNorm",
    },
    "distilbert": {
        "layer": "transformer.layer.{}.",
        "q": "attention.q_lin",
        "k": "attention.k_lin",
        "v": "attention.v_lin",
        "o": "attention.out_lin",
        "norm1": "sa_layer_norm",
        "up": "ffn.lin1",
        "down": "ffn.lin2",
        "norm2": "output_layer_norm",
    },
    "mpnet": {
        "layer": "encoder.layer.{}.",
        "q": "attention.attn.q",
        "k": "attention.attn.k",
        "v": "attention.attn.v",
        "o": "attention.attn.o",
        "norm1": "attention.LayerNorm",
        "up": "intermediate.dense",
        "down": "output.dense",
        "norm2": "output.LayerNorm",
    },
}


def add_tokens(graph: ov.Model) -> None:
    """Let a graph, built here or read from a file, also return the last hidden states, (batch, length, hidden)."""
    graph.add_outputs(next(node for node in graph.get_ops() if node.get_friendly_name() == _HIDDEN).output(0))


class GraphBuilder:
    """One graph. Inputs: ids int32, attention and pooling float32 masks, each (batch, length)."""

    def __init__(
        self, checkpoint: Checkpoint, *, allow_pickle: bool = False, quantization: Quantization | None = None
    ) -> None:
        """Read the weights of ``checkpoint``.

        Raises:
            ModelError: no graph can be built of this kind of model.
        """
        if not can_build_graph(checkpoint.config):
            raise ModelError(
                f"no graph is built of this {checkpoint.config['model_type']!r} model; use --runtime torch"
            )
        self.checkpoint = checkpoint
        self.config = checkpoint.config
        self.allow_pickle = allow_pickle
        self.tensors = backbone_tensors(checkpoint, allow_pickle=allow_pickle)
        self.quantization = quantization
        # What a calibration needs to know. Layers of one group share their input.
        self.layers: dict[str, LinearLayer] = {}
        self.inputs: dict[str, Any] = {}  # group -> node, (tokens, channels)
        self.follows: dict[str, list[str]] = {}  # group -> layers whose activated outputs are its input
        self._made: dict[str, Any] = {}

    def build(self, *, with_inputs: bool = False) -> ov.Model:
        """Return the graph: embeddings (batch, dim); ``with_inputs``: after them the inputs of all groups of layers."""
        ids = op.parameter([-1, -1], np.int32, name="ids")
        attention, pooling = (op.parameter([-1, -1], np.float32, name=n) for n in ("attention", "pooling"))
        self.shape = op.shape_of(ids, "i64")
        self.batch, self.length = (op.gather(self.shape, int64s(i), int64(0)) for i in (0, 1))
        x = self._t5(ids, attention) if self.config["model_type"] == "t5" else self._bert(ids, attention)
        hidden = op.reshape(x, self._dims(self.shape, self.checkpoint.hidden_size), False)
        hidden.set_friendly_name(_HIDDEN)
        total = op.squeeze(op.matmul(op.unsqueeze(pooling, int64s(1)), hidden, False, False), int64s(1))
        y = op.divide(total, op.maximum(op.reduce_sum(pooling, int64s(1), True), floats(1e-9)))
        y = self._dense(y)
        results = [y, *(self.inputs.values() if with_inputs else [])]
        return ov.Model(results, [ids, attention, pooling], self.checkpoint.name)

    # -- backbones -------------------------------------------------------------------------------------------------

    def _bert(self, ids: Any, attention: Any) -> Any:
        c, kind = self.config, self.config["model_type"]
        names = _BERT_NAMES.get(kind, _BERT_NAMES["bert"])
        self.num_heads = c.get("num_attention_heads") or c["n_heads"]
        eps = c.get("layer_norm_eps", 1e-12)
        first = c.get("pad_token_id", 1) + 1 if kind in ("roberta", "xlm-roberta", "mpnet") else 0
        table = self._tensor("embeddings.position_embeddings.weight")[first:]
        if "embeddings.token_type_embeddings.weight" in self.tensors:
            table = table + self._tensor("embeddings.token_type_embeddings.weight")[0]
        words = self._rows("embeddings.word_embeddings.weight", ids)
        places = op.slice(floats(table), int64s(0), self.length, int64s(1), int64s(0))
        x = op.reshape(op.add(words, op.unsqueeze(places, int64(0))), int64s(-1, table.shape[1]), False)
        bias = self._mask(attention)
        if kind == "mpnet":
            bias = op.add(bias, self._relative_bias("encoder.relative_attention_bias.weight", max_distance=128))
        normal, norm = standardise(x, eps), self._scale_of("embeddings.LayerNorm")
        for i in range(c.get("num_hidden_layers") or c["n_layers"]):
            p = names["layer"].format(i)
            residual = affine(normal, *norm)
            scale = 1 / np.sqrt(self.checkpoint.hidden_size // self.num_heads)
            q, k, v = (
                self._linear(f"{i}.qkv", n, p + names[n], (normal, *norm), scale=scale if n == "q" else 1.0)
                for n in "qkv"
            )
            a = self._linear(f"{i}.out", "o", p + names["o"], self._attend(q, k, v, bias))
            normal, norm = standardise(op.add(a, residual), eps), self._scale_of(p + names["norm1"])
            residual = affine(normal, *norm)
            h = self._linear(f"{i}.up", "up", p + names["up"], (normal, *norm), feeds=f"{i}.down")
            h = activate(h, c.get("hidden_act") or c["activation"])
            h = self._linear(f"{i}.down", "down", p + names["down"], h)
            normal, norm = standardise(op.add(h, residual), eps), self._scale_of(p + names["norm2"])
        return affine(normal, *norm)

    def _t5(self, ids: Any, attention: Any) -> Any:
        c = self.config
        self.num_heads = c["num_heads"]
        eps = c.get("layer_norm_epsilon", 1e-6)
        shared = "shared.weight" if "shared.weight" in self.tensors else "encoder.embed_tokens.weight"
        x = op.reshape(self._rows(shared, ids), int64s(-1, c["d_model"]), False)
        table = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        bias = op.add(self._mask(attention), self._relative_bias(table, c.get("relative_attention_max_distance", 128)))
        gated = str(c.get("feed_forward_proj", "relu")).startswith("gated-")
        act = str(c.get("feed_forward_proj", "relu")).removeprefix("gated-")
        act = "gelu_new" if act == "gelu" and gated else act
        for i in range(c["num_layers"]):
            p = f"encoder.block.{i}.layer."
            normal = divide_by_root_mean_square(x, eps)
            norm = (self._tensor(p + "0.layer_norm.weight"), None)
            q, k, v = (self._linear(f"{i}.qkv", n, f"{p}0.SelfAttention.{n}", (normal, *norm)) for n in "qkv")
            x = op.add(x, self._linear(f"{i}.out", "o", p + "0.SelfAttention.o", self._attend(q, k, v, bias)))
            normal = divide_by_root_mean_square(x, eps)
            norm = (self._tensor(p + "1.layer_norm.weight"), None)
            if gated:
                gate = self._linear(f"{i}.up", "gate", p + "1.DenseReluDense.wi_0", (normal, *norm), feeds=f"{i}.down")
                h = self._linear(f"{i}.up", "up", p + "1.DenseReluDense.wi_1", (normal, *norm), feeds=f"{i}.down")
                h = op.multiply(activate(gate, act), h)
            else:
                h = self._linear(f"{i}.up", "up", p + "1.DenseReluDense.wi", (normal, *norm), feeds=f"{i}.down")
                h = activate(h, act)
            x = op.add(x, self._linear(f"{i}.down", "down", p + "1.DenseReluDense.wo", h))
        return affine(divide_by_root_mean_square(x, eps), self._tensor("encoder.final_layer_norm.weight"), None)

    # -- parts -----------------------------------------------------------------------------------------------------

    def _attend(self, q: Any, k: Any, v: Any, bias: Any) -> Any:
        """Return attention outputs, (tokens, inner); the scores' scale is in the query's weights."""
        size = int(q.output(0).get_partial_shape()[1].get_length()) // self.num_heads
        shape, turn = self._dims(self.shape, self.num_heads, size), int64s(0, 2, 1, 3)
        q, k, v = (op.transpose(op.reshape(t, shape, False), turn) for t in (q, k, v))
        weights = op.softmax(op.add(op.matmul(q, k, False, True), bias), -1)  # (batch, heads, length, length)
        a = op.transpose(op.matmul(weights, v, False, False), turn)
        return op.reshape(a, int64s(-1, self.num_heads * size), False)

    def _mask(self, attention: Any) -> Any:
        shape = op.concat([self.batch, int64s(1, 1, -1)], 0)
        return op.reshape(op.multiply(op.subtract(floats(1.0), attention), floats(_MASKED)), shape, False)

    def _relative_bias(self, name: str, max_distance: int) -> Any:
        """Return T5's position bias, (1, heads, length, length): one number a head for each bucket of distances.

        From ``max_distance`` on all are in one bucket.
        """
        table = self._tensor(name)  # (buckets, heads)
        buckets = distance_buckets(np.arange(-max_distance, max_distance + 1), len(table), max_distance)
        places = op.range(int32(0), op.convert(op.squeeze(self.length, int64s(0)), np.int32), int32(1), "i32")
        distance = op.subtract(op.unsqueeze(places, int64(0)), op.unsqueeze(places, int64(1)))  # memory - query
        near = op.maximum(op.minimum(distance, int32(max_distance)), int32(-max_distance))
        index = op.add(near, int32(max_distance))
        bias = op.gather(floats(table[buckets]), index, int64(0))  # (length, length, heads)
        return op.unsqueeze(op.transpose(bias, int64s(2, 0, 1)), int64(0))

    def _linear(
        self, group: str, name: str, tensor: str, source: Any, *, scale: float = 1.0, feeds: str | None = None
    ) -> Any:
        """Return a linear layer, (tokens, out). ``source``: its input, or (normalised input, weight, bias of the norm).

        ``feeds``: the group that reads this layer's output through an activation, and may want columns of it twice.
        """
        weight = self._tensor(tensor + ".weight") * scale  # (out, in)
        bias = self.tensors.get(tensor + ".bias", np.zeros(len(weight), np.float32)) * scale
        name = f"{group}.{name}"
        if feeds:
            self.follows.setdefault(feeds, []).append(name)
        if self.quantization is not None:
            layer = self.quantization.layers[name]
            wanted = self.quantization.inputs[feeds].channel if feeds else slice(None)
            return int8_linear(self._codes(group, source), *(values[wanted] for values in layer))
        if group not in self.inputs:
            self.inputs[group] = affine(*source) if isinstance(source, tuple) else source
        self.layers[name] = LinearLayer(group, weight, bias, tensor)
        y = op.matmul(self.inputs[group], floats(weight), False, True)
        return add_bias(y, bias)

    def _codes(self, group: str, source: Any) -> Any:
        """Return a group's input as 256 levels from 0 to its range.

        After an activation the quantisation, channel by channel, joins the layer before it. Elsewhere the channels'
        steps are an affine map, and the whole tensor is quantised alike: the plugin does both, and a norm's own scale,
        in one pass. The clamp does nothing that the quantisation would not do; it is a little narrower so that it is
        not optimised away, as the map would then be folded into a slower kind of quantisation.
        """
        if group in self._made:
            return self._made[group]
        assert self.quantization is not None
        q: InputCodes = self.quantization.inputs[group]
        low, high = floats([[0.0]]), floats([[q.range]])
        if group in self.follows:
            top = q.low + q.range * q.channel_steps
            codes = op.fake_quantize(source, floats(q.low[None]), floats(top[None]), low, high, 256)
        else:
            x, weight, bias = source if isinstance(source, tuple) else (source, np.float32(1), None)
            offset = ((0.0 if bias is None else bias) - q.low) / q.channel_steps
            y = add_bias(op.multiply(x, floats((weight / q.channel_steps)[None])), offset)
            y = op.clamp(y, float(q.range * _NARROW), float(q.range * (1 - _NARROW)))
            codes = op.fake_quantize(y, low, high, low, high, 256)
        self._made[group] = codes
        return codes

    def _dense(self, y: Any) -> Any:
        for layer in self.checkpoint.dense:
            tensors = {k.removeprefix("linear."): v for k, v in self._read(layer.folder).items()}
            try:
                y = op.matmul(y, floats(tensors["weight"]), False, True)
                y = add_bias(y, tensors["bias"]) if layer.bias else y
            except KeyError as error:
                raise ModelError(f"{layer.folder}: its weights do not fit its config.json ({error})") from error
            y = op.tanh(y) if layer.activation == "Tanh" else y
        if self.checkpoint.normalize:
            y = op.divide(y, op.maximum(op.sqrt(op.reduce_sum(op.multiply(y, y), int64s(1), True)), floats(1e-12)))
        return y

    def _read(self, folder: Any) -> dict[str, np.ndarray]:
        return read_tensors(folder, allow_pickle=self.allow_pickle)

    def _scale_of(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        return self._tensor(name + ".weight"), self._tensor(name + ".bias")

    def _tensor(self, name: str) -> np.ndarray:
        if name not in self.tensors:
            raise ModelError(f"{self.checkpoint.transformer_folder} lacks weights of its model: {name!r}")
        return self.tensors[name]

    def _rows(self, name: str, ids: Any) -> Any:
        """Return rows of an embedding table. Beside int8 layers it is of int8 too, with a step a row: a quarter."""
        table = self._tensor(name)
        if self.quantization is None:
            return op.gather(floats(table), ids, int64(0))
        steps = np.maximum(np.abs(table).max(axis=1, keepdims=True), 1e-12) / 127
        codes = op.gather(op.constant(np.rint(table / steps).astype(np.int8)), ids, int64(0))
        return op.multiply(op.convert(codes, np.float32), op.gather(floats(steps), ids, int64(0)))

    def _dims(self, shape: Any, *sizes: int) -> Any:
        return op.concat([shape, int64s(*sizes)], 0)
